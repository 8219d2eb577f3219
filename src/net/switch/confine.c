/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- files ---------------------------------------------------------------------- */

/* Of later kernels than the header's. */
#define FS_REFER     (1ull << 13) /* version 2 */
#define FS_TRUNCATE  (1ull << 14) /* 3 */
#define FS_IOCTL_DEV (1ull << 15) /* 5 */
#define SCOPED	     3ull	  /* 6: abstract sockets, signals */
#define FS_VERSION_1 ((1ull << 13) - 1)

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_OWN                                                            \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                        \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |     \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE)

struct ruleset {
	uint64_t fs, net, scoped;
};

static int allow(int set, int folder, uint64_t access)
{
	const struct landlock_path_beneath_attr beneath = {
		.allowed_access = access,
		.parent_fd = folder,
	};

	return syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH,
		       &beneath, 0) ? -errno : 0;
}

/* What is not there needs no rule. */
static int allow_path(int set, const char *path, uint64_t access)
{
	int fd = open(path, O_PATH | O_CLOEXEC), err;

	if (fd < 0)
		return 0;
	err = allow(set, fd, access);
	close(fd);
	return err;
}

static int allow_all(int set, int folder, bool truncates)
{
	static const char *const readable[] = {
		"/etc",
		"/lib",
		"/lib64",
		"/usr",
		"/run/systemd/resolve",
		"/run/NetworkManager",
		"/run/resolvconf",
		"/sys/devices/system/cpu",
	};
	int err = allow(set, folder, FS_OWN | (truncates ? FS_TRUNCATE : 0));

	if (!err)
		err = allow_path(set, "/dev/null",
				 LANDLOCK_ACCESS_FS_READ_FILE |
					 LANDLOCK_ACCESS_FS_WRITE_FILE);
	for (size_t i = 0; !err && i < sizeof(readable) / sizeof(*readable);
	     i++)
		err = allow_path(set, readable[i], FS_READ);
	return err;
}

static int limit_files(int folder)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules = { .fs = FS_VERSION_1 };
	size_t size = sizeof(rules.fs);
	int set, err;

	if (version < 1)
		return 0;
	rules.fs |= version >= 2 ? FS_REFER : 0;
	rules.fs |= version >= 3 ? FS_TRUNCATE : 0;
	rules.fs |= version >= 5 ? FS_IOCTL_DEV : 0;
	rules.scoped = version >= 6 ? SCOPED : 0;
	if (version >= 6)
		size = sizeof(rules);
	set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (set < 0)
		return -errno;
	err = allow_all(set, folder, version >= 3);
	if (!err && syscall(SYS_landlock_restrict_self, set, 0))
		err = -errno;
	close(set);
	return err;
}

/* --- calls ---------------------------------------------------------------------- */

static const uint16_t calls[] = {
	/* The ones that count, first. */
	SYS_poll, SYS_futex, SYS_sendto, SYS_recvfrom, SYS_read, SYS_write,
	SYS_clock_gettime, SYS_sendmsg, SYS_recvmsg, SYS_ioctl, SYS_close,
	/* Sockets. */
	SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
	SYS_shutdown, SYS_getsockopt, SYS_setsockopt, SYS_getsockname,
	SYS_getpeername, SYS_socketpair, SYS_ppoll, SYS_writev, SYS_readv,
	/* Files. */
	SYS_openat, SYS_open, SYS_fstat, SYS_newfstatat, SYS_stat, SYS_lstat,
	SYS_statx, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_readlink,
	SYS_readlinkat, SYS_getdents64, SYS_lseek, SYS_pread64, SYS_pwrite64,
	SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_fchmod, SYS_rename,
	SYS_renameat, SYS_renameat2, SYS_unlink, SYS_unlinkat, SYS_flock,
	SYS_fcntl, SYS_dup, SYS_dup2, SYS_dup3, SYS_pipe2, SYS_eventfd2,
	SYS_umask, SYS_fstatfs,
	/* Memory, threads, the end. */
	SYS_memfd_create, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect,
	SYS_madvise, SYS_brk, SYS_clone, SYS_clone3, SYS_set_robust_list,
	SYS_rseq, SYS_membarrier, SYS_prctl, SYS_arch_prctl, SYS_sched_yield,
	SYS_sched_getaffinity, SYS_rt_sigprocmask, SYS_rt_sigaction,
	SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall,
	SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_time,
	SYS_getrandom, SYS_gettid, SYS_getpid, SYS_getppid, SYS_getuid,
	SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo,
	SYS_prlimit64, SYS_tgkill, SYS_exit, SYS_exit_group,
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))
#define HEAD  4u

/* A comparison each, with a jump to the last instruction. */
static int limit_calls(void)
{
	struct sock_filter code[HEAD + CALLS + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	_Static_assert(CALLS < 255, "a jump reaches behind all of them");
	for (unsigned int i = 0; i < CALLS; i++)
		code[HEAD + i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, calls[i],
			(uint8_t)(CALLS - i), 0);
	code[HEAD + CALLS] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	code[HEAD + CALLS + 1] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ?
		       -errno : 0;
}

/* --- all of it ------------------------------------------------------------------ */

/* Root's published ports may be below 1024; that is all that is kept. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };

	if (!geteuid())
		data[0].effective = data[0].permitted =
			1u << CAP_NET_BIND_SERVICE;
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

int confine_switch(int folder)
{
	const struct rlimit none = { 0 };
	int err;

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	err = drop_capabilities();
	if (!err)
		err = limit_files(folder);
	return err ? err : limit_calls();
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/confine.h"

/* --- files ---------------------------------------------------------------------- */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_OWN                                                            \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                        \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |     \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | CONFINE_FS_TRUNCATE)

/* What is not there needs no rule. */
static int allow_path(int set, const char *path, uint64_t access)
{
	int fd = open(path, O_PATH | O_CLOEXEC), err;

	if (fd < 0)
		return 0;
	err = confine_except(set, fd, access);
	close(fd);
	return err;
}

static int allow_all(int set, int folder)
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
	int err = confine_except(set, folder, FS_OWN);

	if (!err)
		err = allow_path(set, "/dev/null",
				 LANDLOCK_ACCESS_FS_READ_FILE |
					 LANDLOCK_ACCESS_FS_WRITE_FILE);
	for (size_t i = 0; !err && i < sizeof(readable) / sizeof(*readable);
	     i++)
		err = allow_path(set, readable[i], FS_READ);
	return err;
}

/* Kernels without Landlock go without. */
static int limit_files(int folder)
{
	int set = confine_rules(false, CONFINE_ABSTRACT | CONFINE_SIGNALS);
	int err;

	if (set < 0)
		return set == -ENOSYS ? 0 : set;
	err = allow_all(set, folder);
	if (!err)
		err = confine_files(set);
	close(set);
	return err;
}

/* --- calls ---------------------------------------------------------------------- */

static const uint16_t calls[] = {
	/* The ones that count, first. */
	SYS_poll, SYS_futex, SYS_sendto, SYS_recvfrom, SYS_read, SYS_write,
	SYS_clock_gettime, SYS_sendmsg, SYS_recvmsg, SYS_recvmmsg, SYS_ioctl, SYS_close,
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

/* --- all of it ------------------------------------------------------------------ */

int confine_switch(int folder)
{
	const struct rlimit none = { 0 };
	int err;

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Root's published ports may be below 1024; that is all that is kept. */
	err = confine_privileges(1u << CAP_NET_BIND_SERVICE);
	if (!err)
		err = limit_files(folder);
	return err ? err
		   : confine_calls(calls, sizeof(calls) / sizeof(calls[0]));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker gives up before it serves. It opens files for the machine,
 * wherever they are, by the right of its user, and starts the servers of
 * folders; so it keeps the host's files, sockets and the start of programs.
 * Helpers, which make networks, need more: they are run by a process of their
 * own, made before this, that does what was granted and nothing else.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/sandbox/broker_impl.h"

#define X32 0x40000000u

/* --- privileges ------------------------------------------------------------------ */

/* Root's: over files, those of lodge-share, and to look into the machine. */
static int drop_capabilities(void)
{
	const uint32_t kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
			      1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER |
			      1u << CAP_SYS_PTRACE;
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	data[0].effective &= kept;
	data[0].permitted &= kept;
	data[0].inheritable = 0;
	memset(&data[1], 0, sizeof(data[1]));
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* --- system calls ---------------------------------------------------------------- */

/* What neither it nor a folder's server calls. */
static const uint16_t never[] = {
	SYS_ptrace, SYS_kcmp, SYS_mount, SYS_umount2, SYS_pivot_root,
	SYS_chroot, SYS_fsopen, SYS_fspick, SYS_fsmount, SYS_open_tree,
	SYS_move_mount, SYS_mount_setattr, SYS_open_by_handle_at, SYS_setns,
	SYS_unshare, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid,
	SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_bpf,
	SYS_perf_event_open, SYS_userfaultfd, SYS_add_key, SYS_request_key,
	SYS_keyctl, SYS_personality, SYS_modify_ldt, SYS_iopl, SYS_ioperm,
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load,
	SYS_kexec_file_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct,
	SYS_quotactl, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex,
	SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname, SYS_syslog,
	SYS_io_uring_setup, SYS_vhangup, SYS_mknod,
};

#define NEVER (sizeof(never) / sizeof(never[0]))

static void put(struct sock_filter *code, size_t *length,
		struct sock_filter insn)
{
	code[(*length)++] = insn;
}

#define PUT(...)                                                         \
	put(code, &length, (struct sock_filter)__VA_ARGS__)

/* Sockets are of Unix and of the internet: no netlink, no packets. */
static size_t make_filter(struct sock_filter *code)
{
	static const uint32_t families[] = { AF_UNIX, AF_INET, AF_INET6 };
	size_t length = 0;

	PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, arch)));
	PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, nr)));
	PUT(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1));
	PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	for (size_t i = 0; i < NEVER; i++) {
		PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, never[i], 0, 1));
		PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	}
	PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0));
	PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, args)));
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		PUT(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, families[i], 0, 1));
		PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	}
	PUT(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT));
	return length;
}

static int limit_calls(void)
{
	struct sock_filter code[2 * NEVER + 20];
	const struct sock_fprog program = {
		.len = (unsigned short)make_filter(code),
		.filter = code,
	};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno :
								      0;
}

int broker_confine(void)
{
	const struct rlimit none = { 0 };
	int rc;

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	rc = drop_capabilities();
	return rc ? rc : limit_calls();
}

/* --- helpers --------------------------------------------------------------------- */

/* The one of VERB/SUBJECT, or NULL. */
static const struct broker_helper *find_helper(const struct calls *calls,
					       const char *verb,
					       const char **subject)
{
	const struct broker_helper *helper = calls->helpers;
	const char *slash = strchr(verb, '/');

	for (; helper->verb && slash; helper++) {
		if (strlen(helper->verb) != (size_t)(slash - verb) ||
		    strncmp(helper->verb, verb, strlen(helper->verb)))
			continue;
		*subject = slash + 1;
		return helper;
	}
	return NULL;
}

void broker_begin(const struct calls *calls, const char *path)
{
	const struct broker_helper *helper;
	const char *subject;

	helper = find_helper(calls, path + 1, &subject);
	if (helper && !fork())
		_exit(helper->run(subject) & 0x7f);
}

/* It runs, in a process of its own, and its end is the answer. */
static int run_helper(const struct calls *calls, const char *path)
{
	const struct broker_helper *helper;
	const char *subject;
	int status = 0;
	pid_t child;

	helper = find_helper(calls, path + strlen(JAIL_HELP), &subject);
	if (!helper || !grants_of(calls->grants, path))
		return -EACCES;
	child = fork();
	if (!child)
		_exit(helper->run(subject) & 0x7f);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child < 0 || !WIFEXITED(status))
		return -EIO;
	return WEXITSTATUS(status) ? -WEXITSTATUS(status) : -EALREADY;
}

static _Noreturn void serve_help(const struct calls *calls, int fd)
{
	char path[PATH_MAX];
	ssize_t n;
	int rc;

	dup2(fd, 3);
	close_range(4, ~0u, 0);
	while ((n = recv(3, path, sizeof(path) - 1, 0)) > 0) {
		path[n] = '\0';
		rc = run_helper(calls, path);
		if (send(3, &rc, sizeof(rc), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

/* Whether there is anything to help with. */
static bool has_help(const struct grants *grants)
{
	for (size_t i = 0; i < grants->count; i++)
		if (!strncmp(grants->list[i].path, JAIL_HELP,
			     strlen(JAIL_HELP)))
			return true;
	return false;
}

void broker_begin_helping(struct calls *calls)
{
	int ends[2];
	pid_t child;

	calls->help = -1;
	if (!has_help(calls->grants) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return;
	child = fork();
	if (!child)
		serve_help(calls, ends[1]);
	close(ends[1]);
	if (child > 0)
		calls->help = ends[0];
	else
		close(ends[0]);
}

int broker_help(const struct calls *calls, const char *path)
{
	int rc = -EIO;

	if (calls->help < 0)
		return -EACCES;
	if (send(calls->help, path, strlen(path), MSG_NOSIGNAL) < 0 ||
	    recv(calls->help, &rc, sizeof(rc), 0) != sizeof(rc))
		return -EIO;
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-vm with an intruder: once the machine is in its sandbox, a thread of
 * one of its roles tries one thing that it must not do. It is what code of a
 * hostile guest could do that has taken over that thread.
 *
 *	INTRUDER=ROLE:TRY intruder OPTIONS-OF-LODGE-RUN
 *
 * Prints "refused ERRNO" or "done", unless the kernel ends it (SIGSYS). Where a
 * try has an object, INTRUDER_AT is its path, INTRUDER_PID its process.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/jail.h"
#include "host/linux/thread.h"
#include "vmm/sandbox/broker_impl.h"

int __real_thread_starter_begin(void);
int __wrap_thread_starter_begin(void);
void __real_calls_make(const struct calls *calls,
		       const struct seccomp_notif *note);
void __wrap_calls_make(const struct calls *calls,
		       const struct seccomp_notif *note);

static const char *at(void)
{
	const char *path = getenv("INTRUDER_AT");

	return path ? path : "/etc/hostname";
}

static pid_t other(void)
{
	const char *pid = getenv("INTRUDER_PID");

	return pid ? atoi(pid) : getppid();
}

/* --- tries: 0 when it was done, or -1 with errno --------------------------------- */

static int try_read(void)
{
	return open(at(), O_RDONLY) < 0 ? -1 : 0;
}

static int try_write(void)
{
	return open(at(), O_WRONLY | O_CREAT, 0600) < 0 ? -1 : 0;
}

static int try_climb(void)
{
	char path[4200];

	snprintf(path, sizeof(path), "/usr/lib/../..%s", at());
	return open(path, O_RDONLY) < 0 ? -1 : 0;
}

static int try_unlink(void)
{
	return unlink(at());
}

static int try_rename(void)
{
	return rename(at(), "/tmp/intruder-was-here");
}

static int try_stat(void)
{
	struct stat st;

	return stat(at(), &st);
}

/* What is in a folder; and by that the folder's mode, if it may be opened. */
static int try_list(void)
{
	return open(at(), O_RDONLY | O_DIRECTORY) < 0 ? -1 : 0;
}

static int try_mode(void)
{
	char folder[4096];
	int fd;

	snprintf(folder, sizeof(folder), "%s", at());
	fd = open(dirname(folder), O_RDONLY | O_DIRECTORY);
	return fd < 0 ? -1 : fchmod(fd, 0777);
}

static int try_symlink(void)
{
	return symlink("/etc/passwd", at());
}

static int try_environment(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)other());
	return open(path, O_RDONLY) < 0 ? -1 : 0;
}

static int try_memory(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)other());
	return open(path, O_RDWR) < 0 ? -1 : 0;
}

/* Past the filter of system calls, by a ring. */
static int try_ring(void)
{
	struct io_uring ring;
	struct io_uring_sqe *entry;
	struct io_uring_cqe *done;
	int rc = io_uring_queue_init(4, &ring, 0);

	if (rc) {
		errno = -rc;
		return -1;
	}
	entry = io_uring_get_sqe(&ring);
	io_uring_prep_openat(entry, AT_FDCWD, at(), O_RDONLY, 0);
	io_uring_submit(&ring);
	io_uring_wait_cqe(&ring, &done);
	errno = done->res < 0 ? -done->res : 0;
	return done->res < 0 ? -1 : 0;
}

static int try_internet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? -1 : 0;
}

static int try_packet(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) < 0 ? -1 : 0;
}

static int try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? -1 : 0;
}

static int connect_to(const struct sockaddr_un *address, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)address,
				     size);
}

static int try_unix(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", at());
	return connect_to(&address, sizeof(address));
}

/* Of the host's network: a name without a file. */
static int try_abstract(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
		 "lodge-intruder-%d", (int)other());
	return connect_to(&address,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				      1 + strlen(address.sun_path + 1)));
}

static int try_exec(void)
{
	char *const words[] = { (char *)"true", NULL };

	return execve("/bin/true", words, NULL);
}

static int try_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 ? -1 : 0;
}

static int try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, other(), NULL, NULL) < 0 ? -1 : 0;
}

static int try_read_other(void)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)0x400000, 1 };

	return process_vm_readv(other(), &here, 1, &there, 1, 0) < 0 ? -1 : 0;
}

static int try_kill(void)
{
	return kill(other(), 0);
}

static int try_thread_kill(void)
{
	return (int)syscall(SYS_tgkill, other(), other(), 0);
}

/* By a descriptor that has something to tell. */
static int try_owner(void)
{
	return fcntl(0, F_SETOWN, other()) && fcntl(0, F_SETSIG, SIGKILL) ?
		       -1 : 0;
}

static int try_limits(void)
{
	const struct rlimit limit = { 1024, 1024 };

	return prlimit(other(), RLIMIT_NOFILE, &limit, NULL);
}

static int try_mount(void)
{
	return mount("none", "/", "tmpfs", 0, NULL);
}

static int try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static int try_setns(void)
{
	return setns(0, CLONE_NEWNS);
}

static int try_chroot(void)
{
	return chroot("/");
}

static int try_root(void)
{
	return setuid(0);
}

static int try_bpf(void)
{
	union bpf_attr attr = { 0 };

	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) < 0 ?
		       -1 : 0;
}

static int try_perf(void)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };

	return syscall(SYS_perf_event_open, &attr, other(), -1, -1, 0) < 0 ?
		       -1 : 0;
}

static int try_keys(void)
{
	return syscall(SYS_keyctl, 0, -1, 0) < 0 ? -1 : 0;
}

static int try_faults(void)
{
	return syscall(SYS_userfaultfd, 0) < 0 ? -1 : 0;
}

static int try_type(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static int try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -1 : 0;
}

static int try_code_later(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int try_code_file(void)
{
	int fd = memfd_create("code", 0);
	void *page;

	if (fd < 0 || ftruncate(fd, 4096))
		return -1;
	page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return page == MAP_FAILED ? -1 : 0;
}

static int try_help(void)
{
	errno = -jail_help("mend", "lab");
	return errno ? -1 : 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} tries[] = {
	{ "read", try_read },
	{ "write", try_write },
	{ "climb", try_climb },
	{ "unlink", try_unlink },
	{ "rename", try_rename },
	{ "stat", try_stat },
	{ "list", try_list },
	{ "mode", try_mode },
	{ "symlink", try_symlink },
	{ "environment", try_environment },
	{ "memory", try_memory },
	{ "ring", try_ring },
	{ "internet", try_internet },
	{ "packet", try_packet },
	{ "netlink", try_netlink },
	{ "unix", try_unix },
	{ "abstract", try_abstract },
	{ "exec", try_exec },
	{ "fork", try_fork },
	{ "ptrace", try_ptrace },
	{ "read-other", try_read_other },
	{ "kill", try_kill },
	{ "thread-kill", try_thread_kill },
	{ "owner", try_owner },
	{ "limits", try_limits },
	{ "mount", try_mount },
	{ "unshare", try_unshare },
	{ "setns", try_setns },
	{ "chroot", try_chroot },
	{ "root", try_root },
	{ "bpf", try_bpf },
	{ "perf", try_perf },
	{ "keys", try_keys },
	{ "faults", try_faults },
	{ "type", try_type },
	{ "code", try_code },
	{ "code-later", try_code_later },
	{ "code-file", try_code_file },
	{ "help", try_help },
};

#define TRIES (sizeof(tries) / sizeof(tries[0]))

/* --- who tries ---------------------------------------------------------------------- */

/* "all" tries, one after the other, or one. */
static void try_it(void *ctx)
{
	const char *wanted = ctx;

	for (size_t i = 0; i < TRIES; i++) {
		int rc, err;

		if (strcmp(wanted, tries[i].name))
			continue;
		errno = 0;
		rc = tries[i].run();
		err = errno;
		dprintf(2, "intruder: %s %d\n", rc ? "refused" : "done", err);
	}
	_exit(7);
}

static void wait_for_sandbox(void *ctx)
{
	static struct thread thread;
	const struct timespec pause = { .tv_nsec = 1000000 };
	char role[16] = "";
	const char *wanted = getenv("INTRUDER");
	const char *colon = wanted ? strchr(wanted, ':') : NULL;

	while (!jail_entered())
		nanosleep(&pause, NULL);
	if (!colon)
		_exit(9);
	if (!strncmp(wanted, "broker:", 7))
		_exit(open("/etc/hostname", O_RDONLY));
	snprintf(role, sizeof(role), "%.*s", (int)(colon - wanted), wanted);
	if (thread_start(&thread, role, try_it, (char *)colon + 1))
		_exit(8);
}

/* The broker tries, in a process that it makes, and ends: the call fails. */
void __wrap_calls_make(const struct calls *calls,
		       const struct seccomp_notif *note)
{
	const char *wanted = getenv("INTRUDER");
	const char *told = getenv("INTRUDER_TELL");
	int status = 0, fd;
	pid_t child;

	if (!told || !wanted || strncmp(wanted, "broker:", 7)) {
		__real_calls_make(calls, note);
		return;
	}
	fd = open(told, O_WRONLY | O_CREAT | O_APPEND, 0600);
	child = fork();
	if (!child) {
		dup2(fd, 2);
		try_it((char *)wanted + 7);
	}
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		dprintf(fd, "signal %d\n", WTERMSIG(status));
	_exit(0);
}

int __wrap_thread_starter_begin(void)
{
	static struct thread thread;

	if (getenv("INTRUDER"))
		thread_start(&thread, "waiter", wait_for_sandbox, NULL);
	return __real_thread_starter_begin();
}

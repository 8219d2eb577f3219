/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a machine's process, as a table: who makes each, and
 * under which condition. docs/security.md says what each is for, and
 * tests/system/test_sandbox.py that none is without a reason there. A comment
 * behind a row says why it is there although no test was seen to make that call
 * in each of its roles (scripts/check_calls.py).
 *
 * What is not in the table fails with ENOSYS, as in a kernel that has not got
 * it: libraries try what is new and have another way. What nobody but an
 * intruder would try ends the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/jail.h"

#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define LOW_HALF(n)                                                       \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS,                                \
		 offsetof(struct seccomp_data, args) + 8 * (n))
#define HIGH_HALF(n)                                                      \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS,                                \
		 offsetof(struct seccomp_data, args) + 8 * (n) + 4)
#define IF_EQUAL(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), yes, no)
#define IF_SET(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (k), yes, no)

#define X32	    0x40000000u
#define EMPTY_PATH  0x1000u /* AT_EMPTY_PATH alone */
#define PROT_X	    4u
#define KVM_IOCTL   0xaeu
#define SET_VMA	    0x53564d41u /* glibc names memory */
#define NEW_SPACES						      \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* Who: bits of enum jail_role; those of the loop are everybody's before a
 * thread has its own filter. */
#define CPU  (1u << JAIL_CPU)
#define DEV  (1u << JAIL_DEVICES)
#define DISK (1u << JAIL_DISK)
#define NET  (1u << JAIL_NET)
#define ALL  (CPU | DEV | DISK | NET)

enum how {
	ALLOW,
	TELL,	 /* the broker does it */
	KILL,	 /* ends the process */
	NO_EXEC, /* EACCES when it makes memory executable */
	TELL_EXEC, /* then the broker looks at the file */
	THREADS, /* clone(2) of a thread */
	SELF,	 /* the process is this one */
	NAMES,	 /* prctl(2): names of threads and memory */
	NO_OWNER, /* fcntl(2) but of who gets a descriptor's signals */
	LIMITS,	 /* prlimit64(2): to read its own */
	CONTROL, /* the broker takes connections of the control socket */
	STAT_AT, /* newfstatat(2) of a descriptor; else the broker */
	STATX,	 /* the same */
	SOCKET,	 /* of Unix, which has nobody to connect to; else the broker */
	IOCTL,
};

static const struct call {
	uint16_t number;
	uint8_t how;
	uint8_t who;
} calls[] = {
	/* Waiting and waking; the ones that count, first. */
	{ SYS_ioctl, IOCTL, ALL }, /* a disk or card, by who asks it */
	{ SYS_futex, ALLOW, ALL },
	{ SYS_futex_waitv, ALLOW, CPU }, /* a halted processor waits for frames */
	{ SYS_read, ALLOW, ALL }, /* a disk or card, by who asks it */
	{ SYS_write, ALLOW, ALL },
	{ SYS_epoll_wait, ALLOW, CPU | NET }, /* frames of a tap or socket */
	{ SYS_epoll_ctl, ALLOW, DEV | CPU },
	{ SYS_epoll_create1, ALLOW, 0 }, /* a stream socket's peer, librados */
	{ SYS_poll, ALLOW, ALL }, /* a disk or card, by who asks it */
	{ SYS_eventfd2, ALLOW, ALL }, /* a disk or card, by who asks it */
	{ SYS_pipe2, ALLOW, 0 }, /* a folder is attached */
	{ SYS_timerfd_create, ALLOW, 0 }, /* a console that blocks, late */
	{ SYS_timerfd_settime, ALLOW, ALL }, /* vsock, disks of servers, networks */
	{ SYS_timer_create, ALLOW, CPU },
	{ SYS_timer_settime, ALLOW, CPU },
	{ SYS_timer_delete, ALLOW, CPU },
	{ SYS_clock_gettime, ALLOW, ALL }, /* no clock in the vDSO */
	{ SYS_gettimeofday, ALLOW, ALL }, /* the same */
	{ SYS_time, ALLOW, ALL }, /* the same */
	{ SYS_clock_nanosleep, ALLOW, ALL }, /* short waits */
	{ SYS_sched_yield, ALLOW, ALL }, /* short waits */
	{ SYS_sched_getaffinity, ALLOW, ALL }, /* short waits */

	/* Threads, signals to oneself, the end. */
	{ SYS_clone, THREADS, 0 },
	{ SYS_set_robust_list, ALLOW, 0 },
	{ SYS_rseq, ALLOW, 0 },
	{ SYS_arch_prctl, ALLOW, CPU },
	{ SYS_seccomp, ALLOW, 0 },
	{ SYS_prctl, NAMES, 0 },
	{ SYS_rt_sigaction, ALLOW, CPU },
	{ SYS_rt_sigprocmask, ALLOW, ALL },
	{ SYS_rt_sigreturn, ALLOW, ALL }, /* the sandbox's signal */
	{ SYS_sigaltstack, ALLOW, CPU },
	{ SYS_restart_syscall, ALLOW, ALL }, /* the kernel's own */
	{ SYS_tgkill, SELF, ALL }, /* abort(3) */
	{ SYS_setsid, ALLOW, 0 }, /* a terminal is left */
	{ SYS_getpid, ALLOW, ALL }, /* abort(3) */
	{ SYS_gettid, ALLOW, ALL }, /* abort(3) */
	{ SYS_getpgrp, ALLOW, 0 }, /* whose the terminal is */
	{ SYS_getuid, ALLOW, 0 }, /* librados */
	{ SYS_geteuid, ALLOW, 0 }, /* librados */
	{ SYS_getgid, ALLOW, 0 }, /* librados */
	{ SYS_getegid, ALLOW, 0 }, /* librados */
	{ SYS_uname, ALLOW, 0 }, /* librados */
	{ SYS_sysinfo, ALLOW, 0 }, /* qsort(3), librados */
	{ SYS_prlimit64, LIMITS, 0 }, /* librados */
	{ SYS_wait4, ALLOW, 0 },
	{ SYS_exit, ALLOW, ALL },
	{ SYS_exit_group, ALLOW, ALL }, /* abort(3) */
	{ SYS_getrandom, ALLOW, ALL }, /* malloc(3) */

	/* Memory. */
	{ SYS_mmap, TELL_EXEC, ALL },
	{ SYS_mprotect, NO_EXEC, ALL },
	{ SYS_munmap, ALLOW, ALL }, /* malloc(3) */
	{ SYS_mremap, ALLOW, ALL }, /* malloc(3) */
	{ SYS_madvise, ALLOW, ALL },
	{ SYS_brk, ALLOW, ALL }, /* malloc(3) */
	{ SYS_memfd_create, ALLOW, 0 },

	/* Descriptors, whatever they are of. */
	{ SYS_readv, ALLOW, ALL }, /* a disk or card, by who asks it */
	{ SYS_writev, ALLOW, ALL }, /* a disk or card, by who asks it */
	{ SYS_pread64, ALLOW, CPU | DEV | DISK }, /* a disk or card, by who asks it */
	{ SYS_pwrite64, ALLOW, CPU | DEV | DISK }, /* libcryptsetup */
	{ SYS_preadv, ALLOW, CPU | DEV | DISK },
	{ SYS_pwritev, ALLOW, CPU | DEV | DISK },
	{ SYS_preadv2, ALLOW, CPU | DEV | DISK },
	{ SYS_lseek, ALLOW, ALL }, /* an image, dprintf(3) */
	{ SYS_close, ALLOW, ALL }, /* vsock, disks of servers, networks */
	{ SYS_dup2, ALLOW, 0 }, /* a terminal is left */
	{ SYS_dup3, ALLOW, DISK }, /* vsock, disks of servers, networks */
	{ SYS_fcntl, NO_OWNER, ALL }, /* a disk or card, by who asks it */
	{ SYS_flock, ALLOW, DISK | NET }, /* images, networks that are found again */
	{ SYS_fstat, ALLOW, ALL }, /* C library before 2.33 */
	{ SYS_newfstatat, STAT_AT, ALL }, /* a disk or card, by who asks it */
	{ SYS_statx, STATX, ALL }, /* what an image needs for O_DIRECT */
	{ SYS_fstatfs, ALLOW, DISK }, /* what an image lies on */
	{ SYS_getdents64, ALLOW, 0 }, /* networks, librados */
	{ SYS_ftruncate, ALLOW, CPU | DEV | DISK }, /* a disk or card, by who asks it */
	{ SYS_fallocate, ALLOW, CPU | DEV | DISK }, /* a disk or card, by who asks it */
	{ SYS_fsync, ALLOW, DISK }, /* what a job leaves */
	{ SYS_fdatasync, ALLOW, CPU | DEV | DISK }, /* a disk or card, by who asks it */
	{ SYS_io_uring_setup, ALLOW, DISK },
	{ SYS_io_uring_enter, ALLOW, DISK },
	{ SYS_io_uring_register, ALLOW, DISK },

	/* Sockets that are there, and pairs. */
	{ SYS_recvmsg, ALLOW, DEV | DISK | NET }, /* vsock, disks of servers, networks */
	{ SYS_recvfrom, ALLOW, DEV | DISK | NET }, /* vsock, disks of servers, networks */
	{ SYS_recvmmsg, ALLOW, NET }, /* datagrams for a guest, many at a time */
	{ SYS_sendmsg, ALLOW, ALL }, /* vsock, disks of servers, networks */
	{ SYS_sendto, ALLOW, ALL }, /* vsock, disks of servers, networks */
	{ SYS_sendmmsg, ALLOW, NET }, /* getaddrinfo(3) */
	{ SYS_shutdown, ALLOW, ALL }, /* vsock, disks of servers, networks */
	{ SYS_getsockopt, ALLOW, DISK | NET }, /* found again */
	{ SYS_setsockopt, ALLOW, DISK | NET }, /* the same */
	{ SYS_getsockname, ALLOW, DISK }, /* libslirp, libnbd */
	{ SYS_getpeername, ALLOW, DISK }, /* vsock, disks of servers, networks */
	{ SYS_listen, ALLOW, 0 }, /* a terminal is left */
	{ SYS_socketpair, ALLOW, 0 },
	{ SYS_accept, CONTROL, DEV }, /* vsock, disks of servers, networks */
	{ SYS_accept4, CONTROL, NET }, /* the same */

	/* Names of the host's: of files, of sockets. */
	{ SYS_socket, SOCKET, DEV | DISK | NET }, /* vsock, disks of servers, networks */
	{ SYS_connect, TELL, DEV | DISK | NET }, /* vsock, disks of servers, networks */
	{ SYS_bind, TELL, DISK }, /* the same */
	{ SYS_openat, TELL, DISK | NET }, /* images, networks that are found again */
	{ SYS_open, TELL, DISK | NET }, /* C library before 2.26 */
	{ SYS_stat, TELL, DISK }, /* C library before 2.33 */
	{ SYS_lstat, TELL, DISK }, /* the same */
	{ SYS_access, TELL, DISK }, /* images, networks that are found again */
	{ SYS_readlink, TELL, DISK }, /* images, networks that are found again */
	{ SYS_unlink, TELL, DISK }, /* images, networks that are found again */
	{ SYS_unlinkat, TELL, DISK }, /* images, networks that are found again */
	{ SYS_mkdir, TELL, 0 }, /* the folder of networks */
	{ SYS_rename, TELL, DISK }, /* images, networks that are found again */
	{ SYS_renameat, TELL, DISK }, /* lodged hears of disks */

	/* Other programs, other processes, the system. */
	{ SYS_execve, KILL, 0 },
	{ SYS_execveat, KILL, 0 },
	{ SYS_fork, KILL, 0 },
	{ SYS_vfork, KILL, 0 },
	{ SYS_ptrace, KILL, 0 },
	{ SYS_process_vm_readv, KILL, 0 },
	{ SYS_process_vm_writev, KILL, 0 },
	{ SYS_pidfd_getfd, KILL, 0 },
	{ SYS_kcmp, KILL, 0 },
	{ SYS_mount, KILL, 0 },
	{ SYS_umount2, KILL, 0 },
	{ SYS_pivot_root, KILL, 0 },
	{ SYS_chroot, KILL, 0 },
	{ SYS_fsopen, KILL, 0 },
	{ SYS_open_tree, KILL, 0 },
	{ SYS_move_mount, KILL, 0 },
	{ SYS_open_by_handle_at, KILL, 0 },
	{ SYS_setns, KILL, 0 },
	{ SYS_unshare, KILL, 0 },
	{ SYS_setuid, KILL, 0 },
	{ SYS_setgid, KILL, 0 },
	{ SYS_setresuid, KILL, 0 },
	{ SYS_setresgid, KILL, 0 },
	{ SYS_capset, KILL, 0 },
	{ SYS_bpf, KILL, 0 },
	{ SYS_perf_event_open, KILL, 0 },
	{ SYS_userfaultfd, KILL, 0 },
	{ SYS_add_key, KILL, 0 },
	{ SYS_request_key, KILL, 0 },
	{ SYS_keyctl, KILL, 0 },
	{ SYS_personality, KILL, 0 },
	{ SYS_modify_ldt, KILL, 0 },
	{ SYS_iopl, KILL, 0 },
	{ SYS_ioperm, KILL, 0 },
	{ SYS_init_module, KILL, 0 },
	{ SYS_finit_module, KILL, 0 },
	{ SYS_kexec_load, KILL, 0 },
	{ SYS_reboot, KILL, 0 },
	{ SYS_swapon, KILL, 0 },
	{ SYS_acct, KILL, 0 },
	{ SYS_quotactl, KILL, 0 },
};

/* Of terminals, descriptors, block devices, files, taps. Not TIOCSTI. */
static const uint32_t ioctls[] = {
	TCGETS, TCSETS, TCSETSW, TCSETSF, TCSBRK, TCFLSH, TIOCGWINSZ,
	TIOCSWINSZ, TIOCGPGRP, FIONREAD, FIONBIO, BLKGETSIZE64, BLKSSZGET,
	BLKPBSZGET, BLKDISCARD, BLKZEROOUT, BLKFLSBUF, BLKDISCARDZEROES,
	BLKROGET, TUNSETOFFLOAD, TUNSETVNETHDRSZ, TUNSETQUEUE, TUNGETIFF,
	TUNSETVNETLE, SIOCGIFHWADDR, SIOCGIFNAME, SIOCGIFFLAGS,
};

struct code {
	struct sock_filter *at;
	size_t length;
};

static void put(struct code *code, struct sock_filter insn)
{
	if (code->length < JAIL_CODE_MAX)
		code->at[code->length] = insn;
	code->length++;
}

#define PUT(...)                                                          \
	do {                                                              \
		const struct sock_filter insns[] = { __VA_ARGS__ };       \
		for (size_t n = 0; n < sizeof(insns) / sizeof(insns[0]);  \
		     n++)                                                 \
			put(code, insns[n]);                              \
	} while (0)

#define YES  RETURN(SECCOMP_RET_ALLOW)
#define NO   RETURN(SECCOMP_RET_ERRNO | EPERM)
#define ASK  RETURN(SECCOMP_RET_USER_NOTIF)

static void put_ioctl(struct code *code, const struct jail_config *config)
{
	PUT(LOW_HALF(1));
	if (config->kvm)
		PUT(BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 8),
		    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
		    IF_EQUAL(KVM_IOCTL, 0, 1), YES, LOW_HALF(1));
	for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]); i++)
		PUT(IF_EQUAL(ioctls[i], 0, 1), YES);
	PUT(RETURN(SECCOMP_RET_ERRNO | ENOTTY));
}

/* What is done with a call, and returns; A is its number before. */
static void put_body(struct code *code, const struct jail_config *config,
		     enum how how)
{
	switch (how) {
	case ALLOW:
		PUT(YES);
		break;
	case TELL:
		PUT(ASK);
		break;
	case KILL:
		PUT(RETURN(SECCOMP_RET_KILL_PROCESS));
		break;
	case NO_EXEC:
		PUT(LOW_HALF(2), IF_SET(PROT_X, 0, 1),
		    RETURN(SECCOMP_RET_ERRNO | EACCES), YES);
		break;
	case TELL_EXEC:
		PUT(LOW_HALF(2), IF_SET(PROT_X, 0, 1), ASK, YES);
		break;
	case THREADS:
		PUT(LOW_HALF(0), IF_SET(NEW_SPACES, 1, 0),
		    IF_SET(CLONE_THREAD, 1, 0), NO, YES);
		break;
	case SELF:
		PUT(LOW_HALF(0), IF_EQUAL((uint32_t)getpid(), 1, 0), NO, YES);
		break;
	case NAMES:
		PUT(LOW_HALF(0), IF_EQUAL(PR_SET_NAME, 3, 0),
		    IF_EQUAL(PR_GET_NAME, 2, 0), IF_EQUAL(SET_VMA, 1, 0),
		    RETURN(SECCOMP_RET_ERRNO | EINVAL), YES);
		break;
	case NO_OWNER:
		PUT(LOW_HALF(1), IF_EQUAL(F_SETOWN, 3, 0),
		    IF_EQUAL(F_SETSIG, 2, 0), IF_EQUAL(F_SETOWN_EX, 1, 0),
		    YES, NO);
		break;
	case LIMITS:
		PUT(LOW_HALF(0), IF_EQUAL(0, 0, 4), LOW_HALF(2),
		    IF_EQUAL(0, 0, 2), HIGH_HALF(2), IF_EQUAL(0, 1, 0), NO,
		    YES);
		break;
	case CONTROL:
		PUT(LOW_HALF(0),
		    IF_EQUAL((uint32_t)config->control, 0, 1), ASK, YES);
		break;
	case STAT_AT:
		PUT(LOW_HALF(3), IF_EQUAL(EMPTY_PATH, 1, 0), ASK, YES);
		break;
	case STATX:
		PUT(LOW_HALF(2), IF_EQUAL(EMPTY_PATH, 1, 0), ASK, YES);
		break;
	case SOCKET:
		PUT(LOW_HALF(0), IF_EQUAL(AF_UNIX, 1, 0), ASK, YES);
		break;
	case IOCTL:
		put_ioctl(code, config);
		break;
	}
}

/* A call of the table: its body is skipped unless that is it. */
static void put_call(struct code *code, const struct jail_config *config,
		     const struct call *call, bool whole)
{
	const size_t test = code->length;

	PUT(IF_EQUAL(call->number, 0, 0));
	/* Conditions are the whole process's. */
	put_body(code, config, whole ? (enum how)call->how : ALLOW);
	if (test < JAIL_CODE_MAX)
		code->at[test].jf = (uint8_t)(code->length - test - 1);
}

size_t jail_filter(struct sock_filter at[JAIL_CODE_MAX],
		      const struct jail_config *config,
		      enum jail_role role)
{
	const bool whole = role == JAIL_LOOP;
	struct code made = { .at = at }, *code = &made;

	PUT(BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, arch)),
	    IF_EQUAL(AUDIT_ARCH_X86_64, 1, 0),
	    RETURN(SECCOMP_RET_KILL_PROCESS),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		     offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1),
	    RETURN(SECCOMP_RET_KILL_PROCESS));
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (whole || calls[i].who >> role & 1)
			put_call(code, config, &calls[i], whole);
	PUT(RETURN(SECCOMP_RET_ERRNO | ENOSYS));
	return made.length;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a server makes, and no others (seccomp(2)): files by
 * their descriptors, memory, threads, clocks. An unknown one fails with ENOSYS,
 * as in a kernel that has not got it.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "share/server/sandbox.h"

static const uint16_t calls[] = {
	/* The ones that count, first. */
	SYS_futex, SYS_statx, SYS_pread64, SYS_pwrite64, SYS_openat, SYS_close,
	SYS_openat2, SYS_newfstatat, SYS_fstat, SYS_getdents64, SYS_lseek,
	SYS_clock_gettime, SYS_sched_getaffinity, SYS_read, SYS_write,
	/* Files. */
	SYS_dup, SYS_ftruncate, SYS_fallocate, SYS_fsync, SYS_fdatasync,
	SYS_syncfs, SYS_copy_file_range, SYS_fstatfs, SYS_readlinkat,
	SYS_faccessat, SYS_faccessat2, SYS_fchmodat, SYS_fchownat, SYS_fchown,
	SYS_utimensat, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat,
	SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_setxattr, SYS_getxattr,
	SYS_listxattr, SYS_removexattr,
	/* Memory, threads, the end. */
	SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk,
	SYS_clone, SYS_clone3, SYS_set_robust_list, SYS_rseq, SYS_prctl,
	SYS_sched_yield, SYS_rt_sigprocmask, SYS_rt_sigaction,
	SYS_rt_sigreturn, SYS_restart_syscall, SYS_clock_nanosleep,
	SYS_gettid, SYS_getpid, SYS_getppid, SYS_exit, SYS_exit_group,
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))
#define HEAD  4u

/* A comparison each, with a jump to the last instruction. */
int sandbox_limit_calls(void)
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's sandbox: no new privileges; of root's only those over files;
 * by Landlock (landlock(7)) no file but those of the folder, no network, no
 * signals to others; of the kernel's calls those that it makes.
 */
#include "share/server/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/confine.h"

#define DESCRIPTORS_MAX 65536u
#define DESCRIPTORS_OWN 32u /* for what is not the guest's */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Nothing is executed from here, no device made or asked. */
#define FS_WRITE                                                          \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                        \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |      \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |    \
	 LANDLOCK_ACCESS_FS_MAKE_SYM | CONFINE_FS_REFER | CONFINE_FS_TRUNCATE)

unsigned int sandbox_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return DESCRIPTORS_OWN;
	limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max :
							    DESCRIPTORS_MAX;
	setrlimit(RLIMIT_NOFILE, &limit);
	return (unsigned int)limit.rlim_cur > 2 * DESCRIPTORS_OWN ?
		       (unsigned int)limit.rlim_cur - DESCRIPTORS_OWN :
		       DESCRIPTORS_OWN;
}

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

/*
 * Kernels without Landlock go without. Its first version cannot let files be
 * moved between folders.
 */
static int limit_files(int fd, bool readonly)
{
	int rules, rc;

	if (confine_landlock() < (readonly ? 1 : 2))
		return 0;
	rules = confine_rules(true, CONFINE_ABSTRACT | CONFINE_SIGNALS);
	if (rules < 0)
		return rules;
	rc = confine_except(rules, fd, readonly ? FS_READ : FS_WRITE);
	if (!rc)
		rc = confine_files(rules);
	close(rules);
	return rc;
}

int sandbox_enter(int fd, bool readonly)
{
	const struct rlimit none = { 0 };
	int rc;

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* Root keeps what its files ask for; it makes no devices and mounts
	 * nothing. */
	rc = confine_privileges(1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
				1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER);
	if (!rc)
		rc = limit_files(fd, readonly);
	return rc ? rc
		  : confine_calls(calls, sizeof(calls) / sizeof(calls[0]));
}

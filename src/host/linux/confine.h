/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that does one thing gives up for good: files (landlock(7)),
 * privileges (capabilities(7)), system calls (seccomp(2)). Each counts for the
 * calling thread and those that it starts.
 */
#ifndef LODGE_HOST_LINUX_CONFINE_H
#define LODGE_HOST_LINUX_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rights over files of later kernels than the header's, by Landlock's version. */
#define CONFINE_FS_REFER     (1ull << 13) /* 2 */
#define CONFINE_FS_TRUNCATE  (1ull << 14) /* 3 */
#define CONFINE_FS_IOCTL_DEV (1ull << 15) /* 5 */

/* What no file is needed for. */
#define CONFINE_ABSTRACT (1ull << 0) /* sockets with no file, of others */
#define CONFINE_SIGNALS	 (1ull << 1) /* to others */

/* Landlock's version here; 0: the kernel has none. */
int confine_landlock(void);

/*
 * A set of rules that forbid all that can be done to files, TCP when `tcp`,
 * and what `scoped` says (CONFINE_ABSTRACT, CONFINE_SIGNALS), as far as the
 * kernel's version knows of it. The caller's descriptor, or a negative errno:
 * -ENOSYS without Landlock.
 */
int confine_rules(bool tcp, uint64_t scoped);

/*
 * An exception of `rules`: these rights below the folder, or of the file, `fd`.
 * Rights that this kernel's Landlock does not know are left out. 0 or a
 * negative errno.
 */
int confine_except(int rules, int fd, uint64_t rights);

/* From now on the rules hold. 0 or a negative errno. */
int confine_files(int rules);

/* Root keeps these capabilities of the first 32, others none. 0 or a negative errno. */
int confine_privileges(uint32_t kept);

#define CONFINE_CALLS_MAX 250u

/*
 * Allows these system calls, the frequent ones best first; others fail with
 * ENOSYS, as in a kernel that has not got them. 0 or a negative errno: -E2BIG
 * for more than CONFINE_CALLS_MAX.
 */
int confine_calls(const uint16_t *calls, size_t count);

#endif

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

#define DESCRIPTORS_MAX 65536u
#define DESCRIPTORS_OWN 32u /* for what is not the guest's */

/* Of later kernels than the header's. */
#define FS_REFER      (1ull << 13) /* version 2 */
#define FS_TRUNCATE   (1ull << 14) /* 3 */
#define FS_IOCTL_DEV  (1ull << 15) /* 5 */
#define NET_TCP	      3ull	   /* 4: bind, connect */
#define SCOPED	      3ull	   /* 6: abstract sockets, signals */
#define FS_VERSION_1  ((1ull << 13) - 1)

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_NEVER                                                          \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |      \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | FS_IOCTL_DEV)

struct ruleset {
	uint64_t fs, net, scoped;
};

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

/* Root keeps what its files ask for; it makes no devices and mounts nothing. */
static int drop_capabilities(void)
{
	const uint32_t kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
			      1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER;
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };

	if (!geteuid())
		data[0].effective = data[0].permitted = kept;
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/*
 * Kernels without Landlock go without. Its first version cannot let files be
 * moved between folders.
 */
static int confine(int fd, bool readonly)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset rules = { .fs = FS_VERSION_1 };
	struct landlock_path_beneath_attr beneath = { .parent_fd = fd };
	size_t size = sizeof(rules.fs);
	int set, rc = 0;

	if (version < (readonly ? 1 : 2))
		return 0;
	rules.fs |= version >= 2 ? FS_REFER : 0;
	rules.fs |= version >= 3 ? FS_TRUNCATE : 0;
	rules.fs |= version >= 5 ? FS_IOCTL_DEV : 0;
	rules.net = version >= 4 ? NET_TCP : 0;
	rules.scoped = version >= 6 ? SCOPED : 0;
	if (version >= 4)
		size = sizeof(rules.fs) + sizeof(rules.net);
	if (version >= 6)
		size = sizeof(rules);
	set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (set < 0)
		return -errno;
	beneath.allowed_access = readonly ? FS_READ : rules.fs & ~FS_NEVER;
	if (syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH,
		    &beneath, 0) ||
	    syscall(SYS_landlock_restrict_self, set, 0))
		rc = -errno;
	close(set);
	return rc;
}

int sandbox_enter(int fd, bool readonly)
{
	const struct rlimit none = { 0 };
	int rc;

	setrlimit(RLIMIT_CORE, &none);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	rc = drop_capabilities();
	if (!rc)
		rc = confine(fd, readonly);
	return rc ? rc : sandbox_limit_calls();
}

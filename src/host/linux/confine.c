/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_VERSION_1 ((1ull << 13) - 1)
#define NET_TCP	     3ull /* bind, connect */

/* --- files ---------------------------------------------------------------------- */

int confine_landlock(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

/* The rights over files that a version knows. */
static uint64_t fs_rights(int version)
{
	return FS_VERSION_1 | (version >= 2 ? CONFINE_FS_REFER : 0) |
	       (version >= 3 ? CONFINE_FS_TRUNCATE : 0) |
	       (version >= 5 ? CONFINE_FS_IOCTL_DEV : 0);
}

int confine_rules(bool tcp, uint64_t scoped)
{
	const int version = confine_landlock();
	const struct {
		uint64_t fs, net, scoped;
	} rules = {
		.fs = fs_rights(version),
		.net = tcp ? NET_TCP : 0,
		.scoped = scoped,
	};
	/* The struct grew with versions 4 and 6. */
	const size_t size = version >= 6   ? sizeof(rules)
			    : version >= 4 ? 2 * sizeof(rules.fs)
					   : sizeof(rules.fs);
	int fd;

	if (!version)
		return -ENOSYS;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	return fd < 0 ? -errno : fd;
}

int confine_except(int rules, int fd, uint64_t rights)
{
	const struct landlock_path_beneath_attr beneath = {
		.allowed_access = rights & fs_rights(confine_landlock()),
		.parent_fd = fd,
	};

	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH,
		       &beneath, 0) ? -errno : 0;
}

int confine_files(int rules)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) ? -errno : 0;
}

/* --- privileges ----------------------------------------------------------------- */

int confine_privileges(uint32_t kept)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };

	if (!geteuid())
		data[0].effective = data[0].permitted = kept;
	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

/* --- system calls --------------------------------------------------------------- */

#define HEAD 4u

/* A comparison each, with a jump to the last instruction. */
int confine_calls(const uint16_t *calls, size_t count)
{
	struct sock_filter code[HEAD + CONFINE_CALLS_MAX + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};
	const struct sock_fprog program = {
		.len = (unsigned short)(HEAD + count + 2),
		.filter = code,
	};

	if (count > CONFINE_CALLS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < count; i++)
		code[HEAD + i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, calls[i],
			(uint8_t)(count - i), 0);
	code[HEAD + count] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	code[HEAD + count + 1] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ?
		       -errno : 0;
}

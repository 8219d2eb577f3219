/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, as the files of /etc have them: a static program knows no other
 * source of names.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/guest.h"

static const struct passwd *look_up(const char *name)
{
	const struct passwd *entry = getpwnam(name);
	char *end;
	unsigned long uid;

	if (entry)
		return entry;
	uid = strtoul(name, &end, 10);
	return *name && !*end ? getpwuid((uid_t)uid) : NULL;
}

bool user_find(struct user *user, const char *name)
{
	const struct passwd *entry = name ? look_up(name) : getpwuid(0);

	*user = (struct user){ .name = "root", .home = "/",
			       .shell = "/bin/sh" };
	if (!entry)
		return !name;
	user->uid = entry->pw_uid;
	user->gid = entry->pw_gid;
	snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
	snprintf(user->home, sizeof(user->home), "%s", entry->pw_dir);
	if (entry->pw_shell[0])
		snprintf(user->shell, sizeof(user->shell), "%s",
			 entry->pw_shell);
	user->groups = GROUPS_MAX;
	if (getgrouplist(entry->pw_name, entry->pw_gid, user->group,
			 &user->groups) < 0)
		user->groups = GROUPS_MAX;
	return true;
}

int user_become(const struct user *user)
{
	/* Whoever started us alone, as in a test, is that already. */
	if (geteuid() && geteuid() == user->uid)
		return 0;
	return setgroups((size_t)user->groups, user->group) ||
	       setgid(user->gid) || setuid(user->uid) ? -1 : 0;
}

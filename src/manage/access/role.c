/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/access/role.h"

#include <string.h>

static const char *const names[ROLES] = {
	[ROLE_NONE] = "none",
	[ROLE_VIEWER] = "viewer",
	[ROLE_OPERATOR] = "operator",
	[ROLE_ADMIN] = "admin",
};

const char *role_name(enum role role)
{
	return names[role];
}

enum role role_find(const char *name)
{
	enum role role = ROLE_NONE;

	while (role < ROLES && strcmp(names[role], name))
		role++;
	return role;
}

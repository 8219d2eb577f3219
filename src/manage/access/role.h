/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody may do. A role admits all that the one before it does:
 * a viewer looks, an operator starts and stops machines and uses their
 * consoles, an admin makes and changes them (so he reaches any file of
 * lodged's user, by making it a disk) and gives tokens.
 */
#ifndef LODGE_MANAGE_ACCESS_ROLE_H
#define LODGE_MANAGE_ACCESS_ROLE_H

enum role {
	ROLE_NONE, /* known, no more */
	ROLE_VIEWER,
	ROLE_OPERATOR,
	ROLE_ADMIN,
	ROLES,
};

const char *role_name(enum role role);

/* ROLES for a word that names none. */
enum role role_find(const char *name);

#endif

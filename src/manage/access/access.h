/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks, what he may do, and how often. At the Unix socket lodged's user
 * and root are admins; everybody else has a token, or a client's certificate
 * that was given a role.
 */
#ifndef LODGE_MANAGE_ACCESS_ACCESS_H
#define LODGE_MANAGE_ACCESS_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "manage/access/audit.h"
#include "manage/access/token.h"
#include "manage/client.h"

#define ACCESS_RATE	   100 /* requests a second of a client from elsewhere */
#define ACCESS_WHO_MAX	   80
#define ACCESS_ADDRESS_MAX 64

/* What the transport knows of a client. */
struct peer {
	bool local; /* at the Unix socket, then: */
	uid_t uid;
	char address[ACCESS_ADDRESS_MAX];     /* else */
	char certificate[TOKEN_NAME_MAX + 1]; /* common name; "" */
};

struct caller {
	char who[ACCESS_WHO_MAX]; /* "token ci"; "": nobody */
	enum role role;		  /* on everything */
	int64_t token;		  /* its id, for what it may besides; 0: none */
};

struct access {
	struct tokens tokens;
	struct audit *audit;
	struct clients clients;
	unsigned int rate; /* ACCESS_RATE; 0: no limit */
};

/* 0, or -1 with `problem`. */
int access_open(struct access *access, struct registry *registry,
		struct problem *problem);
void access_close(struct access *access);

/*
 * Finds out who asks; `bearer` is the token's text, "": none. -1 with
 * `problem` (401, 429), and *seconds to wait for the latter.
 */
int access_find(struct access *access, const struct peer *peer,
		const char *bearer, struct caller *caller,
		unsigned int *seconds, struct problem *problem);

/* What he may do with the machine of that id; NULL: with everything. */
enum role access_role(const struct access *access,
		      const struct caller *caller, const char *vm);

/* "unix" or the address. */
const char *access_place(const struct peer *peer);

#endif

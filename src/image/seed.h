/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine's first boot is told: a volume "cidata" as cloud-init's
 * data source NoCloud wants it, with the files meta-data, user-data and, when
 * the user gives user-data, vendor-data. When not, it is marked as one that has
 * nothing but an account, which the file "account" tells in lines of a word and
 * its value: our own images read that (guests/debian/files/usr/lib/lodge).
 *
 * The guest's agent may lie on it, for images that have none: vendor-data then
 * has a script too, which cloud-init runs (guests/seed/agent.sh). That of a
 * clone says which machine it is, and what it has of the one that it was made
 * of is made anew (guests/seed/clone.sh).
 */
#ifndef LODGE_IMAGE_SEED_H
#define LODGE_IMAGE_SEED_H

#include <stddef.h>

#include "disk/error.h"

#define SEED_KEYS_MAX 64
#define SEED_FILE_MAX ((size_t)1 << 20)

struct seed {
	const char *instance; /* another one has the first boot done again */
	const char *host;     /* name */
	const char *user;     /* an account to make; NULL: the system's own */
	const char *password; /* of that account; NULL: none */
	const char *key[SEED_KEYS_MAX]; /* ssh public keys, a line each */
	unsigned int keys;
	const char *user_data; /* the user's own text; NULL: none */
	size_t user_data_size;
	const void *agent; /* the program; NULL: not on it */
	size_t agent_size;
	const char *agent_hook; /* the script that makes it a service */
	const char *identity;	/* of a clone; NULL: it is none */
	const char *clone_hook; /* the script for that; NULL: none */
};

/* The volume as an ISO 9660 image: to be freed; NULL: no memory. */
void *seed_make(const struct seed *seed, size_t *size);

/*
 * Adds the keys in a public key file. 0, or -1 with `error`: it cannot be
 * read, has a private key or none at all. They are to be freed.
 */
int seed_read_keys(struct seed *seed, const char *path,
		   struct disk_error *error);
void seed_free_keys(struct seed *seed);

/* The whole of a text file, to be freed; NULL with `error`. */
char *seed_read_file(const char *path, size_t *size, struct disk_error *error);

/* The same for a user's user-data, which is text, or that packed by gzip. */
char *seed_read_user_data(const char *path, size_t *size,
			  struct disk_error *error);

/* A password that is easy to type. 0, -1. */
#define SEED_PASSWORD 13 /* with its null byte */
int seed_make_password(char password[SEED_PASSWORD]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a guest one that ssh(1) logs in to: a key pair of lodge's own,
 * which the guest's account is told, and the guest's host keys. Both go by the
 * agent, whose channel nobody else is on, so there is nothing to ask anyone.
 */
#ifndef LODGE_CLI_GUEST_SSH_GUEST_H
#define LODGE_CLI_GUEST_SSH_GUEST_H

#include <limits.h>
#include <stdbool.h>

#define SSH_USER_MAX 64

struct ssh_guest {
	const char *command; /* for messages */
	const char *machine;
	const char *user;	 /* of the guest */
	unsigned int timeout; /* seconds for all of it to start */
	/* After ssh_guest_open(). */
	char key[PATH_MAX];	  /* the private key's file */
	char known_hosts[PATH_MAX];
	/* After ssh_guest_prepare(): whether its host keys are known. */
	bool known;
};

/* Letters, digits, - _ . and no - first: nothing that a shell would take. */
bool ssh_user_valid(const char *user);

/* The key pair, and the name of the guest's known hosts. -1: cli_error(). */
int ssh_guest_open(struct ssh_guest *guest);

/*
 * Waits for the guest's ssh server and the account, gives the account the key
 * and writes the known hosts. -1 after cli_error().
 */
int ssh_guest_prepare(struct ssh_guest *guest);

#endif

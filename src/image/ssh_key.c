/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair is there when its private half is: that one is named last, and
 * whoever makes it has the store to itself.
 */
#include "image/ssh_key.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/linux/data.h"

#define NOT_FOUND 127

/* Its exit status; NOT_FOUND: there is no such program; -1. */
static int run_keygen(const char *file)
{
	char *const words[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "",
				"-C", "lodge", "-f", (char *)file, NULL };
	int status, err;
	pid_t pid;

	err = posix_spawnp(&pid, words[0], NULL, NULL, words, environ);
	if (err)
		return err == ENOENT ? NOT_FOUND : -1;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* With the store locked. `key` was checked to leave room for the endings. */
static int make_key(const char *key, struct disk_error *error)
{
	char draft[PATH_MAX + 8], public[PATH_MAX + 16], final[PATH_MAX + 8];
	int status;

	snprintf(draft, sizeof(draft), "%s.new", key);
	snprintf(public, sizeof(public), "%s.pub", draft);
	snprintf(final, sizeof(final), "%s.pub", key);
	unlink(draft);
	unlink(public);
	status = run_keygen(draft);
	if (!status && !rename(public, final) && !rename(draft, key))
		return 0;
	unlink(draft);
	unlink(public);
	disk_error_set(error, -EIO, status == NOT_FOUND ?
		       "there is no ssh client here; install one, such as "
		       "Debian's package openssh-client" :
		       "ssh-keygen cannot make %s", key);
	return -1;
}

int ssh_key_find(struct store *store, char key[PATH_MAX],
		 struct disk_error *error)
{
	char folder[DATA_PATH_MAX + 8];
	int rc;

	snprintf(folder, sizeof(folder), "%s/ssh", store->path);
	rc = data_make(folder);
	if (rc) {
		disk_error_set(error, rc, "%s: %s", folder, strerror(-rc));
		return -1;
	}
	snprintf(key, PATH_MAX, "%s/id_ed25519", folder);
	store_lock(store);
	if (access(key, F_OK))
		rc = make_key(key, error);
	store_unlock(store);
	return rc;
}

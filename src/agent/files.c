/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files to and from the host, as the user that the request names.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/guest.h"
#include "agent/tree.h"

/* Paths begin at the user's home. False, and the host was told. */
static bool become_user(struct session *session)
{
	struct user user;

	if (!user_find(&user, session->user)) {
		frame_send_failure(session->fd, EINVAL, "no user %s",
				   session->user);
		return false;
	}
	umask(022);
	if (!user_become(&user) && (!chdir(user.home) || !chdir("/")))
		return true;
	session_failed(session, user.name);
	return false;
}

/* Word 0: what; a second one: folders as well. */
void serve_get(struct session *session)
{
	struct tree_sender sender = {
		.fd = session->fd,
		.folders = session->words.count > 1,
	};
	int rc;

	if (!session->words.count || !become_user(session))
		return;
	rc = tree_send(&sender, session->words.string[0]);
	if (rc > 0)
		frame_send_failure(session->fd, rc, "%s", sender.error);
}

static int take_all(struct session *session, struct tree_taker *taker)
{
	struct frame frame;
	int rc = 0;

	while (!rc && !taker->ended) {
		if (frame_wait(&session->in, session->fd, &frame) <= 0)
			return ECONNRESET;
		rc = tree_take(taker, &frame);
	}
	return rc;
}

/* Word 0: where to, word 1: the name if that is a folder. */
void serve_put(struct session *session)
{
	static struct tree_taker taker;
	int rc;

	if (session->words.count < 2 || !become_user(session))
		return;
	taker.modes = 07777;
	rc = tree_open(&taker, session->words.string[0],
		       session->words.string[1]);
	if (!rc)
		rc = take_all(session, &taker);
	tree_close(&taker);
	if (rc)
		frame_send_failure(session->fd, rc, "%s", taker.error);
	else
		session_done(session, taker.skipped);
}

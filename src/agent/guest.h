/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of the guest's program, lodge-agent: a process for each
 * connection, which serves one request and ends. The host is believed: it has
 * the whole guest in its hands.
 */
#ifndef LODGE_AGENT_GUEST_H
#define LODGE_AGENT_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/frame.h"

struct strings {
	char **string; /* and a NULL behind the last */
	unsigned int count;
};

struct session {
	int fd;
	struct frame_in in;
	struct frame_out out;
	/* What the request is about. */
	struct strings words, variables;
	uint32_t bytes; /* of them all */
	char *folder, *user; /* NULL: not told */
	bool terminal;
	uint16_t rows, columns;
};

#define GROUPS_MAX 64

struct user {
	uid_t uid;
	gid_t gid;
	gid_t group[GROUPS_MAX];
	int groups;
	char name[64], home[256], shell[256];
};

/* FAILED, with errno, for `what`. */
void session_failed(struct session *session, const char *what);

/*
 * Mounts the folders that the machine shares; what cannot be mounted yet is
 * tried again for a while, by a process of its own.
 */
void shares_mount(void);

/* Serves the connection `fd` to its end. */
void session_serve(int fd);

/* Adds a copy. False: no memory. */
bool strings_add(struct strings *strings, const char *text, size_t size);

/* By name or number; NULL: root, who need not be in any file. */
bool user_find(struct user *user, const char *name);

/* This process is that user from now on. 0, or -1 with errno. */
int user_become(const struct user *user);

/* Requests, from their frame to the answer's last. */
void serve_exec(struct session *session);
void serve_get(struct session *session);
void serve_put(struct session *session);
void serve_facts(struct session *session);
void serve_power(struct session *session, uint8_t how);
void serve_set_time(struct session *session, uint64_t ns);
void serve_freeze(struct session *session);
void serve_connect(struct session *session, uint16_t port);
void serve_mount(struct session *session);
void serve_unmount(struct session *session, bool force);

/* DONE, with a number. */
void session_done(struct session *session, uint32_t count);

#endif

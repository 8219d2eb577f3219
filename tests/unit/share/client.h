/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's kernel for tests of a folder's server: requests by their parts, to
 * a server on a folder of its own below /tmp. Beside the folder lies a file
 * "secret", which no request may ever lead to.
 */
#ifndef LODGE_TEST_SHARE_CLIENT_H
#define LODGE_TEST_SHARE_CLIENT_H

#include "fake/test.h"
#include "share/server/server.h"

#define CLIENT_ROOT 1u

struct client {
	struct server server;
	char base[64];	 /* has "folder" and "secret" */
	char folder[80]; /* its path */
	int fd;		 /* of the folder */
};

/* An answer's bytes behind its head. */
struct answer {
	int error; /* 0 or a negative errno */
	uint32_t size;
	_Alignas(8) uint8_t bytes[8192];
};

void client_open(struct client *client, bool readonly,
		 unsigned int descriptors);
void client_close(struct client *client);

/* A file of the host's in the folder. */
void client_put(struct client *client, const char *name, const char *text);

/*
 * A request: `in` behind the head, then `names` bytes of names with their
 * zeros. The error.
 */
int client_ask(struct client *client, uint32_t opcode, uint64_t node,
	       const void *in, uint32_t size, const char *names,
	       uint32_t names_size, struct answer *answer);

/* The same without anything but one name. */
int client_name(struct client *client, uint32_t opcode, uint64_t node,
		const char *name, struct answer *answer);

/* 0 and the node, or a negative errno; -ENOENT for names that are not there. */
int client_lookup(struct client *client, uint64_t parent, const char *name,
		  uint64_t *node);

/* Opens a file or, with `folder`, one of those. 0 or a negative errno. */
int client_open_node(struct client *client, uint64_t node, bool folder,
		     uint32_t flags, uint64_t *handle);
void client_release(struct client *client, uint64_t handle, bool folder);

/* Bytes read, or a negative errno. */
int client_read(struct client *client, uint64_t handle, void *to,
		uint32_t size);

void client_forget(struct client *client, uint64_t node, uint64_t count);
int client_getattr(struct client *client, uint64_t node,
		   struct fuse_attr *attr);

/* Descriptors that this process has open. */
unsigned int client_descriptors(void);

#endif

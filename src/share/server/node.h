/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest knows of the folder: files and folders that it has looked up
 * and not forgotten. Each has a number (FUSE's node ID) that is never used
 * again, and is known by device, inode number and time of birth.
 *
 * A node's descriptor (O_PATH) is opened when needed, from its parent's and its
 * last known name, one component at a time, and closed again when there are too
 * many. One that leads to something else by then is refused with ESTALE, and
 * the guest looks the path up again. What the guest removes keeps its
 * descriptor, for it has no name any more.
 *
 * One lock for all, which no call holds when it returns.
 */
#ifndef LODGE_SHARE_SERVER_NODE_H
#define LODGE_SHARE_SERVER_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define NODES_MAX  1048576u /* what a guest can make us remember */
#define NODES_ROOT 1	    /* FUSE_ROOT_ID */

struct node;

struct node_list {
	struct node *next, *previous;
};

struct nodes {
	pthread_mutex_t mutex;
	struct node **node;	/* by the low half of their numbers */
	uint32_t room, count;	/* of `node`; in use */
	uint32_t free;		/* where to look for a place first */
	uint32_t uses;		/* the next number's high half */
	struct node **hash;	/* by what they are, chains */
	uint32_t buckets;	/* a power of two */
	struct node *newest, *oldest; /* with a descriptor that may be closed */
	unsigned int open, open_max;
	uint64_t mount;		/* that the folder is on */
	struct node *root;
};

/* A node in use: its descriptor stays open until it is put back. */
struct node_use {
	struct node *node;
	int fd; /* O_PATH */
};

/* `fd`: of the folder, stays the caller's. 0 or a negative errno. */
int nodes_init(struct nodes *nodes, int fd, unsigned int open_max);
void nodes_fini(struct nodes *nodes);

/* The guest starts over: it knows the folder alone. Nothing is in use. */
void nodes_reset(struct nodes *nodes);

/* By the guest's number. -ESTALE, -ENFILE. */
int node_use(struct nodes *nodes, uint64_t id, struct node_use *use);
void node_done(struct nodes *nodes, struct node_use *use);

/* The status of what `fd` is, or of `name` in it. Negative errno. */
int node_stat(const struct nodes *nodes, int fd, const char *name,
	      struct statx *status);

/*
 * The guest has looked `name` of `parent` up, and `status` is what is there:
 * its number, known once more. -ENOMEM, -ENFILE.
 */
int node_enter(struct nodes *nodes, struct node *parent, const char *name,
	       const struct statx *status, uint64_t *id);

/* The guest knows it `count` times less. */
void node_forget(struct nodes *nodes, uint64_t id, uint64_t count);

/*
 * `name` of `parent` is about to be removed, or to become another: if the guest
 * knows the file, its descriptor is opened and stays. Negative errno.
 */
int node_hold(struct nodes *nodes, const struct node_use *parent,
	      const char *name);

/*
 * The guest opens the node, whose last change was at `changed`: true if it had
 * opened it before, long enough after that very change that no other one can
 * have the same time.
 */
bool node_unchanged(struct nodes *nodes, struct node *node,
		    const struct statx_timestamp *changed, int64_t now);

/* What has that status is called otherwise now. */
void node_renamed(struct nodes *nodes, const struct statx *status,
		  struct node *parent, const char *name);

#endif

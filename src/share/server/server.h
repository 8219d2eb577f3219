/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of one folder: requests of FUSE 7.31 and later (linux/fuse.h) in,
 * answers out. It believes nothing of what a request says.
 *
 * Names are single components. What they lead to is reached from the
 * descriptor of their folder, never by a longer path, and no link is followed:
 * the guest follows links by itself, in its own tree. So nothing outside of the
 * folder has a name here. Devices, pipes and sockets are never opened.
 */
#ifndef LODGE_SHARE_SERVER_SERVER_H
#define LODGE_SHARE_SERVER_SERVER_H

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "share/server/handle.h"
#include "share/server/node.h"

struct server_config {
	int folder; /* O_PATH; stays the caller's */
	bool readonly;
	uint64_t believe; /* ns; see struct share_config */
	unsigned int descriptors; /* that it may have open, in all */
};

struct server {
	bool readonly;
	uint64_t believe; /* ns; see struct share_config */
	bool root;  /* may give files to others: they become the guest's users' */
	bool flushes; /* closing a file may fail */
	int proc;   /* /proc/self/fd */
	int folder;
	/* Taken alone to start over, else shared by all requests. */
	pthread_rwlock_t session;
	struct nodes nodes;
	struct handles handles;
};

/* 0 or a negative errno. */
int server_init(struct server *server, const struct server_config *config);
void server_fini(struct server *server);

/*
 * Serves the request `in`, of which SHARE_HEAD bytes are there at least. The
 * size of the answer; 0: there is none. Any number of threads.
 */
uint32_t server_answer(struct server *server, const void *in, uint32_t size,
		       void *out, uint32_t room);

/* --- between the parts of the server -------------------------------------------- */

/* A request that is being served. Its sizes have been checked. */
struct call {
	struct server *server;
	const struct fuse_in_header *head;
	const void *in;	     /* what the operation has */
	const char *name[2]; /* and its names */
	const uint8_t *data; /* and what follows them */
	uint32_t data_size;
	uint8_t *out; /* behind the answer's head */
	uint32_t room, size;
};

/* 0, and call->size bytes of answer, or a negative errno. */
typedef int (*call_serve)(struct call *call);

/* The path of a descriptor's file, for calls that take no O_PATH. */
#define FD_NAME 16
const char *fd_name(char name[FD_NAME], int fd);

/* Flags of a guest's open() that are passed on. */
#define FILE_FLAGS (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC)

/*
 * How long the guest may believe what it is told: a name and its attributes.
 * Attributes always hold for a moment, so that those that come with a name need
 * not be asked for again.
 */
void entry_times(const struct server *server, struct fuse_entry_out *out);

void attr_fill(struct fuse_attr *attr, const struct statx *status);

/*
 * An entry for `name` of `parent`, which is there: the guest knows it once
 * more. Negative errno.
 */
int entry_make(struct call *call, const struct node_use *parent,
	       const char *name, struct fuse_entry_out *out);

/* Opens the node's regular file, with the guest's flags. Negative errno. */
int file_open(struct call *call, const struct node_use *node, uint32_t flags,
	      uint64_t *handle, uint32_t *open_flags);

int serve_init(struct call *call);
int serve_destroy(struct call *call);
int serve_lookup(struct call *call);
int serve_forget(struct call *call);
int serve_batch_forget(struct call *call);
int serve_interrupt(struct call *call);
int serve_getattr(struct call *call);
int serve_setattr(struct call *call);
int serve_readlink(struct call *call);
int serve_access(struct call *call);
int serve_statfs(struct call *call);
int serve_syncfs(struct call *call);
int serve_symlink(struct call *call);
int serve_mknod(struct call *call);
int serve_mkdir(struct call *call);
int serve_unlink(struct call *call);
int serve_rmdir(struct call *call);
int serve_rename(struct call *call);
int serve_rename2(struct call *call);
int serve_link(struct call *call);
int serve_create(struct call *call);
int serve_open(struct call *call);
int serve_read(struct call *call);
int serve_write(struct call *call);
int serve_flush(struct call *call);
int serve_release(struct call *call);
int serve_fsync(struct call *call);
int serve_fallocate(struct call *call);
int serve_lseek(struct call *call);
int serve_copy_file_range(struct call *call);
int serve_opendir(struct call *call);
int serve_readdir(struct call *call);
int serve_readdirplus(struct call *call);
int serve_releasedir(struct call *call);
int serve_fsyncdir(struct call *call);
int serve_setxattr(struct call *call);
int serve_getxattr(struct call *call);
int serve_listxattr(struct call *call);
int serve_removexattr(struct call *call);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders that the guest has open, by numbers (FUSE's file handles)
 * that are never used again. One lock for all, which no call holds when it
 * returns.
 */
#ifndef LODGE_SHARE_SERVER_HANDLE_H
#define LODGE_SHARE_SERVER_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct handle {
	uint64_t id;
	int fd;
	bool folder;
	unsigned int users; /* calls; one more for the guest */
	bool open;	    /* the guest still has it */
	/* Of a folder: */
	pthread_mutex_t mutex; /* one reads at a time */
	int64_t at;	       /* where its descriptor is */
};

struct handles {
	pthread_mutex_t mutex;
	struct handle **handle; /* by the low half of their numbers */
	uint32_t room, count, max;
	uint32_t free, uses;
};

void handles_init(struct handles *handles, unsigned int max);

/* Closes all of them; none is in use. */
void handles_reset(struct handles *handles);
void handles_fini(struct handles *handles);

/* Takes `fd`, or closes it. -ENFILE, -ENOMEM. */
int handle_add(struct handles *handles, int fd, bool folder, uint64_t *id);

/* -EBADF. Until handle_done(), its descriptor stays open. */
int handle_use(struct handles *handles, uint64_t id, bool folder,
	       struct handle **handle);
void handle_done(struct handles *handles, struct handle *handle);

/* The guest has closed it. */
void handle_close(struct handles *handles, uint64_t id);

#endif

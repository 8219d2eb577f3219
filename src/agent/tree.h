/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders as frames, for both ends: contents, modes, times and
 * symbolic links. Devices, pipes and sockets are left out, and said so.
 *
 * Whoever takes a tree does not believe its sender. Each name is one component
 * that is neither "." nor ".."; what is made lies in a folder that we hold
 * open, and no symbolic link is followed there. So nothing comes to lie
 * outside of the destination.
 */
#ifndef LODGE_AGENT_TREE_H
#define LODGE_AGENT_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/frame.h"

/* On the wire: mode u32, size u64, seconds u64, nanoseconds u32; a name. */
#define TREE_ENTRY 24u

struct tree_entry {
	uint32_t mode;
	uint64_t size; /* as it was; data may be more or less */
	int64_t seconds;
	uint32_t nanoseconds;
};

/* --- sending ----------------------------------------------------------------- */

struct tree_sender {
	int fd; /* of the connection */
	bool folders; /* may be sent */
	/* Whether the other end has stopped listening; may be NULL. */
	bool (*stops)(void *ctx);
	void *ctx;
	/* Tells here what is left out, and not the other end; may be NULL. */
	void (*tell_skipped)(const uint8_t *text, uint32_t size);
	unsigned int skipped;
	char error[AGENT_TEXT_MAX]; /* why nothing was sent */
};

/*
 * Sends what is at `path`, where a symbolic link is followed, and the end. 0,
 * a negative errno of the connection, or a positive one with `error`: nothing
 * was sent. What cannot be read is skipped, and said so.
 */
int tree_send(struct tree_sender *sender, const char *path);

/* Sends what `file` gives until its end, as a file of that name. */
int tree_send_stream(struct tree_sender *sender, int file, const char *name);

/* The last part of a path, cut to what a name may have; "." without one. */
void tree_last_part(char name[AGENT_NAME_MAX + 1], const char *path);

void tree_put_entry(uint8_t *at, const struct tree_entry *entry);

/* --- taking ------------------------------------------------------------------ */

struct tree_level {
	int folder;
	bool made; /* by us: its mode and times are set at its end */
	struct tree_entry entry;
};

struct tree_taker {
	uint32_t modes; /* bits of modes that are taken */
	unsigned int depth; /* of the folder that is being filled */
	struct tree_level level[AGENT_DEPTH_MAX];
	char top[AGENT_NAME_MAX + 1]; /* the first entry's name here; "." */
	bool named; /* whoever asked named it: links at its end are theirs */
	bool begun, ended;
	int file; /* -1: none */
	struct tree_entry entry; /* of it */
	unsigned int skipped;
	void (*tell_skipped)(const uint8_t *text, uint32_t size);
	char error[AGENT_TEXT_MAX];
};

/*
 * To `path`: in it, as `name`, when it is a folder, else as its last part. 0,
 * or a positive errno with `error`. Close it in any case.
 */
int tree_open(struct tree_taker *taker, const char *path, const char *name);

/* Takes a frame. 0, or a positive errno with `error`. */
int tree_take(struct tree_taker *taker, const struct frame *frame);
void tree_close(struct tree_taker *taker);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker of a machine's process: a process outside its sandbox
 * (host/linux/jail.h) that opens what the machine may have after its
 * start. The machine's own calls reach it through the kernel, so the code that
 * makes them knows nothing of it.
 *
 * It believes the machine nothing. What may be opened is granted before the
 * guest runs, and later by the requests of those who use the control socket:
 * the broker takes their connections, reads what they ask, and passes it on.
 * A path that they name (lodge attach, insert, mirror ...) is granted, with
 * the files that the image there names.
 */
#ifndef LODGE_VMM_SANDBOX_BROKER_H
#define LODGE_VMM_SANDBOX_BROKER_H

#include <stdbool.h>
#include <stdint.h>

struct broker;

/* What may be done with a path. */
enum {
	BROKER_READ = 1,
	BROKER_WRITE = 2,
	BROKER_MAKE = 4,    /* make, rename and remove it */
	BROKER_BELOW = 8,   /* and with all in that folder */
	BROKER_PREFIX = 16, /* and with all names that begin so */
	BROKER_NUMBERED = 8192, /* and with it and a number behind it */
	BROKER_CONNECT = 4096,	/* connect to that socket */
	BROKER_BARE = 16384, /* no path: the machine has no namespaces */
	BROKER_CHAIN = 32,  /* and read what it names as an image */
	BROKER_INTERNET = 64, /* no path: sockets of the host's network */
	BROKER_BEGIN = 128, /* no path: VERB/SUBJECT of a helper */
	BROKER_MOVES = 256, /* the list of what users named to mirror to */
	BROKER_SHARE = 1024, /* serve that folder to the guest */
	BROKER_SHARE_WRITE = 2048,
	BROKER_ADDRESS = 512, /* no path: an image of a server, nbd:// or rbd: */
};

/* What it does for a machine on its word: of a network that it has joined. */
struct broker_helper {
	const char *verb;
	int (*run)(const char *subject); /* in a process of its own; errno */
};

/*
 * Starts it; before the calling process has threads. 0 or a negative errno.
 * `helpers` end with one without a verb.
 */
int broker_start(struct broker **broker, const struct broker_helper *helpers);

/*
 * Whether an image of that format (NULL: by its name) may say what files it
 * consists of and stands on. What a guest writes to another is no word of it.
 */
bool broker_names_others(const char *path, const char *format);

/* Whether an image's name is a server's, and no path. */
bool broker_is_address(const char *name);

/* Before broker_serve(). Relative paths are those of the working folder. */
void broker_grant(struct broker *broker, unsigned int what, const char *path);
void broker_grant_help(struct broker *broker, const char *verb,
		       const char *subject);

/* It has the helper run at once, beside it and to its end. */
void broker_begin_help(struct broker *broker, const char *verb,
		       const char *subject);

/* From now on it serves, by jail_enter()'s descriptor. 0 or a negative errno. */
int broker_serve(struct broker *broker, int listener);

/*
 * A descriptor that can be read when it has ended. The machine cannot do much
 * then: what it would ask for fails, and nobody reaches it.
 */
int broker_process(const struct broker *broker);

/* Forgets it; it ends with the process. */
void broker_free(struct broker *broker);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lodged knows, kept in SQLite: machines, what happened to them, and
 * requests that were answered. A call that gave 0 outlives lodged, whatever
 * happens to that; it outlives the host when registry_flush() has brought it to
 * the disk, for which the answer to whoever asked for it waits. One that failed
 * has changed nothing.
 *
 * The registry of a newer lodged is refused, that of an older one is brought
 * up to date. A damaged one is kept beside under another name and a new one
 * begun, which its owner fills from the machines' folders.
 */
#ifndef LODGE_MANAGE_REGISTRY_REGISTRY_H
#define LODGE_MANAGE_REGISTRY_REGISTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "manage/api/problem.h"

#define REGISTRY_ID_MAX	    36 /* a UUID as text */
#define REGISTRY_NAME_MAX   63
#define REGISTRY_REASON_MAX 300
#define REGISTRY_KEY_MAX    64

struct flush;
struct registry;

struct registry_vm {
	char id[REGISTRY_ID_MAX + 1];
	char name[REGISTRY_NAME_MAX + 1];
	char base[REGISTRY_ID_MAX + 1]; /* it stands on that one's disks; "" */
	char *spec;	    /* a JSON object as text; see manage/vm/spec.h */
	int64_t generation; /* one more with each change of name or spec */
	int64_t listed;	    /* generation that the uses are of; 0: none */
	char state[16];	    /* see manage/vm/lifecycle.h */
	char run[REGISTRY_ID_MAX + 1]; /* names the last process; "": none */
	char reason[REGISTRY_REASON_MAX]; /* how that ended; "" */
	int64_t created, changed, started; /* Unix time; 0: never */
	int64_t restarts;   /* by its policy, since somebody started it */
	int64_t next_start; /* Unix time, while it waits for that; else 0 */
};

/* What happened: kept beside the change, in one transaction. */
struct registry_event {
	const char *kind;   /* "started" */
	const char *vm;	    /* id; NULL: of no machine */
	const char *name;   /* that it had; NULL */
	const char *detail; /* for people; NULL */
};

/*
 * Opens, or makes, registry.db in `folder`. *fresh: it was not there, or was
 * damaged and is now at the path that `kept` tells (else ""). 0, or -1 with
 * `problem`.
 */
int registry_open(struct registry **registry, const char *folder, bool *fresh,
		  char kept[PROBLEM_TEXT_MAX], struct problem *problem);
void registry_close(struct registry *registry);

/*
 * What is to make room may take that which is kept for it. True: it was refused
 * for want of some, which is there now. Afterwards as much is kept again.
 */
bool registry_spend(struct registry *registry, const struct problem *problem);
void registry_save_up(struct registry *registry);

/* Which disks, images and networks machines use. */
struct uses *registry_uses(struct registry *registry);

/* What brings it to the disk. */
struct flush *registry_flush(struct registry *registry);

/* Its database, for tables that other files look after (token.c, audit.c). */
struct sqlite3 *registry_database(struct registry *registry);

/* Calls `use` with each machine, by name. 0, -1 with `problem`. */
int registry_each_vm(struct registry *registry,
		     void (*use)(void *ctx, const struct registry_vm *vm),
		     void *ctx, struct problem *problem);

/*
 * Writes a new machine or all of a known one (by its id), with the event;
 * `key` (NULL: none) is that of the request which made it. -1 with `problem`:
 * another machine has the name, the disk is full.
 */
int registry_put_vm(struct registry *registry, const struct registry_vm *vm,
		    const struct registry_event *event, const char *key,
		    struct problem *problem);

int registry_drop_vm(struct registry *registry, const char *id,
		     const struct registry_event *event,
		     struct problem *problem);

/* The machine that a request of this key has made. False: none. */
bool registry_find_key(struct registry *registry, const char *key,
		       char id[REGISTRY_ID_MAX + 1]);

/* The number that the last event has; 0: none. */
int64_t registry_last_event(const struct registry *registry);

/* An event alone. */
int registry_add_event(struct registry *registry,
		       const struct registry_event *event,
		       struct problem *problem);

/*
 * Events after `since`, `limit` at most, of the machine `vm` (NULL: all): a
 * list of objects. NULL with `problem`.
 */
json_t *registry_events(struct registry *registry, int64_t since, int limit,
			const char *vm, struct problem *problem);

/* A value that is kept by its name, ""  when there is none. */
void registry_get(struct registry *registry, const char *name, char *value,
		  size_t size);
int registry_set(struct registry *registry, const char *name,
		 const char *value, struct problem *problem);

#endif

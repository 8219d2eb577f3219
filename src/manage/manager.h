/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All machines of a lodged: the registry's, with their processes. Everything
 * happens on the loop's thread.
 *
 * Files: FOLDER/registry.db and FOLDER/vms/ID/ with "lock" (process.h), "log",
 * "report-RUN.json" and "vm.json", from which a lost registry is filled.
 */
#ifndef LODGE_MANAGE_MANAGER_H
#define LODGE_MANAGE_MANAGER_H

#include <limits.h>

#include "manage/job.h"
#include "manage/registry/registry.h"
#include "manage/timer.h"

struct loop;
struct moves_watch;
struct vm;

struct manager {
	struct loop *loop;
	struct timers timers;
	struct registry *registry;
	struct jobs jobs;
	struct limiter *limiter;
	struct moves_watch *moves; /* NULL: none */
	char note[PROBLEM_TEXT_MAX]; /* what to tell of its opening; "" */
	int vms_folder; /* open */
	int lock;	/* of FOLDER, for this process alone */
	char folder[PATH_MAX - 80];
	char program[PATH_MAX]; /* lodge */
	char vm_program[PATH_MAX]; /* lodge-vm */
	struct vm **vm; /* by name */
	size_t count, room;
	/* Told after each event; may be NULL. */
	void (*on_event)(void *ctx);
	void *on_event_ctx;
};

/*
 * Opens what is kept in `folder`, made when missing, and takes up the
 * machines that run; `vm_program` starts others, `program` is lodge. 0, or -1 with `problem`, and
 * nothing open: another lodged has it.
 */
int manager_open(struct manager *manager, struct loop *loop,
		 const char *folder, const char *program,
		 const char *vm_program, struct problem *problem);

/* Machines go on without it. */
void manager_close(struct manager *manager);

/* By name, then by id; NULL with `problem` (404), which offers a name. */
struct vm *manager_find(struct manager *manager, const char *name,
			struct problem *problem);

/*
 * A new machine, stopped. `key` (NULL: none) is the request's: when one of
 * that key has made a machine, that one is given, with *again. NULL with
 * `problem`.
 */
struct vm *manager_create(struct manager *manager, const char *name,
			  const json_t *config, const char *key, bool *again,
			  struct problem *problem);

/* Whether a machine has that name. */
bool manager_has_name(struct manager *manager, const char *name);

/* Whether that could be made: 0, or -1 with `problem`. */
int manager_check_new(struct manager *manager, const char *name,
		      const json_t *config, struct problem *problem);

/*
 * A machine as `row` says; the event is of that kind. NULL with `problem`. The
 * one that a request of this key has made: NULL, there is none.
 */
struct vm *manager_add(struct manager *manager, const struct registry_vm *row,
		       const json_t *config, const char *kind,
		       const char *key, struct problem *problem);
struct vm *manager_made_before(struct manager *manager, const char *key);

/* What vm.c tells: its row has changed, its name has, it is gone. */
int manager_store(struct manager *manager, struct vm *vm, const char *kind,
		  const char *detail, const char *key,
		  struct problem *problem);
void manager_renamed(struct manager *manager);
void manager_forget(struct manager *manager, struct vm *vm);

/*
 * A process that a killed lodged had just forked holds what that had, until
 * it becomes a machine's: so what is taken is tried this often.
 */
#define MANAGER_TRIES  50
#define MANAGER_TRY_NS 20000000

/* Machines with a process. */
unsigned int manager_running(const struct manager *manager);

#endif

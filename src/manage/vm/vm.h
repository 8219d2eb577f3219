/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One machine that lodged keeps: its row of the registry, its process when
 * there is one, and the verbs. A verb's beginning is in the registry before
 * it is answered; its end comes by a job.
 */
#ifndef LODGE_MANAGE_VM_VM_H
#define LODGE_MANAGE_VM_VM_H

#include "manage/manager.h"
#include "manage/vm/lifecycle.h"
#include "manage/vm/process.h"

struct link;
struct vm_call;

struct vm {
	struct manager *manager;
	struct registry_vm row; /* its spec is in `config` */
	json_t *config;
	enum vm_state state; /* the row's */
	struct process process; /* pidfd -1: none */
	struct link *link;	/* to its control socket; NULL: none */
	bool checked;		/* that is its own */
	char paused_for[200];	/* why the machine does not run; "" */
	json_t *sandbox;	/* what it says of it; NULL: nothing yet */
	unsigned int tries;
	struct timer connect; /* tries it again */
	struct timer limit;   /* of a stop */
	struct timer restart; /* by its policy */
	struct timer autostart; /* after those before it */
	struct vm_call *calls; /* requests to it */
	int moves; /* of moves_follow(); -1: none */
	struct process helper; /* makes or removes disks; pidfd -1: none */
};

/* Not in the registry yet. NULL: no memory. */
struct vm *vm_new(struct manager *manager, const struct registry_vm *row,
		  const json_t *config);
void vm_free(struct vm *vm);

/* Of one that was in the registry: finds its process, or what became of it. */
void vm_take_up(struct vm *vm);

/* The folder, open, made when missing; or -errno. */
int vm_folder(const struct vm *vm);

/* In the folder of one that is being cloned: see clone.c. */
#define VM_CLONE_PLAN "clone.json"

/* Writes vm.json. */
void vm_write_copy(const struct vm *vm);

/* Whether the verb may be said to it now: 0, or -1 with `problem`. */
int vm_check(const struct vm *vm, enum vm_verb verb, struct problem *problem);

/* --- verbs: a job, or NULL with `problem` -------------------------------------- */

struct job *vm_start(struct vm *vm, struct problem *problem);

/*
 * Presses the power button, or `force`s its end. After `seconds` (0: a minute)
 * a guest that does not heed it is forced if `then_force`, else left alone.
 */
struct job *vm_stop(struct vm *vm, bool force, unsigned int seconds,
		    bool then_force, struct problem *problem);

/* VERB_RESET, VERB_PAUSE, VERB_RESUME. */
struct job *vm_say(struct vm *vm, enum vm_verb verb, struct problem *problem);
struct job *vm_delete(struct vm *vm, struct problem *problem);

/*
 * What vm_edit() would make of its configuration, a new object; NULL with
 * `problem` when that is refused.
 */
json_t *vm_check_edit(struct vm *vm, const char *name, const json_t *change,
		      struct problem *problem);

/*
 * Makes a machine of this one; `change` (NULL: none) is made to its
 * configuration. `key` as for manager_create(). vm_check_clone() gives the
 * configuration that it would have.
 */
struct job *vm_clone(struct vm *source, const char *name,
		     const json_t *change, const char *key,
		     struct problem *problem);
json_t *vm_check_clone(struct vm *source, const char *name,
		       const json_t *change, struct problem *problem);

/* At once: another name (NULL: as it is), another configuration. */
int vm_edit(struct vm *vm, const char *name, const json_t *change,
	    struct problem *problem);

json_t *vm_json(const struct vm *vm);

/* --- between the parts of it (vm.c, run.c, stop.c, delete.c) -------------------- */

/* Writes its row in a new state; when that fails, says so and goes on. */
void vm_set_state(struct vm *vm, enum vm_state state, const char *kind,
		  const char *detail);

/*
 * Begins a run; the event is of that kind. -1 with `problem` when the registry
 * does not take it; a process that cannot be started is an end of the run.
 */
int vm_run(struct vm *vm, const char *kind, struct problem *problem);

/* What `status`, `watch`, `pause` or `resume` say of the guest. */
void vm_take_state(struct vm *vm, const json_t *status);

/*
 * Of one that is to be called `name`: whether its disk can be, then before its
 * row is written, then after (also when that failed, or lodged ended between).
 */
int vm_rename_check(const struct vm *vm, const char *name,
		    struct problem *problem);
int vm_rename_begin(const struct vm *vm, const char *name,
		    struct problem *problem);
int vm_rename_finish(const struct vm *vm, struct problem *problem);

/* Begins to reach a process that is there. */
void vm_reach(struct vm *vm);

/* A stop that was under way when lodged ended goes on. */
void vm_stop_again(struct vm *vm);

/* No request is under way any more. */
void vm_drop_calls(struct vm *vm);

/* Its disk is removed, then the rest. */
void vm_delete_again(struct vm *vm);

/* Of the state "cloning": it is made, from the beginning on. */
void vm_clone_again(struct vm *vm);

#endif

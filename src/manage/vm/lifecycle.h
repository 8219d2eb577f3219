/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a machine, and which verb is allowed in which: one table.
 */
#ifndef LODGE_MANAGE_VM_LIFECYCLE_H
#define LODGE_MANAGE_VM_LIFECYCLE_H

#include "manage/api/problem.h"

enum vm_state {
	VM_STOPPED,
	VM_STARTING, /* its process is there, or about to be; no guest yet */
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING, /* somebody asked for its end */
	VM_WAITING,  /* to be started again by its policy */
	VM_DELETING, /* what it has on the host is being removed */
	VM_CLONING,  /* it is being made of another one */
	VM_STATES,
};

enum vm_verb {
	VERB_START,
	VERB_STOP,
	VERB_FORCE, /* stop, whatever the guest does */
	VERB_RESET,
	VERB_PAUSE,
	VERB_RESUME,
	VERB_DELETE,
	VERB_RENAME,
	VERB_EDIT,
	VERB_CLONE, /* of the one that another is made of */
	VERBS,
};

const char *lifecycle_state_name(enum vm_state state);

/* VM_STOPPED for a word that names none. */
enum vm_state lifecycle_state(const char *name);

const char *lifecycle_verb_name(enum vm_verb verb);

/*
 * Whether `verb` may be said to machine `name` in `state`: 0, or -1 with
 * `problem` (409), which says which verb would work.
 */
int lifecycle_check(enum vm_state state, enum vm_verb verb, const char *name,
		    struct problem *problem);

#endif

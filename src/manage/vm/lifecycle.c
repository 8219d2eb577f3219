/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/lifecycle.h"

#include <string.h>

static const char *const states[VM_STATES] = {
	[VM_STOPPED] = "stopped",   [VM_STARTING] = "starting",
	[VM_RUNNING] = "running",   [VM_PAUSED] = "paused",
	[VM_STOPPING] = "stopping", [VM_WAITING] = "waiting",
	[VM_DELETING] = "deleting", [VM_CLONING] = "cloning",
};

static const char *const verbs[VERBS] = {
	[VERB_START] = "start",	  [VERB_STOP] = "stop",
	[VERB_FORCE] = "stop",	  [VERB_RESET] = "reset",
	[VERB_PAUSE] = "pause",	  [VERB_RESUME] = "resume",
	[VERB_DELETE] = "delete", [VERB_RENAME] = "rename",
	[VERB_EDIT] = "edit",	  [VERB_CLONE] = "clone",
};

/* What is wrong and what would work; % is the machine; "": it is allowed. */
#define START_IT  "does not run; lodge start % starts it"
#define STOP_IT	  "runs; lodge stop % first"
#define WAIT_IT	  "is being started; wait, or lodge stop --force %"
#define ENDING	  "is being stopped; wait, or lodge stop --force %"
#define WAITS	  "waits to be started again; lodge start % does it now, " \
		  "lodge stop % ends that"
#define GOING	  "is being deleted"
#define MAKING	  "is being made; wait, lodge events --follow tells when it is"
#define RESUME_IT "is paused; lodge resume % lets it go on"

static const char *const table[VM_STATES][VERBS] = {
	[VM_STOPPED] = {
		[VERB_START] = "",
		[VERB_STOP] = START_IT,
		[VERB_FORCE] = START_IT,
		[VERB_RESET] = START_IT,
		[VERB_PAUSE] = START_IT,
		[VERB_RESUME] = START_IT,
		[VERB_DELETE] = "",
		[VERB_RENAME] = "",
		[VERB_EDIT] = "",
		[VERB_CLONE] = "",
	},
	[VM_STARTING] = {
		[VERB_START] = "is being started already",
		[VERB_STOP] = "",
		[VERB_FORCE] = "",
		[VERB_RESET] = WAIT_IT,
		[VERB_PAUSE] = WAIT_IT,
		[VERB_RESUME] = WAIT_IT,
		[VERB_DELETE] = WAIT_IT,
		[VERB_RENAME] = WAIT_IT,
		[VERB_EDIT] = "",
		[VERB_CLONE] = WAIT_IT,
	},
	[VM_RUNNING] = {
		[VERB_START] = "runs already",
		[VERB_STOP] = "",
		[VERB_FORCE] = "",
		[VERB_RESET] = "",
		[VERB_PAUSE] = "",
		[VERB_RESUME] = "is not paused; lodge pause % would do that",
		[VERB_DELETE] = STOP_IT,
		[VERB_RENAME] = STOP_IT,
		[VERB_EDIT] = "",
		[VERB_CLONE] = STOP_IT,
	},
	[VM_PAUSED] = {
		[VERB_START] = RESUME_IT,
		[VERB_STOP] = "is paused, so its guest sees no button; lodge "
			      "resume %, or stop it with lodge stop --force %",
		[VERB_FORCE] = "",
		[VERB_RESET] = "",
		[VERB_PAUSE] = "is paused already; lodge resume % lets it go "
			       "on",
		[VERB_RESUME] = "",
		[VERB_DELETE] = "is paused; lodge stop --force % first",
		[VERB_RENAME] = "is paused; lodge stop --force % first",
		[VERB_EDIT] = "",
		[VERB_CLONE] = "is paused; lodge stop --force % first",
	},
	[VM_STOPPING] = {
		[VERB_START] = ENDING,
		[VERB_STOP] = "",
		[VERB_FORCE] = "",
		[VERB_RESET] = ENDING,
		[VERB_PAUSE] = ENDING,
		[VERB_RESUME] = ENDING,
		[VERB_DELETE] = ENDING,
		[VERB_RENAME] = ENDING,
		[VERB_EDIT] = "",
		[VERB_CLONE] = ENDING,
	},
	[VM_WAITING] = {
		[VERB_START] = "",
		[VERB_STOP] = "",
		[VERB_FORCE] = "",
		[VERB_RESET] = WAITS,
		[VERB_PAUSE] = WAITS,
		[VERB_RESUME] = WAITS,
		[VERB_DELETE] = "",
		[VERB_RENAME] = "",
		[VERB_EDIT] = "",
		[VERB_CLONE] = WAITS,
	},
	[VM_DELETING] = {
		[VERB_START] = GOING,
		[VERB_STOP] = GOING,
		[VERB_FORCE] = GOING,
		[VERB_RESET] = GOING,
		[VERB_PAUSE] = GOING,
		[VERB_RESUME] = GOING,
		[VERB_DELETE] = GOING,
		[VERB_RENAME] = GOING,
		[VERB_EDIT] = GOING,
		[VERB_CLONE] = GOING,
	},
	[VM_CLONING] = {
		[VERB_START] = MAKING,
		[VERB_STOP] = MAKING,
		[VERB_FORCE] = MAKING,
		[VERB_RESET] = MAKING,
		[VERB_PAUSE] = MAKING,
		[VERB_RESUME] = MAKING,
		[VERB_DELETE] = MAKING,
		[VERB_RENAME] = MAKING,
		[VERB_EDIT] = MAKING,
		[VERB_CLONE] = MAKING,
	},
};

const char *lifecycle_state_name(enum vm_state state)
{
	return states[state];
}

enum vm_state lifecycle_state(const char *name)
{
	for (int i = 0; i < VM_STATES; i++)
		if (!strcmp(states[i], name))
			return (enum vm_state)i;
	return VM_STOPPED;
}

const char *lifecycle_verb_name(enum vm_verb verb)
{
	return verbs[verb];
}

/* `text` with the machine's name for each %. */
static void fill(char *line, size_t size, const char *text, const char *name)
{
	size_t used = 0;

	for (; *text && used + 1 < size; text++) {
		if (*text != '%') {
			line[used++] = *text;
			continue;
		}
		for (const char *c = name; *c && used + 1 < size; c++)
			line[used++] = *c;
	}
	line[used] = '\0';
}

int lifecycle_check(enum vm_state state, enum vm_verb verb, const char *name,
		    struct problem *problem)
{
	const char *wrong = table[state][verb];
	char line[PROBLEM_TEXT_MAX - 80];

	if (!*wrong)
		return 0;
	fill(line, sizeof(line), wrong, name);
	return problem_set(problem, 409, "wrong-state", "%s %s", name, line);
}

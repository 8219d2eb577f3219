/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs that are said to a machine's process: stop, reset, pause, resume. How
 * a stop is to go on is kept as the row's reason, for a lodged that comes
 * after this one.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "manage/vm/link.h"
#include "manage/vm/vm.h"

#define CALL_MS	    30000 /* for an answer */
#define STOP_MS	    60000 /* for a guest to power off */
#define FORCE_MS    10000 /* for the process to end in order */

#define FORCED	    "forced"
#define THEN_FORCED "then-forced"

struct vm_call {
	struct vm_call *next;
	struct vm *vm;
	struct link *link;
	struct job *job;
	struct timer limit;
};

/* --- requests ------------------------------------------------------------------ */

static void end_call(struct vm_call *call)
{
	struct vm_call **at = &call->vm->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	timer_stop(&call->vm->manager->timers, &call->limit);
	link_close(call->link);
	free(call);
}

void vm_drop_calls(struct vm *vm)
{
	while (vm->calls)
		end_call(vm->calls);
}

/* The button could not be pressed: as if nobody had asked. */
static void not_stopping(struct vm *vm, const char *kind, const char *detail)
{
	if (vm->state != VM_STOPPING)
		return;
	timer_stop(&vm->manager->timers, &vm->limit);
	vm->row.reason[0] = '\0';
	vm_set_state(vm, *vm->paused_for ? VM_PAUSED : VM_RUNNING, kind,
		     detail);
}

static void fail_call(struct vm_call *call, const char *wrong)
{
	struct vm *vm = call->vm;
	struct job *job = call->job;
	struct problem problem;

	problem_set(&problem, 409, "refused", "%s: %s", vm->row.name, wrong);
	end_call(call);
	if (job->verb == VERB_STOP)
		not_stopping(vm, "stop-failed", wrong);
	job_end(&vm->manager->jobs, job, &problem);
}

static void call_answered(void *ctx, const json_t *result, const char *wrong)
{
	struct vm_call *call = ctx;
	struct job *job = call->job;
	struct vm *vm = call->vm;

	if (!result) {
		fail_call(call, wrong);
		return;
	}
	/* Before the answer: the next verb is judged by it. */
	if (job->verb == VERB_PAUSE || job->verb == VERB_RESUME)
		vm_take_state(vm, result);
	end_call(call);
	/* A stop is done when the machine has ended. */
	if (job->verb != VERB_STOP)
		job_end(&vm->manager->jobs, job, NULL);
}

static void call_late(void *ctx)
{
	fail_call(ctx, "does not answer");
}

static void call_broken(void *ctx)
{
	fail_call(ctx, "does not listen");
}

static int call_vm(struct vm *vm, struct job *job, struct problem *problem)
{
	struct vm_call *call = calloc(1, sizeof(*call));

	if (call)
		call->link = link_open(vm->manager->loop, vm->row.name,
				       call_broken, call);
	if (!call || !call->link) {
		free(call);
		return problem_set(problem, 503, "not-reached",
				   "%s cannot be reached; try again",
				   vm->row.name);
	}
	call->vm = vm;
	call->job = job;
	call->next = vm->calls;
	vm->calls = call;
	call->limit.fire = call_late;
	call->limit.ctx = call;
	timer_set(&vm->manager->timers, &call->limit, CALL_MS);
	link_ask(call->link,
		 json_pack("{siss}", "id", 1, "command",
			   lifecycle_verb_name(job->verb)),
		 call_answered, call);
	return 0;
}

struct job *vm_say(struct vm *vm, enum vm_verb verb, struct problem *problem)
{
	struct job *job;

	if (vm_check(vm, verb, problem))
		return NULL;
	job = job_begin(&vm->manager->jobs, verb, vm->row.id, vm->row.name,
			problem);
	if (job && call_vm(vm, job, problem)) {
		job_end(&vm->manager->jobs, job, problem);
		return NULL;
	}
	return job;
}

/* --- stop ------------------------------------------------------------------------ */

static void kill_it(void *ctx)
{
	struct vm *vm = ctx;

	process_signal(&vm->process, SIGKILL);
}

/* In order first: files are closed, the terminal is given back. */
static void force(struct vm *vm)
{
	process_signal(&vm->process, SIGTERM);
	vm->limit.fire = kill_it;
	vm->limit.ctx = vm;
	timer_set(&vm->manager->timers, &vm->limit, FORCE_MS);
}

static void not_heeded(void *ctx)
{
	struct vm *vm = ctx;
	struct problem problem;

	if (!strcmp(vm->row.reason, THEN_FORCED)) {
		force(vm);
		return;
	}
	problem_set(&problem, 504, "not-heeded", "%s still runs: its guest "
		    "does not heed the power button; lodge stop --force %s "
		    "ends it", vm->row.name, vm->row.name);
	not_stopping(vm, "stop-ignored", NULL);
	job_end_all(&vm->manager->jobs, vm->row.id, 1u << VERB_STOP, &problem);
}

static void wait_for_guest(struct vm *vm, unsigned int seconds)
{
	vm->limit.fire = not_heeded;
	vm->limit.ctx = vm;
	timer_set(&vm->manager->timers, &vm->limit,
		  seconds ? (uint64_t)seconds * 1000 : STOP_MS);
}

/* One that waits for its next start has nothing to end. */
static struct job *end_waiting(struct vm *vm, struct job *job,
			       struct problem *problem)
{
	const int64_t next = vm->row.next_start;

	vm->state = VM_STOPPED;
	vm->row.next_start = 0;
	if (manager_store(vm->manager, vm, "stopped", NULL, NULL, problem)) {
		vm->state = VM_WAITING;
		vm->row.next_start = next;
		job_end(&vm->manager->jobs, job, problem);
		return NULL;
	}
	timer_stop(&vm->manager->timers, &vm->restart);
	job_end(&vm->manager->jobs, job, NULL);
	return job;
}

struct job *vm_stop(struct vm *vm, bool forced, unsigned int seconds,
		    bool then_force, struct problem *problem)
{
	struct manager *manager = vm->manager;
	const struct registry_vm before = vm->row;
	enum vm_state state = vm->state;
	enum vm_verb verb = forced ? VERB_FORCE : VERB_STOP;
	struct job *job;

	if (vm_check(vm, verb, problem))
		return NULL;
	job = job_begin(&manager->jobs, verb, vm->row.id, vm->row.name,
			problem);
	if (!job || state == VM_WAITING)
		return job ? end_waiting(vm, job, problem) : NULL;
	/* There is no guest yet that could heed a button. */
	forced |= state == VM_STARTING || !vm->checked;
	vm->state = VM_STOPPING;
	if (forced || strcmp(vm->row.reason, FORCED))
		strcpy(vm->row.reason, forced	  ? FORCED :
				       then_force ? THEN_FORCED :
						    "");
	if (manager_store(manager, vm, "stopping", NULL, NULL, problem)) {
		vm->row = before;
		vm->state = state;
	} else if (forced) {
		force(vm);
		return job;
	} else if (call_vm(vm, job, problem)) {
		not_stopping(vm, "stop-failed", problem->text);
	} else {
		wait_for_guest(vm, seconds);
		return job;
	}
	job_end(&manager->jobs, job, problem);
	return NULL;
}

void vm_stop_again(struct vm *vm)
{
	if (!strcmp(vm->row.reason, FORCED))
		force(vm);
	else
		wait_for_guest(vm, 0);
}

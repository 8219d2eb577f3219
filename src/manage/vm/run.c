/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's process from its start to its end, and the way back to it after
 * lodged was away.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "manage/limits/limiter.h"
#include "manage/uuid.h"
#include "manage/vm/crash.h"
#include "manage/vm/ending.h"
#include "manage/vm/link.h"
#include "manage/vm/moves.h"
#include "manage/vm/shared.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"
#include "net/fabric.h"
#include "vm/host.h"
#include "vmm/runtime.h"
#include "vmm/unix_socket.h"

#define TRY_MS_MIN  1
#define TRY_MS_MAX  100
#define BACKOFF_MAX 64 /* seconds */
#define LASTING	    60 /* seconds of a run after which back-off begins anew */

static void begin_reach(struct vm *vm);

/* --- its end ----------------------------------------------------------------------- */

static bool is_restarted(const struct vm *vm, const struct ending *ending)
{
	enum spec_restart policy = spec_restart(vm->config);

	if (vm->state == VM_STOPPING || ending->asked)
		return false;
	/* One that somebody started and that never ran is his to see. */
	if (vm->state == VM_STARTING && !vm->row.restarts && !ending->ran)
		return false;
	return policy == SPEC_RESTART_ALWAYS ||
	       (policy == SPEC_RESTART_ON_FAILURE && ending->failed);
}

/* A temporary one that was started and has ended. */
static bool is_over(const struct vm *vm)
{
	return vm->state == VM_STOPPED && vm->row.started &&
	       json_is_true(json_object_get(vm->config, "temporary"));
}

static void remove_soon(struct vm *vm)
{
	if (is_over(vm))
		timer_set(&vm->manager->timers, &vm->restart, 0);
}

static void restart_now(void *ctx)
{
	struct vm *vm = ctx;
	struct problem problem;

	if (is_over(vm)) {
		if (!vm_delete(vm, &problem))
			host_log(HOST_LOG_ERROR, "machine %s: %s",
				 vm->row.name, problem.text);
		return;
	}
	if (vm->state != VM_WAITING)
		return;
	vm->row.restarts++;
	if (!vm_run(vm, "restarting", &problem))
		return;
	vm->row.restarts--;
	host_log(HOST_LOG_ERROR, "machine %s: %s", vm->row.name, problem.text);
	timer_set(&vm->manager->timers, &vm->restart, BACKOFF_MAX * 1000);
}

/* Its process is gone, or was never there; the row says what it did. */
static void ended(struct vm *vm, struct ending *ending)
{
	int64_t now = time(NULL);
	struct problem problem;
	int64_t delay = 1;

	limiter_end(vm->manager->limiter, vm, ending);
	moves_take_up(vm, &problem);
	snprintf(vm->row.reason, sizeof(vm->row.reason), "%s", ending->text);
	problem_set(&problem, 500, "ended", "%s has ended: %s", vm->row.name,
		    ending->text);
	if (is_restarted(vm, ending)) {
		if (now - vm->row.started >= LASTING)
			vm->row.restarts = 0;
		for (int64_t i = 0; i < vm->row.restarts &&
				    delay < BACKOFF_MAX; i++)
			delay *= 2;
		vm->row.next_start = now + delay;
		vm->restart.fire = restart_now;
		vm->restart.ctx = vm;
		vm_set_state(vm, VM_WAITING, ending->kind, ending->text);
		timer_set(&vm->manager->timers, &vm->restart,
			  (uint64_t)delay * 1000);
	} else {
		vm_set_state(vm, VM_STOPPED, ending->kind, ending->text);
	}
	job_end_all(&vm->manager->jobs, vm->row.id,
		    1u << VERB_STOP | 1u << VERB_FORCE |
			    (ending->ran && !ending->failed) << VERB_START,
		    NULL);
	job_end_all(&vm->manager->jobs, vm->row.id, ~0u, &problem);
	remove_soon(vm);
}

/*
 * What its process leaves in the runtime folder when it is killed; and of
 * networks, when its broker was.
 */
static void sweep(const struct vm *vm)
{
	struct vmm_error error;
	int folder = runtime_open(&error);

	fabric_sweep();
	if (folder < 0)
		return;
	runtime_sweep(folder, vm->row.name, "console");
	runtime_sweep(folder, vm->row.name, "vnc");
	close(folder);
}

/* One that ran and ended badly, not one that could not begin. */
static void keep_crash(const struct vm *vm, int folder,
		       const struct ending *ending)
{
	if (ending->failed && (ending->ran || vm->state != VM_STARTING))
		crash_keep(folder, vm->row.run, ending->kind, ending->text);
}

/* A user's word, which came before the process heeded signals. */
static bool was_forced(const struct vm *vm, int status)
{
	return vm->state == VM_STOPPING && status >= 0 &&
	       WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
}

static void process_ended(void *ctx, uint32_t events)
{
	struct vm *vm = ctx;
	struct timers *timers = &vm->manager->timers;
	struct ending ending = { .kind = "stopped", .text = "stopped",
				 .asked = true };
	int folder = vm_folder(vm), status;

	loop_remove(vm->manager->loop, vm->process.pidfd);
	timer_stop(timers, &vm->connect);
	timer_stop(timers, &vm->limit);
	link_close(vm->link);
	vm->link = NULL;
	vm_drop_calls(vm);
	status = process_end(&vm->process);
	if (!was_forced(vm, status))
		ending_find(&ending, folder, vm->row.run, status);
	keep_crash(vm, folder, &ending);
	if (folder >= 0)
		close(folder);
	sweep(vm);
	ended(vm, &ending);
}

/* --- reaching it -------------------------------------------------------------------- */

static const char *text_of(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text ? text : "";
}

static void lost_link(void *ctx)
{
	struct vm *vm = ctx;

	link_close(vm->link);
	vm->link = NULL;
	begin_reach(vm);
}

static void ask_change(struct vm *vm);

void vm_take_state(struct vm *vm, const json_t *status)
{
	bool paused = !strcmp(text_of(status, "state"), "paused");
	enum vm_state state = paused ? VM_PAUSED : VM_RUNNING;

	snprintf(vm->paused_for, sizeof(vm->paused_for), "%s",
		 text_of(status, "reason"));
	if (vm->state == VM_STARTING) {
		vm_set_state(vm, state, "running", NULL);
		job_end_all(&vm->manager->jobs, vm->row.id, 1u << VERB_START,
			    NULL);
	} else if (vm->state != VM_STOPPING && vm->state != state) {
		vm_set_state(vm, state, paused ? "paused" : "resumed",
			     paused ? vm->paused_for : NULL);
	}
}

static void state_changed(void *ctx, const json_t *result, const char *wrong)
{
	struct vm *vm = ctx;

	if (!result) {
		lost_link(vm);
		return;
	}
	vm_take_state(vm, result);
	ask_change(vm);
}

static void ask_change(struct vm *vm)
{
	link_ask(vm->link,
		 json_pack("{siss ss ss}", "id", 1, "command", "watch",
			   "state", *vm->paused_for ? "paused" : "running",
			   "reason", vm->paused_for),
		 state_changed, vm);
}

static void take_sandbox(struct vm *vm, json_t *sandbox)
{
	struct cgroup_usage usage;

	json_decref(vm->sandbox);
	vm->sandbox = json_incref(sandbox);
	json_object_set_new(sandbox, "cgroup",
			    json_boolean(limiter_usage(vm->manager->limiter,
						       vm, &usage)));
}

/* Another machine of that name is not ours, and will end our process. */
static void told_status(void *ctx, const json_t *result, const char *wrong)
{
	struct vm *vm = ctx;

	if (!result || strcmp(text_of(result, "identity"), vm->row.run)) {
		lost_link(vm);
		return;
	}
	vm->checked = true;
	take_sandbox(vm, json_object_get(result, "sandbox"));
	vm_take_state(vm, result);
	ask_change(vm);
}

static void reach(void *ctx)
{
	struct vm *vm = ctx;

	vm->link = link_open(vm->manager->loop, vm->row.name, lost_link, vm);
	if (!vm->link)
		begin_reach(vm);
	else
		link_ask(vm->link,
			 json_pack("{siss}", "id", 1, "command", "status"),
			 told_status, vm);
}

/* Soon, then less and less often. */
static void begin_reach(struct vm *vm)
{
	uint64_t ms = TRY_MS_MIN + vm->tries++ / 8;

	vm->checked = false;
	vm->connect.fire = reach;
	vm->connect.ctx = vm;
	timer_set(&vm->manager->timers, &vm->connect,
		  ms < TRY_MS_MAX ? ms : TRY_MS_MAX);
}

void vm_reach(struct vm *vm)
{
	struct problem problem;

	vm->tries = 0;
	if (loop_add(vm->manager->loop, vm->process.pidfd, LOOP_READ,
		     process_ended, vm))
		host_log(HOST_LOG_ERROR, "machine %s: cannot be watched",
			 vm->row.name);
	moves_follow(vm->manager->moves, vm);
	/* What came while nobody looked. */
	moves_take_up(vm, &problem);
	begin_reach(vm);
}

/* --- starting ------------------------------------------------------------------------ */

/* A display that nobody gave an address is reached by way of lodged. */
static int add_settings(const struct vm *vm, struct spec_args *args)
{
	json_t *config = shared_config(vm);
	const char *display = json_string_value(
		json_object_get(config, "display"));
	char path[RUNTIME_PATH_MAX], text[RUNTIME_PATH_MAX + 16];
	int rc;

	runtime_path(path, vm->row.name, "vnc");
	if (display && !strcmp(display, "std") &&
	    strlen(path) <= UNIX_PATH_MAX) {
		snprintf(text, sizeof(text), "vnc=unix:%s", path);
		spec_arg_pair(args, "display", text);
		json_object_del(config, "display");
	}
	rc = config ? spec_args(args, config) : -1;
	json_decref(config);
	return rc;
}

static int make_args(const struct vm *vm, struct spec_args *args)
{
	char path[PATH_MAX + 128], console[RUNTIME_PATH_MAX];

	spec_arg(args, "lodge-vm");
	spec_arg_pair(args, "name", vm->row.name);
	spec_arg_pair(args, "identity", vm->row.run);
	snprintf(path, sizeof(path), "%d", PROCESS_LOCK_FD);
	spec_arg_pair(args, "lease", path);
	snprintf(path, sizeof(path), "%s/vms/%s/" ENDING_REPORT,
		 vm->manager->folder, vm->row.id, vm->row.run);
	spec_arg_pair(args, "report", path);
	snprintf(path, sizeof(path), "%s/vms/%s/" MOVES_FILE,
		 vm->manager->folder, vm->row.id);
	spec_arg_pair(args, "moves", path);
	runtime_path(console, vm->row.name, "console");
	snprintf(path, sizeof(path), "unix:%s", console);
	/* A path that no socket can have: then without. */
	spec_arg_pair(args, "serial",
		      strlen(console) <= UNIX_PATH_MAX ? path : "none");
	return add_settings(vm, args);
}

static int start_in_group(struct vm *vm, int folder, char *const *arg,
			  struct problem *problem)
{
	struct cgroup group;
	const struct process_before enter = { cgroup_enter, &group };
	int rc;

	if (limiter_begin(vm->manager->limiter, vm, &group, problem))
		return -1;
	rc = process_start_after(&vm->process, folder, vm->manager->vm_program,
				 arg, vm->row.run, &enter, problem);
	cgroup_close(&group);
	return rc;
}

/* Of the state "starting", which is in the registry. */
static int launch(struct vm *vm, struct problem *problem)
{
	struct spec_args args = { 0 };
	int folder = vm_folder(vm), rc;

	if (folder < 0)
		return problem_set(problem, 500, "host", "machine %s: its "
				   "folder: %s", vm->row.name,
				   strerror(-folder));
	vm->row.reason[0] = '\0';
	if (vm_rename_finish(vm, problem) || moves_begin(vm, problem)) {
		close(folder);
		return -1;
	}
	rc = make_args(vm, &args);
	if (rc)
		problem_set(problem, 500, "no-memory", "out of memory");
	else
		rc = start_in_group(vm, folder, args.arg, problem);
	spec_args_free(&args);
	close(folder);
	if (!rc)
		vm_reach(vm);
	return rc;
}

static void not_launched(struct vm *vm, const struct problem *problem)
{
	struct ending ending = { .kind = "failed", .failed = true };

	snprintf(ending.text, sizeof(ending.text), "%.290s", problem->text);
	ended(vm, &ending);
}

/* The report of a run that is no more the last. */
static void forget_report(const struct vm *vm)
{
	char name[80];
	int folder = vm_folder(vm);

	snprintf(name, sizeof(name), ENDING_REPORT, vm->row.run);
	if (folder >= 0 && *vm->row.run)
		unlinkat(folder, name, 0);
	if (folder >= 0)
		close(folder);
}

int vm_run(struct vm *vm, const char *kind, struct problem *problem)
{
	const struct registry_vm before = vm->row;
	enum vm_state state = vm->state;

	if (limiter_admit(vm->manager->limiter, vm, problem))
		return -1;
	forget_report(vm);
	vm->state = VM_STARTING;
	vm->row.started = time(NULL);
	vm->row.next_start = 0;
	vm->row.reason[0] = '\0';
	uuid_make(vm->row.run);
	timer_stop(&vm->manager->timers, &vm->restart);
	if (manager_store(vm->manager, vm, kind, NULL, NULL, problem)) {
		vm->row = before;
		vm->state = state;
		return -1;
	}
	if (launch(vm, problem))
		not_launched(vm, problem);
	return 0;
}

struct job *vm_start(struct vm *vm, struct problem *problem)
{
	int64_t restarts = vm->row.restarts;
	struct job *job;

	if (vm_check(vm, VERB_START, problem))
		return NULL;
	job = job_begin(&vm->manager->jobs, VERB_START, vm->row.id,
			vm->row.name, problem);
	if (!job)
		return NULL;
	vm->row.restarts = 0;
	if (!vm_run(vm, "starting", problem))
		return job;
	vm->row.restarts = restarts;
	job_end(&vm->manager->jobs, job, problem);
	return NULL;
}

/* --- after lodged was away ------------------------------------------------------------- */

static void take_up_work(struct vm *vm)
{
	if (vm->state == VM_CLONING)
		vm_clone_again(vm);
	else
		vm_delete_again(vm);
}

static void helper_ended(void *ctx, uint32_t events)
{
	struct vm *vm = ctx;

	loop_remove(vm->manager->loop, vm->helper.pidfd);
	process_close(&vm->helper);
	take_up_work(vm);
}

/* It works on what a lodged before this one began; then that is done again. */
static void await_helper(struct vm *vm)
{
	vm->helper = vm->process;
	vm->process = (struct process){ .pidfd = -1 };
	if (loop_add(vm->manager->loop, vm->helper.pidfd, LOOP_READ,
		     helper_ended, vm))
		host_log(HOST_LOG_ERROR, "machine %s: cannot be watched",
			 vm->row.name);
}

/* No process: what its row says is over, or was never begun. */
static void take_up_dead(struct vm *vm, const char *last_run)
{
	struct problem problem;
	struct ending ending;
	int folder;

	if (vm->state == VM_STOPPED) {
		remove_soon(vm);
		return;
	}
	if (vm->state == VM_DELETING || vm->state == VM_CLONING) {
		take_up_work(vm);
		return;
	}
	if (vm->state == VM_WAITING) {
		int64_t wait = vm->row.next_start - time(NULL);

		wait = wait < 0 ? 0 : wait > BACKOFF_MAX ? BACKOFF_MAX : wait;
		timer_set(&vm->manager->timers, &vm->restart,
			  (uint64_t)wait * 1000);
		return;
	}
	/* Somebody was told that it starts, and lodged ended before. */
	if (vm->state == VM_STARTING && strcmp(last_run, vm->row.run)) {
		if (launch(vm, &problem))
			not_launched(vm, &problem);
		return;
	}
	folder = vm_folder(vm);
	ending_find(&ending, folder, vm->row.run, -1);
	keep_crash(vm, folder, &ending);
	if (folder >= 0)
		close(folder);
	sweep(vm);
	ended(vm, &ending);
}

static void take_up_living(struct vm *vm)
{
	if (!strcmp(vm->process.run, PROCESS_HELPER)) {
		await_helper(vm);
		return;
	}
	if (strcmp(vm->row.run, vm->process.run) ||
	    vm->state == VM_STOPPED || vm->state == VM_WAITING) {
		snprintf(vm->row.run, sizeof(vm->row.run), "%s",
			 vm->process.run);
		vm_set_state(vm, VM_STARTING, "adopted", NULL);
	}
	vm_reach(vm);
	if (vm->state == VM_STOPPING)
		vm_stop_again(vm);
}

static void take_up(void *ctx)
{
	vm_take_up(ctx);
}

void vm_take_up(struct vm *vm)
{
	struct problem problem;
	int folder = openat(vm->manager->vms_folder, vm->row.id,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 1;

	vm->restart.fire = restart_now;
	vm->restart.ctx = vm;
	vm->process.run[0] = '\0';
	if (vm_rename_finish(vm, &problem))
		host_log(HOST_LOG_ERROR, "machine %s: %s", vm->row.name,
			 problem.text);
	if (folder >= 0)
		rc = process_find(&vm->process, folder, &problem);
	if (folder >= 0)
		close(folder);
	if (rc == 0) {
		take_up_living(vm);
	} else if (rc == 2) {
		vm->connect.fire = take_up;
		vm->connect.ctx = vm;
		timer_set(&vm->manager->timers, &vm->connect, TRY_MS_MIN);
	} else {
		take_up_dead(vm, vm->process.run);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "manage/limits/limiter.h"
#include "manage/registry/flush.h"
#include "manage/vm/link.h"
#include "manage/vm/spec.h"
#include "manage/vm/spec_words.h"
#include "vm/host.h"
#include "vmm/runtime.h"

struct vm *vm_new(struct manager *manager, const struct registry_vm *row,
		  const json_t *config)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->manager = manager;
	vm->row = *row;
	vm->row.spec = NULL;
	vm->config = json_deep_copy(config);
	vm->state = lifecycle_state(row->state);
	vm->process.pidfd = vm->helper.pidfd = vm->moves = -1;
	return vm;
}

void vm_free(struct vm *vm)
{
	struct timers *timers = &vm->manager->timers;

	timer_stop(timers, &vm->connect);
	timer_stop(timers, &vm->limit);
	timer_stop(timers, &vm->restart);
	timer_stop(timers, &vm->autostart);
	vm_drop_calls(vm);
	link_close(vm->link);
	if (vm->process.pidfd >= 0)
		loop_remove(vm->manager->loop, vm->process.pidfd);
	if (vm->helper.pidfd >= 0)
		loop_remove(vm->manager->loop, vm->helper.pidfd);
	process_close(&vm->process);
	process_close(&vm->helper);
	json_decref(vm->config);
	json_decref(vm->sandbox);
	free(vm);
}

int vm_folder(const struct vm *vm)
{
	int parent = vm->manager->vms_folder, fd;

	if (mkdirat(parent, vm->row.id, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(parent, vm->row.id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void vm_write_copy(const struct vm *vm)
{
	json_t *json = json_pack("{ss ss sI sI sO ss*}", "id", vm->row.id, "name",
				 vm->row.name, "generation",
				 (json_int_t)vm->row.generation, "created",
				 (json_int_t)vm->row.created, "config",
				 vm->config, "clone_of",
				 *vm->row.base ? vm->row.base : NULL);
	int folder = vm_folder(vm);

	if (folder >= 0)
		flush_copy(registry_flush(vm->manager->registry), json, folder,
			   "vm.json");
	else
		host_log(HOST_LOG_WARN, "machine %s: its copy vm.json cannot "
			 "be written: %s", vm->row.name, strerror(-folder));
	json_decref(json);
}

void vm_set_state(struct vm *vm, enum vm_state state, const char *kind,
		  const char *detail)
{
	struct problem problem;

	vm->state = state;
	if (manager_store(vm->manager, vm, kind, detail, NULL, &problem))
		host_log(HOST_LOG_ERROR, "machine %s is %s, which is not "
			 "kept: %s", vm->row.name, lifecycle_state_name(state),
			 problem.text);
}

static void set_time(json_t *json, const char *name, int64_t time)
{
	if (time)
		json_object_set_new(json, name, json_integer(time));
}

json_t *vm_json(const struct vm *vm)
{
	const struct registry_vm *row = &vm->row;
	bool up = vm->state != VM_STOPPED && vm->state != VM_WAITING;
	json_t *json = json_pack(
		"{ss ss ss sb si sI sI sI sI sI sO}", "id", row->id, "name",
		row->name, "state", lifecycle_state_name(vm->state), "managed",
		1, "cpus", (int)spec_cpus(vm->config), "memory",
		(json_int_t)spec_memory(vm->config), "generation", (json_int_t)row->generation, "created",
		(json_int_t)row->created, "changed", (json_int_t)row->changed,
		"restarts", (json_int_t)row->restarts, "config", vm->config);

	if (*row->base)
		json_object_set_new(json, "clone_of", json_string(row->base));
	set_time(json, "started", row->started);
	set_time(json, "next_start", row->next_start);
	if (!up && *row->reason)
		json_object_set_new(json, "reason", json_string(row->reason));
	if (vm->state == VM_PAUSED && *vm->paused_for)
		json_object_set_new(json, "reason",
				    json_string(vm->paused_for));
	if (vm->process.pidfd >= 0)
		json_object_set_new(json, "pid",
				    json_integer(vm->process.pid));
	if (vm->process.pidfd >= 0 && vm->sandbox)
		json_object_set(json, "sandbox", vm->sandbox);
	return json;
}

/* --- what others have to do with it -------------------------------------------------- */

/* The names of those that stand on its disks, some at least; "": none. */
static bool find_dependents(const struct vm *vm, char *names, size_t size,
			    bool *being_made)
{
	const struct manager *manager = vm->manager;
	size_t used = 0;

	*names = '\0';
	*being_made = false;
	for (size_t i = 0; i < manager->count; i++) {
		const struct vm *other = manager->vm[i];

		if (strcmp(other->row.base, vm->row.id))
			continue;
		*being_made |= other->state == VM_CLONING;
		if (used + 2 * REGISTRY_NAME_MAX < size)
			used += (size_t)snprintf(names + used, size - used,
						 "%s%s", used ? ", " : "",
						 other->row.name);
		else if (names[used - 1] != '.')
			used += (size_t)snprintf(names + used, size - used,
						 " ...");
	}
	return used;
}

static bool is_template(const json_t *config)
{
	return json_is_true(json_object_get(config, "template"));
}

static int check_others(const struct vm *vm, enum vm_verb verb,
			struct problem *problem)
{
	const char *name = vm->row.name;
	char names[240];
	bool being_made;

	if (!find_dependents(vm, names, sizeof(names), &being_made))
		return 0;
	if (being_made && (verb == VERB_DELETE || !is_template(vm->config)))
		return problem_set(problem, 409, "is-cloned", "%s is being "
				   "cloned; wait, and try again", name);
	if (verb == VERB_DELETE)
		return problem_set(problem, 409, "in-use", "%s has disks that "
				   "others stand on: %s; lodge rm them first",
				   name, names);
	return 0;
}

int vm_check(const struct vm *vm, enum vm_verb verb, struct problem *problem)
{
	const char *name = vm->row.name;

	if (lifecycle_check(vm->state, verb, name, problem))
		return -1;
	if (verb == VERB_START && is_template(vm->config))
		return problem_set(problem, 409, "is-template", "%s is a "
				   "template, which is never started; lodge "
				   "clone %s NEW makes a machine of it", name,
				   name);
	if ((verb == VERB_START || verb == VERB_DELETE ||
	     verb == VERB_CLONE) && check_others(vm, verb, problem))
		return -1;
	return verb == VERB_START ?
		       limiter_admit(vm->manager->limiter, vm, problem) : 0;
}

/* --- another name or configuration ------------------------------------------------ */

static int check_rename(struct vm *vm, const char *name,
			struct problem *problem)
{
	bool being_made;
	char names[240];

	if (!runtime_name_valid(name))
		return problem_set(problem, 400, "bad-name", "name %.80s: "
				   "give 1 to %d letters, digits and - _ . "
				   "with no . or - first", name, RUNTIME_NAME_MAX);
	if (manager_has_name(vm->manager, name))
		return problem_set(problem, 409, "name-taken", "there is a "
				   "machine %s; give another name", name);
	if (lifecycle_check(vm->state, VERB_RENAME, vm->row.name, problem))
		return -1;
	if (find_dependents(vm, names, sizeof(names), &being_made) &&
	    being_made)
		return problem_set(problem, 409, "is-cloned", "%s is being "
				   "cloned; wait, and try again", vm->row.name);
	return vm_rename_check(vm, name, problem);
}

/* What becomes a template, and what ceases to be one. */
static int check_template(const struct vm *vm, const json_t *changed,
			  struct problem *problem)
{
	const char *name = vm->row.name;
	bool being_made;
	char names[240];

	if (is_template(vm->config) == is_template(changed))
		return 0;
	if (is_template(changed) && vm->state != VM_STOPPED)
		return problem_set(problem, 409, "wrong-state", "%s is not "
				   "stopped, as a template is; lodge stop %s "
				   "first", name, name);
	if (is_template(vm->config) &&
	    find_dependents(vm, names, sizeof(names), &being_made))
		return problem_set(problem, 409, "in-use", "%s has disks that "
				   "others stand on: %s; lodge clone %s NEW "
				   "makes a machine that can be started", name,
				   names, name);
	return 0;
}

json_t *vm_check_edit(struct vm *vm, const char *name, const json_t *change,
		      struct problem *problem)
{
	json_t *changed;

	if (name && strcmp(name, vm->row.name) &&
	    check_rename(vm, name, problem))
		return NULL;
	if (vm_check(vm, VERB_EDIT, problem))
		return NULL;
	if (!change)
		return json_incref(vm->config);
	changed = spec_change(vm->config, change, problem);
	if (!changed || (!spec_check_words(change, problem) &&
			 !check_template(vm, changed, problem)))
		return changed;
	json_decref(changed);
	return NULL;
}

/* As it was; -1. */
static int give_up_edit(struct vm *vm, const struct registry_vm *before,
			json_t *config)
{
	struct problem problem;

	vm->row = *before;
	json_decref(vm->config);
	vm->config = config;
	if (vm->process.pidfd >= 0)
		limiter_change(vm->manager->limiter, vm, &problem);
	return -1;
}

int vm_edit(struct vm *vm, const char *name, const json_t *change,
	    struct problem *problem)
{
	const struct registry_vm before = vm->row;
	json_t *old = vm->config;
	struct problem later;
	json_t *new = vm_check_edit(vm, name, change, problem);
	bool renames = name && strcmp(name, vm->row.name);

	if (!new)
		return -1;
	vm->config = new;
	if (vm->process.pidfd >= 0 &&
	    limiter_change(vm->manager->limiter, vm, problem))
		return give_up_edit(vm, &before, old);
	if (renames && vm_rename_begin(vm, name, problem))
		return give_up_edit(vm, &before, old);
	if (renames)
		snprintf(vm->row.name, sizeof(vm->row.name), "%s", name);
	vm->row.generation++;
	if (manager_store(vm->manager, vm, renames ? "renamed" : "edited",
			  renames ? before.name : NULL, NULL, problem)) {
		give_up_edit(vm, &before, old);
		vm_rename_finish(vm, &later);
		return -1;
	}
	json_decref(old);
	if (renames)
		manager_renamed(vm->manager);
	vm_write_copy(vm);
	/* Else its next start does it, or tells. */
	if (renames && vm_rename_finish(vm, &later))
		host_log(HOST_LOG_ERROR, "machine %s: %s", vm->row.name,
			 later.text);
	return 0;
}

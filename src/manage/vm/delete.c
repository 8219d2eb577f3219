/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting a machine: what it has on the host goes first, its row last, so
 * that nothing is left of which nobody knows. The disk of a machine on an
 * image is the image store's, which removes it in a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "host/linux/loop.h"
#include "image/folder.h"
#include "manage/registry/flush.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"
#include "vm/host.h"

static int drop(struct vm *vm, struct problem *problem)
{
	struct registry *registry = vm->manager->registry;
	const struct registry_event event = {
		.kind = "deleted", .vm = vm->row.id, .name = vm->row.name,
	};
	int rc = registry_drop_vm(registry, vm->row.id, &event, problem);

	if (rc && registry_spend(registry, problem))
		rc = registry_drop_vm(registry, vm->row.id, &event, problem);
	registry_save_up(registry);
	return rc;
}

static void finish(struct vm *vm)
{
	struct manager *manager = vm->manager;
	char id[REGISTRY_ID_MAX + 1];
	struct problem problem;
	int err;

	flush_wait_copies(registry_flush(manager->registry));
	err = folder_remove(manager->vms_folder, vm->row.id);
	if (err && err != -ENOENT)
		host_log(HOST_LOG_WARN, "machine %s: its folder stays: %s",
			 vm->row.name, strerror(-err));
	/* Or what is left after a loss of power would be a machine again. */
	fsync(manager->vms_folder);
	if (drop(vm, &problem)) {
		vm_set_state(vm, VM_STOPPED, "not-deleted", problem.text);
		job_end_all(&manager->jobs, vm->row.id, 1u << VERB_DELETE,
			    &problem);
		return;
	}
	strcpy(id, vm->row.id);
	manager_forget(manager, vm);
	job_end_all(&manager->jobs, id, 1u << VERB_DELETE, NULL);
}

static void helper_ended(void *ctx, uint32_t events)
{
	struct vm *vm = ctx;

	loop_remove(vm->manager->loop, vm->helper.pidfd);
	process_end(&vm->helper);
	finish(vm);
}

/* The helper; 0: it works, helper_ended() follows. */
static int remove_disk(struct vm *vm)
{
	struct spec_args args = { 0 };
	struct problem problem;
	int folder, rc = -1;

	if (!json_object_get(vm->config, "image"))
		return -1;
	folder = vm_folder(vm);
	spec_arg(&args, "lodge");
	spec_arg(&args, "image");
	spec_arg(&args, "forget");
	spec_arg(&args, vm->row.name);
	if (folder >= 0 && !args.failed)
		rc = process_start(&vm->helper, folder, vm->manager->program,
				   args.arg, PROCESS_HELPER, &problem);
	if (folder >= 0)
		close(folder);
	spec_args_free(&args);
	if (!rc)
		rc = loop_add(vm->manager->loop, vm->helper.pidfd, LOOP_READ,
			      helper_ended, vm);
	return rc;
}

void vm_delete_again(struct vm *vm)
{
	if (remove_disk(vm))
		finish(vm);
}

struct job *vm_delete(struct vm *vm, struct problem *problem)
{
	struct manager *manager = vm->manager;
	const struct registry_vm before = vm->row;
	enum vm_state state = vm->state;
	struct job *job;

	if (vm_check(vm, VERB_DELETE, problem))
		return NULL;
	job = job_begin(&manager->jobs, VERB_DELETE, vm->row.id, vm->row.name,
			problem);
	if (!job)
		return NULL;
	vm->state = VM_DELETING;
	vm->row.next_start = 0;
	if (manager_store(manager, vm, "deleting", NULL, NULL, problem) &&
	    (!registry_spend(manager->registry, problem) ||
	     manager_store(manager, vm, "deleting", NULL, NULL, problem))) {
		vm->row = before;
		vm->state = state;
		job_end(&manager->jobs, job, problem);
		return NULL;
	}
	timer_stop(&manager->timers, &vm->restart);
	vm_delete_again(vm);
	return job;
}

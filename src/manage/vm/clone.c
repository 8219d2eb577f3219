/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clones: a machine made of one that is stopped, whose disks hold only what
 * will differ from the other's (qcow2 layers). The other, unless it is a
 * template and is never started, goes on on layers of its own, so that nobody
 * writes to what both stand on.
 *
 * The clone's row comes first, in the state "cloning", with all that it will
 * be; its folder has clone.json, which says what is to be made, and which a
 * process of its own carries out (lodge clone --carry-out), as often as it
 * takes: a lodged that comes after one that was killed does it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/json_file.h"
#include "host/linux/loop.h"
#include "image/folder.h"
#include "image/instance_clone.h"
#include "manage/registry/flush.h"
#include "manage/uuid.h"
#include "manage/vm/ending.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"
#include "vm/host.h"
#include "vmm/runtime.h"

#define CANCELLED   "cancelled" /* its row's reason, once that was asked */
#define FOLDERS_MAX 4 /* that --disk takes */

/* What a clone is made of. */
struct plan {
	const struct vm *source;
	const char *id, *name; /* of the clone */
	bool freeze;
	json_t *config; /* the clone's */
	json_t *disks;	/* of clone.json: "base", "format", "folders", "over" */
	json_t *json;	/* clone.json */
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* --- what it is to be -------------------------------------------------------------- */

/* What would be the other's as well: ports, addresses, being a template. */
static void drop_what_is_its_own(json_t *config)
{
	json_t *net;
	size_t i;

	json_object_del(config, "publish");
	json_object_del(config, "template");
	json_array_foreach(json_object_get(config, "networks"), i, net) {
		json_object_del(net, "mac");
		json_object_del(net, "pcap");
	}
	if (!strncmp(text_of(config, "display"), "vnc=", 4))
		json_object_del(config, "display");
}

static void add_folder(json_t *list, const char *folder)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		if (!strcmp(json_string_value(item), folder))
			return;
	json_array_append_new(list, json_string(folder));
}

/* Where the disk and what it stands on lie, or at which addresses. */
static json_t *folders_of(const struct plan *plan, const json_t *disk)
{
	const json_t *more = json_object_get(disk, "folder"), *item;
	const char *path = text_of(disk, "path"), *slash = strrchr(path, '/');
	char vms[PATH_MAX], folder[PATH_MAX];
	json_t *list = json_array();
	size_t i;

	snprintf(vms, sizeof(vms), "%s/vms", plan->source->manager->folder);
	if (!strncmp(path, vms, strlen(vms)) && path[strlen(vms)] == '/')
		snprintf(folder, sizeof(folder), "%s", vms);
	else if (*path == '/')
		snprintf(folder, sizeof(folder), "%.*s",
			 slash == path ? 1 : (int)(slash - path), path);
	else
		snprintf(folder, sizeof(folder), "%s", path);
	add_folder(list, folder);
	if (json_is_string(more))
		add_folder(list, json_string_value(more));
	json_array_foreach(more, i, item)
		add_folder(list, json_string_value(item));
	return list;
}

static char *layer_path(char *path, const struct plan *plan, const char *vm,
			size_t number)
{
	snprintf(path, PATH_MAX, "%s/vms/%s/disk-%zu-%.8s.qcow2",
		 plan->source->manager->folder, vm, number, plan->id);
	return path;
}

/* `disk` becomes a layer at `path`. */
static void put_on_layer(json_t *disk, const char *path, const char *base,
			 json_t *folders)
{
	json_object_set_new(disk, "path", json_string(path));
	json_object_set_new(disk, "format", json_string("qcow2"));
	json_object_set_new(disk, "base", json_string(base));
	json_object_set(disk, "folder", folders);
}

/* -1 with `problem`. */
static int plan_disk(struct plan *plan, json_t *disk, size_t number,
		     struct problem *problem)
{
	char path[PATH_MAX], over[PATH_MAX];
	json_t *folders, *entry, *layers;
	bool fits;

	if (json_is_true(json_object_get(disk, "readonly")) ||
	    !strcmp(text_of(disk, "path"), "none"))
		return 0;
	if (json_object_get(disk, "secret"))
		return problem_set(problem, 409, "encrypted", "disk %.200s: is "
				   "encrypted, and a layer on it would not "
				   "be; copy it with lodge disk convert",
				   text_of(disk, "path"));
	folders = folders_of(plan, disk);
	layers = json_pack("[s]", layer_path(path, plan, plan->id, number));
	if (plan->freeze)
		json_array_append_new(
			layers, json_string(layer_path(over, plan,
						       plan->source->row.id,
						       number)));
	entry = json_pack("{ss ss* sO sO}", "base", text_of(disk, "path"),
			  "format",
			  json_string_value(json_object_get(disk, "format")),
			  "folders", folders, "over", layers);
	json_array_append_new(plan->disks, entry);
	fits = json_array_size(folders) <= FOLDERS_MAX;
	if (fits)
		put_on_layer(disk, path, text_of(entry, "base"), folders);
	else
		problem_set(problem, 409, "too-deep", "disk %.200s: stands on "
			    "images in more than %d folders; lodge disk "
			    "rebase joins some", text_of(disk, "path"),
			    FOLDERS_MAX - 1);
	json_decref(layers);
	json_decref(folders);
	return fits ? 0 : -1;
}

static int plan_disks(struct plan *plan, struct problem *problem)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(plan->config, "disks"), i, disk)
		if (plan_disk(plan, disk, i, problem))
			return -1;
	return 0;
}

/* The disk that it has of an image, when it was started once. */
static int plan_instance(struct plan *plan, struct problem *problem)
{
	const struct manager *manager = plan->source->manager;
	char path[PATH_MAX + 80];

	if (!json_object_get(plan->config, "image") ||
	    !runtime_name_valid(plan->name))
		return 0;
	snprintf(path, sizeof(path), "%s/machines/%s", manager->folder,
		 plan->name);
	if (!access(path, F_OK))
		return problem_set(problem, 409, "name-taken", "lodge run "
				   "keeps a machine %s; give another name, or "
				   "lodge image forget %s first", plan->name,
				   plan->name);
	snprintf(path, sizeof(path), "%s/machines/%s", manager->folder,
		 plan->source->row.name);
	if (!access(path, F_OK))
		json_object_set_new(
			plan->json, "instance",
			json_pack("{ss ss ss sb}", "from",
				  plan->source->row.name, "to", plan->name,
				  "id", plan->id, "freeze",
				  (int)plan->freeze));
	return 0;
}

static void plan_vars(struct plan *plan)
{
	const char *from = text_of(plan->config, "uefi_vars");
	char path[PATH_MAX];

	if (!*from)
		return;
	snprintf(path, sizeof(path), "%s/vms/%s/uefi-vars.fd",
		 plan->source->manager->folder, plan->id);
	json_object_set_new(plan->json, "vars",
			    json_pack("{ss ss}", "from", from, "to", path));
	json_object_set_new(plan->config, "uefi_vars", json_string(path));
}

/* What the request names itself is not cloned. */
static int make_plan(struct plan *plan, const json_t *change,
		     struct problem *problem)
{
	json_t *config = json_deep_copy(plan->source->config);

	plan->freeze =
		!json_is_true(json_object_get(config, "template"));
	plan->disks = json_array();
	plan->json = json_pack("{ss sO}", "source", plan->source->row.id,
			       "disks", plan->disks);
	drop_what_is_its_own(config);
	if (json_object_get(change, "image")) {
		json_decref(config);
		return problem_set(problem, 400, "bad-config", "config.image: "
				   "is that of %s; lodge create makes a "
				   "machine of another one",
				   plan->source->row.name);
	}
	plan->config = change ? spec_change(config, change, problem) :
				json_incref(config);
	json_decref(config);
	if (!plan->config)
		return -1;
	if (!json_object_get(change, "disks") && plan_disks(plan, problem))
		return -1;
	if (!json_object_get(change, "uefi_vars"))
		plan_vars(plan);
	return plan_instance(plan, problem);
}

static void free_plan(struct plan *plan)
{
	json_decref(plan->config);
	json_decref(plan->disks);
	json_decref(plan->json);
}

static bool is_work(const json_t *plan)
{
	return json_array_size(json_object_get(plan, "disks")) ||
	       json_object_get(plan, "instance") ||
	       json_object_get(plan, "vars");
}

/* --- its end ----------------------------------------------------------------------- */

static json_t *read_plan(const struct vm *vm)
{
	int folder = vm_folder(vm);
	json_t *plan = folder < 0 ? NULL : json_file_read(folder, VM_CLONE_PLAN);

	if (folder >= 0)
		close(folder);
	return plan;
}

static struct vm *source_of(const struct vm *vm)
{
	struct manager *manager = vm->manager;

	for (size_t i = 0; i < manager->count; i++)
		if (!strcmp(manager->vm[i]->row.id, vm->row.base))
			return manager->vm[i];
	return NULL;
}

/* The source's disk, if it is still that one, goes on on its own layer. */
static bool go_on_on_layer(json_t *config, const json_t *entry)
{
	json_t *list = json_object_get(config, "disks"), *disk;
	const char *over = json_string_value(
		json_array_get(json_object_get(entry, "over"), 1));
	size_t i;

	json_array_foreach(list, i, disk) {
		if (!over || strcmp(text_of(disk, "path"),
				    text_of(entry, "base")))
			continue;
		put_on_layer(disk, over, text_of(entry, "base"),
			     json_object_get(entry, "folders"));
		return true;
	}
	return false;
}

static int freeze_source(struct vm *vm, const json_t *plan,
			 struct problem *problem)
{
	struct vm *source = source_of(vm);
	json_t *old = source ? source->config : NULL, *entry;
	bool changed = false;
	size_t i;

	if (!source)
		return 0;
	source->config = json_deep_copy(old);
	json_array_foreach(json_object_get(plan, "disks"), i, entry)
		changed |= go_on_on_layer(source->config, entry);
	source->row.generation += changed;
	if (changed && manager_store(vm->manager, source, "cloned",
				     vm->row.name, NULL, problem)) {
		source->row.generation--;
		json_decref(source->config);
		source->config = old;
		return -1;
	}
	json_decref(old);
	if (changed)
		vm_write_copy(source);
	return 0;
}

/* Layers that nobody stands on. */
static void remove_layers(const struct vm *vm, const json_t *plan)
{
	const struct vm *source = source_of(vm);
	char *config = source ? json_dumps(source->config, 0) : NULL;
	char aside[PATH_MAX + 8];
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(plan, "disks"), i, entry) {
		const char *over = json_string_value(
			json_array_get(json_object_get(entry, "over"), 1));

		if (!over || !config || strstr(config, over))
			continue;
		unlink(over);
		/* And what was cut short; see cli/machine/clone_disks.c. */
		snprintf(aside, sizeof(aside), "%s.new", over);
		unlink(aside);
	}
	free(config);
}

/* The disk that it has of an image. */
static void remove_instance(const struct vm *vm)
{
	struct disk_error error;
	struct store store;

	if (!json_object_get(vm->config, "image") ||
	    store_open(&store, &error))
		return;
	instance_unclone(&store, vm->row.name, vm->row.id);
	store_close(&store);
}

/* It could not be made: nothing is left of it. */
static void not_cloned(struct vm *vm, const json_t *plan,
		       const struct problem *problem)
{
	struct manager *manager = vm->manager;
	const struct registry_event event = {
		.kind = "not-cloned", .vm = vm->row.id, .name = vm->row.name,
		.detail = problem->text,
	};
	char id[REGISTRY_ID_MAX + 1];
	struct problem why;

	remove_layers(vm, plan);
	remove_instance(vm);
	flush_wait_copies(registry_flush(manager->registry));
	folder_remove(manager->vms_folder, vm->row.id);
	/* Or what is left after a loss of power would be a machine again. */
	fsync(manager->vms_folder);
	if (registry_drop_vm(manager->registry, vm->row.id, &event, &why))
		host_log(HOST_LOG_ERROR, "machine %s: %s", vm->row.name,
			 why.text);
	strcpy(id, vm->row.id);
	manager_forget(manager, vm);
	job_end_all(&manager->jobs, id, 1u << VERB_CLONE, problem);
}

/*
 * Whether it needs the source: a template that stays one, or what is in the
 * source's own folders. Of other images both are users from now on.
 */
static bool stands_on_source(const struct vm *vm, const json_t *plan)
{
	const struct vm *source = source_of(vm);
	const json_t *entry;
	size_t i;

	if (!is_work(plan) || !source)
		return false;
	if (json_is_true(json_object_get(source->config, "template")) ||
	    json_object_get(plan, "instance"))
		return true;
	json_array_foreach(json_object_get(plan, "disks"), i, entry)
		if (strstr(text_of(entry, "base"), source->row.id))
			return true;
	return false;
}

static void cloned(struct vm *vm, const json_t *plan)
{
	struct manager *manager = vm->manager;
	char detail[REGISTRY_NAME_MAX + 16];
	struct problem problem;
	int folder;

	if (freeze_source(vm, plan, &problem)) {
		not_cloned(vm, plan, &problem);
		return;
	}
	snprintf(detail, sizeof(detail), "clone of %s",
		 source_of(vm) ? source_of(vm)->row.name : "none");
	if (!stands_on_source(vm, plan))
		vm->row.base[0] = '\0';
	/* A cancel that came too late has changed nothing. */
	vm->row.reason[0] = '\0';
	vm->state = VM_STOPPED;
	if (manager_store(manager, vm, "created", detail, NULL, &problem)) {
		/* The source has its layer, which it can go on on. */
		not_cloned(vm, plan, &problem);
		return;
	}
	vm_write_copy(vm);
	folder = vm_folder(vm);
	if (folder >= 0) {
		unlinkat(folder, VM_CLONE_PLAN, 0);
		close(folder);
	}
	job_end_all(&manager->jobs, vm->row.id, 1u << VERB_CLONE, NULL);
}

static bool is_cancelled(const struct vm *vm, struct problem *problem)
{
	if (strcmp(vm->row.reason, CANCELLED))
		return false;
	problem_set(problem, 409, "cancelled", "%s is not made: it was "
		    "cancelled", vm->row.name);
	return true;
}

static void helper_ended(void *ctx, uint32_t events)
{
	struct vm *vm = ctx;
	json_t *plan = read_plan(vm);
	struct problem problem;
	struct ending ending;
	int folder, status;

	loop_remove(vm->manager->loop, vm->helper.pidfd);
	status = process_end(&vm->helper);
	if (!status) {
		cloned(vm, plan);
	} else if (is_cancelled(vm, &problem)) {
		not_cloned(vm, plan, &problem);
	} else {
		folder = vm_folder(vm);
		ending_find(&ending, folder, "clone", status);
		if (folder >= 0)
			close(folder);
		problem_set(&problem, 500, "not-cloned", "%s is not made: %s",
			    vm->row.name, ending.text);
		not_cloned(vm, plan, &problem);
	}
	json_decref(plan);
}

static int start_helper(struct vm *vm, struct problem *problem)
{
	struct spec_args args = { 0 };
	char path[PATH_MAX + 80];
	int folder = vm_folder(vm), rc = -1;

	snprintf(path, sizeof(path), "%s/vms/%s/" VM_CLONE_PLAN, vm->manager->folder,
		 vm->row.id);
	spec_arg(&args, "lodge");
	spec_arg(&args, "clone");
	spec_arg_pair(&args, "carry-out", path);
	spec_arg(&args, "--");
	spec_arg(&args, source_of(vm) ? source_of(vm)->row.name : "none");
	spec_arg(&args, vm->row.name);
	if (folder < 0)
		problem_set(problem, 500, "host", "machine %s: its folder: %s",
			    vm->row.name, strerror(-folder));
	else if (args.failed)
		problem_set(problem, 500, "no-memory", "out of memory");
	else
		rc = process_start(&vm->helper, folder, vm->manager->program,
				   args.arg, PROCESS_HELPER, problem);
	if (folder >= 0)
		close(folder);
	spec_args_free(&args);
	if (!rc && loop_add(vm->manager->loop, vm->helper.pidfd, LOOP_READ,
			    helper_ended, vm))
		host_log(HOST_LOG_ERROR, "machine %s: cannot be watched",
			 vm->row.name);
	return rc;
}

void vm_clone_again(struct vm *vm)
{
	json_t *plan = read_plan(vm);
	struct problem problem;

	if (!plan) {
		problem_set(&problem, 500, "not-cloned",
			    "%s is not made: its plan is lost", vm->row.name);
		not_cloned(vm, NULL, &problem);
	} else if (is_cancelled(vm, &problem)) {
		not_cloned(vm, plan, &problem);
	} else if (!is_work(plan)) {
		cloned(vm, plan);
	} else if (start_helper(vm, &problem)) {
		not_cloned(vm, plan, &problem);
	}
	json_decref(plan);
}

/* --- its job ----------------------------------------------------------------------- */

/* Known to a lodged that comes after this one, then done. */
static int cancel(void *ctx, struct problem *problem)
{
	struct vm *vm = ctx;

	if (!strcmp(vm->row.reason, CANCELLED))
		return 0;
	strcpy(vm->row.reason, CANCELLED);
	if (manager_store(vm->manager, vm, "cancelled", NULL, NULL, problem)) {
		vm->row.reason[0] = '\0';
		return -1;
	}
	process_signal(&vm->helper, SIGTERM);
	return 0;
}

/* How many layers have their name. */
static uint64_t count_layers(void *ctx)
{
	json_t *plan = read_plan(ctx), *entry, *path;
	uint64_t count = 0;
	size_t i, k;

	json_array_foreach(json_object_get(plan, "disks"), i, entry)
		json_array_foreach(json_object_get(entry, "over"), k, path)
			count += !access(json_string_value(path), F_OK);
	json_decref(plan);
	return count;
}

/* What can be done to it and seen of it while its disks are made. */
static void equip(struct job *job, struct vm *vm)
{
	json_t *plan, *entry;
	size_t i;

	if (job->state != JOB_ACTIVE)
		return;
	plan = read_plan(vm);
	json_array_foreach(json_object_get(plan, "disks"), i, entry)
		job->total += json_array_size(json_object_get(entry, "over"));
	json_decref(plan);
	snprintf(job->step, sizeof(job->step), "making disks");
	job->cancel = cancel;
	job->look = count_layers;
	job->cancel_ctx = job->look_ctx = vm;
}

/* --- its beginning ------------------------------------------------------------------ */

static int write_plan(const struct plan *plan, struct problem *problem)
{
	int parent = plan->source->manager->vms_folder, folder = -1, err = 0;

	if (mkdirat(parent, plan->id, 0700))
		err = -errno;
	else
		folder = openat(parent, plan->id,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!err)
		err = folder < 0 ? -errno :
				   json_file_write(plan->json, folder, VM_CLONE_PLAN);
	if (folder >= 0)
		close(folder);
	if (!err)
		return 0;
	folder_remove(parent, plan->id);
	if (err == -ENOSPC || err == -EDQUOT)
		return problem_set(problem, 507, "disk-full", "%s is not made: "
				   "no room on the disk for its folder; make "
				   "some and try again", plan->name);
	return problem_set(problem, 500, "host", "%s is not made: its folder: "
			   "%s", plan->name, strerror(-err));
}

static struct job *begin(struct plan *plan, const char *key,
			 struct problem *problem)
{
	struct manager *manager = plan->source->manager;
	struct registry_vm row = { .generation = 1, .created = time(NULL) };
	struct job *job;
	struct vm *vm;

	if (write_plan(plan, problem))
		return NULL;
	strcpy(row.id, plan->id);
	strcpy(row.base, plan->source->row.id);
	snprintf(row.name, sizeof(row.name), "%s", plan->name);
	snprintf(row.state, sizeof(row.state), "%s",
		 lifecycle_state_name(VM_CLONING));
	job = job_begin(&manager->jobs, VERB_CLONE, row.id, row.name, problem);
	vm = job ? manager_add(manager, &row, plan->config, "cloning", key,
			       problem) :
		   NULL;
	if (vm) {
		vm_clone_again(vm);
		equip(job, vm);
		return job;
	}
	folder_remove(manager->vms_folder, plan->id);
	if (job)
		job_end(&manager->jobs, job, problem);
	return NULL;
}

/* A request that is sent again gives the same machine. */
static struct job *begun_before(struct manager *manager, struct vm *vm,
				struct problem *problem)
{
	struct job *job = job_begin(&manager->jobs, VERB_CLONE, vm->row.id,
				    vm->row.name, problem);

	if (job && vm->state != VM_CLONING)
		job_end(&manager->jobs, job, NULL);
	else if (job)
		equip(job, vm);
	return job;
}

json_t *vm_check_clone(struct vm *source, const char *name,
		       const json_t *change, struct problem *problem)
{
	struct plan plan = { .source = source, .id = "", .name = name };
	json_t *config = NULL;

	if (!vm_check(source, VERB_CLONE, problem) &&
	    !make_plan(&plan, change, problem) &&
	    !manager_check_new(source->manager, name, plan.config, problem))
		config = json_incref(plan.config);
	free_plan(&plan);
	return config;
}

struct job *vm_clone(struct vm *source, const char *name,
		     const json_t *change, const char *key,
		     struct problem *problem)
{
	struct vm *before = manager_made_before(source->manager, key);
	char id[REGISTRY_ID_MAX + 1];
	struct plan plan = { .source = source, .id = id, .name = name };
	struct job *job = NULL;

	if (before)
		return begun_before(source->manager, before, problem);
	uuid_make(id);
	if (!vm_check(source, VERB_CLONE, problem) &&
	    !make_plan(&plan, change, problem) &&
	    !manager_check_new(source->manager, name, plan.config, problem))
		job = begin(&plan, key, problem);
	free_plan(&plan);
	return job;
}

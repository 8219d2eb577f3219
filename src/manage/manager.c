/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/manager.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/data.h"
#include "host/linux/json_file.h"
#include "host/linux/loop.h"
#include "image/folder.h"
#include "manage/limits/limiter.h"
#include "manage/uuid.h"
#include "manage/vm/moves.h"
#include "manage/vm/spec.h"
#include "manage/vm/spec_words.h"
#include "manage/vm/vm.h"
#include "net/fabric.h"
#include "vm/host.h"
#include "vmm/nearest.h"
#include "vmm/runtime.h"

/* --- the list -------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct vm *const *one = a, *const *other = b;

	return strcmp((*one)->row.name, (*other)->row.name);
}

void manager_renamed(struct manager *manager)
{
	qsort(manager->vm, manager->count, sizeof(*manager->vm), by_name);
}

static int add(struct manager *manager, struct vm *vm)
{
	if (manager->count == manager->room) {
		size_t room = manager->room ? 2 * manager->room : 16;
		struct vm **more = realloc(manager->vm,
					   room * sizeof(*more));

		if (!more)
			return -1;
		manager->vm = more;
		manager->room = room;
	}
	manager->vm[manager->count++] = vm;
	return 0;
}

void manager_forget(struct manager *manager, struct vm *vm)
{
	for (size_t i = 0; i < manager->count; i++) {
		if (manager->vm[i] != vm)
			continue;
		manager->count--;
		memmove(&manager->vm[i], &manager->vm[i + 1],
			(manager->count - i) * sizeof(*manager->vm));
		break;
	}
	vm_free(vm);
	if (manager->on_event)
		manager->on_event(manager->on_event_ctx);
}

static struct vm *find_name(struct manager *manager, const char *name)
{
	size_t low = 0, high = manager->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(manager->vm[middle]->row.name, name);

		if (!order)
			return manager->vm[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool manager_has_name(struct manager *manager, const char *name)
{
	return find_name(manager, name);
}

static struct vm *find_id(struct manager *manager, const char *id)
{
	for (size_t i = 0; i < manager->count; i++)
		if (!strcmp(manager->vm[i]->row.id, id))
			return manager->vm[i];
	return NULL;
}

static const char *nearest(struct manager *manager, const char *name)
{
	const char **names = calloc(manager->count + 1, sizeof(*names));
	const char *like;

	for (size_t i = 0; names && i < manager->count; i++)
		names[i] = manager->vm[i]->row.name;
	like = names ? nearest_word(name, names, manager->count,
				    sizeof(*names)) :
		       NULL;
	free(names);
	return like;
}

struct vm *manager_find(struct manager *manager, const char *name,
			struct problem *problem)
{
	struct vm *vm = find_name(manager, name);
	const char *like;

	if (!vm)
		vm = find_id(manager, name);
	if (vm)
		return vm;
	like = nearest(manager, name);
	problem_set(problem, 404, "no-such-vm", "there is no machine %.80s%s"
		    "%s%s", name, like ? "; did you mean " : "; lodge ps lists "
		    "them", like ? like : "", like ? "?" : "");
	return NULL;
}

unsigned int manager_running(const struct manager *manager)
{
	unsigned int n = 0;

	for (size_t i = 0; i < manager->count; i++)
		n += manager->vm[i]->process.pidfd >= 0 ||
		     manager->vm[i]->state == VM_WAITING;
	return n;
}

/* --- changes ---------------------------------------------------------------------- */

int manager_store(struct manager *manager, struct vm *vm, const char *kind,
		  const char *detail, const char *key, struct problem *problem)
{
	const struct registry_event event = {
		.kind = kind, .vm = vm->row.id, .name = vm->row.name,
		.detail = detail && *detail ? detail : NULL,
	};
	const int64_t changed = vm->row.changed;
	int rc;

	snprintf(vm->row.state, sizeof(vm->row.state), "%s",
		 lifecycle_state_name(vm->state));
	vm->row.changed = time(NULL);
	vm->row.spec = json_dumps(vm->config, JSON_COMPACT | JSON_SORT_KEYS);
	if (!vm->row.spec)
		return problem_set(problem, 500, "no-memory", "out of memory");
	rc = registry_put_vm(manager->registry, &vm->row, &event, key,
			     problem);
	free(vm->row.spec);
	vm->row.spec = NULL;
	if (rc)
		vm->row.changed = changed;
	else
		vm->row.listed = vm->row.generation;
	if (!rc && manager->on_event)
		manager->on_event(manager->on_event_ctx);
	return rc;
}

struct vm *manager_made_before(struct manager *manager, const char *key)
{
	char id[REGISTRY_ID_MAX + 1];

	return key && registry_find_key(manager->registry, key, id) ?
		       find_id(manager, id) :
		       NULL;
}

int manager_check_new(struct manager *manager, const char *name,
		      const json_t *config, struct problem *problem)
{
	if (!runtime_name_valid(name))
		return problem_set(problem, 400, "bad-name", "name %.80s: "
				   "give 1 to %d letters, digits and - _ . "
				   "with no . or - first", name, RUNTIME_NAME_MAX);
	if (find_name(manager, name))
		return problem_set(problem, 409, "name-taken", "there is a "
				   "machine %s; give another name, or lodge rm "
				   "%s first", name, name);
	return spec_check(config, problem) ?
		       -1 : spec_check_words(config, problem);
}

struct vm *manager_add(struct manager *manager, const struct registry_vm *row,
		       const json_t *config, const char *kind,
		       const char *key, struct problem *problem)
{
	struct vm *vm = vm_new(manager, row, config);

	if (!vm || add(manager, vm)) {
		problem_set(problem, 500, "no-memory", "out of memory");
		if (vm)
			vm_free(vm);
		return NULL;
	}
	if (manager_store(manager, vm, kind, NULL, key, problem)) {
		manager->count--;
		vm_free(vm);
		return NULL;
	}
	manager_renamed(manager);
	vm_write_copy(vm);
	return vm;
}

struct vm *manager_create(struct manager *manager, const char *name,
			  const json_t *config, const char *key, bool *again,
			  struct problem *problem)
{
	struct registry_vm row = { .generation = 1, .created = time(NULL) };
	struct vm *vm = manager_made_before(manager, key);

	*again = vm != NULL;
	if (vm)
		return vm;
	if (manager_check_new(manager, name, config, problem))
		return NULL;
	uuid_make(row.id);
	snprintf(row.name, sizeof(row.name), "%s", name);
	snprintf(row.state, sizeof(row.state), "%s",
		 lifecycle_state_name(VM_STOPPED));
	vm = manager_add(manager, &row, config, "created", key, problem);
	if (vm)
		vm_take_up(vm);
	return vm;
}

/* --- opening ----------------------------------------------------------------------- */

static void load_row(void *ctx, const struct registry_vm *row)
{
	struct manager *manager = ctx;
	json_t *config = json_loads(row->spec, 0, NULL);
	struct vm *vm = vm_new(manager, row, config);

	json_decref(config);
	if (vm && !vm->config)
		vm->config = json_object();
	if (!vm || add(manager, vm))
		host_log(HOST_LOG_ERROR, "machine %s: out of memory",
			 row->name);
}

/* Its copy, which is not newer than what the registry had once. */
static json_t *read_copy(struct manager *manager, const char *id)
{
	json_t *copy = NULL;
	int folder = openat(manager->vms_folder, id,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder >= 0)
		copy = json_file_read(folder, "vm.json");
	if (folder >= 0)
		close(folder);
	return copy;
}

/* `name`, or one like it that no other machine has. */
static void choose_name(struct manager *manager, struct registry_vm *row,
			const char *name)
{
	snprintf(row->name, sizeof(row->name), "%s", name);
	for (int i = 2; find_name(manager, row->name); i++)
		snprintf(row->name, sizeof(row->name), "%.50s-%d", name, i);
}

/* What it says; false: nothing that can be. */
static bool take_copy(struct manager *manager, const json_t *copy,
		      struct registry_vm *row)
{
	const char *name = json_string_value(json_object_get(copy, "name"));
	const char *base = json_string_value(json_object_get(copy,
							     "clone_of"));
	struct problem problem;

	if (!name || !runtime_name_valid(name) ||
	    spec_check(json_object_get(copy, "config"), &problem))
		return false;
	if (strcmp(row->name, name))
		choose_name(manager, row, name);
	snprintf(row->base, sizeof(row->base), "%s", base ? base : "");
	row->created = json_integer_value(json_object_get(copy, "created"));
	row->generation = json_integer_value(json_object_get(copy,
							     "generation"));
	return true;
}

static void store_recovered(struct manager *manager, struct vm *vm)
{
	struct problem problem;

	manager_renamed(manager);
	if (manager_store(manager, vm, "recovered", NULL, NULL, &problem))
		host_log(HOST_LOG_ERROR, "machine %s: %s", vm->row.name,
			 problem.text);
}

static bool has_file(struct manager *manager, const char *id, const char *name)
{
	char path[REGISTRY_ID_MAX + 24];

	snprintf(path, sizeof(path), "%s/%s", id, name);
	return !faccessat(manager->vms_folder, path, F_OK, 0);
}

/* A machine that the registry does not know, out of its copy. */
static void import(struct manager *manager, const char *id)
{
	json_t *copy = read_copy(manager, id);
	struct registry_vm row = { 0 };
	struct vm *vm = NULL;

	snprintf(row.id, sizeof(row.id), "%s", id);
	snprintf(row.state, sizeof(row.state), "%s",
		 lifecycle_state_name(has_file(manager, id, VM_CLONE_PLAN) ?
					      VM_CLONING : VM_STOPPED));
	if (take_copy(manager, copy, &row))
		vm = vm_new(manager, &row, json_object_get(copy, "config"));
	json_decref(copy);
	if (vm && !add(manager, vm))
		store_recovered(manager, vm);
	else
		host_log(HOST_LOG_ERROR, "vms/%s: belongs to no machine, and "
			 "its vm.json is none of this version; it stays", id);
}

/* One of which the registry has lost the newest: what was damaged is its log. */
static void renew(struct manager *manager, struct vm *vm)
{
	json_t *copy = read_copy(manager, vm->row.id);
	json_int_t generation =
		json_integer_value(json_object_get(copy, "generation"));
	struct registry_vm row = vm->row;

	if (generation > vm->row.generation &&
	    take_copy(manager, copy, &row)) {
		vm->row = row;
		json_decref(vm->config);
		vm->config = json_deep_copy(json_object_get(copy, "config"));
		store_recovered(manager, vm);
	}
	json_decref(copy);
}

/*
 * Folders of machines that the registry does not know become machines again,
 * as one that was deleted has no copy left: the registry was lost, or the end
 * of its log. What else belongs to no machine goes.
 */
static void look_at_folders(struct manager *manager)
{
	struct dirent **entry;
	uint64_t bytes = 0;
	struct vm *vm;
	int count;

	/* What was being removed. */
	folder_prune(manager->vms_folder, &bytes);
	count = scandirat(manager->vms_folder, ".", &entry, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *id = entry[i]->d_name;

		vm = find_id(manager, id);
		if (vm)
			renew(manager, vm);
		else if (id[0] != '.' && strlen(id) <= REGISTRY_ID_MAX &&
			 has_file(manager, id, "vm.json"))
			import(manager, id);
		else if (id[0] != '.')
			folder_remove(manager->vms_folder, id);
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
}

/* Machines that are to run from the host's start on. */
static int by_order(const void *a, const void *b)
{
	json_int_t one, other;

	spec_autostart((*(struct vm *const *)a)->config, &one);
	spec_autostart((*(struct vm *const *)b)->config, &other);
	return one < other ? -1 : one > other;
}

static void autostart_one(void *ctx)
{
	struct vm *vm = ctx;
	struct problem problem;

	if (vm->state == VM_STOPPED && !vm_start(vm, &problem))
		host_log(HOST_LOG_ERROR, "machine %s: %s", vm->row.name,
			 problem.text);
}

/* Each waits as long as those before it say, together. */
static void autostart(struct manager *manager)
{
	struct vm **list = calloc(manager->count + 1, sizeof(struct vm *));
	json_int_t order, wait = 0;
	size_t count = 0;

	for (size_t i = 0; list && i < manager->count; i++)
		if (spec_autostart(manager->vm[i]->config, &order) &&
		    manager->vm[i]->state == VM_STOPPED)
			list[count++] = manager->vm[i];
	if (list)
		qsort(list, count, sizeof(*list), by_order);
	for (size_t i = 0; i < count; i++) {
		struct vm *vm = list[i];

		vm->autostart.fire = autostart_one;
		vm->autostart.ctx = vm;
		if (wait)
			timer_set(&manager->timers, &vm->autostart,
				  (uint64_t)wait * 1000);
		else
			autostart_one(vm);
		wait += spec_autostart_delay(vm->config);
	}
	free(list);
}

/* Whether the host was started since lodged ran last. */
static bool new_boot(struct manager *manager)
{
	char now[64] = "", before[64];
	struct problem problem;
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (file && !fgets(now, sizeof(now), file))
		now[0] = '\0';
	if (file)
		fclose(file);
	registry_get(manager->registry, "boot", before, sizeof(before));
	if (!*now || !strcmp(now, before))
		return false;
	registry_set(manager->registry, "boot", now, &problem);
	return true;
}

static void take_up_all(struct manager *manager, const char *kept)
{
	const struct registry_event lost = {
		.kind = "registry-replaced", .detail = kept,
	};
	struct problem problem;

	if (*kept) {
		snprintf(manager->note, sizeof(manager->note), "the registry "
			 "was damaged; it is kept as %.300s, and a new one is "
			 "filled from the machines' folders", kept);
		host_log(HOST_LOG_ERROR, "the registry was damaged; it is kept "
			 "as %s, and a new one is filled from the machines' "
			 "folders", kept);
		registry_add_event(manager->registry, &lost, &problem);
	}
	look_at_folders(manager);
	/* One that was being deleted leaves the list. */
	for (size_t i = manager->count; i-- > 0;)
		vm_take_up(manager->vm[i]);
	limiter_sweep(manager->limiter);
	fabric_sweep();
	if (new_boot(manager))
		autostart(manager);
}

static int take_lock(int fd)
{
	const struct timespec pause = { .tv_nsec = MANAGER_TRY_NS };

	for (int i = 0; i < MANAGER_TRIES; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return 0;
		nanosleep(&pause, NULL);
	}
	return -1;
}

static int open_folders(struct manager *manager, struct problem *problem)
{
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), "%s/vms", manager->folder);
	err = data_make(path);
	if (!err) {
		manager->vms_folder = open(path, O_RDONLY | O_DIRECTORY |
							 O_CLOEXEC);
		err = manager->vms_folder < 0 ? -errno : 0;
	}
	if (err)
		return problem_set(problem, 500, "host", "folder %s: %s", path,
				   strerror(-err));
	snprintf(path, sizeof(path), "%s/lodged.lock", manager->folder);
	manager->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (manager->lock < 0)
		return problem_set(problem, 500, "host", "%s: %s", path,
				   strerror(errno));
	if (take_lock(manager->lock))
		return problem_set(problem, 409, "runs", "another lodged "
				   "keeps %s; end it, or give this one another "
				   "folder by XDG_DATA_HOME", manager->folder);
	return 0;
}

int manager_open(struct manager *manager, struct loop *loop,
		 const char *folder, const char *program,
		 const char *vm_program, struct problem *problem)
{
	char kept[PROBLEM_TEXT_MAX];
	bool fresh;

	*manager = (struct manager){ .loop = loop, .vms_folder = -1,
				     .lock = -1 };
	timers_init(&manager->timers, loop);
	snprintf(manager->folder, sizeof(manager->folder), "%s", folder);
	snprintf(manager->program, sizeof(manager->program), "%s", program);
	snprintf(manager->vm_program, sizeof(manager->vm_program), "%s",
		 vm_program);
	manager->limiter = limiter_open(manager, problem);
	if (!manager->limiter || open_folders(manager, problem) ||
	    registry_open(&manager->registry, folder, &fresh, kept, problem) ||
	    registry_each_vm(manager->registry, load_row, manager, problem)) {
		manager_close(manager);
		return -1;
	}
	manager->moves = moves_watch_open(manager);
	take_up_all(manager, kept);
	return 0;
}

void manager_close(struct manager *manager)
{
	for (size_t i = 0; i < manager->count; i++)
		vm_free(manager->vm[i]);
	moves_watch_close(manager->moves);
	limiter_close(manager->limiter);
	free(manager->vm);
	registry_close(manager->registry);
	if (manager->vms_folder >= 0)
		close(manager->vms_folder);
	if (manager->lock >= 0)
		close(manager->lock);
	*manager = (struct manager){ .vms_folder = -1, .lock = -1 };
}

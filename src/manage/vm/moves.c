/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/moves.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "disk/moved.h"
#include "host/linux/loop.h"
#include "image/instance.h"
#include "manage/registry/flush.h"
#include "manage/vm/spec.h"
#include "manage/vm/vm.h"
#include "vm/host.h"

struct moves_watch {
	struct manager *manager;
	int fd;
};

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* --- the configuration ------------------------------------------------------------ */

static bool move(json_t *config, const json_t *entry)
{
	const char *base = text_of(entry, "base");
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(config, "disks"), i, disk) {
		if (strcmp(text_of(disk, "path"), text_of(entry, "from")))
			continue;
		json_object_set(disk, "path", json_object_get(entry, "path"));
		json_object_set(disk, "format",
				json_object_get(entry, "format"));
		json_object_del(disk, "base");
		if (*base)
			json_object_set_new(disk, "base", json_string(base));
		else
			json_object_del(disk, "folder");
		return true;
	}
	return false;
}

/* Of the disk that it has of an image, the store keeps the record. */
static void move_instance(const struct vm *vm, const json_t *entry)
{
	struct disk_error error;
	struct store store;

	if (!json_object_get(vm->config, "image") ||
	    store_open(&store, &error))
		return;
	if (instance_moved(&store, vm->row.name, text_of(entry, "from"),
			   text_of(entry, "path"),
			   text_of(entry, "format")) < 0)
		host_log(HOST_LOG_ERROR, "machine %s: its disk is %.200s now, "
			 "which is not kept", vm->row.name,
			 text_of(entry, "path"));
	store_close(&store);
}

static json_t *moved(const struct vm *vm, const json_t *list, char *detail,
		     size_t size)
{
	json_t *config = json_deep_copy(vm->config), *entry;
	struct problem problem;
	bool changed = false;
	size_t i;

	json_array_foreach(list, i, entry) {
		if (!move(config, entry)) {
			move_instance(vm, entry);
			continue;
		}
		changed = true;
		snprintf(detail, size, "%.120s is %.120s now",
			 text_of(entry, "from"), text_of(entry, "path"));
	}
	if (changed && !spec_check(config, &problem))
		return config;
	json_decref(config);
	return NULL;
}

static int store(struct vm *vm, json_t *config, const char *detail,
		 struct problem *problem)
{
	json_t *old = vm->config;

	vm->config = config;
	vm->row.generation++;
	if (!manager_store(vm->manager, vm, "moved", detail, NULL, problem)) {
		json_decref(old);
		vm_write_copy(vm);
		return 0;
	}
	vm->row.generation--;
	vm->config = old;
	json_decref(config);
	host_log(HOST_LOG_ERROR, "machine %s: %s, which is not kept yet: %s",
		 vm->row.name, detail, problem->text);
	return -1;
}

int moves_take_up(struct vm *vm, struct problem *problem)
{
	int folder = openat(vm->manager->vms_folder, vm->row.id,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_t *list, *config = NULL;
	char detail[300];
	int rc = 0;

	if (folder < 0)
		return 0;
	list = moved_read(folder, MOVES_FILE, vm->row.name);
	if (list)
		config = moved(vm, list, detail, sizeof(detail));
	if (config)
		rc = store(vm, config, detail, problem);
	json_decref(list);
	close(folder);
	return rc;
}

int moves_begin(struct vm *vm, struct problem *problem)
{
	int folder = openat(vm->manager->vms_folder, vm->row.id,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (folder < 0)
		return 0;
	if (moves_take_up(vm, problem)) {
		close(folder);
		return -1;
	}
	/* First the registry, then what it was made of. */
	if (!faccessat(folder, MOVES_FILE, F_OK, AT_SYMLINK_NOFOLLOW))
		flush_wait(registry_flush(vm->manager->registry));
	moved_forget(folder, MOVES_FILE);
	close(folder);
	return 0;
}

/* --- as it comes ----------------------------------------------------------------------- */

static void take_up_folder(struct moves_watch *watch, int descriptor)
{
	struct manager *manager = watch->manager;
	struct problem problem;

	for (size_t i = 0; i < manager->count; i++)
		if (manager->vm[i]->moves == descriptor)
			moves_take_up(manager->vm[i], &problem);
}

static void files_changed(void *ctx, uint32_t events)
{
	struct moves_watch *watch = ctx;
	union {
		struct inotify_event event;
		char space[4096];
	} in;
	ssize_t n = read(watch->fd, &in, sizeof(in));
	const struct inotify_event *event;

	for (ssize_t at = 0; at < n;
	     at += (ssize_t)(sizeof(*event) + event->len)) {
		event = (const void *)(in.space + at);
		if (event->len && !strcmp(event->name, MOVES_FILE))
			take_up_folder(watch, event->wd);
	}
}

struct moves_watch *moves_watch_open(struct manager *manager)
{
	struct moves_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->manager = manager;
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch->fd >= 0 && !loop_add(manager->loop, watch->fd, LOOP_READ,
					files_changed, watch))
		return watch;
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch);
	return NULL;
}

void moves_watch_close(struct moves_watch *watch)
{
	if (!watch)
		return;
	loop_remove(watch->manager->loop, watch->fd);
	close(watch->fd);
	free(watch);
}

void moves_follow(struct moves_watch *watch, struct vm *vm)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/vms/%s", vm->manager->folder,
		 vm->row.id);
	vm->moves = watch ? inotify_add_watch(watch->fd, path,
					      IN_MOVED_TO | IN_ONLYDIR) :
			    -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands attach and detach of the control protocol.
 */
#include <string.h>

#include "disk/address.h"
#include "virtio/blk.h"
#include "virtio/virtio.h"
#include "vmm/control/impl.h"

static const char *const codes[] = {
	[HOTPLUG_BAD_NAME] = "bad-request",
	[HOTPLUG_EXISTS] = "exists",
	[HOTPLUG_NOT_FOUND] = "not-found",
	[HOTPLUG_NO_SLOT] = "no-slot",
	[HOTPLUG_FAILED] = "failed",
};

void control_refuse_plug(struct control_reply *reply,
			 enum hotplug_outcome outcome,
			 const struct vmm_error *error)
{
	control_refuse(reply, codes[outcome], "%s", error->text);
}

/* An optional member of a kind: true when it is missing or of that kind. */
static bool is_or_missing(const json_t *request, const char *name,
			  json_type type)
{
	const json_t *value = json_object_get(request, name);

	if (type == JSON_TRUE)
		return !value || json_is_boolean(value);
	return !value || json_typeof(value) == type;
}

static bool well_formed(const json_t *request)
{
	return is_or_missing(request, "name", JSON_STRING) &&
	       is_or_missing(request, "bus", JSON_STRING) &&
	       is_or_missing(request, "readonly", JSON_TRUE) &&
	       is_or_missing(request, "copy-on-read", JSON_TRUE) &&
	       is_or_missing(request, "format", JSON_STRING) &&
	       is_or_missing(request, "serial", JSON_STRING) &&
	       is_or_missing(request, "cache", JSON_STRING) &&
	       (is_or_missing(request, "secret", JSON_STRING) ||
		is_or_missing(request, "secret", JSON_ARRAY)) &&
	       (is_or_missing(request, "folder", JSON_STRING) ||
		is_or_missing(request, "folder", JSON_ARRAY)) &&
	       is_or_missing(request, "iops", JSON_INTEGER) &&
	       is_or_missing(request, "bps", JSON_INTEGER) &&
	       is_or_missing(request, "burst", JSON_INTEGER) &&
	       is_or_missing(request, "queues", JSON_INTEGER);
}

static bool take_bus(const json_t *request, struct machine_disk *disk)
{
	static const enum board_bus buses[] = { BOARD_VIRTIO, BOARD_NVME,
						BOARD_AHCI };
	const char *name = json_string_value(json_object_get(request, "bus"));

	for (unsigned int i = 0; i < sizeof(buses) / sizeof(buses[0]); i++) {
		disk->bus = buses[i];
		if (!name || !strcmp(name, hotplug_bus_name(disk->bus)))
			return true;
	}
	return false;
}

static bool take_cache(const json_t *request, struct machine_disk *disk)
{
	const char *name = json_string_value(json_object_get(request, "cache"));

	return !name || disk_cache_find(name, &disk->cache);
}

/* One absolute path, or several, at most `most`; none without any. */
static bool take_paths(const json_t *value, const char **path, size_t most,
		       bool addresses)
{
	size_t count = json_is_string(value) ? 1 : json_array_size(value);

	for (size_t i = 0; i < count && i < most; i++) {
		path[i] = json_string_value(json_is_string(value)
						    ? value
						    : json_array_get(value, i));
		if (!path[i] ||
		    (*path[i] != '/' &&
		     !(addresses && disk_is_address(path[i]))))
			return false;
	}
	return count <= most;
}

/* 0 when it is missing or makes no sense. */
static uint64_t number_of(const json_t *request, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(request, name));

	return value > 0 ? (uint64_t)value : 0;
}

/* False with a refusal. */
static bool take_disk(const json_t *request, struct machine_disk *disk,
		      struct control_reply *reply)
{
	const json_t *queues = json_object_get(request, "queues");
	json_int_t count = queues ? json_integer_value(queues) : 1;

	disk->path = json_string_value(json_object_get(request, "path"));
	disk->readonly = json_is_true(json_object_get(request, "readonly"));
	disk->copy_on_read =
		json_is_true(json_object_get(request, "copy-on-read"));
	disk->serial = json_string_value(json_object_get(request, "serial"));
	disk->format = json_string_value(json_object_get(request, "format"));
	disk->limits.iops = number_of(request, "iops");
	disk->limits.bps = number_of(request, "bps");
	disk->limits.burst_ms = (uint32_t)number_of(request, "burst");
	disk->queues = queues ? (unsigned int)count : 0;
	if (!disk->path ||
	    (disk->path[0] != '/' && !disk_is_address(disk->path)))
		control_refuse(reply, "bad-request",
			       "\"path\" is an absolute path");
	else if (!take_paths(json_object_get(request, "secret"), disk->secret,
			     MACHINE_SECRETS, false))
		control_refuse(reply, "bad-request", "\"secret\" is an "
			       "absolute path, or up to %d of them",
			       MACHINE_SECRETS);
	else if (!take_paths(json_object_get(request, "folder"), disk->more,
			     MACHINE_FOLDERS, true))
		control_refuse(reply, "bad-request", "\"folder\" is an "
			       "absolute path, or an address, or up to %d of "
			       "them", MACHINE_FOLDERS);
	else if (!take_bus(request, disk))
		control_refuse(reply, "bad-request",
			       "\"bus\" is virtio, nvme or ahci");
	else if (disk->format && !disk_driver_find(disk->format))
		control_refuse(reply, "bad-request", "no format \"%.40s\"",
			       disk->format);
	else if (!take_cache(request, disk))
		control_refuse(reply, "bad-request", "\"cache\" is writeback, "
			       "none, writethrough or unsafe");
	else if (disk->serial && (!*disk->serial || strlen(disk->serial) >
							    VIRTIO_BLK_SERIAL))
		control_refuse(reply, "bad-request",
			       "\"serial\" has 1 to %d characters",
			       VIRTIO_BLK_SERIAL);
	else if (count < 1 || count > VIRTIO_QUEUES_MAX)
		control_refuse(reply, "bad-request",
			       "\"queues\" is a number from 1 to %d",
			       VIRTIO_QUEUES_MAX);
	else
		return true;
	return false;
}

void control_attach(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	const char *device =
		json_string_value(json_object_get(request, "device"));
	const char *name = json_string_value(json_object_get(request, "name"));
	struct machine_disk disk = { 0 };
	enum hotplug_outcome outcome;
	struct vmm_error error;

	if (device && !strcmp(device, "share")) {
		control_attach_share(machine, request, reply);
		return;
	}
	if (!device || strcmp(device, "disk")) {
		control_refuse(reply, "bad-request",
			       "\"device\" is \"disk\" or \"share\"");
		return;
	}
	if (!well_formed(request)) {
		control_refuse(reply, "bad-request",
			       "a member is of the wrong kind");
		return;
	}
	if (!take_disk(request, &disk, reply))
		return;
	outcome = hotplug_attach(machine->target.hotplug, &disk, name, &name,
				 &error);
	if (outcome == HOTPLUG_DONE)
		reply->result = json_pack("{ss}", "name", name);
	else
		control_refuse_plug(reply, outcome, &error);
}

void control_detach(struct control_machine *machine, const json_t *request,
		    struct control_reply *reply)
{
	const char *name = json_string_value(json_object_get(request, "name"));
	const json_t *force = json_object_get(request, "force");
	enum hotplug_outcome outcome;
	struct vmm_error error;
	unsigned int slot;

	if (!name || (force && !json_is_boolean(force))) {
		control_refuse(reply, "bad-request",
			       "\"name\" is text, \"force\" true or false");
		return;
	}
	outcome = hotplug_detach(machine->target.hotplug, name,
				 json_is_true(force), &slot, &error);
	if (outcome == HOTPLUG_DONE)
		reply->result = json_object();
	else if (outcome == HOTPLUG_WAITS)
		reply->later = CONTROL_SLOT + slot;
	else
		control_refuse_plug(reply, outcome, &error);
}

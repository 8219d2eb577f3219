/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of machines, images and networks, for completion. What cannot be
 * looked up is not offered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/completion.h"
#include "cli/daemon/api.h"
#include "cli/machine/kept.h"
#include "disk/driver.h"
#include "image/instance.h"
#include "image/store.h"
#include "net/network_store.h"
#include "vmm/control/remote.h"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void collect(void *ctx, const json_t *status)
{
	json_array_append(ctx, (json_t *)status);
}

static bool fits(const char *kind, const json_t *vm, bool kept)
{
	const char *state = text_of(vm, "state");
	bool at_rest = !strcmp(state, "stopped") || !strcmp(state, "waiting");

	if (!strcmp(kind, "running") || !strcmp(kind, "guestfile"))
		return !at_rest;
	if (!strcmp(kind, "stopped"))
		return kept && at_rest;
	return !strcmp(kind, "kept") ? kept : !strcmp(kind, "vm");
}

static void offer_machines(struct completion *completion, const char *kind,
			   const json_t *list, bool kept)
{
	bool guest = !strcmp(kind, "guestfile");
	const json_t *vm;
	char name[RUNTIME_NAME_MAX + 2];
	size_t i;

	json_array_foreach(list, i, vm) {
		if (!fits(kind, vm, kept))
			continue;
		snprintf(name, sizeof(name), "%s%s", text_of(vm, "name"),
			 guest ? ":" : "");
		completion_offer(completion, name, text_of(vm, "state"));
	}
}

static void all_machines(struct completion *completion, const char *kind)
{
	json_t *running = json_array(), *kept = json_array();
	struct api_client client;
	struct vmm_error error;

	remote_each(collect, running, &error);
	if (!api_open(&client, API_IF_KEPT, &error)) {
		kept_list(&client, running, kept, &error);
		api_close(&client);
	}
	offer_machines(completion, kind, kept, true);
	offer_machines(completion, kind, running, false);
	json_decref(running);
	json_decref(kept);
}

static void offer_instances(struct completion *completion, struct store *store)
{
	json_t *list = instance_list(store), *machine;
	size_t i;

	json_array_foreach(list, i, machine)
		completion_offer(completion, text_of(machine, "name"),
				 text_of(machine, "image"));
	json_decref(list);
}

static void all_images(struct completion *completion, const char *kind)
{
	struct store_image *list;
	struct disk_error error;
	struct store store;
	int count;

	if (store_open(&store, &error))
		return;
	if (!strcmp(kind, "instance")) {
		offer_instances(completion, &store);
	} else {
		count = store_list(&store, &list, &error);
		for (int i = 0; i < count; i++)
			completion_offer(completion, list[i].record.name,
					 list[i].record.system);
		if (count >= 0)
			free(list);
	}
	store_close(&store);
}

static void all_networks(struct completion *completion, const char *before)
{
	struct network_store store;
	struct network *list;
	struct net_error error;
	char name[sizeof(list->name) + 16];
	int count;

	if (network_store_open(&store, &error))
		return;
	count = network_store_list(&store, &list, &error);
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%s", before, list[i].name);
		completion_offer(completion, name, NULL);
	}
	if (count >= 0)
		free(list);
	network_store_close(&store);
}

static void all_formats(struct completion *completion)
{
	const struct disk_driver *driver;

	for (unsigned int i = 0; (driver = disk_driver_at(i)); i++)
		completion_offer(completion, driver->name, NULL);
}

void completion_offer_kept(struct completion *completion, const char *kind)
{
	static const char *const machines[] = { "vm", "running", "stopped",
						"kept", "guestfile" };

	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (!strcmp(kind, machines[i]))
			all_machines(completion, kind);
	if (!strcmp(kind, "image") || !strcmp(kind, "instance"))
		all_images(completion, kind);
	else if (!strcmp(kind, "network"))
		all_networks(completion, "");
	else if (!strcmp(kind, "network="))
		all_networks(completion, kind);
	else if (!strcmp(kind, "format"))
		all_formats(completion);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandbox/isolate.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disk/live/live.h"
#include "disk/moved.h"
#include "disk/node.h"
#include "host/linux/extension.h"
#include "host/linux/jail.h"
#include "host/linux/thread.h"
#include "net/bridged.h"
#include "net/network_store.h"
#include "net/switch/connect.h"
#include "vm/host.h"
#include "vmm/machine.h"
#include "vmm/media.h"
#include "vmm/nets.h"
#include "vmm/outfile.h"
#include "vmm/runtime.h"
#include "vmm/sandbox/broker.h"

#define OWN	(BROKER_READ | BROKER_WRITE | BROKER_MAKE)

static const struct broker_helper helpers[] = {
	{ BRIDGED_MEND, bridged_mend },
	{ BRIDGED_GUARD, bridged_guard },
	{ CONNECT_START, connect_start },
	{ 0 },
};

int isolate_begin(struct isolate *isolate, const struct machine_config *config,
		  struct vmm_error *error)
{
	int rc;

	if (!config->sandbox)
		return 0;
	rc = broker_start(&isolate->broker, helpers);
	if (rc)
		return vmm_error_set(error, "sandbox: %s; --sandbox off runs "
				     "the machine without", strerror(-rc));
	jail_prepare();
	return 0;
}

/* --- what the broker is to grant --------------------------------------------------- */

static void grant_disk(struct broker *broker, const struct machine_disk *disk)
{
	unsigned int what = disk->readonly ? BROKER_READ : OWN;

	if (!disk->path)
		return;
	if (broker_is_address(disk->path)) {
		broker_grant(broker, BROKER_ADDRESS, disk->path);
		return;
	}
	if (broker_names_others(disk->path, disk->format))
		what |= BROKER_CHAIN;
	broker_grant(broker, what, disk->path);
}

/* What an open disk stands on. */
static void grant_chain(struct broker *broker, struct block *block)
{
	struct disk_node *node = block ? disk_live_image(block) : NULL;

	for (node = node ? node->backing : NULL; node; node = node->backing)
		if (*node->name == '/')
			broker_grant(broker, BROKER_READ | BROKER_CHAIN,
				     node->name);
}

/* "unix:PATH": to be removed at the end. */
static void grant_socket(struct broker *broker, const char *where)
{
	if (where && !strncmp(where, "unix:", 5))
		broker_grant(broker, BROKER_MAKE, where + 5);
}

/* Written beside, then renamed. */
static void grant_output(struct broker *broker, const char *path)
{
	char aside[PATH_MAX];

	if (!path || outfile_aside(aside, path))
		return;
	broker_grant(broker, OWN, path);
	broker_grant(broker, OWN, aside);
}

static void grant_moves(struct broker *broker, const char *file)
{
	char path[PATH_MAX];

	broker_grant(broker, OWN, file);
	snprintf(path, sizeof(path), "%s" MOVED_ASIDE, file);
	broker_grant(broker, OWN, path);
	broker_grant(broker, BROKER_MOVES, file);
}

static void grant_outputs(struct broker *broker,
			  const struct machine_config *config)
{
	char path[PATH_MAX];

	grant_output(broker, config->report);
	grant_output(broker, config->profile.path);
	if (config->moves)
		grant_moves(broker, config->moves);
	if (config->firmware.vars)
		broker_grant(broker, OWN, config->firmware.vars);
	if (config->folder)
		broker_grant(broker, OWN | BROKER_BELOW, config->folder);
	if (config->aside)
		broker_grant(broker, BROKER_READ | BROKER_MAKE | BROKER_PREFIX,
			     config->aside);
	if (config->serial.path)
		broker_grant(broker, OWN, config->serial.path);
	for (unsigned int i = 0; i < config->ports; i++)
		if (config->port[i].outside.path)
			broker_grant(broker, OWN,
				     config->port[i].outside.path);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	broker_grant(broker, OWN, path);
	grant_socket(broker, config->gdb.where);
	grant_socket(broker, config->vnc.where);
}

/* A machine's own, and what its guest connects to by number. */
static void grant_vsock(struct broker *broker, const char *path)
{
	char port[PATH_MAX];

	broker_grant(broker, BROKER_MAKE, path);
	snprintf(port, sizeof(port), "%s_", path);
	broker_grant(broker, BROKER_CONNECT | BROKER_NUMBERED, port);
}

/*
 * Sockets that it removes, and that of its console, which it may make late. To
 * its control socket it may not connect: it would ask for itself.
 */
static void grant_runtime(struct broker *broker,
			  const struct machine_config *config,
			  const char *name)
{
	char path[RUNTIME_PATH_MAX];

	runtime_path(path, name, "sock");
	broker_grant(broker, BROKER_MAKE, path);
	runtime_path(path, name, "console");
	broker_grant(broker, BROKER_MAKE | BROKER_CONNECT, path);
	runtime_path(path, name, "vsock");
	grant_vsock(broker, path);
	if (config->vsock_path)
		grant_vsock(broker, config->vsock_path);
}

static void grant_network(struct broker *broker, const char *name,
			  bool bridge)
{
	struct network_store store;
	struct net_error why;
	char path[PATH_MAX];

	if (network_store_open(&store, &why))
		return;
	snprintf(path, sizeof(path), "%s/networks/%s", store.path, name);
	broker_grant(broker, OWN | BROKER_BELOW | BROKER_CONNECT, path);
	snprintf(path, sizeof(path), "%s/networks/.lock", store.path);
	broker_grant(broker, BROKER_READ | BROKER_WRITE, path);
	network_store_close(&store);
	if (bridge) {
		broker_grant_help(broker, BRIDGED_MEND, name);
		broker_begin_help(broker, BRIDGED_GUARD, name);
		return;
	}
	broker_grant_help(broker, CONNECT_START, name);
}

static void grant_net(struct broker *broker, const struct net_config *net)
{
	const char *subject = net->subject, *mode = net->mode->name;

	if (!strcmp(mode, "user"))
		broker_grant(broker, BROKER_INTERNET, "");
	if (!subject)
		return;
	/* A path need not have a slash, nor has a name one. */
	if (!strcmp(net->mode->subject, "PATH"))
		broker_grant(broker, BROKER_MAKE | BROKER_CONNECT, subject);
	else if (strcmp(mode, "tap"))
		grant_network(broker, subject, !strcmp(mode, "bridge"));
}

static void grant_all(struct broker *broker,
		      const struct machine_config *config,
		      const struct isolate_machine *machine)
{
	char place[PATH_MAX];

	for (unsigned int i = 0; extension_place(i, place); i++)
		if (*place)
			broker_grant(broker, BROKER_READ | BROKER_PREFIX,
				     place);
	grant_outputs(broker, config);
	grant_runtime(broker, config, machine->name);
	for (unsigned int i = 0; i < config->disk_count; i++)
		grant_disk(broker, &config->disk[i]);
	for (unsigned int i = 0; i < BOARD_DISKS_MAX; i++)
		grant_chain(broker, machine->media->disk[i]);
	for (unsigned int i = 0; i < config->floppy_count; i++)
		grant_disk(broker, &config->floppy[i]);
	for (unsigned int i = 0; i < machine->nets->count; i++)
		grant_net(broker, &machine->nets->given[i].config);
}

/* --- the sandbox --------------------------------------------------------------------- */

int isolate_enter(struct isolate *isolate, const struct machine_config *config,
		  const struct isolate_machine *machine,
		  struct vmm_error *error)
{
	const struct jail_config sandbox = { .kvm = machine->kvm,
						.control = machine->control };
	struct jail_lacks lacks = { 0 };
	int listener = -1, rc;

	if (!isolate->broker)
		return 0;
	grant_all(isolate->broker, config, machine);
	rc = thread_starter_begin();
	if (!rc)
		rc = jail_enter(&sandbox, &listener, &lacks);
	if (!rc && lacks.view)
		broker_grant(isolate->broker, BROKER_BARE, "");
	if (!rc)
		rc = broker_serve(isolate->broker, listener);
	if (listener >= 0)
		close(listener);
	if (rc)
		return vmm_error_set(error, "sandbox: %s; --sandbox off runs "
				     "the machine without", strerror(-rc));
	if (lacks.view)
		host_log(HOST_LOG_INFO, "sandbox: no namespaces: %s",
			 strerror(lacks.why));
	return 0;
}

json_t *isolate_json(void)
{
	const struct jail_holds holds = jail_holds();

	if (!jail_entered())
		return json_pack("{sb}", "active", 0);
	return json_pack("{sb sb si sb ss*}", "active", 1, "namespaces",
			 !holds.lacks.view, "landlock", holds.landlock,
			 "own_user", (int)holds.own_user, "why",
			 holds.lacks.view ? strerror(holds.lacks.why) : NULL);
}

void isolate_end(struct isolate *isolate)
{
	/* It ends with the process, whose last calls it still makes. */
	isolate->broker = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net/bridged.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/linux/jail.h"
#include "host/linux/poll_thread.h"
#include "net/fabric.h"
#include "net/rtnl.h"
#include "net/tap.h"
#include "vm/host.h"

#define RETRY_MS 2000 /* while its name server cannot be started */

struct bridged {
	struct network_store store;
	struct network_use use;
	struct fabric fabric; /* its names */
	struct poll_thread thread;
	bool guarded;
	int links; /* netlink: readable when some interface has changed */
};

/* --- the thread ------------------------------------------------------------------ */

static void mend(struct bridged *b)
{
	struct net_error error;

	if (jail_entered())
		jail_help(BRIDGED_MEND, b->fabric.network.name);
	else if (fabric_reconcile(&b->store, b->fabric.network.name, &error))
		host_log(HOST_LOG_WARN, "network %s: %s",
			 b->fabric.network.name, error.text);
}

static void watch(void *ctx)
{
	struct bridged *b = ctx;

	while (!atomic_load(&b->thread.ending)) {
		int server = fabric_names_watch(&b->fabric);
		struct pollfd fd[] = {
			{ .fd = b->thread.wake, .events = POLLIN },
			{ .fd = server, .events = POLLIN },
			{ .fd = b->links, .events = POLLIN },
		};

		if (poll(fd, 3, server < 0 ? RETRY_MS : -1) < 0)
			fd[2].revents = 0;
		if (server >= 0)
			close(server);
		if (fd[2].revents)
			rtnl_forget(b->links);
		if (!atomic_load(&b->thread.ending) &&
		    (server < 0 || fd[1].revents ||
		     !if_nametoindex(b->fabric.bridge)))
			mend(b);
	}
}

void bridged_watch(struct bridged *b)
{
	int err;

	if (b->guarded)
		return;
	b->links = rtnl_watch_links();
	err = poll_thread_open(&b->thread);
	if (err)
		host_log(HOST_LOG_ERROR, "network %s: %s",
			 b->fabric.network.name, strerror(-err));
	else
		poll_thread_start(&b->thread, "net-bridged", watch, b);
}

/* --- from outside a sandbox -------------------------------------------------------- */

int bridged_mend(const char *name)
{
	struct network_store store;
	struct net_error error;
	int failed;

	if (network_store_open(&store, &error))
		return EIO;
	failed = fabric_reconcile(&store, name, &error);
	network_store_close(&store);
	return failed ? EIO : 0;
}

int bridged_guard(const char *name)
{
	struct bridged b = { .thread.wake = -1, .use.fd = -1, .use.folder = -1 };
	struct network network;
	struct net_error error;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (network_store_open(&b.store, &error) ||
	    network_store_find(&b.store, name, &network, &error))
		return EIO;
	fabric_name(&b.fabric, &network, b.store.path);
	b.links = rtnl_watch_links();
	watch(&b);
	return 0;
}

/* --- joining and leaving ------------------------------------------------------------ */

static int check(struct bridged *b, const struct net_config *config,
		 struct net_error *error)
{
	struct network network;
	int found = network_store_find(&b->store, config->subject, &network,
				       error);

	if (found > 0 && net_word(config, "address"))
		return net_error_set(error, "bridge=%s: address= goes with a "
				     "network of lodge's own", config->subject);
	if (found > 0)
		return 1;
	if (found < 0)
		return -1;
	if (network.backing != NETWORK_BRIDGE)
		return net_error_set(error, "bridge=%s: that network is no "
				     "bridge; give --net switch=%s",
				     network.name, network.name);
	if (!fabric_permitted())
		return fabric_refuse(network.name, error);
	if (config->publishes)
		return net_error_set(error, "--publish: network %s is a bridge, "
				     "whose machines are reached by their own "
				     "addresses; ports go with --net user and "
				     "networks with --backing switch",
				     network.name);
	if (net_word(config, "vlan"))
		return net_error_set(error, "network %s: vlan=%s: the tag of a "
				     "bridge is its own (lodge net edit "
				     "--vlan)", network.name,
				     net_word(config, "vlan"));
	return fabric_check_address(&network, net_word(config, "address"),
				    error);
}

static void plan_tap(const struct bridged *b, const struct net_config *config,
		     struct tap_plan *plan)
{
	fabric_tap(&b->fabric, config->mac, plan->name);
	memcpy(plan->bridge, b->fabric.bridge, IFNAMSIZ);
}

int bridged_join(struct bridged **out, const struct net_config *config,
		 struct tap_plan *plan, struct net_error *error)
{
	struct bridged *b = calloc(1, sizeof(*b));
	struct network network;
	int failed;

	if (!b)
		return net_error_set(error, "out of memory");
	b->use.fd = b->use.folder = b->links = b->thread.wake = -1;
	if (network_store_open(&b->store, error)) {
		free(b);
		return 1; /* nobody's records */
	}
	failed = check(b, config, error);
	if (!failed)
		failed = network_use_begin(&b->store, config->subject,
					   config->machine, config->mac,
					   &network, &b->use, error);
	if (!failed && net_word(config, "address"))
		failed = fabric_fix(&b->store, network.name, config->mac,
				    net_word(config, "address"), error);
	if (!failed) {
		fabric_name(&b->fabric, &network, b->store.path);
		failed = fabric_reconcile(&b->store, network.name, error);
	}
	if (!failed) {
		plan_tap(b, config, plan);
		b->guarded = config->guarded;
		*out = b;
		return 0;
	}
	bridged_leave(b);
	return failed;
}

void bridged_leave(struct bridged *b)
{
	bool used;

	if (!b)
		return;
	poll_thread_stop(&b->thread);
	used = b->use.fd >= 0;
	network_use_end(&b->use);
	if (used)
		mend(b);
	poll_thread_close(&b->thread);
	if (b->links >= 0)
		close(b->links);
	network_store_close(&b->store);
	free(b);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net/network_store.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/json_file.h"
#include "net/address.h"

#define RECORD	 "network.json"
#define USE	 "use"
#define LIST_MAX 1024

/* Subnets that are given out: 10.89.N.0/24 and fd6c:6f64:6765:N+1::/64. */
#define AUTO4	0x0a590000u
#define AUTO4_N 256u

static int fail(struct net_error *error, const char *what, int err)
{
	return net_error_set(error, "%s: %s", what, strerror(-err));
}

int network_store_open(struct network_store *store, struct net_error *error)
{
	int err = data_path(store->path);

	store->lock = store->folder = -1;
	if (err)
		return net_error_set(error, "%s", data_path_error(err));
	store->folder = data_open(store->path, "networks");
	if (store->folder < 0)
		return fail(error, store->path, store->folder);
	store->lock = openat(store->folder, ".lock",
			     O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock >= 0)
		return 0;
	err = -errno;
	network_store_close(store);
	return fail(error, store->path, err);
}

void network_store_close(struct network_store *store)
{
	if (store->lock >= 0)
		close(store->lock);
	if (store->folder >= 0)
		close(store->folder);
	store->lock = store->folder = -1;
}

static void lock(struct network_store *store)
{
	while (flock(store->lock, LOCK_EX) && errno == EINTR)
		;
}

static void unlock(struct network_store *store)
{
	flock(store->lock, LOCK_UN);
}

/* --- records ------------------------------------------------------------------- */

static int open_at(int folder, const char *name)
{
	return openat(folder, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int network_store_folder(struct network_store *store, const char *name)
{
	int folder;

	if (!network_name_valid(name))
		return -1;
	folder = open_at(store->folder, name);
	if (folder >= 0 && faccessat(folder, RECORD, F_OK, 0)) {
		close(folder);
		folder = -1;
	}
	return folder;
}

int network_store_find(struct network_store *store, const char *name,
		       struct network *network, struct net_error *error)
{
	int folder = network_store_folder(store, name), err;
	struct net_error why;
	json_t *json;

	if (folder < 0) {
		net_error_set(error, "there is no network %s; lodge net list "
			      "shows those that are, lodge net create %s makes "
			      "it", name, name);
		return 1;
	}
	json = json_file_read(folder, RECORD);
	err = network_unpack(network, json, &why);
	json_decref(json);
	close(folder);
	if (!err && strcmp(network->name, name))
		err = net_error_set(&why, "it is another's");
	if (!err)
		return 0;
	return net_error_set(error, "the record of network %s is damaged: %s; "
			     "delete it and make it again", name, why.text);
}

static int only_names(const struct dirent *entry)
{
	return network_name_valid(entry->d_name);
}

int network_store_list(struct network_store *store, struct network **list,
		       struct net_error *error)
{
	struct net_error why;
	struct dirent **names;
	int count = scandirat(store->folder, ".", &names, only_names,
			      alphasort);
	int kept = 0;

	if (count < 0)
		return fail(error, store->path, -errno);
	*list = calloc((size_t)(count < LIST_MAX ? count : LIST_MAX) + 1,
		       sizeof(**list));
	for (int i = 0; i < count; i++) {
		struct network *network = *list + kept;
		int err = *list && kept < LIST_MAX ?
			  network_store_find(store, names[i]->d_name, network,
					     &why) : 1;

		if (err < 0) {
			network_init(network, names[i]->d_name);
			network->created = -1;
		}
		kept += err <= 0;
		free(names[i]);
	}
	free(names);
	return *list ? kept : fail(error, store->path, -ENOMEM);
}

/* --- who uses it ------------------------------------------------------------------ */

/* Whether a live process holds the file; one that nobody does goes. */
static bool is_held(int use, const char *file)
{
	int fd = openat(use, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	bool held;

	if (fd < 0)
		return false;
	held = flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	if (!held)
		unlinkat(use, file, 0);
	close(fd);
	return held;
}

/* With the store locked. */
static void each_user(int folder,
		      void (*tell)(void *ctx, const char *machine,
				   const char *mac), void *ctx)
{
	int use = open_at(folder, USE);
	DIR *dir = use < 0 ? NULL : fdopendir(use);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char machine[NETWORK_NAME_MAX + 24];
		char *at;

		if (*entry->d_name == '.' || !is_held(use, entry->d_name))
			continue;
		snprintf(machine, sizeof(machine), "%.80s", entry->d_name);
		at = strrchr(machine, '@');
		if (at)
			*at++ = '\0';
		tell(ctx, machine, at ? at : "");
	}
	if (dir)
		closedir(dir);
	else if (use >= 0)
		close(use);
}

void network_store_users(struct network_store *store, const char *name,
			 void (*tell)(void *ctx, const char *machine,
				      const char *mac), void *ctx)
{
	int folder = network_store_folder(store, name);

	if (folder < 0)
		return;
	lock(store);
	each_user(folder, tell, ctx);
	unlock(store);
	close(folder);
}

static void keep_first(void *ctx, const char *machine, const char *mac)
{
	char *first = ctx;

	if (!*first)
		snprintf(first, NETWORK_NAME_MAX + 24, "%s", machine);
}

/* With the store locked: -1 with the error when a machine uses it. */
static int unused(int folder, const char *name, struct net_error *error)
{
	char user[NETWORK_NAME_MAX + 24] = "";

	each_user(folder, keep_first, user);
	return *user ? net_error_set(error, "machine %s uses network %s; stop "
				     "it first", user, name) : 0;
}

struct search {
	const char *mac;
	char machine[NETWORK_NAME_MAX + 24];
};

static void keep_same(void *ctx, const char *machine, const char *mac)
{
	struct search *search = ctx;

	if (!strcmp(mac, search->mac))
		snprintf(search->machine, sizeof(search->machine), "%s",
			 machine);
}

/* With the store locked. */
static int hold(struct network_use *use, const char *name,
		const char *machine, const char *mac, struct net_error *error)
{
	struct search search = { mac, "" };
	int folder;

	each_user(use->folder, keep_same, &search);
	if (*search.machine)
		return net_error_set(error, "mac %s: machine %s has it on "
				     "network %s; give another with mac=", mac,
				     search.machine, name);
	if (mkdirat(use->folder, USE, 0700) && errno != EEXIST)
		return fail(error, name, -errno);
	folder = open_at(use->folder, USE);
	snprintf(use->file, sizeof(use->file), "%s@%s", machine, mac);
	if (folder >= 0) {
		use->fd = openat(folder, use->file,
				 O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
				 0600);
		close(folder);
	}
	if (use->fd < 0 || flock(use->fd, LOCK_EX | LOCK_NB))
		return fail(error, name, -errno);
	return 0;
}

int network_use_begin(struct network_store *store, const char *name,
		      const char *machine, const uint8_t mac[NIC_MAC],
		      struct network *network, struct network_use *use,
		      struct net_error *error)
{
	char text[ADDRESS_MAC];
	int err;

	use->fd = use->folder = -1;
	lock(store);
	err = network_store_find(store, name, network, error);
	if (!err) {
		use->folder = network_store_folder(store, name);
		err = hold(use, name, machine, address_mac(text, mac), error);
	}
	unlock(store);
	if (!err)
		return 0;
	network_use_end(use);
	return -1;
}

void network_use_end(struct network_use *use)
{
	int folder = use->fd < 0 ? -1 : open_at(use->folder, USE);

	/* Still held: nobody has made another of that name. */
	if (folder >= 0) {
		unlinkat(folder, use->file, 0);
		close(folder);
	}
	if (use->fd >= 0)
		close(use->fd);
	if (use->folder >= 0)
		close(use->folder);
	use->fd = use->folder = -1;
}

/* --- changes ------------------------------------------------------------------------ */

/* With the store locked. */
static int no_overlap(struct network_store *store,
		      const struct network *network, struct net_error *error)
{
	struct network *list;
	int count = network_store_list(store, &list, error), err = 0;
	char theirs[NETWORK_SUBNET];

	for (int i = 0; !err && i < count; i++)
		if (strcmp(list[i].name, network->name) &&
		    network_overlap(network, &list[i], theirs))
			err = net_error_set(error, "subnet: network %s has %s; "
					    "give addresses that are free with "
					    "--subnet", list[i].name, theirs);
	if (count >= 0)
		free(list);
	return count < 0 ? -1 : err;
}

/* Whether an interface of this computer has addresses of the subnet. */
static bool is_here(const struct ifaddrs *list, const struct network *network)
{
	for (; list; list = list->ifa_next) {
		struct network other = { .has4 = true };
		char text[NETWORK_SUBNET];
		uint32_t mask;

		if (!list->ifa_addr || !list->ifa_netmask ||
		    list->ifa_addr->sa_family != AF_INET)
			continue;
		mask = ntohl(((struct sockaddr_in *)list->ifa_netmask)
				     ->sin_addr.s_addr);
		other.net4 = ntohl(((struct sockaddr_in *)list->ifa_addr)
					   ->sin_addr.s_addr) & mask;
		other.bits4 = (unsigned int)__builtin_popcount(mask);
		if (other.bits4 && other.bits4 < 32 &&
		    network_overlap(network, &other, text))
			return true;
	}
	return false;
}

/* With the store locked: subnets that nobody has. */
static int find_subnets(struct network_store *store, struct network *network,
			struct net_error *error)
{
	const struct network_change change = { 0 };
	struct ifaddrs *here = NULL;
	int err = -1;

	if (getifaddrs(&here))
		here = NULL;
	network->has4 = network->has6 = true;
	network->bits4 = 24;
	inet_pton(AF_INET6, "fd6c:6f64:6765::", &network->net6);
	for (uint32_t n = 0; err && n < AUTO4_N; n++) {
		network->net4 = AUTO4 | n << 8;
		network->net6.s6_addr[6] = (uint8_t)((n + 1) >> 8);
		network->net6.s6_addr[7] = (uint8_t)(n + 1);
		if (!is_here(here, network))
			err = no_overlap(store, network, error);
	}
	if (here)
		freeifaddrs(here);
	return err ? err : network_complete(network, &change, error);
}

static int write_record(struct network_store *store,
			const struct network *network, struct net_error *error)
{
	json_t *json = network_pack(network);
	int folder, err;

	err = mkdirat(store->folder, network->name, 0700) && errno != EEXIST ?
	      -errno : 0;
	folder = err ? -1 : open_at(store->folder, network->name);
	if (!err)
		err = folder < 0 ? -errno : !json ? -ENOMEM :
		      json_file_replace(json, folder, RECORD);
	if (!err && fsync(store->folder))
		err = -errno;
	if (folder >= 0)
		close(folder);
	json_decref(json);
	return err ? fail(error, network->name, err) : 0;
}

static bool is_there(struct network_store *store, const char *name)
{
	int folder = network_store_folder(store, name);

	if (folder >= 0)
		close(folder);
	return folder >= 0;
}

static bool is_open(const struct network *network)
{
	return !network->has4 && !network->has6;
}

int network_store_add(struct network_store *store, struct network *network,
		      struct net_error *error)
{
	int err;

	lock(store);
	network->created = time(NULL);
	if (is_there(store, network->name))
		err = net_error_set(error, "there is a network %s; lodge net "
				    "edit %s changes it", network->name,
				    network->name);
	else if (is_open(network))
		err = find_subnets(store, network, error);
	else
		err = no_overlap(store, network, error);
	if (!err)
		err = write_record(store, network, error);
	unlock(store);
	return err;
}

/* With the store locked; *folder is open when 0 is given. */
static int may_change(struct network_store *store, const char *name,
		      int *folder, struct net_error *error)
{
	*folder = network_store_folder(store, name);
	if (*folder < 0)
		return net_error_set(error, "there is no network %s; lodge net "
				     "list shows those that are", name);
	if (!unused(*folder, name, error))
		return 0;
	close(*folder);
	return -1;
}

int network_store_replace(struct network_store *store,
			  const struct network *network,
			  struct net_error *error)
{
	int folder, err;

	lock(store);
	err = may_change(store, network->name, &folder, error);
	if (!err) {
		err = no_overlap(store, network, error);
		if (!err)
			err = write_record(store, network, error);
		close(folder);
	}
	unlock(store);
	return err;
}

/* All files of the folder, and of the folders in it. */
static void empty(int folder, bool deep)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int below;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		    !unlinkat(folder, entry->d_name, 0) || !deep)
			continue;
		below = open_at(folder, entry->d_name);
		if (below < 0)
			continue;
		empty(below, false);
		close(below);
		unlinkat(folder, entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

int network_store_remove(struct network_store *store, const char *name,
			 struct net_error *error)
{
	int folder, err;

	lock(store);
	err = may_change(store, name, &folder, error);
	if (!err) {
		/* Without its record it is gone, whatever is left of it. */
		if (unlinkat(folder, RECORD, 0) || fsync(folder))
			err = fail(error, name, -errno);
		else
			empty(folder, true);
		close(folder);
		if (!err)
			unlinkat(store->folder, name, AT_REMOVEDIR);
	}
	unlock(store);
	return err;
}

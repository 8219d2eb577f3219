/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/image.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/image/image.h"
#include "cli/option.h"
#include "cli/run/data.h"
#include "disk/driver.h"
#include "image/folder.h"
#include "image/ssh_key.h"

#define MIB	       ((uint64_t)1 << 20)
#define MEMORY_DEFAULT (1024 * MIB)
#define USER_DEFAULT   "lodge"
#define USER_MAX       32

/* --- options ------------------------------------------------------------------ */

int run_image_take_cloud_init(struct run_image *run, const char *value)
{
	run->cloud_init = value;
	return 0;
}

int run_image_take_user(struct run_image *run, const char *value)
{
	size_t length = strlen(value);

	if (!length || length > USER_MAX || (!islower((unsigned char)*value) &&
	    *value != '_') || strspn(value, "abcdefghijklmnopqrstuvwxyz"
				     "0123456789_-") != length) {
		cli_error("run: --user %s: give 1 to %d small letters, digits "
			  "and - _ with a letter first", value, USER_MAX);
		return -1;
	}
	run->user = value;
	return 0;
}

int run_image_take_key(struct run_image *run, const char *value)
{
	struct disk_error error;

	run->keys_given = true;
	if (!seed_read_keys(&run->seed, value, &error))
		return 0;
	cli_error("run: --ssh-key %s", error.text);
	return -1;
}

int run_image_take_size(struct run_image *run, const char *value)
{
	if (cli_parse_size(value, &run->size) && run->size)
		return 0;
	cli_error("run: --disk-size %s: give a size such as 20G", value);
	return -1;
}

const char *run_image_stray(const struct run_image *run)
{
	return run->name	 ? NULL :
	       run->cloud_init ? "cloud-init" :
	       run->user	 ? "user" :
	       run->keys_given ? "ssh-key" :
	       run->size	 ? "disk-size" :
	       run->ephemeral	 ? "ephemeral" :
				   NULL;
}

/* --- the first boot ------------------------------------------------------------- */

/* The user's own ssh keys, when none was named. */
static void find_keys(struct seed *seed)
{
	const char *home = getenv("HOME");
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *dir;

	if (!home || snprintf(path, sizeof(path), "%s/.ssh", home) >=
			     (int)sizeof(path))
		return;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);

		if (strncmp(entry->d_name, "id_", 3) || length < 5 ||
		    strcmp(entry->d_name + length - 4, ".pub"))
			continue;
		if (snprintf(path, sizeof(path), "%s/.ssh/%s", home,
			     entry->d_name) < (int)sizeof(path))
			seed_read_keys(seed, path, NULL);
	}
	if (dir)
		closedir(dir);
}

/* That of lodge ssh, where this host has one or can make one. */
static void add_own_key(struct run_image *run)
{
	char key[PATH_MAX], public[PATH_MAX + 8];
	struct disk_error error;

	if (ssh_key_find(&run->store, key, &error))
		return;
	snprintf(public, sizeof(public), "%s.pub", key);
	seed_read_keys(&run->seed, public, &error);
}

/* What a clone is told; without it, it is told less. */
static void add_clone_hook(struct run_image *run)
{
	struct disk_error error;
	char hook[PATH_MAX];
	size_t size;

	if (data_find(hook, "recipes/seed/clone.sh"))
		run->clone_hook = seed_read_file(hook, &size, &error);
	run->seed.clone_hook = run->clone_hook;
}

/* The agent, for images that have none; without it, they go without. */
static void add_agent(struct run_image *run)
{
	char program[PATH_MAX], hook[PATH_MAX];
	struct disk_error error;
	size_t size;

	if (run->no_agent || !data_find(program, "lodge-agent") ||
	    !data_find(hook, "recipes/seed/agent.sh"))
		return;
	run->agent = seed_read_file(program, &run->seed.agent_size, &error);
	run->agent_hook = seed_read_file(hook, &size, &error);
	run->seed.agent_hook = run->agent_hook;
	run->seed.agent = run->agent_hook ? run->agent : NULL;
}

static uint64_t hash(uint64_t hash, const void *data, size_t size)
{
	for (const uint8_t *byte = data; size--; byte++)
		hash = (hash ^ *byte) * 0x100000001b3; /* FNV-1a */
	return hash;
}

/* What stands for the options of the first boot; "": none was given. */
static void tell(const struct run_image *run, char told[20])
{
	const struct seed *seed = &run->seed;
	const char *user = run->user ? run->user : "";
	uint64_t sum = 0xcbf29ce484222325;

	*told = '\0';
	if (!run->cloud_init && !run->user && !run->keys_given)
		return;
	sum = hash(sum, user, strlen(user) + 1);
	for (unsigned int i = 0; run->keys_given && i < seed->keys; i++)
		sum = hash(sum, seed->key[i], strlen(seed->key[i]) + 1);
	sum = hash(sum, seed->user_data, seed->user_data_size);
	snprintf(told, 20, "%016" PRIx64, sum);
}

/*
 * What the seed says. Who brings user-data makes accounts there, and gets one
 * of ours only when asked for.
 */
static int fill_seed(struct run_image *run, char told[20])
{
	struct disk_error error;

	if (run->cloud_init) {
		run->user_data = seed_read_user_data(
			run->cloud_init, &run->seed.user_data_size, &error);
		if (!run->user_data) {
			cli_error("run: --cloud-init %s", error.text);
			return -1;
		}
		run->seed.user_data = run->user_data;
	}
	tell(run, told);
	run->seed.user = run->user	 ? run->user :
			 run->cloud_init ? NULL :
					   USER_DEFAULT;
	if (run->seed.user && !run->keys_given)
		find_keys(&run->seed);
	if (run->seed.user)
		add_own_key(run);
	add_agent(run);
	add_clone_hook(run);
	return 0;
}

/* --- the machine ------------------------------------------------------------------ */

static int find_image(struct run_image *run)
{
	struct disk_error error;

	switch (store_find(&run->store, run->name, &run->image, &error)) {
	case 0:
		return 0;
	case 1:
		if (strchr(run->name, '/') || !access(run->name, F_OK))
			cli_error("run: %s: is no image's name; run a file "
				  "with --disk %s, or make an image of it: "
				  "lodge image import %s", run->name,
				  run->name, run->name);
		else
			image_unknown(&run->store, run->name);
		return -1;
	default:
		cli_error("run: %s", error.text);
		return -1;
	}
}

/* The machine's disk before all others, the seed behind them. */
static void add_disks(struct run_image *run, struct machine_config *machine,
		      struct machine_disk *disk)
{
	memmove(disk + 1, disk, machine->disk_count * sizeof(*disk));
	disk[0] = (struct machine_disk){
		.path = strdup(run->instance.disk),
		.format = run->instance.format,
		.folder = run->image.path,
		/* What is forgotten need not survive a loss of power. */
		.cache = run->ephemeral ? DISK_CACHE_UNSAFE :
					  DISK_CACHE_WRITEBACK,
	};
	/* That of a clone stands on other machines'. */
	run->folders = instance_folders(&run->instance, run->folder,
					MACHINE_FOLDERS);
	disk[0].shared_base = run->instance.shared;
	for (unsigned int i = 0; i < run->folders; i++)
		disk[0].more[i] = run->folder[i];
	disk[machine->disk_count + 1] = (struct machine_disk){
		.path = strdup(run->instance.seed),
		.format = "raw",
		.readonly = true,
	};
	machine->disk_count += 2;
}

static void fill_machine(struct run_image *run, struct machine_config *machine)
{
	const struct image_record *record = &run->image.record;
	struct rom_config *rom = &machine->firmware;

	if (!machine->memory)
		machine->memory = MEMORY_DEFAULT;
	if (!machine->kernel && rom->kind == ROM_NONE && !*record->kernel)
		rom->kind = strcmp(record->firmware, "uefi") ? ROM_BIOS :
							       ROM_UEFI;
	if (rom->kind == ROM_UEFI && !rom->vars)
		rom->vars = run->instance.vars;
	snprintf(run->kernel, sizeof(run->kernel), "%s/%s", run->image.path,
		 record->kernel);
	snprintf(run->initrd, sizeof(run->initrd), "%s/%s", run->image.path,
		 record->initrd);
}

int run_image_open(struct run_image *run, struct machine_config *machine,
		   struct machine_disk *disk)
{
	struct instance_wish wish = {
		.image = &run->image,
		.name = machine->any_name ? run->name : machine->name,
		.ephemeral = run->ephemeral,
		.size = run->size,
		.seed = &run->seed,
	};
	struct disk_error error;

	if (store_open(&run->store, &error)) {
		cli_error("run: %s", error.text);
		return -1;
	}
	run->open = true;
	run->instance.folder = -1;
	if (find_image(run) || fill_seed(run, wish.told))
		return -1;
	if (instance_open(&run->store, &wish, &run->instance, &error)) {
		cli_error("run: %s", error.text);
		return -1;
	}
	machine->name = wish.name;
	/* A kept machine is known by its name, others by what is free. */
	machine->any_name &= run->ephemeral;
	if (*run->instance.user)
		machine->account = run->instance.user;
	add_disks(run, machine, disk);
	fill_machine(run, machine);
	if (run->ephemeral) {
		machine->folder = run->instance.path;
		machine->aside = run->aside;
	} else if (!machine->moves) {
		snprintf(run->moves, sizeof(run->moves), "%s/" INSTANCE_MOVES,
			 run->instance.path);
		machine->moves = run->moves;
	}
	snprintf(run->aside, sizeof(run->aside), "%s/machines/" FOLDER_GONE,
		 run->store.path);
	return 0;
}

const char *run_image_initrd(const struct run_image *run)
{
	return *run->image.record.initrd ? run->initrd : NULL;
}

void run_image_greet(const struct run_image *run)
{
	if (*run->instance.password)
		fprintf(stderr, "lodge: log in as %s with the password %s\n",
			run->instance.user, run->instance.password);
}

void run_image_close(struct run_image *run)
{
	if (run->open) {
		instance_close(&run->instance);
		store_close(&run->store);
	}
	for (unsigned int i = 0; i < run->folders; i++)
		free(run->folder[i]);
	seed_free_keys(&run->seed);
	free(run->user_data);
	free(run->agent);
	free(run->agent_hook);
	free(run->clone_hook);
	run->open = false;
}

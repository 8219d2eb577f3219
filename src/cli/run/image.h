/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge run IMAGE: the machine's own disk on the image, and its first boot.
 */
#ifndef LODGE_CLI_RUN_IMAGE_H
#define LODGE_CLI_RUN_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/instance.h"
#include "vmm/machine.h"

struct run_image {
	/* As given; NULL, 0: not. */
	const char *name; /* the image's; NULL: none of this */
	const char *cloud_init, *user;
	uint64_t size;
	bool ephemeral, keys_given, no_agent;
	struct seed seed;
	/* While it is open. */
	bool open;
	struct store store;
	struct store_image image;
	struct instance instance;
	char *user_data, *agent, *agent_hook, *clone_hook;
	char kernel[PATH_MAX], initrd[PATH_MAX];
	char aside[PATH_MAX]; /* see struct machine_config */
	char moves[PATH_MAX]; /* the same */
	/* Of machines that its disk stands on. */
	char *folder[MACHINE_FOLDERS];
	unsigned int folders;
};

/* Options of lodge run; `value` as it was given. -1 after cli_error(). */
int run_image_take_cloud_init(struct run_image *run, const char *value);
int run_image_take_user(struct run_image *run, const char *value);
int run_image_take_key(struct run_image *run, const char *value);
int run_image_take_size(struct run_image *run, const char *value);

/* Whether options were given that only go with an image; their name. */
const char *run_image_stray(const struct run_image *run);

/*
 * Finds the image and opens the machine's disk: it becomes the first of
 * `disk`, which has room for two more, and the seed the last. What `machine`
 * says of name, firmware and memory is filled in where it was not told. 0, or
 * -1 after cli_error().
 */
int run_image_open(struct run_image *run, struct machine_config *machine,
		   struct machine_disk *disk);

/* The path of the image's initrd; NULL: it has none. */
const char *run_image_initrd(const struct run_image *run);

/* Says how to log in, for a person. */
void run_image_greet(const struct run_image *run);

/* The end of the run. */
void run_image_close(struct run_image *run);

#endif

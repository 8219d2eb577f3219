/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of lodge image.
 */
#ifndef LODGE_CLI_IMAGE_IMAGE_H
#define LODGE_CLI_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/command.h"
#include "image/checksum.h"
#include "image/store.h"

/* What the options of all parts say; a part has those of its table. */
struct image_args {
	char **word;
	int words;
	bool json, wide, replace, uefi, compress, machine, unchecked;
	const char *name, *suite, *format, *catalogue;
	char checksum[CHECKSUM_MAX];
	unsigned int stall; /* seconds */
	uint64_t size;
	unsigned int cpus;   /* of an OVA's machine */
	uint64_t memory;
	char packages[1024]; /* with commas between */
};

struct image_part {
	struct command command;
	int (*run)(struct store *store, const struct image_args *args);
};

extern const struct image_part image_build;
extern const struct image_part image_import;
extern const struct image_part image_export;
extern const struct image_part image_pull;
extern const struct image_part image_catalogue;

/* Options of several parts: their take functions. */
int image_take_json(void *config, const char *value);
int image_take_wide(void *config, const char *value);
int image_take_name(void *config, const char *value);
int image_take_replace(void *config, const char *value);

/* "there is no image debain; did you mean debian?" or the like. */
void image_unknown(struct store *store, const char *name);

#endif

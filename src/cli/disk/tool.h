/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subcommands of `lodge disk` share. Each is one struct
 * disk_command; its words and options are parsed before it runs.
 */
#ifndef LODGE_CLI_DISK_TOOL_H
#define LODGE_CLI_DISK_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"
#include "disk/job.h"
#include "disk/node.h"

#define TOOL_OPTIONS_MAX 32

/* Exit status of compare and check when there is something to tell. */
#define TOOL_DIFFERS 1
#define TOOL_DAMAGED 4

/* What options say; those that a command has not named stay zero. */
struct tool {
	const char *command; /* "disk create", for errors */
	char **word;
	int words;
	bool json, repair, shrink, compress, none, unsafe_, all, chain;
	const char *format, *from, *to;
	const char *backing, *backing_format;
	const char *option[TOOL_OPTIONS_MAX];
	unsigned int options;
	unsigned int threads;
	uint64_t granularity;
	enum disk_preallocation prealloc;
	const char *folder[TOOL_OPTIONS_MAX];
	unsigned int folders;
	const char *secret[TOOL_OPTIONS_MAX]; /* where passphrases are */
	unsigned int secrets;
	const char *secret_to;
	const char *backing_secret[TOOL_OPTIONS_MAX];
	unsigned int backing_secrets;
	/* Those of `secret`, and of `backing_secret`, lists; owned. */
	struct disk_secret *unlocks, *backing_unlocks;
	const char *listen, *name;
	bool readonly, once, insecure;
};

struct disk_command {
	struct command command;
	int (*run)(struct tool *tool);
};

extern const struct disk_command disk_command_create;
extern const struct disk_command disk_command_info;
extern const struct disk_command disk_command_resize;
extern const struct disk_command disk_command_convert;
extern const struct disk_command disk_command_check;
extern const struct disk_command disk_command_snapshot;
extern const struct disk_command disk_command_commit;
extern const struct disk_command disk_command_rebase;
extern const struct disk_command disk_command_map;
extern const struct disk_command disk_command_compare;
extern const struct disk_command disk_command_export;
extern const struct disk_command disk_command_encrypt;
extern const struct disk_command disk_command_key;
extern const struct disk_command disk_command_bitmap;

/* --- options that several have (tool.c) --------------------------------------- */

int tool_take_json(void *config, const char *value);
int tool_take_format(void *config, const char *value);
int tool_take_from(void *config, const char *value); /* formats of two images */
int tool_take_to(void *config, const char *value);
int tool_take_folder(void *config, const char *value);
int tool_take_option(void *config, const char *value);
int tool_take_backing(void *config, const char *value);
int tool_take_backing_format(void *config, const char *value);
int tool_take_prealloc(void *config, const char *value);
int tool_take_threads(void *config, const char *value);
int tool_take_secret(void *config, const char *value);
int tool_take_backing_secret(void *config, const char *value);

#define TOOL_JSON                                                  \
	{                                                          \
		.name = "json", .help = "print a JSON object",     \
		.take = tool_take_json                             \
	}
#define TOOL_FORMAT                                                     \
	{                                                               \
		.name = "format", .value = "FORMAT",                    \
		.help = "the image's format (as its name's ending says)", \
		.take = tool_take_format                                \
	}
#define TOOL_FOLDER                                                      \
	{                                                                \
		.name = "folder", .value = "PATH", .repeats = true,      \
		.help = "backing files may lie in this folder, too, or\n"    \
			"be at this address (nbd://, rbd:)",             \
		.take = tool_take_folder                                 \
	}
#define TOOL_OPTION                                                      \
	{                                                                \
		.name = "option", .value = "NAME=VALUE", .repeats = true, \
		.help = "an option of the format, see below",            \
		.take = tool_take_option                                 \
	}

#define TOOL_SECRET                                               \
	{                                                         \
		.name = "secret", .value = "FILE", .repeats = true, \
		.help = "a file with the passphrase of an encrypted\n" \
			"image, or fd:N; then those of the encrypted\n" \
			"images that it stands on",               \
		.take = tool_take_secret                          \
	}

/* --- images -------------------------------------------------------------------- */

/* How `tool` opens `path`: for reading, of --format. */
struct disk_open tool_open_how(const struct tool *tool, const char *path);

/* Opens, or tells why not: NULL. */
struct disk_node *tool_open(const struct tool *tool,
			    const struct disk_open *how);

/* Prints an error about an image; gives MACHINE_FAILED. */
int tool_fail(const struct tool *tool, const char *path,
	      const struct disk_error *error);

/* Prints and forgets; gives MACHINE_OK. */
int tool_print_json(json_t *value);

/* --- progress (progress.c) ------------------------------------------------------ */

struct progress;

/*
 * Shows a job's progress on stderr when that is a terminal, and cancels it
 * when the user interrupts. `watch` (may be NULL) is called about once a
 * second, on another thread.
 */
struct progress *progress_begin(struct disk_job *job, const char *what,
				void (*watch)(void *ctx), void *ctx);
void progress_end(struct progress *progress);

#endif

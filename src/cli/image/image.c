/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge image: the images that machines are made of.
 */
#include "cli/image/image.h"
#include "cli/machine/managed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "cli/machine/target.h"
#include "cli/table.h"
#include "image/fetch.h"
#include "image/instance.h"
#include "vmm/machine.h"

/* --- options -------------------------------------------------------------- */

int image_take_json(void *config, const char *value)
{
	((struct image_args *)config)->json = true;
	return 0;
}

int image_take_replace(void *config, const char *value)
{
	((struct image_args *)config)->replace = true;
	return 0;
}

int image_take_name(void *config, const char *value)
{
	if (!image_name_valid(value)) {
		cli_error("image: --name %s: give 1 to %d letters, digits and "
			  "- _ . with no . or - first", value, IMAGE_NAME_MAX);
		return -1;
	}
	((struct image_args *)config)->name = value;
	return 0;
}

static const struct option_spec json_options[] = {
	{ "json", NULL, "print JSON", false, image_take_json },
};

int image_take_wide(void *config, const char *value)
{
	((struct image_args *)config)->wide = true;
	return 0;
}

static const struct option_spec list_options[] = {
	{ "json", NULL, "print a JSON list", false, image_take_json },
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  image_take_wide },
};

#define JSON_OPTIONS (sizeof(json_options) / sizeof(json_options[0]))

/* --- words of several parts ------------------------------------------------- */

/* What is printed as JSON: the record, and what the store knows beyond it. */
static json_t *describe(struct store *store, const struct store_image *image)
{
	const char *name = image->record.name;
	json_t *json = image->damaged ? json_pack("{ss}", "name", name) :
					image_record_pack(&image->record);
	char user[64];

	if (!json)
		return json_null();
	json_object_del(json, "version");
	json_object_set_new(json, "damaged", json_boolean(image->damaged));
	json_object_set_new(json, "folder", json_string(image->path));
	json_object_set_new(json, "allocated", json_integer(
		(json_int_t)store_allocated(store, name)));
	json_object_set_new(json, "used",
			    json_boolean(store_user(store, name, user)));
	return json;
}

static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(json);
}

static const char *day_of(int64_t seconds, char text[32])
{
	time_t when = seconds;
	struct tm local;

	if (!localtime_r(&when, &local) ||
	    !strftime(text, 32, "%Y-%m-%d %H:%M", &local))
		return "?";
	return text;
}

/* --- list ------------------------------------------------------------------- */

static void add_row(struct table *table, struct store *store,
		    const struct store_image *image)
{
	const struct image_record *record = &image->record;
	char day[32], size[CLI_BYTES], allocated[CLI_BYTES];
	bool whole = !image->damaged;

	table_cell(table, TABLE_PLAIN, "%s", record->name);
	table_cell(table, TABLE_PLAIN, "%s",
		   whole ? cli_bytes(size, record->size) : "");
	table_cell(table, TABLE_PLAIN, "%s",
		   whole ? cli_bytes(allocated,
				     store_allocated(store, record->name)) :
			   "");
	table_cell(table, TABLE_PLAIN, "%s",
		   whole ? day_of(record->created, day) : "");
	if (whole)
		table_cell(table, TABLE_PLAIN, "%s", record->system);
	else
		table_cell(table, TABLE_BAD,
			   "damaged: remove it and make it again");
}

static void print_list(struct store *store, const struct store_image *list,
		       int count, bool wide)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "SIZE", .right = true },
		{ .title = "ON DISK", .right = true },
		{ .title = "MADE" },
		{ .title = "SYSTEM", .least = 6 },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));

	for (int i = 0; i < count; i++)
		add_row(table, store, &list[i]);
	table_show(table, wide);
	if (!count)
		cli_hint("no images; lodge image pull gets one, lodge image "
			 "catalogue lists which");
}

static int run_list(struct store *store, const struct image_args *args)
{
	struct store_image *list;
	struct disk_error error;
	int count = store_list(store, &list, &error);
	json_t *json = json_array();

	if (count < 0) {
		cli_error("image list: %s", error.text);
		return MACHINE_FAILED;
	}
	for (int i = 0; args->json && i < count; i++)
		json_array_append_new(json, describe(store, &list[i]));
	if (args->json)
		print_json(json_incref(json));
	else
		print_list(store, list, count, args->wide);
	json_decref(json);
	free(list);
	return MACHINE_OK;
}

static const struct image_part part_list = {
	.command = {
		.name = "list",
		.synopsis = "[OPTIONS]",
		.summary = "list your images",
		.about = "Lists your images.",
		.examples = "lodge image list --json",
		.options = list_options,
		.option_count = OPTION_COUNT(list_options),
	},
	.run = run_list,
};

/* --- info ------------------------------------------------------------------- */

static void print_line(const char *title, const char *text)
{
	if (*text)
		printf("%-10s %s\n", title, text);
}

static void print_info(struct store *store, const struct store_image *image)
{
	const struct image_record *record = &image->record;
	char day[32], user[64], size[CLI_BYTES], allocated[CLI_BYTES];

	print_line("name", record->name);
	print_line("system", record->system);
	printf("%-10s %s, %s on disk\n", "size",
	       cli_bytes(size, record->size),
	       cli_bytes(allocated, store_allocated(store, record->name)));
	printf("%-10s %s/%s (%s)\n", "disk", image->path, record->disk,
	       record->format);
	print_line("kernel", record->kernel);
	print_line("initrd", record->initrd);
	print_line("append", record->append);
	print_line("firmware", record->firmware);
	print_line("source", record->source);
	print_line("checksum", record->checksum);
	print_line("made", day_of(record->created, day));
	print_line("machine",
		   store_user(store, record->name, user) ? user : "none");
}

static int run_info(struct store *store, const struct image_args *args)
{
	struct store_image image;
	struct disk_error error;

	switch (store_find(store, args->word[0], &image, &error)) {
	case 0:
		break;
	case 1:
		image_unknown(store, args->word[0]);
		return MACHINE_FAILED;
	default:
		cli_error("image info: %s", error.text);
		return MACHINE_FAILED;
	}
	if (args->json)
		print_json(describe(store, &image));
	else
		print_info(store, &image);
	return MACHINE_OK;
}

static const struct image_part part_info = {
	.command = {
		.name = "info",
		.synopsis = "[--json] IMAGE",
		.summary = "tell about an image",
		.about = "Tells about an image.",
		.examples = "lodge image info debian",
		.options = json_options,
		.option_count = JSON_OPTIONS,
		.words_min = 1,
		.words_max = 1,
		.words = "image",
		.missing = "an image's name",
	},
	.run = run_info,
};

/* --- remove and prune --------------------------------------------------------- */

static int remove_one(void *ctx, const char *name)
{
	struct store *store = ctx;
	struct store_image image;
	struct disk_error error;

	if (store_find(store, name, &image, &error) == 1) {
		image_unknown(store, name);
		return MACHINE_FAILED;
	}
	if (managed_is_used("image remove", "images", name))
		return MACHINE_FAILED;
	if (!store_remove(store, name, &error))
		return MACHINE_OK;
	cli_error("image remove: %s", error.text);
	return MACHINE_FAILED;
}

static int run_remove(struct store *store, const struct image_args *args)
{
	return target_each(args->words, args->word, args->json, "removed",
			   remove_one, store);
}

static const struct image_part part_remove = {
	.command = {
		.name = "remove",
		.synopsis = "[--json] IMAGE...",
		.summary = "take images away",
		.about = "Takes images away that no machine stands on.",
		.examples = "lodge image remove debian",
		.options = json_options,
		.option_count = JSON_OPTIONS,
		.words_min = 1,
		.words_max = COMMAND_MANY,
		.words = "image",
		.missing = "an image's name",
	},
	.run = run_remove,
};

static int run_prune(struct store *store, const struct image_args *args)
{
	uint64_t bytes = 0;
	unsigned int count = store_prune(store, &bytes);
	char text[CLI_BYTES];

	bytes += fetch_prune(store);
	if (args->json) {
		print_json(json_pack("{sisI}", "folders", (int)count, "bytes",
				     (json_int_t)bytes));
	} else if (count || bytes) {
		printf("%u unfinished, %s given back\n", count,
		       cli_bytes(text, bytes));
	}
	return MACHINE_OK;
}

static const struct image_part part_prune = {
	.command = {
		.name = "prune",
		.synopsis = "[--json]",
		.summary = "clear away what killed commands left",
		.about = "Clears away what commands left behind that were killed.",
		.examples = "lodge image prune",
		.options = json_options,
		.option_count = JSON_OPTIONS,
	},
	.run = run_prune,
};

/* --- machines ----------------------------------------------------------------- */

static void print_machines(const json_t *list, bool wide)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "IMAGE", .least = 8 },
		{ .title = "ON DISK", .right = true },
		{ .title = "MADE" },
		{ .title = "STATE" },
	};
	struct table *table = table_new(columns, OPTION_COUNT(columns));
	char day[32], allocated[CLI_BYTES];
	const json_t *machine;
	size_t i;

	json_array_foreach(list, i, machine) {
		table_cell(table, TABLE_PLAIN, "%s",
			   json_string_value(json_object_get(machine,
							     "name")));
		table_cell(table, TABLE_PLAIN, "%s",
			   json_string_value(json_object_get(machine,
							     "image")));
		table_cell(table, TABLE_PLAIN, "%s",
			   cli_bytes(allocated,
				     (uint64_t)json_integer_value(
					     json_object_get(machine,
							     "allocated"))));
		table_cell(table, TABLE_PLAIN, "%s",
			   day_of(json_integer_value(json_object_get(
					  machine, "created")), day));
		table_cell(table, TABLE_GOOD, "%s",
			   json_is_true(json_object_get(machine, "running")) ?
				   "running" : "");
	}
	table_show(table, wide);
}

static int run_machines(struct store *store, const struct image_args *args)
{
	json_t *list = instance_list(store);

	if (args->json) {
		print_json(list);
		return MACHINE_OK;
	}
	print_machines(list, args->wide);
	json_decref(list);
	return MACHINE_OK;
}

static const struct image_part part_machines = {
	.command = {
		.name = "machines",
		.synopsis = "[OPTIONS]",
		.summary = "list the machines that lodge run made",
		.about = "Lists the machines that lodge run IMAGE made and keeps.",
		.examples = "lodge image machines",
		.options = list_options,
		.option_count = OPTION_COUNT(list_options),
	},
	.run = run_machines,
};

static int forget_one(void *ctx, const char *name)
{
	struct disk_error error;

	if (!instance_forget(ctx, name, &error))
		return MACHINE_OK;
	cli_error("image forget: %s", error.text);
	return MACHINE_FAILED;
}

static int run_forget(struct store *store, const struct image_args *args)
{
	return target_each(args->words, args->word, args->json, "forgot",
			   forget_one, store);
}

static const struct image_part part_forget = {
	.command = {
		.name = "forget",
		.synopsis = "[--json] MACHINE...",
		.summary = "take such machines away",
		.about = "Takes machines away that lodge run IMAGE made, with all "
			   "that is on their disks.",
		.examples = "lodge image forget web",
		.options = json_options,
		.option_count = JSON_OPTIONS,
		.words_min = 1,
		.words_max = COMMAND_MANY,
		.words = "instance",
		.missing = "a machine's name",
	},
	.run = run_forget,
};

/* --- the command ------------------------------------------------------------- */

static const struct command *const verbs[] = {
	&part_list.command,	 &part_info.command,
	&image_build.command,	 &image_pull.command,
	&image_catalogue.command, &image_import.command,
	&image_export.command,	 &part_remove.command,
	&part_prune.command,	 &part_machines.command,
	&part_forget.command,
};

static int run_image(const struct command_context *context, int argc,
		     char **argv)
{
	struct image_args args = { .word = argv + 1 };
	const struct command *verb;
	struct disk_error error;
	struct store store;
	int status;

	verb = command_verb(&command_image, argc, argv, &status);
	if (!verb)
		return status;
	status = command_take(&command_image, verb, argc - 1, argv + 1, &args,
			      &args.words);
	if (status >= 0)
		return status;
	if (store_open(&store, &error)) {
		cli_error("image: %s", error.text);
		return MACHINE_FAILED;
	}
	/* It is the part's first member. */
	status = ((const struct image_part *)verb)->run(&store, &args);
	store_close(&store);
	return status;
}

const struct command command_image = {
	.name = "image",
	.synopsis = "VERB [OPTIONS]",
	.summary = "make, list and remove images to run",
	.about = "The images that machines are made of: lodge run IMAGE. They "
		 "are kept in\n$XDG_DATA_HOME/lodge or ~/.local/share/lodge.",
	.examples = "lodge image pull debian-12\n"
		    "lodge image list",
	.verbs = verbs,
	.verb_count = OPTION_COUNT(verbs),
	.run = run_image,
};

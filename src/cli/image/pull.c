/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge image pull and catalogue: images that servers have.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/disk/tool.h"
#include "cli/image/image.h"
#include "cli/machine/target.h"
#include "cli/run/data.h"
#include "cli/table.h"
#include "disk/driver.h"
#include "image/fetch.h"
#include "vmm/machine.h"

#define STALL_DEFAULT 30 /* seconds */
#define STALL_MAX     3600

/* --- the catalogue ------------------------------------------------------------ */

/* As told, or the one that belongs to the program; the number, or -1. */
static int open_catalogue(const struct image_args *args,
			  struct fetch_source **list)
{
	const char *path = args->catalogue;
	struct disk_error error;
	char own[PATH_MAX];
	int count;

	if (!path && data_find(own, "recipes/catalogue.json"))
		path = own;
	if (!path) {
		cli_error("image: the catalogue is missing; make install in "
			  "the source tree puts it beside the program");
		return -1;
	}
	count = fetch_catalogue(path, list, &error);
	if (count < 0)
		cli_error("image: %s", error.text);
	return count;
}

static int run_catalogue(struct store *store, const struct image_args *args)
{
	static const struct table_column columns[] = {
		{ .title = "NAME", .least = 8 },
		{ .title = "SYSTEM", .least = 8 },
		{ .title = "FORMAT", .spare = true },
	};
	const struct table_look look = table_stdout(args->wide);
	json_t *json = json_array();
	struct fetch_source *list;
	int count = open_catalogue(args, &list);

	struct table *table = table_new(columns, OPTION_COUNT(columns));

	for (int i = 0; i < count; i++) {
		json_array_append_new(
			json, json_pack("{ssssssss}", "name", list[i].name,
					"title", list[i].title, "url",
					list[i].url, "format",
					list[i].format));
		table_cell(table, TABLE_PLAIN, "%s", list[i].name);
		table_cell(table, TABLE_PLAIN, "%s", list[i].title);
		table_cell(table, TABLE_PLAIN, "%s", list[i].format);
	}
	if (args->json && count >= 0)
		target_print_json(json);
	else if (!args->json)
		table_print(table, &look);
	table_free(table);
	json_decref(json);
	free(list);
	return count < 0 ? MACHINE_FAILED : MACHINE_OK;
}

static int take_catalogue(void *config, const char *value)
{
	((struct image_args *)config)->catalogue = value;
	return 0;
}

static const struct option_spec catalogue_options[] = {
	{ "catalogue", "FILE", "another catalogue, a JSON list", false,
	  take_catalogue },
	{ "json", NULL, "print a JSON list", false, image_take_json },
	{ "wide", NULL, "cut nothing to the terminal's width", false,
	  image_take_wide },
};

const struct image_part image_catalogue = {
	.command = {
		.name = "catalogue",
		.synopsis = "[OPTIONS]",
		.summary = "list what pull knows by name",
		.about = "Lists the images that lodge image pull knows by name.",
		.examples = "lodge image catalogue",
		.options = catalogue_options,
		.option_count = OPTION_COUNT(catalogue_options),
	},
	.run = run_catalogue,
};

/* --- what to pull ------------------------------------------------------------------ */

/* A name of the catalogue. */
static int by_name(const struct image_args *args, struct fetch_source *source)
{
	const char *name = args->word[0], *like = NULL;
	struct fetch_source *list;
	int count = open_catalogue(args, &list), found = -1;
	const char **names;

	if (count < 0)
		return -1;
	names = calloc((size_t)count + 1, sizeof(*names));
	for (int i = 0; names && i < count; i++) {
		names[i] = list[i].name;
		if (!strcmp(list[i].name, name))
			found = i;
	}
	if (names && count)
		like = cli_nearest(name, names, (size_t)count,
				   sizeof(names[0]));
	if (found >= 0)
		*source = list[found];
	else if (like)
		cli_error("image pull: %s is not in the catalogue; did you "
			  "mean %s?", name, like);
	else
		cli_error("image pull: %s is not in the catalogue, which lodge "
			  "image catalogue lists; or give a URL", name);
	free(names);
	free(list);
	return found < 0 ? -1 : 0;
}

/* The file's name in a URL without endings of packers; its format by that. */
static int by_url(const struct image_args *args, struct fetch_source *source)
{
	const char *url = args->word[0];
	const struct disk_driver *driver;
	char name[256], *dot;
	size_t length = strcspn(url, "?#");
	const char *at = url + length;

	if (strncasecmp(url, "http://", 7) && strncasecmp(url, "https://", 8)) {
		cli_error("image pull: %s: give an address that begins with "
			  "https:// or http://", url);
		return -1;
	}
	while (at > url && at[-1] != '/')
		at--;
	if (strlen(url) >= sizeof(source->url) ||
	    (size_t)(url + length - at) >= sizeof(name)) {
		cli_error("image pull: the address is too long");
		return -1;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(url + length - at), at);
	dot = strrchr(name, '.');
	if (dot && (!strcasecmp(dot, ".xz") || !strcasecmp(dot, ".zst")))
		*dot = '\0';
	driver = disk_driver_by_path(name);
	dot = strrchr(name, '.');
	if (dot)
		*dot = '\0';
	if (!args->name && !image_name_valid(name)) {
		cli_error("image pull: %s: gives no name for an image; give "
			  "one with --name", url);
		return -1;
	}
	*source = (struct fetch_source){ 0 };
	strcpy(source->url, url);
	snprintf(source->name, sizeof(source->name), "%.63s",
		 args->name ? args->name : name);
	snprintf(source->format, sizeof(source->format), "%.15s",
		 driver ? driver->name : "raw");
	strcpy(source->firmware, "any");
	source->guessed = !args->format;
	return 0;
}

/* What the options say of it beyond that. */
static int amend(const struct image_args *args, struct fetch_source *source)
{
	if (args->format)
		snprintf(source->format, sizeof(source->format), "%s",
			 args->format);
	if (*args->checksum)
		strcpy(source->checksum, args->checksum);
	if (args->uefi)
		strcpy(source->firmware, "uefi");
	if (strcmp(source->format, "raw") && strcmp(source->format, "qcow2")) {
		cli_error("image pull: %s: only raw and qcow2 are pulled; "
			  "download it and lodge image import it",
			  source->format);
		return -1;
	}
	if (*source->checksum || *source->sums || args->unchecked)
		return 0;
	cli_error("image pull: %s: give its --checksum sha256:... (or "
		  "--unchecked to trust the server)", source->url);
	return -1;
}

/* --- the command -------------------------------------------------------------------- */

static void step(void *ctx, const char *what, struct disk_job *job)
{
	struct progress **progress = ctx;

	if (what) {
		*progress = progress_begin(job, what, NULL, NULL);
	} else {
		progress_end(*progress);
		*progress = NULL;
	}
}

static int run_pull(struct store *store, const struct image_args *args)
{
	bool url = strstr(args->word[0], "://");
	struct progress *progress = NULL;
	struct fetch_source source;
	struct disk_error error;
	struct fetch fetch = {
		.source = &source,
		.replace = args->replace,
		.stall = args->stall ? args->stall : STALL_DEFAULT,
		.step = step,
		.ctx = &progress,
	};

	if (url ? by_url(args, &source) : by_name(args, &source))
		return MACHINE_USAGE;
	if (amend(args, &source))
		return MACHINE_USAGE;
	fetch.name = args->name ? args->name : source.name;
	if (fetch_image(store, &fetch, &error)) {
		cli_error("image pull: %s", error.text);
		return MACHINE_FAILED;
	}
	if (args->json)
		tool_print_json(json_pack("{ss}", "name", fetch.name));
	else
		printf("image: %s is ready; lodge run %s starts a machine of "
		       "it\n", fetch.name, fetch.name);
	return MACHINE_OK;
}

static int take_checksum(void *config, const char *value)
{
	struct image_args *args = config;

	if (checksum_parse(value, args->checksum))
		return 0;
	cli_error("image pull: --checksum %s: give sha256: and 64 or sha512: "
		  "and 128 hexadecimal digits", value);
	return -1;
}

static int take_unchecked(void *config, const char *value)
{
	((struct image_args *)config)->unchecked = true;
	return 0;
}

static int take_format(void *config, const char *value)
{
	((struct image_args *)config)->format = value;
	return 0;
}

static int take_uefi(void *config, const char *value)
{
	((struct image_args *)config)->uefi = true;
	return 0;
}

static int take_stall(void *config, const char *value)
{
	unsigned long n;
	char *end;

	n = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || !n || n > STALL_MAX) {
		cli_error("image pull: --timeout %s: give 1 to %d seconds",
			  value, STALL_MAX);
		return -1;
	}
	((struct image_args *)config)->stall = (unsigned int)n;
	return 0;
}

static const struct option_spec pull_options[] = {
	{ "name", "NAME", "what to call the image", false, image_take_name },
	{ "checksum", "SUM", "sha256: or sha512: and the digits", false,
	  take_checksum },
	{ "unchecked", NULL, "take what a URL gives without a checksum", false,
	  take_unchecked },
	{ "format", "FORMAT", "raw or qcow2 (as the URL's ending says)", false,
	  take_format },
	{ "uefi", NULL, "its system boots by UEFI only", false, take_uefi },
	{ "replace", NULL, "make an image anew that is there", false,
	  image_take_replace },
	{ "timeout", "SECONDS",
	  "without a byte until a transfer is tried again (30)", false,
	  take_stall },
	{ "catalogue", "FILE", "another catalogue, a JSON list", false,
	  take_catalogue },
	{ "json", NULL, "print JSON", false, image_take_json },
};

const struct image_part image_pull = {
	.command = {
		.name = "pull",
		.synopsis = "NAME|URL [OPTIONS]",
		.summary = "make an image of one that a server has",
		.about =
			"Makes an image of one that a server has: of the catalogue, or "
			"by its address.\nIts checksum is verified always. When it is "
			"interrupted, the same command goes\non. Proxies are taken from "
			"http_proxy, https_proxy and no_proxy.",
		.examples = "lodge image pull debian-12\n"
			    "lodge image pull https://example.org/disk.qcow2 --checksum sha256:...",
		.options = pull_options,
		.option_count = OPTION_COUNT(pull_options),
		.words_min = 1,
		.words_max = 1,
		.missing = "a name or a URL",
	},
	.run = run_pull,
};

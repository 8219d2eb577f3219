/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge image build: images that recipes make here.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/image/image.h"
#include "cli/run/data.h"
#include "image/build.h"
#include "vmm/machine.h"

#define SIZE_DEFAULT ((uint64_t)10 << 30)

/* Words of the distribution: they become arguments and file names. */
static bool is_word(const char *text)
{
	if (!isalnum((unsigned char)*text))
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("+-.:", *text))
			return false;
	return true;
}

static int take_size(void *config, const char *value)
{
	struct image_args *args = config;

	if (!cli_parse_size(value, &args->size) || args->size < BUILD_SIZE_MIN ||
	    args->size > BUILD_SIZE_MAX) {
		cli_error("image build: --size %s: give 2G to 16T", value);
		return -1;
	}
	return 0;
}

static int take_suite(void *config, const char *value)
{
	if (!is_word(value)) {
		cli_error("image build: --suite %s: give a name such as "
			  "bookworm", value);
		return -1;
	}
	((struct image_args *)config)->suite = value;
	return 0;
}

static int take_package(void *config, const char *value)
{
	struct image_args *args = config;
	size_t used = strlen(args->packages);

	if (!is_word(value)) {
		cli_error("image build: --package %s: give the name of a "
			  "package", value);
		return -1;
	}
	if ((size_t)snprintf(args->packages + used,
			     sizeof(args->packages) - used, "%s%s",
			     used ? "," : "", value) >=
	    sizeof(args->packages) - used) {
		cli_error("image build: --package %s: too many; install the "
			  "rest in the machine", value);
		return -1;
	}
	return 0;
}

static const struct option_spec options[] = {
	{ "size", "SIZE", "of the disk (10G); only what is used takes room",
	  false, take_size },
	{ "suite", "NAME", "Debian's release (bookworm)", false, take_suite },
	{ "package", "NAME", "one more package in it; repeats", true,
	  take_package },
	{ "name", "NAME", "what to call the image (debian)", false,
	  image_take_name },
	{ "replace", NULL, "make an image anew that is there", false,
	  image_take_replace },
};

static int run_build(struct store *store, const struct image_args *args)
{
	char recipe[PATH_MAX], agent[PATH_MAX], source[128];
	const char *suite = args->suite ? args->suite : "bookworm";
	struct build build = {
		.name = args->name ? args->name : args->word[0],
		.recipe = recipe,
		.source = source,
		.suite = suite,
		.packages = args->packages,
		.size = args->size ? args->size : SIZE_DEFAULT,
		.replace = args->replace,
	};
	struct disk_error error;

	if (strcmp(args->word[0], "debian")) {
		cli_error("image build: %s: there is a recipe for debian; "
			  "lodge image pull gets others", args->word[0]);
		return MACHINE_USAGE;
	}
	if (data_find(agent, "lodge-agent"))
		build.agent = agent;
	if (!data_find(recipe, "recipes/debian/build.sh")) {
		cli_error("image build: the recipes are missing; make install "
			  "in the source tree puts them beside the program");
		return MACHINE_FAILED;
	}
	snprintf(source, sizeof(source), "build debian %.64s", suite);
	switch (build_image(store, &build, &error)) {
	case 0:
		break;
	case 1:
		return MACHINE_FAILED;
	default:
		cli_error("image build: %s", error.text);
		return MACHINE_FAILED;
	}
	printf("image: %s is ready; lodge run %s starts a machine of it\n",
	       build.name, build.name);
	return MACHINE_OK;
}

const struct image_part image_build = {
	.command = {
		.name = "build",
		.synopsis = "debian [OPTIONS]",
		.summary = "make an image of Debian",
		.about =
			"Makes an image of Debian out of its packages: a kernel, systemd, "
			"an ssh\nserver, cloud-init, and GRUB for BIOS and UEFI. Needs "
			"no privileges where the\nhost lets users have namespaces, and "
			"some 2 GiB of room.",
		.examples = "lodge image build debian --size 20G --package nginx",
		.options = options,
		.option_count = OPTION_COUNT(options),
		.words_min = 1,
		.words_max = 1,
		.missing = "what to build (debian)",
	},
	.run = run_build,
};

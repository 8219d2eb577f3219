/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge image import and export: images from and to files of any format.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/disk/tool.h"
#include "cli/image/image.h"
#include "disk/driver.h"
#include "disk/partition.h"
#include "image/instance.h"
#include "image/ova.h"
#include "image/ova_make.h"
#include "vmm/machine.h"

static int take_format(void *config, const char *value)
{
	((struct image_args *)config)->format = value;
	if (disk_driver_find(value) || !strcmp(value, "ova"))
		return 0;
	cli_error("image: --format %s: there is no such format; lodge help "
		  "disk lists them", value);
	return -1;
}

/* What lodge disk convert does, with our name in its messages. */
static int convert(const char *command, const char *from,
		   const char *from_format, const char *to,
		   const struct image_args *args, struct tool *more)
{
	char *words[] = { (char *)from, (char *)to };

	more->command = command;
	more->word = words;
	more->words = 2;
	more->from = from_format;
	more->compress = args->compress;
	return disk_command_convert.run(more);
}

/* --- import ----------------------------------------------------------------- */

static bool ends_in(const char *path, const char *suffix)
{
	size_t length = strlen(path), end = strlen(suffix);

	return length > end && !strcasecmp(path + length - end, suffix);
}

/* "debian-12" of "/tmp/debian-12.qcow2". */
static int name_of(const char *path, char name[IMAGE_NAME_MAX + 1])
{
	const char *base = strrchr(path, '/'), *dot;
	int length;

	base = base ? base + 1 : path;
	dot = strrchr(base, '.');
	length = dot > base ? (int)(dot - base) : (int)strlen(base);
	if (length <= IMAGE_NAME_MAX) {
		snprintf(name, IMAGE_NAME_MAX + 1, "%.*s", length, base);
		if (image_name_valid(name))
			return 0;
	}
	cli_error("image import: %s: gives no name for an image; give one "
		  "with --name", path);
	return -1;
}

/* The disk into the draft; 0 or an exit status. */
static int bring_in(struct store_draft *draft, const struct image_args *args)
{
	const char *from = args->word[0], *format = args->format;
	char inner[FOLDER_PATH_MAX + 256], to[FOLDER_PATH_MAX + 256];
	struct tool tool = { 0 };
	struct disk_error error;
	int status;

	snprintf(inner, sizeof(inner), "%s/inner.vmdk", draft->path);
	snprintf(to, sizeof(to), "%s/disk.qcow2", draft->path);
	if (format ? !strcmp(format, "ova") : ends_in(from, ".ova")) {
		if (ova_extract(from, draft->folder, "inner.vmdk", &error)) {
			cli_error("image import: %s", error.text);
			return MACHINE_FAILED;
		}
		from = inner;
		format = "vmdk";
	}
	tool.to = "qcow2";
	status = convert("image import", from, format, to, args, &tool);
	remove(inner);
	return status;
}

/* What is known of it. */
static int describe(const struct store_draft *draft,
		    const struct image_args *args,
		    struct image_record *record)
{
	char path[FOLDER_PATH_MAX + 256], source[PATH_MAX];
	const struct disk_open how = { .path = path, .format = "qcow2",
				       .readonly = true };
	struct disk_error error;
	struct disk_node *node;

	snprintf(path, sizeof(path), "%s/disk.qcow2", draft->path);
	if (disk_open(&node, &how, &error)) {
		cli_error("image import: %s", error.text);
		return -1;
	}
	*record = (struct image_record){
		.disk = "disk.qcow2",
		.format = "qcow2",
		.size = node->size,
		.created = time(NULL),
	};
	if (disk_partitions_fit(node, &error)) {
		cli_error("image import: %s: %s", args->word[0], error.text);
		disk_close(node);
		return -1;
	}
	disk_close(node);
	strcpy(record->firmware, args->uefi ? "uefi" : "bios");
	if (!realpath(args->word[0], source))
		snprintf(source, sizeof(source), "%s", args->word[0]);
	snprintf(record->source, sizeof(record->source), "import %.1000s",
		 source);
	return 0;
}

static int run_import(struct store *store, const struct image_args *args)
{
	char name[IMAGE_NAME_MAX + 1];
	struct image_record record;
	struct store_draft draft;
	struct disk_error error;
	int status;

	if (args->name)
		snprintf(name, sizeof(name), "%s", args->name);
	else if (name_of(args->word[0], name))
		return MACHINE_USAGE;
	if (store_may_make(store, name, args->replace, &error) ||
	    store_begin(store, &draft, &error)) {
		cli_error("image import: %s", error.text);
		return MACHINE_FAILED;
	}
	status = bring_in(&draft, args);
	if (!status && describe(&draft, args, &record))
		status = MACHINE_FAILED;
	if (status) {
		store_abandon(&draft);
		return status;
	}
	snprintf(record.name, sizeof(record.name), "%s", name);
	if (store_finish(&draft, &record, args->replace, &error)) {
		cli_error("image import: %s", error.text);
		return MACHINE_FAILED;
	}
	if (args->json)
		tool_print_json(json_pack("{sssI}", "name", name, "size",
					  (json_int_t)record.size));
	return MACHINE_OK;
}

static int take_uefi(void *config, const char *value)
{
	((struct image_args *)config)->uefi = true;
	return 0;
}

static const struct option_spec import_options[] = {
	{ "format", "FORMAT",
	  "what FILE is (as its name's ending says; raw without\n"
	  "one): qcow2, vmdk, vhdx, vdi, ova ...", false, take_format },
	{ "name", "NAME", "what to call the image (as FILE without its ending)",
	  false, image_take_name },
	{ "uefi", NULL, "its system boots by UEFI (not by BIOS)", false,
	  take_uefi },
	{ "replace", NULL, "make an image anew that is there", false,
	  image_take_replace },
	{ "json", NULL, "print JSON", false, image_take_json },
};

const struct image_part image_import = {
	.command = {
		.name = "import",
		.synopsis = "FILE [OPTIONS]",
		.summary = "make an image of a disk image",
		.about = "Makes an image of a disk image of any format, or of the "
			   "disk in an OVA file.",
		.examples = "lodge image import disk.vmdk --name old-server",
		.options = import_options,
		.option_count = OPTION_COUNT(import_options),
		.words_min = 1,
		.words_max = 1,
		.words = "file",
		.missing = "a file",
	},
	.run = run_import,
};

/* --- export ----------------------------------------------------------------- */

#define CPUS	 2u /* of an OVA's machine, unless it is said */
#define MEMORY	 (2ull << 30)
#define CPUS_MAX 64u

static bool wants_ova(const struct image_args *args)
{
	return args->format ? !strcmp(args->format, "ova")
			    : ends_in(args->word[1], ".ova");
}

/* What an export begins with. */
struct source {
	const char *name, *path, *format;
	bool uefi;
};

/* The archive around the disk, which is packed already. */
static int write_ova(const struct source *source,
		     const struct image_args *args, const char *vmdk)
{
	const struct disk_open how = { .path = vmdk, .format = "vmdk",
				       .readonly = true };
	struct ova_machine machine = {
		.name = source->name,
		.cpus = args->cpus ? args->cpus : CPUS,
		.memory = args->memory ? args->memory : MEMORY,
		.uefi = source->uefi,
	};
	struct disk_error error;
	struct disk_node *node;
	int result = disk_open(&node, &how, &error);

	if (!result) {
		machine.disk = node->size;
		disk_close(node);
		result = ova_make(args->word[1], &machine, vmdk, &error);
	}
	if (result) {
		cli_error("image export: %s", error.text);
		return MACHINE_FAILED;
	}
	if (args->json)
		tool_print_json(json_pack("{sssssI}", "path", args->word[1],
					  "format", "ova", "size",
					  (json_int_t)machine.disk));
	return MACHINE_OK;
}

/* The disk is packed in a folder beside the target, under the name that it has
 * in the archive. */
static int export_ova(const struct source *source,
		      const struct image_args *args, struct tool *tool)
{
	const char *target = args->word[1];
	char folder[PATH_MAX], vmdk[PATH_MAX];
	int status;

	if (!access(target, F_OK)) {
		cli_error("image export: %s: is there already; remove it, or "
			  "take another name", target);
		return MACHINE_FAILED;
	}
	if (snprintf(folder, sizeof(folder), "%s.disk", target) >=
		    (int)sizeof(folder) ||
	    snprintf(vmdk, sizeof(vmdk), "%s/%s-disk1.vmdk", folder,
		     source->name) >= (int)sizeof(vmdk) ||
	    (mkdir(folder, 0700) && errno != EEXIST)) {
		cli_error("image export: %s: %s", target, strerror(errno));
		return MACHINE_FAILED;
	}
	unlink(vmdk); /* an end by force left it */
	tool->to = "vmdk";
	tool->json = false;
	tool->option[tool->options++] = "subformat=streamOptimized";
	tool->option[tool->options++] = "adapter_type=lsilogic";
	status = convert("image export", source->path, source->format, vmdk,
			 args, tool);
	if (!status)
		status = write_ova(source, args, vmdk);
	unlink(vmdk);
	rmdir(folder);
	return status;
}

static int export_source(const struct source *source,
			 const struct image_args *args, struct tool *tool)
{
	if (wants_ova(args))
		return export_ova(source, args, tool);
	if (args->cpus || args->memory) {
		cli_error("image export: --cpus and --memory are for OVA "
			  "files: say --format ova, or end FILE in .ova");
		return MACHINE_USAGE;
	}
	return convert("image export", source->path, source->format,
		       args->word[1], args, tool);
}

static int export_machine(struct store *store, const struct image_args *args,
			  struct tool *tool)
{
	struct source source = { .name = args->word[0] };
	char path[PATH_MAX], format[16], folder[FOLDER_PATH_MAX + 256];

	/* Its name is a folder's: nothing that leaves the store. */
	if (!image_name_valid(args->word[0])) {
		cli_error("image export: %s: is no machine's name",
			  args->word[0]);
		return MACHINE_USAGE;
	}
	if (!instance_disk(store, args->word[0], path, format)) {
		cli_error("image export: no machine is kept as %s; lodge image "
			  "machines lists them", args->word[0]);
		return MACHINE_FAILED;
	}
	snprintf(folder, sizeof(folder), "%s/images", store->path);
	tool->folder[tool->folders++] = folder;
	source.path = path;
	source.format = format;
	source.uefi = args->uefi;
	return export_source(&source, args, tool);
}

static int run_export(struct store *store, const struct image_args *args)
{
	struct tool tool = { .to = args->format, .json = args->json };
	char path[FOLDER_PATH_MAX + 256];
	struct source source = { .name = args->word[0], .path = path };
	struct store_image image;
	struct disk_error error;

	if (args->machine)
		return export_machine(store, args, &tool);
	switch (store_find(store, args->word[0], &image, &error)) {
	case 0:
		break;
	case 1:
		image_unknown(store, args->word[0]);
		return MACHINE_FAILED;
	default:
		cli_error("image export: %s", error.text);
		return MACHINE_FAILED;
	}
	snprintf(path, sizeof(path), "%s/%s", image.path, image.record.disk);
	source.name = image.record.name;
	source.format = image.record.format;
	source.uefi = args->uefi || !strcmp(image.record.firmware, "uefi");
	return export_source(&source, args, &tool);
}

static int take_compress(void *config, const char *value)
{
	((struct image_args *)config)->compress = true;
	return 0;
}

static int take_machine(void *config, const char *value)
{
	((struct image_args *)config)->machine = true;
	return 0;
}

static int take_cpus(void *config, const char *value)
{
	struct image_args *args = config;
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*end || !n || n > CPUS_MAX) {
		cli_error("image: --cpus %s: give a number from 1 to %u",
			  value, CPUS_MAX);
		return -1;
	}
	args->cpus = (unsigned int)n;
	return 0;
}

static int take_memory(void *config, const char *value)
{
	struct image_args *args = config;

	if (cli_parse_bytes(value, true, &args->memory) &&
	    args->memory >= 1u << 20 && args->memory <= 1ull << 40)
		return 0;
	cli_error("image: --memory %s: give a size such as 2G", value);
	return -1;
}

static const struct option_spec export_options[] = {
	{ "format", "FORMAT",
	  "what FILE is to be (as its name's ending says; raw\n"
	  "without one)", false, take_format },
	{ "cpus", "N", "processors of an OVA's machine (2)", false,
	  take_cpus },
	{ "memory", "SIZE", "and its memory (2G)", false, take_memory },
	{ "uefi", NULL, "and it boots by UEFI (as the image does)", false,
	  take_uefi },
	{ "machine", NULL,
	  "IMAGE is a machine's name: its disk, with all that\n"
	  "was written there", false, take_machine },
	{ "compress", NULL, "write compressed clusters", false,
	  take_compress },
	{ "json", NULL, "print JSON", false, image_take_json },
};

const struct image_part image_export = {
	.command = {
		.name = "export",
		.synopsis = "IMAGE FILE [OPTIONS]",
		.summary = "write an image's disk to a file",
		.about = "Writes an image's disk to a file of any format: qcow2, "
			   "vmdk, vhdx, vdi, raw,\nor to an OVA file for "
			   "VirtualBox and VMware. After an interruption the same "
			   "command goes on.",
		.examples = "lodge image export debian debian.ova\n"
			    "lodge image export web web.qcow2 --machine",
		.options = export_options,
		.option_count = OPTION_COUNT(export_options),
		.words_min = 2,
		.words_max = 2,
		.words = "image file",
		.missing = "an image's name|a file",
	},
	.run = run_export,
};

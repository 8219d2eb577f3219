/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that plug disks and shared folders into running machines and take
 * them out again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/machine/attach_share.h"
#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/run/disk.h"
#include "vmm/control/remote.h"
#include "vmm/hotplug.h"

#define PATIENCE 60 /* seconds for an answer; a guest has less to let go */

/* --- attach ----------------------------------------------------------------- */

/* The paths that there are, `most` at most, as a list called `name`. */
static void add_paths(json_t *request, const char *name,
		      const char *const *path, unsigned int most)
{
	json_t *list = *path ? json_array() : NULL;

	for (unsigned int i = 0; i < most && path[i]; i++) {
		char *whole = target_path(path[i]);

		json_array_append_new(list, json_string(whole));
		free(whole);
	}
	if (list)
		json_object_set_new(request, name, list);
}

static json_t *request_of(const struct machine_disk *disk, const char *name)
{
	char *path = target_path(disk->path);
	json_t *request;

	if (!path) {
		cli_error("attach: %s: %s", disk->path, strerror(errno));
		return NULL;
	}
	request = json_pack("{sssssssbss*ss*ss*sssIsIsi}", "device", "disk", "path",
			    path, "bus", hotplug_bus_name(disk->bus),
			    "readonly", (int)disk->readonly, "name", name,
			    "serial", disk->serial, "format", disk->format,
			    "cache", disk_cache_name(disk->cache), "iops",
			    (json_int_t)disk->limits.iops, "bps",
			    (json_int_t)disk->limits.bps, "burst",
			    (int)disk->limits.burst_ms);
	free(path);
	if (!request) {
		cli_error("attach: %s: names are written in UTF-8",
			  disk->path);
		return NULL;
	}
	if (disk->copy_on_read)
		json_object_set_new(request, "copy-on-read", json_true());
	if (disk->queues)
		json_object_set_new(request, "queues",
				    json_integer(disk->queues));
	add_paths(request, "secret", disk->secret, MACHINE_SECRETS);
	add_paths(request, "folder", disk->more, MACHINE_FOLDERS);
	return request;
}

/* The request that the words ask for; NULL: *status says why not. */
static json_t *read_words(char **word, int *status)
{
	const char *name = NULL;
	struct machine_disk disk;
	json_t *request = NULL;

	*status = MACHINE_USAGE;
	if (strcmp(word[1], "disk")) {
		cli_error("attach: %s: a disk or a share can be attached",
			  word[1]);
		return NULL;
	}
	if (!disk_parse("attach", word[2], &disk, &name)) {
		if (!hotplug_bus_name(disk.bus)) {
			cli_error("attach: give bus=virtio, bus=nvme or "
				  "bus=ahci; on others nothing can be "
				  "attached");
		} else {
			request = request_of(&disk, name);
			*status = MACHINE_FAILED;
		}
	}
	free((char *)disk.path); /* what it names is behind it */
	return request;
}

static int run_attach(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target;
	json_t *request, *result;
	int status;

	if (target_take(&target, &command_attach, argc, argv, &status))
		return status;
	if (!strcmp(target.word[1], "share"))
		return attach_share(&target);
	request = read_words(target.word, &status);
	if (!request)
		return status;
	result = target_call(&target, "attach", request, PATIENCE, NULL);
	target_close(&target);
	if (!result)
		return MACHINE_FAILED;
	if (target.json)
		target_print_json(result);
	else
		printf("%s\n", json_string_value(json_object_get(result,
								 "name")));
	json_decref(result);
	return MACHINE_OK;
}

const struct command command_attach = {
	.name = "attach",
	.summary = "plug a disk or shared folder into a machine",
	.run = run_attach,
	.synopsis = "[--json] NAME disk PATH[,OPTION...]\n"
		    "[--json] NAME share FOLDER:GUESTFOLDER[,OPTION...]",
	.about = "Plugs an image into a running machine as a disk, or has a folder of this\n"
		 "computer in its guest, whose agent mounts it; and prints the name that lodge\n"
		 "detach takes. A share's options are those of lodge run --share, a disk's:\n"
		 "\n"
		 "  bus=WHICH             virtio, nvme or ahci (virtio)\n"
		 "  name=NAME             its name (disk1; when there is one, disk2 ...)\n"
		 "  readonly              the guest cannot write to it\n"
		 "  format=FORMAT         of the image (as the path's ending says, else raw)\n"
		 "  cache=MODE            writeback, none, writethrough or unsafe (writeback)\n"
		 "  copy-on-read          what is read from its backing file is written to it\n"
		 "  iops=N, bps=SIZE      at most so many requests, bytes a second\n"
		 "  burst=TIME            made up for after a rest (100ms)\n"
		 "  serial=TEXT           its serial number\n"
		 "  secret=FILE           its passphrase, when it is encrypted; repeats\n"
		 "  folder=PATH           backing files may lie there, or be at this address;\n"
		 "                        repeats\n"
		 "  queues=N              request queues (one for each processor)",
	.examples = "lodge attach web disk data.qcow2\n"
		    "lodge attach web disk data.qcow2,bus=nvme,readonly,name=data\n"
		    "lodge attach web share ~/src:/mnt/src,readonly",
	.options = target_json_option,
	.option_count = 1,
	.words = "running disk file",
	.words_min = 3,
	.words_max = 3,
	.missing = "a machine's name|disk or share|an image's path or a folder",
};

/* --- detach ----------------------------------------------------------------- */

static const struct option_spec detach_options[] = {
	{ "force", NULL,
	  "pull it out at once, as a hand would: so goes a SATA\n"
	  "disk in any case; a share is taken from who uses it", false, target_take_force },
	{ "json", NULL, "print its name as JSON", false, target_take_json },
};

static int run_detach(const struct command_context *context, int argc,
		      char **argv)
{
	struct target target;
	int status;
	json_t *result;

	if (target_take(&target, &command_detach, argc, argv, &status))
		return status;
	if (attach_share_unmount(&target)) {
		target_close(&target);
		return MACHINE_FAILED;
	}
	result = target_call(&target, "detach",
			     json_pack("{sssb}", "name", target.word[1],
				       "force", (int)target.force),
			     PATIENCE, NULL);
	target_close(&target);
	json_decref(result);
	if (result && target.json)
		target_print_word("detached", target.word[1]);
	return result ? MACHINE_OK : MACHINE_FAILED;
}

const struct command command_detach = {
	.name = "detach",
	.summary = "take out what was attached",
	.run = run_detach,
	.synopsis = "[--force] [--json] NAME WHAT",
	.about = "Asks a machine's guest to let a disk or share go that lodge attach named, and\n"
		 "waits up to 30 seconds for it. A share is unmounted first, unless it is in use.",
	.examples = "lodge detach web disk1",
	.options = detach_options,
	.option_count = OPTION_COUNT(detach_options),
	.words = "running attached",
	.words_min = 2,
	.words_max = 2,
	.missing = "a machine's name|a disk's or share's name",
};

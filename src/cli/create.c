/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge create: options, as lodge run has them, to a configuration of the API.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/disk.h"
#include "cli/managed.h"
#include "cli/option.h"
#include "cli/target.h"
#include "vmm/machine.h"

#define MIB ((uint64_t)1 << 20)

/* The one that is being made. */
struct create {
	json_t *config;
};

/* --- single values ------------------------------------------------------------------ */

static int put(void *config, const char *name, json_t *value)
{
	const struct create *create = config;

	if (!json_object_set_new(create->config, name, value))
		return 0;
	cli_error("create: --%s: the value is not UTF-8", name);
	return -1;
}

static int put_path(void *config, const char *name, const char *value)
{
	char *path = target_path(value);
	int rc = put(config, name, json_string(path ? path : value));

	free(path);
	return rc;
}

static int put_number(void *config, const char *option, const char *name,
		      const char *value)
{
	char *end;
	long long number = strtoll(value, &end, 10);

	if (isdigit((unsigned char)*value) && !*end)
		return put(config, name, json_integer(number));
	cli_error("create: --%s %s: give a number", option, value);
	return -1;
}

static int put_size(void *config, const char *option, const char *name,
		    const char *value)
{
	uint64_t bytes;

	if (cli_parse_size(value, &bytes) && bytes <= INT64_MAX)
		return put(config, name, json_integer((json_int_t)bytes));
	cli_error("create: --%s %s: give a size such as 512M or 2G", option,
		  value);
	return -1;
}

static int take_kernel(void *config, const char *value)
{
	return put_path(config, "kernel", value);
}

static int take_initrd(void *config, const char *value)
{
	return put_path(config, "initrd", value);
}

static int take_append(void *config, const char *value)
{
	return put(config, "append", json_string(value));
}

static int take_firmware(void *config, const char *value)
{
	return strchr(value, '/') ? put_path(config, "firmware", value) :
				    put(config, "firmware", json_string(value));
}

static int take_uefi_vars(void *config, const char *value)
{
	return put_path(config, "uefi_vars", value);
}

static int take_cloud_init(void *config, const char *value)
{
	return put_path(config, "cloud_init", value);
}

static int take_user(void *config, const char *value)
{
	return put(config, "user", json_string(value));
}

static int take_disk_size(void *config, const char *value)
{
	return put_size(config, "disk-size", "disk_size", value);
}

static int take_cpus(void *config, const char *value)
{
	return put_number(config, "cpus", "cpus", value);
}

static int take_memory(void *config, const char *value)
{
	return put_size(config, "memory", "memory", value);
}

static int take_engine(void *config, const char *value)
{
	return put(config, "engine", json_string(value));
}

static int take_display(void *config, const char *value)
{
	return put(config, "display", json_string(value));
}

static int take_usb(void *config, const char *value)
{
	return put(config, "usb", json_true());
}

static int take_restart(void *config, const char *value)
{
	return put(config, "restart", json_string(value));
}

static int take_autostart(void *config, const char *value)
{
	return put(config, "autostart", json_true());
}

static int take_autostart_order(void *config, const char *value)
{
	return put_number(config, "autostart-order", "autostart_order",
			  value);
}

/* --- lists ----------------------------------------------------------------------------- */

static int append(void *config, const char *name, json_t *value)
{
	const struct create *create = config;
	json_t *list = json_object_get(create->config, name);

	if (!list) {
		list = json_array();
		json_object_set_new(create->config, name, list);
	}
	if (!json_array_append_new(list, value))
		return 0;
	cli_error("create: a value is not UTF-8");
	return -1;
}

static json_t *option_value(const char *value)
{
	if (!value)
		return json_true();
	if (*value && strlen(value) < 19 &&
	    strspn(value, "0123456789") == strlen(value))
		return json_integer(strtoll(value, NULL, 10));
	return json_string(value);
}

/* "PATH,name=value,flag" to an object, whose `head` is what comes first. */
static int append_thing(void *config, const char *name, const char *head,
			const char *text)
{
	bool path = !strcmp(head, "path");
	char *copy = strdup(text), *rest = copy, *piece, *whole = NULL;
	json_t *thing = json_object();

	piece = copy ? disk_next_piece(&rest) : NULL;
	if (piece && path && strcmp(piece, "none"))
		whole = target_path(piece);
	json_object_set_new(thing, head,
			    json_string(whole ? whole : piece ? piece : ""));
	while (piece && (piece = disk_next_piece(&rest))) {
		char *value = strchr(piece, '=');

		if (value)
			*value++ = '\0';
		json_object_set_new(thing, piece, option_value(value));
	}
	free(whole);
	free(copy);
	return append(config, name, thing);
}

static int take_disk(void *config, const char *value)
{
	struct machine_disk disk;

	if (disk_parse("create: --disk", value, &disk, NULL))
		return -1;
	free((char *)disk.path);
	return append_thing(config, "disks", "path", value);
}

static int take_cdrom(void *config, const char *value)
{
	return append_thing(config, "cdroms", "path", value);
}

static int take_floppy(void *config, const char *value)
{
	return append_thing(config, "floppies", "path", value);
}

static int take_net(void *config, const char *value)
{
	return append_thing(config, "networks", "mode", value);
}

static int take_publish(void *config, const char *value)
{
	return append(config, "publish", json_string(value));
}

static int take_ssh_key(void *config, const char *value)
{
	char *path = target_path(value);
	int rc = append(config, "ssh_keys", json_string(path ? path : value));

	free(path);
	return rc;
}

static int take_label(void *config, const char *value)
{
	const struct create *create = config;
	json_t *labels = json_object_get(create->config, "labels");
	char *name = strdup(value), *equals = name ? strchr(name, '=') : NULL;
	int rc;

	if (!labels) {
		labels = json_object();
		json_object_set_new(create->config, "labels", labels);
	}
	if (equals)
		*equals++ = '\0';
	rc = name ? json_object_set_new(labels, name,
					json_string(equals ? equals : "")) :
		    -1;
	free(name);
	if (rc)
		cli_error("create: --label %s: is not UTF-8", value);
	return rc;
}

static const struct option_spec create_options[] = {
	{ "kernel", "FILE", "as for lodge run, as all below to --usb", false,
	  take_kernel },
	{ "initrd", "FILE", "the kernel's initial RAM disk", false,
	  take_initrd },
	{ "append", "STRING", "the kernel's command line", false,
	  take_append },
	{ "disk", "PATH[,OPTION...]", "an image as a disk; repeats", true,
	  take_disk },
	{ "cdrom", "ISO[,bus=ide]", "an image as a CD; repeats", true,
	  take_cdrom },
	{ "floppy", "IMG[,readonly]", "an image in a floppy drive; repeats",
	  true, take_floppy },
	{ "firmware", "WHICH", "bios, uefi, none or a path", false,
	  take_firmware },
	{ "uefi-vars", "FILE", "where UEFI keeps its variables", false,
	  take_uefi_vars },
	{ "cloud-init", "FILE", "user-data for the first boot", false,
	  take_cloud_init },
	{ "user", "NAME", "the account that its first boot makes", false,
	  take_user },
	{ "ssh-key", "FILE", "public key that may log in; repeats", true,
	  take_ssh_key },
	{ "disk-size", "SIZE", "of its disk, the image's or larger", false,
	  take_disk_size },
	{ "cpus", "N", "processors", false, take_cpus },
	{ "memory", "SIZE", "such as 256M or 2G", false, take_memory },
	{ "engine", "NAME", "auto, kvm or soft", false, take_engine },
	{ "net", "MODE[,OPTION...]", "a network card, or none; repeats", true,
	  take_net },
	{ "publish", "[HOST:]PORT:GUESTPORT[/udp]",
	  "a port that leads to the guest's; repeats", true, take_publish },
	{ "display", "WHICH", "std, none or vnc=ADDRESS", false,
	  take_display },
	{ "usb", NULL, "a USB controller", false, take_usb },
	{ "label", "NAME[=VALUE]", "to choose machines by; repeats", true,
	  take_label },
	{ "restart", "WHEN",
	  "start it again when it ends: never, on-failure (it\n"
	  "crashed or was killed) or always (never)", false, take_restart },
	{ "autostart", NULL, "start it when this computer has started", false,
	  take_autostart },
	{ "autostart-order", "N", "before those of higher numbers (0)", false,
	  take_autostart_order },
};

#define CREATE_OPTIONS (sizeof(create_options) / sizeof(create_options[0]))

static void help(void)
{
	printf("usage: lodge create NAME [IMAGE] [OPTIONS]\n\n"
	       "Makes a machine that is kept, for lodge start: of an image of "
	       "lodge image, with a\ndisk of its own, of a kernel or of disks; "
	       "else the default guest.\n\n");
	option_print(create_options, CREATE_OPTIONS);
	printf("\nexamples:\n"
	       "  lodge create web debian --memory 2G --publish 8080:80 "
	       "--restart always\n"
	       "  lodge create dos --firmware bios --disk c.img,bus=ide\n");
}

static int make(const char *name, json_t *config)
{
	struct api_client client;
	struct vmm_error error;
	json_t *answer;
	int status = managed_open(&client, "create", API_START);

	if (status != MACHINE_OK)
		return status;
	answer = api_call(&client, "POST", "/v1/vms",
			  json_pack("{ss sO}", "name", name, "config", config),
			  &status, &error);
	api_close(&client);
	if (!answer) {
		cli_error("create: %s", error.text);
		return status == 400 ? MACHINE_USAGE : MACHINE_FAILED;
	}
	json_decref(answer);
	return MACHINE_OK;
}

static int run_create(const struct command_context *context, int argc,
		      char **argv)
{
	struct create create = { .config = json_object() };
	int words, status = MACHINE_USAGE;

	switch (option_parse_words("create", create_options, CREATE_OPTIONS,
				   argc, argv, &create, &words)) {
	case OPTION_HELP:
		help();
		status = MACHINE_OK;
		break;
	case OPTION_BAD:
		break;
	case OPTION_GO_ON:
		if (words == 2)
			put(&create, "image", json_string(argv[1]));
		if (words < 1)
			cli_error("create: a machine's name is missing; see "
				  "lodge help create");
		else if (words > 2)
			cli_error("create: unexpected argument \"%s\"; see "
				  "lodge help create", argv[2]);
		else
			status = make(argv[0], create.config);
	}
	json_decref(create.config);
	return status;
}

const struct command command_create = {
	.name = "create",
	.summary = "make a machine that is kept",
	.run = run_create,
	.help = help,
};

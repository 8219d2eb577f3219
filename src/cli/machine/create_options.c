/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge create, clone and edit: options, as lodge run has them, to a
 * configuration as the API has it.
 */
#include "cli/machine/create.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/machine/target.h"
#include "cli/option.h"
#include "cli/run/disk.h"
#include "cli/run/share.h"
#include "vmm/machine.h"

#define MIB  ((uint64_t)1 << 20)

static const char *command_of(const void *config)
{
	return ((const struct create *)config)->command;
}

/* --- single values ------------------------------------------------------------------ */

static int put(void *config, const char *name, json_t *value)
{
	const struct create *create = config;

	if (!json_object_set_new(create->config, name, value))
		return 0;
	cli_error("%s: --%s: the value is not UTF-8", create->command, name);
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
	cli_error("%s: --%s %s: give a number", command_of(config), option,
		  value);
	return -1;
}

static int put_size(void *config, const char *option, const char *name,
		    const char *value)
{
	uint64_t bytes;

	if (cli_parse_size(value, &bytes) && bytes <= INT64_MAX)
		return put(config, name, json_integer((json_int_t)bytes));
	cli_error("%s: --%s %s: give a size such as 512M or 2G",
		  command_of(config), option, value);
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

static int take_cpu_shares(void *config, const char *value)
{
	return put_number(config, "cpu-shares", "cpu_shares", value);
}

/* "150%": one processor and a half. */
static int take_cpu_limit(void *config, const char *value)
{
	char *end;
	long percent = strtol(value, &end, 10);

	if (isdigit((unsigned char)*value) && !strcmp(end, "%"))
		return put(config, "cpu_limit", json_integer(percent));
	cli_error("%s: --cpu-limit %s: give hundredths of a processor, such "
		  "as 150%%", command_of(config), value);
	return -1;
}

static int take_cpu_set(void *config, const char *value)
{
	return put(config, "cpu_set", json_string(value));
}

static int take_memory_limit(void *config, const char *value)
{
	return put_size(config, "memory-limit", "memory_limit", value);
}

static int take_pids_limit(void *config, const char *value)
{
	return put_number(config, "pids-limit", "pids_limit", value);
}

static int take_disk_shares(void *config, const char *value)
{
	return put_number(config, "disk-shares", "disk_shares", value);
}

static int take_disk_bps(void *config, const char *value)
{
	uint64_t bytes;

	if (cli_parse_bytes(value, true, &bytes) && bytes <= INT64_MAX)
		return put(config, "disk_bps", json_integer((json_int_t)bytes));
	cli_error("%s: --disk-bps %s: give bytes a second, such as 100M",
		  command_of(config), value);
	return -1;
}

static int take_disk_iops(void *config, const char *value)
{
	return put_number(config, "disk-iops", "disk_iops", value);
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

static int take_temporary(void *config, const char *value)
{
	return put(config, "temporary", json_true());
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
	cli_error("%s: a value is not UTF-8", create->command);
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

#define SOCKET_MODE "socket="

/* Mode socket of a network with its whole path; NULL: no memory. */
static char *socket_mode(const char *path)
{
	char *whole = target_path(path), *mode = NULL;

	if (whole && asprintf(&mode, SOCKET_MODE "%s", whole) < 0)
		mode = NULL;
	free(whole);
	return mode;
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
	else if (piece && !strncmp(piece, SOCKET_MODE, strlen(SOCKET_MODE)))
		whole = socket_mode(piece + strlen(SOCKET_MODE));
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
	char what[32];

	snprintf(what, sizeof(what), "%s: --disk", command_of(config));
	if (disk_parse(what, value, &disk, NULL))
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

/* The folder's whole path, and the rest as it is. */
static int take_share(void *config, const char *value)
{
	struct machine_share share;
	char *whole, *text = NULL, what[32];
	size_t length;
	int rc = -1;

	snprintf(what, sizeof(what), "%s: --share", command_of(config));
	if (share_parse(what, value, &share))
		return -1;
	length = strlen(share.folder);
	whole = target_path(share.folder);
	if (whole && asprintf(&text, "%s%s", whole, value + length) >= 0)
		rc = append(config, "shares", json_string(text));
	else
		cli_error("%s: out of memory", command_of(config));
	free(text);
	free(whole);
	free((char *)share.folder);
	return rc;
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
		cli_error("%s: --label %s: is not UTF-8", create->command,
			  value);
	return rc;
}

static int take_dry_run(void *config, const char *value)
{
	((struct create *)config)->dry_run = true;
	return 0;
}

static int take_json(void *config, const char *value)
{
	((struct create *)config)->json = true;
	return 0;
}

static int take_all(void *config, const char *value)
{
	((struct create *)config)->all = true;
	return 0;
}

static int take_with_label(void *config, const char *value)
{
	((struct create *)config)->with_label = value;
	return 0;
}

static int take_watchdog(void *config, const char *value)
{
	return put(config, "watchdog", json_string(value));
}

static int take_autostart_delay(void *config, const char *value)
{
	return put_number(config, "autostart-delay", "autostart_delay",
			  value);
}

static int take_template(void *config, const char *value)
{
	return put(config, "template", json_true());
}

static int take_carry_out(void *config, const char *value)
{
	((struct create *)config)->plan = value;
	return 0;
}

static int take_name(void *config, const char *value)
{
	((struct create *)config)->name = value;
	return 0;
}

/* An option and its setting, where that has another name. */
static const char *const settings[][2] = {
	{ "disk", "disks" },	   { "rm", "temporary" },
	{ "cdrom", "cdroms" },	   { "floppy", "floppies" },
	{ "net", "networks" },	   { "ssh-key", "ssh_keys" },
	{ "label", "labels" },	   { "share", "shares" },
};

/* "disk-size" is the setting disk_size, and "disk" the list of all. */
static int take_unset(void *config, const char *value)
{
	char name[64];

	for (size_t i = 0; i < OPTION_COUNT(settings); i++)
		if (!strcmp(settings[i][0], value))
			return put(config, settings[i][1], json_null());
	snprintf(name, sizeof(name), "%s", value);
	for (char *at = name; *at; at++)
		*at = *at == '-' ? '_' : *at;
	return put(config, name, json_null());
}

/*
 * The first is that of lodge clone alone, the second of clone and edit, the
 * last three of lodge edit alone; the others are lodge create's.
 */
static const struct option_spec create_options[] = {
	{ "carry-out", "FILE", NULL, false, take_carry_out },
	{ "unset", "OPTION", "as if that had not been given; repeats", true,
	  take_unset },
	{ "kernel", "FILE", "a kernel to boot; see lodge help run", false,
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
	{ "firmware", "none|bios|uefi|PATH", "bios, uefi, none or a path", false,
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
	{ "engine", "auto|kvm|soft", "auto, kvm or soft", false, take_engine },
	{ "net", "MODE[,OPTION...]", "a network card, or none; repeats", true,
	  take_net },
	{ "publish", "[HOST:]PORT:GUESTPORT[/udp]",
	  "a port that leads to the guest's; repeats", true, take_publish },
	{ "share", "FOLDER:GUESTFOLDER[,readonly]",
	  "a folder of this computer in the guest; repeats", true,
	  take_share },
	{ "display", "WHICH", "std, none or vnc=ADDRESS", false,
	  take_display },
	{ "usb", NULL, "a USB controller", false, take_usb },
	{ "watchdog", "ACTION", "reset, poweroff, pause or none", false,
	  take_watchdog },
	{ "cpu-shares", "N",
	  "its part of processors that others want too (100)", false,
	  take_cpu_shares },
	{ "cpu-limit", "PERCENT", "at most, such as 150% (no limit)", false,
	  take_cpu_limit },
	{ "cpu-set", "LIST", "of this computer's processors, such as 0-3,6",
	  false, take_cpu_set },
	{ "memory-limit", "SIZE",
	  "of its process, more than its guest's (1/16 and\n"
	  "512M more, and 128M for each processor)", false, take_memory_limit },
	{ "pids-limit", "N", "its threads and processes (1024 and more)",
	  false, take_pids_limit },
	{ "disk-shares", "N", "its part of disks that others want too (100)",
	  false, take_disk_shares },
	{ "disk-bps", "SIZE", "bytes a second of each of its disks", false,
	  take_disk_bps },
	{ "disk-iops", "N", "requests a second of each of its disks", false,
	  take_disk_iops },
	{ "label", "NAME[=VALUE]", "to choose machines by; repeats", true,
	  take_label },
	{ "restart", "never|on-failure|always",
	  "start it again when it ends: never, on-failure (it\n"
	  "crashed or was killed) or always (never)", false, take_restart },
	{ "rm", NULL, "delete it when it has ended", false, take_temporary },
	{ "autostart", NULL, "start it when this computer has started", false,
	  take_autostart },
	{ "autostart-order", "N", "before those of higher numbers (0)", false,
	  take_autostart_order },
	{ "autostart-delay", "SECONDS",
	  "that the next one waits after it (0)", false,
	  take_autostart_delay },
	{ "template", NULL, "never to be started, only cloned", false,
	  take_template },
	{ "dry-run", NULL, "only look whether it could be", false,
	  take_dry_run },
	{ "json", NULL, "print the machine as JSON", false, take_json },
	{ "name", "NAME", "another name, while it is stopped", false,
	  take_name },
	{ "all", NULL, "all machines that are kept", false, take_all },
	{ "with-label", "NAME[=VALUE]", "all machines that have this label",
	  false, take_with_label },
};

static const struct option_heading create_headings[] = {
	{ "kernel", "The machine, as for lodge run" },
	{ "cpu-shares", "Its part of this computer" },
	{ "label", "How it is kept" },
	{ NULL, NULL },
};

#define ALL_OPTIONS    OPTION_COUNT(create_options)
#define CLONE_OPTIONS  (ALL_OPTIONS - 3)
#define EDIT_OPTIONS   (ALL_OPTIONS - 1)
#define CREATE_OPTIONS (ALL_OPTIONS - 5)

const struct option_spec *create_table(size_t *count)
{
	*count = CREATE_OPTIONS;
	return create_options + 2;
}

void create_refused(const char *command, const char *detail)
{
	static const char setting[] = "config.";
	const size_t before = strlen(setting);
	size_t length = strcspn(detail, ": ");
	char option[64];

	if (strncmp(detail, setting, before) || length - before > 60) {
		cli_error("%s: %s", command, detail);
		return;
	}
	snprintf(option, sizeof(option), "%.*s", (int)(length - before),
		 detail + before);
	for (size_t i = 0; i < OPTION_COUNT(settings); i++)
		if (!strcmp(settings[i][1], option))
			snprintf(option, sizeof(option), "%s", settings[i][0]);
	for (char *at = option; *at; at++)
		*at = *at == '_' ? '-' : *at;
	if (strcmp(option, "image"))
		cli_error("%s: --%s%s", command, option, detail + length);
	else
		cli_error("%s: %s", command,
			  detail + length + strspn(detail + length, ": "));
}

const struct command command_create = {
	.name = "create",
	.summary = "make a machine that is kept",
	.run = create_run_create,
	.synopsis = "NAME [IMAGE] [OPTIONS]",
	.about = "Makes a machine that is kept, for lodge start: of an image of lodge image, with a\n"
		 "disk of its own, of a kernel or of disks; else the default guest.",
	.examples = "lodge create web debian --memory 2G --publish 8080:80 --restart always\n"
		    "lodge create dos --firmware bios --disk c.img,bus=ide",
	.options = create_options + 2,
	.headings = create_headings,
	.option_count = CREATE_OPTIONS,
	.words = "- image",
	.words_min = 1,
	.words_max = 2,
	.missing = "a machine's name",
};

const struct command command_edit = {
	.name = "edit",
	.summary = "change a machine that is kept",
	.run = create_run_edit,
	.synopsis = "NAME...|--with-label NAME[=VALUE]|--all [OPTIONS]",
	.about = "Changes machines that are kept: what is given takes the place of what was. One that\n"
		 "runs has it from its next start on, limits at once.",
	.examples = "lodge edit web --memory 4G --cpus 2\n"
		    "lodge edit web --name www --unset publish\n"
		    "lodge edit --with-label tier=front --cpu-shares 300",
	.options = create_options + 1,
	.headings = create_headings,
	.option_count = EDIT_OPTIONS,
	.words = "kept",
	.words_max = COMMAND_MANY,
};

const struct command command_clone = {
	.name = "clone",
	.summary = "make a kept machine of another one",
	.run = create_run_clone,
	.synopsis = "NAME NEW [OPTIONS]",
	.about = "Makes a machine of one that is stopped, whose disks hold only what will differ. It\n"
		 "has what the other has, but published ports, addresses of cards and a VNC server of\n"
		 "its own, and what the options say. Many clones are made of a template (lodge edit\n"
		 "NAME --template), which is never started.",
	.examples = "lodge clone web web2 --publish 8081:80",
	.options = create_options,
	.headings = create_headings,
	.option_count = CLONE_OPTIONS,
	.words = "kept -",
	.words_min = 2,
	.words_max = 2,
	.missing = "a machine's name|the new machine's name",
};

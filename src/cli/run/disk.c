/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PATH[,format=FORMAT][,bus=virtio|ahci|nvme|ide][,cache=MODE][,iops=N]
 * [,bps=SIZE][,burst=TIME][,secret=FILE...][,folder=PATH...][,readonly]
 * [,copy-on-read][,shared-base][,serial=TEXT][,queues=N]
 */
#include "cli/run/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option.h"
#include "cli/run/limits.h"
#include "disk/driver.h"

#define SERIAL_MAX 20
#define QUEUES_MAX 64

char *disk_next_piece(char **text)
{
	char *piece = *text, *from = piece, *to = piece;

	if (!piece)
		return NULL;
	while (*from && (*from != ',' || from[1] == ',')) {
		if (*from == ',')
			from++;
		*to++ = *from++;
	}
	*text = *from ? from + 1 : NULL;
	*to = '\0';
	return piece;
}

static int take_queues(const char *what, struct machine_disk *disk,
		       const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (!*value || *end || !n || n > QUEUES_MAX) {
		cli_error("%s: queues=%s: give a number from 1 to %d", what,
			  value, QUEUES_MAX);
		return -1;
	}
	disk->queues = (unsigned int)n;
	return 0;
}

static int take_format(const char *what, struct machine_disk *disk,
		       const char *value)
{
	const struct disk_driver *driver = disk_driver_find(value);
	char names[160] = "";

	disk->format = value;
	if (driver)
		return 0;
	for (unsigned int i = 0; (driver = disk_driver_at(i)); i++) {
		size_t have = strlen(names);

		snprintf(names + have, sizeof(names) - have, "%s%s",
			 i ? ", " : "", driver->name);
	}
	cli_error("%s: format=%s: there are %s", what, value, names);
	return -1;
}

static int take_cache(const char *what, struct machine_disk *disk,
		      const char *value)
{
	if (disk_cache_find(value, &disk->cache))
		return 0;
	cli_error("%s: cache=%s: give writeback, none, writethrough or unsafe",
		  what, value);
	return -1;
}

static int take_bus(const char *what, struct machine_disk *disk,
		    const char *value)
{
	static const struct {
		const char *name;
		enum board_bus bus;
	} buses[] = {
		{ "virtio", BOARD_VIRTIO },
		{ "ahci", BOARD_AHCI },
		{ "nvme", BOARD_NVME },
		{ "ide", BOARD_IDE },
	};

	for (size_t i = 0; i < sizeof(buses) / sizeof(buses[0]); i++) {
		disk->bus = buses[i].bus;
		if (!strcmp(value, buses[i].name))
			return 0;
	}
	cli_error("%s: bus=%s: give virtio, ahci, nvme or ide", what, value);
	return -1;
}

static int take_serial(const char *what, struct machine_disk *disk,
		       const char *value)
{
	disk->serial = value;
	if (*value && strlen(value) <= SERIAL_MAX)
		return 0;
	cli_error("%s: serial=%s: give 1 to %d characters", what, value,
		  SERIAL_MAX);
	return -1;
}

static int take_secret(const char *what, struct machine_disk *disk,
		       const char *value)
{
	unsigned int n = 0;

	while (n < MACHINE_SECRETS && disk->secret[n])
		n++;
	if (*value && n < MACHINE_SECRETS) {
		disk->secret[n] = value;
		return 0;
	}
	cli_error("%s: secret=%s: give a file, or fd:N, at most %d of them",
		  what, value, MACHINE_SECRETS);
	return -1;
}

static int take_folder(const char *what, struct machine_disk *disk,
		       const char *value)
{
	unsigned int n = 0;

	while (n < MACHINE_FOLDERS && disk->more[n])
		n++;
	if (*value && n < MACHINE_FOLDERS) {
		disk->more[n] = value;
		return 0;
	}
	cli_error("%s: folder=%s: give a folder, or an address, at most %d of "
		  "them", what, value, MACHINE_FOLDERS);
	return -1;
}

static const struct {
	const char *name; /* with = behind */
	int (*take)(const char *what, struct machine_disk *disk,
		    const char *value);
} disk_options[] = {
	{ "format=", take_format }, { "bus=", take_bus },
	{ "cache=", take_cache },   { "serial=", take_serial },
	{ "queues=", take_queues }, { "secret=", take_secret },
	{ "folder=", take_folder },
};

static int take_option(const char *what, struct machine_disk *disk,
		       const char *option)
{
	int taken = limits_take(what, &disk->limits, option);

	if (taken <= 0)
		return taken;
	if (!strcmp(option, "readonly")) {
		disk->readonly = true;
		return 0;
	}
	if (!strcmp(option, "copy-on-read")) {
		disk->copy_on_read = true;
		return 0;
	}
	if (!strcmp(option, "shared-base")) {
		disk->shared_base = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(disk_options) / sizeof(disk_options[0]);
	     i++) {
		size_t length = strlen(disk_options[i].name);

		if (!strncmp(option, disk_options[i].name, length))
			return disk_options[i].take(what, disk,
						    option + length);
	}
	cli_error("%s: unknown option \"%s\"; there are format=, bus=, cache=, "
		  "iops=, bps=, burst=, readonly, copy-on-read, shared-base, "
		  "serial=, secret=, folder= and queues= (a comma in a path is written twice)", what, option);
	return -1;
}

int disk_parse(const char *what, const char *text, struct machine_disk *disk,
	       const char **name)
{
	char *rest = strdup(text), *option;

	*disk = (struct machine_disk){ .path = disk_next_piece(&rest) };
	if (!disk->path || !*disk->path) {
		cli_error("%s: give the path of an image", what);
		return -1;
	}
	while ((option = disk_next_piece(&rest))) {
		if (name && !strncmp(option, "name=", 5))
			*name = option + 5;
		else if (take_option(what, disk, option))
			return -1;
	}
	return 0;
}

/* A path with options of which there are few. */
static int parse_removable(const char *what, const char *text,
			   struct machine_disk *disk, const char *options,
			   bool (*take)(struct machine_disk *disk,
					const char *option))
{
	char *rest = strdup(text), *option;

	disk->path = disk_next_piece(&rest);
	if (!disk->path || !*disk->path) {
		cli_error("%s: give the path of an image", what);
		return -1;
	}
	while ((option = disk_next_piece(&rest))) {
		if (take(disk, option))
			continue;
		cli_error("%s: unknown option \"%s\"; there is %s (a comma "
			  "in a path is written twice)", what, option, options);
		return -1;
	}
	if (!strcmp(disk->path, "none")) {
		free((char *)disk->path);
		disk->path = NULL;
	}
	return 0;
}

static bool take_readonly(struct machine_disk *disk, const char *option)
{
	disk->readonly = true;
	return !strcmp(option, "readonly");
}

int floppy_parse(const char *what, const char *text, struct machine_disk *disk)
{
	*disk = (struct machine_disk){ .format = "raw" };
	return parse_removable(what, text, disk, "readonly",
			       take_readonly);
}

static bool take_cd_bus(struct machine_disk *disk, const char *option)
{
	bool ide = !strcmp(option, "bus=ide");

	disk->bus = ide ? BOARD_IDE : BOARD_AHCI;
	return ide || !strcmp(option, "bus=ahci");
}

int cdrom_parse(const char *text, struct machine_disk *disk)
{
	*disk = (struct machine_disk){
		.readonly = true,
		.format = "raw",
		.bus = BOARD_AHCI,
		.cd = true,
	};
	return parse_removable("run: --cdrom", text, disk, "bus=ahci or bus=ide",
			       take_cd_bus);
}

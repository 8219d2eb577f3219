/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PATH[,format=raw][,bus=virtio|ahci|nvme|ide][,readonly][,serial=TEXT]
 * [,queues=N]
 */
#include "cli/disk.h"

#include <stdlib.h>
#include <string.h>

#include "cli/option.h"

#define SERIAL_MAX 20
#define QUEUES_MAX 64

/*
 * Cuts the next piece off *text, in place: up to a comma, of which two stand
 * for one that belongs to it. NULL: there is none.
 */
static char *next_piece(char **text)
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

static int take_option(const char *what, struct machine_disk *disk,
		       const char *option)
{
	if (!strcmp(option, "readonly")) {
		disk->readonly = true;
	} else if (!strcmp(option, "format=raw")) {
		disk->raw = true;
	} else if (!strcmp(option, "bus=ahci")) {
		disk->bus = BOARD_AHCI;
	} else if (!strcmp(option, "bus=nvme")) {
		disk->bus = BOARD_NVME;
	} else if (!strcmp(option, "bus=ide")) {
		disk->bus = BOARD_IDE;
	} else if (!strcmp(option, "bus=virtio")) {
		disk->bus = BOARD_VIRTIO;
	} else if (!strncmp(option, "serial=", 7)) {
		disk->serial = option + 7;
		if (strlen(disk->serial) <= SERIAL_MAX && *disk->serial)
			return 0;
		cli_error("%s: %s: give 1 to %d characters", what, option,
			  SERIAL_MAX);
		return -1;
	} else if (!strncmp(option, "queues=", 7)) {
		return take_queues(what, disk, option + 7);
	} else {
		cli_error("%s: unknown option \"%s\"; there are "
			  "format=raw, bus=virtio, bus=ahci, bus=nvme, "
			  "bus=ide, readonly, serial=TEXT and queues=N "
			  "(a comma in a path is written twice)", what, option);
		return -1;
	}
	return 0;
}

int disk_parse(const char *what, const char *text, struct machine_disk *disk,
	       const char **name)
{
	char *rest = strdup(text), *option;

	*disk = (struct machine_disk){ .path = next_piece(&rest) };
	if (!disk->path || !*disk->path) {
		cli_error("%s: give the path of an image", what);
		return -1;
	}
	while ((option = next_piece(&rest))) {
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

	disk->path = next_piece(&rest);
	if (!disk->path || !*disk->path) {
		cli_error("%s: give the path of an image", what);
		return -1;
	}
	while ((option = next_piece(&rest))) {
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
	*disk = (struct machine_disk){ 0 };
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
		.raw = true,
		.bus = BOARD_AHCI,
		.cd = true,
	};
	return parse_removable("run: --cdrom", text, disk, "bus=ahci or bus=ide",
			       take_cd_bus);
}

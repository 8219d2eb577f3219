/* SPDX-License-Identifier: Apache-2.0 */
/* The values of --disk, --cdrom and --floppy, and the words of lodge attach. */
#ifndef LODGE_CLI_RUN_DISK_H
#define LODGE_CLI_RUN_DISK_H

#include "vmm/machine.h"

#define CLI_DISKS_MAX 16
#define CLI_CDS_MAX   2
#define CLI_FLOPPIES_MAX 2
#define CLI_SATA_MAX  6 /* disks and CDs on it */
#define CLI_IDE_MAX   4

/*
 * PATH and options, separated by commas; a comma in the path is written
 * twice. `what` begins messages ("run: --disk"); with `name`, name=NAME is an
 * option as well. -1 after cli_error(). What the disk names lasts until the
 * caller frees disk->path, which is there in any case.
 */
int disk_parse(const char *what, const char *text, struct machine_disk *disk,
	       const char **name);

/*
 * The same for a floppy disk, which has one option: readonly. "none" is a
 * drive without one: its path is NULL.
 */
int floppy_parse(const char *what, const char *text,
		 struct machine_disk *disk);

/* And for a CD, which has bus=ahci and bus=ide. */
int cdrom_parse(const char *text, struct machine_disk *disk);

/*
 * Cuts the next piece off *text, in place: up to a comma, of which two stand
 * for one that belongs to it. NULL: there is none.
 */
char *disk_next_piece(char **text);

#endif

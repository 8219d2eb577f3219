/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine starts from and stores on: firmware files, kernel, initrd,
 * modules, disks and floppy disks.
 */
#ifndef LODGE_VMM_MEDIA_H
#define LODGE_VMM_MEDIA_H

#include "board/board.h"
#include "vmm/boot/image.h"
#include "vmm/boot/modules.h"
#include "vmm/boot/order.h"
#include "vmm/boot/rom.h"
#include "vmm/machine.h"

struct media {
	const struct machine_config *config;
	struct rom_files rom;
	struct image kernel, initrd;
	struct modules modules;
	struct board_boot boot; /* for board_load() */
	struct block *disk[BOARD_DISKS_MAX];
	struct block *floppy[BOARD_FLOPPIES_MAX];
	char boot_order[BOOT_ORDER_MAX];
	struct host_ram *ram;
};

/*
 * Opens all that the configuration, which it keeps, names. -1 with `error`. To
 * be closed in either case, after the board that uses the disks.
 */
int media_open(struct media *media, const struct machine_config *config,
	       struct vmm_error *error);
void media_close(struct media *media);

/* An image for a disk with its limits, a CD or floppy drive. -1 with
 * `error`. */
int media_open_disk(struct block **block, const struct machine_disk *disk,
		    struct vmm_error *error);
int media_open_cd(struct block **block, const char *path,
		  struct vmm_error *error);
int media_open_floppy(struct block **block, const char *path, bool readonly,
		      struct vmm_error *error);

/*
 * Where the guest's memory is, before board_load(): large parts of kernel and
 * initrd are mapped over it.
 */
void media_set_ram(struct media *media, struct host_ram *ram);

/* After board_load(): lets go of what was read from kernel and initrd. */
void media_forget(const struct media *media);

/* Whether all that board_load() reads is as it was; -1 with `error`. */
int media_check(const struct media *media, struct vmm_error *error);

#endif

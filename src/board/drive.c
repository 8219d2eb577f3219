/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives whose medium can be changed, whatever controller they are on: CD
 * drives on AHCI and IDE, floppy drives.
 */
#include "board/board.h"
#include "board/pc.h"
#include "device/ahci.h"
#include "device/ata.h"
#include "device/fdc.h"
#include "device/ide.h"

static void add(struct board *board, enum drive_kind kind, unsigned int place)
{
	bug_on(board->drives == BOARD_DRIVES_MAX);
	board->drive[board->drives++] = (struct board_removable){ kind, place };
}

void drive_list(struct board *board, const struct board_config *config)
{
	unsigned int sata = 0, ide = 0;

	for (unsigned int i = 0; i < config->disks; i++) {
		const struct board_disk *disk = &config->disk[i];

		if (disk->cd && disk->bus == BOARD_AHCI)
			add(board, DRIVE_AHCI, sata);
		if (disk->cd && disk->bus == BOARD_IDE)
			add(board, DRIVE_IDE, ide);
		sata += disk->bus == BOARD_AHCI;
		ide += disk->bus == BOARD_IDE;
	}
	for (unsigned int i = 0; i < config->floppies; i++)
		add(board, DRIVE_FLOPPY, i);
}

void board_drive(struct board *board, unsigned int index,
		 struct board_drive *drive)
{
	const struct board_removable *at = &board->drive[index];
	const struct ata_drive *cd;

	bug_on(index >= board->drives);
	*drive = (struct board_drive){ 0 };
	if (at->kind == DRIVE_FLOPPY)
		return;
	host_lock(&board->vm.device_lock);
	cd = at->kind == DRIVE_AHCI ? ahci_drive(board->ahci, at->place)
				    : ide_drive(board->ide, at->place);
	drive->open = cd->open;
	drive->locked = cd->locked || cd->kept;
	host_unlock(&board->vm.device_lock);
}

int board_change(struct board *board, unsigned int index, struct block *block,
		 bool force)
{
	const struct board_removable *at = &board->drive[index];

	bug_on(index >= board->drives);
	switch (at->kind) {
	case DRIVE_AHCI:
		return ahci_change(board->ahci, at->place, block, force);
	case DRIVE_IDE:
		return ide_change(board->ide, at->place, block, force);
	default:
		return fdc_change(board->fdc, at->place, block);
	}
}

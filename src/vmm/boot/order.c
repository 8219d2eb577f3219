/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot order as Open Firmware device paths, in the form that SeaBIOS and OVMF
 * read out of fw_cfg's file "bootorder".
 */
#include "vmm/boot/order.h"

#include <stdio.h>
#include <string.h>

#include "board/layout.h"

/* `place`: which one of those on its bus. */
static void add_path(char *text, const struct machine_disk *disk,
		     unsigned int index, unsigned int place)
{
	size_t used = strlen(text), room = BOOT_ORDER_MAX - used;

	text += used;
	if (disk->bus == BOARD_AHCI)
		snprintf(text, room,
			 "/pci@i0cf8/pci8086,2922@%x,2/drive@%x/disk@0\n",
			 LAYOUT_SLOT_SATA, place);
	else if (disk->bus == BOARD_IDE)
		snprintf(text, room, "/pci@i0cf8/ide@%x,1/drive@%x/disk@%x\n",
			 LAYOUT_SLOT_IDE, place / 2, place % 2);
	else if (disk->bus == BOARD_NVME)
		/* OVMF knows NVMe by this one name, whatever is there. */
		snprintf(text, room,
			 "/pci@i0cf8/pci8086,5845@%x/namespace@1,0\n",
			 LAYOUT_SLOT_DISKS + index);
	else
		snprintf(text, room, "/pci@i0cf8/scsi@%x/disk@0,0\n",
			 LAYOUT_SLOT_DISKS + index);
}

static void add_all(char *text, const struct machine_disk *disk,
		    unsigned int count, bool cd)
{
	unsigned int sata = 0, ide = 0;

	for (unsigned int i = 0; i < count; i++) {
		unsigned int place = disk[i].bus == BOARD_IDE ? ide : sata;

		if (disk[i].cd == cd)
			add_path(text, &disk[i], i, place);
		sata += disk[i].bus == BOARD_AHCI;
		ide += disk[i].bus == BOARD_IDE;
	}
}

static void add_floppies(char *text, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		size_t used = strlen(text);

		snprintf(text + used, BOOT_ORDER_MAX - used,
			 "/pci@i0cf8/isa@1f/fdc@03f0/floppy@%u\n", i);
	}
}

uint32_t boot_order_write(char text[BOOT_ORDER_MAX],
			  const struct machine_config *config)
{
	size_t size;

	text[0] = '\0';
	add_floppies(text, config->floppy_count);
	add_all(text, config->disk, config->disk_count, true);
	add_all(text, config->disk, config->disk_count, false);
	/* OVMF takes it only when a zero ends the last line, as QEMU has it. */
	size = strlen(text);
	if (size)
		text[size - 1] = '\0';
	return (uint32_t)size;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware that runs in the guest: its image below 4 GiB, the flash that it
 * keeps variables in, and what it asks fw_cfg for.
 */
#ifndef LODGE_BOARD_ROM_H
#define LODGE_BOARD_ROM_H

#include "board/board.h"
#include "board/table.h"
#include "chip/flash.h"
#include "chip/fw_cfg.h"

#define ROM_ACPI_SIZE	0x4000u
#define ROM_LOADER_SIZE 0x2000u
#define ROM_SMBIOS_SIZE 0x1000u
#define ROM_ANCHOR_SIZE 24u
#define ROM_E820_SIZE	40u /* two entries of 20 bytes */
#define ROM_ORDER_SIZE	1024u

/* Files of fw_cfg, and the devices behind them. */
struct rom {
	struct board *board;
	const struct board_firmware *firmware;
	struct fw_cfg fw_cfg;
	struct flash flash;
	uint8_t e820[ROM_E820_SIZE];
	uint8_t rsdp[36]; /* ACPI_RSDP_SIZE */
	uint8_t acpi[ROM_ACPI_SIZE];
	uint8_t loader[ROM_LOADER_SIZE];
	uint8_t smbios_anchor[ROM_ANCHOR_SIZE];
	uint8_t smbios[ROM_SMBIOS_SIZE];
	uint8_t serial[2], menu_wait[2];
};

/* -VM_EINVAL: an image or flash of a size that no firmware has. */
int rom_check(const struct board_firmware *firmware);

/* Adds image, flash and fw_cfg; memory has been set up. */
int rom_init(struct rom *rom, struct board *board);

/* Readies the machine for running it from its reset vector. */
int rom_load(struct rom *rom);

#endif

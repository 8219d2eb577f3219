/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware files: where distributions keep them, and the variables that a
 * machine's UEFI firmware writes.
 */
#ifndef LODGE_VMM_BOOT_ROM_H
#define LODGE_VMM_BOOT_ROM_H

#include "board/board.h"
#include "vmm/boot/image.h"
#include "vmm/error.h"

enum rom_kind {
	ROM_NONE, /* a kernel is loaded instead */
	ROM_BIOS,
	ROM_UEFI,
	ROM_FILE, /* config.path, without variables */
};

struct rom_config {
	enum rom_kind kind;
	const char *path; /* of ROM_FILE; else NULL */
	/* UEFI: file that keeps the variables; made when missing. NULL: they
	 * are lost at the end. */
	const char *vars;
	bool boot_menu;
	bool serial_console;
};

/* An open pair of firmware and variables; zeroed: none. */
struct rom_files {
	struct image image;
	struct image vga;      /* VGA BIOS, for a BIOS */
	struct image template; /* variables as distributions ship them */
	uint8_t *vars;	       /* mapped */
	uint32_t vars_size;
	int vars_fd; /* holds the lock; of a file */
	struct board_firmware firmware;
};

/*
 * Opens what `config` asks for. -1 with `error`: no such firmware on this
 * host, a file that is none, variables in use by another machine.
 */
int rom_open(struct rom_files *rom, const struct rom_config *config,
	     struct vmm_error *error);
void rom_close(struct rom_files *rom);

#endif

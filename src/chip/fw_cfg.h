/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware configuration device "fw_cfg" (QEMU, docs/specs/fw_cfg): named
 * blobs that firmware reads through ports 0x510/0x511 or by DMA. SeaBIOS and
 * OVMF take memory map, processor count, boot order, ACPI and SMBIOS tables
 * from it.
 *
 * Values of several bytes that firmware expects under numbered keys are
 * little-endian; the file directory and the DMA interface are big-endian.
 */
#ifndef LODGE_CHIP_FW_CFG_H
#define LODGE_CHIP_FW_CFG_H

#include "vm/vm.h"

#define FW_CFG_PORT	 0x510
#define FW_CFG_DMA_PORT	 0x514
#define FW_CFG_ITEMS_MAX 64
#define FW_CFG_NAME_SIZE 56 /* with the NUL */
#define FW_CFG_FILE	 0x20 /* key of the first file */

/* Numbered keys that firmware asks for. */
enum fw_cfg_key {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_UUID = 0x02,
	FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NOGRAPHIC = 0x04,
	FW_CFG_CPUS = 0x05,
	FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_CPUS_MAX = 0x0f,
	FW_CFG_FILE_DIRECTORY = 0x19,
};

struct fw_cfg_item {
	uint16_t key;
	char name[FW_CFG_NAME_SIZE]; /* of files; else empty */
	const uint8_t *data;	     /* `value` or the caller's */
	uint8_t *writable;	     /* NULL: read-only */
	uint32_t size;
	uint8_t value[8];
};

struct fw_cfg {
	struct vm *vm;
	struct fw_cfg_item item[FW_CFG_ITEMS_MAX];
	unsigned int count, files;
	/* Told before the first byte of an item is read, so that it can be
	 * written just then; its size stays. Told again after a load, when
	 * the rest of a selected item is read. NULL: nobody. */
	void (*selected)(void *ctx, const struct fw_cfg_item *item);
	void *selected_ctx;
	uint8_t directory[4 + FW_CFG_ITEMS_MAX * 64];
	uint16_t key;	 /* selected */
	uint32_t offset; /* in the selected item */
	uint32_t dma_high; /* upper half of the next DMA address */
	bool told;	 /* selected() knows that `key` is selected */
};

extern const struct device_class fw_cfg_class;

/* Claims ports 0x510, 0x511 and 0x514 to 0x51b. */
int fw_cfg_init(struct fw_cfg *cfg, struct vm *vm);

/* All that add: -ENOSPC when the table is full, -EEXIST when it is there. */

/* A number of `size` bytes (1, 2, 4 or 8), little-endian. */
int fw_cfg_add_number(struct fw_cfg *cfg, uint16_t key, uint64_t value,
		      unsigned int size);

/* A blob under a key of its own; the caller keeps `data` alive. */
int fw_cfg_add(struct fw_cfg *cfg, uint16_t key, const void *data,
	       uint32_t size);

/* A file, such as "etc/e820"; `name` is copied (-EINVAL: too long). */
int fw_cfg_add_file(struct fw_cfg *cfg, const char *name, const void *data,
		    uint32_t size);

/* The same; firmware may write into it by DMA. */
int fw_cfg_add_writable(struct fw_cfg *cfg, const char *name, void *data,
			uint32_t size);

#endif

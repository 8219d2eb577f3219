/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOR flash with the Intel command set (Common Flash Interface, JESD68.01,
 * command set 0001), eight bits wide, for what UEFI firmware keeps: its
 * variables. A byte that was programmed is in the array at once, so that a
 * host that stops at any point leaves what a real chip would.
 */
#ifndef LODGE_CHIP_FLASH_H
#define LODGE_CHIP_FLASH_H

#include "vm/vm.h"

#define FLASH_BLOCK	4096u
#define FLASH_BUFFER	256u
#define FLASH_SIZE_MAX	(16u << 20)

struct flash {
	struct vm *vm;
	uint8_t *array; /* the caller's; as large as the chip */
	uint32_t size;
	uint8_t mode;	/* enum flash_mode */
	uint8_t status; /* as read in status mode */
	uint32_t left;	/* bytes that a buffered write still takes, less 1 */
	uint32_t start; /* where in the array the buffer goes */
	uint32_t fill;
	uint8_t buffer[FLASH_BUFFER];
};

extern const struct device_class flash_class;

/*
 * Claims [base, base + size) of MMIO. `array` stays the caller's and is
 * written when the guest programs or erases; `size` is a multiple of
 * FLASH_BLOCK, FLASH_SIZE_MAX at most (-EINVAL).
 */
int flash_init(struct flash *flash, struct vm *vm, uint64_t base,
	       uint8_t *array, uint32_t size);

#endif

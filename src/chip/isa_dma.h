/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two 8237A DMA controllers of a PC (Intel 8237A datasheet, order 231466)
 * with their page registers (ICH9 datasheet, 13.2): channels 0 to 3 move
 * bytes, 5 to 7 words, within 64 or 128 KiB of the first 16 MiB. Left out:
 * memory to memory, requests by software, verify's timing; the link between
 * the two through channel 4 is always open. Device lock held everywhere.
 */
#ifndef LODGE_CHIP_ISA_DMA_H
#define LODGE_CHIP_ISA_DMA_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/vm.h"

#define ISA_DMA_CHANNELS 8
#define ISA_DMA_PAGES	 16

struct isa_dma_channel {
	void (*ready)(void *ctx);
	void *ctx;

	/* Saved. */
	uint16_t base_address, base_count; /* as programmed, for auto-init */
	uint16_t address, count;
	uint8_t mode;
};

/* One of the two controllers. */
struct isa_dma_half {
	uint8_t command, mask, ended;
	bool second; /* byte of a 16-bit register comes next */
};

struct isa_dma {
	struct vm *vm;
	struct isa_dma_channel channel[ISA_DMA_CHANNELS];
	struct isa_dma_half half[2];
	uint8_t page[ISA_DMA_PAGES]; /* ports 0x80 to 0x8f */
};

extern const struct device_class isa_dma_class;

/* Claims ports 0x00-0x0f, 0x80-0x8f, 0xc0-0xdf. -ENOSPC, -EEXIST. */
int isa_dma_init(struct isa_dma *dma, struct vm *vm);

/* `ready` is called when a device that had to wait may try again. */
void isa_dma_connect(struct isa_dma *dma, unsigned int channel,
		     void (*ready)(void *ctx), void *ctx);

/*
 * A device's transfer: how many of `size` bytes were moved; 0 while the guest
 * has not opened the channel in that direction. *end: the count ran out.
 */
unsigned int isa_dma_to_memory(struct isa_dma *dma, unsigned int channel,
			       const void *from, unsigned int size, bool *end);
unsigned int isa_dma_from_memory(struct isa_dma *dma, unsigned int channel,
				 void *to, unsigned int size, bool *end);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watchdog timer as that of Intel's 6300ESB I/O controller hub (8086:25ab;
 * 300641, chapter 16), which guests of any system have a driver for. Two
 * stages, each with a preload of 20 bits; behind the second the dog bites.
 * The interrupt behind the first is left out: drivers turn it off.
 */
#ifndef LODGE_DEVICE_I6300ESB_H
#define LODGE_DEVICE_I6300ESB_H

#include "chip/pci.h"
#include "vm/clock.h"

#define I6300ESB_BAR 4096u /* 16 bytes in the original, a page here */

struct i6300esb {
	struct vm *vm;
	/* The second stage has passed, and the driver wanted a reset then. */
	void (*bite)(void *ctx);
	void *ctx;

	/* Saved. */
	uint32_t preload[2];
	bool second;   /* the second stage runs */
	bool timed_out; /* of the reload register, to be cleared by the guest */
	uint8_t unlock; /* of the two words that open the registers, so many */
	struct timer timer;

	struct pci_device pci;
};

extern const struct device_class i6300esb_class;

/* `bite` is called with the device lock held. -ENOSPC. */
int i6300esb_init(struct i6300esb *dog, struct vm *vm,
		  void (*bite)(void *ctx), void *ctx);

#endif

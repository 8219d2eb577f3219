/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8254 programmable interval timer (Intel 8254 datasheet, order 231164) with
 * the PC's port 0x61: gate of channel 2, speaker bits, refresh toggle. There
 * is no sound. Every function here is called with the device lock held.
 */
#ifndef LODGE_CHIP_PIT_H
#define LODGE_CHIP_PIT_H

#include "vm/clock.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define PIT_HZ	     1193182u
#define PIT_CHANNELS 3

struct pit_channel {
	uint32_t count; /* of the present sequence, 1 .. 65536 */
	uint32_t next;	/* of the next one (modes 2 and 3), else the same */
	uint64_t start; /* PIT ticks of VM time when the sequence began */
	uint64_t spent; /* ticks already counted when the gate went low */
	uint8_t mode, bcd, access;
	uint8_t gate;
	uint8_t loaded;	   /* a full count was written since the mode was */
	uint8_t triggered; /* modes 1 and 5: the gate has risen */
	uint8_t write_low; /* access 3: first byte, waiting for the second */
	uint8_t write_second, read_second;
	uint16_t latch;
	uint8_t latch_left; /* bytes of the latched count still to read */
	uint8_t status, status_latched;
};

struct pit {
	struct vm *vm;
	struct irq irq; /* OUT of channel 0 */
	struct pit_channel channel[PIT_CHANNELS];
	uint8_t port61; /* bits 0-3 as written */
	struct timer timer;
};

extern const struct device_class pit_class;

/* Claims ports 0x40-0x43 and 0x61. */
int pit_init(struct pit *pit, struct vm *vm, const struct irq *irq);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test device, at the ports that public CPU test kernels expect:
 *   0xf4 (4 bytes)   debug exit: (value << 1) | 1 becomes vm->exit_code,
 *                    power off
 *   0xe0 (12 bytes)  scratch: reads give what was written
 *   0x2000 (24)      a byte written at 0x2000+n is the level of line n
 *   MMIO 0xff000000  64 KiB of scratch memory behind MMIO accesses
 */
#ifndef LODGE_CHIP_TESTDEV_H
#define LODGE_CHIP_TESTDEV_H

#include "vm/irq.h"
#include "vm/vm.h"

#define TESTDEV_EXIT	   0xf4
#define TESTDEV_PORTS	   0xe0
#define TESTDEV_PORT_COUNT 12
#define TESTDEV_LINES	   0x2000
#define TESTDEV_LINE_COUNT 24
#define TESTDEV_MMIO	   0xff000000u
#define TESTDEV_MMIO_SIZE  0x10000

struct testdev {
	struct vm *vm;
	struct irq lines; /* set and object; the line number is the port's */
	uint8_t scratch[TESTDEV_PORT_COUNT];
	uint32_t level; /* of each line, a bit each */
	uint8_t memory[TESTDEV_MMIO_SIZE];
};

extern const struct device_class testdev_class;

/* `lines` names the controller; its line number is not used. */
int testdev_init(struct testdev *testdev, struct vm *vm,
		 const struct irq *lines);

#endif

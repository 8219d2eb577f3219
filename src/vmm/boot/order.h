/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks firmware shall try, and in what order. */
#ifndef LODGE_VMM_BOOT_ORDER_H
#define LODGE_VMM_BOOT_ORDER_H

#include "vmm/machine.h"

#define BOOT_ORDER_MAX 1024

/*
 * A device path a line: floppy disks, CDs, then disks, each in the order
 * given; a zero ends the last. Its bytes, the zero among them; 0: there are
 * none of these, and the text is empty.
 */
uint32_t boot_order_write(char text[BOOT_ORDER_MAX],
			  const struct machine_config *config);

#endif

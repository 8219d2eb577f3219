/* SPDX-License-Identifier: Apache-2.0 */
/* What is on PCI now, in lines of text: for people, and for a golden test. */
#ifndef LODGE_CHIP_PCI_DUMP_H
#define LODGE_CHIP_PCI_DUMP_H

#include "chip/pci_host.h"

#define PCI_DUMP_LINE 96

/* Calls `line` for each; `text` is good during the call alone. */
void pci_dump(struct pci_host *host,
	      void (*line)(void *ctx, const char *text), void *ctx);

#endif

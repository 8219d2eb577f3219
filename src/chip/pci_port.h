/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI Express root ports with a hot-plug slot (PCI Express Base 2.1, 6.7 and
 * 7.8): each leads to a bus with room for one device. A device is plugged by
 * pci_port_plug(); pci_port_ask() presses the attention button, upon which
 * the guest lets the device go by turning the slot's power off.
 */
#ifndef LODGE_CHIP_PCI_PORT_H
#define LODGE_CHIP_PCI_PORT_H

#include "chip/pci.h"

struct pci_port {
	struct pci_device pci;
	struct pci_bus below;
	struct pci_device *plugged; /* present in the slot, powered or not */

	/*
	 * Optional. The guest has let the device go, which is off the bus
	 * now. Held: the device lock.
	 */
	void (*released)(void *ctx, struct pci_device *pci);
	void *released_ctx;

	bool asserted; /* the slot wants an interrupt */
	bool leaving;  /* saved: the button was pressed for the device to go */
};

/* `slot` is the physical number that guests show, 1 on. -ENOSPC. */
int pci_port_init(struct pci_port *port, struct vm *vm, unsigned int slot);

/*
 * Plugs a device, which is no other's, as function 0 behind the port, and
 * presses the button: the guest turns the power on. -EBUSY: the slot is taken.
 * Held: the device lock.
 */
int pci_port_plug(struct pci_port *port, struct pci_device *pci);

/*
 * Asks the guest to let the device go; one without power goes at once. While it is about to (a driver blinks
 * the power indicator), nothing: another press would mean "keep it". -ENOENT:
 * there is none. Held: same.
 */
int pci_port_ask(struct pci_port *port);

/* Takes the device out without asking (surprise removal). Held: same. */
struct pci_device *pci_port_pull(struct pci_port *port);

#endif

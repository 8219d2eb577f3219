/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB controller (xHCI 1.2) with ports for USB 2 and, as drivers expect them
 * beside those, for USB 3 with nothing there. Devices are on USB 2 ports.
 */
#ifndef LODGE_DEVICE_XHCI_H
#define LODGE_DEVICE_XHCI_H

#include "chip/pci.h"
#include "device/usb.h"

#define XHCI_USB2_PORTS 4u /* numbered from 0 on here, USB 3 behind */
#define XHCI_USB3_PORTS 2u
#define XHCI_PORTS	(XHCI_USB2_PORTS + XHCI_USB3_PORTS)

struct xhci;

/* -ENOMEM, -ENOSPC. The VM's end frees it. */
int xhci_create(struct xhci **xhci, struct vm *vm);

/* Puts a device, which outlives it, on a free USB 2 port; before the start. */
void xhci_plug(struct xhci *xhci, unsigned int port, struct usb_device *usb);

/*
 * Whether a driver takes what the device on a port sends: it has configured
 * it, and has it polled, or woken up. Held: the device lock.
 */
bool xhci_listens(const struct xhci *xhci, unsigned int port);

/* Its function, for pci_attach(). */
struct pci_device *xhci_pci(struct xhci *xhci);

extern const struct device_class xhci_class;

#endif

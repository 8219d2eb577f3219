/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The display adapter: a VGA on PCI with a linear frame buffer, laid out as
 * Bochs's and QEMU's standard VGA, which SeaBIOS's VGA BIOS, OVMF, Linux and
 * the BSDs have drivers for.
 */
#ifndef LODGE_DEVICE_VGA_PCI_H
#define LODGE_DEVICE_VGA_PCI_H

#include "chip/pci.h"
#include "device/vga.h"

#define VGA_PCI_VENDOR 0x1234
#define VGA_PCI_DEVICE 0x1111
#define VGA_ROM_MAX    0x10000u

struct vga_pci {
	struct pci_device pci;
	struct vga vga;
	const uint8_t *rom; /* the caller's; NULL: none */
	uint32_t rom_size;
};

/*
 * An adapter at `devfn` of `bus`. `rom` is a VGA BIOS of up to VGA_ROM_MAX
 * bytes that stays the caller's; NULL: none, a kernel or UEFI does without.
 * -EINVAL, -ENOMEM, -EEXIST.
 */
int vga_pci_init(struct vga_pci *card, struct vm *vm, struct pci_bus *bus,
		 unsigned int devfn, const uint8_t *rom, uint32_t rom_size);

#endif

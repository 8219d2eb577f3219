/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixed guest-physical addresses of the PC, below 4 GiB. What lies where in
 * the first MiB is what PC operating systems have come to expect (BIOS data
 * area, EBDA, tables in 0xe0000-0xfffff).
 */
#ifndef LODGE_BOARD_LAYOUT_H
#define LODGE_BOARD_LAYOUT_H

#define LAYOUT_BDA     0x00000400u /* BIOS data area */
#define LAYOUT_BOOT    0x00090000u /* what loaders hand to kernels */
#define LAYOUT_EBDA    0x0009fc00u /* reserved 1 KiB; holds the FACS */
#define LAYOUT_FACS    0x0009fc40u
#define LAYOUT_LOW_END 0x000a0000u /* end of conventional memory */
#define LAYOUT_ROM     0x000c0000u
#define LAYOUT_TABLES  0x000e0000u /* ACPI; reserved in the map */
#define LAYOUT_SMBIOS  0x000f0000u
#define LAYOUT_BIOS    0x000fff00u /* answers to INT, without firmware */
#define LAYOUT_ROM_END 0x00100000u
#define LAYOUT_HIGH    0x00100000u /* RAM again */
#define LAYOUT_ECAM    0xb0000000u /* PCI configuration space, 256 MiB */
#define LAYOUT_PCI     0xc0000000u /* BARs, up to the IOAPIC */
#define LAYOUT_PORTS   0xc000u	   /* BARs that are ports, to 0xffff */
#define LAYOUT_IOAPIC  0xfec00000u
#define LAYOUT_LAPIC   0xfee00000u
#define LAYOUT_4G      0x100000000ull

/*
 * The loaders' area: a parameter page, a GDT, identity page tables for the
 * first 4 GiB, the command line.
 */
#define LAYOUT_PARAMS	   (LAYOUT_BOOT + 0x0000)
#define LAYOUT_GDT	   (LAYOUT_BOOT + 0x2000)
#define LAYOUT_PAGE_TABLES (LAYOUT_BOOT + 0x3000) /* 6 pages */
#define LAYOUT_CMDLINE	   (LAYOUT_BOOT + 0x9000)
#define LAYOUT_CMDLINE_MAX 0x4000u /* with the NUL */

/* Devices on PCI bus 0, so that a guest finds them where they were. */
#define LAYOUT_SLOT_VGA	  1
#define LAYOUT_SLOT_RNG	  2
#define LAYOUT_SLOT_USB	  3
#define LAYOUT_SLOT_CONSOLE 4
#define LAYOUT_SLOT_BALLOON 5
#define LAYOUT_SLOT_VSOCK 6
#define LAYOUT_SLOT_NICS  7 /* a function each */
#define LAYOUT_SLOT_DISKS 8 /* the first one */
#define LAYOUT_SLOT_WATCHDOG 26
#define LAYOUT_SLOT_SHARES 27 /* a function each */
#define LAYOUT_SLOT_PORTS 28 /* root ports, a function each */
#define LAYOUT_SLOT_IDE	  31 /* its function 1; beside the LPC bridge */
#define LAYOUT_SLOT_SATA  31 /* its function 2; beside the LPC bridge */

/* Serial ports; the other legacy lines are named in chip/irqchip.h. */
#define LAYOUT_IRQ_COM2 3
#define LAYOUT_IRQ_FDC	6
#define LAYOUT_DMA_FDC	2
#define LAYOUT_IRQ_IDE	14 /* of the first channel; the second's: 15 */
#define LAYOUT_COM1	0x3f8u
#define LAYOUT_COM2	0x2f8u

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration space: PCI Local Bus 3.0, chapter 6; PCI-to-PCI Bridge
 * 1.2, chapter 3; PCI Express Base 2.1, chapter 7.
 */
#ifndef LODGE_CHIP_PCI_REG_H
#define LODGE_CHIP_PCI_REG_H

#define PCI_VENDOR	0x00
#define PCI_DEVICE	0x02
#define PCI_COMMAND	0x04
#define PCI_STATUS	0x06
#define PCI_REVISION	0x08
#define PCI_CLASS	0x09 /* interface, sub-class, base class */
#define PCI_CACHE_LINE	0x0c
#define PCI_LATENCY	0x0d
#define PCI_HEADER	0x0e
#define PCI_BAR0	0x10
#define PCI_SUBVENDOR	0x2c
#define PCI_SUBDEVICE	0x2e
#define PCI_ROM		0x30 /* expansion ROM; bridges: PCI_BRIDGE_ROM */
#define PCI_CAPS	0x34
#define PCI_IRQ_LINE	0x3c
#define PCI_IRQ_PIN	0x3d
#define PCI_HEADER_END	0x40

#define PCI_COMMAND_IO	    0x0001u
#define PCI_COMMAND_MEM	    0x0002u
#define PCI_COMMAND_MASTER  0x0004u
#define PCI_COMMAND_PARITY  0x0040u
#define PCI_COMMAND_SERR    0x0100u
#define PCI_COMMAND_NO_INTX 0x0400u

#define PCI_STATUS_INTX	 0x0008u
#define PCI_STATUS_CAPS	 0x0010u
#define PCI_STATUS_ERRORS 0xf900u /* cleared by writing ones */

#define PCI_HEADER_BRIDGE	 0x01u
#define PCI_HEADER_MULTIFUNCTION 0x80u

#define PCI_BAR_IS_IO	 0x1u
#define PCI_BAR_IS_64	 0x4u
#define PCI_BAR_PREFETCH 0x8u
#define PCI_ROM_ENABLE	 0x1u

/* Header type 1 */
#define PCI_PRIMARY	     0x18
#define PCI_SECONDARY	     0x19
#define PCI_SUBORDINATE	     0x1a
#define PCI_IO_BASE	     0x1c
#define PCI_IO_LIMIT	     0x1d
#define PCI_SECONDARY_STATUS 0x1e
#define PCI_MEM_BASE	     0x20
#define PCI_MEM_LIMIT	     0x22
#define PCI_PREF_BASE	     0x24
#define PCI_PREF_LIMIT	     0x26
#define PCI_PREF_BASE_HIGH   0x28
#define PCI_PREF_LIMIT_HIGH  0x2c
#define PCI_BRIDGE_ROM	     0x38
#define PCI_BRIDGE_CONTROL   0x3e

#define PCI_BRIDGE_RESET 0x0040u

/* Capabilities */
#define PCI_CAP_POWER	0x01
#define PCI_CAP_MSI	0x05
#define PCI_CAP_VENDOR	0x09
#define PCI_CAP_EXPRESS 0x10
#define PCI_CAP_MSIX	0x11
#define PCI_CAP_SATA	0x12

/* MSI (PCI 3.0, 6.8.1), 64-bit addresses and masks per vector */
#define MSI_CONTROL   0x02
#define MSI_ADDRESS   0x04
#define MSI_DATA      0x0c
#define MSI_MASK      0x10
#define MSI_PENDING   0x14
#define MSI_SIZE      0x18
#define MSI_ENABLE    0x0001u
#define MSI_CAN_64    0x0080u
#define MSI_CAN_MASK  0x0100u

/* MSI-X (PCI 3.0, 6.8.2) */
#define MSIX_CONTROL   0x02
#define MSIX_TABLE     0x04
#define MSIX_PENDING   0x08
#define MSIX_CAP_SIZE  0x0c
#define MSIX_MASK_ALL  0x4000u
#define MSIX_ENABLE    0x8000u
#define MSIX_ENTRY     16
#define MSIX_MASKED    0x1u

/* PCI Express capability (7.8) */
#define EXP_FLAGS	0x02
#define EXP_DEVICE_CAP	0x04
#define EXP_DEVICE_CTL	0x08
#define EXP_DEVICE_STA	0x0a
#define EXP_LINK_CAP	0x0c
#define EXP_LINK_CTL	0x10
#define EXP_LINK_STA	0x12
#define EXP_SLOT_CAP	0x14
#define EXP_SLOT_CTL	0x18
#define EXP_SLOT_STA	0x1a
#define EXP_ROOT_CTL	0x1c
#define EXP_ROOT_STA	0x20
#define EXP_SIZE	0x3c

#define EXP_TYPE_ENDPOINT   0x0u
#define EXP_TYPE_ROOT_PORT  0x4u
#define EXP_TYPE_INTEGRATED 0x9u

#define EXP_DEVICE_CAP_RBER 0x00008000u /* role-based error reporting */
#define EXP_DEVICE_CAP_FLR  0x10000000u
#define EXP_DEVICE_CTL_FLR  0x8000u

#define EXP_LINK_STA_ACTIVE 0x2000u

#define EXP_SLOT_ATTENTION_BUTTON 0x0001u /* capability, status, enable */
#define EXP_SLOT_POWER_CONTROLLER 0x0002u
#define EXP_SLOT_CAP_INDICATORS	  0x0018u
#define EXP_SLOT_CAP_HOTPLUG	  0x0040u
#define EXP_SLOT_CAP_NO_COMMAND	  0x00040000u
#define EXP_SLOT_CTL_PRESENCE	  0x0008u
#define EXP_SLOT_CTL_INTERRUPT	  0x0020u
#define EXP_SLOT_CTL_POWER_LIGHT  0x0300u
#define EXP_SLOT_CTL_POWER_BLINKS 0x0200u
#define EXP_SLOT_CTL_POWER_OFF	  0x0400u
#define EXP_SLOT_CTL_LINK	  0x1000u
#define EXP_SLOT_STA_PRESENCE	  0x0008u /* presence has changed */
#define EXP_SLOT_STA_PRESENT	  0x0040u
#define EXP_SLOT_STA_LINK	  0x0100u /* link state has changed */

#endif

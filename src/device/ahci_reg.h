/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AHCI 1.3.1 registers (3.1, 3.3), structures in memory (4.2) and frames
 * (Serial ATA 3.1, 10.5).
 */
#ifndef LODGE_DEVICE_AHCI_REG_H
#define LODGE_DEVICE_AHCI_REG_H

/* Controller */
#define AHCI_CAP   0x00
#define AHCI_GHC   0x04
#define AHCI_IS	   0x08
#define AHCI_PI	   0x0c
#define AHCI_VS	   0x10
#define AHCI_PORT0 0x100
#define AHCI_PORT_SIZE 0x80

#define AHCI_CAP_VALUE                                            \
	(1u << 31 /* 64-bit addresses */ | 1u << 30 /* NCQ */ |   \
	 1u << 24 /* command list override */ |                   \
	 3u << 20 /* 6 Gbit/s */ | 1u << 18 /* AHCI only */ |     \
	 31u << 8 /* slots - 1 */ | 5u /* ports - 1 */)
#define AHCI_VERSION 0x00010301u

#define AHCI_GHC_HR (1u << 0)
#define AHCI_GHC_IE (1u << 1)
#define AHCI_GHC_AE (1u << 31)

/* Port */
#define AHCI_CLB  0x00
#define AHCI_CLBU 0x04
#define AHCI_FB	  0x08
#define AHCI_FBU  0x0c
#define AHCI_PIS  0x10
#define AHCI_PIE  0x14
#define AHCI_CMD  0x18
#define AHCI_TFD  0x20
#define AHCI_SIG  0x24
#define AHCI_SSTS 0x28
#define AHCI_SCTL 0x2c
#define AHCI_SERR 0x30
#define AHCI_SACT 0x34
#define AHCI_CI	  0x38

#define AHCI_IS_DHRS (1u << 0) /* register frame came */
#define AHCI_IS_PSS  (1u << 1) /* PIO setup frame */
#define AHCI_IS_SDBS (1u << 3) /* set device bits frame */
#define AHCI_IS_PCS  (1u << 6) /* as SERR's X */
#define AHCI_IS_PRCS (1u << 22) /* as SERR's N */
#define AHCI_IS_OFS  (1u << 24)
#define AHCI_IS_HBFS (1u << 29)
#define AHCI_IS_TFES (1u << 30)
#define AHCI_IS_ALL  0xfdc000ffu

#define AHCI_CMD_ST    (1u << 0)
#define AHCI_CMD_SUD   (1u << 1)
#define AHCI_CMD_POD   (1u << 2)
#define AHCI_CMD_CLO   (1u << 3)
#define AHCI_CMD_FRE   (1u << 4)
#define AHCI_CMD_CCS   8
#define AHCI_CMD_FR    (1u << 14)
#define AHCI_CMD_CR    (1u << 15)
#define AHCI_CMD_ATAPI (1u << 24)

#define AHCI_SSTS_UP	  0x133u /* active, 6 Gbit/s, device present */
#define AHCI_SSTS_OFFLINE 0x4u
#define AHCI_SERR_N	  (1u << 16) /* the link came up or went */
#define AHCI_SERR_X	  (1u << 26) /* a device was exchanged */

#define AHCI_SIG_DISK 0x00000101u
#define AHCI_SIG_CD   0xeb140101u
#define AHCI_SIG_NONE 0xffffffffu

/* Command header, 32 bytes; command table */
#define AHCI_HEADER	  32
#define AHCI_HEADER_A	  (1u << 5)
#define AHCI_HEADER_W	  (1u << 6)
#define AHCI_TABLE_PACKET 0x40
#define AHCI_TABLE_PRDT	  0x80
#define AHCI_PRD	  16

/* Received frames */
#define AHCI_FIS_PIO 0x20
#define AHCI_FIS_D2H 0x40
#define AHCI_FIS_SDB 0x58

#define FIS_H2D	      0x27
#define FIS_D2H	      0x34
#define FIS_SDB	      0xa1
#define FIS_PIO	      0x5f
#define FIS_INTERRUPT 0x40
#define FIS_TO_HOST   0x20 /* direction, of PIO setup */

#endif

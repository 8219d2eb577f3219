/* SPDX-License-Identifier: Apache-2.0 */
/* Status and error bits of ATA drives (ATA8-ACS-2, 6), units of theirs. */
#ifndef LODGE_DEVICE_ATA_REG_H
#define LODGE_DEVICE_ATA_REG_H

#define ATA_SECTOR 512u
#define CD_SECTOR  2048u

#define ATA_ERR	 0x01
#define ATA_DRQ	 0x08
#define ATA_DSC	 0x10
#define ATA_DRDY 0x40
#define ATA_BSY	 0x80

#define ATA_ABRT 0x04
#define ATA_IDNF 0x10
#define ATA_UNC	 0x40

/* Transfer modes of SET FEATURES: kinds, and the fastest of parallel drives */
#define ATA_MODE_PIO	   0x08
#define ATA_MODE_MULTIWORD 0x20
#define ATA_MODE_ULTRA	   0x40
#define ATA_MODE_DEFAULT   (ATA_MODE_ULTRA | 2)

#endif

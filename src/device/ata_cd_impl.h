/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packets of a CD drive and its tray share: sense data, and how a
 * packet ends.
 */
#ifndef LODGE_DEVICE_ATA_CD_IMPL_H
#define LODGE_DEVICE_ATA_CD_IMPL_H

#include "device/ata.h"

#define SENSE_NONE	0
#define SENSE_NOT_READY 2
#define SENSE_MEDIUM	3
#define SENSE_ILLEGAL	5
#define SENSE_ATTENTION 6

#define ASC_COMMAND 0x20
#define ASC_RANGE   0x21
#define ASC_FIELD   0x24
#define ASC_CHANGED 0x28 /* the medium may have */
#define ASC_RESET   0x29
#define ASC_READ    0x11
#define ASC_ABSENT  0x3a /* the medium; by ASCQ: the tray is shut, or open */
#define ASC_HELD    0x53 /* ASCQ 2: its removal is prevented */

static inline uint32_t cd_be16(const uint8_t *from)
{
	return (uint32_t)from[0] << 8 | from[1];
}

static inline void cd_put_be16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* --- ata_cd.c: ends of packets; as struct ata_ops -------------------------------- */

bool cd_done(struct ata_request *r);
bool cd_refuse(struct ata_request *r, uint8_t sense, uint8_t asc,
	       uint8_t ascq);
/* `size` bytes of the buffer, but no more than the guest has room for. */
bool cd_answer(struct ata_request *r, uint32_t size, uint32_t room);

/* --- ata_tray.c ------------------------------------------------------------------- */

/* A medium is in the drive, and the tray is shut. */
bool tray_ready(const struct ata_drive *drive);
/* Refuses a packet that wants one. */
bool tray_not_ready(struct ata_request *r);
/* Packets that work without a medium. */
bool tray_start_stop(struct ata_request *r);
bool tray_prevent(struct ata_request *r);
bool tray_event_status(struct ata_request *r);
bool tray_mechanism(struct ata_request *r);

#endif

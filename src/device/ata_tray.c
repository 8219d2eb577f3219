/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tray of a CD-ROM drive (MMC-6: START STOP UNIT, PREVENT ALLOW MEDIUM
 * REMOVAL, GET EVENT STATUS NOTIFICATION; SPC-3 sense codes): who opens and
 * shuts it, the guest or a hand from outside, and how the guest hears of it. A tray that the guest opened
 * keeps its medium until the guest shuts it again or a hand takes it out, and
 * stays open through a reset: what an installer has ejected is not booted.
 * Left out: asynchronous notification; a guest looks, or is told by the next
 * packet.
 */
#include "device/ata_cd_impl.h"
#include "vm/error.h"

#define START_START 0x01
#define START_TRAY  0x02 /* moves it; out unless started */

#define PREVENT	   0x01
#define PERSISTENT 0x02 /* what is prevented is another thing */

#define EVENT_MEDIA 4 /* class of events */
#define EVENT_NONE  0x80

bool tray_ready(const struct ata_drive *drive)
{
	return drive->block && !drive->open;
}

bool tray_not_ready(struct ata_request *r)
{
	return cd_refuse(r, SENSE_NOT_READY, ASC_ABSENT,
			 r->drive->open ? 2 : 1);
}

bool ata_tray_gone(struct ata_request *r)
{
	return tray_not_ready(r);
}

/* --- the guest ---------------------------------------------------------------- */

static void open_tray(struct ata_drive *drive)
{
	if (!drive->open)
		drive->event = ATA_EVENT_REMOVAL;
	drive->open = true;
	drive->changed = false;
}

static void shut_tray(struct ata_drive *drive)
{
	if (drive->open && drive->block) {
		drive->event = ATA_EVENT_NEW;
		drive->changed = true;
	}
	drive->open = false;
}

bool tray_start_stop(struct ata_request *r)
{
	struct ata_drive *drive = r->drive;
	uint8_t how = r->packet[4];

	if (how >> 4) /* a power condition */
		return cd_done(r);
	if (how & START_TRAY) {
		if (how & START_START)
			shut_tray(drive);
		else if (drive->locked && !drive->open)
			return cd_refuse(r, drive->block ? SENSE_ILLEGAL
							 : SENSE_NOT_READY,
					 ASC_HELD, 2);
		else
			open_tray(drive);
		return cd_done(r);
	}
	if ((how & START_START) && !tray_ready(drive))
		return tray_not_ready(r);
	return cd_done(r);
}

bool tray_prevent(struct ata_request *r)
{
	uint8_t how = r->packet[4];

	if (how & PERSISTENT)
		r->drive->kept = how & PREVENT;
	else
		r->drive->locked = how & PREVENT;
	return cd_done(r);
}

/* Polled only. */
bool tray_event_status(struct ata_request *r)
{
	struct ata_drive *drive = r->drive;
	uint8_t *to = r->buffer;
	bool media = r->packet[4] & 1u << EVENT_MEDIA;

	if (!(r->packet[1] & 1))
		return cd_refuse(r, SENSE_ILLEGAL, ASC_FIELD, 0);
	to[3] = 1u << EVENT_MEDIA; /* classes that there are */
	if (!media) {
		cd_put_be16(to, 2);
		to[2] = EVENT_NONE;
		return cd_answer(r, 4, cd_be16(r->packet + 7));
	}
	cd_put_be16(to, 6);
	to[2] = EVENT_MEDIA;
	to[4] = drive->event;
	to[5] = (uint8_t)(drive->open | tray_ready(drive) << 1);
	/* One that does not fit was not told. */
	if (cd_be16(r->packet + 7) > 4)
		drive->event = ATA_EVENT_NONE;
	return cd_answer(r, 8, cd_be16(r->packet + 7));
}

bool tray_mechanism(struct ata_request *r)
{
	r->buffer[1] = (uint8_t)(r->drive->open << 4);
	r->buffer[5] = 1; /* slots */
	return cd_answer(r, 8, cd_be16(r->packet + 8));
}

/* --- from outside ------------------------------------------------------------- */

int ata_tray_change(struct ata_drive *drive, struct block *block, bool force)
{
	bool held = tray_ready(drive) && (drive->locked || drive->kept);

	if (held && !force) {
		drive->event = ATA_EVENT_REQUEST;
		return -VM_EBUSY;
	}
	open_tray(drive);
	drive->block = block;
	if (block)
		shut_tray(drive);
	return 0;
}

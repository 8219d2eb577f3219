/* SPDX-License-Identifier: Apache-2.0 */
/* What disks and CD-ROM drives share; see ata.h. */
#include "device/ata.h"

#include "vm/bytes.h"

#define HEADS 16
#define TRACK 63

void ata_put_word(uint8_t *to, unsigned int word, uint16_t value)
{
	to[word * 2] = (uint8_t)value;
	to[word * 2 + 1] = (uint8_t)(value >> 8);
}

/* Each word's first character in its upper byte; padded with blanks. */
void ata_put_text(uint8_t *to, unsigned int word, const char *text,
		  unsigned int size)
{
	bool end = false;

	for (unsigned int i = 0; i < size; i++) {
		end = end || !text[i];
		to[word * 2 + (i ^ 1)] = end ? ' ' : (uint8_t)text[i];
	}
}

/* On a serial link modes are chosen for form's sake. */
uint16_t ata_multiword_modes(const struct ata_drive *drive)
{
	uint8_t mode = drive->mode;

	if (!drive->parallel || !(mode & ATA_MODE_MULTIWORD))
		return 0x0007;
	return (uint16_t)(0x0007 | 0x100u << (mode & 7));
}

uint16_t ata_ultra_modes(const struct ata_drive *drive)
{
	uint8_t mode = drive->mode;

	if (!drive->parallel)
		return 0x203f;
	if (!(mode & ATA_MODE_ULTRA))
		return 0x0007;
	return (uint16_t)(0x0007 | 0x100u << (mode & 7));
}

void ata_drive_init(struct ata_drive *drive, struct block *block, bool cd,
		    const char *serial)
{
	unsigned int i = 0;

	drive->present = true;
	drive->block = block;
	drive->cd = cd;
	drive->open = drive->changed = false;
	drive->event = ATA_EVENT_NONE;
	for (; i < ATA_SERIAL && serial[i]; i++)
		drive->serial[i] = serial[i];
	for (; i < ATA_SERIAL; i++)
		drive->serial[i] = ' ';
	ata_drive_reset(drive);
}

void ata_drive_remove(struct ata_drive *drive)
{
	drive->present = false;
	drive->block = NULL;
}

void ata_drive_soft_reset(struct ata_drive *drive)
{
	drive->ncq_error = false;
	drive->multiple = 0;
	drive->attention = drive->cd;
}

void ata_drive_reset(struct ata_drive *drive)
{
	ata_drive_soft_reset(drive);
	drive->cache_off = false;
	drive->heads = HEADS;
	drive->track = TRACK;
	drive->mode = ATA_MODE_DEFAULT;
	drive->sense = drive->asc = drive->ascq = 0;
	drive->locked = drive->kept = false;
}

void ata_drive_loaded(struct ata_drive *drive)
{
	if (!drive->heads || drive->heads > HEADS || !drive->track) {
		drive->heads = HEADS;
		drive->track = TRACK;
	}
	if (drive->multiple > ATA_BUFFER / ATA_SECTOR)
		drive->multiple = 0;
	if (drive->event >= ATA_EVENTS)
		drive->event = ATA_EVENT_NONE;
}

bool ata_set_mode(struct ata_request *r)
{
	uint8_t mode = r->fis[12];

	if (!r->drive->parallel)
		return ata_end(r);
	switch (mode & 0xf8) {
	case 0: /* PIO */
	case ATA_MODE_PIO:
		return ata_end(r);
	case ATA_MODE_MULTIWORD:
	case ATA_MODE_ULTRA:
		if ((mode & 7) > 2)
			break;
		r->drive->mode = mode;
		return ata_end(r);
	default:
		break;
	}
	return ata_fail(r, ATA_ABRT);
}

void ata_signature(const struct ata_drive *drive, uint8_t *fis)
{
	memset(fis + 4, 0, 10);
	fis[4] = fis[12] = 1;
	if (drive->cd) {
		fis[5] = 0x14;
		fis[6] = 0xeb;
	}
}

bool ata_command(struct ata_request *r)
{
	return r->drive->cd ? ata_cd_command(r) : ata_disk_command(r);
}

bool ata_block_done(struct ata_request *r)
{
	if (r->io.error && r->io.op != BLOCK_DISCARD) {
		if (r->drive->cd)
			ata_cd_failed(r->drive);
		return ata_fail(r, r->drive->cd ? 3 << 4 | ATA_ABRT
				   : r->io.op == BLOCK_READ ? ATA_UNC
							    : ATA_ABRT);
	}
	if (r->trim)
		return ata_disk_trim(r);
	if (r->then_flush) {
		r->then_flush = false;
		r->io.offset = r->io.length = 0;
		return ata_submit(r, BLOCK_FLUSH);
	}
	return ata_end(r);
}

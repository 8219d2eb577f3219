/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's commands (ATA8-ACS-2, 7; Serial ATA 3.1, 13.6): reads and writes by
 * PIO, DMA and queued, flush, TRIM, features. Left out: security, host
 * protected area (its size can be asked), sanitize, streaming.
 */
#include "device/ata.h"

#include "vm/bytes.h"

#define LBA_BIT 0x40 /* of the device register; else CHS */
#define FUA_BIT 0x80 /* of a queued write's */

#define TRIM_BLOCKS (ATA_BUFFER / ATA_SECTOR)

enum address { LBA28, LBA48, QUEUED };

/* Reads and writes of all kinds. */
static const struct access {
	uint8_t command;
	uint8_t address;
	bool write, pio, multiple, fua, verify;
} accesses[] = {
	{ .command = 0x20, .address = LBA28, .pio = true },
	{ .command = 0x21, .address = LBA28, .pio = true },
	{ .command = 0x24, .address = LBA48, .pio = true },
	{ .command = 0x25, .address = LBA48 },
	{ .command = 0x29, .address = LBA48, .pio = true, .multiple = true },
	{ .command = 0x30, .address = LBA28, .write = true, .pio = true },
	{ .command = 0x31, .address = LBA28, .write = true, .pio = true },
	{ .command = 0x34, .address = LBA48, .write = true, .pio = true },
	{ .command = 0x35, .address = LBA48, .write = true },
	{ .command = 0x39, .address = LBA48, .write = true,
	  .pio = true, .multiple = true },
	{ .command = 0x3d, .address = LBA48, .write = true, .fua = true },
	{ .command = 0x40, .address = LBA28, .verify = true },
	{ .command = 0x41, .address = LBA28, .verify = true },
	{ .command = 0x42, .address = LBA48, .verify = true },
	{ .command = 0x60, .address = QUEUED },
	{ .command = 0x61, .address = QUEUED, .write = true },
	{ .command = 0xc4, .address = LBA28, .pio = true, .multiple = true },
	{ .command = 0xc5, .address = LBA28, .write = true,
	  .pio = true, .multiple = true },
	{ .command = 0xc8, .address = LBA28 },
	{ .command = 0xc9, .address = LBA28 },
	{ .command = 0xca, .address = LBA28, .write = true },
	{ .command = 0xcb, .address = LBA28, .write = true },
	{ .command = 0xce, .address = LBA48, .write = true,
	  .pio = true, .multiple = true, .fua = true },
};

static uint64_t lba48(const uint8_t *fis)
{
	uint64_t low = (uint64_t)fis[6] << 16 | (uint64_t)fis[5] << 8 | fis[4];
	uint64_t high = (uint64_t)fis[10] << 16 | (uint64_t)fis[9] << 8 |
			fis[8];

	return high << 24 | low;
}

static uint64_t lba28(const struct ata_drive *drive, const uint8_t *fis)
{
	uint64_t cylinder = (uint64_t)fis[6] << 8 | fis[5];

	if (fis[7] & LBA_BIT)
		return (uint64_t)(fis[7] & 0xf) << 24 | cylinder << 8 | fis[4];
	if (!fis[4])
		return UINT64_MAX; /* sectors count from 1 */
	return (cylinder * drive->heads + (fis[7] & 0xf)) * drive->track +
	       fis[4] - 1;
}

static uint64_t sectors_of(const struct access *access, const uint8_t *fis)
{
	uint64_t count;

	switch (access->address) {
	case LBA28:
		return fis[12] ? fis[12] : 256;
	case LBA48:
		count = (uint64_t)fis[13] << 8 | fis[12];
		break;
	default:
		count = (uint64_t)fis[11] << 8 | fis[3];
		break;
	}
	return count ? count : 65536;
}

static bool read_or_write(struct ata_request *r, const struct access *access)
{
	struct ata_drive *drive = r->drive;
	uint64_t all = drive->block->size / ATA_SECTOR;
	uint64_t count = sectors_of(access, r->fis);
	uint64_t lba = access->address == LBA28 ? lba28(drive, r->fis)
						: lba48(r->fis);

	if (access->address == QUEUED) {
		r->protocol = ATA_QUEUED;
		r->tag = r->fis[12] >> 3;
		if (drive->ncq_error || r->tag != r->slot)
			return ata_fail(r, ATA_ABRT);
	}
	if (lba >= all || count > all - lba)
		return ata_fail(r, ATA_IDNF);
	if (access->verify)
		return ata_end(r);
	if (access->multiple && !drive->multiple)
		return ata_fail(r, ATA_ABRT);
	if (access->pio)
		r->protocol = access->write ? ATA_PIO_OUT : ATA_PIO_IN;
	else if (access->address != QUEUED)
		r->protocol = ATA_DMA;
	r->at_once = access->multiple ? drive->multiple * ATA_SECTOR
				      : ATA_SECTOR;
	r->then_flush = access->write &&
			(access->fua || drive->cache_off ||
			 (access->address == QUEUED &&
			  (r->fis[7] & FUA_BIT)));
	return ata_transfer(r, access->write, lba * ATA_SECTOR,
			     count * ATA_SECTOR);
}

/* --- TRIM ---------------------------------------------------------------------- */

bool ata_disk_trim(struct ata_request *r)
{
	uint64_t all = r->drive->block->size / ATA_SECTOR;

	while (r->trim_at < r->trim_size) {
		const uint8_t *entry = r->buffer + r->trim_at;
		uint64_t word, lba, count;

		memcpy(&word, entry, sizeof(word));
		lba = word & 0xffffffffffff;
		count = word >> 48;
		r->trim_at += 8;
		if (!count)
			continue;
		if (lba >= all || count > all - lba)
			return ata_fail(r, ATA_IDNF);
		r->io.offset = lba * ATA_SECTOR;
		r->io.length = count * ATA_SECTOR;
		return ata_submit(r, BLOCK_DISCARD);
	}
	r->trim = false;
	return ata_end(r);
}

static bool data_set(struct ata_request *r)
{
	unsigned int blocks = (unsigned int)r->fis[13] << 8 | r->fis[12];
	const struct block *block = r->drive->block;

	if (r->fis[3] != 1 || !blocks || blocks > TRIM_BLOCKS ||
	    block->readonly || !block->can_discard)
		return ata_fail(r, ATA_ABRT);
	r->trim = true;
	r->trim_at = 0;
	r->trim_size = blocks * ATA_SECTOR;
	r->protocol = ATA_DMA;
	return ata_fetch(r, r->trim_size);
}

bool ata_disk_fetched(struct ata_request *r)
{
	return ata_disk_trim(r);
}

/* --- the rest ------------------------------------------------------------------ */

/* INITIALIZE DEVICE PARAMETERS, of systems that know no LBA. */
static bool set_geometry(struct ata_request *r)
{
	if (!r->fis[12])
		return ata_fail(r, ATA_ABRT);
	r->drive->track = r->fis[12];
	r->drive->heads = (r->fis[7] & 0xf) + 1;
	return ata_end(r);
}

static bool set_features(struct ata_request *r)
{
	switch (r->fis[3]) {
	case 0x02: /* write cache on */
		r->drive->cache_off = false;
		return ata_end(r);
	case 0x82:
		r->drive->cache_off = true;
		return ata_submit(r, BLOCK_FLUSH);
	case 0x03:
		return ata_set_mode(r);
	case 0x55: /* read look-ahead off, on */
	case 0xaa:
	case 0x66: /* power-on defaults kept, or not */
	case 0xcc:
	case 0x05: /* power management */
	case 0x85:
		return ata_end(r);
	default:
		return ata_fail(r, ATA_ABRT);
	}
}

static bool native_max(struct ata_request *r, bool ext)
{
	uint64_t last = r->drive->block->size / ATA_SECTOR - 1;

	if (!ext && last > 0xffffffe)
		last = 0xffffffe;
	for (unsigned int i = 0; i < 3; i++) {
		r->fis[4 + i] = (uint8_t)(last >> 8 * i);
		r->fis[8 + i] = ext ? (uint8_t)(last >> (24 + 8 * i)) : 0;
	}
	if (!ext)
		r->fis[7] = (uint8_t)((r->fis[7] & 0xf0) | last >> 24);
	return ata_end(r);
}

static bool set_multiple(struct ata_request *r)
{
	uint8_t count = r->fis[12];

	if (count > 16 || (count & (count - 1)))
		return ata_fail(r, ATA_ABRT);
	r->drive->multiple = count;
	return ata_end(r);
}

static bool diagnose(struct ata_request *r)
{
	ata_signature(r->drive, r->fis);
	return ata_end(r);
}

static bool identify(struct ata_request *r)
{
	r->protocol = ATA_PIO_IN;
	ata_disk_identify(r->drive, r->buffer);
	return ata_answer(r, ATA_SECTOR);
}

static bool other(struct ata_request *r)
{
	switch (r->fis[2]) {
	case 0x06:
		return data_set(r);
	case 0x10: /* recalibrate, seek */
	case 0x70:
	case 0xe0: /* standby and idle, all of them */
	case 0xe1:
	case 0xe2:
	case 0xe3:
	case 0xe6:
		return ata_end(r);
	case 0x27:
		return native_max(r, true);
	case 0x2f:
	case 0x47:
		return ata_disk_read_log(r);
	case 0x90:
		return diagnose(r);
	case 0x91:
		return set_geometry(r);
	case 0xb0:
		return ata_disk_smart(r);
	case 0xc6:
		return set_multiple(r);
	case 0xe5: /* power mode: active */
		r->fis[12] = 0xff;
		return ata_end(r);
	case 0xe7:
	case 0xea:
		return ata_submit(r, BLOCK_FLUSH);
	case 0xec:
		return identify(r);
	case 0xef:
		return set_features(r);
	case 0xf8:
		return native_max(r, false);
	default:
		return ata_fail(r, ATA_ABRT);
	}
}

bool ata_disk_command(struct ata_request *r)
{
	const unsigned int count = sizeof(accesses) / sizeof(accesses[0]);

	for (unsigned int i = 0; i < count; i++)
		if (accesses[i].command == r->fis[2])
			return read_or_write(r, &accesses[i]);
	return other(r);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CD-ROM drive: packet commands (ATA8-ACS-2, 7.18; MMC-6; SPC-3) over an
 * image of 2048-byte sectors, one session with one data track. Left out:
 * audio, raw sectors, changing the medium.
 */
#include "device/ata.h"

#include "vm/bytes.h"

#define SENSE_NONE	0
#define SENSE_MEDIUM	3
#define SENSE_ILLEGAL	5
#define SENSE_ATTENTION 6

#define ASC_COMMAND 0x20
#define ASC_RANGE   0x21
#define ASC_FIELD   0x24
#define ASC_RESET   0x29
#define ASC_READ    0x11

#define LEAD_OUT 0xaa

static uint32_t be32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
	       (uint32_t)from[2] << 8 | from[3];
}

static uint32_t be16(const uint8_t *from)
{
	return (uint32_t)from[0] << 8 | from[1];
}

static void put_be16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void put_be32(uint8_t *to, uint32_t value)
{
	put_be16(to, value >> 16);
	put_be16(to + 2, value);
}

static uint32_t sectors(const struct ata_drive *drive)
{
	uint64_t count = drive->block->size / CD_SECTOR;

	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static bool refuse(struct ata_request *r, uint8_t sense, uint8_t asc)
{
	r->drive->sense = sense;
	r->drive->asc = asc;
	r->drive->ascq = 0;
	r->fis[12] = 3; /* interrupt reason: status */
	return ata_fail(r, (uint8_t)(sense << 4 | ATA_ABRT));
}

void ata_cd_failed(struct ata_drive *drive)
{
	drive->sense = SENSE_MEDIUM;
	drive->asc = ASC_READ;
	drive->ascq = 0;
}

/* `size` bytes of the buffer, but no more than the guest has room for. */
static bool answer(struct ata_request *r, uint32_t size, uint32_t room)
{
	uint32_t count = size < room ? size : room;

	/* Byte count of what a PIO transfer moves. */
	r->fis[5] = (uint8_t)count;
	r->fis[6] = (uint8_t)(count >> 8);
	r->fis[12] = 3;
	return count ? ata_answer(r, count) : ata_end(r);
}

static bool done(struct ata_request *r)
{
	r->fis[12] = 3;
	return ata_end(r);
}

/* --- what it tells of itself ----------------------------------------------------- */

static void put_chars(uint8_t *to, const char *text, unsigned int size)
{
	bool end = false;

	for (unsigned int i = 0; i < size; i++) {
		end = end || !text[i];
		to[i] = end ? ' ' : (uint8_t)text[i];
	}
}

static bool inquiry(struct ata_request *r)
{
	uint8_t *to = r->buffer;

	if (r->packet[1] & 3 || r->packet[2])
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	to[0] = 0x05; /* CD/DVD */
	to[1] = 0x80; /* removable */
	to[2] = 0x05; /* SPC-3 */
	to[3] = 0x32;
	to[4] = 31;
	put_chars(to + 8, "LODGE", 8);
	put_chars(to + 16, "CD-ROM", 16);
	put_chars(to + 32, "1.0", 4);
	return answer(r, 36, be16(r->packet + 3));
}

static bool request_sense(struct ata_request *r)
{
	struct ata_drive *drive = r->drive;
	uint8_t *to = r->buffer;

	if (drive->attention) {
		drive->sense = SENSE_ATTENTION;
		drive->asc = ASC_RESET;
		drive->attention = false;
	}
	to[0] = 0x70;
	to[2] = drive->sense;
	to[7] = 10;
	to[12] = drive->asc;
	to[13] = drive->ascq;
	drive->sense = drive->asc = drive->ascq = SENSE_NONE;
	return answer(r, 18, r->packet[4]);
}

static unsigned int put_page(uint8_t *to, uint8_t page)
{
	if (page == 0x01) { /* error recovery */
		to[0] = page;
		to[1] = 10;
		to[3] = 5; /* retries */
		return 12;
	}
	if (page == 0x2a) { /* capabilities */
		to[0] = page;
		to[1] = 18;
		to[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R */
		to[4] = 0x70; /* mode 2 forms, sessions */
		to[6] = 0x29; /* tray, ejects, locks */
		put_be16(to + 8, 706 * 8); /* speed, kB/s */
		put_be16(to + 12, 512);	   /* buffer, KiB */
		put_be16(to + 14, 706 * 8);
		return 20;
	}
	return 0;
}

static bool mode_sense(struct ata_request *r, bool ten)
{
	unsigned int head = ten ? 8 : 4, size = head;
	uint8_t page = r->packet[2] & 0x3f;

	if (r->packet[2] >> 6 == 3)
		return refuse(r, SENSE_ILLEGAL, 0x39); /* saved values */
	if (page == 0x3f || page == 0x01)
		size += put_page(r->buffer + size, 0x01);
	if (page == 0x3f || page == 0x2a)
		size += put_page(r->buffer + size, 0x2a);
	if (size == head)
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	if (ten)
		put_be16(r->buffer, size - 2);
	else
		r->buffer[0] = (uint8_t)(size - 1);
	r->buffer[ten ? 2 : 1] = 0x01; /* data disc */
	return answer(r, size, ten ? be16(r->packet + 7) : r->packet[4]);
}

static unsigned int put_feature(uint8_t *to, unsigned int code, uint8_t flags,
				unsigned int size)
{
	put_be16(to, code);
	to[2] = flags;
	to[3] = (uint8_t)size;
	return 4 + size;
}

/* MMC-6, 6.5: profile list, core, removable medium, random read, CD read. */
static bool get_configuration(struct ata_request *r)
{
	uint32_t first = be16(r->packet + 2);
	bool one = (r->packet[1] & 3) == 2;
	unsigned int size = 8;
	uint8_t *to = r->buffer;
	static const struct {
		uint16_t code;
		uint8_t flags, size, data[8];
	} feature[] = {
		{ 0x0000, 0x03, 4, { 0x00, 0x08, 0x01 } },
		{ 0x0001, 0x0b, 8, { 0, 0, 0, 7, 1 } },
		{ 0x0003, 0x0b, 4, { 0x29 } },
		{ 0x0010, 0x01, 8, { 0, 0, 8, 0, 0, 1 } },
		{ 0x001e, 0x09, 4, { 0 } },
	};

	if ((r->packet[1] & 3) == 3)
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	for (unsigned int i = 0; i < sizeof(feature) / sizeof(feature[0]);
	     i++) {
		if (one ? feature[i].code != first : feature[i].code < first)
			continue;
		memcpy(to + size + 4, feature[i].data, feature[i].size);
		if (feature[i].code == 1 && r->drive->parallel)
			to[size + 7] = 2; /* ATAPI */
		size += put_feature(to + size, feature[i].code,
				    feature[i].flags, feature[i].size);
	}
	put_be32(to, size - 4);
	put_be16(to + 6, 0x0008); /* current profile: CD-ROM */
	return answer(r, size, be16(r->packet + 7));
}

/* Polled only; of media: there is one, nothing happened. */
static bool event_status(struct ata_request *r)
{
	uint8_t *to = r->buffer;

	if (!(r->packet[1] & 1))
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	to[3] = 0x10; /* classes that there are: media */
	if (!(r->packet[4] & 0x10)) {
		put_be16(to, 2);
		to[2] = 0x80;
		return answer(r, 4, be16(r->packet + 7));
	}
	put_be16(to, 6);
	to[2] = 4;
	to[5] = 2; /* medium present */
	return answer(r, 8, be16(r->packet + 7));
}

/* --- the medium ------------------------------------------------------------------- */

static bool capacity(struct ata_request *r)
{
	put_be32(r->buffer, sectors(r->drive) - 1);
	put_be32(r->buffer + 4, CD_SECTOR);
	return answer(r, 8, 8);
}

/* As a block address, or as minutes, seconds and frames. */
static void put_address(uint8_t *to, uint32_t lba, bool msf)
{
	if (!msf) {
		put_be32(to, lba);
		return;
	}
	lba += 150;
	to[0] = 0;
	to[1] = (uint8_t)(lba / (75 * 60));
	to[2] = (uint8_t)(lba / 75 % 60);
	to[3] = (uint8_t)(lba % 75);
}

static unsigned int put_track(uint8_t *to, uint8_t track, uint32_t lba,
			      bool msf)
{
	to[1] = 0x14; /* data, no copy bits */
	to[2] = track;
	put_address(to + 4, lba, msf);
	return 8;
}

/* MMC-6, 6.26: formats 0 (tracks) and 1 (sessions). */
static bool read_toc(struct ata_request *r)
{
	bool msf = r->packet[1] & 2;
	uint8_t format = r->packet[2] & 0xf, first = r->packet[6];
	uint8_t *to = r->buffer;
	unsigned int size = 4;

	if (!format)
		format = r->packet[9] >> 6;
	if (format > 1 || (!format && first > 1 && first != LEAD_OUT))
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	to[2] = to[3] = 1;
	if (format || first <= 1)
		size += put_track(to + size, 1, 0, msf);
	if (!format)
		size += put_track(to + size, LEAD_OUT, sectors(r->drive), msf);
	put_be16(to, size - 2);
	return answer(r, size, be16(r->packet + 7));
}

static bool disc_information(struct ata_request *r)
{
	uint8_t *to = r->buffer;

	if (r->packet[1] & 7)
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	put_be16(to, 32);
	to[2] = 0x0e; /* complete */
	to[3] = to[4] = to[5] = to[6] = 1;
	to[7] = 0x20; /* unrestricted use */
	memset(to + 16, 0xff, 8);
	return answer(r, 34, be16(r->packet + 7));
}

static bool track_information(struct ata_request *r)
{
	uint8_t *to = r->buffer;

	put_be16(to, 34);
	to[2] = to[3] = 1;
	to[5] = 4; /* data */
	to[6] = 1; /* mode 1 */
	put_be32(to + 24, sectors(r->drive));
	return answer(r, 36, be16(r->packet + 7));
}

static bool mechanism(struct ata_request *r)
{
	r->buffer[5] = 1; /* slots */
	return answer(r, 8, be16(r->packet + 8));
}

static bool read_sectors(struct ata_request *r, uint32_t lba, uint32_t count)
{
	uint32_t all = sectors(r->drive);

	if (lba > all || count > all - lba)
		return refuse(r, SENSE_ILLEGAL, ASC_RANGE);
	r->fis[12] = 3;
	if (!count)
		return ata_end(r);
	return ata_transfer(r, false, (uint64_t)lba * CD_SECTOR,
			     (uint64_t)count * CD_SECTOR);
}

/* READ CD: user data of data sectors, or nothing. */
static bool read_cd(struct ata_request *r)
{
	const uint8_t *p = r->packet;
	uint32_t count = (uint32_t)p[6] << 16 | be16(p + 7);

	if (p[9] == 0x10 && !p[10])
		return read_sectors(r, be32(p + 2), count);
	if (!(p[9] & 0xf8))
		return done(r);
	return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
}

/* --- packets ------------------------------------------------------------------------ */

/* Commands for the medium, after those that always work. */
static bool medium_packet(struct ata_request *r)
{
	const uint8_t *p = r->packet;

	switch (p[0]) {
	case 0x00: /* TEST UNIT READY */
	case 0x1b: /* START STOP: the tray stays shut */
	case 0x2b: /* SEEK */
	case 0x2f: /* VERIFY */
	case 0xbb: /* SET CD SPEED */
		return done(r);
	case 0x1a:
		return mode_sense(r, false);
	case 0x1e:
		r->drive->locked = p[4] & 1;
		return done(r);
	case 0x25:
		return capacity(r);
	case 0x28:
		return read_sectors(r, be32(p + 2), be16(p + 7));
	case 0x43:
		return read_toc(r);
	case 0x51:
		return disc_information(r);
	case 0x52:
		return track_information(r);
	case 0x5a:
		return mode_sense(r, true);
	case 0xa8:
		return read_sectors(r, be32(p + 2), be32(p + 6));
	case 0xbd:
		return mechanism(r);
	case 0xbe:
		return read_cd(r);
	default:
		return refuse(r, SENSE_ILLEGAL, ASC_COMMAND);
	}
}

static bool packet(struct ata_request *r)
{
	struct ata_drive *drive = r->drive;

	memset(r->buffer, 0, 512);
	switch (r->packet[0]) {
	case 0x03:
		return request_sense(r);
	case 0x12:
		return inquiry(r);
	case 0x46:
		return get_configuration(r);
	case 0x4a:
		return event_status(r);
	default:
		break;
	}
	if (drive->attention) {
		drive->attention = false;
		return refuse(r, SENSE_ATTENTION, ASC_RESET);
	}
	drive->sense = drive->asc = drive->ascq = SENSE_NONE;
	return medium_packet(r);
}

/* --- ATA commands of such a drive ------------------------------------------------------ */

void ata_cd_identify(const struct ata_drive *drive, uint8_t *to)
{
	memset(to, 0, ATA_SECTOR);
	ata_put_word(to, 0, 0x85c0); /* CD-ROM, removable, 12-byte packets */
	ata_put_text(to, 10, drive->serial, ATA_SERIAL);
	ata_put_text(to, 23, "1.0", 8);
	ata_put_text(to, 27, "LODGE CD-ROM", 40);
	ata_put_word(to, 49, 0x0f00);
	ata_put_word(to, 53, 0x0006);
	ata_put_word(to, 63, ata_multiword_modes(drive));
	ata_put_word(to, 64, 0x0003);
	for (unsigned int i = 65; i <= 68; i++)
		ata_put_word(to, i, 120);
	ata_put_word(to, 76, drive->parallel ? 0 : 0x000e);
	ata_put_word(to, 80, 0x01f0);
	ata_put_word(to, 82, 0x4210); /* NOP, DEVICE RESET, packets */
	ata_put_word(to, 83, 0x4000);
	ata_put_word(to, 84, 0x4000);
	ata_put_word(to, 85, 0x4210);
	ata_put_word(to, 87, 0x4000);
	ata_put_word(to, 88, ata_ultra_modes(drive));
}

/* 9.12: what is not for packet devices ends with their signature. */
static bool not_a_disk(struct ata_request *r)
{
	ata_signature(r->drive, r->fis);
	return ata_fail(r, ATA_ABRT);
}

bool ata_cd_command(struct ata_request *r)
{
	switch (r->fis[2]) {
	case 0xa0:
		return packet(r);
	case 0xa1:
		r->protocol = ATA_PIO_IN;
		ata_cd_identify(r->drive, r->buffer);
		return ata_answer(r, ATA_SECTOR);
	case 0x08: /* DEVICE RESET, DIAGNOSTIC: end with the signature */
	case 0x90:
		ata_signature(r->drive, r->fis);
		return ata_end(r);
	case 0xe0:
	case 0xe1:
	case 0xe2:
	case 0xe3:
	case 0xe6:
		return ata_end(r);
	case 0xef:
		return r->fis[3] == 0x03 ? ata_set_mode(r) : ata_end(r);
	case 0xe5:
		r->fis[12] = 0xff;
		return ata_end(r);
	case 0xec:
		return not_a_disk(r);
	default:
		return ata_fail(r, ATA_ABRT);
	}
}

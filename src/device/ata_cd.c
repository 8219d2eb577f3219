/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CD-ROM drive: packet commands (ATA8-ACS-2, 7.18; MMC-6; SPC-3) over an
 * image of 2048-byte sectors, one session with one data track; its tray is in
 * ata_tray.c. Left out: audio, raw sectors.
 */
#include "device/ata_cd_impl.h"

#include "vm/bytes.h"

#define LEAD_OUT 0xaa

static uint32_t be32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
	       (uint32_t)from[2] << 8 | from[3];
}

static void put_be32(uint8_t *to, uint32_t value)
{
	cd_put_be16(to, value >> 16);
	cd_put_be16(to + 2, value);
}

static uint32_t sectors(const struct ata_drive *drive)
{
	uint64_t count = drive->block->size / CD_SECTOR;

	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

bool cd_refuse(struct ata_request *r, uint8_t sense, uint8_t asc, uint8_t ascq)
{
	r->drive->sense = sense;
	r->drive->asc = asc;
	r->drive->ascq = ascq;
	r->fis[12] = 3; /* interrupt reason: status */
	return ata_fail(r, (uint8_t)(sense << 4 | ATA_ABRT));
}

static bool refuse(struct ata_request *r, uint8_t sense, uint8_t asc)
{
	return cd_refuse(r, sense, asc, 0);
}

void ata_cd_failed(struct ata_drive *drive)
{
	drive->sense = SENSE_MEDIUM;
	drive->asc = ASC_READ;
	drive->ascq = 0;
}

bool cd_answer(struct ata_request *r, uint32_t size, uint32_t room)
{
	uint32_t count = size < room ? size : room;

	/* Byte count of what a PIO transfer moves. */
	r->fis[5] = (uint8_t)count;
	r->fis[6] = (uint8_t)(count >> 8);
	r->fis[12] = 3;
	return count ? ata_answer(r, count) : ata_end(r);
}

bool cd_done(struct ata_request *r)
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
	return cd_answer(r, 36, cd_be16(r->packet + 3));
}

/* Something that the guest has to know before anything else. */
static bool take_attention(struct ata_drive *drive)
{
	if (!drive->attention && !drive->changed)
		return false;
	drive->sense = SENSE_ATTENTION;
	drive->asc = drive->attention ? ASC_RESET : ASC_CHANGED;
	drive->ascq = 0;
	/* One at a time. */
	if (drive->attention)
		drive->attention = false;
	else
		drive->changed = false;
	return true;
}

static bool request_sense(struct ata_request *r)
{
	struct ata_drive *drive = r->drive;
	uint8_t *to = r->buffer;

	/* What the last command failed for comes first. */
	if (drive->sense == SENSE_NONE)
		take_attention(drive);
	to[0] = 0x70;
	to[2] = drive->sense;
	to[7] = 10;
	to[12] = drive->asc;
	to[13] = drive->ascq;
	drive->sense = drive->asc = drive->ascq = SENSE_NONE;
	return cd_answer(r, 18, r->packet[4]);
}

static unsigned int put_page(const struct ata_drive *drive, uint8_t *to,
			     uint8_t page)
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
		to[6] = (uint8_t)(0x29 | drive->locked << 1); /* a tray */
		cd_put_be16(to + 8, 706 * 8); /* speed, kB/s */
		cd_put_be16(to + 12, 512);	   /* buffer, KiB */
		cd_put_be16(to + 14, 706 * 8);
		return 20;
	}
	return 0;
}

/* As drives before MMC had it. */
static uint8_t medium_type(const struct ata_drive *drive)
{
	if (drive->open)
		return 0x71;
	return drive->block ? 0x01 /* data disc */ : 0x70;
}

static bool mode_sense(struct ata_request *r, bool ten)
{
	unsigned int head = ten ? 8 : 4, size = head;
	uint8_t page = r->packet[2] & 0x3f;

	if (r->packet[2] >> 6 == 3)
		return refuse(r, SENSE_ILLEGAL, 0x39); /* saved values */
	if (page == 0x3f || page == 0x01)
		size += put_page(r->drive, r->buffer + size, 0x01);
	if (page == 0x3f || page == 0x2a)
		size += put_page(r->drive, r->buffer + size, 0x2a);
	if (size == head)
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	if (ten)
		cd_put_be16(r->buffer, size - 2);
	else
		r->buffer[0] = (uint8_t)(size - 1);
	r->buffer[ten ? 2 : 1] = medium_type(r->drive);
	return cd_answer(r, size, ten ? cd_be16(r->packet + 7) : r->packet[4]);
}

static unsigned int put_feature(uint8_t *to, unsigned int code, uint8_t flags,
				unsigned int size)
{
	cd_put_be16(to, code);
	to[2] = flags;
	to[3] = (uint8_t)size;
	return 4 + size;
}

#define PROFILE_CD 0x08

/* MMC-6, 6.5: profile list, core, removable medium, random read, CD read. */
static bool get_configuration(struct ata_request *r)
{
	uint32_t first = cd_be16(r->packet + 2);
	bool one = (r->packet[1] & 3) == 2, ready = tray_ready(r->drive);
	unsigned int size = 8;
	uint8_t *to = r->buffer, flags;
	static const struct {
		uint16_t code;
		uint8_t flags, size, data[8];
	} feature[] = {
		{ 0x0000, 0x03, 4, { 0x00, PROFILE_CD, 0x01 } },
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
		/* What is of the medium is current with one. */
		if (!ready && feature[i].code == 0x0000)
			to[size + 6] = 0;
		flags = feature[i].flags;
		if (!ready && feature[i].code >= 0x0010)
			flags &= 0xfe;
		size += put_feature(to + size, feature[i].code, flags,
				    feature[i].size);
	}
	put_be32(to, size - 4);
	cd_put_be16(to + 6, ready ? PROFILE_CD : 0);
	return cd_answer(r, size, cd_be16(r->packet + 7));
}

/* --- the medium ------------------------------------------------------------------- */

static bool capacity(struct ata_request *r)
{
	put_be32(r->buffer, sectors(r->drive) - 1);
	put_be32(r->buffer + 4, CD_SECTOR);
	return cd_answer(r, 8, 8);
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
	cd_put_be16(to, size - 2);
	return cd_answer(r, size, cd_be16(r->packet + 7));
}

static bool disc_information(struct ata_request *r)
{
	uint8_t *to = r->buffer;

	if (r->packet[1] & 7)
		return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
	cd_put_be16(to, 32);
	to[2] = 0x0e; /* complete */
	to[3] = to[4] = to[5] = to[6] = 1;
	to[7] = 0x20; /* unrestricted use */
	memset(to + 16, 0xff, 8);
	return cd_answer(r, 34, cd_be16(r->packet + 7));
}

static bool track_information(struct ata_request *r)
{
	uint8_t *to = r->buffer;

	cd_put_be16(to, 34);
	to[2] = to[3] = 1;
	to[5] = 4; /* data */
	to[6] = 1; /* mode 1 */
	put_be32(to + 24, sectors(r->drive));
	return cd_answer(r, 36, cd_be16(r->packet + 7));
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
	uint32_t count = (uint32_t)p[6] << 16 | cd_be16(p + 7);

	if (p[9] == 0x10 && !p[10])
		return read_sectors(r, be32(p + 2), count);
	if (!(p[9] & 0xf8))
		return cd_done(r);
	return refuse(r, SENSE_ILLEGAL, ASC_FIELD);
}

/* --- packets ------------------------------------------------------------------------ */

static bool mode_sense_6(struct ata_request *r)
{
	return mode_sense(r, false);
}

static bool mode_sense_10(struct ata_request *r)
{
	return mode_sense(r, true);
}

static bool read_10(struct ata_request *r)
{
	return read_sectors(r, be32(r->packet + 2), cd_be16(r->packet + 7));
}

static bool read_12(struct ata_request *r)
{
	return read_sectors(r, be32(r->packet + 2), be32(r->packet + 6));
}

#define PACKET_ALWAYS 0x1 /* an attention waits for another */
#define PACKET_MEDIUM 0x2 /* wants one */

static const struct packet {
	uint8_t command, flags;
	bool (*run)(struct ata_request *r);
} packets[] = {
	{ 0x00, PACKET_MEDIUM, cd_done }, /* TEST UNIT READY */
	{ 0x03, PACKET_ALWAYS, request_sense },
	{ 0x12, PACKET_ALWAYS, inquiry },
	{ 0x1a, 0, mode_sense_6 },
	{ 0x1b, 0, tray_start_stop },
	{ 0x1e, 0, tray_prevent },
	{ 0x25, PACKET_MEDIUM, capacity },
	{ 0x28, PACKET_MEDIUM, read_10 },
	{ 0x2b, PACKET_MEDIUM, cd_done }, /* SEEK */
	{ 0x2f, PACKET_MEDIUM, cd_done }, /* VERIFY */
	{ 0x43, PACKET_MEDIUM, read_toc },
	{ 0x46, PACKET_ALWAYS, get_configuration },
	{ 0x4a, PACKET_ALWAYS, tray_event_status },
	{ 0x51, PACKET_MEDIUM, disc_information },
	{ 0x52, PACKET_MEDIUM, track_information },
	{ 0x5a, 0, mode_sense_10 },
	{ 0xa8, PACKET_MEDIUM, read_12 },
	{ 0xbb, 0, cd_done }, /* SET CD SPEED */
	{ 0xbd, 0, tray_mechanism },
	{ 0xbe, PACKET_MEDIUM, read_cd },
};

static const struct packet *find(uint8_t command)
{
	for (unsigned int i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		if (packets[i].command == command)
			return &packets[i];
	return NULL;
}

static bool packet(struct ata_request *r)
{
	const struct packet *packet = find(r->packet[0]);
	struct ata_drive *drive = r->drive;

	memset(r->buffer, 0, 512);
	if (packet && (packet->flags & PACKET_ALWAYS))
		return packet->run(r);
	if (take_attention(drive))
		return refuse(r, SENSE_ATTENTION, drive->asc);
	drive->sense = drive->asc = drive->ascq = SENSE_NONE;
	if (!packet)
		return refuse(r, SENSE_ILLEGAL, ASC_COMMAND);
	if ((packet->flags & PACKET_MEDIUM) && !tray_ready(drive))
		return tray_not_ready(r);
	return packet->run(r);
}

/* --- ATA commands of such a drive ------------------------------------------------------ */

static void ata_cd_identify(const struct ata_drive *drive, uint8_t *to)
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

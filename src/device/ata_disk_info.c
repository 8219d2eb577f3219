/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk tells of itself (ATA8-ACS-2): identification (7.12), logs
 * (7.25, annex A), SMART (7.48) as far as drivers ask: all is well.
 */
#include "device/ata.h"

#include "vm/bytes.h"

#define LOG_DIRECTORY 0x00
#define LOG_QUEUED    0x10

static void put_number(uint8_t *to, unsigned int word, unsigned int words,
		       uint64_t value)
{
	for (unsigned int i = 0; i < words; i++)
		ata_put_word(to, word + i, (uint16_t)(value >> 16 * i));
}

/* So that the sum of all bytes is 0. */
static void put_sum(uint8_t *to)
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < ATA_SECTOR - 1; i++)
		sum += to[i];
	to[ATA_SECTOR - 1] = (uint8_t)-sum;
}

/* Words that every disk here has. */
static const struct {
	uint8_t word;
	uint16_t value;
} fixed[] = {
	{ 0, 0x0040 },	 /* fixed device */
	{ 3, 16 },	 /* heads */
	{ 6, 63 },	 /* sectors a track */
	{ 47, 0x8010 },	 /* up to 16 sectors of READ MULTIPLE */
	{ 49, 0x2f00 },	 /* LBA, DMA, IORDY, standby timer */
	{ 50, 0x4000 },
	{ 53, 0x0007 },	 /* words 54-58, 64-70 and 88 are valid */
	{ 64, 0x0003 },	 /* PIO 3, 4 */
	{ 65, 120 },	 /* ns a transfer */
	{ 66, 120 },
	{ 67, 120 },
	{ 68, 120 },
	{ 80, 0x01f0 },	 /* ATA/ATAPI-4 to ACS */
	{ 82, 0x4021 },	 /* SMART, write cache, NOP */
	{ 83, 0x7400 },	 /* FLUSH CACHE (EXT), 48 bits */
	{ 84, 0x4060 },	 /* FUA, logs */
	{ 86, 0x3400 },
	{ 87, 0x4060 },
	{ 217, 1 },	 /* does not turn */
};

static uint64_t whole_cylinders(uint64_t sectors, unsigned int of)
{
	uint64_t cylinders = sectors / of;

	return cylinders < 16383 ? cylinders : 16383;
}

/* As it is by default, and as it was set. */
static void put_geometry(const struct ata_drive *drive, uint8_t *to)
{
	uint64_t sectors = drive->block->size / ATA_SECTOR;
	unsigned int of = (unsigned int)drive->heads * drive->track;
	uint64_t cylinders = whole_cylinders(sectors, of);

	ata_put_word(to, 1, (uint16_t)whole_cylinders(sectors, 16 * 63));
	ata_put_word(to, 54, (uint16_t)cylinders);
	ata_put_word(to, 55, drive->heads);
	ata_put_word(to, 56, drive->track);
	put_number(to, 57, 2, cylinders * of);
}

void ata_disk_identify(const struct ata_drive *drive, uint8_t *to)
{
	const struct block *block = drive->block;
	uint64_t sectors = block->size / ATA_SECTOR;
	uint64_t low = sectors < 0xfffffff ? sectors : 0xfffffff;
	unsigned int exponent = 0;

	memset(to, 0, ATA_SECTOR);
	for (unsigned int i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		ata_put_word(to, fixed[i].word, fixed[i].value);
	put_geometry(drive, to);
	if (!drive->parallel) {
		ata_put_word(to, 75, 31);     /* queue depth - 1 */
		ata_put_word(to, 76, 0x010e); /* NCQ; 1.5 to 6 Gbit/s */
	}
	ata_put_word(to, 63, ata_multiword_modes(drive));
	ata_put_word(to, 88, ata_ultra_modes(drive));
	ata_put_text(to, 10, drive->serial, ATA_SERIAL);
	ata_put_text(to, 23, "1.0", 8);
	ata_put_text(to, 27, drive->parallel ? "LODGE IDE DISK"
					     : "LODGE SATA DISK", 40);
	if (drive->multiple)
		ata_put_word(to, 59, 0x0100 | drive->multiple);
	put_number(to, 60, 2, low);
	ata_put_word(to, 85, drive->cache_off ? 0x4001 : 0x4021);
	put_number(to, 100, 4, sectors);
	while (ATA_SECTOR << (exponent + 1) <= block->physical &&
	       exponent < 15)
		exponent++;
	if (exponent)
		ata_put_word(to, 106, (uint16_t)(0x6000 | exponent));
	if (!block->readonly && block->can_discard) {
		ata_put_word(to, 105, ATA_BUFFER / ATA_SECTOR);
		ata_put_word(to, 169, 1);
	}
	ata_put_word(to, 255, 0x00a5);
	put_sum(to);
}

/* The directory, and what went wrong with queued commands (A.14). */
bool ata_disk_read_log(struct ata_request *r)
{
	struct ata_drive *drive = r->drive;
	uint8_t page = r->fis[4];
	unsigned int count = (unsigned int)r->fis[13] << 8 | r->fis[12];

	r->protocol = r->fis[2] == 0x2f ? ATA_PIO_IN : ATA_DMA;
	if (count != 1 || r->fis[5] || r->fis[9] ||
	    (page != LOG_DIRECTORY && page != LOG_QUEUED)) {
		r->protocol = ATA_NO_DATA;
		return ata_fail(r, ATA_ABRT);
	}
	memset(r->buffer, 0, ATA_SECTOR);
	if (page == LOG_DIRECTORY) {
		ata_put_word(r->buffer, 0, 1);
		ata_put_word(r->buffer, LOG_QUEUED, 1);
	} else {
		memcpy(r->buffer, drive->log, sizeof(drive->log));
		put_sum(r->buffer);
		drive->ncq_error = false;
	}
	return ata_answer(r, ATA_SECTOR);
}

bool ata_disk_smart(struct ata_request *r)
{
	if (r->fis[5] != 0x4f || r->fis[6] != 0xc2)
		return ata_fail(r, ATA_ABRT);
	switch (r->fis[3]) {
	case 0xd0: /* attributes and their limits: none */
	case 0xd1:
		r->protocol = ATA_PIO_IN;
		memset(r->buffer, 0, ATA_SECTOR);
		ata_put_word(r->buffer, 0, 1);
		put_sum(r->buffer);
		return ata_answer(r, ATA_SECTOR);
	case 0xd2: /* autosave */
	case 0xd8: /* on, off */
	case 0xd9:
	case 0xda: /* status: as the registers say, no limit is exceeded */
		return ata_end(r);
	default:
		return ata_fail(r, ATA_ABRT);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a SATA disk tells of itself (ATA8-ACS-2): identification (7.12), logs
 * (7.25, annex A), SMART (7.48) as far as drivers ask: all is well.
 */
#include "device/ahci_impl.h"

#include "vm/bytes.h"

#define LOG_DIRECTORY 0x00
#define LOG_QUEUED    0x10

void ahci_put_word(uint8_t *to, unsigned int word, uint16_t value)
{
	to[word * 2] = (uint8_t)value;
	to[word * 2 + 1] = (uint8_t)(value >> 8);
}

/* Each word's first character in its upper byte; padded with blanks. */
void ahci_put_text(uint8_t *to, unsigned int word, const char *text,
		   unsigned int size)
{
	bool end = false;

	for (unsigned int i = 0; i < size; i++) {
		end = end || !text[i];
		to[word * 2 + (i ^ 1)] = end ? ' ' : (uint8_t)text[i];
	}
}

static void put_number(uint8_t *to, unsigned int word, unsigned int words,
		       uint64_t value)
{
	for (unsigned int i = 0; i < words; i++)
		ahci_put_word(to, word + i, (uint16_t)(value >> 16 * i));
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
	{ 63, 0x0007 },	 /* multiword DMA 0-2 */
	{ 64, 0x0003 },	 /* PIO 3, 4 */
	{ 65, 120 },	 /* ns a transfer */
	{ 66, 120 },
	{ 67, 120 },
	{ 68, 120 },
	{ 75, 31 },	 /* queue depth - 1 */
	{ 76, 0x010e },	 /* NCQ; 1.5 to 6 Gbit/s */
	{ 80, 0x01f0 },	 /* ATA/ATAPI-4 to ACS */
	{ 82, 0x4021 },	 /* SMART, write cache, NOP */
	{ 83, 0x7400 },	 /* FLUSH CACHE (EXT), 48 bits */
	{ 84, 0x4060 },	 /* FUA, logs */
	{ 86, 0x3400 },
	{ 87, 0x4060 },
	{ 88, 0x203f },	 /* Ultra DMA 0-5; 5 is chosen */
	{ 217, 1 },	 /* does not turn */
};

void ahci_disk_identify(const struct ahci_port *port, uint8_t *to)
{
	const struct block *block = port->block;
	uint64_t sectors = block->size / ATA_SECTOR, cylinders = sectors / 1008;
	uint64_t low = sectors < 0xfffffff ? sectors : 0xfffffff;
	unsigned int exponent = 0;

	memset(to, 0, ATA_SECTOR);
	for (unsigned int i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		ahci_put_word(to, fixed[i].word, fixed[i].value);
	if (cylinders > 16383)
		cylinders = 16383;
	ahci_put_word(to, 1, (uint16_t)cylinders);
	ahci_put_word(to, 54, (uint16_t)cylinders);
	ahci_put_word(to, 55, 16);
	ahci_put_word(to, 56, 63);
	put_number(to, 57, 2, cylinders * 1008);
	ahci_put_text(to, 10, port->serial, 20);
	ahci_put_text(to, 23, "1.0", 8);
	ahci_put_text(to, 27, "LODGE SATA DISK", 40);
	if (port->multiple)
		ahci_put_word(to, 59, 0x0100 | port->multiple);
	put_number(to, 60, 2, low);
	ahci_put_word(to, 85, port->cache_off ? 0x4001 : 0x4021);
	put_number(to, 100, 4, sectors);
	while (ATA_SECTOR << (exponent + 1) <= block->physical &&
	       exponent < 15)
		exponent++;
	if (exponent)
		ahci_put_word(to, 106, (uint16_t)(0x6000 | exponent));
	if (!block->readonly && block->can_discard) {
		ahci_put_word(to, 105, AHCI_BUFFER / ATA_SECTOR);
		ahci_put_word(to, 169, 1);
	}
	ahci_put_word(to, 255, 0x00a5);
	put_sum(to);
}

/* The directory, and what went wrong with queued commands (A.14). */
bool ahci_disk_read_log(struct ahci_request *r)
{
	struct ahci_port *port = r->port;
	uint8_t page = r->fis[4];
	unsigned int count = (unsigned int)r->fis[13] << 8 | r->fis[12];

	if (r->fis[2] == 0x2f)
		r->protocol = AHCI_PIO_IN;
	if (count != 1 || r->fis[5] || r->fis[9] ||
	    (page != LOG_DIRECTORY && page != LOG_QUEUED)) {
		r->protocol = AHCI_NO_DATA;
		return ahci_fail(r, ATA_ABRT);
	}
	memset(r->buffer, 0, ATA_SECTOR);
	if (page == LOG_DIRECTORY) {
		ahci_put_word(r->buffer, 0, 1);
		ahci_put_word(r->buffer, LOG_QUEUED, 1);
	} else {
		memcpy(r->buffer, port->log, sizeof(port->log));
		put_sum(r->buffer);
		port->ncq_error = false;
	}
	return ahci_answer(r, ATA_SECTOR);
}

bool ahci_disk_smart(struct ahci_request *r)
{
	if (r->fis[5] != 0x4f || r->fis[6] != 0xc2)
		return ahci_fail(r, ATA_ABRT);
	switch (r->fis[3]) {
	case 0xd0: /* attributes and their limits: none */
	case 0xd1:
		r->protocol = AHCI_PIO_IN;
		memset(r->buffer, 0, ATA_SECTOR);
		ahci_put_word(r->buffer, 0, 1);
		put_sum(r->buffer);
		return ahci_answer(r, ATA_SECTOR);
	case 0xd2: /* autosave */
	case 0xd8: /* on, off */
	case 0xd9:
	case 0xda: /* status: as the registers say, no limit is exceeded */
		return ahci_end(r);
	default:
		return ahci_fail(r, ATA_ABRT);
	}
}

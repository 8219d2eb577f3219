/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the controller and its namespace tell of themselves (5.15.2). Offsets
 * are those of the specification's figures 245, 247 and 249.
 */
#include "device/nvme_impl.h"

#include "vm/bytes.h"

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, value);
	put16(to + 2, value >> 16);
}

static void put64(uint8_t *to, uint64_t value)
{
	put32(to, (uint32_t)value);
	put32(to + 4, (uint32_t)(value >> 32));
}

static void put_text(uint8_t *to, const char *text, unsigned int size)
{
	unsigned int i = 0;

	for (; i < size && text[i]; i++)
		to[i] = (uint8_t)text[i];
	for (; i < size; i++)
		to[i] = ' ';
}

/* The subsystem's name: of the form that is made of a UUID (7.9). */
static void put_name(const struct nvme *nvme, uint8_t *to)
{
	static const char start[] = "nqn.2014-08.org.nvmexpress:uuid:";
	static const char digits[] = "0123456789abcdef";

	memcpy(to, start, sizeof(start) - 1);
	to += sizeof(start) - 1;
	for (unsigned int i = 0; i < sizeof(nvme->uuid); i++) {
		uint8_t byte = nvme->uuid[i];

		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		if (i == sizeof(nvme->uuid) - 1)
			byte ^= 1; /* another one than the namespace's */
		*to++ = (uint8_t)digits[byte >> 4];
		*to++ = (uint8_t)digits[byte & 15];
	}
}

static void controller(const struct nvme *nvme, uint8_t *to)
{
	put16(to, pci_get(&nvme->pci, PCI_VENDOR, 2));
	put16(to + 2, pci_get(&nvme->pci, PCI_SUBVENDOR, 2));
	put_text(to + 4, nvme->serial, 20);
	put_text(to + 24, "lodge NVMe disk", 40);
	put_text(to + 64, "1.0", 8);
	to[72] = 3; /* arbitration burst */
	to[77] = NVME_MDTS;
	put32(to + 80, NVME_VERSION);
	to[111] = 1; /* an I/O controller */
	to[258] = NVME_ABORTS - 1;
	to[259] = NVME_EVENTS - 1;
	to[260] = 0x03; /* one firmware slot, read-only */
	to[261] = 0x06; /* logs: effects of commands; offsets */
	to[262] = NVME_ERRORS - 1;
	put16(to + 266, NVME_TEMPERATURE_WARN);
	put16(to + 268, NVME_TEMPERATURE_MAX);
	to[512] = 0x66; /* commands of 64 bytes, completions of 16 */
	to[513] = 0x44;
	put32(to + 516, 1); /* namespaces */
	put16(to + 520, 0x001d); /* compare, dataset, zeroes, select */
	to[525] = 0x07; /* a write cache; flush takes all namespaces */
	put_name(nvme, to + 768);
	put16(to + 2048, 2500); /* power state 0: 25 W */
}

static void namespace(const struct nvme *nvme, uint8_t *to)
{
	const struct block *block = nvme->block;
	uint64_t sectors = block->size / NVME_SECTOR;
	uint32_t unit = block->physical / NVME_SECTOR;

	put64(to, sectors);
	put64(to + 8, sectors);
	put64(to + 16, sectors);
	to[24] = 0x10; /* what follows on best units holds */
	to[33] = 0x08; /* write zeroes may deallocate */
	put16(to + 64, unit - 1);
	put16(to + 66, unit - 1);
	put16(to + 68, unit - 1);
	put16(to + 70, unit - 1);
	to[99] = block->readonly;
	to[130] = 9; /* format 0: 512 bytes, no metadata */
}

static void descriptors(const struct nvme *nvme, uint8_t *to)
{
	to[0] = 3; /* a UUID */
	to[1] = sizeof(nvme->uuid);
	memcpy(to + 4, nvme->uuid, sizeof(nvme->uuid));
}

bool nvme_identify(struct nvme_request *r)
{
	uint32_t space = r->dw[1];
	bool ours = space == 1;

	memset(r->buffer, 0, sizeof(r->buffer));
	switch (r->dw[10] & 0xff) {
	case NVME_CNS_NAMESPACE:
		if (!ours)
			return nvme_end(r, NVME_INVALID_NAMESPACE);
		namespace(r->nvme, r->buffer);
		break;
	case NVME_CNS_CONTROLLER:
		controller(r->nvme, r->buffer);
		break;
	case NVME_CNS_ACTIVE:
		if (space >= UINT32_MAX - 1)
			return nvme_end(r, NVME_INVALID_NAMESPACE);
		if (!space)
			put32(r->buffer, 1);
		break;
	case NVME_CNS_DESCRIPTORS:
		if (!ours)
			return nvme_end(r, NVME_INVALID_NAMESPACE);
		descriptors(r->nvme, r->buffer);
		break;
	default:
		return nvme_end(r, NVME_INVALID_FIELD);
	}
	return nvme_answer(r, r->buffer, NVME_IDENTIFY);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log pages (5.14.1): errors, health, firmware slots, what commands do. The
 * temperature is a constant, wear and spare never change.
 */
#include "device/nvme_impl.h"

#include "vm/bytes.h"

#define HEALTH_SIZE   512u
#define FIRMWARE_SIZE 512u
#define EFFECTS_SIZE  4096u

#define EFFECT_SUPPORTED 0x1u
#define EFFECT_CONTENT	 0x2u /* logical blocks change */

#define HOUR_NS 3600000000000ull

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

static void put64(uint8_t *to, uint64_t value)
{
	for (unsigned int i = 0; i < 8; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

/* --- errors -------------------------------------------------------------------------- */

void nvme_log_error(struct nvme_request *r, uint32_t status)
{
	struct nvme *nvme = r->nvme;
	uint8_t *entry = nvme->errors;
	bool io = r->sq;

	memmove(entry + NVME_ERROR_ENTRY, entry,
		sizeof(nvme->errors) - NVME_ERROR_ENTRY);
	memset(entry, 0, NVME_ERROR_ENTRY);
	put64(entry, ++nvme->error_count);
	put16(entry + 8, r->sq);
	put16(entry + 10, r->dw[0] >> 16);
	put16(entry + 12, status << 1);
	put16(entry + 14, 0xffff); /* no parameter in particular */
	if (io)
		put64(entry + 16, r->dw[10] | (uint64_t)r->dw[11] << 32);
	put16(entry + 24, r->dw[1]);
	put16(entry + 26, r->dw[1] >> 16);
}

/* --- health -------------------------------------------------------------------------- */

uint8_t nvme_warnings(const struct nvme *nvme)
{
	uint32_t limits = nvme->feature[NVME_F_TEMPERATURE];
	uint8_t bits = 0;

	if (NVME_TEMPERATURE >= (limits & 0xffff) ||
	    NVME_TEMPERATURE <= limits >> 16)
		bits |= NVME_WARN_TEMPERATURE;
	if (nvme->block->readonly)
		bits |= NVME_WARN_READ_ONLY;
	return bits;
}

/* In thousands of sectors, rounded up (figure 194). */
static uint64_t units(uint64_t sectors)
{
	return (sectors + 999) / 1000;
}

static void health(const struct nvme *nvme, uint8_t *to)
{
	to[0] = nvme_warnings(nvme);
	put16(to + 1, NVME_TEMPERATURE);
	to[3] = 100; /* spare, percent */
	to[4] = 10;
	put64(to + 32, units(nvme->sectors_read));
	put64(to + 48, units(nvme->sectors_written));
	put64(to + 64, nvme->reads);
	put64(to + 80, nvme->writes);
	put64(to + 112, 1); /* power cycles */
	put64(to + 128, clock_now(&nvme->vm->clock) / HOUR_NS);
	put64(to + 160, nvme->media_errors);
	put64(to + 176, nvme->error_count);
}

/* --- the others --------------------------------------------------------------------------- */

/* One slot, read-only; its revision as in the controller's identity. */
static void firmware(uint8_t *to)
{
	to[0] = 1;
	memcpy(to + 8, "1.0     ", 8);
}

static void effects(uint8_t *to)
{
	static const uint8_t admin[] = {
		NVME_DELETE_SQ, NVME_CREATE_SQ, NVME_GET_LOG, NVME_DELETE_CQ,
		NVME_CREATE_CQ, NVME_IDENTIFY_OP, NVME_ABORT,
		NVME_SET_FEATURES, NVME_GET_FEATURES, NVME_ASYNC_EVENT,
	};
	static const uint8_t reads[] = { NVME_FLUSH, NVME_READ, NVME_COMPARE };
	static const uint8_t writes[] = { NVME_WRITE, NVME_WRITE_ZEROES,
					  NVME_DATASET };
	uint8_t *io = to + 1024;

	for (unsigned int i = 0; i < sizeof(admin); i++)
		to[4 * admin[i]] = EFFECT_SUPPORTED;
	for (unsigned int i = 0; i < sizeof(reads); i++)
		io[4 * reads[i]] = EFFECT_SUPPORTED;
	for (unsigned int i = 0; i < sizeof(writes); i++)
		io[4 * writes[i]] = EFFECT_SUPPORTED | EFFECT_CONTENT;
}

/* Fills `to` (of EFFECTS_SIZE, zeroed); the page's size, 0: none such. */
static uint32_t fill(const struct nvme *nvme, uint8_t page, uint8_t *to)
{
	switch (page) {
	case NVME_LOG_ERROR:
		memcpy(to, nvme->errors, sizeof(nvme->errors));
		return sizeof(nvme->errors);
	case NVME_LOG_HEALTH:
		health(nvme, to);
		return HEALTH_SIZE;
	case NVME_LOG_FIRMWARE:
		firmware(to);
		return FIRMWARE_SIZE;
	case NVME_LOG_EFFECTS:
		effects(to);
		return EFFECTS_SIZE;
	}
	return 0;
}

bool nvme_get_log(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;
	uint64_t wanted = (((uint64_t)(r->dw[11] & 0xffff) << 16 |
			    r->dw[10] >> 16) + 1) * 4;
	uint64_t offset = r->dw[12] | (uint64_t)r->dw[13] << 32;
	uint8_t page = (uint8_t)r->dw[10];
	uint32_t size;

	memset(r->buffer, 0, sizeof(r->buffer));
	size = fill(nvme, page, r->buffer);
	if (!size)
		return nvme_end(r, NVME_LOG_PAGE);
	if ((offset & 3) || offset > size ||
	    (page == NVME_LOG_HEALTH && r->dw[1] && r->dw[1] != UINT32_MAX))
		return nvme_end(r, NVME_INVALID_FIELD);
	if (!(r->dw[10] & NVME_LOG_RETAIN) && page == NVME_LOG_ERROR)
		nvme_event_unmask(nvme, NVME_EVENT_ERROR);
	if (!(r->dw[10] & NVME_LOG_RETAIN) && page == NVME_LOG_HEALTH)
		nvme_event_unmask(nvme, NVME_EVENT_HEALTH);
	if (wanted > size - offset)
		wanted = size - offset;
	return nvme_answer(r, r->buffer + offset, (uint32_t)wanted);
}

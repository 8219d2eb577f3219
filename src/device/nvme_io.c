/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVM commands (6): read, write, flush, compare, write zeroes, deallocate.
 * Left out: write uncorrectable, verify, reservations, fused commands,
 * protection information (the namespace has no metadata).
 */
#include "device/nvme_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

static uint64_t first_block(const struct nvme_request *r)
{
	return r->dw[10] | (uint64_t)r->dw[11] << 32;
}

static bool in_range(const struct nvme *nvme, uint64_t first, uint64_t count)
{
	uint64_t all = nvme->block->size / NVME_SECTOR;

	return first <= all && count <= all - first;
}

/* Whether what is written has to be durable when the command ends. */
static bool write_through(const struct nvme_request *r)
{
	return (r->dw[12] & NVME_IO_FUA) ||
	       !(r->nvme->feature[NVME_F_CACHE] & 1);
}

/* The range of dwords 10 to 12, checked; a status. */
static uint32_t set_range(struct nvme_request *r, enum block_op op)
{
	uint64_t first = first_block(r), count = (r->dw[12] & 0xffff) + 1;

	if (!in_range(r->nvme, first, count))
		return NVME_LBA_RANGE;
	if (op != BLOCK_READ && r->nvme->block->readonly)
		return NVME_WRITE_PROTECTED;
	r->io.op = op;
	r->io.offset = first * NVME_SECTOR;
	r->io.length = count * NVME_SECTOR;
	return NVME_OK;
}

/* --- beginning -------------------------------------------------------------------- */

static uint32_t start_access(struct nvme_request *r, bool write)
{
	uint32_t status = set_range(r, write ? BLOCK_WRITE : BLOCK_READ);

	if (!status && r->io.length > NVME_DATA_MAX)
		status = NVME_INVALID_FIELD;
	if (!status)
		status = nvme_map(r, (uint32_t)r->io.length, !write);
	r->io.span = r->span;
	r->io.spans = r->spans;
	r->then_flush = write && write_through(r);
	return status;
}

/* What the block holds is read into memory of ours. */
static uint32_t start_compare(struct nvme_request *r)
{
	uint32_t status = set_range(r, BLOCK_READ);

	if (!status && r->io.length > NVME_DATA_MAX)
		status = NVME_INVALID_FIELD;
	if (!status)
		status = nvme_map(r, (uint32_t)r->io.length, false);
	if (status)
		return status;
	r->bounce = host_alloc(r->io.length);
	if (!r->bounce)
		return NVME_INTERNAL;
	r->bounce_span = (struct span){ r->bounce, r->io.length };
	r->io.span = &r->bounce_span;
	r->io.spans = 1;
	return NVME_OK;
}

static uint32_t start_zeroes(struct nvme_request *r)
{
	r->io.may_unmap = r->dw[12] & NVME_IO_DEALLOCATE;
	r->then_flush = write_through(r);
	return set_range(r, BLOCK_ZERO);
}

/* The next range to deallocate; false: the command has ended. */
static bool next_range(struct nvme_request *r)
{
	while (r->range < r->ranges) {
		const uint8_t *entry = r->buffer + r->range++ * NVME_RANGE;
		uint32_t count;
		uint64_t first;

		memcpy(&count, entry + 4, sizeof(count));
		memcpy(&first, entry + 8, sizeof(first));
		if (!in_range(r->nvme, first, count))
			return nvme_end(r, NVME_LBA_RANGE);
		if (!count || !r->nvme->block->can_discard)
			continue;
		r->io.op = BLOCK_DISCARD;
		r->io.offset = first * NVME_SECTOR;
		r->io.length = (uint64_t)count * NVME_SECTOR;
		return true;
	}
	return nvme_end(r, NVME_OK);
}

/* Attributes other than "deallocate" are hints that we do not use. */
static bool start_dataset(struct nvme_request *r)
{
	unsigned int ranges = (r->dw[10] & 0xff) + 1;
	uint32_t status;

	if (!(r->dw[11] & NVME_DATASET_DEALLOCATE))
		return nvme_end(r, NVME_OK);
	if (r->nvme->block->readonly)
		return nvme_end(r, NVME_WRITE_PROTECTED);
	status = nvme_map(r, ranges * NVME_RANGE, false);
	if (status)
		return nvme_end(r, status);
	nvme_copy_in(r, r->buffer, ranges * NVME_RANGE);
	r->range = 0;
	r->ranges = ranges;
	return next_range(r);
}

static uint32_t start(struct nvme_request *r)
{
	switch (r->dw[0] & 0xff) {
	case NVME_FLUSH:
		r->io.op = BLOCK_FLUSH;
		return NVME_OK;
	case NVME_WRITE:
		return start_access(r, true);
	case NVME_READ:
		return start_access(r, false);
	case NVME_COMPARE:
		return start_compare(r);
	case NVME_WRITE_ZEROES:
		return start_zeroes(r);
	default:
		return NVME_INVALID_OPCODE;
	}
}

bool nvme_io(struct nvme_request *r)
{
	uint8_t op = (uint8_t)r->dw[0];
	uint32_t status;

	if (r->dw[0] & 0xff00) /* fused, SGL, reserved */
		return nvme_end(r, NVME_INVALID_FIELD);
	if (r->dw[1] != 1 && !(op == NVME_FLUSH && r->dw[1] == UINT32_MAX))
		return nvme_end(r, NVME_INVALID_NAMESPACE);
	if (op == NVME_DATASET)
		return start_dataset(r);
	status = start(r);
	return status ? nvme_end(r, status) : true;
}

/* --- ending -------------------------------------------------------------------------- */

static uint32_t status_of(struct nvme_request *r)
{
	if (r->io.error == -VM_ENOSPC)
		return NVME_CAPACITY;
	r->nvme->media_errors++;
	return r->io.op == BLOCK_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
}

static bool same(const struct nvme_request *r)
{
	const uint8_t *at = r->bounce;

	for (unsigned int i = 0; i < r->spans; i++) {
		if (memcmp(at, r->span[i].data, r->span[i].size))
			return false;
		at += r->span[i].size;
	}
	return true;
}

/* For the health log. */
static void count(struct nvme_request *r)
{
	struct nvme *nvme = r->nvme;
	uint64_t sectors = r->io.length / NVME_SECTOR;

	if (r->io.op == BLOCK_READ) {
		nvme->reads++;
		nvme->sectors_read += sectors;
	} else if (r->io.op == BLOCK_WRITE) {
		nvme->writes++;
		nvme->sectors_written += sectors;
	}
}

bool nvme_io_step(struct nvme_request *r)
{
	if (r->io.error && r->io.op != BLOCK_DISCARD)
		return nvme_end(r, status_of(r));
	count(r);
	if (r->io.op == BLOCK_DISCARD)
		return next_range(r);
	if (r->bounce)
		return nvme_end(r, same(r) ? NVME_OK : NVME_COMPARE_FAILED);
	if (r->then_flush) {
		r->then_flush = false;
		r->io.op = BLOCK_FLUSH;
		return true;
	}
	return nvme_end(r, NVME_OK);
}

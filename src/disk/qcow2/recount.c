/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a qcow2 image: its refcounts, compared and mended. Where blocks
 * are missing or bad the whole table is made anew behind the file's end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/check.h"
#include "disk/zeros.h"

static uint64_t per_block(const struct qcow2_checker *c)
{
	return 1ull << c->q->ref_bits;
}

static uint64_t count_max(const struct qcow2_checker *c)
{
	unsigned int width = 1u << c->q->header.refcount_order;

	return width == 64 ? UINT64_MAX : (1ull << width) - 1;
}

static uint64_t found(struct qcow2_checker *c, uint64_t cluster)
{
	const uint32_t *record = qcow2_record(c, cluster, false);

	return record ? *record & QCOW2_FOUND_MAX : 0;
}

static int load_block(struct qcow2_checker *c, uint64_t at)
{
	int error = 0;

	if (at != c->block_at)
		error = qcow2_read_padded(c->file, at, c->block,
					  c->q->cluster_size);
	c->block_at = error ? 0 : at;
	return error;
}

int qcow2_count_in_file(struct qcow2_checker *c, uint64_t cluster,
			uint64_t *count)
{
	uint64_t index = cluster >> c->q->ref_bits;
	int error;

	*count = 0;
	if (index >= c->reftable_entries || !c->reftable[index])
		return 0;
	error = load_block(c, c->reftable[index]);
	if (!error)
		*count = qcow2_count_get(c->block, c->q->header.refcount_order,
					 cluster & (per_block(c) - 1));
	return error;
}

int qcow2_check_reftable(struct qcow2_checker *c)
{
	struct qcow2 *q = c->q;
	uint64_t size = (uint64_t)q->header.reftable_clusters
			<< q->header.cluster_bits;
	struct qcow2_table table;
	int error = qcow2_refer(c, q->header.reftable_at, size, QCOW2_IS_TABLE,
				1, "the refcount table");

	c->rebuild = error == -EUCLEAN;
	if (error)
		return error == -EUCLEAN ? 0 : error;
	error = qcow2_table_load(&table, c->file, q->header.reftable_at,
				 (uint32_t)(size / 8));
	if (error)
		return error;
	for (uint32_t i = 0; i < table.entries && !error; i++) {
		uint64_t at = table.entry[i];

		if (!at)
			continue;
		if (at & (q->cluster_size - 1)) {
			qcow2_say(c, &c->result->corruptions, "a refcount "
				  "table entry of %#" PRIx64 " makes no sense",
				  at);
			error = -EUCLEAN;
		} else {
			error = qcow2_refer(c, at, q->cluster_size,
					    QCOW2_IS_TABLE, 1,
					    "a refcount block");
		}
		if (error != -EUCLEAN)
			continue;
		error = 0;
		table.entry[i] = 0;
		c->rebuild = true;
		c->result->corruptions_fixed += c->repair;
	}
	c->reftable = table.entry;
	c->reftable_entries = table.entries;
	free(table.dirty);
	return error;
}

/* --- comparing -------------------------------------------------------------- */

/* Tells of one count that is not what was found. */
static void say_wrong(struct qcow2_checker *c, uint64_t cluster, uint64_t has,
		      uint64_t wants)
{
	struct disk_check *r = c->result;
	bool leak = has > wants;

	qcow2_say(c, leak ? &r->leaks : &r->corruptions, "cluster %" PRIu64
		  " has %" PRIu64 " references and a count of %" PRIu64,
		  cluster, wants, has);
	if (c->repair && wants <= count_max(c))
		(*(leak ? &r->leaks_fixed : &r->corruptions_fixed))++;
}

/* How many counts of the block that is loaded may be other than they should:
 * those behind the file's end are zeros, mostly. */
static uint64_t counts_to_compare(struct qcow2_checker *c, uint64_t first)
{
	unsigned int order = c->q->header.refcount_order;
	uint64_t count = c->clusters > first ? c->clusters - first : 0;
	uint64_t bytes;

	if (count >= per_block(c))
		return per_block(c);
	bytes = ((count << order) + 7) / 8;
	return disk_all_zeros(c->block + bytes, c->q->cluster_size - bytes)
		       ? bytes * 8 >> order
		       : per_block(c);
}

/* The block in memory, and what it should be when mending. */
static int compare_block(struct qcow2_checker *c, uint64_t index)
{
	unsigned int order = c->q->header.refcount_order;
	uint64_t first = index << c->q->ref_bits;
	bool changed = false;
	int error = load_block(c, c->reftable[index]);
	uint64_t count = error ? 0 : counts_to_compare(c, first);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t has = qcow2_count_get(c->block, order, i);
		uint64_t wants = found(c, first + i);

		if (has == wants)
			continue;
		say_wrong(c, first + i, has, wants);
		if (!c->repair || wants > count_max(c))
			continue;
		qcow2_count_put(c->block, order, i, wants);
		changed = true;
	}
	if (!error && changed && !c->rebuild)
		error = disk_write_bytes(c->file, c->reftable[index], c->block,
					 c->q->cluster_size);
	return error;
}

/* Clusters that no block counts. */
static void compare_uncounted(struct qcow2_checker *c, uint64_t index)
{
	uint64_t first = index << c->q->ref_bits;

	for (uint64_t i = 0; i < per_block(c) && first + i < c->clusters;
	     i++) {
		if (!found(c, first + i))
			continue;
		say_wrong(c, first + i, 0, found(c, first + i));
		c->rebuild = true;
	}
}

/* --- anew ------------------------------------------------------------------- */

/* The old table and its blocks are no more. */
static void forget_old(struct qcow2_checker *c)
{
	struct qcow2 *q = c->q;
	uint64_t first = q->header.reftable_at >> q->header.cluster_bits;
	uint32_t *record;

	for (uint64_t i = 0; i < c->reftable_entries; i++) {
		if (!c->reftable[i])
			continue;
		record = qcow2_record(c, c->reftable[i] >>
						 q->header.cluster_bits,
				      false);
		if (record)
			*record = 0;
	}
	/* Without entries it was not counted: something else is there. */
	for (uint32_t i = 0; c->reftable_entries &&
			     i < q->header.reftable_clusters; i++) {
		record = qcow2_record(c, first + i, false);
		if (record)
			*record = 0;
	}
}

static bool block_needed(struct qcow2_checker *c, uint64_t index,
			 uint64_t from, uint64_t end)
{
	uint64_t first = index << c->q->ref_bits;

	if (first < end && first + per_block(c) > from)
		return true;
	for (uint64_t i = 0; i < per_block(c) && first + i < c->clusters; i++)
		if (found(c, first + i))
			return true;
	return false;
}

/* How many blocks it takes to count what was found and [from, end). */
static uint64_t blocks_needed(struct qcow2_checker *c, uint64_t from,
			      uint64_t end)
{
	uint64_t blocks = 0;

	for (uint64_t i = 0; i <= (end - 1) >> c->q->ref_bits; i++)
		blocks += block_needed(c, i, from, end);
	return blocks;
}

static int write_new(struct qcow2_checker *c, uint64_t from, uint64_t table,
		     uint64_t end)
{
	struct qcow2 *q = c->q;
	unsigned int bits = q->header.cluster_bits;
	unsigned int order = q->header.refcount_order;
	uint64_t next = from, *entry = calloc(table, q->cluster_size);
	uint64_t at = (end - table) << bits;
	int error = entry ? 0 : -ENOMEM;

	c->block_at = 0;
	for (uint64_t i = 0; i <= (end - 1) >> q->ref_bits && !error; i++) {
		uint64_t first = i << q->ref_bits;

		if (!block_needed(c, i, from, end))
			continue;
		memset(c->block, 0, q->cluster_size);
		for (uint64_t j = 0; j < per_block(c); j++) {
			uint64_t cluster = first + j, n = found(c, cluster);

			if (cluster >= from && cluster < end)
				n = 1;
			qcow2_count_put(c->block, order, j, n);
		}
		entry[i] = htobe64(next << bits);
		error = disk_write_bytes(c->file, next++ << bits, c->block,
					 q->cluster_size);
	}
	if (!error)
		error = disk_write_bytes(c->file, at, entry, table << bits);
	if (!error)
		error = disk_flush(c->file);
	if (!error) {
		q->header.reftable_at = at;
		q->header.reftable_clusters = (uint32_t)table;
		error = qcow2_header_store(q);
	}
	for (uint64_t i = 0; entry && i < table << bits >> 3; i++)
		entry[i] = be64toh(entry[i]);
	free(c->reftable);
	c->reftable = entry;
	c->reftable_entries = entry ? table << bits >> 3 : 0;
	return error;
}

static int make_new(struct qcow2_checker *c)
{
	unsigned int bits = c->q->header.cluster_bits;
	uint64_t from = c->clusters, end = from + 2, table = 1, before;

	forget_old(c);
	do {
		before = end;
		end = from + blocks_needed(c, from, end) + table;
		table = qcow2_round_up((((end - 1) >> c->q->ref_bits) + 1) * 8,
				       c->q->cluster_size) >> bits;
	} while (end != before);
	if (table << bits > QCOW2_REFTABLE_MAX)
		return -EFBIG;
	return write_new(c, from, table, end);
}

int qcow2_check_counts(struct qcow2_checker *c)
{
	uint64_t blocks = ((c->clusters - 1) >> c->q->ref_bits) + 1;
	int error = 0;

	if (blocks < c->reftable_entries)
		blocks = c->reftable_entries;
	for (uint64_t i = 0; i < blocks && !error; i++) {
		if (i < c->reftable_entries && c->reftable[i])
			error = compare_block(c, i);
		else
			compare_uncounted(c, i);
	}
	if (!error && c->repair && c->rebuild)
		error = make_new(c);
	c->block_at = 0;
	return error;
}

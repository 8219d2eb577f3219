/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a qcow2 image: what refers to what; see check.h.
 */
#include "disk/qcow2/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART	   512u		 /* records */
#define PARTS_MAX  (1ull << 27)
#define MEMORY_MAX (1ull << 30)	 /* for records */
#define LINES_MAX  200u

void qcow2_say(struct qcow2_checker *c, uint64_t *count, const char *format,
	       ...)
{
	char line[200];
	va_list args;

	++*count;
	if (!c->result->say || c->lines > LINES_MAX)
		return;
	if (c->lines++ == LINES_MAX) {
		c->result->say(c->result->ctx, "... and more");
		return;
	}
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	c->result->say(c->result->ctx, line);
}

/* --- records ---------------------------------------------------------------- */

uint32_t *qcow2_record(struct qcow2_checker *c, uint64_t cluster, bool make)
{
	uint64_t index = cluster / PART;

	if (index >= c->parts)
		return NULL;
	if (!c->part[index]) {
		if (!make || c->memory >= MEMORY_MAX)
			return NULL;
		c->part[index] = calloc(PART, sizeof(uint32_t));
		c->memory += PART * sizeof(uint32_t);
	}
	return c->part[index] ? &c->part[index][cluster % PART] : NULL;
}

/* Whether a cluster can be of this kind besides what it is. */
static bool goes_with(uint32_t record, uint32_t kind)
{
	if (!(record & QCOW2_FOUND_MAX))
		return true;
	if (kind == QCOW2_IS_TABLE)
		return false;
	return record & kind;
}

int qcow2_refer(struct qcow2_checker *c, uint64_t at, uint64_t length,
		uint32_t kind, uint32_t times, const char *what)
{
	unsigned int bits = c->q->header.cluster_bits;
	uint64_t first = at >> bits, last = (at + length - 1) >> bits;
	uint32_t *record;

	if (!length)
		return 0;
	if (last >= c->clusters || last < first) {
		qcow2_say(c, &c->result->corruptions, "%s at %#" PRIx64
			  " lies behind the file's end", what, at);
		return -EUCLEAN;
	}
	for (uint64_t i = first; i <= last; i++) {
		record = qcow2_record(c, i, true);
		if (!record)
			return -ENOMEM;
		if (goes_with(*record, kind))
			continue;
		qcow2_say(c, &c->result->corruptions, "%s at %#" PRIx64
			  " overlaps something else", what, at);
		return -EUCLEAN;
	}
	for (uint64_t i = first; i <= last; i++) {
		record = qcow2_record(c, i, true);
		if ((*record & QCOW2_FOUND_MAX) + (uint64_t)times <=
		    QCOW2_FOUND_MAX)
			*record += times;
		*record |= kind;
	}
	return 0;
}

static bool aligned(const struct qcow2_checker *c, uint64_t at)
{
	return !(at & (c->q->cluster_size - 1));
}

/* What cannot be mended so far is told; 0 goes on. */
static int unless_damaged(int result)
{
	return result == -EUCLEAN ? 0 : result;
}

/* --- entries of L2 tables --------------------------------------------------- */

/* One entry of an L2 table with `times` references to it. */
static int check_entry(struct qcow2_checker *c, struct qcow2_entry entry,
		       uint32_t times)
{
	struct qcow2 *q = c->q;
	uint64_t at = entry.desc & QCOW2_OFFSET;
	uint32_t size;

	if (entry.desc & QCOW2_COMPRESSED) {
		qcow2_packed_place(q, entry.desc, &at, &size);
		if (q->external) {
			qcow2_say(c, &c->result->corruptions, "a compressed "
				  "cluster beside a data file");
			return -EUCLEAN;
		}
		return qcow2_refer(c, at, size, QCOW2_IS_DATA, times,
				   "a compressed cluster");
	}
	if (!aligned(c, at) ||
	    (entry.bits & entry.bits >> 32 & UINT32_MAX) ||
	    (q->header.version < 3 && entry.desc & QCOW2_ZERO)) {
		qcow2_say(c, &c->result->corruptions, "an L2 entry of %#" PRIx64
			  " makes no sense", entry.desc);
		return -EUCLEAN;
	}
	if (!at || q->external)
		return 0;
	return qcow2_refer(c, at, q->cluster_size, QCOW2_IS_DATA, times,
			   "a cluster");
}

static struct qcow2_entry entry_at(const struct qcow2 *q, const uint8_t *l2,
				   uint32_t index)
{
	const struct qcow2_slice whole = { .bytes = (uint8_t *)l2 };

	return qcow2_entry_get(q, &whole, index);
}

static int check_l2(struct qcow2_checker *c, uint64_t at, uint8_t *l2,
		    uint32_t times)
{
	struct qcow2 *q = c->q;
	uint32_t entries = 1u << q->l2_bits;
	bool changed = false;
	int error = qcow2_read_padded(c->file, at, l2, q->cluster_size);

	for (uint32_t i = 0; i < entries && !error; i++) {
		struct qcow2_entry entry = entry_at(q, l2, i);

		if (!entry.desc)
			continue;
		error = check_entry(c, entry, times);
		if (error != -EUCLEAN)
			continue;
		error = 0;
		if (c->repair) {
			memset(l2 + (size_t)i * q->entry_size, 0,
			       q->entry_size);
			changed = true;
			c->result->corruptions_fixed++;
		}
	}
	if (!error && changed)
		error = disk_write_bytes(c->file, at, l2, q->cluster_size);
	return error;
}

/* --- trees ------------------------------------------------------------------ */

/* Counts an L1 table's L2 tables; those that cannot be go, when mending. */
static int check_l1(struct qcow2_checker *c, struct qcow2_table *l1)
{
	int error = 0;

	for (uint32_t i = 0; i < l1->entries && !error; i++) {
		uint64_t at = l1->entry[i] & QCOW2_OFFSET, zero = 0;

		if (!at)
			continue;
		if (aligned(c, at)) {
			error = qcow2_refer(c, at, c->q->cluster_size,
					    QCOW2_IS_L2, 1, "an L2 table");
		} else {
			qcow2_say(c, &c->result->corruptions, "an L1 entry of "
				  "%#" PRIx64 " makes no sense", at);
			error = -EUCLEAN;
		}
		if (error != -EUCLEAN)
			continue;
		error = 0;
		l1->entry[i] = 0;
		if (c->repair) {
			error = disk_write_bytes(c->file, l1->at + i * 8ull,
						 &zero, 8);
			c->result->corruptions_fixed++;
		}
	}
	return error;
}

/* Counts what an L1 table's L2 tables refer to, each once. */
static int check_l2s(struct qcow2_checker *c, const struct qcow2_table *l1)
{
	uint8_t *l2 = malloc(c->q->cluster_size);
	int error = l2 ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < l1->entries && !error; i++) {
		uint64_t at = l1->entry[i] & QCOW2_OFFSET;
		uint32_t *record;

		if (!at)
			continue;
		record = qcow2_record(c, at >> c->q->header.cluster_bits,
				      false);
		if (!record || *record & QCOW2_L2_DONE)
			continue;
		*record |= QCOW2_L2_DONE;
		error = check_l2(c, at, l2, *record & QCOW2_FOUND_MAX);
	}
	free(l2);
	return error;
}

/* --- flags ------------------------------------------------------------------ */

/* Whether "copied" is as the refcount wants it; else told. */
static int check_copied(struct qcow2_checker *c, uint64_t entry, uint64_t at,
			bool *right)
{
	bool flag = entry & QCOW2_COPIED;
	uint64_t count;
	int error = qcow2_count_in_file(c, at >> c->q->header.cluster_bits,
					&count);

	*right = error || flag == (count == 1);
	if (*right)
		return error;
	if (flag)
		qcow2_say(c, &c->result->corruptions, "the entry %#" PRIx64
			  " is marked as its cluster's only one, of %" PRIu64,
			  entry, count);
	else
		qcow2_say(c, &c->result->leaks, "the entry %#" PRIx64
			  " is not marked as its cluster's only one", entry);
	if (c->repair && flag)
		c->result->corruptions_fixed++;
	else if (c->repair)
		c->result->leaks_fixed++;
	return 0;
}

static int check_l2_flags(struct qcow2_checker *c, uint64_t at, uint8_t *l2)
{
	struct qcow2 *q = c->q;
	uint32_t entries = 1u << q->l2_bits;
	bool changed = false, right;
	int error = qcow2_read_padded(c->file, at, l2, q->cluster_size);

	for (uint32_t i = 0; i < entries && !error; i++) {
		struct qcow2_entry entry = entry_at(q, l2, i);
		uint64_t place = entry.desc & QCOW2_OFFSET;

		c->result->compressed += !!(entry.desc & QCOW2_COMPRESSED);
		if (entry.desc & QCOW2_COMPRESSED || place)
			c->result->allocated++;
		if (entry.desc & QCOW2_COMPRESSED || !place || q->external ||
		    !aligned(c, place))
			continue;
		error = check_copied(c, entry.desc, place, &right);
		if (error || right || !c->repair)
			continue;
		put_be64(l2 + (size_t)i * q->entry_size,
			 entry.desc ^ QCOW2_COPIED);
		changed = true;
	}
	if (!error && changed)
		error = disk_write_bytes(c->file, at, l2, q->cluster_size);
	return error;
}

/* The flags of the disk's own tables, and its figures. */
static int check_flags(struct qcow2_checker *c, struct qcow2_table *l1)
{
	uint8_t *l2 = malloc(c->q->cluster_size);
	int error = l2 ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < l1->entries && !error; i++) {
		uint64_t at = l1->entry[i] & QCOW2_OFFSET, fixed;
		uint32_t *record;
		bool right;

		if (!at)
			continue;
		error = check_copied(c, l1->entry[i], at, &right);
		if (!error && !right && c->repair) {
			fixed = htobe64(l1->entry[i] ^ QCOW2_COPIED);
			error = disk_write_bytes(c->file, l1->at + i * 8ull,
						 &fixed, 8);
		}
		record = qcow2_record(c, at >> c->q->header.cluster_bits,
				      false);
		if (error || !record || *record & QCOW2_L2_SEEN)
			continue;
		*record |= QCOW2_L2_SEEN;
		error = check_l2_flags(c, at, l2);
	}
	free(l2);
	return error;
}

/* --- the whole -------------------------------------------------------------- */

/* The L1 tables of the disk and of its snapshots: [0] is the disk's. */
struct trees {
	struct qcow2_table *l1;
	unsigned int count;
};

static int load_tree(struct qcow2_checker *c, struct qcow2_table *l1,
		     uint64_t at, uint32_t entries, const char *what)
{
	int error;

	if (!aligned(c, at) || entries > QCOW2_L1_MAX / 8) {
		qcow2_say(c, &c->result->corruptions, "%s at %#" PRIx64
			  " makes no sense", what, at);
		return 0;
	}
	error = qcow2_refer(c, at, entries * 8ull, QCOW2_IS_TABLE, 1, what);
	if (!error)
		error = qcow2_table_load(l1, c->file, at, entries);
	return unless_damaged(error);
}

static int load_trees(struct qcow2_checker *c, struct trees *trees)
{
	struct qcow2 *q = c->q;
	unsigned int snapshots = q->header.snapshot_count;
	int error;

	trees->count = snapshots + 1;
	trees->l1 = calloc(trees->count, sizeof(*trees->l1));
	if (!trees->l1)
		return -ENOMEM;
	error = load_tree(c, &trees->l1[0], q->header.l1_at,
			  q->header.l1_entries, "the L1 table");
	for (unsigned int i = 0; i < snapshots && !error; i++)
		error = load_tree(c, &trees->l1[i + 1], q->snapshots[i].l1_at,
				  q->snapshots[i].l1_entries,
				  "a snapshot's L1 table");
	return error;
}

static int check_trees(struct qcow2_checker *c, struct trees *trees)
{
	int error = 0;

	for (unsigned int i = 0; i < trees->count && !error; i++)
		error = check_l1(c, &trees->l1[i]);
	for (unsigned int i = 0; i < trees->count && !error; i++)
		error = check_l2s(c, &trees->l1[i]);
	return error;
}

static int check_all(struct qcow2_checker *c, struct trees *trees)
{
	struct qcow2 *q = c->q;
	int error = qcow2_refer(c, 0, q->cluster_size, QCOW2_IS_TABLE, 1,
				"the header");

	if (!error)
		error = load_trees(c, trees);
	if (!error)
		error = unless_damaged(
			qcow2_refer(c, q->header.snapshots_at,
				    qcow2_snapshots_size(q), QCOW2_IS_TABLE, 1,
				    "the table of snapshots"));
	if (!error)
		error = unless_damaged(
			qcow2_refer(c, q->crypt_at, q->crypt_size,
				    QCOW2_IS_TABLE, 1, "the LUKS header"));
	if (!error)
		error = qcow2_bitmaps_check(c);
	if (!error)
		error = qcow2_check_reftable(c);
	if (!error)
		error = check_trees(c, trees);
	if (!error && c->repair)
		error = disk_flush(c->file);
	if (!error)
		error = qcow2_check_counts(c);
	if (!error)
		error = check_flags(c, &trees->l1[0]);
	return error;
}

static int make_records(struct qcow2_checker *c)
{
	c->clusters = qcow2_round_up(c->file->size, c->q->cluster_size) >>
		      c->q->header.cluster_bits;
	c->parts = c->clusters / PART + 1;
	if (c->parts > PARTS_MAX)
		return -EFBIG;
	c->part = calloc(c->parts, sizeof(*c->part));
	c->block = malloc(c->q->cluster_size);
	return c->part && c->block ? 0 : -ENOMEM;
}

static void free_checker(struct qcow2_checker *c, struct trees *trees)
{
	for (unsigned int i = 0; trees->l1 && i < trees->count; i++)
		qcow2_table_free(&trees->l1[i]);
	free(trees->l1);
	for (uint64_t i = 0; c->part && i < c->parts; i++)
		free(c->part[i]);
	free(c->part);
	free(c->block);
	free(c->reftable);
}

/* The image is sound again: its marks go, and it is loaded anew. */
static int finish_repair(struct qcow2_checker *c)
{
	struct qcow2 *q = c->q;
	struct disk_check *r = c->result;
	int error;

	pthread_mutex_lock(&q->lock);
	if (r->corruptions <= r->corruptions_fixed)
		q->header.incompatible &= ~(QCOW2_DIRTY | QCOW2_CORRUPT);
	error = disk_flush(c->file);
	if (!error)
		error = qcow2_header_store(q);
	if (!error)
		error = qcow2_reload(q);
	pthread_mutex_unlock(&q->lock);
	return error;
}

static int check_held(struct qcow2 *q, bool repair, struct disk_check *check)
{
	struct qcow2_checker c = { .q = q, .file = q->node.file,
				   .result = check, .repair = repair };
	struct trees trees = { 0 };
	int error = 0;

	if (!q->node.readonly && !q->corrupt)
		error = qcow2_settle(q);
	check->clusters = (q->node.size + q->cluster_size - 1) >>
			  q->header.cluster_bits;
	if (!error)
		error = make_records(&c);
	if (!error)
		error = check_all(&c, &trees);
	if (!error && repair)
		error = finish_repair(&c);
	free_checker(&c, &trees);
	return error;
}

int qcow2_check(struct disk_node *node, bool repair, struct disk_check *check,
		struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	int result;

	pthread_mutex_lock(&q->flushing);
	result = check_held(q, repair, check);
	pthread_mutex_unlock(&q->flushing);
	if (result == -EFBIG || result == -ENOMEM)
		return disk_error_set(error, result, "needs more memory for "
				      "the check than it may take");
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

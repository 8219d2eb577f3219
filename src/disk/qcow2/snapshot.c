/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internal snapshots of qcow2 images. A snapshot is an L1 table of its own;
 * what it shares with the disk is counted twice, and not marked as copied.
 *
 * Every change is one store of the header. Before it, counts are raised and
 * tables written; behind it, counts are lowered and flags set. So a loss of
 * power leaves clusters that are counted too often, or whose only entry is
 * not marked as such: room, no data.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk/qcow2/qcow2.h"

#define RECORD	  40u /* bytes of a record's fixed part */
#define EXTRA	  16u /* of the extra part that is known */
#define EXTRA_MAX 1024u
#define TABLE_MAX (64u << 20)

/* --- the table -------------------------------------------------------------- */

static uint64_t record_size(const struct qcow2_snapshot *s)
{
	return qcow2_round_up(RECORD + s->extra_size + s->id_size +
				      s->name_size, 8);
}

uint64_t qcow2_snapshots_size(const struct qcow2 *q)
{
	uint64_t size = 0;

	for (uint32_t i = 0; i < q->header.snapshot_count; i++)
		size += record_size(&q->snapshots[i]);
	return size;
}

static void free_snapshot(struct qcow2_snapshot *s)
{
	free(s->id);
	free(s->name);
	free(s->extra);
}

void qcow2_snapshots_free(struct qcow2 *q)
{
	for (uint32_t i = 0; q->snapshots && i < q->header.snapshot_count; i++)
		free_snapshot(&q->snapshots[i]);
	free(q->snapshots);
	q->snapshots = NULL;
}

/* Bytes of the file in new memory, with a zero behind. */
static int read_text(struct disk_node *file, uint64_t at, uint32_t size,
		     void *text)
{
	char *bytes = malloc((size_t)size + 1);
	int error = bytes ? 0 : -ENOMEM;

	if (!error && size)
		error = qcow2_read_padded(file, at, bytes, size);
	if (bytes)
		bytes[size] = 0;
	*(void **)text = bytes;
	return error;
}

static int load_one(struct qcow2 *q, struct disk_node *file, uint64_t at,
		    struct qcow2_snapshot *s)
{
	uint8_t b[RECORD];
	int error = qcow2_read_padded(file, at, b, sizeof(b));

	if (error)
		return error;
	s->l1_at = get_be64(b);
	s->l1_entries = get_be32(b + 8);
	s->id_size = get_be16(b + 12);
	s->name_size = get_be16(b + 14);
	s->seconds = get_be32(b + 16);
	s->nanoseconds = get_be32(b + 20);
	s->clock_ns = get_be64(b + 24);
	s->vm_state = get_be32(b + 32);
	s->extra_size = get_be32(b + 36);
	s->size = q->header.size;
	if (s->extra_size > EXTRA_MAX ||
	    s->l1_entries > QCOW2_L1_MAX / 8 ||
	    s->l1_at & (q->cluster_size - 1))
		return -EUCLEAN;
	at += RECORD;
	error = read_text(file, at, s->extra_size, &s->extra);
	if (!error && s->extra_size >= 8)
		s->vm_state = get_be64(s->extra);
	if (!error && s->extra_size >= EXTRA)
		s->size = get_be64(s->extra + 8);
	at += s->extra_size;
	if (!error)
		error = read_text(file, at, s->id_size, &s->id);
	at += s->id_size;
	return error ? error : read_text(file, at, s->name_size, &s->name);
}

int qcow2_snapshots_load(struct qcow2 *q, struct disk_node *file)
{
	uint64_t at = q->header.snapshots_at, end = at + TABLE_MAX;
	uint32_t count = q->header.snapshot_count;
	int error = 0;

	if (!count)
		return 0;
	q->snapshots = calloc(count, sizeof(*q->snapshots));
	if (!q->snapshots)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && !error; i++) {
		error = at < end && at < file->size
				? load_one(q, file, at, &q->snapshots[i])
				: -EUCLEAN;
		at += record_size(&q->snapshots[i]);
	}
	return error;
}

static void format_record(uint8_t *b, const struct qcow2_snapshot *s)
{
	put_be64(b, s->l1_at);
	put_be32(b + 8, s->l1_entries);
	put_be16(b + 12, s->id_size);
	put_be16(b + 14, s->name_size);
	put_be32(b + 16, s->seconds);
	put_be32(b + 20, s->nanoseconds);
	put_be64(b + 24, s->clock_ns);
	put_be32(b + 32, s->vm_state > UINT32_MAX ? 0 : (uint32_t)s->vm_state);
	put_be32(b + 36, s->extra_size);
	b += RECORD;
	memcpy(b, s->extra, s->extra_size);
	b += s->extra_size;
	memcpy(b, s->id, s->id_size);
	memcpy(b + s->id_size, s->name, s->name_size);
}

/* Writes a table of `count` snapshots to a new place, *at; 0 for none. */
static int write_table(struct qcow2 *q, const struct qcow2_snapshot *list,
		       uint32_t count, uint64_t *at, uint64_t *size)
{
	uint64_t used = 0;
	uint8_t *bytes;
	int error;

	*at = *size = 0;
	for (uint32_t i = 0; i < count; i++)
		*size += record_size(&list[i]);
	if (!count)
		return 0;
	if (*size > TABLE_MAX)
		return -EFBIG;
	bytes = calloc(1, *size);
	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		format_record(bytes + used, &list[i]);
		used += record_size(&list[i]);
	}
	pthread_mutex_lock(&q->lock);
	error = qcow2_alloc_all(q, qcow2_round_up(*size, q->cluster_size) >>
					   q->header.cluster_bits, at);
	if (!error)
		error = disk_write_bytes(q->node.file, *at, bytes, *size);
	if (!error)
		error = qcow2_tables_add(q, *at, *size);
	pthread_mutex_unlock(&q->lock);
	free(bytes);
	return error;
}

/* Puts `list`, which it owns when it succeeds, in the place of what there is.
 * All that the new table refers to is there and counted. */
static int switch_table(struct qcow2 *q, struct qcow2_snapshot *list,
			uint32_t count)
{
	uint64_t old = q->header.snapshots_at, at, size;
	uint64_t old_size = qcow2_snapshots_size(q);
	int error = write_table(q, list, count, &at, &size);

	if (!error)
		error = qcow2_settle(q);
	if (error)
		return error;
	pthread_mutex_lock(&q->lock);
	q->header.snapshots_at = at;
	q->header.snapshot_count = count;
	error = qcow2_header_store(q);
	free(q->snapshots);
	q->snapshots = list;
	if (!error && old_size) {
		qcow2_tables_remove(q, old, old_size);
		error = qcow2_free(q, old, old_size, true);
	}
	pthread_mutex_unlock(&q->lock);
	return error;
}

/* --- finding ---------------------------------------------------------------- */

static struct qcow2_snapshot *find(struct qcow2 *q, const char *id_or_name)
{
	uint32_t count = q->header.snapshot_count;

	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(q->snapshots[i].id, id_or_name))
			return &q->snapshots[i];
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(q->snapshots[i].name, id_or_name))
			return &q->snapshots[i];
	return NULL;
}

int qcow2_snapshot_list(struct disk_node *node, struct disk_snapshot **list,
			unsigned int *count)
{
	struct qcow2 *q = qcow2_of(node);

	*count = q->header.snapshot_count;
	*list = calloc(*count + 1u, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (unsigned int i = 0; i < *count; i++) {
		const struct qcow2_snapshot *s = &q->snapshots[i];
		struct disk_snapshot *to = &(*list)[i];

		snprintf(to->id, sizeof(to->id), "%s", s->id);
		snprintf(to->name, sizeof(to->name), "%s", s->name);
		to->date_ns = s->seconds * 1000000000ull + s->nanoseconds;
		to->size = s->size;
		to->vm_state = s->vm_state;
	}
	return 0;
}

/* --- making one ------------------------------------------------------------- */

static int fill_snapshot(struct qcow2 *q, struct qcow2_snapshot *s,
			 const char *name, const struct qcow2_table *l1)
{
	struct timespec now;
	unsigned long id = 0;
	char text[24];

	for (uint32_t i = 0; i < q->header.snapshot_count; i++) {
		unsigned long other = strtoul(q->snapshots[i].id, NULL, 10);

		id = other > id ? other : id;
	}
	snprintf(text, sizeof(text), "%lu", id + 1);
	clock_gettime(CLOCK_REALTIME, &now);
	*s = (struct qcow2_snapshot){
		.l1_at = l1->at,
		.l1_entries = l1->entries,
		.id = strdup(text),
		.name = strdup(name),
		.id_size = (uint16_t)strlen(text),
		.name_size = (uint16_t)strlen(name),
		.seconds = (uint32_t)now.tv_sec,
		.nanoseconds = (uint32_t)now.tv_nsec,
		.size = q->header.size,
		.extra_size = EXTRA,
		.extra = calloc(1, EXTRA),
	};
	if (!s->id || !s->name || !s->extra)
		return -ENOMEM;
	put_be64(s->extra + 8, s->size);
	return 0;
}

/* The disk's L1 table without flags, in a place of its own. */
static int copy_l1(struct qcow2 *q, struct qcow2_table *copy)
{
	int error = qcow2_table_make(copy, q->l1.entries);

	if (error)
		return error;
	for (uint32_t i = 0; i < copy->entries; i++)
		copy->entry[i] = q->l1.entry[i] & ~QCOW2_COPIED;
	return qcow2_tree_place(q, copy);
}

/* The list as it is with one more place behind, or one fewer. */
static struct qcow2_snapshot *copy_list(const struct qcow2 *q,
					const struct qcow2_snapshot *without)
{
	uint32_t count = q->header.snapshot_count, n = 0;
	struct qcow2_snapshot *list = calloc(count + 1ull, sizeof(*list));

	for (uint32_t i = 0; list && i < count; i++)
		if (&q->snapshots[i] != without)
			list[n++] = q->snapshots[i];
	return list;
}

static int add_to_table(struct qcow2 *q, const char *name,
			const struct qcow2_table *l1)
{
	uint32_t count = q->header.snapshot_count;
	struct qcow2_snapshot *list = copy_list(q, NULL);
	int error = list ? fill_snapshot(q, &list[count], name, l1) : -ENOMEM;

	if (!error)
		error = switch_table(q, list, count + 1);
	if (error && q->snapshots != list) {
		if (list)
			free_snapshot(&list[count]);
		free(list);
	}
	return error;
}

/* The flags of the disk's tables by the counts. */
static int set_flags(struct qcow2 *q)
{
	int error = qcow2_tree_change(q, &q->l1, QCOW2_FLAGS);

	if (!error)
		error = qcow2_table_write(&q->l1, q->node.file, q->l1.at);
	return error ? error : qcow2_settle(q);
}

/* A second reference to all that the disk has, which is not marked then. */
static int share(struct qcow2 *q)
{
	/* Flags before counts: what is marked is never shared. */
	int error = qcow2_tree_change(q, &q->l1, QCOW2_UNFLAG);

	if (!error)
		error = qcow2_table_write(&q->l1, q->node.file, q->l1.at);
	if (!error)
		error = disk_flush(q->node.file);
	if (!error)
		error = qcow2_tree_change(q, &q->l1, QCOW2_RAISE);
	if (error) {
		(void)qcow2_settle(q);
		(void)set_flags(q);
	}
	return error;
}

static int create(struct qcow2 *q, const char *name)
{
	uint32_t before = q->header.snapshot_count;
	struct qcow2_table l1 = { 0 };
	int error = qcow2_begin(q, 0, 0);

	if (!error)
		error = qcow2_settle(q);
	if (!error)
		error = qcow2_tree_change(q, &q->l1, QCOW2_TRY);
	if (!error)
		error = share(q);
	if (error)
		return error;
	error = copy_l1(q, &l1);
	if (!error)
		error = add_to_table(q, name, &l1);
	if (!error)
		error = qcow2_settle(q);
	if (error && q->header.snapshot_count == before && !q->corrupt) {
		/* No room for it: all is as it was. */
		(void)qcow2_drop_l1(q, &l1);
		(void)set_flags(q);
	}
	qcow2_table_free(&l1);
	return error;
}

/* --- going back to one ------------------------------------------------------ */

/* The snapshot's L1 table as the disk's own: as long as its disk wants, and
 * without the machine's state behind that. */
static int load_l1(struct qcow2 *q, const struct qcow2_snapshot *s,
		   struct qcow2_table *l1)
{
	unsigned int bits = q->header.cluster_bits + q->l2_bits;
	uint64_t entries = s->size ? ((s->size - 1) >> bits) + 1 : 0;
	struct qcow2_table all;
	int error;

	if (s->size > INT64_MAX || entries > QCOW2_L1_MAX / 8)
		return -EUCLEAN;
	error = qcow2_table_load(&all, q->node.file, s->l1_at, s->l1_entries);
	if (error)
		return error;
	error = qcow2_table_make(l1, (uint32_t)entries);
	for (uint32_t i = 0; !error && i < entries && i < all.entries; i++)
		l1->entry[i] = all.entry[i] & ~QCOW2_COPIED;
	qcow2_table_free(&all);
	return error;
}

/* L2 tables of the disk are known as tables. */
static int know_l2s(struct qcow2 *q)
{
	int error = 0;

	for (uint32_t i = 0; i < q->l1.entries && !error; i++) {
		uint64_t at = q->l1.entry[i] & QCOW2_OFFSET;

		if (at)
			error = qcow2_tables_add(q, at, q->cluster_size);
	}
	return error;
}

int qcow2_switch_l1(struct qcow2 *q, struct qcow2_table *l1, uint64_t size,
		    struct qcow2_table *old)
{
	int error = qcow2_settle(q);

	if (error)
		return error;
	pthread_mutex_lock(&q->lock);
	*old = q->l1;
	q->l1 = *l1;
	*l1 = (struct qcow2_table){ 0 };
	q->header.l1_at = q->l1.at;
	q->header.l1_entries = q->l1.entries;
	q->header.size = size;
	q->node.size = size;
	error = qcow2_header_store(q);
	if (!error)
		error = know_l2s(q);
	pthread_mutex_unlock(&q->lock);
	return error;
}

int qcow2_drop_l1(struct qcow2 *q, struct qcow2_table *l1)
{
	uint64_t size = l1->entries * 8ull;
	int error = qcow2_tree_change(q, l1, QCOW2_LOWER);

	pthread_mutex_lock(&q->lock);
	for (uint32_t i = 0; i < l1->entries; i++) {
		uint64_t at = l1->entry[i] & QCOW2_OFFSET;

		if (!at)
			continue;
		qcow2_tables_remove(q, at, q->cluster_size);
		qcow2_cache_forget(q, at, q->cluster_size);
	}
	if (l1->at && size) {
		qcow2_tables_remove(q, l1->at, size);
		if (!error)
			error = qcow2_free(q, l1->at, size, true);
	}
	if (!error)
		error = know_l2s(q); /* it may share some */
	pthread_mutex_unlock(&q->lock);
	return error ? error : qcow2_settle(q);
}

/* All of `l1` is counted once more; it gets its place, and the disk's. */
static int switch_to(struct qcow2 *q, struct qcow2_table *l1, uint64_t size,
		     struct qcow2_table *old)
{
	int error = qcow2_settle(q);

	/* All is shared now, by the snapshot at least. */
	if (!error)
		error = qcow2_tree_change(q, l1, QCOW2_UNFLAG);
	if (!error)
		error = qcow2_tree_place(q, l1);
	return error ? error : qcow2_switch_l1(q, l1, size, old);
}

static int apply(struct qcow2 *q, const struct qcow2_snapshot *s)
{
	struct qcow2_table l1 = { 0 }, old = { 0 };
	uint64_t longer = s->size > q->header.size ? s->size : q->header.size;
	int error = qcow2_begin(q, 0, longer);

	if (!error)
		error = qcow2_settle(q);
	if (!error)
		error = load_l1(q, s, &l1);
	if (!error)
		error = qcow2_tree_change(q, &l1, QCOW2_TRY);
	if (!error)
		error = qcow2_tree_change(q, &q->l1, QCOW2_TRY);
	if (!error)
		error = qcow2_tree_change(q, &l1, QCOW2_RAISE);
	if (!error) {
		error = switch_to(q, &l1, s->size, &old);
		if (error && !old.entry && !q->corrupt)
			(void)qcow2_drop_l1(q, &l1);
	}
	if (!error)
		error = qcow2_drop_l1(q, &old);
	qcow2_table_free(&l1);
	qcow2_table_free(&old);
	return error;
}

/* --- deleting one ----------------------------------------------------------- */

static int delete(struct qcow2 *q, struct qcow2_snapshot *s)
{
	struct qcow2_snapshot gone = *s, *list = NULL;
	uint32_t count = q->header.snapshot_count;
	struct qcow2_table l1 = { 0 };
	int error = qcow2_begin(q, 0, 0);

	if (!error)
		error = qcow2_settle(q);
	if (!error)
		error = qcow2_table_load(&l1, q->node.file, s->l1_at,
					 s->l1_entries);
	if (!error)
		error = qcow2_tree_change(q, &l1, QCOW2_TRY);
	if (!error) {
		list = copy_list(q, s);
		error = list ? switch_table(q, list, count - 1) : -ENOMEM;
	}
	if (list && q->snapshots != list)
		free(list);
	else if (list)
		free_snapshot(&gone);
	if (!error)
		error = qcow2_drop_l1(q, &l1);
	if (!error)
		error = set_flags(q);
	qcow2_table_free(&l1);
	return error;
}

/* --- as the driver has them ------------------------------------------------- */

static int told(int result, struct disk_error *error)
{
	if (result == -ERANGE)
		return disk_error_set(error, result, "its refcounts are too "
				      "narrow for a snapshot; convert it to "
				      "an image with refcount_bits=16");
	if (result == -EUCLEAN)
		return disk_error_set(error, result, "has damaged tables; "
				      "mend it with: lodge disk check "
				      "--repair");
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static void begin(struct qcow2 *q)
{
	pthread_mutex_lock(&q->flushing);
	pthread_mutex_lock(&q->unpack_lock);
	q->unpacked_entry = 0;
	pthread_mutex_unlock(&q->unpack_lock);
}

static int missing(const char *name, struct disk_error *error)
{
	return disk_error_set(error, -ENOENT, "has no snapshot \"%s\"; list "
			      "them with: lodge disk snapshot list", name);
}

int qcow2_snapshot_create(struct disk_node *node, const char *name,
			  struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	int result;

	if (q->external)
		return disk_error_set(error, -ENOTSUP, "has its data in a file "
				      "of its own, which has no snapshots");
	if (find(q, name))
		return disk_error_set(error, -EEXIST, "has a snapshot \"%s\" "
				      "already; delete it, or take another "
				      "name", name);
	if (strlen(name) > 255 ||
	    q->header.snapshot_count >= QCOW2_SNAPSHOTS_MAX)
		return disk_error_set(error, -EINVAL, "a name of more than 255 "
				      "bytes, or too many snapshots");
	begin(q);
	result = create(q, name);
	pthread_mutex_unlock(&q->flushing);
	return told(result, error);
}

int qcow2_snapshot_apply(struct disk_node *node, const char *id_or_name,
			 struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_snapshot *s = find(q, id_or_name);
	int result;

	if (!s)
		return missing(id_or_name, error);
	if (q->bitmap_count && s->size != q->header.size)
		return disk_error_set(error, -ENOTSUP, "has dirty bitmaps for "
				      "the size that it has now; remove them "
				      "first");
	begin(q);
	result = apply(q, s);
	pthread_mutex_unlock(&q->flushing);
	return told(result, error);
}

int qcow2_snapshot_delete(struct disk_node *node, const char *id_or_name,
			  struct disk_error *error)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_snapshot *s = find(q, id_or_name);
	int result;

	if (!s)
		return missing(id_or_name, error);
	begin(q);
	result = delete(q, s);
	pthread_mutex_unlock(&q->flushing);
	return told(result, error);
}

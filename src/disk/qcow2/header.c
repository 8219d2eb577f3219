/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a qcow2 image and its extensions, read and written. What we
 * do not know is kept as it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/qcow2/qcow2.h"

#define HEAD_MAX 65536u /* bytes that header and extensions may take */
#define SECTOR	 512u
#define EXTS_MAX 64u

/* --- feature names ---------------------------------------------------------- */

static const struct {
	uint8_t kind, bit;
	const char *name;
} features[] = {
	{ 0, 0, "dirty bit" },
	{ 0, 1, "corrupt bit" },
	{ 0, 2, "external data file" },
	{ 0, 3, "compression type" },
	{ 0, 4, "extended L2 entries" },
	{ 1, 0, "lazy refcounts" },
	{ 2, 0, "bitmaps" },
	{ 2, 1, "raw external data" },
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

uint32_t qcow2_feature_names(uint8_t *to)
{
	memset(to, 0, FEATURES * QCOW2_FEATURE_RECORD);
	for (size_t i = 0; i < FEATURES; i++) {
		uint8_t *record = to + i * QCOW2_FEATURE_RECORD;

		record[0] = features[i].kind;
		record[1] = features[i].bit;
		memcpy(record + 2, features[i].name,
		       strlen(features[i].name));
	}
	return FEATURES * QCOW2_FEATURE_RECORD;
}

/* The image's own name of an incompatible feature, or NULL. */
static const char *feature_name(const struct qcow2 *q, unsigned int bit,
				char name[QCOW2_FEATURE_NAME + 1])
{
	const struct qcow2_ext *ext = qcow2_ext_find(q, QCOW2_EXT_FEATURES);
	uint32_t records = ext ? ext->size / QCOW2_FEATURE_RECORD : 0;

	for (uint32_t i = 0; i < records; i++) {
		const uint8_t *record = ext->data + i * QCOW2_FEATURE_RECORD;

		if (record[0] || record[1] != bit)
			continue;
		memcpy(name, record + 2, QCOW2_FEATURE_NAME);
		name[QCOW2_FEATURE_NAME] = 0;
		for (char *c = name; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		return *name ? name : NULL;
	}
	return NULL;
}

static int check_features(const struct qcow2 *q, struct disk_error *error)
{
	uint64_t unknown = q->header.incompatible & ~QCOW2_INCOMPATIBLE;
	char name[QCOW2_FEATURE_NAME + 1];
	const char *known;
	int bit;

	if (!unknown)
		return 0;
	bit = __builtin_ctzll(unknown);
	known = feature_name(q, (unsigned int)bit, name);
	return disk_error_set(error, -ENOTSUP, "needs the qcow2 feature \"%s\" "
			      "(bit %d), which lodge does not know; convert "
			      "it with what made it", known ? known : "unnamed",
			      bit);
}

/* --- extensions ------------------------------------------------------------- */

const struct qcow2_ext *qcow2_ext_find(const struct qcow2 *q, uint32_t type)
{
	for (unsigned int i = 0; i < q->exts; i++)
		if (q->ext[i].type == type)
			return &q->ext[i];
	return NULL;
}

static int ext_add(struct qcow2 *q, uint32_t type, const void *data,
		   uint32_t size)
{
	struct qcow2_ext *all, *ext;

	if (q->exts == EXTS_MAX)
		return -E2BIG;
	all = realloc(q->ext, (q->exts + 1) * sizeof(*all));
	if (!all)
		return -ENOMEM;
	q->ext = all;
	ext = &all[q->exts];
	*ext = (struct qcow2_ext){ type, size, malloc(size + 1) };
	if (!ext->data)
		return -ENOMEM;
	memcpy(ext->data, data, size);
	ext->data[size] = 0;
	q->exts++;
	return 0;
}

int qcow2_ext_set(struct qcow2 *q, uint32_t type, const void *data,
		  uint32_t size)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < q->exts; i++) {
		if (q->ext[i].type == type)
			free(q->ext[i].data);
		else
			q->ext[n++] = q->ext[i];
	}
	q->exts = n;
	return data ? ext_add(q, type, data, size) : 0;
}

static int is_bad(struct disk_error *error, const char *what)
{
	return disk_error_set(error, -EINVAL, "has a damaged qcow2 header "
			      "(%s); take a good copy", what);
}

/* The extensions in `area`, which begin at `at`. */
static int load_exts(struct qcow2 *q, const uint8_t *area, uint32_t at,
		     uint32_t end, struct disk_error *error)
{
	while (at + 8 <= end) {
		uint32_t type = get_be32(area + at);
		uint32_t size = get_be32(area + at + 4);
		int result;

		if (type == QCOW2_EXT_END)
			return 0;
		at += 8;
		if (size > end - at)
			return is_bad(error, "extensions");
		if (qcow2_ext_find(q, type))
			return is_bad(error, "an extension twice");
		result = ext_add(q, type, area + at, size);
		if (result)
			return disk_error_set(error, result, "%s",
					      strerror(-result));
		at += (uint32_t)qcow2_round_up(size, 8);
	}
	return 0;
}

/* --- loading ---------------------------------------------------------------- */

static void parse(struct qcow2_header *h, const uint8_t *b)
{
	*h = (struct qcow2_header){
		.version = get_be32(b + QCOW2_AT_VERSION),
		.backing = get_be64(b + QCOW2_AT_BACKING),
		.backing_size = get_be32(b + QCOW2_AT_BACKING_SIZE),
		.cluster_bits = get_be32(b + QCOW2_AT_CLUSTER_BITS),
		.size = get_be64(b + QCOW2_AT_SIZE),
		.crypt = get_be32(b + QCOW2_AT_CRYPT),
		.l1_entries = get_be32(b + QCOW2_AT_L1_SIZE),
		.l1_at = get_be64(b + QCOW2_AT_L1),
		.reftable_at = get_be64(b + QCOW2_AT_REFTABLE),
		.reftable_clusters = get_be32(b + QCOW2_AT_REFTABLE_CLUSTERS),
		.snapshot_count = get_be32(b + QCOW2_AT_SNAPSHOT_COUNT),
		.snapshots_at = get_be64(b + QCOW2_AT_SNAPSHOTS),
		.refcount_order = 4,
		.length = QCOW2_V2_LENGTH,
	};
	if (h->version < 3)
		return;
	h->incompatible = get_be64(b + QCOW2_AT_INCOMPATIBLE);
	h->compatible = get_be64(b + QCOW2_AT_COMPATIBLE);
	h->autoclear = get_be64(b + QCOW2_AT_AUTOCLEAR);
	h->refcount_order = get_be32(b + QCOW2_AT_REFCOUNT_ORDER);
	h->length = get_be32(b + QCOW2_AT_LENGTH);
	if (h->length > QCOW2_AT_COMPRESSION)
		h->compression = b[QCOW2_AT_COMPRESSION];
}

/* What the image's shape follows from. */
static int check_shape(const struct qcow2_header *h, struct disk_error *error)
{
	if (h->version != 2 && h->version != 3)
		return disk_error_set(error, -ENOTSUP, "is qcow version %u; "
				      "lodge knows 2 and 3", h->version);
	if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
	    h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return is_bad(error, "cluster size");
	if (h->refcount_order > QCOW2_REFCOUNT_ORDER_MAX)
		return is_bad(error, "refcount width");
	if (h->version > 2 && (h->length < QCOW2_V3_LENGTH || h->length % 8 ||
			       h->length > 1u << h->cluster_bits ||
			       h->length > HEAD_MAX))
		return is_bad(error, "length");
	if (h->backing && (h->backing_size > QCOW2_NAME_MAX ||
			   h->backing > 1u << h->cluster_bits))
		return is_bad(error, "backing file");
	return 0;
}

/* Whether a table lies on whole clusters where clusters can be. */
static bool lies_well(uint64_t at, uint64_t size, uint32_t cluster)
{
	return !(at & (cluster - 1)) && at < QCOW2_OFFSET_MAX &&
	       size < QCOW2_OFFSET_MAX;
}

static int check_tables(const struct qcow2_header *h, struct disk_error *error)
{
	uint32_t cluster = 1u << h->cluster_bits;
	unsigned int entry_bits = h->incompatible & QCOW2_EXTENDED_L2 ? 4 : 3;
	unsigned int l2_bits = 2 * h->cluster_bits - entry_bits;

	if (h->incompatible & QCOW2_EXTENDED_L2 &&
	    h->cluster_bits < QCOW2_CLUSTER_BITS_SUB)
		return is_bad(error, "cluster size");
	if (h->size > INT64_MAX)
		return is_bad(error, "size");
	if (h->l1_entries > QCOW2_L1_MAX / 8 ||
	    !lies_well(h->l1_at, h->l1_entries * 8ull, cluster) ||
	    (h->size && h->l1_entries < ((h->size - 1) >> l2_bits) + 1))
		return is_bad(error, "L1 table");
	if ((uint64_t)h->reftable_clusters << h->cluster_bits >
		    QCOW2_REFTABLE_MAX ||
	    !h->reftable_clusters || !h->reftable_at ||
	    !lies_well(h->reftable_at, 0, cluster))
		return is_bad(error, "refcount table");
	if (h->snapshot_count > QCOW2_SNAPSHOTS_MAX ||
	    (h->snapshot_count && !lies_well(h->snapshots_at, 0, cluster)))
		return is_bad(error, "snapshots");
	if (!(h->incompatible & QCOW2_COMPRESSION) != !h->compression ||
	    h->compression > QCOW2_ZSTD)
		return is_bad(error, "compression");
	if (h->autoclear & QCOW2_DATA_RAW &&
	    (!(h->incompatible & QCOW2_DATA_FILE) || h->backing))
		return is_bad(error, "raw data file");
	return 0;
}

static char *copy_text(const void *from, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return NULL;
	memcpy(text, from, size);
	text[size] = 0;
	return text;
}

/* A text that is an extension; NULL when there is none. */
static int load_text(const struct qcow2 *q, uint32_t type, char **text)
{
	const struct qcow2_ext *ext = qcow2_ext_find(q, type);

	*text = NULL;
	if (!ext || !ext->size)
		return 0;
	*text = copy_text(ext->data, ext->size);
	return *text ? 0 : -ENOMEM;
}

static int load_names(struct qcow2 *q, struct disk_node *file)
{
	char name[QCOW2_NAME_MAX];
	int result = load_text(q, QCOW2_EXT_BACKING_FORMAT,
			       &q->backing_format);

	if (!result)
		result = load_text(q, QCOW2_EXT_DATA_FILE, &q->data_path);
	if (result || !q->header.backing || !q->header.backing_size)
		return result;
	result = qcow2_read_padded(file, q->header.backing, name,
				   q->header.backing_size);
	if (result)
		return result;
	q->backing_path = copy_text(name, q->header.backing_size);
	return q->backing_path ? 0 : -ENOMEM;
}

/* The shape that follows from the header. */
static void set_shape(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;

	q->cluster_size = 1u << h->cluster_bits;
	q->entry_size = qcow2_extended(q) ? 16 : 8;
	q->l2_bits = h->cluster_bits - (qcow2_extended(q) ? 4 : 3);
	q->sub_bits = h->cluster_bits - (qcow2_extended(q) ? 5 : 0);
	q->ref_bits = h->cluster_bits + 3 - h->refcount_order;
	q->external = h->incompatible & QCOW2_DATA_FILE;
}

int qcow2_header_load(struct qcow2 *q, struct disk_node *file,
		      struct disk_error *error)
{
	uint8_t first[QCOW2_LENGTH];
	uint32_t size;
	int result = qcow2_read_padded(file, 0, first, sizeof(first));

	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	parse(&q->header, first);
	result = check_shape(&q->header, error);
	if (result)
		return result;
	set_shape(q);
	size = q->cluster_size < HEAD_MAX ? q->cluster_size : HEAD_MAX;
	q->head = malloc(size);
	result = q->head ? qcow2_read_padded(file, 0, q->head, size) : -ENOMEM;
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	if (q->header.backing && q->header.backing < size)
		size = (uint32_t)q->header.backing;
	result = load_exts(q, q->head, q->header.length, size, error);
	if (!result)
		result = check_features(q, error);
	if (!result)
		result = qcow2_crypt_load(q, error);
	if (!result)
		result = check_tables(&q->header, error);
	if (result)
		return result;
	result = load_names(q, file);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

void qcow2_header_free(struct qcow2 *q)
{
	for (unsigned int i = 0; i < q->exts; i++)
		free(q->ext[i].data);
	free(q->ext);
	free(q->head);
	free(q->backing_path);
	free(q->backing_format);
	free(q->data_path);
}

/* --- storing ---------------------------------------------------------------- */

static void format(uint8_t *b, const struct qcow2_header *h)
{
	put_be32(b + QCOW2_AT_MAGIC, QCOW2_MAGIC);
	put_be32(b + QCOW2_AT_VERSION, h->version);
	put_be64(b + QCOW2_AT_BACKING, h->backing);
	put_be32(b + QCOW2_AT_BACKING_SIZE, h->backing_size);
	put_be32(b + QCOW2_AT_CLUSTER_BITS, h->cluster_bits);
	put_be64(b + QCOW2_AT_SIZE, h->size);
	put_be32(b + QCOW2_AT_CRYPT, h->crypt);
	put_be32(b + QCOW2_AT_L1_SIZE, h->l1_entries);
	put_be64(b + QCOW2_AT_L1, h->l1_at);
	put_be64(b + QCOW2_AT_REFTABLE, h->reftable_at);
	put_be32(b + QCOW2_AT_REFTABLE_CLUSTERS, h->reftable_clusters);
	put_be32(b + QCOW2_AT_SNAPSHOT_COUNT, h->snapshot_count);
	put_be64(b + QCOW2_AT_SNAPSHOTS, h->snapshots_at);
	if (h->version < 3)
		return;
	put_be64(b + QCOW2_AT_INCOMPATIBLE, h->incompatible);
	put_be64(b + QCOW2_AT_COMPATIBLE, h->compatible);
	put_be64(b + QCOW2_AT_AUTOCLEAR, h->autoclear);
	put_be32(b + QCOW2_AT_REFCOUNT_ORDER, h->refcount_order);
	put_be32(b + QCOW2_AT_LENGTH, h->length);
	if (h->length > QCOW2_AT_COMPRESSION)
		b[QCOW2_AT_COMPRESSION] = (uint8_t)h->compression;
}

int qcow2_header_store(struct qcow2 *q)
{
	uint32_t size = q->header.length < QCOW2_LENGTH ? q->header.length
							: QCOW2_LENGTH;
	int error;

	format(q->head, &q->header);
	error = disk_write_bytes(q->node.file, 0, q->head, size);
	if (!error)
		error = disk_flush(q->node.file);
	/* Which header the disk has is not known now. */
	if (error)
		q->corrupt = true;
	return error;
}

/* Header, extensions and names into `to` of one cluster; their size, or
 * negative: they do not fit. */
static int64_t lay_out(struct qcow2 *q, struct qcow2_header *h, uint8_t *to,
		       bool names)
{
	uint64_t at = h->length, old = h->backing, old_end = old +
							     h->backing_size;
	size_t path = q->backing_path ? strlen(q->backing_path) : 0;

	memcpy(to, q->head, h->length);
	for (unsigned int i = 0; i < q->exts; i++) {
		const struct qcow2_ext *ext = &q->ext[i];

		if (ext->type == QCOW2_EXT_FEATURES && !names)
			continue;
		if (at + 8 + ext->size + 16 > q->cluster_size)
			return -ENOSPC;
		put_be32(to + at, ext->type);
		put_be32(to + at + 4, ext->size);
		memcpy(to + at + 8, ext->data, ext->size);
		at += 8 + qcow2_round_up(ext->size, 8);
	}
	at += 8; /* the end of the extensions: zeros */
	h->backing = 0;
	h->backing_size = 0;
	if (!path)
		return (int64_t)at;
	/* Not over the old name, where that does not change in one go. */
	if (at + path > SECTOR && old && at < old_end && at + path > old &&
	    old_end + path <= q->cluster_size)
		at = old_end;
	if (at + path > q->cluster_size)
		return -ENOSPC;
	memcpy(to + at, q->backing_path, path);
	h->backing = at;
	h->backing_size = (uint32_t)path;
	return (int64_t)(at + path);
}

/* The name that the header on the disk refers to stays, behind the first
 * sector, while the header `h` with another place for it is written. */
static int keep_name(const struct qcow2 *q, const struct qcow2_header *h,
		     uint8_t *bytes, uint64_t size)
{
	uint64_t from = q->header.backing, end = from + q->header.backing_size;

	if (from < SECTOR)
		from = SECTOR;
	if (end > size)
		end = size;
	if (from >= end || (h->backing < end &&
			    from < h->backing + h->backing_size))
		return 0;
	return disk_read_bytes(q->node.file, from, bytes + from, end - from);
}

int qcow2_header_rewrite(struct qcow2 *q, bool durable)
{
	struct qcow2_header h = q->header;
	struct disk_node *file = q->node.file;
	uint8_t *bytes = calloc(1, q->cluster_size);
	int64_t size = bytes ? lay_out(q, &h, bytes, true) : -ENOMEM;
	int error = 0;

	/* Names of features are not worth a change in two steps. */
	if (size == -ENOSPC || (size > SECTOR && durable)) {
		h = q->header;
		memset(bytes, 0, q->cluster_size);
		size = lay_out(q, &h, bytes, false);
	}
	if (size > SECTOR && durable)
		error = keep_name(q, &h, bytes, (uint64_t)size);
	if (size < 0 || error) {
		free(bytes);
		return size < 0 ? (int)size : error;
	}
	format(bytes, &h);
	/* The first sector decides; what it refers to comes first. */
	if (size > SECTOR)
		error = disk_write_bytes(file, SECTOR, bytes + SECTOR,
					 (size_t)size - SECTOR);
	if (!error && size > SECTOR && durable)
		error = disk_flush(file);
	if (!error)
		error = disk_write_bytes(file, 0, bytes, SECTOR);
	if (!error && durable)
		error = disk_flush(file);
	if (error)
		q->corrupt = true;
	else
		q->header = h;
	free(bytes);
	return error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New qcow2 images: header, refcount table, its blocks, L1 table, in this
 * order, and nothing else unless room is to be taken from the start.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/file.h"
#include "disk/qcow2/qcow2.h"

const struct disk_option qcow2_options[] = {
	{ "cluster_size", "BYTES: unit of allocation, 512 to 2M "
			  "(default: 64K)" },
	{ "compat", "v2|v3: version of the format (default: v3)" },
	{ "compression_type", "zlib|zstd: of compressed clusters "
			      "(default: zlib)" },
	{ "data_file", "PATH: the disk's bytes lie in this file, which is "
		       "made; from the image's folder (default: in the "
		       "image)" },
	{ "data_file_raw", "on|off: it is a raw image by itself "
			   "(default: off)" },
	{ "extended_l2", "on|off: clusters are there in 32 parts "
			 "(default: off)" },
	{ "hash", "of an encrypted image's key derivation (default: sha256)" },
	{ "iterations", "of key derivation (default: as many as take a "
			"second)" },
	{ "key_bits", "256|512: of an encrypted image's key (default: 512)" },
	{ "lazy_refcounts", "on|off: others may write refcounts late "
			    "(default: off)" },
	{ "preallocation", "off|metadata|falloc|full: what is there from the "
			   "start (default: off)" },
	{ "refcount_bits", "BITS: width of refcounts, 1 to 64 "
			   "(default: 16)" },
	{ NULL, NULL },
};

/* --- options ---------------------------------------------------------------- */

static int bad_option(struct disk_error *error, const char *name,
		      const char *value, const char *choice)
{
	return disk_error_set(error, -EINVAL, "%s=%s: give %s", name, value,
			      choice);
}

/* A power of two in [least, most], as its exponent. */
static int get_power(const struct disk_create *how, const char *name,
		     uint64_t least, uint64_t most, const char *choice,
		     unsigned int *exponent, struct disk_error *error)
{
	const char *text = disk_create_option(how, name);
	uint64_t value = disk_create_size(how, name, 0);

	if (!text)
		return 0;
	if (value < least || value > most || value & (value - 1))
		return bad_option(error, name, text, choice);
	*exponent = (unsigned int)__builtin_ctzll(value);
	return 0;
}

/* The index of the word that an option has among `words`, 0 without it. */
static int get_word(const struct disk_create *how, const char *name,
		    const char *const *words, const char *choice,
		    unsigned int *index, struct disk_error *error)
{
	const char *text = disk_create_option(how, name);

	*index = 0;
	if (!text)
		return 0;
	for (unsigned int i = 0; words[i]; i++)
		if (!strcmp(words[i], text)) {
			*index = i;
			return 0;
		}
	return bad_option(error, name, text, choice);
}

static int get_switch(const struct disk_create *how, const char *name,
		      uint64_t *bits, uint64_t bit, struct disk_error *error)
{
	static const char *const words[] = { "off", "on", NULL };
	unsigned int on;
	int result = get_word(how, name, words, "on or off", &on, error);

	if (!result && on)
		*bits |= bit;
	return result;
}

static int get_kinds(const struct disk_create *how, struct qcow2_header *h,
		     struct disk_error *error)
{
	static const char *const versions[] = { "v3", "v2", "1.1", "0.10",
						NULL };
	static const char *const packings[] = { "zlib", "zstd", NULL };
	unsigned int version, packing;
	int result = get_word(how, "compat", versions, "v2 or v3", &version,
			      error);

	if (!result)
		result = get_word(how, "compression_type", packings,
				  "zlib or zstd", &packing, error);
	if (result)
		return result;
	h->version = version & 1 ? 2 : 3;
	h->compression = packing;
	if (packing)
		h->incompatible |= QCOW2_COMPRESSION;
	return 0;
}

static int get_preallocation(const struct disk_create *how,
			     enum disk_preallocation *mode,
			     struct disk_error *error)
{
	static const char *const words[] = { "off", "metadata", "falloc",
					     "full", NULL };
	unsigned int word;
	int result = get_word(how, "preallocation", words,
			      "off, metadata, falloc or full", &word, error);

	*mode = (enum disk_preallocation)word;
	return result;
}

static int check_together(const struct disk_create *how,
			  const struct qcow2_header *h,
			  enum disk_preallocation mode,
			  struct disk_error *error)
{
	if (h->version < 3 && (h->incompatible || h->compatible ||
			       h->refcount_order != 4))
		return disk_error_set(error, -EINVAL, "compat=v2 has 16 "
				      "refcount bits and no other features; "
				      "leave it out");
	if (h->incompatible & QCOW2_EXTENDED_L2 &&
	    h->cluster_bits < QCOW2_CLUSTER_BITS_SUB)
		return disk_error_set(error, -EINVAL, "extended_l2=on needs "
				      "clusters of 16K or more");
	if (h->autoclear & QCOW2_DATA_RAW &&
	    (!(h->incompatible & QCOW2_DATA_FILE) || how->backing))
		return disk_error_set(error, -EINVAL, "data_file_raw=on needs "
				      "data_file, and no backing file");
	if (how->secret && h->autoclear & QCOW2_DATA_RAW)
		return disk_error_set(error, -EINVAL, "data_file_raw=on does "
				      "not go with encryption");
	if (!how->secret && (disk_create_option(how, "hash") ||
			     disk_create_option(how, "iterations") ||
			     disk_create_option(how, "key_bits")))
		return disk_error_set(error, -EINVAL, "hash, iterations and "
				      "key_bits are for encrypted images: give "
				      "a passphrase's file by --secret");
	if (mode != DISK_PREALLOC_OFF && how->backing &&
	    !(h->incompatible & QCOW2_EXTENDED_L2))
		return disk_error_set(error, -EINVAL, "preallocation on a "
				      "backing file needs extended_l2=on");
	return 0;
}

static int get_options(const struct disk_create *how, struct qcow2_header *h,
		       enum disk_preallocation *mode, struct disk_error *error)
{
	int result = get_kinds(how, h, error);

	h->cluster_bits = 16;
	h->refcount_order = 4;
	if (!result)
		result = get_power(how, "cluster_size", 512, 2 << 20,
				   "a power of two from 512 to 2M",
				   &h->cluster_bits, error);
	if (!result)
		result = get_power(how, "refcount_bits", 1, 64,
				   "1, 2, 4, 8, 16, 32 or 64",
				   &h->refcount_order, error);
	if (!result)
		result = get_switch(how, "extended_l2", &h->incompatible,
				    QCOW2_EXTENDED_L2, error);
	if (!result)
		result = get_switch(how, "lazy_refcounts", &h->compatible,
				    QCOW2_LAZY, error);
	if (!result)
		result = get_switch(how, "data_file_raw", &h->autoclear,
				    QCOW2_DATA_RAW, error);
	if (disk_create_option(how, "data_file"))
		h->incompatible |= QCOW2_DATA_FILE;
	if (!result)
		result = get_preallocation(how, mode, error);
	/* What others write to the raw file is to be seen here. */
	if (h->autoclear & QCOW2_DATA_RAW && *mode == DISK_PREALLOC_OFF)
		*mode = DISK_PREALLOC_METADATA;
	return result ? result : check_together(how, h, *mode, error);
}

/* --- layout ----------------------------------------------------------------- */

struct layout {
	uint64_t table, blocks, l1, crypt; /* clusters of each */
	uint64_t clusters;		   /* all */
	uint64_t crypt_at;		   /* in the file */
	struct disk_node *luks; /* the header that goes there; NULL: none */
};

static int lay_out(struct qcow2_header *h, struct layout *l,
		   struct disk_error *error)
{
	unsigned int bits = h->cluster_bits;
	unsigned int l2_bits = 2 * bits -
			       (h->incompatible & QCOW2_EXTENDED_L2 ? 4 : 3);
	unsigned int ref_bits = bits + 3 - h->refcount_order;
	uint64_t entries = ((h->size - 1) >> l2_bits) + 1, before;

	if (entries > QCOW2_L1_MAX / 8)
		return disk_error_set(error, -EFBIG, "is too large for "
				      "clusters of %u bytes; take larger ones "
				      "by cluster_size", 1u << bits);
	h->l1_entries = (uint32_t)entries;
	*l = (struct layout){ .table = 1, .blocks = 1, .luks = l->luks };
	if (l->luks)
		l->crypt = qcow2_round_up(l->luks->size, 1ull << bits) >> bits;
	l->l1 = qcow2_round_up(entries * 8, 1ull << bits) >> bits;
	do {
		before = l->table + l->blocks;
		l->clusters = 1 + l->table + l->blocks + l->l1 + l->crypt;
		l->blocks = ((l->clusters - 1) >> ref_bits) + 1;
		l->table = qcow2_round_up(l->blocks * 8, 1ull << bits) >> bits;
	} while (l->table + l->blocks != before);
	h->reftable_at = 1ull << bits;
	h->reftable_clusters = (uint32_t)l->table;
	h->l1_at = (1 + l->table + l->blocks) << bits;
	l->crypt_at = h->l1_at + (l->l1 << bits);
	return 0;
}

static int write_counts(struct disk_node *file, const struct qcow2_header *h,
			const struct layout *l)
{
	unsigned int bits = h->cluster_bits;
	uint64_t per_block = 1ull << (bits + 3 - h->refcount_order);
	uint64_t first = (1 + l->table) << bits;
	uint8_t *block = malloc(1ull << bits);
	int result = block ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < l->blocks && !result; i++) {
		uint8_t entry[8];

		memset(block, 0, 1ull << bits);
		for (uint64_t c = 0; c < per_block &&
				     i * per_block + c < l->clusters; c++)
			qcow2_count_put(block, h->refcount_order, c, 1);
		put_be64(entry, first + (i << bits));
		result = disk_write_bytes(file, first + (i << bits), block,
					  1ull << bits);
		if (!result)
			result = disk_write_bytes(file, h->reftable_at + i * 8,
						  entry, 8);
	}
	free(block);
	return result;
}

/* The header with all that belongs to it, by what writes it in open images. */
static int write_header(struct disk_node *file, const struct qcow2_header *h,
			const struct layout *l, const struct disk_create *how)
{
	struct qcow2 q = { .node = { .file = file }, .header = *h,
			   .cluster_size = 1u << h->cluster_bits };
	const char *data = disk_create_option(how, "data_file");
	uint8_t head[QCOW2_LENGTH] = { 0 }, names[4096];
	uint8_t luks[QCOW2_CRYPT_SIZE];
	uint32_t size = qcow2_feature_names(names);
	int result = 0;

	q.head = head;
	q.backing_path = (char *)how->backing;
	if (how->backing && how->backing_format)
		result = qcow2_ext_set(&q, QCOW2_EXT_BACKING_FORMAT,
				       how->backing_format,
				       (uint32_t)strlen(how->backing_format));
	if (!result && data)
		result = qcow2_ext_set(&q, QCOW2_EXT_DATA_FILE, data,
				       (uint32_t)strlen(data));
	if (!result && l->luks) {
		put_be64(luks, l->crypt_at);
		put_be64(luks + 8, l->luks->size);
		result = qcow2_ext_set(&q, QCOW2_EXT_CRYPT, luks,
				       sizeof(luks));
	}
	if (!result && h->version > 2)
		result = qcow2_ext_set(&q, QCOW2_EXT_FEATURES, names, size);
	if (!result)
		result = qcow2_header_rewrite(&q, false);
	q.head = NULL;
	q.backing_path = NULL;
	qcow2_header_free(&q);
	return result;
}

static int write_image(struct disk_node *file, const struct qcow2_header *h,
		       const struct layout *l, const struct disk_create *how,
		       struct disk_error *error)
{
	int result = disk_resize(file, l->clusters << h->cluster_bits,
				 DISK_PREALLOC_OFF, error);

	if (result)
		return result;
	result = write_counts(file, h, l);
	if (!result && l->luks)
		result = qcow2_crypt_write(file, l->crypt_at, l->luks);
	if (!result)
		result = write_header(file, h, l, how);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

/* Where a file lies that the image names. */
static void data_path(char to[PATH_MAX], const struct disk_node *file,
		      const char *name)
{
	const char *slash = *name == '/' ? NULL : strrchr(file->name, '/');

	snprintf(to, PATH_MAX, "%.*s%s",
		 slash ? (int)(slash - file->name) + 1 : 0, file->name, name);
}

static int make_data(const char *path, uint64_t size, struct disk_error *error)
{
	struct disk_node *data;
	struct disk_error why;
	int result = disk_file_make(&data, path, &why);

	if (!result) {
		result = disk_resize(data, size, DISK_PREALLOC_OFF, &why);
		if (!result)
			result = disk_file_keep(data, &why);
		disk_close(data);
	}
	return result ? disk_error_set(error, result, "its data file %s: %s",
				       path, why.text)
		      : 0;
}

/* The image is there; what else is asked for. */
static int complete(struct disk_node *file, const struct disk_create *how,
		    enum disk_preallocation mode, struct disk_error *error)
{
	const char *name = disk_create_option(how, "data_file");
	char path[PATH_MAX];
	int result = 0;

	if (name) {
		data_path(path, file, name);
		result = make_data(path, how->size, error);
		if (result)
			return result;
	}
	if (mode != DISK_PREALLOC_OFF)
		result = qcow2_preallocate_new(file, how, mode, error);
	if (result && name)
		unlink(path);
	return result;
}

int qcow2_create(struct disk_node *file, const struct disk_create *how,
		 struct disk_error *error)
{
	struct qcow2_header h = { .size = how->size };
	enum disk_preallocation mode = DISK_PREALLOC_OFF;
	struct layout layout = { 0 };
	int result = get_options(how, &h, &mode, error);

	h.length = h.version < 3 ? QCOW2_V2_LENGTH : QCOW2_LENGTH;
	if (how->backing && strlen(how->backing) > QCOW2_NAME_MAX)
		return disk_error_set(error, -ENAMETOOLONG, "a backing file's "
				      "name of more than %u bytes",
				      QCOW2_NAME_MAX);
	if (!result && how->secret) {
		h.crypt = QCOW2_LUKS;
		result = qcow2_crypt_make(how, &layout.luks, error);
	}
	if (!result)
		result = lay_out(&h, &layout, error);
	if (!result)
		result = write_image(file, &h, &layout, how, error);
	disk_close(layout.luks);
	return result ? result : complete(file, how, mode, error);
}

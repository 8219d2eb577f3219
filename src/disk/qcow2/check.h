/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check of a qcow2 image: what refers to each host cluster is counted over
 * all tables, and compared with the refcounts. It works on the file itself,
 * past the open image's cache. Time and memory follow the file's size, not
 * what its tables claim: each table is looked at once, with the number of
 * references to it.
 */
#ifndef LODGE_DISK_QCOW2_CHECK_H
#define LODGE_DISK_QCOW2_CHECK_H

#include "disk/qcow2/qcow2.h"

/* A cluster's record: the references that were found, and to what. */
#define QCOW2_IS_TABLE	0x80000000u /* of any kind but L2 */
#define QCOW2_IS_L2	0x40000000u
#define QCOW2_IS_DATA	0x20000000u
#define QCOW2_L2_DONE	0x10000000u /* its entries were counted */
#define QCOW2_L2_SEEN	0x08000000u /* its flags were looked at */
#define QCOW2_FOUND_MAX 0x07ffffffu

struct qcow2_checker {
	struct qcow2 *q;
	struct disk_node *file;
	struct disk_check *result;
	bool repair;
	unsigned int lines;   /* said so far */
	uint64_t clusters;    /* that the file has */
	uint32_t **part;      /* records, in parts that are there when used */
	uint64_t parts, memory;
	uint64_t *reftable, reftable_entries;
	bool rebuild;	      /* blocks are missing or bad */
	uint64_t block_at;    /* the refcount block in `block`; 0: none */
	uint8_t *block;
};

/* Tells of something found, which counts as `count` says. */
void qcow2_say(struct qcow2_checker *c, uint64_t *count, const char *format,
	       ...) __attribute__((format(printf, 3, 4)));

/* A cluster's record; NULL: it is zero, or (when `make`) memory is short. */
uint32_t *qcow2_record(struct qcow2_checker *c, uint64_t cluster, bool make);

/*
 * Counts `times` references to [at, at + length), of a kind. -EUCLEAN when it
 * is not in the file or is something else already; then told and not counted.
 */
int qcow2_refer(struct qcow2_checker *c, uint64_t at, uint64_t length,
		uint32_t kind, uint32_t times, const char *what);

/* The refcount that the file has. */
int qcow2_count_in_file(struct qcow2_checker *c, uint64_t cluster,
			uint64_t *count);

/* Counts the refcount table and its blocks. */
int qcow2_check_reftable(struct qcow2_checker *c);

/* Compares all refcounts with what was found, and mends them. */
int qcow2_check_counts(struct qcow2_checker *c);

#endif

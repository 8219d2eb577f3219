/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 as it lies in a file: QEMU's docs/interop/qcow2.txt, versions 2 and 3.
 * Numbers are big-endian.
 */
#ifndef LODGE_DISK_QCOW2_FORMAT_H
#define LODGE_DISK_QCOW2_FORMAT_H

#define QCOW2_MAGIC 0x514649fbu /* "QFI", 0xfb */

/* The header's fields, by their byte. */
enum {
	QCOW2_AT_MAGIC = 0,
	QCOW2_AT_VERSION = 4,
	QCOW2_AT_BACKING = 8,
	QCOW2_AT_BACKING_SIZE = 16,
	QCOW2_AT_CLUSTER_BITS = 20,
	QCOW2_AT_SIZE = 24,
	QCOW2_AT_CRYPT = 32,
	QCOW2_AT_L1_SIZE = 36,
	QCOW2_AT_L1 = 40,
	QCOW2_AT_REFTABLE = 48,
	QCOW2_AT_REFTABLE_CLUSTERS = 56,
	QCOW2_AT_SNAPSHOT_COUNT = 60,
	QCOW2_AT_SNAPSHOTS = 64,
	QCOW2_AT_INCOMPATIBLE = 72,
	QCOW2_AT_COMPATIBLE = 80,
	QCOW2_AT_AUTOCLEAR = 88,
	QCOW2_AT_REFCOUNT_ORDER = 96,
	QCOW2_AT_LENGTH = 100,
	QCOW2_AT_COMPRESSION = 104,
};

#define QCOW2_V2_LENGTH 72u
#define QCOW2_V3_LENGTH 104u
#define QCOW2_LENGTH	112u /* of the headers that we write */

/* Incompatible features. */
#define QCOW2_DIRTY	    (1ull << 0)
#define QCOW2_CORRUPT	    (1ull << 1)
#define QCOW2_DATA_FILE	    (1ull << 2)
#define QCOW2_COMPRESSION   (1ull << 3)
#define QCOW2_EXTENDED_L2   (1ull << 4)
#define QCOW2_INCOMPATIBLE  0x1full /* all known */
/* Compatible ones. */
#define QCOW2_LAZY (1ull << 0)
/* Those that a writer who does not know them clears. */
#define QCOW2_BITMAPS	(1ull << 0)
#define QCOW2_DATA_RAW	(1ull << 1)
#define QCOW2_AUTOCLEAR 0x3ull /* all known */

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

/* Header extensions. */
#define QCOW2_EXT_END		 0x00000000u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURES	 0x6803f857u
#define QCOW2_EXT_BITMAPS	 0x23852875u
#define QCOW2_EXT_CRYPT		 0x0537be77u
#define QCOW2_EXT_DATA_FILE	 0x44415441u

/* A record of the feature name table: kind, bit, name. */
#define QCOW2_FEATURE_RECORD 48u
#define QCOW2_FEATURE_NAME   46u

/* Entries of L1 and L2 tables. */
#define QCOW2_COPIED	 (1ull << 63) /* the refcount is exactly one */
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO	 (1ull << 0) /* version 3, not with extended L2 */
#define QCOW2_OFFSET	 0x00fffffffffffe00ull
/* Of refcount tables. */
#define QCOW2_REF_OFFSET 0xfffffffffffffe00ull

/* What the header says of encryption. */
enum { QCOW2_PLAIN, QCOW2_AES, QCOW2_LUKS };

#define QCOW2_CRYPT_SIZE 16u /* of that extension: offset, length */

#define QCOW2_SUBCLUSTERS 32u

/* Limits: the specification's, and QEMU's where it has none. */
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_SUB 14u /* least with extended L2 */
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_REFCOUNT_ORDER_MAX 6u
#define QCOW2_NAME_MAX	       1023u
#define QCOW2_L1_MAX	       (32u << 20) /* bytes */
#define QCOW2_REFTABLE_MAX     (8u << 20)
#define QCOW2_OFFSET_MAX       (1ull << 56)
#define QCOW2_SNAPSHOTS_MAX    65536u

#endif

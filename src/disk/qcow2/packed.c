/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed clusters of qcow2 images. Several may lie in one host cluster,
 * which is counted once for each; one may lie across two neighbours. Ours
 * begin at a sector, so that no sector that was flushed is written again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "disk/qcow2/qcow2.h"

#define SECTOR		 512u
#define DEFLATE_WINDOW	 12 /* bits that other readers have memory for */
#define ZSTD_WINDOW_MAX	 23 /* bits; a frame that wants more is refused */

/* --- the two kinds ---------------------------------------------------------- */

/* Gives exactly `room` bytes, whatever follows in `from`. */
static int inflate_all(uint8_t *to, uint32_t room, const uint8_t *from,
		       uint32_t size)
{
	z_stream stream = { .next_in = (uint8_t *)from, .avail_in = size,
			    .next_out = to, .avail_out = room };
	int result;

	if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
		return -ENOMEM;
	result = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	if (result != Z_STREAM_END && result != Z_BUF_ERROR)
		return -EIO;
	return stream.avail_out ? -EIO : 0;
}

static int unzstd_all(uint8_t *to, uint32_t room, const uint8_t *from,
		      uint32_t size)
{
	ZSTD_inBuffer in = { from, size, 0 };
	ZSTD_outBuffer out = { to, room, 0 };
	ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t result;

	if (!context)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_MAX);
	while (out.pos < out.size) {
		size_t before = in.pos + out.pos;

		result = ZSTD_decompressStream(context, &out, &in);
		if (ZSTD_isError(result) || in.pos + out.pos == before)
			break;
	}
	ZSTD_freeDCtx(context);
	return out.pos < out.size ? -EIO : 0;
}

/* The size of what `from` gets, 0: it does not get smaller than `room`. */
static uint32_t deflate_all(uint8_t *to, uint32_t room, const uint8_t *from,
			    uint32_t size)
{
	z_stream stream = { .next_in = (uint8_t *)from, .avail_in = size,
			    .next_out = to, .avail_out = room };
	int result;

	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
			 -DEFLATE_WINDOW, 9, Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	result = deflate(&stream, Z_FINISH);
	deflateEnd(&stream);
	return result == Z_STREAM_END ? (uint32_t)stream.total_out : 0;
}

static uint32_t zstd_all(uint8_t *to, uint32_t room, const uint8_t *from,
			 uint32_t size)
{
	size_t result = ZSTD_compress(to, room, from, size,
				      ZSTD_CLEVEL_DEFAULT);

	return ZSTD_isError(result) ? 0 : (uint32_t)result;
}

/* --- reading ---------------------------------------------------------------- */

static int unpack(struct qcow2 *q, uint64_t desc, uint8_t *to)
{
	uint64_t at;
	uint32_t size;
	uint8_t *packed;
	int error;

	qcow2_packed_place(q, desc, &at, &size);
	packed = malloc(size);
	if (!packed)
		return -ENOMEM;
	error = qcow2_read_padded(q->node.file, at, packed, size);
	if (!error)
		error = q->header.compression == QCOW2_ZSTD
				? unzstd_all(to, q->cluster_size, packed, size)
				: inflate_all(to, q->cluster_size, packed,
					      size);
	free(packed);
	return error;
}

/* From the cluster that was unpacked last, if it is this one. */
static bool read_unpacked(struct qcow2 *q, uint64_t desc, uint64_t in,
			  uint64_t length, struct disk_vec to)
{
	bool there;

	pthread_mutex_lock(&q->unpack_lock);
	there = q->unpacked_entry == desc;
	if (there)
		disk_vec_fill(to, q->unpacked + in, length);
	pthread_mutex_unlock(&q->unpack_lock);
	return there;
}

static void keep_unpacked(struct qcow2 *q, uint64_t desc, uint8_t *bytes)
{
	pthread_mutex_lock(&q->unpack_lock);
	free(q->unpacked);
	q->unpacked = bytes;
	q->unpacked_entry = desc;
	pthread_mutex_unlock(&q->unpack_lock);
}

int qcow2_read_packed(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec to)
{
	struct qcow2 *q = qcow2_of(node);
	uint64_t in = offset & (q->cluster_size - 1);
	struct qcow2_entry entry = { 0 };
	struct qcow2_spot spot;
	uint8_t *bytes;
	int error;

	pthread_mutex_lock(&q->lock);
	error = qcow2_find(q, offset, 0, &spot);
	if (!error && spot.slice)
		entry = qcow2_entry_get(q, spot.slice, spot.index);
	pthread_mutex_unlock(&q->lock);
	if (error || !(entry.desc & QCOW2_COMPRESSED))
		return error ? error : -EIO;
	if (read_unpacked(q, entry.desc, in, length, to))
		return 0;
	bytes = malloc(q->cluster_size);
	if (!bytes)
		return -ENOMEM;
	error = unpack(q, entry.desc, bytes);
	if (!error)
		disk_vec_fill(to, bytes + in, length);
	if (!error && length < q->cluster_size)
		keep_unpacked(q, entry.desc, bytes);
	else
		free(bytes);
	return error;
}

/* --- writing ---------------------------------------------------------------- */

/* Takes the rest of the last cluster in use, and a new one where that has not
 * enough. With `lock`. */
static int reserve(struct qcow2 *q, uint32_t size, uint64_t *at)
{
	unsigned int bits = q->header.cluster_bits;
	uint64_t left = q->packed_end - q->packed_at, more, got;
	bool clean;
	int error = -ERANGE;

	size = (uint32_t)qcow2_round_up(size, SECTOR);
	if (left >= size)
		error = qcow2_count_change(q, q->packed_at >> bits, 1, 1);
	if (error == -ERANGE) {
		error = qcow2_alloc(q, 1, &more, &got, &clean);
		if (error)
			return error;
		/* Across both, if they are neighbours and the count allows. */
		if (!left || left >= size || more != q->packed_end ||
		    qcow2_count_change(q, q->packed_at >> bits, 1, 1))
			q->packed_at = more;
		q->packed_end = more + q->cluster_size;
	}
	*at = q->packed_at;
	q->packed_at += size;
	return error;
}

/* What reserve() counted is not used. */
static void unreserve(struct qcow2 *q, uint64_t at, uint32_t size)
{
	unsigned int bits = q->header.cluster_bits;

	qcow2_alloc_undo(q, at, ((at + size - 1) >> bits) - (at >> bits) + 1);
}

void qcow2_packed_forget(struct qcow2 *q, uint64_t cluster)
{
	if (q->packed_at < q->packed_end &&
	    q->packed_at >> q->header.cluster_bits == cluster)
		q->packed_at = q->packed_end = 0;
}

/* The entry for bytes at `at`; 0: they lie too far. */
static uint64_t packed_entry(const struct qcow2 *q, uint64_t at, uint32_t size)
{
	unsigned int x = 62 - (q->header.cluster_bits - 8);
	uint64_t sectors = (at + size - 1) / SECTOR - at / SECTOR;

	if (at >> x || at >= QCOW2_OFFSET_MAX)
		return 0;
	return QCOW2_COMPRESSED | sectors << x | at;
}

static int commit(struct qcow2 *q, uint64_t offset, uint64_t desc)
{
	struct qcow2_entry old, new = { .desc = desc };
	struct qcow2_spot spot;
	int error = qcow2_find_own(q, offset, &spot);

	if (error)
		return error;
	old = qcow2_entry_get(q, spot.slice, spot.index);
	qcow2_entry_put(q, spot.slice, spot.index, new);
	return qcow2_entry_free(q, old, false);
}

static int write_bytes(struct qcow2 *q, uint64_t offset, const uint8_t *bytes,
		       uint32_t size)
{
	uint64_t at, desc = 0;
	int error;

	pthread_mutex_lock(&q->lock);
	error = reserve(q, size, &at);
	pthread_mutex_unlock(&q->lock);
	if (error)
		return error;
	desc = packed_entry(q, at, size);
	error = desc ? disk_write_bytes(q->node.file, at, bytes, size)
		     : -EFBIG;
	pthread_mutex_lock(&q->lock);
	if (!error)
		error = commit(q, offset, desc);
	if (error)
		unreserve(q, at, size);
	pthread_mutex_unlock(&q->lock);
	return error;
}

int qcow2_write_packed(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec from)
{
	struct qcow2 *q = qcow2_of(node);
	uint32_t room = q->cluster_size - SECTOR, size;
	uint8_t *plain;
	int error = q->external || q->crypt ? -ENOTSUP
					    : qcow2_begin(q, offset, length);

	if (error)
		return error;
	plain = calloc(2, q->cluster_size);
	if (!plain)
		return -ENOMEM;
	disk_vec_gather(plain, from, length);
	size = 0;
	if (room)
		size = q->header.compression == QCOW2_ZSTD
			       ? zstd_all(plain + q->cluster_size, room, plain,
					  q->cluster_size)
			       : deflate_all(plain + q->cluster_size, room,
					     plain, q->cluster_size);
	error = size ? write_bytes(q, offset, plain + q->cluster_size, size)
		     : -EFBIG;
	if (error == -EFBIG)
		error = qcow2_write(node, offset, length, from);
	free(plain);
	return error;
}

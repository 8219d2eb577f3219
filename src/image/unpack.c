/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other half of the extension "pull": files packed by xz and zstd, a piece
 * at a time.
 */
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "image/download.h"

#define PIECE	    (1u << 20)
#define HOLE	    4096u
#define MEMORY_MAX  ((uint64_t)1 << 29) /* for a dictionary */
#define WINDOW_LOG  29

struct unpack {
	int from, to;
	uint64_t at, limit;
	struct disk_job *job;
	uint8_t *in, *out; /* PIECE bytes each */
	size_t have; /* of `in` */
	lzma_stream lzma;
	ZSTD_DStream *zstd;
};

/* Writes, but for whole blocks of zeros: they stay holes. */
static int put(struct unpack *u, size_t size)
{
	static const uint8_t zeros[HOLE];

	if (size > u->limit - u->at)
		return -EFBIG;
	for (size_t done = 0; done < size;) {
		size_t n = size - done < HOLE ? size - done : HOLE;
		ssize_t wrote = (ssize_t)n;

		if (n < HOLE || memcmp(u->out + done, zeros, HOLE))
			wrote = pwrite(u->to, u->out + done, n,
				       (off_t)(u->at + done));
		if (wrote <= 0)
			return wrote ? -errno : -EIO;
		done += (size_t)wrote;
	}
	u->at += size;
	return 0;
}

static int refill(struct unpack *u)
{
	ssize_t n = read(u->from, u->in, PIECE);

	if (n < 0)
		return -errno;
	u->have = (size_t)n;
	atomic_fetch_add(&u->job->done, (uint64_t)n);
	return atomic_load(&u->job->cancel) ? -ECANCELED : 0;
}

static int unpack_xz(struct unpack *u)
{
	lzma_ret got = LZMA_OK;
	int err = 0;

	if (lzma_stream_decoder(&u->lzma, MEMORY_MAX, LZMA_CONCATENATED))
		return -ENOMEM;
	while (!err && got != LZMA_STREAM_END) {
		if (!u->lzma.avail_in) {
			err = refill(u);
			u->lzma.next_in = u->in;
			u->lzma.avail_in = u->have;
		}
		u->lzma.next_out = u->out;
		u->lzma.avail_out = PIECE;
		if (!err)
			got = lzma_code(&u->lzma,
					u->have ? LZMA_RUN : LZMA_FINISH);
		if (!err && got != LZMA_OK && got != LZMA_STREAM_END)
			err = got == LZMA_MEMLIMIT_ERROR ? -EFBIG : -EBADMSG;
		if (!err)
			err = put(u, PIECE - u->lzma.avail_out);
	}
	lzma_end(&u->lzma);
	return err;
}

static int unpack_zstd(struct unpack *u)
{
	ZSTD_inBuffer in = { u->in, 0, 0 };
	size_t left = 1;
	int err = 0;

	u->zstd = ZSTD_createDStream();
	if (!u->zstd)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
	while (!err) {
		ZSTD_outBuffer out = { u->out, PIECE, 0 };

		if (in.pos == in.size) {
			err = refill(u);
			in = (ZSTD_inBuffer){ u->in, u->have, 0 };
			if (err || !u->have)
				break;
		}
		left = ZSTD_decompressStream(u->zstd, &out, &in);
		err = ZSTD_isError(left) ? -EBADMSG : put(u, out.pos);
		/* What did not fit comes before more is read. */
		while (!err && out.pos == out.size) {
			out.pos = 0;
			left = ZSTD_decompressStream(u->zstd, &out, &in);
			err = ZSTD_isError(left) ? -EBADMSG : put(u, out.pos);
		}
	}
	ZSTD_freeDStream(u->zstd);
	return err ? err : left ? -EBADMSG : 0;
}

int download_unpack(int from, int to, uint64_t limit, struct disk_job *job,
		    struct disk_error *error)
{
	static const uint8_t xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
	static const uint8_t zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	struct unpack u = {
		.from = from, .to = to, .limit = limit, .job = job,
		.in = malloc(PIECE), .out = malloc(PIECE),
		.lzma = LZMA_STREAM_INIT,
	};
	uint8_t head[6] = { 0 };
	int err;

	if (!u.in || !u.out)
		err = -ENOMEM;
	else if (pread(from, head, sizeof(head), 0) < 0)
		err = -errno;
	else if (!memcmp(head, xz, sizeof(xz)))
		err = unpack_xz(&u);
	else if (!memcmp(head, zstd, sizeof(zstd)))
		err = unpack_zstd(&u);
	else
		err = -ENOTSUP;
	if (!err && ftruncate(to, (off_t)u.at))
		err = -errno;
	free(u.in);
	free(u.out);
	if (err)
		disk_error_set(error, err, "%s",
			       err == -ENOTSUP ? "is packed neither by xz nor "
						 "by zstd" :
			       err == -EBADMSG ? "is damaged: it cannot be "
						 "unpacked" :
			       err == -EFBIG ? "is larger than may be when "
					       "unpacked" :
			       strerror(-err));
	return err;
}

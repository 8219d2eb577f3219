/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the extension "pull" has: files from servers (HTTP and HTTPS, RFC 9110,
 * by libcurl, which heeds http_proxy and its kin) and packed files unpacked.
 */
#ifndef LODGE_IMAGE_DOWNLOAD_H
#define LODGE_IMAGE_DOWNLOAD_H

#include <stdint.h>

#include "disk/job.h"

#define DOWNLOAD_VALIDATOR 256

struct download {
	const char *url;
	int fd;		 /* written to, from the end of what it has */
	uint64_t limit;	 /* bytes at most */
	unsigned int stall; /* seconds without a byte that are too long */
	/* What the file has is of this version (a strong ETag, or a date);
	 * "": unknown, so it begins anew. Kept up to date. */
	char validator[DOWNLOAD_VALIDATOR];
	/* The validator has changed: what the file has is of this one now. */
	void (*begun)(struct download *download);
	void *ctx;
};

/*
 * Gets all of it. A transfer that was cut or stalls goes on where it was, as
 * long as tries bring something. 0, or a negative errno with `error`: what
 * came is in the file, and another call goes on there.
 */
typedef int download_getter(struct download *download, struct disk_job *job,
			    struct disk_error *error);

/*
 * Unpacks file `from` (xz or zstd, by its first bytes) into the empty file
 * `to`, zeros as holes; no more than `limit` bytes. 0, -errno with `error`.
 */
typedef int download_unpacker(int from, int to, uint64_t limit,
			      struct disk_job *job, struct disk_error *error);

download_getter download_get;
download_unpacker download_unpack;

#endif

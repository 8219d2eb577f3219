/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share contract: what a file-system device asks of the folder behind it,
 * whoever keeps that (src/share). A host makes a struct share, the board hands
 * it to a device.
 *
 * A request is bytes of the guest's and room for bytes to answer with; what
 * they mean (FUSE) is between the guest and the keeper. share_submit() never
 * waits, but for a moment (some 0.05 ms) where `patient` says so. A request that
 * was served by then is over when it returns; any other ends with its done(), on
 * a thread of the host's, with no lock held. The memory that spans name must
 * stay until then.
 */
#ifndef LODGE_VM_SHARE_H
#define LODGE_VM_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/span.h"

#define SHARE_TAG_MAX  36u /* bytes of the name that guests mount it by */
#define SHARE_HEAD     40u /* bytes that each request begins with */

struct share_request {
	const struct span *out, *in; /* from the guest; for the guest */
	unsigned int outs, ins;
	uint32_t out_size, in_size; /* as the spans say; SHARE_HEAD at least */
	uint32_t written; /* when it is over: bytes of `in` */
	bool patient; /* whoever submits it has nothing else to do now */
	void (*done)(struct share_request *request);
	void *ctx; /* the submitter's */
	struct share_request *next; /* the host's, until it is over */
};

struct share;

struct share_ops {
	/* True: it is over. False: done() comes. */
	bool (*submit)(struct share *share, struct share_request *request);
	void (*close)(struct share *share);
};

struct share {
	const struct share_ops *ops;
};

static inline bool share_submit(struct share *share,
				struct share_request *request)
{
	return share->ops->submit(share, request);
}

/* Nothing is under way any more. NULL is fine. */
static inline void share_close(struct share *share)
{
	if (share)
		share->ops->close(share);
}

#endif

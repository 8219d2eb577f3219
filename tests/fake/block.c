/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block in memory; see block.h.
 */
#include "fake/block.h"

#include <errno.h>
#include <string.h>

#include "vm/host.h"

static void copy(struct fake_block *fake, struct block_request *r)
{
	uint8_t *at = fake->data + r->offset;
	uint64_t total = 0;

	for (unsigned int i = 0; i < r->spans; i++) {
		if (r->op == BLOCK_READ)
			memcpy(r->span[i].data, at, r->span[i].size);
		else
			memcpy(at, r->span[i].data, r->span[i].size);
		at += r->span[i].size;
		total += r->span[i].size;
	}
	bug_on(total != r->length);
}

static void perform(struct fake_block *fake, struct block_request *r)
{
	r->error = fake->fail;
	if (r->error)
		return;
	switch (r->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		copy(fake, r);
		break;
	case BLOCK_FLUSH:
		fake->flushes++;
		break;
	case BLOCK_DISCARD:
		fake->discards++;
		memset(fake->data + r->offset, 0xdd, r->length);
		break;
	case BLOCK_ZERO:
		fake->unmaps += r->may_unmap;
		memset(fake->data + r->offset, 0, r->length);
		break;
	}
}

static bool submit(struct block *block, struct block_request *r)
{
	struct fake_block *fake = (struct fake_block *)block;

	if (!fake->later) {
		perform(fake, r);
		return true;
	}
	bug_on(fake->waiting_count == FAKE_BLOCK_WAITING);
	fake->waiting[fake->waiting_count++] = r;
	return false;
}

static void close(struct block *block)
{
}

static const struct block_ops ops = { .submit = submit, .close = close };

void fake_block_init(struct fake_block *fake, uint8_t *data, uint64_t size)
{
	memset(fake, 0, sizeof(*fake));
	fake->data = data;
	fake->block = (struct block){
		.ops = &ops,
		.size = size,
		.physical = 4096,
		.can_discard = true,
	};
}

void fake_block_end(struct fake_block *fake, unsigned int index)
{
	struct block_request *r = fake->waiting[index];

	bug_on(index >= fake->waiting_count);
	fake->waiting_count--;
	memmove(&fake->waiting[index], &fake->waiting[index + 1],
		(fake->waiting_count - index) * sizeof(fake->waiting[0]));
	perform(fake, r);
	r->done(r);
}

static void run_done(struct block_request *r)
{
	host_event_set(r->ctx);
}

int fake_block_run(struct block *block, enum block_op op, uint64_t offset,
		   void *buf, size_t size)
{
	struct host_event over = { 0 };
	const struct span span = { buf, size };
	struct block_request r = { .op = op, .offset = offset, .length = size,
				   .span = &span, .spans = 1,
				   .done = run_done, .ctx = &over };

	if (!block_submit(block, &r))
		host_event_wait(&over, UINT64_MAX);
	return r.error;
}

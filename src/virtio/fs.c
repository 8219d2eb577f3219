/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File-system device (virtio 1.2, 5.11): queue 0 for what must not wait behind
 * others, then queues of requests. A request goes to the share as it is; one
 * without room for an answer (forgets) is over as soon as it was read. Left
 * out: the notification queue, which no driver knows, and the DAX window.
 *
 * What the driver has open lives on the host's side and is not part of saved
 * state.
 */
#include "virtio/fs.h"

#include "virtio/lane.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define QUICK_TOTAL 65536u /* bytes that a processor's thread may copy */

/* Configuration space (5.11.4) */
#define CFG_TAG	    0
#define CFG_QUEUES  36
#define CFG_SIZE    40

struct fs_request {
	struct virtio_request base;
	struct share_request share;
};

struct virtio_fs {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct share *share;
	struct virtio_lane *lane; /* one a queue */
	unsigned int queues;  /* all of them */
};

static struct virtio_fs *fs_of(struct virtio_queue *q)
{
	return (struct virtio_fs *)q->device;
}

/* --- requests; held: the queue's lock ------------------------------------------ */

static struct fs_request *next_request(struct virtio_queue *q)
{
	return virtio_lane_next(&fs_of(q)->lane[q->index], q,
				sizeof(struct fs_request));
}

static void free_request(struct fs_request *r)
{
	struct virtio_queue *q = r->base.queue;

	virtio_lane_put(&fs_of(q)->lane[q->index], &r->base);
}

static void end(struct fs_request *r)
{
	virtio_queue_push(r->base.queue, &r->base.buffer, r->share.written);
	free_request(r);
}

/* Any thread, no lock held. */
static void request_done(struct share_request *share)
{
	struct fs_request *r = share->ctx;
	struct virtio_queue *q = r->base.queue;

	host_lock(&q->lock);
	end(r);
	virtio_queue_signal(q);
	host_unlock(&q->lock);
}

static void begin(struct fs_request *r, bool patient)
{
	struct virtio_queue *q = r->base.queue;
	struct virtio_buffer *b = &r->base.buffer;

	r->share = (struct share_request){
		.out = b->span,
		.in = b->span + b->out_spans,
		.outs = b->out_spans,
		.ins = b->in_spans,
		.out_size = b->out_size,
		.in_size = b->in_size,
		.patient = patient,
		.done = request_done,
		.ctx = r,
	};
	if (b->out_size < SHARE_HEAD) {
		virtio_broken(q->device, "a request without a header");
		end(r);
	} else if (share_submit(fs_of(q)->share, &r->share)) {
		end(r);
	}
}

static void ready(struct virtio_device *device, struct virtio_queue *q)
{
	struct fs_request *r;

	while ((r = next_request(q)))
		begin(r, false);
}

/*
 * Small requests spare a change of threads, as those of blk.c. Who asks for
 * names and attributes waits for the answer before it does anything else: so
 * this thread does too, for the last of them.
 */
static bool quick(struct virtio_device *device, struct virtio_queue *q)
{
	struct fs_request *r = next_request(q);
	uint64_t total = 0;

	while (r) {
		struct fs_request *next;

		total += r->base.buffer.out_size;
		if (total > QUICK_TOTAL) {
			virtio_queue_unpop(q, &r->base.buffer);
			free_request(r);
			return false;
		}
		next = next_request(q);
		begin(r, !next && r->base.buffer.in_size <= QUICK_TOTAL);
		r = next;
	}
	return total;
}

/* --- making one ------------------------------------------------------------------ */

static const struct virtio_class fs_class = {
	.name = "fs",
	.id = 26,
	.pci_class = 0x018000, /* storage of another kind */
	.config_size = CFG_SIZE,
	.ready = ready,
	.quick = quick,
};

static void fini(void *object)
{
	struct virtio_fs *fs = object;

	for (unsigned int i = 0; i < fs->queues; i++)
		virtio_lane_fini(&fs->lane[i]);
	host_free(fs->lane);
	host_free(fs);
}

/* Added before its parts, so that it ends after them. */
static const struct device_class fs_object_class = {
	.name = "virtio-fs",
	.fini = fini,
};

int virtio_fs_create(struct virtio_fs **out, struct vm *vm,
		     const struct virtio_fs_config *config)
{
	struct virtio_fs *fs = host_alloc(sizeof(*fs));
	int err;

	if (!fs)
		return -VM_ENOMEM;
	fs->share = config->share;
	fs->queues = 1 + config->queues;
	fs->lane = host_alloc(fs->queues * sizeof(*fs->lane));
	err = fs->lane ? vm_add_device(vm, &fs_object_class, fs)
		       : -VM_ENOMEM;
	if (err) {
		host_free(fs->lane);
		host_free(fs);
		return err;
	}
	err = virtio_init(&fs->virtio, vm, &fs_class, fs->queues,
			  VIRTIO_LANE_MAX);
	if (err)
		return err;
	for (unsigned int i = 0; i < SHARE_TAG_MAX && config->tag[i]; i++)
		virtio_config_put(&fs->virtio, CFG_TAG + i, 1,
				  (uint8_t)config->tag[i]);
	virtio_config_put(&fs->virtio, CFG_QUEUES, 4, config->queues);
	err = virtio_pci_init(&fs->pci, &fs->virtio);
	if (!err)
		*out = fs;
	return err;
}

struct pci_device *virtio_fs_pci(struct virtio_fs *fs)
{
	return &fs->pci.pci;
}

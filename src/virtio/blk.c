/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block device (virtio 1.2, 5.2): reads, writes, flush, discard, write zeroes,
 * serial number; several queues; topology. Requests end in any order. Left
 * out: lifetime, secure erase, zoned devices, barriers of legacy drivers.
 *
 * Without the FLUSH feature a driver expects what it wrote to be durable: then
 * each write is followed by a flush (5.2.6.2). The driver may also choose so
 * by the writeback field.
 */
#include "virtio/blk.h"

#include "virtio/lane.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define SECTOR	    512u
#define QUICK_TOTAL 1114112u /* 1 MiB, headers, states, and some room */
#define SEGMENTS    (VIRTIO_LANE_MAX - 2) /* without header and status */

#define F_SEG_MAX      VIRTIO_F(2)
#define F_RO	       VIRTIO_F(5)
#define F_BLK_SIZE     VIRTIO_F(6)
#define F_FLUSH	       VIRTIO_F(9)
#define F_TOPOLOGY     VIRTIO_F(10)
#define F_CONFIG_WCE   VIRTIO_F(11)
#define F_MQ	       VIRTIO_F(12)
#define F_DISCARD      VIRTIO_F(13)
#define F_WRITE_ZEROES VIRTIO_F(14)

/* Configuration space (5.2.4) */
#define CFG_CAPACITY	      0
#define CFG_SEG_MAX	      12
#define CFG_BLK_SIZE	      20
#define CFG_PHYSICAL_EXP      24
#define CFG_MIN_IO	      26
#define CFG_OPT_IO	      28
#define CFG_WRITEBACK	      32
#define CFG_QUEUES	      34
#define CFG_DISCARD_SECTORS   36
#define CFG_DISCARD_SEGMENTS  40
#define CFG_DISCARD_ALIGN     44
#define CFG_ZEROES_SECTORS    48
#define CFG_ZEROES_SEGMENTS   52
#define CFG_ZEROES_MAY_UNMAP  56
#define CFG_SIZE	      60

#define T_IN	       0u
#define T_OUT	       1u
#define T_FLUSH	       4u
#define T_GET_ID       8u
#define T_DISCARD      11u
#define T_WRITE_ZEROES 13u

#define S_OK	  0
#define S_IOERR	  1
#define S_UNSUPP  2

#define RANGE_SECTORS_MAX 0x400000u /* 2 GiB at a time */
#define RANGE_UNMAP	  1u

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

/* A segment of discard and write zeroes. */
struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

struct blk_request {
	struct virtio_request base;
	struct block_request block;
	struct header header;
	uint32_t written;	    /* bytes before the status */
	struct span data[VIRTIO_SPANS_MAX];
	bool then_flush;
};

struct virtio_blk {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct block *block;
	struct virtio_lane *lane; /* one a queue */
	unsigned int queues;
	char serial[VIRTIO_BLK_SERIAL];
};

static struct virtio_blk *blk_of(struct virtio_queue *q)
{
	return (struct virtio_blk *)q->device;
}

/* --- requests -------------------------------------------------------------------- */

static struct blk_request *next_request(struct virtio_queue *q)
{
	return virtio_lane_next(&blk_of(q)->lane[q->index], q,
				sizeof(struct blk_request));
}

static void free_request(struct blk_request *r)
{
	struct virtio_queue *q = r->base.queue;

	virtio_lane_put(&blk_of(q)->lane[q->index], &r->base);
}

/* The status is the last byte that the driver lets us write (5.2.6). */
static uint32_t put_status(struct blk_request *r, uint8_t status)
{
	uint32_t at = r->base.buffer.in_size - 1;

	virtio_buffer_write(r->base.queue, &r->base.buffer, at, &status, 1);
	/* The length counts what is written without a gap (2.7.8.2). */
	if (status != S_OK)
		r->written = 0;
	return r->written == at ? at + 1 : r->written;
}

/* Held: the queue's lock. */
static void end_locked(struct blk_request *r, uint8_t status)
{
	virtio_queue_push(r->base.queue, &r->base.buffer,
			  put_status(r, status));
	free_request(r);
}

static uint8_t status_of(int error)
{
	if (error == -VM_ENOTSUP)
		return S_UNSUPP;
	return error ? S_IOERR : S_OK;
}

/* Whether a write has to be made durable before it ends. */
static bool write_through(const struct virtio_device *dev)
{
	if (virtio_has(dev, F_CONFIG_WCE))
		return !dev->config[CFG_WRITEBACK];
	return !virtio_has(dev, F_FLUSH);
}

/* A step of the request is over; true: all of it. */
static bool stepped(struct blk_request *r)
{
	for (;;) {
		if (r->block.error || !r->then_flush)
			return true;
		r->then_flush = false;
		r->block.op = BLOCK_FLUSH;
		if (!block_submit(blk_of(r->base.queue)->block, &r->block))
			return false;
	}
}

/* Any thread, no lock held. */
static void request_done(struct block_request *block)
{
	struct blk_request *r = block->ctx;
	struct virtio_queue *q = r->base.queue;
	uint32_t written;

	if (!stepped(r))
		return;
	written = put_status(r, status_of(block->error));
	host_lock(&q->lock);
	virtio_queue_push(q, &r->base.buffer, written);
	free_request(r);
	virtio_queue_signal(q);
	host_unlock(&q->lock);
}

static void submit(struct blk_request *r)
{
	r->block.done = request_done;
	r->block.ctx = r;
	if (block_submit(blk_of(r->base.queue)->block, &r->block) && stepped(r))
		end_locked(r, status_of(r->block.error));
}

/* --- kinds of request --------------------------------------------------------------- */

static void start_io(struct blk_request *r, bool write)
{
	struct virtio_buffer *b = &r->base.buffer;
	const struct span *in = b->span + b->out_spans;
	uint64_t length = write ? b->out_size - sizeof(r->header)
				: b->in_size - 1;

	if (length % SECTOR || r->header.sector > UINT64_MAX / SECTOR ||
	    (write && (blk_of(r->base.queue)->virtio.features & F_RO))) {
		end_locked(r, S_IOERR);
		return;
	}
	r->block = (struct block_request){
		.op = write ? BLOCK_WRITE : BLOCK_READ,
		.offset = r->header.sector * SECTOR,
		.length = length,
		.span = r->data,
		.spans = write ? span_cut(r->data, b->span, b->out_spans,
					  sizeof(r->header), length)
			       : span_cut(r->data, in, b->in_spans, 0, length),
	};
	r->written = write ? 0 : (uint32_t)length;
	r->then_flush = write && write_through(r->base.queue->device);
	if (length)
		submit(r);
	else
		end_locked(r, S_OK);
}

static void start_flush(struct blk_request *r)
{
	r->block = (struct block_request){ .op = BLOCK_FLUSH };
	submit(r);
}

/* One range a request: the configuration space says so. */
static void start_range(struct blk_request *r, bool zero)
{
	struct virtio_device *dev = r->base.queue->device;
	uint64_t feature = zero ? F_WRITE_ZEROES : F_DISCARD;
	struct range range;

	if (!virtio_has(dev, feature)) {
		end_locked(r, S_UNSUPP);
		return;
	}
	if (r->base.buffer.out_size != sizeof(r->header) + sizeof(range) ||
	    virtio_buffer_read(&r->base.buffer, sizeof(r->header), &range,
			       sizeof(range)) != sizeof(range) ||
	    range.sectors > RANGE_SECTORS_MAX ||
	    range.sector > UINT64_MAX / SECTOR) {
		end_locked(r, S_IOERR);
		return;
	}
	/* 5.2.6.2: unknown flags, and unmap where it has no meaning. */
	if (range.flags & ~(zero ? RANGE_UNMAP : 0)) {
		end_locked(r, S_UNSUPP);
		return;
	}
	r->block = (struct block_request){
		.op = zero ? BLOCK_ZERO : BLOCK_DISCARD,
		.offset = range.sector * SECTOR,
		.length = (uint64_t)range.sectors * SECTOR,
		.may_unmap = range.flags & RANGE_UNMAP,
	};
	r->then_flush = zero && write_through(dev);
	submit(r);
}

static void get_id(struct blk_request *r)
{
	const struct virtio_blk *blk = blk_of(r->base.queue);
	uint32_t room = r->base.buffer.in_size - 1;
	uint32_t size = room < sizeof(blk->serial) ? room
						   : sizeof(blk->serial);

	r->written = virtio_buffer_write(r->base.queue, &r->base.buffer, 0,
					 blk->serial, size);
	end_locked(r, S_OK);
}

static void start(struct blk_request *r)
{
	r->written = 0;
	r->then_flush = false;
	switch (r->header.type) {
	case T_IN:
		start_io(r, false);
		break;
	case T_OUT:
		start_io(r, true);
		break;
	case T_FLUSH:
		start_flush(r);
		break;
	case T_GET_ID:
		get_id(r);
		break;
	case T_DISCARD:
		start_range(r, false);
		break;
	case T_WRITE_ZEROES:
		start_range(r, true);
		break;
	default:
		end_locked(r, S_UNSUPP);
		break;
	}
}

static void begin(struct blk_request *r)
{
	struct virtio_queue *q = r->base.queue;

	if (r->base.buffer.in_size &&
	    virtio_buffer_read(&r->base.buffer, 0, &r->header,
			       sizeof(r->header)) ==
		    sizeof(r->header)) {
		start(r);
		return;
	}
	virtio_broken(q->device, "a request without a header");
	virtio_queue_push(q, &r->base.buffer, 0);
	free_request(r);
}

static void ready(struct virtio_device *device, struct virtio_queue *q)
{
	struct blk_request *r;

	while ((r = next_request(q)))
		begin(r);
}

/*
 * Requests for which whoever waits for them would otherwise wait for two
 * changes of threads more. None of them waits for anything here, but bytes may
 * be copied, 1 MiB in some 0.1 ms: what follows more than that is the
 * worker's, beside the processor.
 */
static bool quick(struct virtio_device *device, struct virtio_queue *q)
{
	for (uint64_t total = 0;;) {
		struct blk_request *r = next_request(q);

		if (!r)
			return total;
		total += (uint64_t)r->base.buffer.in_size +
			 r->base.buffer.out_size;
		if (total > QUICK_TOTAL) {
			virtio_queue_unpop(q, &r->base.buffer);
			free_request(r);
			return false;
		}
		begin(r);
	}
}

/* --- configuration ---------------------------------------------------------------------- */

/* The only field that a driver writes: its choice of a write cache. */
static void config_written(struct virtio_device *device, unsigned int at,
			   unsigned int size, uint32_t value)
{
	if (at == CFG_WRITEBACK && size == 1 &&
	    virtio_has(device, F_CONFIG_WCE))
		device->config[at] = value & 1;
}

static void reset(struct virtio_device *device)
{
	device->config[CFG_WRITEBACK] = 1;
}

/* 5.2.5: without the FLUSH feature there is no cache to speak of. */
static void started(struct virtio_device *device)
{
	if (!virtio_has(device, F_CONFIG_WCE) && !virtio_has(device, F_FLUSH))
		device->config[CFG_WRITEBACK] = 0;
}

static void describe(struct virtio_blk *blk,
		     const struct virtio_blk_config *config)
{
	struct virtio_device *dev = &blk->virtio;
	const struct block *block = config->block;
	unsigned int exponent = 0;

	dev->features |= F_SEG_MAX | F_BLK_SIZE | F_TOPOLOGY | F_FLUSH |
			 F_CONFIG_WCE;
	if (config->queues > 1)
		dev->features |= F_MQ;
	if (block->readonly)
		dev->features |= F_RO;
	else
		dev->features |= F_WRITE_ZEROES;
	if (!block->readonly && block->can_discard)
		dev->features |= F_DISCARD;
	while (SECTOR << (exponent + 1) <= block->physical)
		exponent++;
	virtio_config_put(dev, CFG_CAPACITY, 8, block->size / SECTOR);
	virtio_config_put(dev, CFG_SEG_MAX, 4, SEGMENTS);
	virtio_config_put(dev, CFG_BLK_SIZE, 4, SECTOR);
	virtio_config_put(dev, CFG_PHYSICAL_EXP, 1, exponent);
	virtio_config_put(dev, CFG_MIN_IO, 2, 1u << exponent);
	virtio_config_put(dev, CFG_OPT_IO, 4, 0);
	virtio_config_put(dev, CFG_WRITEBACK, 1, 1);
	virtio_config_put(dev, CFG_QUEUES, 2, config->queues);
	virtio_config_put(dev, CFG_DISCARD_SECTORS, 4, RANGE_SECTORS_MAX);
	virtio_config_put(dev, CFG_DISCARD_SEGMENTS, 4, 1);
	virtio_config_put(dev, CFG_DISCARD_ALIGN, 4, 1u << exponent);
	virtio_config_put(dev, CFG_ZEROES_SECTORS, 4, RANGE_SECTORS_MAX);
	virtio_config_put(dev, CFG_ZEROES_SEGMENTS, 4, 1);
	virtio_config_put(dev, CFG_ZEROES_MAY_UNMAP, 1, 1);
	for (unsigned int i = 0; config->serial && config->serial[i] &&
				 i < sizeof(blk->serial);
	     i++)
		blk->serial[i] = config->serial[i];
}

static const struct virtio_class blk_class = {
	.name = "blk",
	.id = 2,
	.pci_class = 0x010000,
	.config_size = CFG_SIZE,
	.ready = ready,
	.quick = quick,
	.started = started,
	.reset = reset,
	.config_written = config_written,
};

/* --- making one ---------------------------------------------------------------------------- */

static void fini(void *object)
{
	struct virtio_blk *blk = object;

	for (unsigned int i = 0; i < blk->queues; i++)
		virtio_lane_fini(&blk->lane[i]);
	host_free(blk->lane);
	host_free(blk);
}

/* Added before its parts, so that it ends after them. */
static const struct device_class blk_object_class = {
	.name = "virtio-blk",
	.fini = fini,
};

int virtio_blk_create(struct virtio_blk **out, struct vm *vm,
		      const struct virtio_blk_config *config)
{
	struct virtio_blk *blk = host_alloc(sizeof(*blk));
	int err;

	if (!blk)
		return -VM_ENOMEM;
	blk->block = config->block;
	blk->queues = config->queues;
	blk->lane = host_alloc(config->queues * sizeof(*blk->lane));
	err = blk->lane ? vm_add_device(vm, &blk_object_class, blk)
			: -VM_ENOMEM;
	if (err) {
		host_free(blk->lane);
		host_free(blk);
		return err;
	}
	err = virtio_init(&blk->virtio, vm, &blk_class, config->queues,
			  VIRTIO_LANE_MAX);
	if (err)
		return err;
	describe(blk, config);
	err = virtio_pci_init(&blk->pci, &blk->virtio);
	if (!err)
		*out = blk;
	return err;
}

struct pci_device *virtio_blk_pci(struct virtio_blk *blk)
{
	return &blk->pci.pci;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory balloon; see balloon.h. Pages of the inflate queue and of reports are
 * discarded: they read as zeros when the guest touches them again, whether it
 * has told of that or not, so there is nothing to do for the deflate queue.
 *
 * The buffer of the statistics queue is the driver's until its next turn: it
 * is put back into the ring after reading, so that nothing of it is under way
 * while the device is reset or saved.
 *
 * Hints of free pages (5.5.6.5) are for migration. They are offered, because
 * drivers count queues by what is offered, and never asked for: the command
 * stays STOP.
 */
#include "virtio/balloon.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define QUEUE_SIZE  128
#define PAGES_MAX   256 /* page numbers looked at together */
#define STATS_MAX   64	/* entries of a buffer of statistics */

/* Queues; named from the driver's side */
#define INFLATE 0
#define DEFLATE 1
#define STATS	2
#define HINTS	3
#define REPORTS 4
#define QUEUES	5

#define F_STATS	    VIRTIO_F(1)
#define F_OOM	    VIRTIO_F(2) /* the driver's affair alone */
#define F_HINTS	    VIRTIO_F(3)
#define F_POISON    VIRTIO_F(4)
#define F_REPORTING VIRTIO_F(5)

/* Configuration space (5.5.4) */
#define CFG_PAGES  0
#define CFG_ACTUAL 4
#define CFG_HINTS  8
#define CFG_POISON 12
#define CFG_SIZE   16

struct stat_entry {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

static uint32_t config_get(const struct virtio_device *dev, unsigned int at)
{
	uint32_t value;

	memcpy(&value, dev->config + at, sizeof(value));
	return value;
}

/* --- pages ------------------------------------------------------------------------ */

static void sort(uint32_t *page, unsigned int count)
{
	for (unsigned int i = 1; i < count; i++) {
		uint32_t value = page[i];
		unsigned int at = i;

		for (; at && page[at - 1] > value; at--)
			page[at] = page[at - 1];
		page[at] = value;
	}
}

static void discard(struct virtio_balloon *b, uint64_t page, uint64_t count)
{
	memory_discard(&b->virtio.vm->memory, gpa(page << PAGE_SHIFT),
		       count << PAGE_SHIFT);
}

/* Neighbours go together: a call of the host for each run of pages. */
static void discard_pages(struct virtio_balloon *b, uint32_t *page,
			  unsigned int count)
{
	unsigned int from = 0;

	sort(page, count);
	for (unsigned int i = 1; i <= count; i++) {
		if (i < count && page[i] - page[i - 1] <= 1)
			continue;
		discard(b, page[from], (uint64_t)page[i - 1] - page[from] + 1);
		from = i;
	}
}

static void inflate(struct virtio_balloon *b, struct virtio_queue *q)
{
	struct virtio_buffer *buffer = &b->buffer[INFLATE];
	uint32_t page[PAGES_MAX];

	while (virtio_queue_pop(q, buffer)) {
		uint32_t at = 0, got;

		while ((got = virtio_buffer_read(buffer, at, page,
						 sizeof(page)) /
			      (uint32_t)sizeof(*page))) {
			discard_pages(b, page, got);
			at += got * (uint32_t)sizeof(*page);
		}
		virtio_queue_push(q, buffer, 0);
	}
}

static void take_report(struct virtio_balloon *b,
			const struct virtio_buffer *buffer)
{
	const struct span *span = buffer->span + buffer->out_spans;

	for (unsigned int i = 0; i < buffer->in_spans; i++)
		memory_discard_host(&b->virtio.vm->memory, span[i].data,
				    span[i].size);
}

/*
 * 5.5.6.7.2: with PAGE_POISON reported pages keep `poison_val`, which zeros
 * may not be. A report may be large: other devices have a turn after each.
 */
static void take_reports(struct virtio_balloon *b, struct virtio_queue *q)
{
	struct virtio_buffer *buffer = &b->buffer[REPORTS];

	if (!virtio_queue_pop(q, buffer))
		return;
	if (!b->poisoned || !virtio_has(&b->virtio, F_POISON))
		take_report(b, buffer);
	virtio_queue_push(q, buffer, 0);
	virtio_queue_kick(q);
}

static void give_back(struct virtio_queue *q, struct virtio_buffer *buffer)
{
	while (virtio_queue_pop(q, buffer))
		virtio_queue_push(q, buffer, 0);
}

/* --- statistics --------------------------------------------------------------------- */

static void read_stats(struct virtio_balloon *b,
		       const struct virtio_buffer *buffer)
{
	struct stat_entry entry[STATS_MAX];
	uint32_t size = virtio_buffer_read(buffer, 0, entry, sizeof(entry));

	b->stats = (struct virtio_balloon_stats){
		.at = clock_now(&b->virtio.vm->clock),
	};
	for (unsigned int i = 0; i < size / sizeof(entry[0]); i++) {
		if (entry[i].tag >= VIRTIO_BALLOON_STATS)
			continue;
		b->stats.known |= 1u << entry[i].tag;
		b->stats.value[entry[i].tag] = entry[i].value;
	}
}

/* The driver has one buffer here: what it says, until it gets it back. */
static void take_stats(struct virtio_balloon *b, struct virtio_queue *q)
{
	struct virtio_buffer *buffer = &b->buffer[STATS];

	while (virtio_queue_pop(q, buffer)) {
		if (!b->stats_wanted) {
			read_stats(b, buffer);
			virtio_queue_unpop(q, buffer);
			if (b->stats_asked && b->stats_came)
				b->stats_came(b->stats_ctx);
			b->stats_asked = false;
			return;
		}
		b->stats_wanted = false;
		b->stats_asked = true;
		virtio_queue_push(q, buffer, 0);
	}
}

void virtio_balloon_on_stats(struct virtio_balloon *b,
			     void (*came)(void *ctx), void *ctx)
{
	struct virtio_queue *q = &b->virtio.queue[STATS];

	host_lock(&q->lock);
	b->stats_came = came;
	b->stats_ctx = ctx;
	host_unlock(&q->lock);
}

bool virtio_balloon_ask(struct virtio_balloon *b)
{
	struct virtio_queue *q = &b->virtio.queue[STATS];
	bool can;

	host_lock(&q->lock);
	can = q->live && virtio_has(&b->virtio, F_STATS);
	b->stats_wanted = can && !b->stats_asked;
	host_unlock(&q->lock);
	if (can)
		virtio_queue_kick(q);
	return can;
}

/* --- the rest ------------------------------------------------------------------------- */

void virtio_balloon_set_target(struct virtio_balloon *b, uint64_t bytes)
{
	struct virtio_device *dev = &b->virtio;

	host_lock(&dev->vm->device_lock);
	virtio_config_put(dev, CFG_PAGES, 4, bytes >> PAGE_SHIFT);
	host_unlock(&dev->vm->device_lock);
	virtio_config_changed(dev);
}

void virtio_balloon_get(struct virtio_balloon *b,
			struct virtio_balloon_info *info)
{
	struct virtio_device *dev = &b->virtio;
	struct virtio_queue *q = &dev->queue[STATS];
	uint8_t status = atomic_load(&dev->status);

	host_lock(&dev->vm->device_lock);
	*info = (struct virtio_balloon_info){
		.driver = status & VIRTIO_STATUS_DRIVER_OK &&
			  !(status & VIRTIO_STATUS_NEEDS_RESET),
		.target = (uint64_t)config_get(dev, CFG_PAGES) << PAGE_SHIFT,
		.actual = (uint64_t)config_get(dev, CFG_ACTUAL) << PAGE_SHIFT,
	};
	host_lock(&q->lock);
	info->stats_asked = b->stats_wanted || b->stats_asked;
	info->stats = b->stats;
	host_unlock(&q->lock);
	host_unlock(&dev->vm->device_lock);
}

static void ready(struct virtio_device *device, struct virtio_queue *q)
{
	struct virtio_balloon *b = (struct virtio_balloon *)device;
	static const uint64_t needs[QUEUES] = {
		[STATS] = F_STATS, [HINTS] = F_HINTS, [REPORTS] = F_REPORTING,
	};

	/* 5.5.2: a queue that the driver did not ask for is none. */
	if (b->held || (needs[q->index] && !virtio_has(device, needs[q->index])))
		return;
	if (q->index == INFLATE)
		inflate(b, q);
	else if (q->index == STATS)
		take_stats(b, q);
	else if (q->index == REPORTS)
		take_reports(b, q);
	else
		give_back(q, &b->buffer[q->index]);
}

/* `actual` and `poison_val` are the driver's, by any width. */
static void config_written(struct virtio_device *device, unsigned int at,
			   unsigned int size, uint32_t value)
{
	for (unsigned int i = 0; i < size; i++, at++, value >>= 8)
		if ((at >= CFG_ACTUAL && at < CFG_HINTS) || at >= CFG_POISON)
			device->config[at] = (uint8_t)value;
	((struct virtio_balloon *)device)->poisoned =
		config_get(device, CFG_POISON);
}

/* The target stays: the next driver has to get there as well. */
static void reset(struct virtio_device *device)
{
	struct virtio_balloon *b = (struct virtio_balloon *)device;
	struct virtio_queue *q = &device->queue[STATS];

	virtio_config_put(device, CFG_ACTUAL, 4, 0);
	virtio_config_put(device, CFG_POISON, 4, 0);
	b->poisoned = false;
	host_lock(&q->lock);
	b->stats_wanted = b->stats_asked = false;
	b->stats = (struct virtio_balloon_stats){ 0 };
	host_unlock(&q->lock);
}

static void quiesce(void *object)
{
	((struct virtio_balloon *)object)->held = true;
}

/* The queues are run by the virtio device, which comes after this one. */
static void resume(void *object)
{
	((struct virtio_balloon *)object)->held = false;
}

static const struct field balloon_fields[] = {
	FIELD(struct virtio_balloon, FIELD_BOOL, poisoned),
	FIELD(struct virtio_balloon, FIELD_BOOL, stats_wanted),
	FIELD(struct virtio_balloon, FIELD_BOOL, stats_asked),
};

static const struct state_class balloon_state = {
	.name = "virtio-balloon",
	.version = 1,
	.size = sizeof(struct virtio_balloon),
	.fields = balloon_fields,
	.field_count = sizeof(balloon_fields) / sizeof(balloon_fields[0]),
};

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.quiesce = quiesce,
	.resume = resume,
	.state = &balloon_state,
};

static const struct virtio_class balloon_class = {
	.name = "balloon",
	.id = 5,
	.pci_class = 0x00ff00, /* unclassified, as of old */
	.features = F_STATS | F_OOM | F_HINTS | F_POISON | F_REPORTING |
		    VIRTIO_F_IN_ORDER,
	.config_size = CFG_SIZE,
	.ready = ready,
	.reset = reset,
	.config_written = config_written,
};

int virtio_balloon_init(struct virtio_balloon *b, struct vm *vm)
{
	int err;

	memset(b, 0, sizeof(*b));
	err = vm_add_device(vm, &virtio_balloon_class, b);
	if (!err)
		err = virtio_init(&b->virtio, vm, &balloon_class, QUEUES,
				  QUEUE_SIZE);
	return err ? err : virtio_pci_init(&b->pci, &b->virtio);
}

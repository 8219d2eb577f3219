/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device between its transport and its queues (virtio 1.2, 2.1 to
 * 2.6, 3.1): status, features, configuration space, resets, saved state.
 *
 * A reset by the driver is over when nothing is under way any more; until then
 * the driver reads the old status (2.4). The last buffer that comes back makes
 * the worker finish it, under the device lock.
 */
#include "virtio/ring.h"

#include "vm/bytes.h"
#include "vm/error.h"

bool virtio_has(const struct virtio_device *dev, uint64_t feature)
{
	return dev->driver_features & feature;
}

void virtio_broken(struct virtio_device *dev, const char *why)
{
	uint8_t before = atomic_fetch_or(&dev->status,
					 VIRTIO_STATUS_NEEDS_RESET);

	if (before & VIRTIO_STATUS_NEEDS_RESET)
		return;
	host_log(HOST_LOG_INFO, "virtio-%s: the driver is wrong: %s",
		 dev->class->name, why);
	if (before & VIRTIO_STATUS_DRIVER_OK)
		dev->transport->interrupt(dev->transport_object,
					  dev->config_vector,
					  VIRTIO_ISR_CONFIG);
}

void virtio_config_changed(struct virtio_device *dev)
{
	atomic_fetch_add(&dev->generation, 1);
	if (atomic_load(&dev->status) & VIRTIO_STATUS_DRIVER_OK)
		dev->transport->interrupt(dev->transport_object,
					  dev->config_vector,
					  VIRTIO_ISR_CONFIG);
}

void virtio_config_put(struct virtio_device *dev, unsigned int at,
		       unsigned int size, uint64_t value)
{
	bug_on(at + size > VIRTIO_CONFIG_MAX);
	for (unsigned int i = 0; i < size; i++)
		dev->config[at + i] = (uint8_t)(value >> 8 * i);
}

/* --- reset ------------------------------------------------------------------------ */

static void clear_queue(struct virtio_queue *q)
{
	q->enabled = false;
	q->resetting = false;
	q->size = q->size_max;
	q->vector = VIRTIO_NO_VECTOR;
	q->desc_addr = q->driver_addr = q->device_addr = 0;
	q->avail_next = q->used_next = 0;
	q->avail_wrap = q->used_wrap = true;
}

static void clear_registers(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queue_count; i++)
		clear_queue(&dev->queue[i]);
	dev->driver_features = 0;
	dev->device_select = dev->driver_select = 0;
	dev->queue_select = 0;
	dev->config_vector = VIRTIO_NO_VECTOR;
	atomic_store(&dev->status, 0);
}

static bool busy(struct virtio_queue *q)
{
	bool under_way;

	host_lock(&q->lock);
	under_way = q->under_way;
	host_unlock(&q->lock);
	return under_way;
}

static bool any_busy(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queue_count; i++)
		if (busy(&dev->queue[i]))
			return true;
	return false;
}

/* Held: the device lock. Ends what waited for buffers to come back. */
static void settle(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queue_count; i++) {
		struct virtio_queue *q = &dev->queue[i];

		if (!q->resetting || busy(q))
			continue;
		clear_queue(q);
		if (dev->class->queue_reset)
			dev->class->queue_reset(dev, q);
	}
	if (!dev->reset_due || any_busy(dev))
		return;
	if (dev->resetting)
		clear_registers(dev);
	dev->resetting = false;
	dev->reset_due = false;
	if (dev->class->reset)
		dev->class->reset(dev);
}

static void settle_work(void *ctx)
{
	struct virtio_device *dev = ctx;

	host_lock(&dev->vm->device_lock);
	settle(dev);
	host_unlock(&dev->vm->device_lock);
}

static void stop_all(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queue_count; i++) {
		struct virtio_queue *q = &dev->queue[i];

		host_lock(&q->lock);
		virtio_queue_stop(q);
		host_unlock(&q->lock);
	}
	dev->reset_due = true;
}

void virtio_reset_now(struct virtio_device *dev)
{
	stop_all(dev);
	dev->resetting = false;
	clear_registers(dev);
	settle(dev);
}

/* --- queues -------------------------------------------------------------------------- */

static void start(struct virtio_queue *q)
{
	bool started;

	host_lock(&q->lock);
	started = q->live || virtio_queue_start(q);
	host_unlock(&q->lock);
	if (started)
		virtio_queue_kick(q);
	else
		virtio_broken(q->device, "a queue's ring is not in memory");
}

void virtio_queue_enable(struct virtio_queue *q)
{
	if (q->enabled || q->resetting || q->device->resetting)
		return;
	q->enabled = true;
	if (atomic_load(&q->device->status) & VIRTIO_STATUS_DRIVER_OK)
		start(q);
}

void virtio_queue_reset(struct virtio_queue *q)
{
	if (!q->enabled || q->device->resetting)
		return;
	host_lock(&q->lock);
	virtio_queue_stop(q);
	host_unlock(&q->lock);
	q->resetting = true;
	settle(q->device);
}

bool virtio_queue_resetting(struct virtio_queue *q)
{
	return q->resetting;
}

/* --- status ---------------------------------------------------------------------------- */

/* 3.1.1, step 6: what the driver took, or FEATURES_OK stays clear. */
static bool features_fit(const struct virtio_device *dev)
{
	return !(dev->driver_features & ~dev->features) &&
	       virtio_has(dev, VIRTIO_F_VERSION_1);
}

static void start_all(struct virtio_device *dev)
{
	for (unsigned int i = 0; i < dev->queue_count; i++)
		if (dev->queue[i].enabled)
			start(&dev->queue[i]);
	if (dev->class->started)
		dev->class->started(dev);
}

void virtio_set_status(struct virtio_device *dev, uint8_t status)
{
	uint8_t before = atomic_load(&dev->status), bits;

	if (!status) {
		stop_all(dev);
		dev->resetting = true;
		settle(dev);
		return;
	}
	if (dev->resetting)
		return;
	/* Bits are only ever added; NEEDS_RESET is ours. */
	bits = status & (uint8_t)~(before | VIRTIO_STATUS_NEEDS_RESET);
	if ((bits & VIRTIO_STATUS_FEATURES_OK) && !features_fit(dev))
		bits &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	/* A driver that skips the features' step is one of before 1.0. */
	if (!((before | bits) & VIRTIO_STATUS_FEATURES_OK))
		bits &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
	atomic_fetch_or(&dev->status, bits);
	if (bits & VIRTIO_STATUS_DRIVER_OK)
		start_all(dev);
}

/* --- making one --------------------------------------------------------------------------- */

static void fini(void *object)
{
	struct virtio_device *dev = object;

	host_free(dev->queue);
	dev->queue = NULL;
	dev->queue_count = 0;
}

int virtio_init(struct virtio_device *dev, struct vm *vm,
		const struct virtio_class *class, unsigned int queues,
		unsigned int queue_size)
{
	int err;

	bug_on(!queues || queues > VIRTIO_QUEUES_MAX || !queue_size ||
	       queue_size > VIRTIO_QUEUE_SIZE_MAX ||
	       (queue_size & (queue_size - 1)));
	memset(dev, 0, sizeof(*dev));
	dev->vm = vm;
	dev->class = class;
	dev->features = class->features | VIRTIO_F_VERSION_1 |
			VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX |
			VIRTIO_F_RING_PACKED | VIRTIO_F_RING_RESET |
			VIRTIO_F_NOTIFICATION_DATA;
	dev->settle = (struct host_work){ .run = settle_work, .ctx = dev };
	dev->queue = host_alloc(queues * sizeof(*dev->queue));
	if (!dev->queue)
		return -VM_ENOMEM;
	dev->queue_count = queues;
	for (unsigned int i = 0; i < queues; i++) {
		struct virtio_queue *q = &dev->queue[i];

		q->device = dev;
		q->index = i;
		q->size_max = (uint16_t)queue_size;
		q->work = (struct host_work){ .run = virtio_queue_run,
					      .ctx = q };
	}
	clear_registers(dev);
	err = vm_add_device(vm, &virtio_class, dev);
	if (err)
		fini(dev);
	return err;
}


/* --- saved state ----------------------------------------------------------------------------- */

static void quiesce(void *object)
{
	struct virtio_device *dev = object;

	while (any_busy(dev))
		host_event_wait(&dev->idle, UINT64_MAX);
}

/* Notifications that came while the device stood still are made up for. */
static void resume(void *object)
{
	struct virtio_device *dev = object;

	for (unsigned int i = 0; i < dev->queue_count; i++)
		if (dev->queue[i].live)
			virtio_queue_kick(&dev->queue[i]);
}

static void saving(void *object)
{
	struct virtio_device *dev = object;
	struct virtio_saved *s = &dev->saved;

	for (unsigned int i = 0; i < dev->queue_count; i++) {
		const struct virtio_queue *q = &dev->queue[i];

		s->size[i] = q->size;
		s->vector[i] = q->vector;
		s->enabled[i] = q->enabled;
		s->desc[i] = q->desc_addr;
		s->driver[i] = q->driver_addr;
		s->device[i] = q->device_addr;
		s->avail_next[i] = q->avail_next;
		s->used_next[i] = q->used_next;
		s->avail_wrap[i] = q->avail_wrap;
		s->used_wrap[i] = q->used_wrap;
	}
}

static int check(const void *object)
{
	const struct virtio_device *dev = object;
	const struct virtio_saved *s = &dev->saved;
	bool packed = virtio_has(dev, VIRTIO_F_RING_PACKED);

	if (((dev->status & VIRTIO_STATUS_FEATURES_OK) && !features_fit(dev)) ||
	    (!(dev->status & VIRTIO_STATUS_FEATURES_OK) &&
	     (dev->status & VIRTIO_STATUS_DRIVER_OK)))
		return -VM_EBADMSG;
	for (unsigned int i = 0; i < dev->queue_count; i++)
		if (packed && (s->avail_next[i] >= s->size[i] ||
			       s->used_next[i] >= s->size[i]) &&
		    s->enabled[i])
			return -VM_EBADMSG;
	return 0;
}

static void loaded(void *object)
{
	struct virtio_device *dev = object;
	const struct virtio_saved *s = &dev->saved;
	bool running = atomic_load(&dev->status) & VIRTIO_STATUS_DRIVER_OK;

	for (unsigned int i = 0; i < dev->queue_count; i++) {
		struct virtio_queue *q = &dev->queue[i];

		host_lock(&q->lock);
		virtio_queue_stop(q);
		q->size = s->size[i];
		q->vector = s->vector[i];
		q->enabled = s->enabled[i];
		q->desc_addr = s->desc[i];
		q->driver_addr = s->driver[i];
		q->device_addr = s->device[i];
		q->avail_next = s->avail_next[i];
		q->used_next = s->used_next[i];
		q->avail_wrap = s->avail_wrap[i];
		q->used_wrap = s->used_wrap[i];
		if (q->enabled && running && !virtio_queue_start(q))
			atomic_fetch_or(&dev->status,
					VIRTIO_STATUS_NEEDS_RESET);
		host_unlock(&q->lock);
	}
}

#define SAVED(kind_, member_)                                        \
	{                                                            \
		.name = "queue_" #member_, .type = (kind_),          \
		.offset = offsetof(struct virtio_device, saved) +    \
			  offsetof(struct virtio_saved, member_),    \
		.count = VIRTIO_QUEUES_MAX,                          \
	}

static const struct field virtio_fields[] = {
	FIELD(struct virtio_device, FIELD_U8, status),
	FIELD(struct virtio_device, FIELD_U64, driver_features),
	FIELD(struct virtio_device, FIELD_U32, device_select),
	FIELD(struct virtio_device, FIELD_U32, driver_select),
	FIELD(struct virtio_device, FIELD_U16, queue_select),
	FIELD(struct virtio_device, FIELD_U16, config_vector),
	FIELD(struct virtio_device, FIELD_U8, generation),
	FIELD_ARRAY(struct virtio_device, FIELD_U8, config, VIRTIO_CONFIG_MAX),
	SAVED(FIELD_U16, size),
	SAVED(FIELD_U16, vector),
	SAVED(FIELD_BOOL, enabled),
	SAVED(FIELD_U64, desc),
	SAVED(FIELD_U64, driver),
	SAVED(FIELD_U64, device),
	SAVED(FIELD_U16, avail_next),
	SAVED(FIELD_U16, used_next),
	SAVED(FIELD_BOOL, avail_wrap),
	SAVED(FIELD_BOOL, used_wrap),
};

static const struct state_class virtio_state = {
	.name = "virtio",
	.version = 1,
	.size = sizeof(struct virtio_device),
	.fields = virtio_fields,
	.field_count = sizeof(virtio_fields) / sizeof(virtio_fields[0]),
	.check = check,
	.saving = saving,
	.loaded = loaded,
};

const struct device_class virtio_class = {
	.name = "virtio",
	.fini = fini,
	.quiesce = quiesce,
	.resume = resume,
	.state = &virtio_state,
};

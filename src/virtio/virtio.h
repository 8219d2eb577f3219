/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio 1.2: the contract between a device and its queues and transport.
 *
 * A device embeds a struct virtio_device, fills a const struct virtio_class
 * and calls virtio_init(), then virtio_pci_init() (virtio/pci.h). When the
 * driver has put buffers into a queue, ready() of the class runs:
 *
 *	while (virtio_queue_pop(queue, &request->buffer))
 *		... start it, or do it and virtio_queue_push() it
 *
 * Threads and locks. ready() runs on the VM's worker thread, never on a
 * processor's, with the queue's lock held: it must not wait for anything. What
 * ends later, on whatever thread, takes that lock for virtio_queue_push() and
 * virtio_queue_signal(). All other callbacks are called with the VM's
 * device lock held. Order: device lock, queue's lock; so code under a queue's
 * lock never takes the device lock.
 *
 * A driver that breaks a rule of the rings (a loop, an index or address that
 * is nowhere, ...) gets DEVICE_NEEDS_RESET; its queues stand still until it
 * resets the device. Nothing of a ring is read twice.
 */
#ifndef LODGE_VIRTIO_VIRTIO_H
#define LODGE_VIRTIO_VIRTIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/virtio_reg.h"
#include "vm/host.h"
#include "vm/memory.h"
#include "vm/span.h"
#include "vm/vm.h"

#define VIRTIO_QUEUES_MAX     64
#define VIRTIO_QUEUE_SIZE_MAX 256
/* A chain has at most as many descriptors as the queue; some more pieces
 * where a descriptor reaches over the seams of guest memory. */
#define VIRTIO_SPANS_MAX      (VIRTIO_QUEUE_SIZE_MAX + 8)
#define VIRTIO_CONFIG_MAX     256

struct virtio_device;
struct virtio_queue;

/* What a driver offers at a time: bytes to read, then bytes to write. */
struct virtio_buffer {
	uint16_t id;	/* of the ring */
	uint16_t count; /* descriptors that it takes there */
	unsigned int out_spans, in_spans; /* out: the driver's words to us */
	uint32_t out_size, in_size;	  /* bytes in all */
	struct span span[VIRTIO_SPANS_MAX]; /* out, then in */
};

/* What is left to say of a buffer when it is given back. */
struct virtio_used {
	uint16_t id, count; /* as in the buffer */
	uint32_t written;
};

struct virtio_class {
	const char *name;
	uint16_t id;	    /* virtio 1.2, 5 */
	uint32_t pci_class; /* as in struct pci_ident */
	uint64_t features;  /* the device's own; see virtio_device.features */
	unsigned int config_size;

	/* Buffers may have come; worker thread, queue's lock held. */
	void (*ready)(struct virtio_device *device,
		      struct virtio_queue *queue);
	/*
	 * Optional. The driver has notified; its processor's thread, device
	 * and queue's locks held. Serves what has come if that is little;
	 * false: some is left, ready() is to serve it.
	 */
	bool (*quick)(struct virtio_device *device,
		      struct virtio_queue *queue);
	/* Optional. The driver has set DRIVER_OK. */
	void (*started)(struct virtio_device *device);
	/* Optional. The device is reset; nothing is under way any more. */
	void (*reset)(struct virtio_device *device);
	/* Optional. One queue is reset, by itself; it stands still. */
	void (*queue_reset)(struct virtio_device *device,
			    struct virtio_queue *queue);
	/* Optional. Before the driver reads its configuration space. */
	void (*config_reading)(struct virtio_device *device);
	/* Optional. It writes there; without this nothing is writable. */
	void (*config_written)(struct virtio_device *device, unsigned int at,
			       unsigned int size, uint32_t value);
};

/* What a transport does for the core; any thread, under a queue's lock. */
struct virtio_transport {
	void (*interrupt)(void *transport, uint16_t vector, uint8_t isr);
	/* Whether the device may reach memory now. */
	bool (*may_dma)(void *transport);
};

struct virtio_ring_ops;

struct virtio_queue {
	struct virtio_device *device;
	unsigned int index;
	uint16_t size_max;
	struct host_work work;

	/* As the driver has set them; device lock. */
	uint16_t size, vector;
	bool enabled;
	uint64_t desc_addr, driver_addr, device_addr;

	struct host_lock lock; /* guards the rest */
	bool live;     /* enabled, DRIVER_OK: the ring is in use */
	bool stopping; /* not any more, but buffers are still under way */
	bool resetting; /* by queue_reset; device lock */
	unsigned int under_way; /* popped, not pushed */
	const struct virtio_ring_ops *ring;
	uint8_t *desc, *driver, *at_device; /* the three areas, mapped */
	uint16_t avail_next, used_next;
	bool avail_wrap, used_wrap;	 /* packed rings */
	uint16_t signalled;		 /* used_next at the last interrupt */
	bool signalled_valid;
	bool quiet;    /* the driver was told not to notify */
	bool to_signal; /* pushed since the last look at interrupts */
	uint16_t patience; /* buffers that the driver need not tell of; with
			    * VIRTIO_F_EVENT_IDX, below the queue's size */
};

/* Queues as they are saved. */
struct virtio_saved {
	uint16_t size[VIRTIO_QUEUES_MAX], vector[VIRTIO_QUEUES_MAX];
	bool enabled[VIRTIO_QUEUES_MAX];
	uint64_t desc[VIRTIO_QUEUES_MAX], driver[VIRTIO_QUEUES_MAX],
		device[VIRTIO_QUEUES_MAX];
	uint16_t avail_next[VIRTIO_QUEUES_MAX], used_next[VIRTIO_QUEUES_MAX];
	bool avail_wrap[VIRTIO_QUEUES_MAX], used_wrap[VIRTIO_QUEUES_MAX];
};

struct virtio_device {
	struct vm *vm;
	const struct virtio_class *class;
	const struct virtio_transport *transport;
	void *transport_object;
	uint64_t features; /* offered; the device may change it before use */
	unsigned int queue_count;
	struct virtio_queue *queue;
	struct host_work settle; /* ends a reset that had to wait */
	struct host_event idle;	 /* a queue's last buffer was given back */
	bool resetting; /* by status; the driver still sees the old one */
	bool reset_due; /* the class is to be told when all is idle */

	/* Saved. */
	_Atomic uint8_t status;
	uint64_t driver_features;
	uint32_t device_select, driver_select;
	uint16_t queue_select, config_vector;
	_Atomic uint8_t generation;
	uint8_t config[VIRTIO_CONFIG_MAX]; /* little-endian, as the driver sees */
	struct virtio_saved saved;
};

extern const struct device_class virtio_class;

/* --- for devices ------------------------------------------------------------ */

/*
 * Makes `queues` queues of `queue_size` (a power of two) at most. Adds the
 * device to the VM, for its saved state. -ENOMEM, -ENOSPC.
 */
int virtio_init(struct virtio_device *device, struct vm *vm,
		const struct virtio_class *class, unsigned int queues,
		unsigned int queue_size);

/* Whether the driver took a feature. */
bool virtio_has(const struct virtio_device *device, uint64_t feature);

/*
 * The next buffer, checked whole and mapped; false: none, and the driver will
 * tell of the next one. Held: the queue's lock.
 */
bool virtio_queue_pop(struct virtio_queue *queue,
		      struct virtio_buffer *buffer);

/*
 * Takes the last pop back, as if it had not been; nothing else may have been
 * popped since. Held: the queue's lock.
 */
void virtio_queue_unpop(struct virtio_queue *queue,
			struct virtio_buffer *buffer);

/*
 * Gives a buffer back, `written` bytes of it written. Interrupts follow when
 * ready() returns. Held: the queue's lock.
 */
void virtio_queue_push(struct virtio_queue *queue,
		       struct virtio_buffer *buffer, uint32_t written);

/*
 * Gives several buffers back that the driver is to see at the same moment.
 * What was written to them has been noted, as virtio_buffer_write() does it.
 * Held: the queue's lock.
 */
void virtio_queue_push_all(struct virtio_queue *queue,
			   const struct virtio_used *used, unsigned int count);

/* Takes back the last `count` pops that were noted as `used`. */
void virtio_queue_unpop_all(struct virtio_queue *queue,
			    const struct virtio_used *used,
			    unsigned int count);

/* Whether its ring may be touched now. Held: the queue's lock. */
bool virtio_queue_usable(const struct virtio_queue *queue);

/* The interrupt for what was pushed, if wanted. Held: the queue's lock. */
void virtio_queue_signal(struct virtio_queue *queue);

/*
 * Whether the driver has seen all that was given back, and sleeps until there
 * is more. Held: the queue's lock.
 */
bool virtio_queue_caught_up(const struct virtio_queue *queue);

/* Runs ready() soon. Any thread. */
void virtio_queue_kick(struct virtio_queue *queue);

/* Copies of at most `size` bytes from the buffer's start; how many. */
uint32_t virtio_buffer_read(const struct virtio_buffer *buffer,
			    uint32_t offset, void *to, uint32_t size);
uint32_t virtio_buffer_write(struct virtio_queue *queue,
			     struct virtio_buffer *buffer, uint32_t offset,
			     const void *from, uint32_t size);

/* The driver broke a rule: DEVICE_NEEDS_RESET. Any thread. */
void virtio_broken(struct virtio_device *device, const char *why);

/* The configuration space has changed: tells the driver. Any thread. */
void virtio_config_changed(struct virtio_device *device);

/* Numbers in the configuration space. */
void virtio_config_put(struct virtio_device *device, unsigned int at,
		       unsigned int size, uint64_t value);

/* --- for transports; held: the device lock ------------------------------------- */

void virtio_set_status(struct virtio_device *device, uint8_t status);
/* Reset by the machine or the bus: at once. */
void virtio_reset_now(struct virtio_device *device);
void virtio_queue_enable(struct virtio_queue *queue);
/* The driver has notified. */
void virtio_queue_notified(struct virtio_queue *queue);
void virtio_queue_reset(struct virtio_queue *queue);
/* Whether a reset of the queue is not through yet. */
bool virtio_queue_resetting(struct virtio_queue *queue);

#endif

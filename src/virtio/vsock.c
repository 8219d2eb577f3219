/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device's queues (virtio 1.2, 5.10): 0 with buffers for packets to
 * the guest, 1 with the guest's packets, 2 for events. Stream sockets alone;
 * left out: seqpacket.
 *
 * Connections are not part of saved state: whoever loads it has none, and the
 * guest is told so by an event (5.10.6.7).
 */
#include "virtio/vsock.h"

#include "virtio/vsock_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define QUEUE_SIZE 256
#define RX	   0
#define TX	   1
#define EVENT	   2
#define QUEUES	   3

#define F_STREAM VIRTIO_F(0)

#define CFG_GUEST_CID 0
#define CFG_SIZE      8

#define TRANSPORT_RESET 0u

/* --- queues ------------------------------------------------------------------ */

static void ready_rx(struct virtio_vsock *v, struct virtio_queue *q)
{
	while (vsock_has_packet(v) && virtio_queue_pop(q, &v->rx_buffer)) {
		uint32_t size;

		if (v->rx_buffer.in_size < VSOCK_HEADER) {
			virtio_broken(&v->virtio, "no room for a header");
			virtio_queue_push(q, &v->rx_buffer, 0);
			return;
		}
		size = vsock_send(v, q, &v->rx_buffer);
		if (size)
			virtio_queue_push(q, &v->rx_buffer, size);
		else
			virtio_queue_unpop(q, &v->rx_buffer);
	}
	if (v->tx_waits && v->replies < VSOCK_REPLIES) {
		v->tx_waits = false;
		virtio_queue_kick(&v->virtio.queue[TX]);
	}
}

/* Replies wait outside of the rx queue, as long as there is room (5.10.6.1). */
static void ready_tx(struct virtio_vsock *v, struct virtio_queue *q)
{
	while (v->replies < VSOCK_REPLIES) {
		if (!virtio_queue_pop(q, &v->tx_buffer))
			return;
		if (v->tx_buffer.out_size < VSOCK_HEADER)
			virtio_broken(&v->virtio, "a packet without a header");
		else
			vsock_receive(v, &v->tx_buffer);
		virtio_queue_push(q, &v->tx_buffer, 0);
	}
	v->tx_waits = true;
}

static void ready_event(struct virtio_vsock *v, struct virtio_queue *q)
{
	const uint32_t event = TRANSPORT_RESET;

	if (!v->event_due || !virtio_queue_pop(q, &v->event_buffer))
		return;
	v->event_due = false;
	virtio_queue_push(q, &v->event_buffer,
			  virtio_buffer_write(q, &v->event_buffer, 0, &event,
					      sizeof(event)));
}

static void ready(struct virtio_device *device, struct virtio_queue *q)
{
	static void (*const work[QUEUES])(struct virtio_vsock *v,
					  struct virtio_queue *q) = {
		[RX] = ready_rx,
		[TX] = ready_tx,
		[EVENT] = ready_event,
	};
	struct virtio_vsock *v = (struct virtio_vsock *)device;

	host_lock(&v->lock);
	work[q->index](v, q);
	host_unlock(&v->lock);
}

/* --- the host ---------------------------------------------------------------- */

static void take_events(void *ctx)
{
	struct virtio_vsock *v = ctx;

	host_lock(&v->lock);
	vsock_take_events(v);
	host_unlock(&v->lock);
}

void vsock_poke(struct virtio_vsock *v)
{
	host_work_queue(v->virtio.vm->worker, &v->events);
}

/* --- reset and saved state --------------------------------------------------- */

static void reset(struct virtio_device *device)
{
	struct virtio_vsock *v = (struct virtio_vsock *)device;

	host_lock(&v->lock);
	vsock_connections_reset(v);
	v->event_due = false;
	host_unlock(&v->lock);
}

static void put_cid(struct virtio_vsock *v)
{
	virtio_config_put(&v->virtio, CFG_GUEST_CID, 8, v->cid);
}

static const struct virtio_class vsock_class = {
	.name = "vsock",
	.id = 19,
	.pci_class = 0x028000, /* a network controller of another kind */
	.features = F_STREAM | VIRTIO_F_IN_ORDER,
	.config_size = CFG_SIZE,
	.ready = ready,
	.reset = reset,
};

/* A guest that was loaded is this machine's now, with its CID. */
static void resume(void *object)
{
	put_cid(object);
}

static void loaded(void *object)
{
	struct virtio_vsock *v = object;

	host_lock(&v->lock);
	vsock_connections_reset(v);
	v->event_due = true;
	host_unlock(&v->lock);
}

static void fini(void *object)
{
	struct virtio_vsock *v = object;

	timer_cancel(&v->virtio.vm->clock, &v->timer);
	vsock_connections_reset(v);
	host_free(v);
}

static const struct field vsock_fields[] = {
	FIELD(struct virtio_vsock, FIELD_U32, next_port),
};

static const struct state_class vsock_state = {
	.name = "virtio-vsock",
	.version = 1,
	.size = sizeof(struct virtio_vsock),
	.fields = vsock_fields,
	.field_count = sizeof(vsock_fields) / sizeof(vsock_fields[0]),
	.loaded = loaded,
};

/* Added before its parts, so that it ends after them. */
const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.resume = resume,
	.fini = fini,
	.state = &vsock_state,
};

/* --- making one -------------------------------------------------------------- */

int virtio_vsock_create(struct virtio_vsock **out, struct vm *vm,
			struct vsock_host *host, uint32_t cid)
{
	struct virtio_vsock *v = host_alloc(sizeof(*v));
	int err;

	if (!v)
		return -VM_ENOMEM;
	bug_on(cid < VSOCK_CID_MIN || cid > VSOCK_CID_MAX);
	v->host = host;
	v->cid = cid;
	v->events = (struct host_work){ .run = take_events, .ctx = v };
	timer_init(&v->timer, vsock_timer_fired, v);
	v->virtio.vm = vm;
	err = vm_add_device(vm, &virtio_vsock_class, v);
	if (err) {
		host_free(v);
		return err;
	}
	err = virtio_init(&v->virtio, vm, &vsock_class, QUEUES, QUEUE_SIZE);
	if (err)
		return err;
	vsock_connections_reset(v);
	put_cid(v);
	err = virtio_pci_init(&v->pci, &v->virtio);
	if (!err)
		*out = v;
	return err;
}

struct pci_device *virtio_vsock_pci(struct virtio_vsock *v)
{
	return &v->pci.pci;
}

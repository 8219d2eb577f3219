/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network card (virtio 1.2, 5.1): up to eight pairs of queues, a control
 * queue, checksums and segments of TCP left open in both directions. All of
 * that is offered whatever the net behind it can. Left out: UFO and USO, RSS
 * and hash reports, standby.
 */
#include "virtio/net_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define QUEUE_SIZE 256
#define SPEED	   10000 /* Mb/s: what is told where nobody knows */

/* --- the class ------------------------------------------------------------------ */

static void ready(struct virtio_device *device, struct virtio_queue *q)
{
	struct virtio_net *v = virtio_net_of(device);

	if (q->index == virtio_net_control(v))
		virtio_net_commands(v, q);
	else if (q->index & 1)
		virtio_net_send(v, q);
	else if (q->index < 2 * v->pairs_max)
		virtio_net_refilled(v, q);
}

/* One frame alone goes at once; more go beside the processor. */
static bool quick(struct virtio_device *device, struct virtio_queue *q)
{
	struct virtio_net *v = virtio_net_of(device);

	if (q->index == virtio_net_control(v))
		return false;
	if (q->index & 1)
		return virtio_net_send_one(v, q);
	ready(device, q);
	return true;
}

void virtio_net_set_offloads(struct virtio_net *v, uint64_t offloads)
{
	unsigned int can = 0;

	v->offloads = offloads;
	if (offloads & NET_F_GUEST_CSUM) {
		can = NIC_CAN_SUM;
		if (offloads & NET_F_GUEST_TSO4)
			can |= NIC_CAN_TCP4;
		if (offloads & NET_F_GUEST_TSO6)
			can |= NIC_CAN_TCP6;
		if (offloads & NET_F_GUEST_ECN)
			can |= NIC_CAN_ECN;
	}
	atomic_store(&v->nic.can, can);
}

static void started(struct virtio_device *device)
{
	struct virtio_net *v = virtio_net_of(device);
	struct net *net = v->nic.net;

	/* Without a word on what it wants, a driver gets all (5.1.6.5.1). */
	virtio_net_filter_reset(v, !virtio_has(device, NET_F_CTRL_RX));
	virtio_net_set_offloads(v, device->driver_features & NET_OFFLOADS);
	if (net->ops->start)
		net->ops->start(net);
}

/* What waits for room in a queue that is none any more is dropped. */
static void queue_reset(struct virtio_device *device, struct virtio_queue *q)
{
	struct virtio_net *v = virtio_net_of(device);

	if (q->index >= 2 * v->pairs_max)
		return;
	host_lock(&q->lock);
	if (q->index & 1)
		virtio_net_burst_reset(v, q);
	else
		virtio_net_refilled(v, q);
	host_unlock(&q->lock);
}

static void reset(struct virtio_device *device)
{
	struct virtio_net *v = virtio_net_of(device);
	struct net *net = v->nic.net;

	for (unsigned int i = 0; i < 2 * v->pairs_max; i++)
		queue_reset(device, &device->queue[i]);
	virtio_net_filter_reset(v, true);
	virtio_net_set_offloads(v, 0);
	atomic_store(&v->pairs, 1);
	for (unsigned int i = 0; i < NET_STEER; i++)
		atomic_store_explicit(&v->steer[i], 0, memory_order_relaxed);
	virtio_net_set_status(v, NET_S_ANNOUNCE, false);
	memcpy(device->config + NET_CFG_MAC, v->nic.mac, NIC_MAC);
	if (net->ops->stop)
		net->ops->stop(net);
}

static const struct virtio_class net_class = {
	.name = "net",
	.id = 1,
	.pci_class = 0x020000,
	.features = NET_F_CSUM | NET_F_GUEST_CSUM | NET_F_CTRL_OFFLOADS |
		    NET_F_MTU | NET_F_MAC | NET_F_GUEST_TSO4 |
		    NET_F_GUEST_TSO6 | NET_F_GUEST_ECN | NET_F_HOST_TSO4 |
		    NET_F_HOST_TSO6 | NET_F_HOST_ECN | NET_F_MRG_RXBUF |
		    NET_F_STATUS | NET_F_CTRL_VQ | NET_F_CTRL_RX |
		    NET_F_CTRL_VLAN | NET_F_CTRL_RX_EXTRA |
		    NET_F_GUEST_ANNOUNCE | NET_F_CTRL_MAC_ADDR |
		    NET_F_SPEED_DUPLEX,
	.config_size = NET_CFG_SIZE,
	.ready = ready,
	.quick = quick,
	.started = started,
	.reset = reset,
	.queue_reset = queue_reset,
};

/* --- the net's calls ---------------------------------------------------------------- */

static void again(struct nic *nic)
{
	struct virtio_net *v = virtio_net_of_nic(nic);

	for (unsigned int i = 0; i < v->pairs_max; i++)
		virtio_queue_kick(&v->virtio.queue[2 * i + 1]);
}

static void set_link(struct nic *nic, bool up)
{
	struct virtio_net *v = virtio_net_of_nic(nic);

	if (virtio_net_set_status(v, NET_S_LINK_UP, up))
		virtio_config_changed(&v->virtio);
}

static void announce(struct nic *nic)
{
	struct virtio_net *v = virtio_net_of_nic(nic);

	if (virtio_has(&v->virtio, NET_F_GUEST_ANNOUNCE) &&
	    virtio_net_set_status(v, NET_S_ANNOUNCE, true))
		virtio_config_changed(&v->virtio);
}

static const struct nic_ops nic_ops = {
	.receive = virtio_net_receive,
	.flush = virtio_net_flush,
	.again = again,
	.link = set_link,
	.announce = announce,
};

/* --- saved state ---------------------------------------------------------------------- */

/* Frames stay where they are, on both sides. */
static void quiesce(void *object)
{
	struct virtio_net *v = object;

	atomic_store(&v->quiet, true);
	for (unsigned int i = 0; i < v->virtio.queue_count; i++) {
		host_lock(&v->virtio.queue[i].lock);
		host_unlock(&v->virtio.queue[i].lock);
	}
}

/* After a load the net is another one, and the network is to hear of us. */
static void join(struct virtio_net *v)
{
	struct net *net = v->nic.net;

	set_link(&v->nic, net->link);
	if (!(atomic_load(&v->virtio.status) & VIRTIO_STATUS_DRIVER_OK))
		return;
	host_lock(&v->virtio.vm->device_lock);
	if (net->ops->start)
		net->ops->start(net);
	host_unlock(&v->virtio.vm->device_lock);
	announce(&v->nic);
}

static void resume(void *object)
{
	struct virtio_net *v = object;

	atomic_store(&v->quiet, false);
	if (v->announce_due)
		join(v);
	v->announce_due = false;
	for (unsigned int i = 0; i < v->virtio.queue_count; i++)
		virtio_queue_kick(&v->virtio.queue[i]);
}

static void part(void *object)
{
	struct virtio_net *v = object;
	struct vm *vm = v->virtio.vm;

	nic_part(&v->nic);
	host_lock(&vm->device_lock);
	timer_cancel(&vm->clock, &v->look);
	timer_cancel(&vm->clock, &v->burst_look);
	v->parted = true;
	host_unlock(&vm->device_lock);
}

static void fini(void *object)
{
	struct virtio_net *v = object;

	nic_part(&v->nic);
	host_free(v->lane);
	host_free(v);
}

static int check(const void *object)
{
	const struct virtio_net *v = object;

	if (!v->pairs || v->pairs > NIC_QUEUES_MAX ||
	    v->filter.unicasts > NET_TABLE_MAX + 1 ||
	    v->filter.multicasts > NET_TABLE_MAX + 1 ||
	    (v->offloads & ~NET_OFFLOADS))
		return -VM_EBADMSG;
	return 0;
}

static void loaded(void *object)
{
	struct virtio_net *v = object;

	if (v->pairs > v->pairs_max)
		v->pairs = (uint16_t)v->pairs_max;
	virtio_net_set_offloads(v, v->offloads);
	v->announce_due = true;
}

#define FILTER(kind_, member_, count_)                            \
	{                                                         \
		.name = #member_, .type = (kind_),                \
		.offset = offsetof(struct virtio_net, filter) +   \
			  offsetof(struct net_filter, member_),   \
		.count = (count_),                                \
	}

static const struct field net_fields[] = {
	FIELD(struct virtio_net, FIELD_U16, pairs),
	FIELD(struct virtio_net, FIELD_U64, offloads),
	FILTER(FIELD_BOOL, promiscuous, 1),
	FILTER(FIELD_BOOL, all_multicast, 1),
	FILTER(FIELD_BOOL, all_unicast, 1),
	FILTER(FIELD_BOOL, no_multicast, 1),
	FILTER(FIELD_BOOL, no_unicast, 1),
	FILTER(FIELD_BOOL, no_broadcast, 1),
	FILTER(FIELD_U32, unicasts, 1),
	FILTER(FIELD_U32, multicasts, 1),
	FILTER(FIELD_U8, unicast, NET_TABLE_MAX * NIC_MAC),
	FILTER(FIELD_U8, multicast, NET_TABLE_MAX * NIC_MAC),
	FILTER(FIELD_U64, vlan, NET_VLANS / 64),
};

static const struct state_class net_state = {
	.name = "virtio-net",
	.version = 1,
	.size = sizeof(struct virtio_net),
	.fields = net_fields,
	.field_count = sizeof(net_fields) / sizeof(net_fields[0]),
	.check = check,
	.loaded = loaded,
};

/* Added before its parts, so that it ends after them. */
const struct device_class virtio_net_class = {
	.name = "virtio-net",
	.quiesce = quiesce,
	.resume = resume,
	.rested = virtio_net_rested,
	.part = part,
	.fini = fini,
	.state = &net_state,
};

/* --- making one ------------------------------------------------------------------------- */

static void describe(struct virtio_net *v,
		     const struct virtio_net_config *config)
{
	struct virtio_device *dev = &v->virtio;

	if (config->queues > 1)
		dev->features |= NET_F_MQ;
	memcpy(dev->config + NET_CFG_MAC, config->mac, NIC_MAC);
	virtio_config_put(dev, NET_CFG_STATUS, 2,
			  config->net->link ? NET_S_LINK_UP : 0);
	virtio_config_put(dev, NET_CFG_PAIRS, 2, config->queues);
	virtio_config_put(dev, NET_CFG_MTU, 2, config->mtu);
	virtio_config_put(dev, NET_CFG_SPEED, 4, SPEED);
	virtio_config_put(dev, NET_CFG_DUPLEX, 1, 1);
}

int virtio_net_create(struct virtio_net **out, struct vm *vm,
		      const struct virtio_net_config *config)
{
	struct virtio_net *v = host_alloc(sizeof(*v));
	int err;

	bug_on(!config->queues || config->queues > NIC_QUEUES_MAX);
	if (!v)
		return -VM_ENOMEM;
	v->nic.ops = &nic_ops;
	timer_init(&v->look, virtio_net_look, v);
	timer_init(&v->burst_look, virtio_net_burst_look, v);
	memcpy(v->nic.mac, config->mac, NIC_MAC);
	nic_connect(&v->nic, config->net);
	v->pairs_max = config->queues;
	v->pairs = 1;
	v->filter.promiscuous = true;
	v->lane = host_alloc(config->queues * sizeof(*v->lane));
	err = v->lane ? vm_add_device(vm, &virtio_net_class, v) : -VM_ENOMEM;
	if (err) {
		fini(v);
		return err;
	}
	err = virtio_init(&v->virtio, vm, &net_class, 2 * config->queues + 1,
			  QUEUE_SIZE);
	if (err)
		return err;
	describe(v, config);
	err = virtio_pci_init(&v->pci, &v->virtio);
	if (!err)
		*out = v;
	return err;
}

struct pci_device *virtio_net_pci(struct virtio_net *v)
{
	return &v->pci.pci;
}

struct nic *virtio_net_nic(struct virtio_net *v)
{
	return &v->nic;
}

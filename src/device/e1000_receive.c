/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM receives (317453, 3.2): filters by address and VLAN, buffers of
 * one size, several for a long frame, checksums that the net vouches for.
 * Where there is no descriptor the frame waits in the net: nothing is lost.
 */
#include "device/e1000_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define FRAME_MIN  60u
#define FRAME_LONG 1518u /* with a VLAN tag, without the checksum */
#define FRAME_MAX  16380u /* of long ones (LPE) */
#define CRC	   4u
#define TAG_AT	   12u
#define TAG	   4u
#define PIECE	   512u

/* A frame as the driver is to see it. */
struct receiving {
	const struct nic_frame *frame;
	uint8_t head[18];
	uint32_t size; /* without its tag, padded, with its checksum */
	uint32_t skip; /* TAG: the tag is told in the descriptor */
	uint16_t tag;
};

struct descriptor {
	uint64_t addr;
	uint16_t length, sum;
	uint8_t status, errors;
	uint16_t special;
};

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* --- filters (3.2.1) --------------------------------------------------------- */

static bool in_vlans(const struct e1000 *e, const struct receiving *r)
{
	uint32_t id = be16(r->head + TAG_AT + 2) & 0xfff;

	return e->vfta[id / 32] >> id % 32 & 1;
}

static bool in_table(const struct e1000 *e, const uint8_t *mac)
{
	static const uint8_t shift[] = { 4, 3, 2, 0 };
	uint32_t hash = (uint32_t)(mac[5] << 8 | mac[4]);

	hash = hash >> shift[E1000_RCTL_MO(e->rctl)] & 0xfff;
	return e->mta[hash / 32] >> hash % 32 & 1;
}

static bool is_ours(const struct e1000 *e, const uint8_t *mac)
{
	uint32_t low = mac[0] | (uint32_t)mac[1] << 8 | (uint32_t)mac[2] << 16 |
		       (uint32_t)mac[3] << 24;
	uint32_t high = E1000_RAH_VALID | mac[4] | (uint32_t)mac[5] << 8;

	for (unsigned int i = 0; i < 32; i += 2)
		if (e->ra[i] == low &&
		    (e->ra[i + 1] & (E1000_RAH_VALID | 0xffff)) == high)
			return true;
	return false;
}

static bool wanted(const struct e1000 *e, const struct receiving *r)
{
	static const uint8_t all[NIC_MAC] = { 0xff, 0xff, 0xff,
					      0xff, 0xff, 0xff };
	const uint8_t *mac = r->head;

	if ((e->rctl & E1000_RCTL_VFE) && be16(mac + TAG_AT) == e->vet &&
	    !in_vlans(e, r))
		return false;
	if (e->rctl & (mac[0] & 1 ? E1000_RCTL_MPE : E1000_RCTL_UPE))
		return true;
	if ((e->rctl & E1000_RCTL_BAM) && !memcmp(mac, all, NIC_MAC))
		return true;
	return is_ours(e, mac) || ((mac[0] & 1) && in_table(e, mac));
}

/* --- buffers ----------------------------------------------------------------- */

static uint32_t buffer_size(const struct e1000 *e)
{
	uint32_t size = 2048u >> E1000_RCTL_BSIZE(e->rctl);

	/* 16384, 8192 and 4096; with BSIZE 0 the bit is reserved */
	return (e->rctl & E1000_RCTL_BSEX) && size < 2048 ? size * 16 : size;
}

static uint32_t free_descriptors(const struct e1000 *e, uint32_t count)
{
	return (e->rx.tail + count - e->rx.head) % count;
}

/* Bytes [from, from + size) of what the driver is to see. */
static void read_part(const struct receiving *r, uint32_t from, uint8_t *to,
		      uint32_t size)
{
	uint32_t end = r->frame->size - r->skip, part;

	if (r->skip && from < TAG_AT) {
		part = size < TAG_AT - from ? size : TAG_AT - from;
		memcpy(to, r->head + from, part);
		from += part;
		to += part;
		size -= part;
	}
	part = from >= end ? 0 : size < end - from ? size : end - from;
	if (part)
		nic_frame_read(r->frame, from + r->skip, to, part);
	memset(to + part, 0, size - part);
}

/* What falls where no memory is, is lost. */
static void fill(struct e1000 *e, uint64_t addr, const struct receiving *r,
		 uint32_t from, uint32_t size)
{
	uint8_t *to = pci_dma_for_write(&e->pci, addr, size);
	uint8_t piece[PIECE];

	if (to) {
		read_part(r, from, to, size);
		memory_note_write(&e->vm->memory, gpa(addr), size);
		return;
	}
	for (uint32_t done = 0; done < size; done += PIECE) {
		uint32_t part = size - done < PIECE ? size - done : PIECE;

		read_part(r, from + done, piece, part);
		pci_dma_write(&e->pci, addr + done, piece, part);
	}
}

static void describe(const struct e1000 *e, const struct receiving *r,
		     struct descriptor *d, bool last)
{
	d->sum = 0;
	d->errors = 0;
	d->special = 0;
	d->status = E1000_RX_DD;
	if (!last)
		return;
	d->status |= E1000_RX_EOP;
	if (r->skip) {
		d->status |= E1000_RX_VP;
		d->special = r->tag;
	}
	if (r->frame->sum != NIC_SUM_GOOD || !(e->rxcsum & E1000_RXCSUM_TCP))
		d->status |= E1000_RX_IXSM;
	else
		d->status |= E1000_RX_TCPCS |
			     (e->rxcsum & E1000_RXCSUM_IP ? E1000_RX_IPCS : 0);
}

static void store(struct e1000 *e, const struct receiving *r, uint32_t count,
		  uint32_t buffer)
{
	struct descriptor d;

	_Static_assert(sizeof(d) == E1000_DESC, "as in memory");
	for (uint32_t done = 0; done < r->size; done += buffer) {
		uint64_t at = e1000_ring_at(&e->rx, e->rx.head);
		uint32_t part = r->size - done < buffer ? r->size - done
							: buffer;

		if (!pci_dma_read(&e->pci, at, &d, sizeof(d))) {
			fill(e, d.addr, r, done, part);
			d.length = (uint16_t)part;
			describe(e, r, &d, done + part == r->size);
			/* The status comes last: drivers poll it. */
			pci_dma_write(&e->pci, at + 8, &d.length, 4);
			pci_dma_write(&e->pci, at + 14, &d.special, 2);
			pci_dma_write(&e->pci, at + 12, &d.status, 2);
		}
		e->rx.head = e->rx.head + 1 == count ? 0 : e->rx.head + 1;
	}
}

/* --- the card's side of the contract ------------------------------------------- */

static void count_received(struct e1000 *e, const struct receiving *r)
{
	uint32_t size = r->frame->size + CRC;

	nic_count(&e->nic.received, r->frame->size);
	e1000_count(e, E1000_TPR);
	e1000_count(e, E1000_GPRC);
	e1000_count_bytes(e, E1000_TORC, size);
	e1000_count_bytes(e, E1000_GORC, size);
	e1000_count_size(e, E1000_PRC64, size);
	if (r->head[0] & 1)
		e1000_count(e, r->head[0] == 0xff ? E1000_BPRC : E1000_MPRC);
}

/* Whether the driver is to see it, and how. */
static bool accept(struct e1000 *e, struct receiving *r)
{
	uint32_t size = r->frame->size, limit = FRAME_LONG;

	memset(r->head, 0, sizeof(r->head));
	nic_frame_read(r->frame, 0, r->head,
		       size < sizeof(r->head) ? size : sizeof(r->head));
	if (e->rctl & E1000_RCTL_LPE)
		limit = FRAME_MAX;
	if (size > limit) {
		e1000_count(e, E1000_ROC);
		return false;
	}
	if (!wanted(e, r))
		return false;
	if ((e->ctrl & E1000_CTRL_VME) && size >= sizeof(r->head) &&
	    be16(r->head + TAG_AT) == e->vet) {
		r->skip = TAG;
		r->tag = be16(r->head + TAG_AT + 2);
		size -= TAG;
	}
	r->size = size < FRAME_MIN ? FRAME_MIN : size;
	if (!(e->rctl & E1000_RCTL_SECRC))
		r->size += CRC;
	return true;
}

/* Held: the device lock. */
static bool take(struct e1000 *e, const struct nic_frame *frame)
{
	struct receiving r = { .frame = frame };
	uint32_t count = e1000_ring_count(&e->rx), buffer = buffer_size(e);
	uint32_t free;

	if (!(e->rctl & E1000_RCTL_EN) || !(e->status & E1000_STATUS_LU) ||
	    !count) {
		nic_count_one(&e->nic.received.dropped);
		return true;
	}
	if (nic_frame_needs(frame) || !accept(e, &r)) {
		nic_count_one(&e->nic.received.refused);
		return true;
	}
	free = free_descriptors(e, count);
	if ((uint64_t)free * buffer < r.size) {
		/* More than the whole ring can hold would wait for ever. */
		if ((uint64_t)(count - 1) * buffer < r.size) {
			nic_count_one(&e->nic.received.dropped);
			return true;
		}
		e->starved = true;
		e1000_count(e, E1000_RNBC);
		return false;
	}
	store(e, &r, count, buffer);
	count_received(e, &r);
	e->cause |= E1000_INT_RXT0;
	free = free_descriptors(e, count);
	if (free <= count >> (E1000_RCTL_RDMTS(e->rctl) + 1))
		e->cause |= E1000_INT_RXDMT0;
	return true;
}

static struct e1000 *of(struct nic *nic)
{
	return (struct e1000 *)((char *)nic - offsetof(struct e1000, nic));
}

static bool receive(struct nic *nic, const struct nic_frame *frame)
{
	struct e1000 *e = of(nic);
	bool over = false;

	host_lock(&e->vm->device_lock);
	if (e->quiet)
		e->starved = true;
	else
		over = take(e, frame);
	host_unlock(&e->vm->device_lock);
	return over;
}

static void flush(struct nic *nic)
{
	struct e1000 *e = of(nic);

	host_lock(&e->vm->device_lock);
	e1000_update(e);
	host_unlock(&e->vm->device_lock);
}

static void again(struct nic *nic)
{
	struct e1000 *e = of(nic);

	host_lock(&e->vm->device_lock);
	e1000_send(e);
	host_unlock(&e->vm->device_lock);
}

static void set_link(struct nic *nic, bool up)
{
	struct e1000 *e = of(nic);

	host_lock(&e->vm->device_lock);
	e1000_set_link(e, up);
	host_unlock(&e->vm->device_lock);
}

/* The card has no way to ask: a link that comes back makes drivers tell. */
static void announce(struct nic *nic)
{
	struct e1000 *e = of(nic);

	host_lock(&e->vm->device_lock);
	if (e->status & E1000_STATUS_LU)
		e1000_raise(e, E1000_INT_LSC);
	host_unlock(&e->vm->device_lock);
}

const struct nic_ops e1000_nic_ops = {
	.receive = receive,
	.flush = flush,
	.again = again,
	.link = set_link,
	.announce = announce,
};

void e1000_receive_ready(struct e1000 *e)
{
	struct net *net = e->nic.net;

	if (!e->starved || e->quiet)
		return;
	e->starved = false;
	if (net->ops->room)
		net->ops->room(net);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM sends (317453, 3.3 to 3.5): legacy, context and data
 * descriptors, checksums, segmentation, VLAN tags. A frame's first bytes are
 * copied, as the card writes into them; the rest goes from guest memory. The
 * head moves past a frame when the net has taken it.
 */
#include "device/e1000_impl.h"

#include "vm/bytes.h"
#include "vm/error.h"

#define FRAME_MIN 60u /* with the checksum at its end: 64 */
#define TAG_AT	  12u
#define TAG	  4u

/* A frame on its way: its descriptors, and what they ask for. */
struct sending {
	uint8_t head[E1000_HEAD_MAX + TAG];
	struct span span[E1000_SPANS_MAX];
	struct nic_frame frame;
	uint32_t next;	  /* descriptor behind it */
	uint32_t command; /* first descriptor's second half, lower word */
	uint32_t status;  /* upper word of the last: the VLAN tag */
	uint32_t options; /* POPTS of the first */
	bool whole;	  /* its end has come */
	bool lost;	  /* memory that is none, too large, too many */
};

struct descriptor {
	uint64_t addr;
	uint32_t command, status;
};

static const uint8_t padding[FRAME_MIN];

static bool read_descriptor(struct e1000 *e, uint32_t index,
			    struct descriptor *d)
{
	_Static_assert(sizeof(*d) == E1000_DESC, "as in memory");
	return !pci_dma_read(&e->pci, e1000_ring_at(&e->tx, index), d,
			     sizeof(*d));
}

/* Tells the driver, where it asked for that; the interrupt comes later. */
static void write_back(struct e1000 *e, uint32_t index,
		       const struct descriptor *d, uint32_t *causes)
{
	uint32_t status = d->status | E1000_TX_DD;

	if (!(d->command & E1000_TX_RS))
		return;
	pci_dma_write(&e->pci, e1000_ring_at(&e->tx, index) + 12, &status,
		      sizeof(status));
	*causes |= E1000_INT_TXDW;
}

static bool is_context(const struct descriptor *d)
{
	return (d->command & E1000_TX_EXT) && !(d->command & E1000_TX_DATA);
}

static void load_context(struct e1000 *e, const struct descriptor *d)
{
	bool cuts = d->command & E1000_TX_TSE;
	struct e1000_context *c = cuts ? &e->cut : &e->plain_sum;

	*c = (struct e1000_context){
		.ip = (uint32_t)d->addr,
		.sum = (uint32_t)(d->addr >> 32),
		.command = d->command,
		.size = d->status,
	};
}

/* --- gathering --------------------------------------------------------------- */

static void add_span(struct sending *s, void *data, uint32_t size)
{
	if (s->frame.spans == E1000_SPANS_MAX ||
	    size > NIC_FRAME_MAX - s->frame.size) {
		s->lost = true;
		return;
	}
	s->span[s->frame.spans++] = (struct span){ data, size };
	s->frame.size += size;
}

static void add_data(struct e1000 *e, struct sending *s,
		     const struct descriptor *d)
{
	uint32_t mask = d->command & E1000_TX_EXT ? 0xfffff : 0xffff;
	uint32_t size = d->command & mask;
	const void *data;

	if (!size)
		return;
	data = pci_dma_for_read(&e->pci, d->addr, size);
	if (data)
		add_span(s, (void *)(uintptr_t)data, size);
	else
		s->lost = true;
}

/* From the head to the frame's end, if that is there yet. */
static void gather(struct e1000 *e, struct sending *s, uint32_t count)
{
	struct descriptor d;
	uint32_t at = e->tx.head;

	/* One span is kept for padding. */
	s->frame = (struct nic_frame){ .span = s->span };
	s->whole = s->lost = false;
	while (at != e->tx.tail && !s->whole) {
		if (!read_descriptor(e, at, &d)) {
			s->lost = true;
			break;
		}
		if (at == e->tx.head) {
			s->command = d.command;
			s->options = d.status;
		}
		add_data(e, s, &d);
		s->status = d.status;
		s->command |= d.command & E1000_TX_VLE;
		s->whole = d.command & E1000_TX_EOP;
		at = at + 1 == count ? 0 : at + 1;
	}
	s->next = at;
}

/* --- what the card changes --------------------------------------------------- */

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_be16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t add_words(const uint8_t *at, uint32_t size, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < size; i += 2)
		sum += be16(at + i);
	return size & 1 ? sum + (uint32_t)(at[size - 1] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The first bytes into memory of our own, behind a tag where one is asked. */
static uint32_t copy_head(struct e1000 *e, struct sending *s)
{
	bool tagged = (s->command & E1000_TX_VLE) &&
		      (e->ctrl & E1000_CTRL_VME) && s->frame.size >= TAG_AT;
	uint32_t size = s->frame.size < E1000_HEAD_MAX ? s->frame.size
							: E1000_HEAD_MAX;
	uint32_t at = tagged ? TAG_AT : size, left = size;
	struct span rest[E1000_SPANS_MAX];
	unsigned int spans;

	nic_frame_read(&s->frame, 0, s->head, at);
	if (tagged) {
		put_be16(s->head + TAG_AT, (uint16_t)e->vet);
		put_be16(s->head + TAG_AT + 2, (uint16_t)(s->status >> 16));
		nic_frame_read(&s->frame, at, s->head + at + TAG, size - at);
	}
	spans = span_cut(rest, s->span, s->frame.spans, left,
			 s->frame.size - left);
	if (spans >= E1000_SPANS_MAX - 1) {
		s->lost = true;
		return 0;
	}
	if (tagged)
		size += TAG;
	s->span[0] = (struct span){ s->head, size };
	memcpy(s->span + 1, rest, spans * sizeof(rest[0]));
	s->frame.spans = spans + 1;
	s->frame.size += size - left;
	return size - left;
}

/* IPv4's header checksum, where the context says. */
static void sum_ip(struct sending *s, uint32_t ip, uint32_t shift)
{
	uint32_t start = (ip & 0xff) + shift, place = (ip >> 8 & 0xff) + shift;
	uint32_t end = (ip >> 16) + shift + 1;

	if (end > s->span[0].size || start >= end || place + 2 > end)
		return;
	put_be16(s->head + place, 0);
	put_be16(s->head + place,
		 (uint16_t)~fold(add_words(s->head + start, end - start, 0)));
}

/* The rest's checksum is left open: it is of all from `start` on. */
static bool open_sum(struct sending *s, uint32_t start, uint32_t place)
{
	if (place < start || place + 2 > s->span[0].size ||
	    place + 2 > s->frame.size)
		return false;
	s->frame.sum = NIC_SUM_OPEN;
	s->frame.sum_start = (uint16_t)start;
	s->frame.sum_offset = (uint16_t)(place - start);
	return true;
}

/*
 * To be cut: the driver leaves lengths out of the header and of the pseudo
 * header's sum (3.5.7); they are as of the whole, from here on.
 */
static bool cut(struct e1000 *e, struct sending *s, uint32_t shift)
{
	const struct e1000_context *c = &e->cut;
	uint32_t ip = (c->ip & 0xff) + shift, tcp = (c->sum & 0xff) + shift;
	uint32_t place = (c->sum >> 8 & 0xff) + shift;
	uint32_t header = (c->size >> 8 & 0xff) + shift, size;
	bool v4 = c->command & E1000_TX_IPV4;
	uint32_t sum;

	if (!(c->command & E1000_TX_TCP) || !(c->size >> 16) ||
	    header > s->span[0].size || ip + (v4 ? 20 : 40) > tcp ||
	    tcp + 20 > header || s->frame.size < header ||
	    s->frame.size - ip > UINT16_MAX || place != tcp + 16)
		return false;
	size = s->frame.size - tcp;
	if (v4) {
		put_be16(s->head + ip + 2, (uint16_t)(s->frame.size - ip));
		sum_ip(s, c->ip, shift);
		sum = add_words(s->head + ip + 12, 8, 0);
	} else {
		put_be16(s->head + ip + 4,
			 (uint16_t)(s->frame.size - ip - 40));
		sum = add_words(s->head + ip + 8, 32, 0);
	}
	put_be16(s->head + place, fold(sum + 6 + size));
	if (!open_sum(s, tcp, place))
		return false;
	if (s->frame.size == header)
		return true;
	s->frame.cut = v4 ? NIC_CUT_TCP4 : NIC_CUT_TCP6;
	s->frame.header = (uint16_t)header;
	s->frame.segment = (uint16_t)(c->size >> 16);
	s->frame.ecn = s->head[tcp + 13] & 0x80; /* CWR */
	return true;
}

/* Checksums that a data descriptor asks for, or a legacy one. */
static bool sums(struct e1000 *e, struct sending *s, uint32_t shift)
{
	const struct e1000_context *c = &e->plain_sum;
	uint32_t start, place;

	if (!(s->command & E1000_TX_EXT)) {
		if (!(s->command & E1000_TX_IC))
			return true;
		start = s->options >> 8 & 0xff;
		place = s->command >> 16 & 0xff;
		return open_sum(s, start + shift, place + shift);
	}
	if (s->command & E1000_TX_TSE)
		return cut(e, s, shift);
	if (s->options & E1000_TX_IXSM)
		sum_ip(s, c->ip, shift);
	if (!(s->options & E1000_TX_TXSM))
		return true;
	return open_sum(s, (c->sum & 0xff) + shift,
			(c->sum >> 8 & 0xff) + shift);
}

static void pad(struct e1000 *e, struct sending *s)
{
	if ((e->tctl & E1000_TCTL_PSP) && s->frame.size < FRAME_MIN)
		add_span(s, (void *)(uintptr_t)padding,
			 FRAME_MIN - s->frame.size);
}

/* --- the ring ---------------------------------------------------------------- */

static void count_sent(struct e1000 *e, const struct sending *s)
{
	uint32_t size = s->frame.size + 4;

	nic_count(&e->nic.sent, s->frame.size);
	e1000_count(e, E1000_TPT);
	e1000_count(e, E1000_GPTC);
	e1000_count_bytes(e, E1000_TOTC, size);
	e1000_count_bytes(e, E1000_GOTC, size);
	e1000_count_size(e, E1000_PTC64, size);
	if (s->frame.cut)
		e1000_count(e, E1000_TSCTC);
	if (!(s->head[0] & 1))
		return;
	e1000_count(e, s->head[0] == 0xff ? E1000_BPTC : E1000_MPTC);
}

/* False: the net wants it later. */
static bool pass(struct e1000 *e, struct sending *s)
{
	struct net *net = e->nic.net;

	if (!s->lost && s->frame.size) {
		uint32_t shift = copy_head(e, s);

		if (!s->lost && sums(e, s, shift))
			pad(e, s);
		else
			s->lost = true;
	}
	if (s->lost || s->frame.size < NIC_FRAME_MIN) {
		nic_count_one(&e->nic.sent.refused);
		return true;
	}
	if (!(e->status & E1000_STATUS_LU)) {
		nic_count_one(&e->nic.sent.dropped);
		return true;
	}
	if (!net->ops->send(net, 0, &s->frame))
		return false;
	count_sent(e, s);
	return true;
}

static void finish(struct e1000 *e, const struct sending *s, uint32_t count,
		   uint32_t *causes)
{
	struct descriptor d;

	for (uint32_t at = e->tx.head; at != s->next;
	     at = at + 1 == count ? 0 : at + 1)
		if (read_descriptor(e, at, &d))
			write_back(e, at, &d, causes);
	e->tx.head = s->next;
}

/* The descriptor at the head, and with it its frame. False: not now. */
static bool send_next(struct e1000 *e, struct sending *s, uint32_t count,
		      uint32_t *causes)
{
	struct descriptor d;

	if (!read_descriptor(e, e->tx.head, &d))
		return false;
	if (is_context(&d)) {
		load_context(e, &d);
		write_back(e, e->tx.head, &d, causes);
		e->tx.head = e->tx.head + 1 == count ? 0 : e->tx.head + 1;
		return true;
	}
	gather(e, s, count);
	if (!s->whole || !pass(e, s))
		return false;
	finish(e, s, count, causes);
	return true;
}

void e1000_send(struct e1000 *e)
{
	uint32_t count = e1000_ring_count(&e->tx), causes = 0;
	struct net *net = e->nic.net;
	struct sending s;

	if (e->quiet || !count || !(e->tctl & E1000_TCTL_EN))
		return;
	/* A driver that is faster than we are gets its turn again. */
	for (uint32_t i = 0; i < count && e->tx.head != e->tx.tail; i++)
		if (!send_next(e, &s, count, &causes))
			break;
	if (net->ops->flush)
		net->ops->flush(net, 0);
	if (e->tx.head == e->tx.tail)
		causes |= E1000_INT_TXQE;
	if (causes)
		e1000_raise(e, causes);
}

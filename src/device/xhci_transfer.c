/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers (4.10, 4.11): control and interrupt IN. A TD is taken as a whole,
 * carried out, and told of by the events that its TRBs ask for. While the
 * device has nothing to send (NAK) it stays where it is, with what has come so
 * far. Other kinds of endpoints have nobody at their other end.
 */
#include "device/xhci_impl.h"

#include "vm/bytes.h"

struct td {
	struct xhci_trb trb[XHCI_TD_TRBS];
	unsigned int count;
	uint32_t size;		/* bytes of data */
	struct xhci_ring after; /* the ring behind it */
};

static unsigned int type_of(const struct xhci_trb *trb)
{
	return XHCI_TRB_TYPE(trb->control);
}

/* Bytes of data that it has room for. */
static uint32_t length_of(const struct xhci_trb *trb)
{
	unsigned int type = type_of(trb);

	return type == XHCI_NORMAL || type == XHCI_DATA ?
		       trb->status & XHCI_TRB_LENGTH :
		       0;
}

static unsigned int target_of(const struct xhci_trb *trb)
{
	unsigned int target = XHCI_TRB_TARGET(trb->status);

	return target < XHCI_INTERRUPTERS ? target : 0;
}

/* --- TDs ------------------------------------------------------------------------------- */

/* EMPTY: it is not there, or not to its end. ENDLESS: it is nonsense. */
static enum xhci_next take_td(struct xhci *x, unsigned int ep, struct td *td)
{
	struct xhci_trb *trb;
	enum xhci_next next;

	td->after = (struct xhci_ring){ x->ep_dequeue[ep], x->ep_cycle[ep] };
	td->count = 0;
	td->size = 0;
	do {
		trb = &td->trb[td->count];
		next = xhci_ring_next(x, &td->after, trb);
		if (next != XHCI_NEXT_TRB)
			return td->count && next == XHCI_NEXT_ENDLESS ?
				       XHCI_NEXT_TRB :
				       next;
		td->size += length_of(trb);
		td->count++;
	} while (trb->control & XHCI_TRB_CHAIN && td->count < XHCI_TD_TRBS);
	return XHCI_NEXT_TRB;
}

static bool is_whole(const struct td *td)
{
	return !(td->trb[td->count - 1].control & XHCI_TRB_CHAIN);
}

/* Copies `size` bytes at `offset` of its data, which it has room for. */
static bool copy_out(struct xhci *x, const struct td *td, uint32_t offset,
		     const uint8_t *from, uint32_t size)
{
	for (unsigned int i = 0; i < td->count && size; i++) {
		const struct xhci_trb *trb = &td->trb[i];
		uint32_t length = length_of(trb), n;

		if (offset >= length) {
			offset -= length;
			continue;
		}
		n = size < length - offset ? size : length - offset;
		if (!xhci_write(x, trb->parameter + offset, from, n))
			return false;
		from += n;
		size -= n;
		offset = 0;
	}
	return true;
}

static bool copy_in(struct xhci *x, const struct td *td, uint8_t *to,
		    uint32_t size)
{
	for (unsigned int i = 0; i < td->count && size; i++) {
		const struct xhci_trb *trb = &td->trb[i];
		uint32_t n = length_of(trb);

		n = size < n ? size : n;
		if (trb->control & XHCI_TRB_IDT && n <= 8)
			memcpy(to, &trb->parameter, n);
		else if (n && !xhci_read(x, trb->parameter, to, n))
			return false;
		to += n;
		size -= n;
	}
	return true;
}

/* --- events ------------------------------------------------------------------------------ */

static void put_event(struct xhci *x, unsigned int ep,
		      const struct xhci_trb *trb, enum xhci_code code,
		      uint64_t parameter, uint32_t length, uint32_t flags)
{
	uint32_t control = XHCI_TRB_IS(XHCI_TRANSFER_EVENT) | flags |
			   (ep / XHCI_CONTEXTS) << 24 |
			   (ep % XHCI_CONTEXTS) << 16;

	xhci_event_put(x, target_of(trb), parameter,
		       (uint32_t)code << 24 | length, control,
		       trb->control & XHCI_TRB_BEI);
}

/* Whether all that it may tell has room. */
static bool has_room(struct xhci *x, const struct td *td)
{
	unsigned int count = 1;

	for (unsigned int i = 0; i < td->count; i++)
		count += !!(td->trb[i].control & (XHCI_TRB_IOC | XHCI_TRB_ISP));
	for (unsigned int i = 0; i < td->count; i++)
		if (!xhci_event_room(x, target_of(&td->trb[i]), count))
			return false;
	return true;
}

/* It went wrong, or was stopped, after `done` bytes. */
static void tell_failure(struct xhci *x, unsigned int ep, const struct td *td,
			 uint32_t done, enum xhci_code code)
{
	unsigned int i = 0;
	uint32_t length;

	while (i + 1 < td->count && done && done >= length_of(&td->trb[i]))
		done -= length_of(&td->trb[i++]);
	length = length_of(&td->trb[i]);
	put_event(x, ep, &td->trb[i], code, td->trb[i].at,
		  length - (done < length ? done : length), 0);
}

/* It is over, with `done` bytes. */
static void tell_success(struct xhci *x, unsigned int ep, const struct td *td,
			 uint32_t done)
{
	enum xhci_code code = XHCI_SUCCESS;
	uint32_t since = 0; /* bytes since the last event data TRB */
	bool told = false;  /* of the short packet */

	for (unsigned int i = 0; i < td->count; i++) {
		const struct xhci_trb *trb = &td->trb[i];
		uint32_t length = length_of(trb);
		uint32_t n = done < length ? done : length;
		uint32_t flags = XHCI_TRB_IOC;

		done -= n;
		since += n;
		if (n < length) {
			code = XHCI_SHORT_PACKET;
			flags |= XHCI_TRB_ISP;
		}
		if (type_of(trb) == XHCI_EVENT_TRB) {
			if (trb->control & XHCI_TRB_IOC)
				put_event(x, ep, trb, code, trb->parameter,
					  since, XHCI_EVENT_DATA);
			since = 0;
		} else if (!told && (trb->control & flags)) {
			put_event(x, ep, trb, code, trb->at, length - n, 0);
			told = code == XHCI_SHORT_PACKET;
		}
	}
}

/* --- control -------------------------------------------------------------------------------- */

static struct usb_device *device_of(const struct xhci *x, unsigned int ep)
{
	return x->device[x->slot_port[ep / XHCI_CONTEXTS]];
}

/* The request with the data of a TD, or with none. */
static enum xhci_code request(struct xhci *x, unsigned int ep,
			      const struct td *td, uint32_t *done)
{
	unsigned int slot = ep / XHCI_CONTEXTS;
	struct usb_device *usb = device_of(x, ep);
	uint8_t data[USB_CONTROL_MAX] = { 0 };
	struct usb_setup setup;
	bool in;
	int count;

	memcpy(&setup, &x->slot_setup[slot], sizeof(setup));
	x->slot_stage[slot] = XHCI_STAGE_DONE;
	in = setup.type & USB_TYPE_IN;
	if (setup.length > td->size)
		setup.length = (uint16_t)td->size;
	if (in && setup.length > USB_CONTROL_MAX)
		setup.length = USB_CONTROL_MAX;
	if (setup.length > USB_CONTROL_MAX)
		return XHCI_STALL;
	if (td->size && in != !!(td->trb[0].control & XHCI_TRB_IN))
		return XHCI_STALL;
	if (!in && !copy_in(x, td, data, setup.length))
		return XHCI_TRB_ERROR;
	count = usb->ops->control(usb, &setup, data);
	if (count < 0)
		return XHCI_STALL;
	*done = in ? (uint32_t)count : setup.length;
	if (in && !copy_out(x, td, 0, data, *done))
		return XHCI_TRB_ERROR;
	return XHCI_SUCCESS;
}

static enum xhci_code control(struct xhci *x, unsigned int ep,
			      const struct td *td, uint32_t *done)
{
	unsigned int slot = ep / XHCI_CONTEXTS;
	const struct xhci_trb *first = &td->trb[0];
	uint8_t *stage = &x->slot_stage[slot];
	const struct td none = { 0 };

	switch (type_of(first)) {
	case XHCI_SETUP:
		if (!(first->control & XHCI_TRB_IDT) || td->count > 1)
			return XHCI_TRB_ERROR;
		x->slot_setup[slot] = first->parameter;
		*stage = XHCI_STAGE_SETUP;
		return XHCI_SUCCESS;
	case XHCI_DATA:
		return *stage == XHCI_STAGE_SETUP ?
			       request(x, ep, td, done) :
			       XHCI_TRB_ERROR;
	case XHCI_STATUS:
		if (*stage == XHCI_STAGE_SETUP)
			return request(x, ep, &none, done);
		if (*stage == XHCI_STAGE_NONE)
			return XHCI_TRB_ERROR;
		*stage = XHCI_STAGE_NONE;
		return XHCI_SUCCESS;
	case XHCI_NOOP:
		return XHCI_SUCCESS;
	default:
		return XHCI_TRB_ERROR;
	}
}

/* --- interrupt IN ------------------------------------------------------------------------------ */

/* False: the device has nothing more to send for now. */
static bool interrupt_in(struct xhci *x, unsigned int ep, const struct td *td,
			 uint32_t *done, enum xhci_code *code)
{
	struct usb_device *usb = device_of(x, ep);
	unsigned int number = ep % XHCI_CONTEXTS / 2;
	uint8_t data[USB_PACKET_MAX];

	*code = XHCI_SUCCESS;
	if (type_of(&td->trb[0]) == XHCI_NOOP)
		return true;
	if (type_of(&td->trb[0]) != XHCI_NORMAL)
		*code = XHCI_TRB_ERROR;
	while (*done < td->size && *code == XHCI_SUCCESS) {
		uint32_t room = td->size - *done;
		int count = usb->ops->in(usb, number, data);

		if (count == USB_NAK)
			return false;
		if (count < 0) {
			*code = XHCI_STALL;
			break;
		}
		room = (uint32_t)count < room ? (uint32_t)count : room;
		if (!copy_out(x, td, *done, data, room))
			*code = XHCI_TRB_ERROR;
		*done += room;
		if (count < x->ep_packet[ep])
			break;
	}
	return true;
}

/* --- endpoints ------------------------------------------------------------------------------------ */

static void fail(struct xhci *x, unsigned int ep, const struct td *td,
		 enum xhci_code code)
{
	x->slot_stage[ep / XHCI_CONTEXTS] = XHCI_STAGE_NONE;
	xhci_endpoint_set(x, ep, code == XHCI_TRB_ERROR ? XHCI_EP_ERROR :
							   XHCI_EP_HALTED);
	tell_failure(x, ep, td, x->ep_done[ep], code);
	x->ep_done[ep] = 0;
}

/* Carries out a TD; false: no more for now. */
static bool run_td(struct xhci *x, unsigned int ep, const struct td *td)
{
	enum xhci_code code = XHCI_TRANSACTION_ERROR;
	uint32_t done = x->ep_done[ep];
	bool over = true;

	if (!is_whole(td))
		code = XHCI_TRB_ERROR;
	else if (x->ep_type[ep] == XHCI_EP_CONTROL)
		code = control(x, ep, td, &done);
	else if (x->ep_type[ep] == XHCI_EP_INTERRUPT_IN)
		over = interrupt_in(x, ep, td, &done, &code);
	x->ep_done[ep] = done;
	if (!over || !xhci_runs(x)) /* memory may have failed */
		return false;
	if (code != XHCI_SUCCESS) {
		fail(x, ep, td, code);
		return false;
	}
	x->ep_dequeue[ep] = td->after.dequeue;
	x->ep_cycle[ep] = td->after.cycle;
	x->ep_done[ep] = 0;
	tell_success(x, ep, td, done);
	return true;
}

void xhci_endpoint_run(struct xhci *x, unsigned int ep)
{
	unsigned int port = x->slot_port[ep / XHCI_CONTEXTS];
	enum xhci_next next;
	struct td td;

	for (unsigned int i = 0; x->ep_active[ep] && xhci_runs(x); i++) {
		if (!xhci_port_is_on(x, port))
			return;
		if (i == XHCI_TURN) {
			xhci_later(x);
			return;
		}
		next = take_td(x, ep, &td);
		if (next == XHCI_NEXT_ENDLESS)
			xhci_controller_error(x, "a transfer ring of links");
		if (next == XHCI_NEXT_EMPTY)
			x->ep_active[ep] = false;
		if (next != XHCI_NEXT_TRB || !has_room(x, &td) ||
		    !run_td(x, ep, &td))
			return;
	}
}

void xhci_endpoint_stopped(struct xhci *x, unsigned int ep)
{
	struct td td;

	if (take_td(x, ep, &td) == XHCI_NEXT_TRB && is_whole(&td))
		tell_failure(x, ep, &td, x->ep_done[ep], XHCI_STOPPED);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings of TRBs (4.9): those that the driver fills, and event rings of one
 * segment with their interrupters (4.17). Interrupts are not moderated: IMOD
 * keeps what is written.
 */
#include "device/xhci_impl.h"

/* --- from the driver ------------------------------------------------------------- */

static bool read_trb(struct xhci *x, uint64_t at, struct xhci_trb *trb)
{
	struct {
		uint64_t parameter;
		uint32_t status, control;
	} wire;

	if (!xhci_read(x, at, &wire, sizeof(wire)))
		return false;
	*trb = (struct xhci_trb){
		.at = at,
		.parameter = wire.parameter,
		.status = wire.status,
		.control = wire.control,
	};
	return true;
}

enum xhci_next xhci_ring_next(struct xhci *x, struct xhci_ring *ring,
			      struct xhci_trb *trb)
{
	for (unsigned int links = 0; links <= XHCI_LINKS; links++) {
		if (!read_trb(x, ring->dequeue, trb))
			return XHCI_NEXT_FAULT;
		if ((trb->control & XHCI_TRB_CYCLE) != ring->cycle)
			return XHCI_NEXT_EMPTY;
		if (XHCI_TRB_TYPE(trb->control) != XHCI_LINK) {
			ring->dequeue += XHCI_TRB;
			return XHCI_NEXT_TRB;
		}
		ring->dequeue = trb->parameter & XHCI_EP_POINTER;
		ring->cycle ^= !!(trb->control & XHCI_TRB_TOGGLE);
	}
	return XHCI_NEXT_ENDLESS;
}

/* --- events ---------------------------------------------------------------------- */

/* Takes the segment out of the table, which the driver has set up by now. */
static void follow_table(struct xhci *x, unsigned int i)
{
	struct {
		uint64_t base;
		uint32_t size, reserved;
	} entry;

	x->event_new[i] = false;
	x->event_at[i] = 0;
	x->event_cycle[i] = true;
	if (!x->erstsz[i] || !xhci_read(x, x->erstba[i], &entry, sizeof(entry)))
		return;
	if (x->erstsz[i] > 1 || (entry.base & 0x3f) ||
	    (entry.size & 0xffff) < XHCI_EVENTS_MIN ||
	    (entry.size & 0xffff) > XHCI_EVENTS_MAX) {
		xhci_controller_error(x, "no such event ring");
		return;
	}
	x->event_base[i] = entry.base;
	x->event_size[i] = entry.size & 0xffff;
}

/* Where the driver reads; false: not within the ring. */
static bool find_reader(const struct xhci *x, unsigned int i, uint32_t *index)
{
	uint64_t offset = (x->erdp[i] & ~(uint64_t)0xf) - x->event_base[i];

	if (offset / XHCI_TRB >= x->event_size[i])
		return false;
	*index = (uint32_t)(offset / XHCI_TRB);
	return true;
}

bool xhci_event_room(struct xhci *x, unsigned int i, unsigned int count)
{
	uint32_t reader, size, room;

	if (x->event_new[i])
		follow_table(x, i);
	size = x->event_size[i];
	if (!size)
		return true; /* nobody wants them */
	if (!find_reader(x, i, &reader))
		return false;
	room = (reader + size - x->event_at[i] - 1) % size;
	return room >= count || room == size - 1;
}

static void raise(struct xhci *x, unsigned int i)
{
	if (x->erdp[i] & XHCI_ERDP_EHB)
		return;
	x->erdp[i] |= XHCI_ERDP_EHB;
	x->iman[i] |= XHCI_IMAN_IP;
	x->usbsts |= XHCI_STS_EINT;
	xhci_interrupt(x);
}

void xhci_event_put(struct xhci *x, unsigned int i, uint64_t parameter,
		    uint32_t status, uint32_t control, bool quiet)
{
	struct {
		uint64_t parameter;
		uint32_t status, control;
	} wire = { parameter, status, control };

	if (!xhci_event_room(x, i, 1) || !x->event_size[i])
		return;
	wire.control |= x->event_cycle[i] ? XHCI_TRB_CYCLE : 0;
	if (!xhci_write(x, x->event_base[i] + XHCI_TRB * x->event_at[i], &wire,
			sizeof(wire)))
		return;
	if (++x->event_at[i] == x->event_size[i]) {
		x->event_at[i] = 0;
		x->event_cycle[i] ^= true;
	}
	if (!quiet)
		raise(x, i);
}

/* --- interrupters ---------------------------------------------------------------- */

void xhci_interrupt(struct xhci *x)
{
	bool level = false;

	for (unsigned int i = 0; i < XHCI_INTERRUPTERS; i++) {
		uint32_t both = XHCI_IMAN_IP | XHCI_IMAN_IE;

		if (!(x->usbcmd & XHCI_CMD_INTE) ||
		    (x->iman[i] & both) != both)
			continue;
		if (!pci_msix_enabled(&x->pci)) {
			level = true;
			continue;
		}
		x->iman[i] &= ~XHCI_IMAN_IP;
		pci_msix_notify(&x->pci, i);
	}
	pci_irq_set(&x->pci, level);
}

void xhci_events_reset(struct xhci *x)
{
	for (unsigned int i = 0; i < XHCI_INTERRUPTERS; i++) {
		x->iman[i] = 0;
		x->imod[i] = 4000; /* 1 ms, as 5.5.2.2 has it */
		x->erstsz[i] = 0;
		x->erstba[i] = x->erdp[i] = x->event_base[i] = 0;
		x->event_size[i] = x->event_at[i] = 0;
		x->event_new[i] = false;
		x->event_cycle[i] = true;
	}
	x->kept = false;
}

void xhci_events_save(struct xhci *x)
{
	for (unsigned int i = 0; i < XHCI_INTERRUPTERS; i++) {
		if (x->event_new[i])
			follow_table(x, i);
		x->kept_base[i] = x->event_base[i];
		x->kept_size[i] = x->event_size[i];
		x->kept_at[i] = x->event_at[i];
		x->kept_cycle[i] = x->event_cycle[i];
	}
	x->kept = true;
}

/* The driver has written the registers anew, as they were. */
void xhci_events_restore(struct xhci *x)
{
	if (!x->kept) {
		x->usbsts |= XHCI_STS_SRE;
		return;
	}
	for (unsigned int i = 0; i < XHCI_INTERRUPTERS; i++) {
		x->event_new[i] = false;
		x->event_base[i] = x->kept_base[i];
		x->event_size[i] = x->kept_size[i];
		x->event_at[i] = x->kept_at[i];
		x->event_cycle[i] = x->kept_cycle[i];
	}
}

uint32_t xhci_interrupter_read(const struct xhci *x, unsigned int i,
			       unsigned int at)
{
	switch (at) {
	case XHCI_IMAN:
		return x->iman[i];
	case XHCI_IMOD:
		return x->imod[i];
	case XHCI_ERSTSZ:
		return x->erstsz[i];
	case XHCI_ERSTBA:
		return (uint32_t)x->erstba[i];
	case XHCI_ERSTBA + 4:
		return (uint32_t)(x->erstba[i] >> 32);
	case XHCI_ERDP:
		return (uint32_t)x->erdp[i];
	case XHCI_ERDP + 4:
		return (uint32_t)(x->erdp[i] >> 32);
	default:
		return 0;
	}
}

/* The driver may have read events: what waited for room goes on. */
static void reader_moved(struct xhci *x, unsigned int i)
{
	uint32_t reader;

	if (x->event_size[i] && find_reader(x, i, &reader) &&
	    reader != x->event_at[i])
		raise(x, i);
	xhci_go_on(x);
}

static void set_table(struct xhci *x, unsigned int i, uint64_t value)
{
	x->erstba[i] = value & ~(uint64_t)0x3f;
	x->event_new[i] = true;
	x->event_size[i] = 0;
}

void xhci_interrupter_write(struct xhci *x, unsigned int i, unsigned int at,
			    uint32_t value)
{
	const uint64_t low = UINT32_MAX, high = (uint64_t)value << 32;

	switch (at) {
	case XHCI_IMAN:
		x->iman[i] = (x->iman[i] & ~value & XHCI_IMAN_IP) |
			     (value & XHCI_IMAN_IE);
		xhci_interrupt(x);
		break;
	case XHCI_IMOD:
		x->imod[i] = value;
		break;
	case XHCI_ERSTSZ:
		x->erstsz[i] = value & 0xffff;
		break;
	case XHCI_ERSTBA:
		set_table(x, i, (x->erstba[i] & ~low) | value);
		break;
	case XHCI_ERSTBA + 4:
		set_table(x, i, (x->erstba[i] & low) | high);
		break;
	case XHCI_ERDP:
		value ^= XHCI_ERDP_EHB; /* a 1 clears it */
		value &= ~XHCI_ERDP_EHB | (uint32_t)x->erdp[i];
		x->erdp[i] = (x->erdp[i] & ~low) | value;
		reader_moved(x, i);
		break;
	case XHCI_ERDP + 4:
		x->erdp[i] = (x->erdp[i] & low) | high;
		reader_moved(x, i);
		break;
	default:
		break;
	}
}

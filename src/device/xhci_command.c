/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command ring (4.6). Left out, as they are optional: force event and
 * force header, bandwidth negotiation, latency tolerance, extended properties.
 */
#include "device/xhci_impl.h"

#include "vm/bytes.h"

#define BANDWIDTH 90u /* per cent of a port's, for periodic transfers */

/* --- endpoints ---------------------------------------------------------------------- */

static enum xhci_code reset_endpoint(struct xhci *x, unsigned int ep)
{
	if (x->ep_state[ep] != XHCI_EP_HALTED)
		return XHCI_CONTEXT_STATE;
	xhci_endpoint_set(x, ep, XHCI_EP_STOPPED);
	return XHCI_SUCCESS;
}

static enum xhci_code stop_endpoint(struct xhci *x, unsigned int ep)
{
	if (x->ep_state[ep] != XHCI_EP_RUNNING)
		return XHCI_CONTEXT_STATE;
	if (x->ep_active[ep])
		xhci_endpoint_stopped(x, ep);
	xhci_endpoint_set(x, ep, XHCI_EP_STOPPED);
	return XHCI_SUCCESS;
}

static enum xhci_code set_dequeue(struct xhci *x, unsigned int ep,
				  const struct xhci_trb *trb)
{
	if (x->ep_state[ep] != XHCI_EP_STOPPED &&
	    x->ep_state[ep] != XHCI_EP_ERROR)
		return XHCI_CONTEXT_STATE;
	x->ep_dequeue[ep] = trb->parameter & XHCI_EP_POINTER;
	x->ep_cycle[ep] = trb->parameter & XHCI_EP_CYCLE;
	x->ep_done[ep] = 0;
	xhci_endpoint_set(x, ep, XHCI_EP_STOPPED);
	return XHCI_SUCCESS;
}

static enum xhci_code endpoint_command(struct xhci *x, unsigned int slot,
				       const struct xhci_trb *trb)
{
	unsigned int ep = XHCI_EP(slot, XHCI_TRB_ENDPOINT(trb->control));

	if (!XHCI_TRB_ENDPOINT(trb->control))
		return XHCI_TRB_ERROR;
	switch (XHCI_TRB_TYPE(trb->control)) {
	case XHCI_RESET_ENDPOINT:
		return reset_endpoint(x, ep);
	case XHCI_STOP_ENDPOINT:
		return stop_endpoint(x, ep);
	default:
		return set_dequeue(x, ep, trb);
	}
}

/* --- commands ------------------------------------------------------------------------ */

static enum xhci_code port_bandwidth(struct xhci *x,
				     const struct xhci_trb *trb)
{
	uint8_t context[1 + XHCI_PORTS];

	memset(context, BANDWIDTH, sizeof(context));
	context[0] = 0;
	xhci_write(x, trb->parameter & XHCI_EP_POINTER, context,
		   sizeof(context));
	return XHCI_SUCCESS;
}

static enum xhci_code slot_command(struct xhci *x, unsigned int slot,
				   const struct xhci_trb *trb)
{
	if (!slot || slot > XHCI_SLOTS)
		return XHCI_TRB_ERROR;
	if (!x->slot_enabled[slot])
		return XHCI_SLOT_NOT_ENABLED;
	switch (XHCI_TRB_TYPE(trb->control)) {
	case XHCI_DISABLE_SLOT:
		return xhci_disable_slot(x, slot);
	case XHCI_ADDRESS_DEVICE:
		return xhci_address_device(x, slot, trb);
	case XHCI_CONFIGURE:
		return xhci_configure(x, slot, trb);
	case XHCI_EVALUATE:
		return xhci_evaluate(x, slot, trb);
	case XHCI_RESET_DEVICE:
		return xhci_reset_device(x, slot);
	default:
		return endpoint_command(x, slot, trb);
	}
}

static void execute(struct xhci *x, const struct xhci_trb *trb)
{
	unsigned int slot = XHCI_TRB_SLOT(trb->control);
	enum xhci_code code;

	switch (XHCI_TRB_TYPE(trb->control)) {
	case XHCI_NOOP_COMMAND:
		code = XHCI_SUCCESS;
		slot = 0;
		break;
	case XHCI_ENABLE_SLOT:
		code = xhci_enable_slot(x, &slot);
		break;
	case XHCI_PORT_BANDWIDTH:
		code = port_bandwidth(x, trb);
		break;
	case XHCI_DISABLE_SLOT ... XHCI_RESET_DEVICE:
		code = slot_command(x, slot, trb);
		break;
	default:
		code = XHCI_TRB_ERROR;
		slot = 0;
		break;
	}
	xhci_event_put(x, 0, trb->at, (uint32_t)code << 24,
		       XHCI_TRB_IS(XHCI_COMMAND_EVENT) | slot << 24, false);
}

void xhci_command_run(struct xhci *x)
{
	struct xhci_trb trb;

	/* A command has two events at most. */
	for (unsigned int i = 0; x->command_active; i++) {
		if (i == XHCI_TURN) {
			xhci_later(x);
			return;
		}
		if (!xhci_event_room(x, 0, 2))
			return;
		switch (xhci_ring_next(x, &x->command, &trb)) {
		case XHCI_NEXT_TRB:
			execute(x, &trb);
			break;
		case XHCI_NEXT_ENDLESS:
			xhci_controller_error(x, "a command ring of links");
			return;
		case XHCI_NEXT_EMPTY:
			x->command_active = false;
			return;
		case XHCI_NEXT_FAULT:
			return;
		}
	}
}

void xhci_command_control(struct xhci *x, uint32_t value)
{
	if (!x->command_running) {
		x->command.dequeue &= ~(uint64_t)UINT32_MAX;
		x->command.dequeue |= value & ~0x3fu;
		x->command.cycle = value & XHCI_CRCR_CYCLE;
		return;
	}
	if (!(value & (XHCI_CRCR_STOP | XHCI_CRCR_ABORT)))
		return;
	x->command_running = x->command_active = false;
	xhci_event_put(x, 0, x->command.dequeue,
		       (uint32_t)XHCI_RING_STOPPED << 24,
		       XHCI_TRB_IS(XHCI_COMMAND_EVENT), false);
}

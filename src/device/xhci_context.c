/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots and endpoints: commands that read input contexts and write device
 * contexts (4.5, 4.6, 6.2). A device has the number of its slot as address.
 */
#include "device/xhci_impl.h"

#include "vm/bytes.h"

#define WORDS (XHCI_CONTEXT / 4)

/* --- contexts in memory ----------------------------------------------------------------- */

static uint64_t context_at(const struct xhci *x, unsigned int slot,
			   unsigned int index)
{
	return x->slot_context[slot] + index * XHCI_CONTEXT;
}

/* Context `index` of an input context: behind its control context. */
static bool read_input(struct xhci *x, const struct xhci_trb *trb,
		       unsigned int index, uint32_t *words)
{
	uint64_t base = trb->parameter & XHCI_EP_POINTER;

	return xhci_read(x, base + (index + 1) * XHCI_CONTEXT, words,
			 XHCI_CONTEXT);
}

static bool read_control(struct xhci *x, const struct xhci_trb *trb,
			 uint32_t *words)
{
	return xhci_read(x, trb->parameter & XHCI_EP_POINTER, words,
			 XHCI_CONTEXT);
}

static bool find_context(struct xhci *x, unsigned int slot)
{
	uint64_t at;

	if (!xhci_read(x, x->dcbaap + slot * 8, &at, sizeof(at)))
		return false;
	x->slot_context[slot] = at & ~(uint64_t)0x3f;
	return true;
}

/* Changes bits of dword 3 and, when `entries` is not 0, of dword 0. */
static void tell_slot(struct xhci *x, unsigned int slot, uint32_t entries)
{
	bool addressed = x->slot_state[slot] >= XHCI_SLOT_ADDRESSED;
	uint32_t words[4];

	if (!xhci_read(x, context_at(x, slot, 0), words, sizeof(words)))
		return;
	if (entries)
		words[0] = (words[0] & ~XHCI_SLOT_ENTRIES) | entries;
	words[3] = XHCI_SLOT_STATE(x->slot_state[slot]) |
		   (addressed ? slot : 0);
	xhci_write(x, context_at(x, slot, 0), words, sizeof(words));
}

/* What an endpoint is now, for the driver. */
static void xhci_endpoint_tell(struct xhci *x, unsigned int ep)
{
	unsigned int slot = ep / XHCI_CONTEXTS;
	uint64_t at = context_at(x, slot, ep % XHCI_CONTEXTS);
	uint64_t pointer = x->ep_dequeue[ep] |
			   (x->ep_cycle[ep] ? XHCI_EP_CYCLE : 0);
	uint32_t word;

	if (!xhci_read(x, at, &word, sizeof(word)))
		return;
	word = (word & ~XHCI_EP_STATE) | x->ep_state[ep];
	if (xhci_write(x, at, &word, sizeof(word)))
		xhci_write(x, at + 8, &pointer, sizeof(pointer));
}

void xhci_endpoint_set(struct xhci *x, unsigned int ep,
		       enum xhci_ep_state state)
{
	x->ep_state[ep] = (uint8_t)state;
	if (state != XHCI_EP_RUNNING)
		x->ep_active[ep] = false;
	xhci_endpoint_tell(x, ep);
}

/* --- slots -------------------------------------------------------------------------------- */

static void forget_endpoint(struct xhci *x, unsigned int ep)
{
	x->ep_state[ep] = XHCI_EP_DISABLED;
	x->ep_type[ep] = XHCI_EP_NONE;
	x->ep_active[ep] = false;
	x->ep_packet[ep] = 0;
	x->ep_dequeue[ep] = 0;
	x->ep_cycle[ep] = false;
	x->ep_done[ep] = 0;
}

static void forget_slot(struct xhci *x, unsigned int slot)
{
	for (unsigned int i = 0; i < XHCI_CONTEXTS; i++)
		forget_endpoint(x, XHCI_EP(slot, i));
	x->slot_enabled[slot] = false;
	x->slot_state[slot] = XHCI_SLOT_ENABLED;
	x->slot_port[slot] = 0;
	x->slot_context[slot] = x->slot_setup[slot] = 0;
	x->slot_stage[slot] = XHCI_STAGE_NONE;
}

void xhci_slots_reset(struct xhci *x)
{
	for (unsigned int slot = 0; slot <= XHCI_SLOTS; slot++)
		forget_slot(x, slot);
}

enum xhci_code xhci_enable_slot(struct xhci *x, unsigned int *slot)
{
	unsigned int most = x->config & XHCI_CONFIG_SLOTS;

	for (*slot = 1; *slot <= XHCI_SLOTS && *slot <= most; ++*slot)
		if (!x->slot_enabled[*slot]) {
			x->slot_enabled[*slot] = true;
			return XHCI_SUCCESS;
		}
	*slot = 0;
	return XHCI_NO_SLOTS;
}

enum xhci_code xhci_disable_slot(struct xhci *x, unsigned int slot)
{
	bool known = x->slot_state[slot] != XHCI_SLOT_ENABLED;

	x->slot_state[slot] = XHCI_SLOT_ENABLED;
	if (known)
		tell_slot(x, slot, 0);
	forget_slot(x, slot);
	return XHCI_SUCCESS;
}

/* --- endpoints ------------------------------------------------------------------------------ */

/* Takes an endpoint over from its input context. */
static enum xhci_code add_endpoint(struct xhci *x, unsigned int ep,
				   uint32_t *words)
{
	enum xhci_ep_type type = XHCI_EP_TYPE(words[1]);
	bool control = ep % XHCI_CONTEXTS == 1;
	bool in = ep & 1;

	if (!XHCI_EP_PACKET(words[1]) || XHCI_EP_STREAMS(words[0]) ||
	    control != (type == XHCI_EP_CONTROL) || type == XHCI_EP_NONE ||
	    (!control && in != (type > XHCI_EP_CONTROL)))
		return XHCI_PARAMETER_ERROR;
	forget_endpoint(x, ep);
	x->ep_type[ep] = (uint8_t)type;
	x->ep_packet[ep] = (uint16_t)XHCI_EP_PACKET(words[1]);
	x->ep_dequeue[ep] = ((uint64_t)words[3] << 32 | words[2]) &
			    XHCI_EP_POINTER;
	x->ep_cycle[ep] = words[2] & XHCI_EP_CYCLE;
	x->ep_state[ep] = XHCI_EP_RUNNING;
	words[0] = (words[0] & ~XHCI_EP_STATE) | XHCI_EP_RUNNING;
	xhci_write(x, context_at(x, ep / XHCI_CONTEXTS, ep % XHCI_CONTEXTS),
		   words, XHCI_CONTEXT);
	return XHCI_SUCCESS;
}

static void drop_endpoint(struct xhci *x, unsigned int ep)
{
	if (!x->ep_state[ep])
		return;
	forget_endpoint(x, ep);
	xhci_endpoint_tell(x, ep);
}

static void drop_endpoints(struct xhci *x, unsigned int slot)
{
	for (unsigned int i = 2; i < XHCI_CONTEXTS; i++)
		drop_endpoint(x, XHCI_EP(slot, i));
}

/* --- commands ---------------------------------------------------------------------------------- */

/* Nothing but what is right at one of our own ports. */
static bool slot_fits(const struct xhci *x, const uint32_t *words)
{
	unsigned int port = XHCI_SLOT_PORT(words[1]);

	return port && port <= XHCI_PORTS && x->device[port - 1] &&
	       (x->portsc[port - 1] & XHCI_PORT_PED) &&
	       !(words[0] & XHCI_SLOT_ROUTE) &&
	       XHCI_SLOT_ENTRIES_OF(words[0]);
}

enum xhci_code xhci_address_device(struct xhci *x, unsigned int slot,
				   const struct xhci_trb *trb)
{
	bool blocked = trb->control & XHCI_TRB_BSR;
	uint32_t control[WORDS], words[WORDS], endpoint[WORDS];
	enum xhci_code code;

	if (x->slot_state[slot] > (blocked ? XHCI_SLOT_ENABLED :
					     XHCI_SLOT_DEFAULT))
		return XHCI_CONTEXT_STATE;
	if (!read_control(x, trb, control) || !read_input(x, trb, 0, words) ||
	    !read_input(x, trb, 1, endpoint) || !find_context(x, slot))
		return XHCI_TRB_ERROR;
	if ((control[XHCI_INPUT_ADD] & 3) != 3 || !slot_fits(x, words))
		return XHCI_PARAMETER_ERROR;
	code = add_endpoint(x, XHCI_EP(slot, 1), endpoint);
	if (code != XHCI_SUCCESS)
		return code;
	x->slot_port[slot] = (uint8_t)(XHCI_SLOT_PORT(words[1]) - 1);
	x->slot_stage[slot] = XHCI_STAGE_NONE;
	x->slot_state[slot] = blocked ? XHCI_SLOT_DEFAULT :
					XHCI_SLOT_ADDRESSED;
	words[3] = XHCI_SLOT_STATE(x->slot_state[slot]) |
		   (blocked ? 0 : slot);
	xhci_write(x, context_at(x, slot, 0), words, XHCI_CONTEXT);
	return XHCI_SUCCESS;
}

/* Back to addressed: the control endpoint alone is left. */
static enum xhci_code deconfigure(struct xhci *x, unsigned int slot)
{
	drop_endpoints(x, slot);
	x->slot_state[slot] = XHCI_SLOT_ADDRESSED;
	tell_slot(x, slot, 1u << 27);
	return XHCI_SUCCESS;
}

enum xhci_code xhci_configure(struct xhci *x, unsigned int slot,
			      const struct xhci_trb *trb)
{
	uint32_t control[WORDS], words[WORDS], entries = 1;
	enum xhci_code code = XHCI_SUCCESS;

	if (x->slot_state[slot] < XHCI_SLOT_ADDRESSED)
		return XHCI_CONTEXT_STATE;
	if (trb->control & XHCI_TRB_DC)
		return deconfigure(x, slot);
	if (!read_control(x, trb, control))
		return XHCI_TRB_ERROR;
	if ((control[XHCI_INPUT_DROP] & 3) ||
	    (control[XHCI_INPUT_ADD] & 3) != 1)
		return XHCI_PARAMETER_ERROR;
	for (unsigned int i = 2; i < XHCI_CONTEXTS; i++) {
		unsigned int ep = XHCI_EP(slot, i);

		if (control[XHCI_INPUT_DROP] >> i & 1)
			drop_endpoint(x, ep);
		if (code == XHCI_SUCCESS && control[XHCI_INPUT_ADD] >> i & 1)
			code = read_input(x, trb, i, words) ?
				       add_endpoint(x, ep, words) :
				       XHCI_TRB_ERROR;
		if (x->ep_state[ep])
			entries = i;
	}
	x->slot_state[slot] = entries > 1 ? XHCI_SLOT_CONFIGURED :
					    XHCI_SLOT_ADDRESSED;
	tell_slot(x, slot, entries << 27);
	return code;
}

static enum xhci_code evaluate_slot(struct xhci *x, unsigned int slot,
				    const struct xhci_trb *trb)
{
	uint64_t at = context_at(x, slot, 0);
	uint32_t in[WORDS], out[WORDS];

	if (!read_input(x, trb, 0, in) || !xhci_read(x, at, out, sizeof(out)))
		return XHCI_TRB_ERROR;
	out[1] = (out[1] & ~XHCI_SLOT_LATENCY) | (in[1] & XHCI_SLOT_LATENCY);
	out[2] = (out[2] & ~XHCI_SLOT_TARGET) | (in[2] & XHCI_SLOT_TARGET);
	xhci_write(x, at, out, sizeof(out));
	return XHCI_SUCCESS;
}

/* The size of packets, which a driver learns by the first ones. */
static enum xhci_code evaluate_endpoint(struct xhci *x, unsigned int slot,
					const struct xhci_trb *trb)
{
	uint64_t at = context_at(x, slot, 1);
	uint32_t in[WORDS], out[WORDS];

	if (!read_input(x, trb, 1, in) || !xhci_read(x, at, out, sizeof(out)))
		return XHCI_TRB_ERROR;
	if (!XHCI_EP_PACKET(in[1]))
		return XHCI_PARAMETER_ERROR;
	x->ep_packet[XHCI_EP(slot, 1)] = (uint16_t)XHCI_EP_PACKET(in[1]);
	out[1] = (out[1] & ~XHCI_EP_PACKET_MASK) |
		 (in[1] & XHCI_EP_PACKET_MASK);
	xhci_write(x, at, out, sizeof(out));
	return XHCI_SUCCESS;
}

enum xhci_code xhci_evaluate(struct xhci *x, unsigned int slot,
			     const struct xhci_trb *trb)
{
	enum xhci_code code = XHCI_SUCCESS;
	uint32_t control[WORDS];

	if (x->slot_state[slot] < XHCI_SLOT_DEFAULT)
		return XHCI_CONTEXT_STATE;
	if (!read_control(x, trb, control))
		return XHCI_TRB_ERROR;
	if (control[XHCI_INPUT_DROP])
		return XHCI_PARAMETER_ERROR;
	if (control[XHCI_INPUT_ADD] & 1)
		code = evaluate_slot(x, slot, trb);
	if (code == XHCI_SUCCESS && (control[XHCI_INPUT_ADD] & 2))
		code = evaluate_endpoint(x, slot, trb);
	return code;
}

enum xhci_code xhci_reset_device(struct xhci *x, unsigned int slot)
{
	if (x->slot_state[slot] < XHCI_SLOT_ADDRESSED)
		return XHCI_CONTEXT_STATE;
	drop_endpoints(x, slot);
	x->slot_state[slot] = XHCI_SLOT_DEFAULT;
	x->slot_stage[slot] = XHCI_STAGE_NONE;
	tell_slot(x, slot, 1u << 27);
	return XHCI_SUCCESS;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports (4.19, 5.4.8): reset, suspend and resume of devices that are there
 * from the start. A reset takes no time. Left out: power off (PP is always
 * set), over-current, test modes, link power management, U1 and U2.
 */
#include "device/xhci_impl.h"

static uint32_t link_of(const struct xhci *x, unsigned int port)
{
	return (x->portsc[port] & XHCI_PORT_PLS) / XHCI_PORT_LINK(1u);
}

static void set_link(struct xhci *x, unsigned int port, uint32_t link)
{
	x->portsc[port] = (x->portsc[port] & ~XHCI_PORT_PLS) |
			  XHCI_PORT_LINK(link);
}

bool xhci_port_is_on(const struct xhci *x, unsigned int port)
{
	return x->device[port] && (x->portsc[port] & XHCI_PORT_PED) &&
	       link_of(x, port) == XHCI_LINK_U0;
}

void xhci_ports_tell(struct xhci *x)
{
	for (unsigned int i = 0; i < XHCI_PORTS; i++) {
		if (!x->port_news[i] || !xhci_runs(x) ||
		    !xhci_event_room(x, 0, 1))
			continue;
		x->port_news[i] = false;
		xhci_event_put(x, 0, (uint64_t)(i + 1) << 24,
			       (uint32_t)XHCI_SUCCESS << 24,
			       XHCI_TRB_IS(XHCI_PORT_EVENT), false);
	}
}

static void note_change(struct xhci *x, unsigned int port, uint32_t change)
{
	if (x->portsc[port] & change)
		return;
	x->portsc[port] |= change;
	x->usbsts |= XHCI_STS_PCD;
	x->port_news[port] = xhci_runs(x);
	xhci_ports_tell(x);
}

void xhci_ports_reset(struct xhci *x)
{
	for (unsigned int i = 0; i < XHCI_PORTS; i++) {
		struct usb_device *usb = x->device[i];

		x->port_news[i] = false;
		x->portsc[i] = XHCI_PORT_PP | XHCI_PORT_LINK(XHCI_LINK_RXDET);
		if (!usb)
			continue;
		/* Enabled by a reset alone; polling meanwhile (7). */
		x->portsc[i] = XHCI_PORT_PP | XHCI_PORT_LINK(7u) |
			       XHCI_PORT_CCS | XHCI_PORT_CSC |
			       XHCI_PORT_SPEED(usb->speed);
		usb->ops->reset(usb);
	}
}

static void reset_port(struct xhci *x, unsigned int port)
{
	struct usb_device *usb = x->device[port];

	if (!usb)
		return;
	usb->ops->reset(usb);
	set_link(x, port, XHCI_LINK_U0);
	x->portsc[port] |= XHCI_PORT_PED;
	note_change(x, port, XHCI_PORT_PRC);
}

static void ask_link(struct xhci *x, unsigned int port, uint32_t link)
{
	uint32_t now = link_of(x, port);

	if (!(x->portsc[port] & XHCI_PORT_PED))
		return;
	if (link == XHCI_LINK_U3 && now == XHCI_LINK_U0) {
		set_link(x, port, link);
	} else if (link == XHCI_LINK_RESUME && now == XHCI_LINK_U3) {
		set_link(x, port, link);
	} else if (link == XHCI_LINK_U0 && now != XHCI_LINK_U0) {
		set_link(x, port, link);
		note_change(x, port, XHCI_PORT_PLC);
		xhci_go_on(x);
	}
}

void xhci_port_wake(void *ctx, unsigned int port, bool resume)
{
	struct xhci *x = ctx;

	if (resume && link_of(x, port) == XHCI_LINK_U3 &&
	    x->device[port]->remote_wakeup) {
		set_link(x, port, XHCI_LINK_RESUME);
		note_change(x, port, XHCI_PORT_PLC);
	}
	xhci_go_on(x);
}

uint32_t xhci_port_read(const struct xhci *x, unsigned int port,
			unsigned int at)
{
	return at == XHCI_PORTSC ? x->portsc[port] : 0;
}

void xhci_port_write(struct xhci *x, unsigned int port, unsigned int at,
		     uint32_t value)
{
	if (at != XHCI_PORTSC)
		return;
	x->portsc[port] &= ~(value & XHCI_PORT_CHANGES);
	x->portsc[port] = (x->portsc[port] & ~XHCI_PORT_WAKE) |
			  (value & XHCI_PORT_WAKE);
	if (value & XHCI_PORT_PED) /* a 1 disables */
		x->portsc[port] &= ~XHCI_PORT_PED;
	if (value & XHCI_PORT_PR)
		reset_port(x, port);
	else if (value & XHCI_PORT_LWS)
		ask_link(x, port, (value & XHCI_PORT_PLS) /
					  XHCI_PORT_LINK(1u));
}

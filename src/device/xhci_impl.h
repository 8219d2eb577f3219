/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the xHCI controller share.
 *
 * All of it runs under the VM's device lock, on the thread of whoever writes
 * a doorbell or presses a key: the devices answer at once. What a guest's
 * rings may make it do in one go is bounded (XHCI_TURN, XHCI_LINKS,
 * XHCI_TD_TRBS); the rest is done by a timer. A TD or a command is begun when
 * the event ring has room for what it will tell, so no event is ever lost;
 * otherwise it is begun when the driver moves ERDP.
 *
 * Contexts in guest memory are written for the driver; what counts is kept
 * here, in columns that are saved as they are. Endpoints are numbered
 * XHCI_EP(slot, context index).
 */
#ifndef LODGE_DEVICE_XHCI_IMPL_H
#define LODGE_DEVICE_XHCI_IMPL_H

#include "device/xhci.h"
#include "device/xhci_reg.h"

#define XHCI_SLOTS	  8u /* numbered from 1 */
#define XHCI_INTERRUPTERS 4u
#define XHCI_TURN	  64u /* commands, or TDs of an endpoint */
#define XHCI_LINKS	  16u /* one behind the other */
#define XHCI_TD_TRBS	  64u
#define XHCI_LATER_NS	  1000000u
#define XHCI_EVENTS_MIN	  16u /* of a ring's segment (6.5) */
#define XHCI_EVENTS_MAX	  4096u

#define XHCI_EP(slot, index) ((slot) * XHCI_CONTEXTS + (index))
#define XHCI_EPS	     XHCI_EP(XHCI_SLOTS + 1, 0)

struct xhci_trb {
	uint64_t at; /* where it was */
	uint64_t parameter;
	uint32_t status, control;
};

struct xhci_ring {
	uint64_t dequeue;
	bool cycle;
};

/* A control endpoint's place between the stages of a transfer. */
enum xhci_stage {
	XHCI_STAGE_NONE,
	XHCI_STAGE_SETUP, /* the request is there, not carried out yet */
	XHCI_STAGE_DONE,
};

struct xhci {
	struct pci_device pci;
	struct pci_msix msix;
	struct vm *vm;
	struct usb_device *device[XHCI_PORTS]; /* NULL: nothing there */

	/* Saved. */
	uint32_t usbcmd, usbsts, dnctrl, config;
	uint32_t legacy, legacy_control;
	uint64_t dcbaap;
	struct xhci_ring command;
	bool command_running; /* CRR */
	bool command_active;  /* the doorbell was rung since it was empty */
	bool command_ignored; /* CRCR's lower half was written while it ran */
	uint64_t started;     /* VM time */
	struct timer later;   /* what has not been done in one turn */

	uint32_t portsc[XHCI_PORTS];
	bool port_news[XHCI_PORTS]; /* an event is due */

	uint32_t iman[XHCI_INTERRUPTERS], imod[XHCI_INTERRUPTERS];
	uint32_t erstsz[XHCI_INTERRUPTERS];
	uint64_t erstba[XHCI_INTERRUPTERS], erdp[XHCI_INTERRUPTERS];
	bool event_new[XHCI_INTERRUPTERS]; /* ERSTBA has not been followed */
	uint64_t event_base[XHCI_INTERRUPTERS];
	uint32_t event_size[XHCI_INTERRUPTERS]; /* 0: no ring */
	uint32_t event_at[XHCI_INTERRUPTERS];
	bool event_cycle[XHCI_INTERRUPTERS];
	/* The same as saved by CSS, until a reset. */
	bool kept;
	uint64_t kept_base[XHCI_INTERRUPTERS];
	uint32_t kept_size[XHCI_INTERRUPTERS], kept_at[XHCI_INTERRUPTERS];
	bool kept_cycle[XHCI_INTERRUPTERS];

	bool slot_enabled[XHCI_SLOTS + 1];
	uint8_t slot_state[XHCI_SLOTS + 1]; /* enum xhci_slot_state */
	uint8_t slot_port[XHCI_SLOTS + 1];
	uint64_t slot_context[XHCI_SLOTS + 1];
	uint64_t slot_setup[XHCI_SLOTS + 1]; /* as the setup stage has it */
	uint8_t slot_stage[XHCI_SLOTS + 1];  /* enum xhci_stage */

	uint8_t ep_state[XHCI_EPS]; /* enum xhci_ep_state */
	uint8_t ep_type[XHCI_EPS];
	uint16_t ep_packet[XHCI_EPS];
	bool ep_active[XHCI_EPS]; /* its doorbell was rung since it was empty */
	uint64_t ep_dequeue[XHCI_EPS];
	bool ep_cycle[XHCI_EPS];
	uint32_t ep_done[XHCI_EPS]; /* bytes of the TD there */
};

/* --- xhci.c ------------------------------------------------------------------- */

static inline bool xhci_runs(const struct xhci *x)
{
	return !(x->usbsts & XHCI_STS_HALTED);
}

/* Guest memory did not answer (HSE), or the driver's structures are nonsense
 * (HCE): it halts until it is reset. */
void xhci_host_error(struct xhci *x, const char *why);
void xhci_controller_error(struct xhci *x, const char *why);

/* Guest memory; false: an error, which has been noted. */
bool xhci_read(struct xhci *x, uint64_t at, void *to, uint64_t size);
bool xhci_write(struct xhci *x, uint64_t at, const void *from, uint64_t size);

/* Goes on with everything that is not finished: at once, or soon. */
void xhci_go_on(struct xhci *x);
void xhci_later(struct xhci *x);

/* --- xhci_ring.c -------------------------------------------------------------- */

enum xhci_next {
	XHCI_NEXT_TRB,
	XHCI_NEXT_EMPTY,
	XHCI_NEXT_ENDLESS, /* links alone */
	XHCI_NEXT_FAULT,   /* noted */
};

/* Takes the next TRB that is no link; the ring then is behind it. */
enum xhci_next xhci_ring_next(struct xhci *x, struct xhci_ring *ring,
			      struct xhci_trb *trb);

/* Whether so many events fit, or all that the ring can ever hold. */
bool xhci_event_room(struct xhci *x, unsigned int to, unsigned int count);

/* Puts an event; `control` without the cycle bit. */
void xhci_event_put(struct xhci *x, unsigned int to, uint64_t parameter,
		    uint32_t status, uint32_t control, bool quiet);

void xhci_events_reset(struct xhci *x);
/* CSS and CRS: what no register has of the event rings (4.23.2). */
void xhci_events_save(struct xhci *x);
void xhci_events_restore(struct xhci *x);
uint32_t xhci_interrupter_read(const struct xhci *x, unsigned int index,
			       unsigned int at);
void xhci_interrupter_write(struct xhci *x, unsigned int index,
			    unsigned int at, uint32_t value);
/* Interrupts as registers and MSI-X have them now. */
void xhci_interrupt(struct xhci *x);

/* --- xhci_port.c -------------------------------------------------------------- */

void xhci_ports_reset(struct xhci *x);
/* Events that have waited. */
void xhci_ports_tell(struct xhci *x);
uint32_t xhci_port_read(const struct xhci *x, unsigned int port,
			unsigned int at);
void xhci_port_write(struct xhci *x, unsigned int port, unsigned int at,
		     uint32_t value);
/* A device has something. */
void xhci_port_wake(void *ctx, unsigned int port, bool resume);
/* Frames go to and fro. */
bool xhci_port_is_on(const struct xhci *x, unsigned int port);

/* --- xhci_command.c ----------------------------------------------------------- */

void xhci_command_run(struct xhci *x);
void xhci_command_control(struct xhci *x, uint32_t value);

/* --- xhci_context.c ----------------------------------------------------------- */

/* All slots as after a reset, without a word to memory. */
void xhci_slots_reset(struct xhci *x);
void xhci_endpoint_set(struct xhci *x, unsigned int ep,
		       enum xhci_ep_state state);

enum xhci_code xhci_enable_slot(struct xhci *x, unsigned int *slot);
enum xhci_code xhci_disable_slot(struct xhci *x, unsigned int slot);
enum xhci_code xhci_address_device(struct xhci *x, unsigned int slot,
				   const struct xhci_trb *trb);
enum xhci_code xhci_configure(struct xhci *x, unsigned int slot,
			      const struct xhci_trb *trb);
enum xhci_code xhci_evaluate(struct xhci *x, unsigned int slot,
			     const struct xhci_trb *trb);
enum xhci_code xhci_reset_device(struct xhci *x, unsigned int slot);

/* --- xhci_transfer.c ---------------------------------------------------------- */

/* Carries out what the endpoint's ring has, as far as the device answers. */
void xhci_endpoint_run(struct xhci *x, unsigned int ep);
/* Tells of a TD that is stopped in the midst. */
void xhci_endpoint_stopped(struct xhci *x, unsigned int ep);

#endif

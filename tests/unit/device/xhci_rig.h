/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver for the xHCI controller with a tablet on port 1 and a keyboard on
 * port 2, as plain as it can be: rings of one segment, one interrupter.
 */
#ifndef LODGE_TEST_DEVICE_XHCI_RIG_H
#define LODGE_TEST_DEVICE_XHCI_RIG_H

#include "device/usb_keyboard.h"
#include "device/usb_tablet.h"
#include "device/xhci.h"
#include "device/xhci_impl.h"
#include "pci_rig.h"

#define DEVFN	 PCI_DEVFN(3, 0)
#define BAR	 0xd0000000ull
#define MSIX	 0xd1000000ull
#define TABLET	 0u /* ports, from 0 on */
#define KEYBOARD 1u

/* Where the driver keeps things in guest memory. */
#define DCBAA	  0x10000u
#define COMMANDS  0x11000u
#define TABLE	  0x12000u
#define EVENTS	  0x13000u
#define INPUT	  0x14000u
#define DATA	  0x18000u
#define CONTEXT(slot) (0x20000u + (slot) * 0x1000u)
#define RING(slot, index) (0x30000u + (slot) * 0x4000u + (index) * 0x400u)
#define RING_TRBS 16u
#define EVENT_TRBS 16u
#define NOWHERE	  0xf0000000ull

struct event {
	uint64_t parameter;
	uint32_t status, control;
};

/* The driver's end of a ring. */
struct ring {
	uint32_t base, at;
	bool cycle;
};

struct xhci_rig {
	struct pci_rig pci;
	struct xhci *xhci;
	struct usb_tablet *tablet;
	struct usb_keyboard *keyboard;
	struct ring commands;
	struct ring ring[XHCI_SLOTS + 1][4]; /* contexts 1 and 3 */
	uint32_t event_at;
	bool event_cycle;
	uint64_t last; /* where the last TRB was put */
};

extern struct xhci_rig rig;

int xhci_setup(void **state);
int xhci_teardown(void **state);

void poke(uint64_t at, const void *data, size_t size);
void peek(uint64_t at, void *data, size_t size);
uint32_t peek32(uint64_t at);

uint32_t get(unsigned int at);
void set(unsigned int at, uint32_t value);
uint32_t get_port(unsigned int port);
void set_port(unsigned int port, uint32_t value);

/* Resets the controller and starts it with fresh rings. */
void start(void);
void ring_doorbell(unsigned int slot, unsigned int index);

/* The next event; false: none. Told to the controller when `taken`. */
bool event(struct event *event, bool taken);
/* There is one, and it is of this type and code. */
void expect(unsigned int type, unsigned int code, struct event *event);
void expect_none(void);

void put(struct ring *ring, uint64_t parameter, uint32_t status,
	 uint32_t control);

/* Runs a command; its code. */
unsigned int command(unsigned int type, uint64_t parameter, uint32_t control);
/* The same; the slot that it is told for. */
unsigned int command_slot(unsigned int type, uint64_t parameter,
			  uint32_t control, unsigned int *slot);

/* Fills the input context: flags, slot context, an endpoint's. */
void input(uint32_t drop, uint32_t add, unsigned int port);
void input_endpoint(unsigned int slot, unsigned int index, unsigned int type,
		    unsigned int packet);

/* Port reset to addressed; the slot. */
unsigned int address(unsigned int port);
/* And configured, its interrupt endpoint ready. */
unsigned int configure(unsigned int port);

/* A control transfer; the code of what went wrong or of the last stage. */
unsigned int control(unsigned int slot, unsigned int type,
		     unsigned int request, unsigned int value,
		     unsigned int index, unsigned int length);
/* Bytes that the last one moved. */
extern uint32_t moved;

/* Asks for a report of `size` bytes at DATA. */
void poll(unsigned int slot, uint32_t size);
/* The report has come. */
void expect_report(const uint8_t *report, uint32_t size);

#endif

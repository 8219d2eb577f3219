/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver for unit tests; see xhci_rig.h.
 */
#include "xhci_rig.h"

struct xhci_rig rig;
uint32_t moved;

/* --- memory, registers ----------------------------------------------------------- */

void poke(uint64_t at, const void *data, size_t size)
{
	assert_int_equal(memory_write(&rig.pci.rig.vm.memory, gpa(at), data,
				      size), 0);
}

void peek(uint64_t at, void *data, size_t size)
{
	assert_int_equal(memory_read(&rig.pci.rig.vm.memory, gpa(at), data,
				     size), 0);
}

uint32_t peek32(uint64_t at)
{
	uint32_t value;

	peek(at, &value, sizeof(value));
	return value;
}

static void clear(uint32_t at, size_t size)
{
	static const uint8_t nothing[0x1000];

	poke(at, nothing, size);
}

uint32_t get(unsigned int at)
{
	return (uint32_t)bus_read(&rig.pci.rig.vm.mmio, BAR + at, 4);
}

void set(unsigned int at, uint32_t value)
{
	bus_write(&rig.pci.rig.vm.mmio, BAR + at, 4, value);
}

uint32_t get_port(unsigned int port)
{
	return get(XHCI_PORT0 + port * XHCI_PORT_SIZE);
}

void set_port(unsigned int port, uint32_t value)
{
	set(XHCI_PORT0 + port * XHCI_PORT_SIZE, value);
}

void ring_doorbell(unsigned int slot, unsigned int index)
{
	set(XHCI_DOORBELLS + slot * 4, index);
}

/* --- rings ------------------------------------------------------------------------ */

static void make_ring(struct ring *ring, uint32_t base)
{
	*ring = (struct ring){ .base = base, .cycle = true };
	clear(base, RING_TRBS * XHCI_TRB);
}

static void put_trb(struct ring *ring, uint64_t parameter, uint32_t status,
		    uint32_t control)
{
	const struct event trb = { parameter, status,
				   control | ring->cycle };

	rig.last = ring->base + ring->at * XHCI_TRB;
	poke(rig.last, &trb, sizeof(trb));
	ring->at++;
}

void put(struct ring *ring, uint64_t parameter, uint32_t status,
	 uint32_t control)
{
	if (ring->at == RING_TRBS - 1) {
		put_trb(ring, ring->base, 0,
			XHCI_TRB_IS(XHCI_LINK) | XHCI_TRB_TOGGLE |
				(control & XHCI_TRB_CHAIN));
		ring->at = 0;
		ring->cycle ^= true;
	}
	put_trb(ring, parameter, status, control);
}

static void tell_reader(void)
{
	set(XHCI_INTERRUPTER0 + XHCI_ERDP,
	    (EVENTS + rig.event_at * XHCI_TRB) | XHCI_ERDP_EHB);
	set(XHCI_INTERRUPTER0 + XHCI_ERDP + 4, 0);
}

bool event(struct event *event, bool taken)
{
	peek(EVENTS + rig.event_at * XHCI_TRB, event, sizeof(*event));
	if ((event->control & XHCI_TRB_CYCLE) != rig.event_cycle)
		return false;
	if (++rig.event_at == EVENT_TRBS) {
		rig.event_at = 0;
		rig.event_cycle ^= true;
	}
	if (taken)
		tell_reader();
	return true;
}

void expect(unsigned int type, unsigned int code, struct event *which)
{
	struct event own;

	which = which ? which : &own;
	assert_true(event(which, true));
	assert_int_equal(XHCI_TRB_TYPE(which->control), type);
	assert_int_equal(which->status >> 24, code);
}

void expect_none(void)
{
	struct event which;

	assert_false(event(&which, false));
}

void start(void)
{
	const struct {
		uint64_t base;
		uint32_t size, reserved;
	} table = { EVENTS, EVENT_TRBS, 0 };

	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESET);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS), XHCI_STS_HALTED);
	clear(DCBAA, 0x800);
	clear(EVENTS, EVENT_TRBS * XHCI_TRB);
	make_ring(&rig.commands, COMMANDS);
	poke(TABLE, &table, sizeof(table));
	rig.event_at = 0;
	rig.event_cycle = true;
	set(XHCI_OPER + XHCI_CONFIG, XHCI_SLOTS);
	set(XHCI_OPER + XHCI_DCBAAP, DCBAA);
	set(XHCI_OPER + XHCI_DCBAAP + 4, 0);
	set(XHCI_OPER + XHCI_CRCR, COMMANDS | XHCI_CRCR_CYCLE);
	set(XHCI_OPER + XHCI_CRCR + 4, 0);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTSZ, 1);
	set(XHCI_INTERRUPTER0 + XHCI_ERDP, EVENTS);
	set(XHCI_INTERRUPTER0 + XHCI_ERDP + 4, 0);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTBA, TABLE);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTBA + 4, 0);
	set(XHCI_INTERRUPTER0 + XHCI_IMAN, XHCI_IMAN_IE);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RUN | XHCI_CMD_INTE);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS), 0);
}

/* --- commands ----------------------------------------------------------------------- */

unsigned int command_slot(unsigned int type, uint64_t parameter,
			  uint32_t word, unsigned int *slot)
{
	struct event done;

	put(&rig.commands, parameter, 0, XHCI_TRB_IS(type) | word);
	ring_doorbell(0, 0);
	assert_true(event(&done, true));
	assert_int_equal(XHCI_TRB_TYPE(done.control), XHCI_COMMAND_EVENT);
	assert_int_equal(done.parameter, rig.last);
	*slot = XHCI_TRB_SLOT(done.control);
	return done.status >> 24;
}

unsigned int command(unsigned int type, uint64_t parameter, uint32_t word)
{
	unsigned int slot, code = command_slot(type, parameter, word, &slot);

	if (type != XHCI_ENABLE_SLOT && code != XHCI_TRB_ERROR &&
	    type <= XHCI_RESET_DEVICE)
		assert_int_equal(slot, word >> 24);
	return code;
}

void input(uint32_t drop, uint32_t add, unsigned int port)
{
	const uint32_t words[16] = {
		drop, add,
		/* the slot context: full speed, one entry */
		[8] = 1u << 27 | USB_FULL_SPEED << 20, (port + 1) << 16,
	};

	clear(INPUT, 0x420);
	poke(INPUT, words, sizeof(words));
}

void input_endpoint(unsigned int slot, unsigned int index, unsigned int type,
		    unsigned int packet)
{
	const uint32_t words[8] = {
		0, packet << 16 | type << 3 | 3 << 1,
		RING(slot, index) | XHCI_EP_CYCLE,
	};

	poke(INPUT + (index + 1) * XHCI_CONTEXT, words, sizeof(words));
	make_ring(&rig.ring[slot][index], RING(slot, index));
}

unsigned int address(unsigned int port)
{
	uint64_t context;
	unsigned int slot;

	set_port(port, XHCI_PORT_PP | XHCI_PORT_PR);
	expect(XHCI_PORT_EVENT, XHCI_SUCCESS, NULL);
	set_port(port, XHCI_PORT_PP | XHCI_PORT_CHANGES);
	assert_int_equal(command_slot(XHCI_ENABLE_SLOT, 0, 0, &slot),
			 XHCI_SUCCESS);
	context = CONTEXT(slot);
	clear((uint32_t)context, 0x400);
	poke(DCBAA + slot * 8, &context, 8);
	input(0, 3, port);
	input_endpoint(slot, 1, XHCI_EP_CONTROL, 64);
	assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT, slot << 24),
			 XHCI_SUCCESS);
	return slot;
}

unsigned int configure(unsigned int port)
{
	unsigned int slot = address(port);

	input(0, 1 | 1 << 3, port);
	input_endpoint(slot, 3, XHCI_EP_INTERRUPT_IN, 8);
	assert_int_equal(command(XHCI_CONFIGURE, INPUT, slot << 24),
			 XHCI_SUCCESS);
	assert_int_equal(control(slot, 0, USB_SET_CONFIGURATION, 1, 0, 0),
			 XHCI_SUCCESS);
	return slot;
}

/* --- transfers ----------------------------------------------------------------------- */

unsigned int control(unsigned int slot, unsigned int type,
		     unsigned int request, unsigned int value,
		     unsigned int index, unsigned int length)
{
	uint64_t setup = type | request << 8 | value << 16 |
			 (uint64_t)index << 32 | (uint64_t)length << 48;
	struct ring *ring = &rig.ring[slot][1];
	uint32_t in = type & USB_TYPE_IN ? XHCI_TRB_IN : 0;
	struct event done;
	unsigned int code;

	moved = length;
	put(ring, setup, 8, XHCI_TRB_IS(XHCI_SETUP) | XHCI_TRB_IDT);
	if (length)
		put(ring, DATA, length, XHCI_TRB_IS(XHCI_DATA) | in |
		    XHCI_TRB_ISP);
	put(ring, 0, 0, XHCI_TRB_IS(XHCI_STATUS) | XHCI_TRB_IOC |
	    (length && in ? 0 : XHCI_TRB_IN));
	ring_doorbell(slot, 1);
	do {
		assert_true(event(&done, true));
		assert_int_equal(XHCI_TRB_TYPE(done.control),
				 XHCI_TRANSFER_EVENT);
		code = done.status >> 24;
		moved -= done.status & 0xffffff;
	} while (code == XHCI_SHORT_PACKET);
	return code;
}

void poll(unsigned int slot, uint32_t size)
{
	put(&rig.ring[slot][3], DATA, size, XHCI_TRB_IS(XHCI_NORMAL) |
	    XHCI_TRB_IOC | XHCI_TRB_ISP);
	ring_doorbell(slot, 3);
}

void expect_report(const uint8_t *report, uint32_t size)
{
	uint8_t data[64];

	expect(XHCI_TRANSFER_EVENT, XHCI_SUCCESS, NULL);
	peek(DATA, data, size);
	assert_memory_equal(data, report, size);
}

/* --- set-up ---------------------------------------------------------------------------- */

int xhci_setup(void **state)
{
	struct vm *vm = &rig.pci.rig.vm;

	memset(&rig, 0, sizeof(rig));
	pci_rig_init(&rig.pci);
	assert_int_equal(usb_tablet_create(&rig.tablet, vm), 0);
	assert_int_equal(usb_keyboard_create(&rig.keyboard, vm), 0);
	assert_int_equal(xhci_create(&rig.xhci, vm), 0);
	xhci_plug(rig.xhci, TABLET, &rig.tablet->hid.usb);
	xhci_plug(rig.xhci, KEYBOARD, &rig.keyboard->hid.usb);
	assert_int_equal(pci_attach(&rig.pci.host.root, xhci_pci(rig.xhci),
				    DEVFN), 0);
	pci_rig_set(&rig.pci, DEVFN, PCI_BAR0, 4, (uint32_t)BAR);
	pci_rig_set(&rig.pci, DEVFN, PCI_BAR0 + 8, 4, (uint32_t)MSIX);
	pci_rig_set(&rig.pci, DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	start();
	return 0;
}

int xhci_teardown(void **state)
{
	pci_rig_fini(&rig.pci);
	assert_int_equal(fake_live(), 0);
	return 0;
}

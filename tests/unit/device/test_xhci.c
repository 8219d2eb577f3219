/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The xHCI controller as a driver talks to it: registers, ports, rings and
 * commands; and as one would that means harm.
 */
#include "xhci_rig.h"

/* --- registers -------------------------------------------------------------------- */

static void registers(void **state)
{
	uint32_t cap;

	assert_int_equal(bus_read(&rig.pci.rig.vm.mmio, BAR, 1), XHCI_OPER);
	assert_int_equal(bus_read(&rig.pci.rig.vm.mmio, BAR + 2, 2), 0x120);
	assert_int_equal(get(XHCI_HCSPARAMS1),
			 XHCI_PORTS << 24 | XHCI_INTERRUPTERS << 8 |
			 XHCI_SLOTS);
	assert_int_equal(get(XHCI_HCSPARAMS2), 0); /* no scratchpads */
	assert_int_equal(get(XHCI_OPER + XHCI_PAGESIZE), 1);
	assert_int_equal(pci_rig_get(&rig.pci, DEVFN, 8, 4) >> 8, 0x0c0330);
	assert_int_equal(pci_rig_get(&rig.pci, DEVFN, 0x60, 1), 0x31);
	/* The hand-over: who asks owns it. */
	cap = get(XHCI_HCCPARAMS1) >> 16 << 2;
	assert_int_equal(get(cap) & 0xff, XHCI_CAP_LEGACY);
	set(cap, XHCI_LEGACY_BIOS);
	assert_int_equal(get(cap) >> 16, 1);
	set(cap, XHCI_LEGACY_BIOS | XHCI_LEGACY_OS);
	assert_int_equal(get(cap) >> 16, 0x100);
	/* USB 2 ports, then USB 3 ports, and no more. */
	cap += (get(cap) >> 8 & 0xff) << 2;
	assert_int_equal(get(cap) & 0xff0000ff, 0x02000002);
	assert_int_equal(get(cap + 4), XHCI_NAME_USB);
	assert_int_equal(get(cap + 8), XHCI_USB2_PORTS << 8 | 1);
	cap += (get(cap) >> 8 & 0xff) << 2;
	assert_int_equal(get(cap), 0x03000002);
	assert_int_equal(get(cap + 8), XHCI_USB3_PORTS << 8 |
			 (XHCI_USB2_PORTS + 1));
}

static void microframes(void **state)
{
	uint32_t before = get(XHCI_RUNTIME);

	rig_run(&rig.pci.rig, MS);
	assert_int_equal(get(XHCI_RUNTIME) - before, 8);
	rig_run(&rig.pci.rig, 2048 * MS);
	assert_int_equal(get(XHCI_RUNTIME) - before, 8);
	set(XHCI_OPER + XHCI_USBCMD, 0);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS), XHCI_STS_HALTED);
	ring_doorbell(0, 0); /* nobody hears it */
}

static void reset(void **state)
{
	configure(TABLET);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESET);
	assert_int_equal(get(XHCI_OPER + XHCI_USBCMD), 0);
	assert_int_equal(get(XHCI_OPER + XHCI_CONFIG), 0);
	assert_int_equal(get(XHCI_OPER + XHCI_DCBAAP), 0);
	assert_int_equal(get(XHCI_INTERRUPTER0 + XHCI_ERSTSZ), 0);
	assert_int_equal(rig.tablet->hid.configuration, 0);
	start();
	configure(TABLET);
}

/* --- ports ------------------------------------------------------------------------ */

static void ports(void **state)
{
	struct event which;

	for (unsigned int i = 0; i < XHCI_PORTS; i++)
		assert_int_equal(get_port(i) & XHCI_PORT_CCS, i < 2);
	assert_int_equal(get_port(2), XHCI_PORT_PP |
			 XHCI_PORT_LINK(XHCI_LINK_RXDET));
	assert_int_equal(get_port(TABLET) & XHCI_PORT_CHANGES, XHCI_PORT_CSC);
	set_port(TABLET, XHCI_PORT_PP | XHCI_PORT_CSC | XHCI_PORT_PR);
	assert_int_equal(get_port(TABLET), XHCI_PORT_PP | XHCI_PORT_CCS |
			 XHCI_PORT_PED | XHCI_PORT_PRC |
			 XHCI_PORT_SPEED(USB_FULL_SPEED));
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS),
			 XHCI_STS_EINT | XHCI_STS_PCD);
	expect(XHCI_PORT_EVENT, XHCI_SUCCESS, &which);
	assert_int_equal(which.parameter, (TABLET + 1) << 24);
	set(XHCI_OPER + XHCI_USBSTS, XHCI_STS_PCD);
	/* A change that is not taken away is no news. */
	set_port(TABLET, XHCI_PORT_PP | XHCI_PORT_PR);
	expect_none();
	set_port(TABLET, XHCI_PORT_PP | XHCI_PORT_CHANGES | XHCI_PORT_PED);
	assert_false(get_port(TABLET) & XHCI_PORT_PED);
	/* Nothing is there to be reset. */
	set_port(3, XHCI_PORT_PP | XHCI_PORT_PR);
	set_port(5, XHCI_PORT_PP | XHCI_PORT_PR);
	expect_none();
}

static void set_link(unsigned int port, uint32_t link)
{
	set_port(port, XHCI_PORT_PP | XHCI_PORT_LWS | XHCI_PORT_LINK(link) |
		 XHCI_PORT_PLC);
}

static void expect_link(unsigned int port, uint32_t link)
{
	assert_int_equal(get_port(port) & XHCI_PORT_PLS,
			 XHCI_PORT_LINK(link));
}

static void suspend(void **state)
{
	unsigned int slot = configure(KEYBOARD);
	static const uint8_t held[8] = { [2] = KEY_A };

	poll(slot, 8);
	assert_true(xhci_listens(rig.xhci, KEYBOARD));
	set_link(KEYBOARD, XHCI_LINK_U3);
	expect_link(KEYBOARD, XHCI_LINK_U3);
	assert_false(xhci_listens(rig.xhci, KEYBOARD));
	usb_keyboard_key(rig.keyboard, KEY_A, true);
	expect_none(); /* it may not wake anybody */
	set_link(KEYBOARD, XHCI_LINK_RESUME);
	expect_link(KEYBOARD, XHCI_LINK_RESUME);
	set_link(KEYBOARD, XHCI_LINK_U0);
	expect_link(KEYBOARD, XHCI_LINK_U0);
	expect(XHCI_PORT_EVENT, XHCI_SUCCESS, NULL);
	expect_report(held, 8);
	/* Now it may. */
	assert_int_equal(control(slot, 0, USB_SET_FEATURE, USB_REMOTE_WAKEUP,
				 0, 0), XHCI_SUCCESS);
	poll(slot, 8);
	set_link(KEYBOARD, XHCI_LINK_U3);
	assert_true(xhci_listens(rig.xhci, KEYBOARD));
	usb_keyboard_key(rig.keyboard, KEY_A, false);
	expect_link(KEYBOARD, XHCI_LINK_RESUME);
	assert_true(get_port(KEYBOARD) & XHCI_PORT_PLC);
	expect(XHCI_PORT_EVENT, XHCI_SUCCESS, NULL);
	expect_none();
	set_link(KEYBOARD, XHCI_LINK_U0);
	expect(XHCI_PORT_EVENT, XHCI_SUCCESS, NULL);
	expect_report((const uint8_t[8]){ 0 }, 8);
}

/* --- rings ------------------------------------------------------------------------ */

/* Both rings wrap, many times; events are told in order. */
static void many_commands(void **state)
{
	for (unsigned int i = 0; i < 10 * RING_TRBS; i++)
		assert_int_equal(command(XHCI_NOOP_COMMAND, 0, 0),
				 XHCI_SUCCESS);
}

/* More commands than the event ring has room for: the rest waits. */
static void full_event_ring(void **state)
{
	struct event which;
	unsigned int count = 0;

	for (unsigned int i = 0; i < EVENT_TRBS + 5; i++) {
		put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_NOOP_COMMAND));
		if (i < RING_TRBS - 2)
			ring_doorbell(0, 0);
	}
	set_port(TABLET, XHCI_PORT_PP | XHCI_PORT_PR); /* told when it can be */
	ring_doorbell(0, 0);
	while (event(&which, true))
		count++;
	assert_int_equal(count, EVENT_TRBS + 6);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HCE, 0);
}

static void stop_commands(void **state)
{
	struct event which;

	assert_int_equal(get(XHCI_OPER + XHCI_CRCR), 0);
	command(XHCI_NOOP_COMMAND, 0, 0);
	assert_int_equal(get(XHCI_OPER + XHCI_CRCR), XHCI_CRCR_RUNNING);
	set(XHCI_OPER + XHCI_CRCR, XHCI_CRCR_ABORT);
	set(XHCI_OPER + XHCI_CRCR + 4, 5); /* goes with the other half */
	expect(XHCI_COMMAND_EVENT, XHCI_RING_STOPPED, &which);
	assert_int_equal(which.parameter, COMMANDS + XHCI_TRB);
	assert_int_equal(get(XHCI_OPER + XHCI_CRCR), 0);
	assert_int_equal(command(XHCI_NOOP_COMMAND, 0, 0), XHCI_SUCCESS);
}

static void make_link(uint64_t at, uint64_t to, uint32_t flags)
{
	const struct event link = { to, 0, XHCI_TRB_IS(XHCI_LINK) | flags };

	poke(at, &link, sizeof(link));
}

static void endless_rings(void **state)
{
	unsigned int slot = configure(TABLET);

	/* A transfer ring of one link to itself. */
	make_link(RING(slot, 3), RING(slot, 3), XHCI_TRB_CYCLE);
	ring_doorbell(slot, 3);
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HCE);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RUN); /* a reset alone helps */
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HALTED);
	start();
	make_link(COMMANDS, COMMANDS, XHCI_TRB_CYCLE);
	ring_doorbell(0, 0);
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HCE);
	start();
	assert_int_equal(command(XHCI_NOOP_COMMAND, 0, 0), XHCI_SUCCESS);
}

/* A ring of no-ops without an end: the rest of the machine has its turn. */
static void endless_work(void **state)
{
	unsigned int slot = configure(TABLET);
	const struct event noop = { 0, 0, XHCI_TRB_IS(XHCI_NOOP) |
					  XHCI_TRB_CYCLE };

	poke(RING(slot, 3), &noop, sizeof(noop));
	make_link(RING(slot, 3) + XHCI_TRB, RING(slot, 3), XHCI_TRB_CYCLE);
	ring_doorbell(slot, 3);
	rig_run(&rig.pci.rig, 100 * MS);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS) &
			 (XHCI_STS_HCE | XHCI_STS_HSE), 0);
	put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_STOP_ENDPOINT) |
	    slot << 24 | 3 << 16);
	ring_doorbell(0, 0);
	expect(XHCI_TRANSFER_EVENT, XHCI_STOPPED, NULL);
	expect(XHCI_COMMAND_EVENT, XHCI_SUCCESS, NULL);
	/* A chain without an end is an error of the ring's. */
	slot = configure(KEYBOARD);
	make_link(RING(slot, 3) + XHCI_TRB, RING(slot, 3), XHCI_TRB_CYCLE);
	poke(RING(slot, 3), &(struct event){
		DATA, 8, XHCI_TRB_IS(XHCI_NORMAL) | XHCI_TRB_CHAIN |
			 XHCI_TRB_CYCLE }, XHCI_TRB);
	ring_doorbell(slot, 3);
	expect(XHCI_TRANSFER_EVENT, XHCI_TRB_ERROR, NULL);
	assert_int_equal(peek32(CONTEXT(slot) + 3 * XHCI_CONTEXT) & 7,
			 XHCI_EP_ERROR);
}

static void outside_of_memory(void **state)
{
	static const unsigned int registers_[] = {
		XHCI_OPER + XHCI_CRCR, XHCI_INTERRUPTER0 + XHCI_ERSTBA,
	};

	for (unsigned int i = 0; i < 2; i++) {
		start();
		set(registers_[i], (uint32_t)NOWHERE | 1);
		set(registers_[i] + 4, 0);
		put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_NOOP_COMMAND));
		ring_doorbell(0, 0);
		assert_int_equal(get(XHCI_OPER + XHCI_USBSTS),
				 XHCI_STS_HSE | XHCI_STS_HALTED);
	}
	start();
	/* Without being master it reaches nothing. */
	pci_rig_set(&rig.pci, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEM);
	ring_doorbell(0, 0);
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HSE);
}

static void bad_event_rings(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t size, reserved;
	} bad[] = {
		{ EVENTS, 15, 0 }, { EVENTS, 4097, 0 }, { EVENTS, 0, 0 },
		{ EVENTS + 4, 16, 0 },
	};

	for (unsigned int i = 0; i < 4; i++) {
		start();
		poke(TABLE, &bad[i], sizeof(bad[i]));
		ring_doorbell(0, 0);
		assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HCE);
	}
	start();
	set(XHCI_INTERRUPTER0 + XHCI_ERSTSZ, 2);
	ring_doorbell(0, 0);
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HCE);
	/* A reader that is nowhere in the ring: nothing is told. */
	start();
	set(XHCI_INTERRUPTER0 + XHCI_ERDP, EVENTS - XHCI_TRB);
	put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_NOOP_COMMAND));
	ring_doorbell(0, 0);
	expect_none();
	set(XHCI_INTERRUPTER0 + XHCI_ERDP, EVENTS);
	expect(XHCI_COMMAND_EVENT, XHCI_SUCCESS, NULL);
}

/* A system sleeps: registers are written anew, rings go on. */
static void save_and_restore(void **state)
{
	unsigned int slot;

	for (unsigned int i = 0; i < 5; i++)
		command(XHCI_NOOP_COMMAND, 0, 0);
	slot = configure(KEYBOARD);
	set(XHCI_OPER + XHCI_USBCMD, 0);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_SAVE);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS) & ~XHCI_STS_EINT,
			 XHCI_STS_HALTED | XHCI_STS_PCD);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTBA, TABLE);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTBA + 4, 0);
	set(XHCI_OPER + XHCI_CRCR, (COMMANDS + rig.commands.at * XHCI_TRB) |
	    rig.commands.cycle);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESTORE);
	assert_int_equal(get(XHCI_OPER + XHCI_USBCMD), 0);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RUN | XHCI_CMD_INTE);
	assert_int_equal(command(XHCI_NOOP_COMMAND, 0, 0), XHCI_SUCCESS);
	assert_int_equal(control(slot, 0x80, USB_GET_CONFIGURATION, 0, 0, 1),
			 XHCI_SUCCESS);
	/* Nothing is kept over a reset. */
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESET);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESTORE);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS),
			 XHCI_STS_HALTED | XHCI_STS_SRE);
	set(XHCI_OPER + XHCI_USBSTS, XHCI_STS_SRE);
	assert_int_equal(get(XHCI_OPER + XHCI_USBSTS), XHCI_STS_HALTED);
}

/* --- interrupts ------------------------------------------------------------------- */

static unsigned int lines_up(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < RIG_LINES; i++)
		count += rig.pci.rig.level[i];
	return count;
}

static void pin(void **state)
{
	put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_NOOP_COMMAND));
	ring_doorbell(0, 0);
	assert_int_equal(lines_up(), 1);
	assert_int_equal(get(XHCI_INTERRUPTER0),
			 XHCI_IMAN_IE | XHCI_IMAN_IP);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RUN);
	assert_int_equal(lines_up(), 0);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RUN | XHCI_CMD_INTE);
	assert_int_equal(lines_up(), 1);
	set(XHCI_INTERRUPTER0, XHCI_IMAN_IE | XHCI_IMAN_IP);
	assert_int_equal(lines_up(), 0);
	/* Busy until ERDP says otherwise; what came meanwhile is not lost. */
	put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_NOOP_COMMAND));
	ring_doorbell(0, 0);
	assert_int_equal(lines_up(), 0);
	set(XHCI_INTERRUPTER0 + XHCI_ERDP,
	    (EVENTS + XHCI_TRB) | XHCI_ERDP_EHB);
	assert_int_equal(lines_up(), 1);
	set(XHCI_INTERRUPTER0, XHCI_IMAN_IE | XHCI_IMAN_IP);
	set(XHCI_INTERRUPTER0 + XHCI_ERDP,
	    (EVENTS + 2 * XHCI_TRB) | XHCI_ERDP_EHB);
	assert_int_equal(lines_up(), 0);
}

static void messages(void **state)
{
	unsigned int cap = xhci_pci(rig.xhci)->msix->cap;

	pci_rig_set(&rig.pci, DEVFN, cap + MSIX_CONTROL, 2, MSIX_ENABLE);
	bus_write(&rig.pci.rig.vm.mmio, MSIX, 4, 0xfee00000);
	bus_write(&rig.pci.rig.vm.mmio, MSIX + 8, 4, 0x47);
	bus_write(&rig.pci.rig.vm.mmio, MSIX + 12, 4, 0);
	for (unsigned int i = 0; i < 3; i++) {
		put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_NOOP_COMMAND));
		ring_doorbell(0, 0);
	}
	assert_int_equal(rig.pci.sent_count, 1);
	assert_int_equal(rig.pci.sent[0].data, 0x47);
	assert_int_equal(lines_up(), 0);
	assert_int_equal(get(XHCI_INTERRUPTER0), XHCI_IMAN_IE);
}

/* --- commands --------------------------------------------------------------------- */

static void slots(void **state)
{
	unsigned int slot;

	set(XHCI_OPER + XHCI_CONFIG, 3);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(command_slot(XHCI_ENABLE_SLOT, 0, 0, &slot),
				 XHCI_SUCCESS);
		assert_int_equal(slot, i);
	}
	assert_int_equal(command(XHCI_ENABLE_SLOT, 0, 0), XHCI_NO_SLOTS);
	assert_int_equal(command(XHCI_DISABLE_SLOT, 0, 2 << 24),
			 XHCI_SUCCESS);
	assert_int_equal(command(XHCI_DISABLE_SLOT, 0, 2 << 24),
			 XHCI_SLOT_NOT_ENABLED);
	assert_int_equal(command_slot(XHCI_ENABLE_SLOT, 0, 0, &slot),
			 XHCI_SUCCESS);
	assert_int_equal(slot, 2);
	assert_int_equal(command(XHCI_DISABLE_SLOT, 0, 0), XHCI_TRB_ERROR);
	assert_int_equal(command(XHCI_DISABLE_SLOT, 0, 99u << 24),
			 XHCI_TRB_ERROR);
	assert_int_equal(command(XHCI_NORMAL, 0, 0), XHCI_TRB_ERROR);
	assert_int_equal(command(63, 0, 0), XHCI_TRB_ERROR);
}

static uint32_t slot_state(unsigned int slot)
{
	return peek32(CONTEXT(slot) + 12);
}

static uint32_t ep_state(unsigned int slot, unsigned int index)
{
	return peek32(CONTEXT(slot) + index * XHCI_CONTEXT) & XHCI_EP_STATE;
}

static void life_of_a_slot(void **state)
{
	unsigned int slot = configure(KEYBOARD);
	const uint32_t to = slot << 24;

	assert_int_equal(slot_state(slot),
			 XHCI_SLOT_STATE(XHCI_SLOT_CONFIGURED) | slot);
	assert_int_equal(peek32(CONTEXT(slot)) >> 27, 3);
	assert_int_equal(ep_state(slot, 3), XHCI_EP_RUNNING);
	/* Twice is once too often. */
	input(0, 3, KEYBOARD);
	assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT, to),
			 XHCI_CONTEXT_STATE);
	assert_int_equal(command(XHCI_CONFIGURE, 0, to | XHCI_TRB_DC),
			 XHCI_SUCCESS);
	assert_int_equal(slot_state(slot),
			 XHCI_SLOT_STATE(XHCI_SLOT_ADDRESSED) | slot);
	assert_int_equal(ep_state(slot, 3), XHCI_EP_DISABLED);
	assert_int_equal(command(XHCI_RESET_DEVICE, 0, to), XHCI_SUCCESS);
	assert_int_equal(slot_state(slot),
			 XHCI_SLOT_STATE(XHCI_SLOT_DEFAULT));
	assert_int_equal(command(XHCI_RESET_DEVICE, 0, to),
			 XHCI_CONTEXT_STATE);
	assert_int_equal(command(XHCI_CONFIGURE, INPUT, to),
			 XHCI_CONTEXT_STATE);
	input(0, 3, KEYBOARD);
	input_endpoint(slot, 1, XHCI_EP_CONTROL, 64);
	assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT, to),
			 XHCI_SUCCESS);
	assert_int_equal(command(XHCI_DISABLE_SLOT, 0, to), XHCI_SUCCESS);
	assert_int_equal(slot_state(slot), 0);
	ring_doorbell(slot, 1); /* nobody is there */
	expect_none();
}

static void bad_contexts(void **state)
{
	unsigned int slot;
	uint64_t context = CONTEXT(1);

	assert_int_equal(command_slot(XHCI_ENABLE_SLOT, 0, 0, &slot),
			 XHCI_SUCCESS);
	poke(DCBAA + slot * 8, &context, 8);
	/* No reset of the port yet; no such port; nothing there. */
	for (unsigned int i = 0; i < 3; i++) {
		input(0, 3, (unsigned int[]){ TABLET, 99, 2 }[i]);
		input_endpoint(slot, 1, XHCI_EP_CONTROL, 64);
		assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT,
					 slot << 24), XHCI_PARAMETER_ERROR);
	}
	set_port(TABLET, XHCI_PORT_PP | XHCI_PORT_PR);
	expect(XHCI_PORT_EVENT, XHCI_SUCCESS, NULL);
	for (unsigned int i = 0; i < 3; i++) {
		input(0, i == 0 ? 1 : 3, TABLET);
		input_endpoint(slot, 1, i == 1 ? XHCI_EP_BULK_IN :
						 XHCI_EP_CONTROL,
			       i == 2 ? 0 : 64);
		assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT,
					 slot << 24), XHCI_PARAMETER_ERROR);
	}
	/* Blocked, then in earnest. */
	input(0, 3, TABLET);
	input_endpoint(slot, 1, XHCI_EP_CONTROL, 8);
	assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT, slot << 24 |
				 XHCI_TRB_BSR), XHCI_SUCCESS);
	assert_int_equal(slot_state(slot),
			 XHCI_SLOT_STATE(XHCI_SLOT_DEFAULT));
	assert_int_equal(command(XHCI_ADDRESS_DEVICE, INPUT, slot << 24),
			 XHCI_SUCCESS);
	/* Endpoints: both directions in one, control not to be touched. */
	input(0, 1 | 1 << 2, TABLET);
	input_endpoint(slot, 2, XHCI_EP_INTERRUPT_IN, 8);
	assert_int_equal(command(XHCI_CONFIGURE, INPUT, slot << 24),
			 XHCI_PARAMETER_ERROR);
	input(2, 1, TABLET);
	assert_int_equal(command(XHCI_CONFIGURE, INPUT, slot << 24),
			 XHCI_PARAMETER_ERROR);
	assert_int_equal(command(XHCI_ADDRESS_DEVICE, NOWHERE, slot << 24),
			 XHCI_CONTEXT_STATE);
	put(&rig.commands, NOWHERE, 0, XHCI_TRB_IS(XHCI_CONFIGURE) |
	    slot << 24);
	ring_doorbell(0, 0);
	assert_true(get(XHCI_OPER + XHCI_USBSTS) & XHCI_STS_HSE);
}

static void evaluate(void **state)
{
	unsigned int slot = address(TABLET);

	input(0, 2, TABLET);
	input_endpoint(slot, 1, XHCI_EP_CONTROL, 32);
	assert_int_equal(command(XHCI_EVALUATE, INPUT, slot << 24),
			 XHCI_SUCCESS);
	assert_int_equal(peek32(CONTEXT(slot) + XHCI_CONTEXT + 4) >> 16, 32);
	input(0, 1, TABLET);
	poke(INPUT + XHCI_CONTEXT + 4, &(uint32_t){ 0x55 }, 4);
	assert_int_equal(command(XHCI_EVALUATE, INPUT, slot << 24),
			 XHCI_SUCCESS);
	assert_int_equal(peek32(CONTEXT(slot) + 4),
			 0x55 | (TABLET + 1) << 16);
	input(1, 0, TABLET);
	assert_int_equal(command(XHCI_EVALUATE, INPUT, slot << 24),
			 XHCI_PARAMETER_ERROR);
}

static void endpoints(void **state)
{
	unsigned int slot = configure(TABLET);
	const uint32_t to = slot << 24 | 3 << 16;
	struct event which;

	assert_int_equal(command(XHCI_RESET_ENDPOINT, 0, to),
			 XHCI_CONTEXT_STATE);
	assert_int_equal(command(XHCI_SET_DEQUEUE, 0, to),
			 XHCI_CONTEXT_STATE);
	/* Stopped in the midst: told of, and taken up again by a doorbell. */
	poll(slot, 8);
	put(&rig.commands, 0, 0, XHCI_TRB_IS(XHCI_STOP_ENDPOINT) | to);
	ring_doorbell(0, 0);
	expect(XHCI_TRANSFER_EVENT, XHCI_STOPPED, &which);
	assert_int_equal(which.parameter, RING(slot, 3));
	assert_int_equal(which.status & 0xffffff, 8);
	expect(XHCI_COMMAND_EVENT, XHCI_SUCCESS, NULL);
	assert_int_equal(ep_state(slot, 3), XHCI_EP_STOPPED);
	usb_tablet_move(rig.tablet, 1, 2, 0, 0);
	expect_none();
	ring_doorbell(slot, 3);
	expect(XHCI_TRANSFER_EVENT, XHCI_SHORT_PACKET, &which);
	/* Or with another place in the ring. */
	assert_int_equal(command(XHCI_STOP_ENDPOINT, 0, to), XHCI_SUCCESS);
	assert_int_equal(command(XHCI_STOP_ENDPOINT, 0, to),
			 XHCI_CONTEXT_STATE);
	assert_int_equal(command(XHCI_SET_DEQUEUE,
				 (RING(slot, 3) + 0x100) | 1, to),
			 XHCI_SUCCESS);
	assert_int_equal(peek32(CONTEXT(slot) + 3 * XHCI_CONTEXT + 8),
			 (RING(slot, 3) + 0x100) | 1);
	assert_int_equal(command(XHCI_STOP_ENDPOINT, 0, slot << 24),
			 XHCI_TRB_ERROR);
}

static void bandwidth(void **state)
{
	uint8_t context[1 + XHCI_PORTS];

	assert_int_equal(command(XHCI_PORT_BANDWIDTH, DATA, 0), XHCI_SUCCESS);
	peek(DATA, context, sizeof(context));
	assert_int_equal(context[0], 0);
	assert_int_equal(context[XHCI_PORTS], 90);
}

/* --- hostile guests --------------------------------------------------------------- */

static void fuzz_step(uint64_t *seed)
{
	struct event trb;
	uint32_t pick = rig_random(seed), word = rig_random(seed);
	unsigned int slot = word % 3;

	switch (pick & 15) {
	case 0:
		rig_fuzz(&rig.pci.rig, &rig.pci.rig.vm.mmio, BAR,
			 XHCI_BAR_SIZE, 1);
		break;
	case 1:
		set(XHCI_OPER + (pick >> 8 & 0x3c), word & 0xfffff);
		break;
	case 2:
		set_port(pick >> 8 & 7, word);
		break;
	case 3:
		usb_keyboard_key(rig.keyboard, pick >> 8 & 0xff, word & 1);
		usb_tablet_move(rig.tablet, pick, word, 1, word & 7);
		break;
	case 4:
		set(XHCI_INTERRUPTER0 + XHCI_ERDP,
		    EVENTS + (word % EVENT_TRBS) * XHCI_TRB);
		break;
	case 5:
		poke(INPUT + (pick >> 4 & 0xfc), &word, 4);
		break;
	case 6:
		if (!(pick & 0xf0))
			start();
		break;
	default:
		trb = (struct event){
			INPUT + (pick & 0xf000), word & 0x1ff,
			(word & 0xffff) | slot << 24 |
				(pick >> 8 & 3) << 16,
		};
		poke(pick & 0x10 ? RING(slot, 1 + (pick >> 4 & 2)) +
					   (pick >> 16 & 0xf0) :
				   COMMANDS + (pick >> 16 & 0xf0),
		     &trb, sizeof(trb));
		ring_doorbell(slot, slot ? pick >> 8 & 3 : 0);
		break;
	}
}

/* Registers, commands and TRBs at random; afterwards a reset mends it all. */
static void fuzz(void **state)
{
	uint64_t seed = 1;

	for (unsigned int round = 0; round < 200; round++) {
		start();
		configure(TABLET);
		configure(KEYBOARD);
		for (unsigned int i = 0; i < 200; i++)
			fuzz_step(&seed);
	}
	start();
	configure(TABLET);
	assert_int_equal(command(XHCI_NOOP_COMMAND, 0, 0), XHCI_SUCCESS);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, xhci_setup, xhci_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers),
		TEST(microframes),
		TEST(reset),
		TEST(ports),
		TEST(suspend),
		TEST(many_commands),
		TEST(full_event_ring),
		TEST(stop_commands),
		TEST(endless_rings),
		TEST(endless_work),
		TEST(outside_of_memory),
		TEST(bad_event_rings),
		TEST(save_and_restore),
		TEST(pin),
		TEST(messages),
		TEST(slots),
		TEST(life_of_a_slot),
		TEST(bad_contexts),
		TEST(evaluate),
		TEST(endpoints),
		TEST(bandwidth),
		TEST(fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

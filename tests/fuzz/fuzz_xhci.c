/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the xHCI controller with a keyboard and a tablet. A driver that
 * knows no rules writes its registers and doorbells, puts commands, transfers
 * and contexts into memory, while somebody types and points. Whatever comes,
 * the process and what lies outside of guest memory stay as they are, and
 * each step ends.
 */
#include "fuzz_machine.h"

#include "device/usb_keyboard.h"
#include "device/usb_tablet.h"
#include "device/xhci.h"
#include "device/xhci_reg.h"

#define DCBAA	 0x10000u
#define COMMANDS 0x11000u
#define TABLE	 0x12000u
#define EVENTS	 0x13000u
#define INPUT	 0x14000u
#define DATA	 0x18000u
#define CONTEXTS 0x20000u /* 0x1000 a slot */
#define RINGS	 0x30000u /* 0x1000 a slot, 0x400 an endpoint */
#define TRBS	 32u

static struct xhci *xhci;
static struct usb_keyboard *keyboard;
static struct usb_tablet *tablet;
static unsigned int command_at;

static void put_trb(uint64_t at, uint64_t parameter, uint32_t status,
		    uint32_t control)
{
	const uint32_t words[4] = { (uint32_t)parameter,
				    (uint32_t)(parameter >> 32), status,
				    control };

	put(at, words, sizeof(words));
}

/* --- a driver, when it keeps to the rules ---------------------------------------- */

static void start(void)
{
	const uint32_t table[4] = { EVENTS, 0, TRBS, 0 };

	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RESET);
	put(TABLE, table, sizeof(table));
	for (uint64_t slot = 1; slot <= 3; slot++) {
		uint64_t context = CONTEXTS + slot * 0x1000;

		put(DCBAA + slot * 8, &context, 8);
	}
	command_at = 0;
	set(XHCI_OPER + XHCI_CONFIG, 3);
	set(XHCI_OPER + XHCI_DCBAAP, DCBAA);
	set(XHCI_OPER + XHCI_CRCR, COMMANDS | XHCI_CRCR_CYCLE);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTSZ, 1);
	set(XHCI_INTERRUPTER0 + XHCI_ERDP, EVENTS);
	set(XHCI_INTERRUPTER0 + XHCI_ERSTBA, TABLE);
	set(XHCI_INTERRUPTER0 + XHCI_IMAN, XHCI_IMAN_IE);
	set(XHCI_OPER + XHCI_USBCMD, XHCI_CMD_RUN | XHCI_CMD_INTE);
}

/* Commands fill a page; at its end it begins anew, with a reset. */
static void command(uint32_t type, uint64_t parameter, uint32_t control)
{
	if (command_at == 255)
		start();
	put_trb(COMMANDS + 16 * command_at++, parameter, 0,
		XHCI_TRB_IS(type) | control | XHCI_TRB_CYCLE);
	put_trb(COMMANDS + 16 * command_at, 0, 0, 0);
	set(XHCI_DOORBELLS, 0);
}

static void make_slot(unsigned int slot, unsigned int port)
{
	const uint32_t ring = RINGS + slot * 0x1000;
	/* Control, slot, endpoints 1 to 3: eight words each. */
	const uint32_t words[40] = {
		0, 3 | 1 << 3,
		[8] = 3u << 27 | 1 << 20, port << 16,
		[17] = 64 << 16 | XHCI_EP_CONTROL << 3, (ring + 0x400) | 1,
		[33] = 8 << 16 | XHCI_EP_INTERRUPT_IN << 3, (ring + 0xc00) | 1,
	};
	const uint32_t configure[2] = { 0, 1 | 1 << 3 };

	put(INPUT, words, sizeof(words));
	set(XHCI_PORT0 + (port - 1) * XHCI_PORT_SIZE,
	    XHCI_PORT_PP | XHCI_PORT_PR);
	command(XHCI_ENABLE_SLOT, 0, 0);
	command(XHCI_ADDRESS_DEVICE, INPUT, slot << 24);
	put(INPUT, configure, sizeof(configure));
	command(XHCI_CONFIGURE, INPUT, slot << 24);
}

static void build(unsigned int pick)
{
	build_pci_machine();
	demand(!usb_tablet_create(&tablet, &vm));
	demand(!usb_keyboard_create(&keyboard, &vm));
	demand(!xhci_create(&xhci, &vm));
	xhci_plug(xhci, 0, &tablet->hid.usb);
	xhci_plug(xhci, 1, &keyboard->hid.usb);
	attach(xhci_pci(xhci), PCI_DEVFN(3, 0));
	turn_on(0, 2);
	clock_start(&vm.clock);
	start();
	if (pick & 1)
		make_slot(1, 1);
	if (pick & 2)
		make_slot(2, 2);
}

/* --- one that does not -------------------------------------------------------------- */

/* A transfer's TRB anywhere in a ring, often one that makes sense. */
static void transfer(struct words *w, unsigned int slot)
{
	unsigned int index = next_word(w, 1) & 1 ? 1 : 3;
	uint32_t at = RINGS + slot * 0x1000 + index * 0x400 +
		      (uint32_t)next_word(w, 1) % TRBS * 16;
	uint32_t kind = (uint32_t)next_word(w, 1);
	uint64_t parameter = kind & 0x80 ? next_word(w, 8) :
					   DATA + next_word(w, 1) * 16;

	if (kind & 0x40) /* a link, near by */
		put_trb(at, RINGS + slot * 0x1000 + index * 0x400 +
			(uint32_t)next_word(w, 1) % TRBS * 16, 0,
			XHCI_TRB_IS(XHCI_LINK) | (kind & 0x13));
	else
		put_trb(at, parameter, (uint32_t)next_word(w, 2) & 0x11ff,
			XHCI_TRB_IS(kind & 0xf) |
				(uint32_t)next_word(w, 1) << 1 |
				(kind >> 4 & 1) | (kind >> 5 & 1) << 16);
	set(XHCI_DOORBELLS + 4 * slot, index);
}

static void poke_structures(struct words *w)
{
	uint32_t at = DCBAA + (uint32_t)next_word(w, 2) * 4 % 0x24000;
	uint64_t value = next_word(w, 4);

	put(at, &value, sizeof(value));
}

static void somebody(struct words *w, unsigned int op)
{
	if (op & 1)
		usb_keyboard_key(keyboard, (unsigned int)next_word(w, 1),
				 op & 2);
	else
		usb_tablet_move(tablet, (unsigned int)next_word(w, 2), 5,
				(int)(op & 4), op & 7);
	fake_time_advance(next_word(w, 1) * 1000000);
	clock_run(&vm.clock);
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 5) {
	case 0:
		command((op & 31) + 8, INPUT + next_word(w, 1) * 16,
			(uint32_t)next_word(w, 1) % 5 << 24 |
				(op & 3) << 16 | (op & 4) << 7);
		break;
	case 1:
	case 2:
		transfer(w, op & 3);
		break;
	case 3:
		poke_structures(w);
		break;
	case 4:
		somebody(w, op);
		break;
	case 5:
		set((uint32_t)next_word(w, 2) & 0x3ffc,
		    (uint32_t)next_word(w, 4));
		break;
	case 6:
		set(XHCI_INTERRUPTER0 + XHCI_ERDP, EVENTS + (op & 31) * 16);
		break;
	default:
		if (op & 16)
			config(PCI_COMMAND, 2, op & 7);
		else if (op & 8)
			start();
		else
			make_slot(1 + (op & 1), 1 + (op >> 1 & 1));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	while (w.left)
		step(&w, (unsigned int)next_word(&w, 1));
	destroy_machine();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root ports; see pci_port.h. The function is that of an ICH9. Its interrupt
 * is the slot's: MSI, or the pin.
 *
 * A device is on the bus behind the port while the slot has power; that is
 * when the link is up. Left out: attention indicator's light, power faults,
 * errors (AER), power management events, ports of the bridge's own.
 */
#include "chip/pci_port.h"

#include "chip/pci_host.h"
#include "chip/pci_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

/* Events and their enable bits stand at the same places. */
#define SLOT_EVENTS                                        \
	(EXP_SLOT_ATTENTION_BUTTON | EXP_SLOT_STA_PRESENCE | \
	 EXP_SLOT_STA_LINK)

static const struct pci_reg bridge_regs[] = {
	{ PCI_HEADER, 1, PCI_HEADER_BRIDGE | PCI_HEADER_MULTIFUNCTION, 0, 0,
	  0 },
	{ PCI_PRIMARY, 1, 0, 0xff, 0, 0 },
	{ PCI_SECONDARY, 1, 0, 0xff, 0, 0 },
	{ PCI_SUBORDINATE, 1, 0, 0xff, 0, 0 },
	{ PCI_IO_BASE, 1, 0xf0, 0xf0, 0, 0 }, /* base above limit: closed */
	{ PCI_IO_LIMIT, 1, 0, 0xf0, 0, 0 },
	{ PCI_SECONDARY_STATUS, 2, 0, 0, PCI_STATUS_ERRORS, 0 },
	{ PCI_MEM_BASE, 2, 0xfff0, 0xfff0, 0, 0 },
	{ PCI_MEM_LIMIT, 2, 0, 0xfff0, 0, 0 },
	{ PCI_PREF_BASE, 2, 0xfff1, 0xfff0, 0, 0 }, /* 64 bits */
	{ PCI_PREF_LIMIT, 2, 0x0001, 0xfff0, 0, 0 },
	{ PCI_PREF_BASE_HIGH, 4, 0, 0xffffffff, 0, 0 },
	{ PCI_PREF_LIMIT_HIGH, 4, 0, 0xffffffff, 0, 0 },
	{ PCI_BRIDGE_CONTROL, 2, 0, 0x0043, 0, 0 },
};

static const struct pci_reg express_regs[] = {
	{ EXP_FLAGS, 2, 2 | EXP_TYPE_ROOT_PORT << 4 | 0x100, 0, 0, 0 },
	{ EXP_DEVICE_CAP, 4, EXP_DEVICE_CAP_RBER, 0, 0, 0 },
	{ EXP_DEVICE_CTL, 2, 0, 0x00ef, 0, 0 },
	{ EXP_DEVICE_STA, 2, 0, 0, 0x000f, 0 },
	/* 2.5 GT/s, one lane; tells whether the link is up */
	{ EXP_LINK_CAP, 4, 0x00100011, 0, 0, 0 },
	{ EXP_LINK_CTL, 2, 0, 0x01d3, 0, 0 },
	{ EXP_LINK_STA, 2, 0x0011, 0, 0, EXP_LINK_STA_ACTIVE },
	{ EXP_SLOT_CTL, 2, 0, 0x17eb, 0, 0 },
	{ EXP_SLOT_STA, 2, 0, 0, SLOT_EVENTS,
	  SLOT_EVENTS | EXP_SLOT_STA_PRESENT },
	{ EXP_ROOT_CTL, 2, 0, 0x000f, 0, 0 },
	{ EXP_ROOT_STA, 4, 0, 0, 0x00010000, 0 },
};

static uint32_t slot_get(const struct pci_port *port, unsigned int reg)
{
	return pci_get(&port->pci, port->pci.express + reg, 2);
}

static void slot_set(struct pci_port *port, unsigned int reg, uint32_t value)
{
	pci_set(&port->pci, port->pci.express + reg, 2, value);
}

/* --- the slot's interrupt (6.7.3.4) ----------------------------------------------- */

/* The pin shows the level, a message tells that it rose. */
static void update_interrupt(struct pci_port *port)
{
	uint32_t control = slot_get(port, EXP_SLOT_CTL);
	uint32_t status = slot_get(port, EXP_SLOT_STA);
	uint32_t enabled = control & (EXP_SLOT_ATTENTION_BUTTON |
				      EXP_SLOT_CTL_PRESENCE);
	bool before = port->asserted, level;

	if (control & EXP_SLOT_CTL_LINK)
		enabled |= EXP_SLOT_STA_LINK;
	level = (control & EXP_SLOT_CTL_INTERRUPT) && (status & enabled);
	port->asserted = level;
	pci_irq_set(&port->pci, level && !pci_msi_enabled(&port->pci));
	if (level && !before)
		pci_msi_notify(&port->pci, 0);
}

static void event(struct pci_port *port, uint32_t bits)
{
	slot_set(port, EXP_SLOT_STA, slot_get(port, EXP_SLOT_STA) | bits);
	update_interrupt(port);
}

/* --- power and presence -------------------------------------------------------------- */

static bool powered(const struct pci_port *port)
{
	return !(slot_get(port, EXP_SLOT_CTL) & EXP_SLOT_CTL_POWER_OFF);
}

/* Puts the device on the bus, or takes it off, as power and presence say. */
static uint32_t update_link(struct pci_port *port)
{
	bool up = port->plugged && powered(port);
	bool was = port->below.function[0];

	if (up == was)
		return 0;
	if (up)
		pci_attach(&port->below, port->plugged, 0);
	else
		pci_detach(port->below.function[0]);
	slot_set(port, EXP_LINK_STA,
		 (slot_get(port, EXP_LINK_STA) & ~EXP_LINK_STA_ACTIVE) |
			 (up ? EXP_LINK_STA_ACTIVE : 0));
	return EXP_SLOT_STA_LINK;
}

static uint32_t set_present(struct pci_port *port, struct pci_device *pci)
{
	uint32_t status = slot_get(port, EXP_SLOT_STA) &
			  ~EXP_SLOT_STA_PRESENT;

	port->plugged = pci;
	slot_set(port, EXP_SLOT_STA,
		 status | (pci ? EXP_SLOT_STA_PRESENT : 0));
	return EXP_SLOT_STA_PRESENCE;
}

/* The device has no power: nobody misses it. */
static uint32_t let_go(struct pci_port *port)
{
	struct pci_device *pci = port->plugged;
	uint32_t events = set_present(port, NULL);

	port->leaving = false;
	if (port->released)
		port->released(port->released_ctx, pci);
	return events;
}

/* The driver is at work on a press of the button (6.7.1.1.2). */
static bool blinking(const struct pci_port *port)
{
	return (slot_get(port, EXP_SLOT_CTL) & EXP_SLOT_CTL_POWER_LIGHT) ==
	       EXP_SLOT_CTL_POWER_BLINKS;
}

int pci_port_plug(struct pci_port *port, struct pci_device *pci)
{
	uint32_t events;

	if (port->plugged)
		return -VM_EBUSY;
	/* Drivers wait for the button, where a slot has one. */
	events = set_present(port, pci) | EXP_SLOT_ATTENTION_BUTTON;
	event(port, events | update_link(port));
	return 0;
}

int pci_port_ask(struct pci_port *port)
{
	if (!port->plugged)
		return -VM_ENOENT;
	if (!powered(port))
		event(port, let_go(port));
	else if (!port->leaving || !blinking(port))
		event(port, EXP_SLOT_ATTENTION_BUTTON);
	port->leaving = port->plugged;
	return 0;
}

struct pci_device *pci_port_pull(struct pci_port *port)
{
	struct pci_device *pci = port->plugged;
	uint32_t events;

	if (!pci)
		return NULL;
	port->leaving = false;
	events = set_present(port, NULL);
	event(port, events | update_link(port));
	return pci;
}

/* The guest turned the power off or on. */
static void power_changed(struct pci_port *port)
{
	struct pci_device *pci = port->plugged;
	uint32_t events = update_link(port);

	if (pci && !powered(port)) {
		pci_device_reset(pci);
		if (port->leaving)
			events |= let_go(port);
	}
	if (events)
		event(port, events);
}

/* --- the function ----------------------------------------------------------------------- */

static bool touches(const struct pci_port *port, unsigned int at,
		    unsigned int size, unsigned int reg)
{
	unsigned int from = port->pci.express + reg;

	return pci_overlaps(at, size, from, from + 2);
}

static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	struct pci_port *port = pci->owner;

	if (touches(port, at, size, EXP_SLOT_CTL))
		power_changed(port);
	update_interrupt(port);
	/* 3.2.5.18 of the bridge's standard: while set, all is reset. */
	if (pci_overlaps(at, size, PCI_BRIDGE_CONTROL,
			 PCI_BRIDGE_CONTROL + 2) &&
	    (pci_get(pci, PCI_BRIDGE_CONTROL, 2) & PCI_BRIDGE_RESET) &&
	    port->below.function[0])
		pci_device_reset(port->below.function[0]);
}

/* What is in the slot stays, with power. */
static void port_reset(struct pci_device *pci)
{
	struct pci_port *port = pci->owner;

	port->leaving = false;
	set_present(port, port->plugged);
	update_link(port);
	if (port->below.function[0])
		slot_set(port, EXP_LINK_STA, slot_get(port, EXP_LINK_STA) |
						     EXP_LINK_STA_ACTIVE);
}

/* Presence is the machine's, power the saved register's. */
static void port_loaded(struct pci_device *pci)
{
	struct pci_port *port = pci->owner;

	set_present(port, port->plugged);
	update_link(port);
}

static const struct pci_ops port_ops = {
	.config_written = config_written,
	.reset = port_reset,
	.loaded = port_loaded,
};

static const struct field port_fields[] = {
	FIELD(struct pci_port, FIELD_BOOL, leaving),
};

static const struct state_class port_state = {
	.name = "pci-port",
	.version = 1,
	.size = sizeof(struct pci_port),
	.fields = port_fields,
	.field_count = sizeof(port_fields) / sizeof(port_fields[0]),
};

static const struct device_class pci_port_class = {
	.name = "pci-port",
	.state = &port_state,
};

static const struct pci_ident port_ident = {
	.name = "root port",
	.vendor = 0x8086,
	.device = 0x2940,
	.class = 0x060400,
	.revision = 2,
	.pin = 1,
	.multifunction = true,
};

int pci_port_init(struct pci_port *port, struct vm *vm, unsigned int slot)
{
	const struct pci_reg slot_cap = {
		EXP_SLOT_CAP, 4,
		EXP_SLOT_ATTENTION_BUTTON | EXP_SLOT_POWER_CONTROLLER |
			EXP_SLOT_CAP_INDICATORS | EXP_SLOT_CAP_HOTPLUG |
			EXP_SLOT_CAP_NO_COMMAND | slot << 19,
		0, 0, 0
	};
	struct pci_device *pci = &port->pci;
	int err;

	memset(port, 0, sizeof(*port));
	err = pci_device_init(pci, vm, &port_ident, &port_ops, port);
	if (err)
		return err;
	pci_regs_add(pci, 0, bridge_regs,
		     sizeof(bridge_regs) / sizeof(bridge_regs[0]));
	pci_express_add(pci);
	pci_regs_add(pci, pci->express, express_regs,
		     sizeof(express_regs) / sizeof(express_regs[0]));
	pci_regs_add(pci, pci->express, &slot_cap, 1);
	pci_msi_add(pci, 1);
	pci->below = &port->below;
	port->below.bridge = pci;
	return vm_add_device(vm, &pci_port_class, port);
}

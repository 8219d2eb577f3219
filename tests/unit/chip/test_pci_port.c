/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root ports: bus numbers and windows, and the slot as a hot-plug driver
 * works it.
 */
#include "chip/pci_port.h"

#include "pci_rig.h"

#define PORT PCI_DEVFN(28, 0)

static struct pci_rig rig;
static struct pci_port port;
static struct pci_device card;
static unsigned int cap, resets;
static struct pci_device *released;

static uint64_t card_read(void *device, uint64_t offset, unsigned int size)
{
	return 0x11223344;
}

static const struct bus_ops card_bar = { .read = card_read };

static void card_reset(struct pci_device *pci)
{
	resets++;
}

static const struct pci_ops card_ops = { .reset = card_reset };

static const struct pci_ident card_ident = {
	.name = "card",
	.vendor = 0x1234,
	.device = 0x5678,
	.class = 0x018000,
	.pin = 1,
};

static void note_released(void *ctx, struct pci_device *pci)
{
	released = pci;
}

static uint32_t get(unsigned int at, unsigned int size)
{
	return pci_rig_get(&rig, PORT, at, size);
}

static void set(unsigned int at, unsigned int size, uint32_t value)
{
	pci_rig_set(&rig, PORT, at, size, value);
}

static int setup(void **state)
{
	pci_rig_init(&rig);
	assert_int_equal(pci_port_init(&port, &rig.rig.vm, 3), 0);
	assert_int_equal(pci_attach(&rig.host.root, &port.pci, PORT), 0);
	port.released = note_released;
	assert_int_equal(pci_device_init(&card, &rig.rig.vm, &card_ident,
					 &card_ops, NULL), 0);
	pci_bar_add(&card, 0, PCI_MEM32, 4096, &card_bar, NULL);
	pci_bar_add(&card, 2, PCI_PREF64, 4096, &card_bar, NULL);
	pci_bar_add(&card, 4, PCI_IO, 32, &card_bar, NULL);
	pci_express_add(&card);
	cap = port.pci.express;
	resets = 0;
	released = NULL;
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	return 0;
}

/* Bus 5 behind the port, and windows for all kinds. */
static void open_bridge(void)
{
	set(PCI_SECONDARY, 1, 5);
	set(PCI_SUBORDINATE, 1, 6);
	set(PCI_MEM_BASE, 2, 0xd000);
	set(PCI_MEM_LIMIT, 2, 0xd000);
	set(PCI_PREF_BASE, 2, 0);
	set(PCI_PREF_BASE_HIGH, 4, 8);
	set(PCI_PREF_LIMIT, 2, 0xfff0);
	set(PCI_PREF_LIMIT_HIGH, 4, 8);
	set(PCI_IO_BASE, 1, 0xc0);
	set(PCI_IO_LIMIT, 1, 0xc0);
	set(PCI_COMMAND, 2, 7);
}

static uint32_t card_get(unsigned int bus, unsigned int at, unsigned int size)
{
	bus_write(&rig.rig.vm.pio, 0xcf8, 4, 0x80000000u | bus << 16 | at);
	return (uint32_t)bus_read(&rig.rig.vm.pio, 0xcfc, size);
}

static void card_set(unsigned int bus, unsigned int at, unsigned int size,
		     uint32_t value)
{
	bus_write(&rig.rig.vm.pio, 0xcf8, 4,
		  0x80000000u | bus << 16 | (at & 0xfc));
	bus_write(&rig.rig.vm.pio, 0xcfc + (at & 3), size, value);
}

static void registers(void **state)
{
	assert_int_equal(get(0, 4), 0x29408086);
	assert_int_equal(get(PCI_CLASS, 4) & 0xffffff, 0x060400);
	assert_int_equal(get(PCI_HEADER, 1), 0x81);
	assert_int_equal(get(cap + EXP_FLAGS, 2), 0x142);
	assert_int_equal(get(cap + EXP_SLOT_CAP, 4), 0x0004005b | 3 << 19);
	assert_int_equal(get(cap + EXP_LINK_STA, 2), 0x0011);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0);
	set(PCI_PREF_BASE, 2, 0xffff);
	assert_int_equal(get(PCI_PREF_BASE, 2), 0xfff1);
	set(0x10, 4, 0xffffffff); /* no BARs of its own */
	assert_int_equal(get(0x10, 4), 0);
}

static void numbers_and_windows(void **state)
{
	struct bus *mmio = &rig.rig.vm.mmio, *pio = &rig.rig.vm.pio;

	assert_int_equal(pci_port_plug(&port, &card), 0);
	assert_int_equal(card_get(5, 0, 4), 0xffffffff);
	open_bridge();
	assert_int_equal(card_get(5, 0, 4), 0x56781234);
	assert_int_equal(card_get(6, 0, 4), 0xffffffff);
	/* Behind a port it is an endpoint with a link. */
	assert_int_equal(card_get(5, card.express, 4) >> 16, 0x02);
	card_set(5, 0x10, 4, 0xd0000000);
	card_set(5, 0x18, 4, 0x00001000);
	card_set(5, 0x1c, 4, 8);
	card_set(5, 0x20, 4, 0xc020);
	card_set(5, PCI_COMMAND, 2, 7);
	assert_int_equal(bus_read(mmio, 0xd0000000, 4), 0x11223344);
	assert_int_equal(bus_read(mmio, 0x800001000, 4), 0x11223344);
	assert_int_equal(bus_read(pio, 0xc020, 4), 0x11223344);
	assert_null(pci_dma_for_read(&card, 0x200000, 4));
	assert_non_null(pci_dma_for_read(&card, 0x1000, 4));
	/* A window that does not hold it, and a bridge that forwards none. */
	card_set(5, 0x10, 4, 0xd0100000);
	assert_int_equal(bus_read(mmio, 0xd0100000, 4), 0xffffffff);
	set(PCI_MEM_LIMIT, 2, 0xd010);
	assert_int_equal(bus_read(mmio, 0xd0100000, 4), 0x11223344);
	set(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(bus_read(mmio, 0xd0100000, 4), 0xffffffff);
	assert_int_equal(bus_read(pio, 0xc020, 4), 0xffffffff);
	/* No DMA without the bridge's leave. */
	set(PCI_COMMAND, 2, 3);
	assert_null(pci_dma_for_read(&card, 0x1000, 4));
	/* Other numbers. */
	set(PCI_SECONDARY, 1, 9);
	set(PCI_SUBORDINATE, 1, 9);
	assert_int_equal(card_get(5, 0, 4), 0xffffffff);
	assert_int_equal(card_get(9, 0, 4), 0x56781234);
}

/* INTA of device 0 is the port's INTA: PIRQA. */
static void pins(void **state)
{
	pci_port_plug(&port, &card);
	pci_irq_set(&card, true);
	assert_true(rig.rig.level[16]);
	pci_irq_set(&card, false);
	assert_false(rig.rig.level[16]);
}

static void secondary_reset(void **state)
{
	pci_port_plug(&port, &card);
	open_bridge();
	card_set(5, PCI_COMMAND, 2, 7);
	set(PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_RESET);
	assert_int_equal(resets, 1);
	assert_int_equal(card_get(5, PCI_COMMAND, 2), 0);
	set(PCI_BRIDGE_CONTROL, 2, 0);
	assert_int_equal(resets, 1);
}

static void enable_events(void)
{
	set(port.pci.msi + MSI_ADDRESS, 4, 0xfee00000);
	set(port.pci.msi + MSI_DATA, 2, 0x50);
	set(port.pci.msi + MSI_CONTROL, 2, MSI_ENABLE);
	set(PCI_COMMAND, 2, 7);
	/* All events, their interrupt; power off, for the slot is empty. */
	set(cap + EXP_SLOT_CTL, 2, 0x1429);
	rig.sent_count = 0;
}

static void plug_and_let_go(void **state)
{
	open_bridge();
	enable_events();
	assert_int_equal(pci_port_plug(&port, &card), 0);
	assert_int_equal(pci_port_plug(&port, &card), -VM_EBUSY);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x49);
	assert_int_equal(card_get(5, 0, 4), 0xffffffff); /* no power yet */
	set(cap + EXP_SLOT_STA, 2, 0x09);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x40);
	/* Power: the link comes up. */
	set(cap + EXP_SLOT_CTL, 2, 0x1029);
	assert_int_equal(rig.sent_count, 2);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x140);
	assert_int_equal(get(cap + EXP_LINK_STA, 2), 0x2011);
	assert_int_equal(card_get(5, 0, 4), 0x56781234);
	set(cap + EXP_SLOT_STA, 2, 0x100);

	/* The button, then the guest turns the power off. */
	assert_int_equal(pci_port_ask(&port), 0);
	assert_int_equal(rig.sent_count, 3);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x41);
	set(cap + EXP_SLOT_STA, 2, 0x01);
	assert_null(released);
	set(cap + EXP_SLOT_CTL, 2, 0x1429);
	assert_ptr_equal(released, &card);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x108);
	assert_int_equal(get(cap + EXP_LINK_STA, 2), 0x0011);
	assert_int_equal(card_get(5, 0, 4), 0xffffffff);
	assert_null(port.plugged);
	assert_int_equal(pci_port_ask(&port), -VM_ENOENT);
	/* The slot is free for the next one. */
	assert_int_equal(pci_port_plug(&port, &card), 0);
}

/* A second press would take the wish back while the driver is at work. */
static void asked_again(void **state)
{
	open_bridge();
	enable_events();
	pci_port_plug(&port, &card);
	set(cap + EXP_SLOT_CTL, 2, 0x1129); /* power and its light */
	set(cap + EXP_SLOT_STA, 2, 0x109);
	assert_int_equal(pci_port_ask(&port), 0);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x41);
	set(cap + EXP_SLOT_STA, 2, 0x01);
	set(cap + EXP_SLOT_CTL, 2, 0x1229); /* blinks */
	assert_int_equal(pci_port_ask(&port), 0);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x40);
	set(cap + EXP_SLOT_CTL, 2, 0x1129); /* it stays: asked anew */
	assert_int_equal(pci_port_ask(&port), 0);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x41);
	assert_null(released);
}

static void asked_without_power(void **state)
{
	open_bridge();
	enable_events();
	pci_port_plug(&port, &card);
	set(cap + EXP_SLOT_STA, 2, 0x109);
	assert_int_equal(pci_port_ask(&port), 0);
	assert_ptr_equal(released, &card);
	assert_false(port.leaving);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x08);
	assert_int_equal(pci_port_plug(&port, &card), 0);
}

/* Power off and on without a wish to go: a reset of the card. */
static void power_cycle(void **state)
{
	open_bridge();
	enable_events();
	set(cap + EXP_SLOT_CTL, 2, 0x1029);
	pci_port_plug(&port, &card);
	card_set(5, PCI_COMMAND, 2, 7);
	set(cap + EXP_SLOT_CTL, 2, 0x1429);
	assert_null(released);
	assert_int_equal(resets, 1);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2) & 0x40, 0x40);
	set(cap + EXP_SLOT_CTL, 2, 0x1029);
	assert_int_equal(card_get(5, PCI_COMMAND, 2), 0);
}

static void pulled_out(void **state)
{
	open_bridge();
	set(cap + EXP_SLOT_CTL, 2, 0x1028);
	pci_port_plug(&port, &card);
	pci_irq_set(&card, true);
	assert_ptr_equal(pci_port_pull(&port), &card);
	assert_int_equal(card_get(5, 0, 4), 0xffffffff);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x109);
	assert_null(pci_port_pull(&port));
	/* The pin is the slot's now: held until the events are cleared. */
	assert_true(rig.rig.level[16]);
	set(cap + EXP_SLOT_STA, 2, 0x108);
	assert_false(rig.rig.level[16]);
}

static void machine_reset(void **state)
{
	open_bridge();
	enable_events();
	pci_port_plug(&port, &card); /* without power */
	vm_reset_devices(&rig.rig.vm);
	assert_int_equal(get(cap + EXP_SLOT_STA, 2), 0x40);
	assert_int_equal(get(cap + EXP_LINK_STA, 2), 0x2011);
	assert_int_equal(get(PCI_SECONDARY, 1), 0);
	open_bridge();
	assert_int_equal(card_get(5, 0, 4), 0x56781234);
}

static void hostile(void **state)
{
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, RIG_ECAM | 1);
	for (unsigned int i = 0; i < 60; i++) {
		rig_fuzz(&rig.rig, &rig.rig.vm.mmio, RIG_ECAM + (PORT << 12),
			 0x100, 300);
		if (i % 3 == 0)
			pci_port_plug(&port, &card);
		else if (i % 3 == 1)
			pci_port_ask(&port);
		else if (i % 5 == 0)
			pci_port_pull(&port);
		pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, RIG_ECAM | 1);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers),
		TEST(numbers_and_windows),
		TEST(pins),
		TEST(secondary_reset),
		TEST(plug_and_let_go),
		TEST(asked_again),
		TEST(asked_without_power),
		TEST(power_cycle),
		TEST(pulled_out),
		TEST(machine_reset),
		TEST(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

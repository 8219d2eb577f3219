/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration cycles by ports and ECAM, the reset port in their midst, and
 * the LPC bridge's interrupt routes.
 */
#include "pci_rig.h"

static struct pci_rig rig;

static int setup(void **state)
{
	pci_rig_init(&rig);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	return 0;
}

static uint64_t in(uint16_t port, unsigned int size)
{
	return bus_read(&rig.rig.vm.pio, port, size);
}

static void out(uint16_t port, unsigned int size, uint64_t value)
{
	bus_write(&rig.rig.vm.pio, port, size, value);
}

static void ports(void **state)
{
	out(0xcf8, 4, 0x80000003);
	assert_int_equal(in(0xcf8, 4), 0x80000000);
	assert_int_equal(in(0xcfc, 4), 0x29c08086);
	assert_int_equal(in(0xcfc, 2), 0x8086);
	assert_int_equal(in(0xcfe, 2), 0x29c0);
	assert_int_equal(in(0xcff, 1), 0x29);
	assert_int_equal(in(0xcfd, 2), 0xc080); /* in bytes */
	out(0xcf8, 4, 0x80000000 | 0x1f << 11);
	assert_int_equal(in(0xcfc, 4), 0x29188086);
	out(0xcf8, 4, 0x80000000 | 0x1e << 11); /* nothing there */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0x80010000); /* no such bus */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcf8, 4, 0); /* not enabled */
	assert_int_equal(in(0xcfc, 4), 0xffffffff);
	out(0xcfc, 4, 0); /* nobody minds */
}

static void reset_port(void **state)
{
	out(0xcf8, 4, 0x80000600);
	assert_int_equal(in(0xcf9, 1), 0);
	out(0xcf9, 1, 0x02);
	assert_int_equal(in(0xcf9, 1), 0x02);
	assert_int_equal(in(0xcf8, 4), 0x80000600);
	assert_int_equal(in(0xcf8, 1), 0xff);
	out(0xcf8, 1, 4);
	out(0xcf8, 2, 0x0400);
	assert_int_equal(rig.rig.vm.request, VM_RUN);
	out(0xcf9, 1, RESET_CONTROL_VALUE);
	assert_int_equal(rig.rig.vm.request, VM_RESET);
}

static void ecam(void **state)
{
	struct bus *mmio = &rig.rig.vm.mmio;
	uint64_t lpc = RIG_ECAM + (PCI_DEVFN(31, 0) << 12);

	assert_int_equal(bus_read(mmio, RIG_ECAM, 4), 0xffffffff);
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, RIG_ECAM | 1);
	assert_int_equal(bus_read(mmio, RIG_ECAM, 4), 0x29c08086);
	assert_int_equal(bus_read(mmio, lpc + 2, 2), 0x2918);
	assert_int_equal(bus_read(mmio, lpc, 8), 0x0200000729188086);
	assert_int_equal(bus_read(mmio, lpc + 1, 4), 0x07291880);
	assert_int_equal(bus_read(mmio, lpc + 0x1000, 4), 0xffffffff);
	/* A conventional function has 256 bytes. */
	assert_int_equal(bus_read(mmio, lpc + 0x100, 4), 0xffffffff);
	assert_int_equal(bus_read(mmio, RIG_ECAM + (255 << 20), 4), 0xffffffff);
	bus_write(mmio, lpc + ICH9_PIRQ_A, 4, 0x0b0a0b0a);
	assert_int_equal(pci_rig_get(&rig, PCI_DEVFN(31, 0), ICH9_PIRQ_A, 4),
			 0x0b0a0b0a);

	/* It moves, and shrinks to 64 MiB, 64 buses. */
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, 0xe0000005);
	assert_int_equal(bus_read(mmio, RIG_ECAM, 4), 0xffffffff);
	assert_int_equal(bus_read(mmio, 0xe0000000, 4), 0x29c08086);
	assert_int_equal(rig.host.ecam_size, 64 << 20);
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, 0xe0000007);
	assert_int_equal(rig.host.ecam_size, 0); /* reserved size */
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, 0);
	assert_int_equal(bus_read(mmio, 0xe0000000, 4), 0xffffffff);
}

/* PIRQs reach IOAPIC inputs always, ISA lines as they are routed. */
static void routes(void **state)
{
	const unsigned int lpc = PCI_DEVFN(31, 0);

	ich9_lpc_set_pirq(&rig.lpc, 2, true);
	assert_true(rig.rig.level[18]);
	assert_int_equal(rig.rig.rises[10] + rig.rig.rises[11], 0);
	pci_rig_set(&rig, lpc, ICH9_PIRQ_A + 2, 1, 11);
	assert_true(rig.rig.level[11]);
	/* A second line to the same interrupt holds it as well. */
	pci_rig_set(&rig, lpc, ICH9_PIRQ_E + 3, 1, 11);
	ich9_lpc_set_pirq(&rig.lpc, 7, true);
	ich9_lpc_set_pirq(&rig.lpc, 2, false);
	assert_false(rig.rig.level[18]);
	assert_true(rig.rig.level[23]);
	assert_true(rig.rig.level[11]);
	pci_rig_set(&rig, lpc, ICH9_PIRQ_E + 3, 1, 10);
	assert_false(rig.rig.level[11]);
	assert_true(rig.rig.level[10]);
	/* The timer's line and the like cannot be had. */
	pci_rig_set(&rig, lpc, ICH9_PIRQ_E + 3, 1, 0);
	assert_false(rig.rig.level[10]);
	assert_false(rig.rig.level[0]);
	pci_rig_set(&rig, lpc, ICH9_PIRQ_E + 3, 1, 0x7b);
	assert_int_equal(pci_rig_get(&rig, lpc, ICH9_PIRQ_E + 3, 1), 0x0b);
	assert_true(rig.rig.level[11]);
	vm_reset_devices(&rig.rig.vm);
	assert_false(rig.rig.level[11]);
}

static void hostile(void **state)
{
	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, RIG_ECAM | 1);
	rig_fuzz(&rig.rig, &rig.rig.vm.pio, 0xcf8, 8, 20000);
	rig_fuzz(&rig.rig, &rig.rig.vm.mmio, RIG_ECAM, 0x1000, 20000);
	rig_fuzz(&rig.rig, &rig.rig.vm.mmio,
		 RIG_ECAM + (PCI_DEVFN(31, 0) << 12), 0x1000, 20000);
}

static void valid(void *object)
{
	((struct pci_host *)object)->address &= 0x80fffffc;
}

static void round_trip(void **state)
{
	roundtrip_check(pci_host_class.state, &rig.host, valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ports, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_port, setup, teardown),
		cmocka_unit_test_setup_teardown(ecam, setup, teardown),
		cmocka_unit_test_setup_teardown(routes, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watchdog as a driver has it: stages, pings, the two words, off, saved.
 */
#include "device/i6300esb.h"

#include "pci_rig.h"

#define DEVFN PCI_DEVFN(4, 0)
#define BAR   0xd0000000ull

static struct pci_rig rig;
static struct i6300esb dog;
static unsigned int bites;

static void bite(void *ctx)
{
	bites++;
}

static int setup(void **state)
{
	bites = 0;
	pci_rig_init(&rig);
	assert_int_equal(i6300esb_init(&dog, &rig.rig.vm, bite, NULL), 0);
	assert_int_equal(pci_attach(&rig.host.root, &dog.pci, DEVFN), 0);
	pci_rig_set(&rig, DEVFN, 0x10, 4, (uint32_t)BAR);
	pci_rig_set(&rig, DEVFN, 0x04, 2, 2);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	return 0;
}

static void open_it(void)
{
	bus_write(&rig.rig.vm.mmio, BAR + 0x0c, 2, 0x80);
	bus_write(&rig.rig.vm.mmio, BAR + 0x0c, 2, 0x86);
}

static void set(uint32_t at, unsigned int size, uint32_t value)
{
	open_it();
	bus_write(&rig.rig.vm.mmio, BAR + at, size, value);
}

/* As Linux does for a second: two stages of half of it. */
static void begin(void)
{
	pci_rig_set(&rig, DEVFN, 0x60, 2, 0x0003);
	set(0x00, 4, 1u << 9);
	set(0x04, 4, 1u << 9);
	set(0x0c, 2, 0x100);
	pci_rig_set(&rig, DEVFN, 0x68, 1, 0x02);
}

static void it_bites_when_nobody_comes(void **state)
{
	begin();
	rig_run(&rig.rig, 900 * MS);
	assert_int_equal(bites, 0);
	rig_run(&rig.rig, 200 * MS);
	assert_int_equal(bites, 1);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + 0x0c, 2), 0x200);
	set(0x0c, 2, 0x200);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + 0x0c, 2), 0);
}

static void who_comes_is_not_bitten(void **state)
{
	begin();
	for (int i = 0; i < 20; i++) {
		rig_run(&rig.rig, 900 * MS);
		set(0x0c, 2, 0x100);
	}
	assert_int_equal(bites, 0);
	/* Without the two words a ping counts for nothing. */
	rig_run(&rig.rig, 900 * MS);
	bus_write(&rig.rig.vm.mmio, BAR + 0x0c, 2, 0x100);
	rig_run(&rig.rig, 200 * MS);
	assert_int_equal(bites, 1);
}

static void it_is_turned_off(void **state)
{
	begin();
	pci_rig_set(&rig, DEVFN, 0x68, 1, 0);
	rig_run(&rig.rig, 5000 * MS);
	assert_int_equal(bites, 0);
	/* On, without its output. */
	pci_rig_set(&rig, DEVFN, 0x60, 2, 0x0023);
	pci_rig_set(&rig, DEVFN, 0x68, 1, 0x02);
	rig_run(&rig.rig, 5000 * MS);
	assert_int_equal(bites, 0);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + 0x0c, 2), 0x200);
}

static void nonsense_is_heeded_by_nobody(void **state)
{
	for (uint32_t at = 0; at < 4096; at += 4) {
		set(at, 4, 0xffffffff);
		bus_read(&rig.rig.vm.mmio, BAR + at, 4);
	}
	assert_int_equal(dog.preload[0], 0xfffff);
	pci_rig_set(&rig, DEVFN, 0x68, 1, 0xff);
	rig_run(&rig.rig, 100 * MS);
	assert_int_equal(bites, 0);
}

static void valid(void *object)
{
	struct i6300esb *saved = object;

	saved->preload[0] &= 0xfffff;
	saved->preload[1] &= 0xfffff;
	saved->unlock &= 1;
}

static void roundtrip(void **state)
{
	roundtrip_check(i6300esb_class.state, &dog, valid);
}

static void hostile_accesses_harm_nobody(void **state)
{
	rig_fuzz(&rig.rig, &rig.rig.vm.mmio, BAR, I6300ESB_BAR, 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_bites_when_nobody_comes,
						setup, teardown),
		cmocka_unit_test_setup_teardown(who_comes_is_not_bitten, setup,
						teardown),
		cmocka_unit_test_setup_teardown(it_is_turned_off, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_heeded_by_nobody,
						setup, teardown),
		cmocka_unit_test_setup_teardown(roundtrip, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_accesses_harm_nobody,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

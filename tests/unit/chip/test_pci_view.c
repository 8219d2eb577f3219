/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A BAR that shows memory: a view where it is alone, callbacks where not.
 */
#include <string.h>

#include "pci_rig.h"
#include "vm/error.h"
#include "vm/memory_view.h"

#define CARD	 PCI_DEVFN(3, 0)
#define OTHER	 PCI_DEVFN(4, 0)
#define SIZE	 0x10000u
#define AT	 0xc0000000u
#define COMMAND_MEM 2u

static struct pci_rig rig;
static struct pci_device card, other;
static uint8_t *host;
static unsigned int calls;

static uint64_t memory_read_call(void *device, uint64_t offset,
				 unsigned int size)
{
	uint64_t value = 0;

	calls++;
	memcpy(&value, host + offset, size);
	return value;
}

static void memory_write_call(void *device, uint64_t offset, unsigned int size,
			      uint64_t value)
{
	calls++;
	memcpy(host + offset, &value, size);
}

static uint64_t other_read(void *device, uint64_t offset, unsigned int size)
{
	return 0x55;
}

static const struct bus_ops memory_bar = { .read = memory_read_call,
					   .write = memory_write_call };
static const struct bus_ops other_bar = { .read = other_read };
static const struct pci_ops no_ops = { 0 };

static int setup(void **state)
{
	static const struct pci_ident ident = { .name = "card",
						.vendor = 0x1234,
						.device = 1,
						.class = 0x030000 };
	struct vm *vm = &rig.rig.vm;

	pci_rig_init(&rig);
	calls = 0;
	assert_int_equal(memory_device_alloc(&vm->memory, SIZE, &host), 0);
	assert_int_equal(pci_device_init(&card, vm, &ident, &no_ops, NULL), 0);
	pci_bar_add(&card, 0, PCI_MEM32, SIZE, &memory_bar, NULL);
	assert_int_equal(pci_bar_show(&card, 0, host), 0);
	assert_int_equal(pci_attach(&rig.host.root, &card, CARD), 0);
	assert_int_equal(pci_device_init(&other, vm, &ident, &no_ops, NULL),
			 0);
	pci_bar_add(&other, 0, PCI_MEM32, 4096, &other_bar, NULL);
	assert_int_equal(pci_attach(&rig.host.root, &other, OTHER), 0);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	return 0;
}

static void place(unsigned int devfn, uint32_t base)
{
	pci_rig_set(&rig, devfn, PCI_BAR0, 4, base);
	pci_rig_set(&rig, devfn, PCI_COMMAND, 2, COMMAND_MEM);
}

/* Where the view is; 0: nowhere. */
static uint64_t shown(void)
{
	const struct memory_region *r =
		atomic_load(&rig.rig.vm.memory.view[card.bar[0].view]);

	return r ? r->base : 0;
}

static void follows_the_bar(void **state)
{
	assert_int_equal(shown(), 0);
	place(CARD, AT);
	assert_int_equal(shown(), AT);
	assert_ptr_equal(memory_for_read(&rig.rig.vm.memory, gpa(AT), 4),
			 host);
	pci_rig_set(&rig, CARD, PCI_BAR0, 4, UINT32_MAX); /* its size? */
	assert_int_equal(shown(), 0);
	pci_rig_set(&rig, CARD, PCI_BAR0, 4, AT + 16 * SIZE);
	assert_int_equal(shown(), AT + 16 * SIZE);
	pci_rig_set(&rig, CARD, PCI_COMMAND, 2, 0);
	assert_int_equal(shown(), 0);
	place(CARD, AT);
	pci_detach(&card);
	assert_int_equal(shown(), 0);
	assert_int_equal(pci_attach(&rig.host.root, &card, CARD), 0);
	assert_int_equal(shown(), AT);
	pci_device_reset(&card);
	assert_int_equal(shown(), 0);
}

/* Not over RAM, chips, configuration space, or beside another BAR. */
static void stays_out_of_the_way(void **state)
{
	static const uint32_t bad[] = { 0x80000, 0xfec00000, 0xfee00000,
					0xffff0000, RIG_ECAM };

	pci_rig_set(&rig, 0, PCI_HOST_PCIEXBAR, 4, RIG_ECAM | 1);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		place(CARD, bad[i]);
		assert_int_equal(shown(), 0);
	}
	place(CARD, AT);
	assert_int_equal(shown(), AT);
	place(OTHER, AT + 0x3000);
	assert_int_equal(shown(), 0);
	/* The lower function answers, by callbacks. */
	bus_write(&rig.rig.vm.mmio, AT + 0x3000, 4, 0x12345678);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, AT + 0x3000, 4),
			 0x12345678);
	assert_int_equal(calls, 2);
	assert_int_equal(host[0x3000], 0x78);
	place(OTHER, AT + SIZE);
	assert_int_equal(shown(), AT);
	/* Two that change places. */
	place(CARD, AT + SIZE);
	assert_int_equal(shown(), 0);
	place(OTHER, AT);
	assert_int_equal(shown(), AT + SIZE);
}

static void saved_state_brings_it_back(void **state)
{
	struct state_item item = { pci_class.state, &card, 0 };
	struct state_buffer buffer = { 0 };
	struct state_error error;

	place(CARD, AT);
	assert_int_equal(state_save(&item, 1, &buffer), 0);
	place(CARD, AT + 16 * SIZE);
	assert_int_equal(state_load(&item, 1, buffer.data, buffer.size, NULL,
				    &error), 0);
	host_free(buffer.data);
	assert_int_equal(shown(), AT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(follows_the_bar, setup,
						teardown),
		cmocka_unit_test_setup_teardown(stays_out_of_the_way, setup,
						teardown),
		cmocka_unit_test_setup_teardown(saved_state_brings_it_back,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

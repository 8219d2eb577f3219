/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC and the wiring of lines to both controllers.
 */
#include "chip/ioapic.h"

#include "chip/irqchip.h"
#include "chip/pic.h"
#include "rig.h"

static struct rig rig;
static struct ioapic ioapic;
static struct msi sent[64];
static unsigned int sent_count;

static void record(void *object, const struct msi *msi)
{
	if (sent_count < 64)
		sent[sent_count] = *msi;
	sent_count++;
}

static int setup(void **state)
{
	rig_init(&rig);
	sent_count = 0;
	rig.vm.msi = (struct msi_sink){ record, NULL };
	assert_int_equal(ioapic_init(&ioapic, &rig.vm), 0);
	return 0;
}

static uint32_t get(unsigned int reg)
{
	bus_write(&rig.vm.mmio, IOAPIC_BASE, 4, reg);
	return (uint32_t)bus_read(&rig.vm.mmio, IOAPIC_BASE + 0x10, 4);
}

static void put(unsigned int reg, uint32_t value)
{
	bus_write(&rig.vm.mmio, IOAPIC_BASE, 4, reg);
	bus_write(&rig.vm.mmio, IOAPIC_BASE + 0x10, 4, value);
}

static void redirect(unsigned int line, uint32_t dest, uint32_t low)
{
	put(0x11 + 2 * line, dest << 24);
	put(0x10 + 2 * line, low);
}

static void registers(void **state)
{
	assert_int_equal(get(1), 0x00170020);
	assert_int_equal(get(0x10), 0x10000);
	put(0, UINT32_MAX);
	assert_int_equal(get(0), 0x0f000000);
	assert_int_equal(get(2), 0x0f000000);
	put(1, 0);
	assert_int_equal(get(1), 0x00170020);
	put(0x12, UINT32_MAX);
	assert_int_equal(get(0x12), 0x1afff); /* two bits are read-only */
	put(0x13, UINT32_MAX);
	assert_int_equal(get(0x13), 0xff000000);
	assert_int_equal(get(0x40), 0); /* past the last entry */
	put(0xff, 1);
	assert_int_equal(get(0xff), 0);
	bus_write(&rig.vm.mmio, IOAPIC_BASE, 1, 1);
	assert_int_equal(bus_read(&rig.vm.mmio, IOAPIC_BASE + 0x12, 1), 0x17);
}

static void edge(void **state)
{
	redirect(4, 3, 0x31);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0].address, 0xfee03000);
	assert_int_equal(sent[0].data, 0x31);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent_count, 1);
	ioapic_set_line(&ioapic, 4, false);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent_count, 2);
	ioapic_set_line(&ioapic, 24, true);
	ioapic_set_line(&ioapic, 100, true);
	assert_int_equal(sent_count, 2);
}

static void masked_edge_is_lost(void **state)
{
	redirect(4, 0, 0x10031);
	ioapic_set_line(&ioapic, 4, true);
	redirect(4, 0, 0x31);
	assert_int_equal(sent_count, 0);
}

static void logical_lowest(void **state)
{
	redirect(5, 0x0f, 0x0931);
	ioapic_set_line(&ioapic, 5, true);
	assert_int_equal(sent[0].address, 0xfee0f004);
	assert_int_equal(sent[0].data, 0x0131);
}

static void level(void **state)
{
	redirect(9, 1, 0x8042);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0].data, 0xc042);
	assert_int_equal(get(0x22), 0xc042); /* remote IRR */
	ioapic_set_line(&ioapic, 9, false);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent_count, 1);
	ioapic_eoi(&ioapic, 0x41); /* another's */
	assert_int_equal(sent_count, 1);
	ioapic_eoi(&ioapic, 0x42); /* still asserted: again */
	assert_int_equal(sent_count, 2);
	ioapic_set_line(&ioapic, 9, false);
	ioapic_eoi(&ioapic, 0x42);
	assert_int_equal(get(0x22), 0x8042);
	assert_int_equal(sent_count, 2);
}

static void level_waits_for_unmask(void **state)
{
	redirect(9, 1, 0x18042);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent_count, 0);
	put(0x22, 0x8042);
	assert_int_equal(sent_count, 1);
}

static void eoi_register_and_edge_trick(void **state)
{
	redirect(9, 1, 0x8042);
	ioapic_set_line(&ioapic, 9, true);
	ioapic_set_line(&ioapic, 9, false);
	bus_write(&rig.vm.mmio, IOAPIC_BASE + 0x40, 4, 0x42);
	assert_int_equal(get(0x22), 0x8042);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(get(0x22), 0xc042);
	put(0x22, 0x10042); /* edge, masked */
	put(0x22, 0x8042);  /* level again: still asserted */
	assert_int_equal(sent_count, 3);
}

static void level_nmi_is_an_edge(void **state)
{
	redirect(3, 0, 0x8400);
	ioapic_set_line(&ioapic, 3, true);
	ioapic_set_line(&ioapic, 3, false);
	ioapic_set_line(&ioapic, 3, true);
	assert_int_equal(sent_count, 2);
}

static void router(void **state)
{
	static struct pic pic;
	struct irq out = rig_line(&rig, 0), line;
	struct gsi_router gsi = { &pic, &ioapic };

	assert_int_equal(pic_init(&pic, &rig.vm, &out), 0);
	redirect(2, 0, 0x30);
	redirect(0, 0, 0x40);
	redirect(17, 0, 0x50);
	line = gsi_router_irq(&gsi, IRQ_PIT);
	irq_set(&line, true);
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0].data, 0x30);
	assert_int_equal(pic.half[0].irr, 1);
	line = gsi_router_irq(&gsi, 17);
	irq_pulse(&line);
	assert_int_equal(sent[1].data, 0x50);
	line = gsi_router_irq(&gsi, 99);
	irq_pulse(&line);
	assert_int_equal(sent_count, 2);
}

static void reset_keeps_levels(void **state)
{
	redirect(9, 1, 0x8042);
	ioapic_set_line(&ioapic, 9, true);
	ioapic_class.reset(&ioapic);
	assert_int_equal(get(0x22), 0x10000);
	redirect(9, 1, 0x8043);
	assert_int_equal(sent[1].data, 0xc043);
}

static void hostile(void **state)
{
	uint64_t seed = 2;
	unsigned int i;

	for (i = 0; i < 3000; i++) {
		rig_fuzz(&rig, &rig.vm.mmio, IOAPIC_BASE, 0x44, 3);
		ioapic_set_line(&ioapic, rig_random(&seed) % 30,
				rig_random(&seed) & 1);
		ioapic_eoi(&ioapic, (uint8_t)rig_random(&seed));
	}
	rig_fuzz(&rig, &rig.vm.mmio, IOAPIC_BASE, PAGE_SIZE, 2000);
}

static void valid(void *object)
{
	struct ioapic *chip = object;
	unsigned int i;

	chip->select &= 0xff;
	chip->level &= 0xffffff;
	for (i = 0; i < IOAPIC_LINES; i++)
		chip->redirection[i] &= 0xff0000000001efff;
}

static void round_trip(void **state)
{
	roundtrip_check(ioapic_class.state, &ioapic, valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(edge, setup),
		cmocka_unit_test_setup(masked_edge_is_lost, setup),
		cmocka_unit_test_setup(logical_lowest, setup),
		cmocka_unit_test_setup(level, setup),
		cmocka_unit_test_setup(level_waits_for_unmask, setup),
		cmocka_unit_test_setup(eoi_register_and_edge_trick, setup),
		cmocka_unit_test_setup(level_nmi_is_an_edge, setup),
		cmocka_unit_test_setup(router, setup),
		cmocka_unit_test_setup(reset_keeps_levels, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

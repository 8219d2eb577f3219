/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDE disks, as drivers of DOS times and later ones talk to them: registers,
 * resets, PIO, DMA.
 */
#include "ide_rig.h"

/* --- registers, resets ----------------------------------------------------------- */

static void function(void **state)
{
	assert_int_equal(pci_rig_get(&rig, DEVFN, 0, 4), 0x71118086);
	assert_int_equal(pci_rig_get(&rig, DEVFN, 8, 4) >> 8, 0x010180);
	assert_int_equal(pci_rig_get(&rig, DEVFN, 0x40, 4), 0x80008000);
	pci_rig_set(&rig, DEVFN, 0x42, 2, 0); /* no second channel */
	assert_int_equal(in(1, IDE_STATUS), 0xff);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2, 0);
	assert_int_equal(in(0, IDE_STATUS), 0xff);
	out(0, IDE_STATUS, 0xec);
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
}

static void expect_signature(unsigned int ch, unsigned int high,
			     unsigned int middle)
{
	assert_int_equal(in(ch, IDE_ERROR), 1);
	assert_int_equal(in(ch, IDE_COUNT), 1);
	assert_int_equal(in(ch, IDE_LOW), 1);
	assert_int_equal(in(ch, IDE_MIDDLE), middle);
	assert_int_equal(in(ch, IDE_HIGH), high);
}

static void resets(void **state)
{
	expect_signature(0, 0, 0);
	expect_signature(1, 0xeb, 0x14);
	out(0, IDE_DEVICE, 0x10);
	expect_signature(0, 0, 0);
	out(1, IDE_DEVICE, 0x10); /* there is none */
	assert_int_equal(in(1, IDE_STATUS), 0);
	out(1, IDE_STATUS, 0xec);
	assert_false(irq(1));
	/* By software. */
	address(0x123456, 9);
	rig_out(&rig.rig, 0x3f6, 0x04);
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	out(0, IDE_LOW, 7);
	rig_out(&rig.rig, 0x3f6, 0);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	expect_signature(0, 0, 0);
	/* DEVICE RESET of a packet device; diagnosis of all. */
	out(1, IDE_DEVICE, 0);
	out(1, IDE_COUNT, 9);
	out(1, IDE_STATUS, 0x08);
	assert_int_equal(in(1, IDE_STATUS), 0);
	expect_signature(1, 0xeb, 0x14);
	command(0, 0x90);
	assert_true(irq(0));
	expect_signature(0, 0, 0);
	/* A disk's commands end in a CD's signature there. */
	command(1, 0xec);
	assert_int_equal(in(1, IDE_STATUS) & 0x89, 0x01);
	assert_int_equal(in(1, IDE_MIDDLE), 0x14);
}

static void bytes_before(void **state)
{
	out(0, IDE_LOW, 0x11);
	out(0, IDE_LOW, 0x22);
	assert_int_equal(in(0, IDE_LOW), 0x22);
	rig_out(&rig.rig, 0x3f6, 0x80);
	assert_int_equal(in(0, IDE_LOW), 0x11);
	out(0, IDE_COUNT, 1);
	assert_int_equal(in(0, IDE_LOW), 0x22);
}

static void interrupts(void **state)
{
	rig_out(&rig.rig, 0x3f6, 0x02);
	command(0, 0xe7);
	assert_false(irq(0));
	rig_out(&rig.rig, 0x3f6, 0);
	assert_true(irq(0));
	assert_int_equal(peek_status(0), 0x50);
	assert_true(irq(0));
	in(0, IDE_STATUS);
	assert_false(irq(0));
	command(0, 0xe5);
	assert_true(irq(0));
	assert_int_equal(in(0, IDE_COUNT), 0xff);
	assert_int_equal(rig_in(&rig.rig, BM + 2), 0x04);
	rig_out(&rig.rig, BM + 2, 0x64);
	assert_int_equal(rig_in(&rig.rig, BM + 2), 0x60);
}

/* --- disks --------------------------------------------------------------------------- */

static void identifies(void **state)
{
	uint8_t id[512];

	identify(id);
	assert_memory_equal(id + 20, "esirla", 6);
	assert_memory_equal(id + 54, "OLGD EDI EIDKS  ", 16);
	assert_int_equal(word_of(id, 60), SECTORS);
	assert_int_equal(word_of(id, 76), 0);
	assert_int_equal(word_of(id, 88), 0x0407);
	assert_int_equal(word_of(id, 1), SECTORS / 1008);
	/* Another mode, another geometry. */
	out(0, IDE_ERROR, 3);
	out(0, IDE_COUNT, 0x21);
	command(0, 0xef);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	out(0, IDE_COUNT, 0x45); /* too fast for this cable */
	command(0, 0xef);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	assert_int_equal(in(0, IDE_ERROR), 0x04);
	out(0, IDE_COUNT, 17);
	out(0, IDE_DEVICE, 0xa3); /* 4 heads */
	command(0, 0x91);
	identify(id);
	assert_int_equal(word_of(id, 63), 0x0207);
	assert_int_equal(word_of(id, 88), 0x0007);
	assert_int_equal(word_of(id, 54), SECTORS / 68);
	assert_int_equal(word_of(id, 55), 4);
	assert_int_equal(word_of(id, 56), 17);
}

static void reads(void **state)
{
	uint8_t data[512];

	address(1234, 3);
	command(0, 0x20);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(irq(0));
		assert_int_equal(in(0, IDE_STATUS), 0x58);
		assert_false(irq(0));
		take(0, data, 512);
		assert_memory_equal(data, image + (1234 + i) * 512, 512);
	}
	assert_false(irq(0));
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	/* Cylinder 2, head 3, sector 4 of the geometry it has at first. */
	address(0, 1);
	out(0, IDE_LOW, 4);
	out(0, IDE_MIDDLE, 2);
	out(0, IDE_DEVICE, 0xa3);
	command(0, 0x20);
	take(0, data, 512);
	assert_memory_equal(data, image + ((2 * 16 + 3) * 63 + 3) * 512, 512);
	/* Two words at a time. */
	address(7, 1);
	command(0, 0x20);
	for (unsigned int i = 0; i < 512; i += 4)
		assert_int_equal(bus_read(&rig.rig.vm.pio, 0x1f0, 4),
				 image[7 * 512 + i] |
				 image[7 * 512 + i + 1] << 8 |
				 image[7 * 512 + i + 2] << 16 |
				 (uint32_t)image[7 * 512 + i + 3] << 24);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
}

static void writes(void **state)
{
	uint8_t data[1536];

	memset(data, 0xa5, sizeof(data));
	data[512] = 0x11;
	address(99, 3);
	command(0, 0x30);
	assert_false(irq(0)); /* not for the first */
	for (unsigned int i = 0; i < 3; i++) {
		give(0, data + i * 512, 512);
		assert_true(irq(0));
		assert_int_equal(in(0, IDE_STATUS), i < 2 ? 0x58 : 0x50);
	}
	assert_memory_equal(image + 99 * 512, data, sizeof(data));
	/* With the cache off each write is followed by a flush. */
	out(0, IDE_ERROR, 0x82);
	command(0, 0xef);
	assert_int_equal(disk.flushes, 1);
	address(99, 1);
	command(0, 0x30);
	give(0, data, 512);
	assert_int_equal(disk.flushes, 2);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
}

static void multiple(void **state)
{
	uint8_t data[4096];

	address(50, 10);
	command(0, 0xc4); /* not before it is set */
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	out(0, IDE_COUNT, 3);
	command(0, 0xc6);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	out(0, IDE_COUNT, 8);
	command(0, 0xc6);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	address(50, 10);
	command(0, 0xc4);
	take(0, data, 4096);
	assert_memory_equal(data, image + 50 * 512, 4096);
	take(0, data, 1024);
	assert_memory_equal(data, image + 58 * 512, 1024);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	address(20, 9);
	command(0, 0xc5);
	give(0, data, 4096);
	give(0, data, 512);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(image + 20 * 512, data, 4096);
}

static void long_addresses(void **state)
{
	static const uint8_t before[4] = { 0x01, 0, 0, 0 };
	static const uint8_t now[4] = { 0x02, 0x40, 0x9c, 0 }; /* 39 K */
	uint8_t data[512];

	/* 0x102 sectors from 0x009c40 - 0x102 on. */
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t lba = SECTORS - 0x102;

		out(0, IDE_COUNT + i, before[i]);
		out(0, IDE_COUNT + i,
		    i ? (uint8_t)(lba >> 8 * (i - 1)) : now[0]);
	}
	out(0, IDE_DEVICE, 0x40);
	command(0, 0x24);
	for (unsigned int i = 0; i < 0x102; i++)
		take(0, data, 512);
	assert_memory_equal(data, image + (SECTORS - 1) * 512, 512);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
}

static void errors(void **state)
{
	uint8_t data[512] = { 0 };

	address(SECTORS, 1);
	command(0, 0x20);
	assert_true(irq(0));
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	assert_int_equal(in(0, IDE_ERROR), 0x10);
	command(0, 0xff);
	assert_int_equal(in(0, IDE_ERROR), 0x04);
	disk.fail = -5;
	address(0, 1);
	command(0, 0x20);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	assert_int_equal(in(0, IDE_ERROR), 0x40);
	address(0, 2);
	command(0, 0x30);
	give(0, data, 512);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	disk.fail = 0;
	disk.block.readonly = true;
	address(0, 1);
	command(0, 0x30);
	assert_int_equal(in(0, IDE_ERROR), 0x04);
	/* The other drive is another disk. */
	out(0, IDE_DEVICE, 0xf0);
	out(0, IDE_LOW, 64);
	command(0, 0x20);
	assert_int_equal(in(0, IDE_ERROR), 0x10);
	out(0, IDE_DEVICE, 0xe0);
	assert_int_equal(in(0, IDE_ERROR), 0x04);
}

/* --- DMA ----------------------------------------------------------------------------- */

static void reads_by_dma(void **state)
{
	/* In pieces that cut sectors, more than the buffer takes. */
	entry(0, DATA, 1000, false);
	entry(1, DATA + 0x4000, 600, false);
	entry(2, DATA + 0x10000, 0x10000, true); /* all of 64 KiB */
	address(300, 64);
	command(0, 0xc8);
	assert_int_equal(peek_status(0), 0x80);
	assert_false(irq(0));
	start_dma(0, IDE_BM_TO_HOST);
	assert_true(irq(0));
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(guest(DATA, 1000), image + 300 * 512, 1000);
	assert_memory_equal(guest(DATA + 0x4000, 600),
			    image + 300 * 512 + 1000, 600);
	assert_memory_equal(guest(DATA + 0x10000, 31168),
			    image + 300 * 512 + 1600, 31168);
	/* Room is left over: the bus master is still active. */
	assert_int_equal(end_dma(0), IDE_BM_IRQ | IDE_BM_ACTIVE);
	assert_int_equal(rig_in(&rig.rig, BM + 2), 0);
	entry(0, DATA, 512, true);
	start_dma(0, IDE_BM_TO_HOST); /* before the command */
	address(5, 1);
	command(0, 0xc8);
	assert_int_equal(end_dma(0), IDE_BM_IRQ);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(guest(DATA, 512), image + 5 * 512, 512);
}

static void writes_by_dma(void **state)
{
	uint8_t data[20000];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11);
	memory_write(&rig.rig.vm.memory, gpa(DATA), data, sizeof(data));
	entry(0, DATA, 19968, true);
	address(1000, 39);
	command(0, 0xca);
	start_dma(0, 0);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_int_equal(end_dma(0), IDE_BM_IRQ);
	assert_memory_equal(image + 1000 * 512, data, 19968);
}

static void trim(void **state)
{
	const uint64_t ranges[64] = { 8 | 4ull << 48, 0, 100 | 1ull << 48 };

	memory_write(&rig.rig.vm.memory, gpa(DATA), ranges, sizeof(ranges));
	entry(0, DATA, 512, true);
	out(0, IDE_ERROR, 1);
	out(0, IDE_COUNT, 0);
	out(0, IDE_COUNT, 1);
	out(0, IDE_DEVICE, 0x40);
	command(0, 0x06);
	start_dma(0, 0);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_int_equal(disk.discards, 2);
}

static void bad_tables(void **state)
{
	entry(0, DATA, 512, true); /* too short */
	address(0, 2);
	command(0, 0xc8);
	start_dma(0, IDE_BM_TO_HOST);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	assert_int_equal(end_dma(0), IDE_BM_IRQ);
	entry(0, 0xfffff000, 512, true); /* nowhere */
	command(0, 0xc8);
	start_dma(0, IDE_BM_TO_HOST);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	assert_int_equal(end_dma(0), IDE_BM_IRQ | IDE_BM_ERROR);
	bus_write(&rig.rig.vm.pio, BM + 4, 4, 0xfffffff0); /* and the table */
	command(0, 0xc8);
	rig_out(&rig.rig, BM, IDE_BM_TO_HOST | IDE_BM_START);
	fake_work_run();
	assert_int_equal(in(0, IDE_STATUS), 0x51);
	assert_int_equal(end_dma(0), IDE_BM_IRQ | IDE_BM_ERROR);
	/* May it not be master, it moves nothing. */
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_IO);
	entry(0, DATA, 512, true);
	address(0, 1);
	command(0, 0xc8);
	start_dma(0, IDE_BM_TO_HOST);
	assert_int_equal(in(0, IDE_STATUS), 0x51);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(function),
		TEST(resets),
		TEST(bytes_before),
		TEST(interrupts),
		TEST(identifies),
		TEST(reads),
		TEST(writes),
		TEST(multiple),
		TEST(long_addresses),
		TEST(errors),
		TEST(reads_by_dma),
		TEST(writes_by_dma),
		TEST(trim),
		TEST(bad_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

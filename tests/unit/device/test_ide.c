/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IDE controller with two disks on its first channel and a CD on the
 * second, as drivers of DOS times and later ones talk to it.
 */
#include "device/ide.h"

#include "device/ide_impl.h"
#include "fake/block.h"
#include "pci_rig.h"

#define DEVFN	PCI_DEVFN(31, 1)
#define BM	0xc000u
#define SECTORS 40000u /* 19 MiB: more than a cylinder of any geometry */
#define TABLE	0x10000u
#define DATA	0x20000u

static struct pci_rig rig;
static struct fake_block disk, small, medium;
static uint8_t image[SECTORS * 512], other[64 * 512], iso[512 * 2048];
static struct ide *ide;

/* 14 and 15 of the rig's lines, as the LPC bridge's. */
static int setup(void **state)
{
	const struct ide_drive_config hd = { &disk.block, "serial", false };
	const struct ide_drive_config second = { &small.block, NULL, false };
	const struct ide_drive_config cd = { &medium.block, NULL, true };
	struct irq irq[IDE_CHANNELS];

	pci_rig_init(&rig);
	irq[0] = rig_line(&rig.rig, 14);
	irq[1] = rig_line(&rig.rig, 15);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	for (unsigned int i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i / 512 * 5 + i);
	for (unsigned int i = 0; i < sizeof(iso); i++)
		iso[i] = (uint8_t)(i / 2048 * 3 + i);
	fake_block_init(&disk, image, sizeof(image));
	fake_block_init(&small, other, sizeof(other));
	fake_block_init(&medium, iso, sizeof(iso));
	medium.block.readonly = true;
	assert_int_equal(ide_create(&ide, &rig.rig.vm, irq), 0);
	ide_add(ide, 0, &hd);
	ide_add(ide, 1, &second);
	ide_add(ide, 2, &cd);
	assert_int_equal(pci_attach(&rig.host.root, ide_pci(ide), DEVFN), 0);
	pci_rig_set(&rig, DEVFN, PCI_BAR0 + 16, 4, BM);
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	return 0;
}

static void end_all(void)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	while (medium.waiting_count)
		fake_block_end(&medium, 0);
	fake_work_run();
}

static int teardown(void **state)
{
	disk.later = medium.later = false;
	end_all();
	end_all();
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static const uint16_t base[2] = { 0x1f0, 0x170 };

static void out(unsigned int ch, unsigned int reg, uint8_t value)
{
	rig_out(&rig.rig, (uint16_t)(base[ch] + reg), value);
}

static uint8_t in(unsigned int ch, unsigned int reg)
{
	return rig_in(&rig.rig, (uint16_t)(base[ch] + reg));
}

static uint16_t in_word(unsigned int ch)
{
	return (uint16_t)bus_read(&rig.rig.vm.pio, base[ch], 2);
}

static void out_word(unsigned int ch, uint16_t value)
{
	bus_write(&rig.rig.vm.pio, base[ch], 2, value);
}

/* Without taking the interrupt. */
static uint8_t peek_status(unsigned int ch)
{
	return rig_in(&rig.rig, (uint16_t)(base[ch] + 0x206));
}

static bool irq(unsigned int ch)
{
	return rig.rig.level[14 + ch];
}

/* An LBA of 28 bits on drive 0 of the first channel. */
static void address(uint32_t lba, uint8_t count)
{
	out(0, IDE_COUNT, count);
	out(0, IDE_LOW, (uint8_t)lba);
	out(0, IDE_MIDDLE, (uint8_t)(lba >> 8));
	out(0, IDE_HIGH, (uint8_t)(lba >> 16));
	out(0, IDE_DEVICE, (uint8_t)(0xe0 | lba >> 24));
}

static void command(unsigned int ch, uint8_t value)
{
	out(ch, IDE_STATUS, value);
	fake_work_run();
}

/* One block of a PIO read, of `bytes`. */
static void take(unsigned int ch, uint8_t *to, unsigned int bytes)
{
	assert_int_equal(peek_status(ch) & 0x88, 0x08);
	for (unsigned int i = 0; i < bytes; i += 2) {
		uint16_t word = in_word(ch);

		memcpy(to + i, &word, 2);
	}
	fake_work_run();
}

static void give(unsigned int ch, const uint8_t *from, unsigned int bytes)
{
	assert_int_equal(peek_status(ch) & 0x88, 0x08);
	for (unsigned int i = 0; i < bytes; i += 2) {
		uint16_t word;

		memcpy(&word, from + i, 2);
		out_word(ch, word);
	}
	fake_work_run();
}

static uint16_t word_of(const uint8_t *id, unsigned int word)
{
	return (uint16_t)(id[word * 2] | id[word * 2 + 1] << 8);
}

static void identify(uint8_t *id)
{
	command(0, 0xec);
	assert_true(irq(0));
	assert_int_equal(in(0, IDE_STATUS), 0x58);
	assert_false(irq(0));
	take(0, id, 512);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_false(irq(0));
}

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

static void entry(unsigned int index, uint32_t addr, uint32_t size, bool last)
{
	const uint32_t prd[2] = { addr, (size & 0xffff) |
					(last ? 0x80000000u : 0) };

	assert_int_equal(memory_write(&rig.rig.vm.memory,
				      gpa(TABLE + index * 8), prd, 8), 0);
}

static void start_dma(unsigned int ch, uint8_t direction)
{
	bus_write(&rig.rig.vm.pio, BM + 8 * ch + 4, 4, TABLE);
	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch), direction);
	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch),
		direction | IDE_BM_START);
	fake_work_run();
}

static uint8_t end_dma(unsigned int ch)
{
	uint8_t status = rig_in(&rig.rig, (uint16_t)(BM + 8 * ch + 2));

	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch), 0);
	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch + 2), 6);
	return status;
}

static const uint8_t *guest(uint32_t at, uint32_t size)
{
	return memory_for_read(&rig.rig.vm.memory, gpa(at), size);
}

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

/* --- the CD -------------------------------------------------------------------------- */

static void packet(const uint8_t *cdb, bool dma, uint16_t limit)
{
	out(1, IDE_ERROR, dma);
	out(1, IDE_MIDDLE, (uint8_t)limit);
	out(1, IDE_HIGH, (uint8_t)(limit >> 8));
	command(1, 0xa0);
	assert_int_equal(peek_status(1), 0x58);
	assert_int_equal(in(1, IDE_COUNT), IDE_REASON_COMMAND);
	give(1, cdb, 12);
}

/* Data by PIO in pieces of `limit`; the status at the end. */
static uint8_t take_packet(uint8_t *to, unsigned int size, unsigned int limit)
{
	while (size) {
		unsigned int part = size < limit ? size : limit;

		assert_true(irq(1));
		assert_int_equal(in(1, IDE_COUNT), IDE_REASON_TO_HOST);
		assert_int_equal(in(1, IDE_MIDDLE) | in(1, IDE_HIGH) << 8,
				 part);
		in(1, IDE_STATUS);
		take(1, to, (part + 1) & ~1u);
		to += part;
		size -= part;
	}
	assert_true(irq(1));
	assert_int_equal(in(1, IDE_COUNT),
			 IDE_REASON_TO_HOST | IDE_REASON_COMMAND);
	return in(1, IDE_STATUS);
}

static uint8_t sense_key(void)
{
	static const uint8_t cdb[12] = { 0x03, 0, 0, 0, 18 };
	uint8_t sense[18];

	packet(cdb, false, 0xfffe);
	assert_int_equal(take_packet(sense, 18, 0xfffe), 0x50);
	return sense[2];
}

static void packets(void **state)
{
	static const uint8_t ready[12] = { 0 }, capacity[12] = { 0x25 };
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 7 };
	static uint8_t data[7 * 2048];
	uint8_t id[512];

	command(1, 0xa1);
	take(1, id, 512);
	assert_int_equal(word_of(id, 0), 0x85c0);
	packet(ready, false, 0);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	assert_int_equal(in(1, IDE_ERROR) >> 4, 6); /* it was reset */
	assert_int_equal(sense_key(), 6);
	packet(ready, false, 0);
	assert_int_equal(in(1, IDE_STATUS), 0x50);
	packet(capacity, false, 8);
	assert_int_equal(take_packet(data, 8, 8), 0x50);
	assert_int_equal(data[2] << 8 | data[3], 511);
	for (unsigned int limit = 512; limit <= 8192; limit *= 4) {
		memset(data, 0, sizeof(data));
		packet(read, false, (uint16_t)limit);
		assert_int_equal(take_packet(data, sizeof(data), limit), 0x50);
		assert_memory_equal(data, iso + 9 * 2048, sizeof(data));
	}
}

static void packets_by_dma(void **state)
{
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 30, 0, 0, 9 };
	static const uint8_t beyond[12] = { 0x28, 0, 0, 0, 2, 0, 0, 0, 1 };

	sense_key();
	entry(0, DATA, 9 * 2048, true);
	packet(read, true, 0);
	assert_int_equal(peek_status(1), 0x80);
	start_dma(1, IDE_BM_TO_HOST);
	assert_int_equal(end_dma(1), IDE_BM_IRQ);
	assert_int_equal(in(1, IDE_STATUS), 0x50);
	assert_int_equal(in(1, IDE_COUNT), 3);
	assert_memory_equal(guest(DATA, 9 * 2048), iso + 30 * 2048, 9 * 2048);
	packet(beyond, true, 0);
	start_dma(1, IDE_BM_TO_HOST);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	end_dma(1);
	assert_int_equal(sense_key(), 5);
	medium.fail = -5;
	packet(read, false, 2048);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	medium.fail = 0;
	assert_int_equal(sense_key(), 3);
}

/* --- under way, saved, hostile --------------------------------------------------------- */

static void reset_under_way(void **state)
{
	uint8_t data[512];

	disk.later = true;
	address(0, 2);
	command(0, 0x20);
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	rig_out(&rig.rig, 0x3f6, 0x04);
	rig_out(&rig.rig, 0x3f6, 0);
	address(9, 1);
	command(0, 0x20);
	assert_int_equal(disk.waiting_count, 1); /* one at a time */
	fake_block_end(&disk, 0);
	fake_work_run();
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	fake_block_end(&disk, 0);
	take(0, data, 512);
	assert_memory_equal(data, image + 9 * 512, 512);
}

/* Saved, destroyed, loaded. */
static void save_and_load(void)
{
	struct state_item item = { ide_class.state, ide, 0 };
	struct state_buffer out_ = { 0 };

	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_save(&item, 1, &out_), 0);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		ide_channel_reset(&ide->channel[i], true);
	assert_int_equal(state_load(&item, 1, out_.data, out_.size, NULL,
				    NULL), 0);
	host_free(out_.data);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
}

static void saved_in_mid_transfer(void **state)
{
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 5 };
	static uint8_t data[8 * 2048];

	/* Between two words, and before each sector comes. */
	address(77, 3);
	command(0, 0x20);
	for (unsigned int i = 0; i < 3; i++) {
		take(0, data, 100);
		save_and_load();
		take(0, data + 100, 412);
		assert_memory_equal(data, image + (77 + i) * 512, 512);
	}
	/* A write, half given. */
	memset(data, 0x77, sizeof(data));
	address(77, 2);
	command(0, 0x30);
	give(0, data, 600 - 88);
	give(0, data, 88);
	save_and_load();
	give(0, data, 424);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(image + 77 * 512, data, 1024);
	/* DMA that waits for its start; a packet's data. */
	entry(0, DATA, 1024, true);
	address(3, 2);
	command(0, 0xc8);
	save_and_load();
	start_dma(0, IDE_BM_TO_HOST);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(guest(DATA, 1024), image + 3 * 512, 1024);
	sense_key();
	packet(read, false, 2048);
	take(1, data, 2048);
	save_and_load();
	take(1, data + 2048, 1000);
	save_and_load();
	take(1, data + 3048, 1048);
	assert_memory_equal(data, iso + 9 * 2048, 4096);
}

/* A request of the block is due when the machine is held. */
static void saved_before_the_block(void **state)
{
	uint8_t data[512];

	address(40, 1);
	vm_quiesce_devices(&rig.rig.vm);
	command(0, 0x20);
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	save_and_load();
	take(0, data, 512);
	assert_memory_equal(data, image + 40 * 512, 512);
}

static void valid(void *object)
{
	struct ide *i = object;

	for (unsigned int c = 0; c < IDE_CHANNELS; c++) {
		struct ide_channel *ch = &i->channel[c];

		ch->phase = IDE_IDLE;
		ch->protocol %= ATA_PROTOCOLS;
		ch->op %= 5;
		ch->size %= ATA_BUFFER;
		ch->request.trim_size = ch->request.trim_at = 64 * c;
		for (unsigned int d = 0; d < 2; d++)
			ata_drive_loaded(&ch->drive[d].ata);
	}
}

static void roundtrip(void **state)
{
	roundtrip_check(ide_class.state, ide, valid);
	pci_device_reset(ide_pci(ide));
}

static void hostile(void **state)
{
	static const uint8_t likely[] = { 0x20, 0x30, 0xc8, 0xca, 0xa0, 0xec,
					  0xc4, 0x06, 0xef, 0xe7, 0x24, 0x91 };
	uint64_t seed = 11;
	uint8_t data[512];

	for (unsigned int i = 0; i < 30000; i++) {
		uint32_t word = rig_random(&seed), pick = word >> 28;
		unsigned int ch = word & 1;

		disk.later = word >> 1 & 1;
		medium.later = word >> 2 & 1;
		if (pick < 4)
			rig_fuzz(&rig.rig, &rig.rig.vm.pio, base[ch], 8, 1);
		else if (pick < 6)
			rig_fuzz(&rig.rig, &rig.rig.vm.pio, BM, 16, 1);
		else if (pick < 7)
			entry(word >> 8 & 3, word >> 4 & 0x1ffff,
			      word >> 12 & 0xfff, word & 8);
		else if (pick < 9)
			start_dma(ch, word & 8);
		else if (pick < 12)
			for (unsigned int n = word >> 8 & 0x1ff; n--;)
				word & 16 ? out_word(ch, (uint16_t)n)
					  : (void)in_word(ch);
		else if (pick < 15)
			command(ch, likely[(word >> 8) % 12]);
		else if (!(word & 0xf00))
			rig_out(&rig.rig, (uint16_t)(base[ch] + 0x206),
				(uint8_t)word);
		if (word & 32)
			end_all();
		assert_int_equal(ide_class.state->check(ide), 0);
	}
	disk.later = medium.later = false;
	end_all();
	rig_out(&rig.rig, 0x3f6, 4);
	rig_out(&rig.rig, 0x3f6, 0);
	address(1, 1);
	command(0, 0x20);
	take(0, data, 512);
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
		TEST(packets),
		TEST(packets_by_dma),
		TEST(reset_under_way),
		TEST(saved_in_mid_transfer),
		TEST(saved_before_the_block),
		TEST(roundtrip),
		TEST(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

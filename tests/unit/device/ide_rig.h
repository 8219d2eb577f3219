/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bench for the IDE controller: two disks on its first channel, a CD on the
 * second, a driver's ways to talk to them. Each test program that includes it
 * has its own.
 */
#ifndef LODGE_TEST_DEVICE_IDE_RIG_H
#define LODGE_TEST_DEVICE_IDE_RIG_H

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
static inline int setup(void **state)
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

static inline void end_all(void)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	while (medium.waiting_count)
		fake_block_end(&medium, 0);
	fake_work_run();
}

static inline int teardown(void **state)
{
	disk.later = medium.later = false;
	end_all();
	end_all();
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static const uint16_t base[2] = { 0x1f0, 0x170 };

static inline void out(unsigned int ch, unsigned int reg, uint8_t value)
{
	rig_out(&rig.rig, (uint16_t)(base[ch] + reg), value);
}

static inline uint8_t in(unsigned int ch, unsigned int reg)
{
	return rig_in(&rig.rig, (uint16_t)(base[ch] + reg));
}

static inline uint16_t in_word(unsigned int ch)
{
	return (uint16_t)bus_read(&rig.rig.vm.pio, base[ch], 2);
}

static inline void out_word(unsigned int ch, uint16_t value)
{
	bus_write(&rig.rig.vm.pio, base[ch], 2, value);
}

/* Without taking the interrupt. */
static inline uint8_t peek_status(unsigned int ch)
{
	return rig_in(&rig.rig, (uint16_t)(base[ch] + 0x206));
}

static inline bool irq(unsigned int ch)
{
	return rig.rig.level[14 + ch];
}

/* An LBA of 28 bits on drive 0 of the first channel. */
static inline void address(uint32_t lba, uint8_t count)
{
	out(0, IDE_COUNT, count);
	out(0, IDE_LOW, (uint8_t)lba);
	out(0, IDE_MIDDLE, (uint8_t)(lba >> 8));
	out(0, IDE_HIGH, (uint8_t)(lba >> 16));
	out(0, IDE_DEVICE, (uint8_t)(0xe0 | lba >> 24));
}

static inline void command(unsigned int ch, uint8_t value)
{
	out(ch, IDE_STATUS, value);
	fake_work_run();
}

/* One block of a PIO read, of `bytes`. */
static inline void take(unsigned int ch, uint8_t *to, unsigned int bytes)
{
	assert_int_equal(peek_status(ch) & 0x88, 0x08);
	for (unsigned int i = 0; i < bytes; i += 2) {
		uint16_t word = in_word(ch);

		memcpy(to + i, &word, 2);
	}
	fake_work_run();
}

static inline void give(unsigned int ch, const uint8_t *from, unsigned int bytes)
{
	assert_int_equal(peek_status(ch) & 0x88, 0x08);
	for (unsigned int i = 0; i < bytes; i += 2) {
		uint16_t word;

		memcpy(&word, from + i, 2);
		out_word(ch, word);
	}
	fake_work_run();
}

static inline uint16_t word_of(const uint8_t *id, unsigned int word)
{
	return (uint16_t)(id[word * 2] | id[word * 2 + 1] << 8);
}

static inline void identify(uint8_t *id)
{
	command(0, 0xec);
	assert_true(irq(0));
	assert_int_equal(in(0, IDE_STATUS), 0x58);
	assert_false(irq(0));
	take(0, id, 512);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_false(irq(0));
}

static inline void entry(unsigned int index, uint32_t addr, uint32_t size, bool last)
{
	const uint32_t prd[2] = { addr, (size & 0xffff) |
					(last ? 0x80000000u : 0) };

	assert_int_equal(memory_write(&rig.rig.vm.memory,
				      gpa(TABLE + index * 8), prd, 8), 0);
}

static inline void start_dma(unsigned int ch, uint8_t direction)
{
	bus_write(&rig.rig.vm.pio, BM + 8 * ch + 4, 4, TABLE);
	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch), direction);
	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch),
		direction | IDE_BM_START);
	fake_work_run();
}

static inline uint8_t end_dma(unsigned int ch)
{
	uint8_t status = rig_in(&rig.rig, (uint16_t)(BM + 8 * ch + 2));

	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch), 0);
	rig_out(&rig.rig, (uint16_t)(BM + 8 * ch + 2), 6);
	return status;
}

static inline const uint8_t *guest(uint32_t at, uint32_t size)
{
	return memory_for_read(&rig.rig.vm.memory, gpa(at), size);
}

/* --- packets for the CD ---------------------------------------------------------- */

static inline void packet(const uint8_t *cdb, bool dma, uint16_t limit)
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
static inline uint8_t take_packet(uint8_t *to, unsigned int size,
				  unsigned int limit)
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

/* Key, ASC and ASCQ as one number. */
static inline uint32_t sense(void)
{
	static const uint8_t cdb[12] = { 0x03, 0, 0, 0, 18 };
	uint8_t data[18];

	packet(cdb, false, 0xfffe);
	assert_int_equal(take_packet(data, 18, 0xfffe), 0x50);
	return (uint32_t)data[2] << 16 | (uint32_t)data[12] << 8 | data[13];
}

static inline uint8_t sense_key(void)
{
	return (uint8_t)(sense() >> 16);
}

#endif

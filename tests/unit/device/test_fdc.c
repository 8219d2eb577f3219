/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floppy controller as a driver programs it: drive 0 has a disk of
 * 1440 KiB, drive 1 is empty.
 */
#include "device/fdc.h"

#include "device/fdc_impl.h"
#include "fake/block.h"
#include "rig.h"
#include "vm/error.h"

#define SIZE (1440u << 10)
#define DATA 0x8000u /* in guest memory */
#define IRQ  6

static struct rig rig;
static struct isa_dma dma;
static struct fdc *fdc;
static struct fake_block disk;
static uint8_t image[SIZE];

static int build(enum floppy_drive type, uint32_t size)
{
	struct irq irq;

	rig_init(&rig);
	irq = rig_line(&rig, IRQ);
	assert_int_equal(memory_init(&rig.vm.memory, 1 << 20, 0), 0);
	assert_int_equal(memory_add(&rig.vm.memory, MEMORY_RAM, gpa(0),
				    1 << 20, "RAM"), 0);
	assert_int_equal(host_worker_create(&rig.vm.worker, "devices"), 0);
	for (unsigned int i = 0; i < SIZE; i++)
		image[i] = (uint8_t)(i / 512 * 3 + i);
	fake_block_init(&disk, image, size);
	assert_int_equal(isa_dma_init(&dma, &rig.vm), 0);
	assert_int_equal(fdc_create(&fdc, &rig.vm, &irq, &dma), 0);
	assert_int_equal(fdc_add(fdc, 0, type, &disk.block), 0);
	assert_int_equal(fdc_add(fdc, 1, type, NULL), 0);
	return 0;
}

static int setup(void **state)
{
	return build(FLOPPY_1440K, SIZE);
}

static int teardown(void **state)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	fake_work_run();
	vm_fini(&rig.vm);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static uint8_t status(void)
{
	return rig_in(&rig, 0x3f4);
}

static uint8_t get(void)
{
	assert_int_equal(status() & 0xd0, 0xd0);
	return rig_in(&rig, 0x3f5);
}

static void put(const uint8_t *bytes, unsigned int count)
{
	while (count--) {
		assert_int_equal(status() & 0xc0, 0x80);
		rig_out(&rig, 0x3f5, *bytes++);
	}
	fake_work_run();
}

#define COMMAND(...)                                    \
	({                                              \
		const uint8_t bytes_[] = { __VA_ARGS__ }; \
		put(bytes_, sizeof(bytes_));            \
	})

/* The seven bytes of a transfer's result; ST0 to ST2 as one number. */
static uint8_t result[7];

static uint32_t finish(void)
{
	assert_true(rig.level[IRQ]);
	for (unsigned int i = 0; i < 7; i++)
		result[i] = get();
	assert_false(rig.level[IRQ]);
	assert_int_equal(status(), 0x80);
	return (uint32_t)result[0] << 16 | (uint32_t)result[1] << 8 |
	       result[2];
}

static uint16_t sense(void)
{
	uint8_t st0;

	COMMAND(0x08);
	st0 = get();
	if (st0 == 0x80)
		return 0x8000;
	return (uint16_t)(st0 << 8 | get());
}

static void seek_to(uint8_t cylinder)
{
	COMMAND(0x0f, 0, cylinder);
	assert_true(rig.level[IRQ]);
	assert_int_equal(sense(), 0x2000 | cylinder);
	assert_false(rig.level[IRQ]);
}

static void reset_and_specify(void)
{
	rig_out(&rig, 0x3f2, 0x18);
	rig_out(&rig, 0x3f2, 0x1c);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(sense(), (0xc0 | i) << 8);
	rig_out(&rig, 0x3f7, 0);
	COMMAND(0x03, 0xaf, 0x02);
}

static void channel(uint8_t mode, uint32_t count)
{
	rig_out(&rig, 0x0a, 6);
	rig_out(&rig, 0x0c, 0);
	rig_out(&rig, 0x0b, mode | 2);
	rig_out(&rig, 0x04, DATA & 0xff);
	rig_out(&rig, 0x04, DATA >> 8);
	rig_out(&rig, 0x81, 0);
	rig_out(&rig, 0x05, (uint8_t)(count - 1));
	rig_out(&rig, 0x05, (uint8_t)((count - 1) >> 8));
	rig_out(&rig, 0x0a, 2);
}

#define TO_MEMORY   0x44
#define FROM_MEMORY 0x48

static const uint8_t *guest(void)
{
	return memory_for_read(&rig.vm.memory, gpa(DATA), 0x8000);
}

static const uint8_t *sector(unsigned int c, unsigned int h, unsigned int r)
{
	return image + ((c * 2 + h) * 18 + r - 1) * 512;
}

/* --- registers, resets ------------------------------------------------------------ */

static void formats(void **state)
{
	static const struct {
		uint32_t kib;
		enum floppy_drive drive;
	} known[] = {
		{ 160, FLOPPY_360K },	{ 180, FLOPPY_360K },
		{ 320, FLOPPY_360K },	{ 360, FLOPPY_360K },
		{ 720, FLOPPY_720K },	{ 1200, FLOPPY_1200K },
		{ 1440, FLOPPY_1440K }, { 2880, FLOPPY_2880K },
	};

	for (unsigned int i = 0; i < 8; i++) {
		const struct floppy_format *f =
			floppy_format_of(known[i].kib << 10);

		assert_non_null(f);
		assert_int_equal(f->cylinders * f->heads * f->sectors * 512u,
				 known[i].kib << 10);
		assert_int_equal(f->drive, known[i].drive);
	}
	assert_null(floppy_format_of(0));
	assert_null(floppy_format_of((1440 << 10) + 512));
	assert_null(floppy_format_of(UINT64_MAX));
}

static void resets(void **state)
{
	assert_int_equal(status(), 0);
	rig_out(&rig, 0x3f5, 0x08); /* nobody listens */
	rig_out(&rig, 0x3f2, 0x0c);
	assert_true(rig.level[IRQ]);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(sense(), (0xc0 | i) << 8);
		assert_false(rig.level[IRQ]);
	}
	assert_int_equal(sense(), 0x8000);
	rig_out(&rig, 0x3f4, 0x80); /* by the data rate register */
	assert_true(rig.level[IRQ]);
	rig_out(&rig, 0x3f2, 0x04); /* the gate is closed */
	assert_false(rig.level[IRQ]);
	rig_out(&rig, 0x3f2, 0x0c);
	assert_true(rig.level[IRQ]);
	COMMAND(0x13, 0, 0x10, 0); /* no polling; a reset forgets it */
	rig_out(&rig, 0x3f4, 0x80);
	assert_true(rig.level[IRQ]);
	COMMAND(0x13, 0, 0x10, 0);
	COMMAND(0x94); /* it does not any more */
	assert_int_equal(get(), 0x10);
	rig_out(&rig, 0x3f4, 0x80);
	assert_false(rig.level[IRQ]);
	assert_int_equal(sense(), 0x8000);
	assert_int_equal(rig_in(&rig, 0x3f3), 0xfc);
	assert_int_equal(rig_in(&rig, 0x3f2), 0x0c);
}

static void tells_of_itself(void **state)
{
	static const uint8_t expected[10] = {
		0, 0, 0, 0, 0xaf, 0x02, 0, 0x80 | 0x05, 0x57, 0x12,
	};

	reset_and_specify();
	COMMAND(0x10);
	assert_int_equal(get(), 0x90);
	COMMAND(0x18); /* part number: of later ones */
	assert_int_equal(get(), 0x80);
	COMMAND(0x1f);
	assert_int_equal(get(), 0x80);
	COMMAND(0x13, 0, 0x57, 0x12);
	COMMAND(0x12, 0x84);
	COMMAND(0x12, 0x39); /* without bit 7 two bits are taken */
	COMMAND(0x94);
	assert_int_equal(get(), 0x10);
	COMMAND(0x0e);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(get(), expected[i]);
	COMMAND(0x14);
	assert_int_equal(get(), 0);
}

static void seeks(void **state)
{
	reset_and_specify();
	COMMAND(0x04, 0);
	assert_int_equal(get(), 0x38); /* at track 0 */
	seek_to(30);
	COMMAND(0x04, 4);
	assert_int_equal(get(), 0x2c);
	COMMAND(0xcf, 0, 5); /* relative */
	assert_int_equal(sense(), 0x2000 | 35);
	COMMAND(0x8f, 0, 40);
	assert_int_equal(sense(), 0x2000);
	seek_to(83);
	COMMAND(0x07, 0); /* more steps than it makes at a time */
	assert_int_equal(sense(), 0x7000);
	COMMAND(0x07, 0);
	assert_int_equal(sense(), 0x2000);
	COMMAND(0x07, 2); /* there is no such drive */
	assert_int_equal(sense(), 0x7200);
	/* Two at a time. */
	COMMAND(0x0f, 1, 9);
	COMMAND(0x0f, 0, 3);
	assert_int_equal(status() & 0x0f, 3);
	assert_int_equal(sense(), 0x2003);
	assert_true(rig.level[IRQ]);
	assert_int_equal(sense(), 0x2109);
	assert_false(rig.level[IRQ]);
}

static void disk_change(void **state)
{
	reset_and_specify();
	assert_int_equal(rig_in(&rig, 0x3f7), 0x80);
	rig_out(&rig, 0x3f2, 0x0c); /* stands still */
	assert_int_equal(rig_in(&rig, 0x3f7), 0);
	rig_out(&rig, 0x3f2, 0x1c);
	COMMAND(0x07, 0); /* no step was needed */
	sense();
	assert_int_equal(rig_in(&rig, 0x3f7), 0x80);
	seek_to(1);
	assert_int_equal(rig_in(&rig, 0x3f7), 0);
	/* An empty drive stays so. */
	rig_out(&rig, 0x3f2, 0x2d);
	COMMAND(0x0f, 1, 9);
	sense();
	assert_int_equal(rig_in(&rig, 0x3f7), 0x80);
	rig_out(&rig, 0x3f2, 0x4e);
	assert_int_equal(rig_in(&rig, 0x3f7), 0);
}

static void another_disk(void **state)
{
	static uint8_t data[720 << 10];
	static struct fake_block other;

	memset(data, 0x27, sizeof(data));
	fake_block_init(&other, data, sizeof(data));
	reset_and_specify();
	seek_to(1);
	assert_int_equal(rig_in(&rig, 0x3f7), 0);
	assert_int_equal(fdc_change(fdc, 0, NULL), 0);
	assert_int_equal(rig_in(&rig, 0x3f7), 0x80);
	seek_to(2); /* and stays so */
	assert_int_equal(rig_in(&rig, 0x3f7), 0x80);
	COMMAND(0x46, 0, 2, 0, 1, 2, 9, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400100);
	/* A 1440K drive reads 720K. */
	other.block.readonly = true;
	assert_int_equal(fdc_change(fdc, 0, &other.block), 0);
	assert_int_equal(rig_in(&rig, 0x3f7), 0x80);
	seek_to(1);
	assert_int_equal(rig_in(&rig, 0x3f7), 0);
	rig_out(&rig, 0x3f7, 2);
	channel(TO_MEMORY, 512);
	COMMAND(0x46, 0, 1, 0, 9, 2, 9, 0x1b, 0xff);
	assert_int_equal(finish(), 0);
	assert_int_equal(guest()[511], 0x27);
	channel(FROM_MEMORY, 512);
	COMMAND(0x45, 0, 1, 0, 9, 2, 9, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400200);
	/* None that it does not. */
	other.block.size = 360 << 10;
	assert_int_equal(fdc_change(fdc, 0, &other.block), -VM_EINVAL);
	other.block.size = 1000;
	assert_int_equal(fdc_change(fdc, 1, &other.block), -VM_EINVAL);
	assert_int_equal(rig_in(&rig, 0x3f7), 0);
}

static void taken_out_in_mid_transfer(void **state)
{
	reset_and_specify();
	/* Between two bytes; with a sector due; of the other drive. */
	COMMAND(0x03, 0xaf, 0x03);
	COMMAND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(rig_in(&rig, 0x3f5), *sector(0, 0, 1));
	assert_int_equal(fdc_change(fdc, 1, NULL), 0);
	assert_int_equal(rig_in(&rig, 0x3f5), sector(0, 0, 1)[1]);
	assert_int_equal(fdc_change(fdc, 0, NULL), 0);
	assert_int_equal(finish(), 0x400100);
	assert_int_equal(fdc_change(fdc, 0, &disk.block), 0);
	vm_quiesce_devices(&rig.vm);
	COMMAND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(status(), 0x70);
	assert_int_equal(fdc_change(fdc, 0, &disk.block), 0);
	assert_int_equal(finish(), 0x400100);
}

/* --- transfers ----------------------------------------------------------------------- */

static void reads(void **state)
{
	reset_and_specify();
	seek_to(7);
	channel(TO_MEMORY, 3 * 512);
	COMMAND(0x46, 0, 7, 0, 4, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0);
	assert_memory_equal(guest(), sector(7, 0, 4), 3 * 512);
	assert_int_equal(result[3], 7);
	assert_int_equal(result[5], 7); /* the next one */
	/* Both sides: from sector 17 of the first on. */
	channel(TO_MEMORY, 4 * 512);
	COMMAND(0xc6, 0, 7, 0, 17, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x040000);
	assert_memory_equal(guest(), sector(7, 0, 17), 4 * 512);
	assert_int_equal(result[4], 1);
	assert_int_equal(result[5], 3);
	/* The track's end before the count's. */
	channel(TO_MEMORY, 4 * 512);
	COMMAND(0x46, 0, 7, 0, 17, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x408000);
	assert_int_equal(result[3], 8);
	assert_int_equal(result[5], 1);
	/* Less than a sector. */
	channel(TO_MEMORY, 100);
	COMMAND(0x46, 0, 7, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0);
	/* The whole track, whatever is said. */
	channel(TO_MEMORY, 18 * 512);
	COMMAND(0x42, 4, 7, 1, 5, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x040000);
	assert_memory_equal(guest(), sector(7, 1, 1), 18 * 512);
}

static void writes(void **state)
{
	uint8_t data[1024];

	memset(data, 0x5a, sizeof(data));
	memory_write(&rig.vm.memory, gpa(DATA), data, sizeof(data));
	reset_and_specify();
	COMMAND(0x13, 0, 0x57, 0); /* with implied seeks */
	channel(FROM_MEMORY, 1000);
	COMMAND(0x45, 4, 9, 1, 2, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x040000);
	memset(data + 1000, 0, 24);
	assert_memory_equal(sector(9, 1, 2), data, sizeof(data));
	channel(FROM_MEMORY, 512);
	COMMAND(0x49, 4, 9, 1, 4, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x040000);
	assert_memory_equal(sector(9, 1, 4), data, 512);
}

static void deleted_data(void **state)
{
	reset_and_specify();
	channel(TO_MEMORY, 2 * 512);
	COMMAND(0x4c, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x000040);
	assert_memory_equal(guest(), sector(0, 0, 1), 512);
	COMMAND(0x6c, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400400);
}

static void verifies(void **state)
{
	reset_and_specify();
	COMMAND(0x56, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0);
	assert_int_equal(result[3], 1);
	COMMAND(0x56, 0x80, 0, 0, 1, 2, 18, 0x1b, 4);
	assert_int_equal(finish(), 0);
	assert_int_equal(result[5], 5);
	COMMAND(0x56, 0, 0, 0, 1, 2, 19, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400400);
}

static void ids(void **state)
{
	bool seen[19] = { false };

	reset_and_specify();
	seek_to(12);
	for (unsigned int i = 0; i < 18; i++) {
		COMMAND(0x4a, 4);
		assert_int_equal(finish(), 0x040000);
		assert_int_equal(result[3], 12);
		assert_int_equal(result[4], 1);
		assert_in_range(result[5], 1, 18);
		assert_int_equal(result[6], 2);
		seen[result[5]] = true;
		rig_run(&rig, 200 * MS / 18 + 1);
	}
	for (unsigned int i = 1; i < 19; i++)
		assert_true(seen[i]);
	rig_out(&rig, 0x3f7, 2); /* the wrong rate */
	COMMAND(0x4a, 0);
	assert_int_equal(finish(), 0x400100);
	rig_out(&rig, 0x3f7, 0);
	COMMAND(0x0a, 0); /* single density */
	assert_int_equal(finish(), 0x400100);
	COMMAND(0x4a, 1); /* no disk */
	assert_int_equal(finish(), 0x410100);
	COMMAND(0x4a, 3); /* no drive */
	assert_int_equal(finish(), 0x430100);
}

static void formatting(void **state)
{
	uint8_t id[18 * 4];

	reset_and_specify();
	seek_to(2);
	for (unsigned int i = 0; i < 18; i++) {
		id[i * 4] = 2;
		id[i * 4 + 1] = 0;
		id[i * 4 + 2] = (uint8_t)(i == 6 ? 99 : 18 - i);
		id[i * 4 + 3] = 2;
	}
	memory_write(&rig.vm.memory, gpa(DATA), id, sizeof(id));
	channel(FROM_MEMORY, sizeof(id));
	COMMAND(0x4d, 0, 2, 18, 0x54, 0xe5);
	assert_int_equal(finish(), 0);
	for (unsigned int r = 1; r <= 18; r++)
		for (unsigned int i = 0; r != 12 && i < 512; i++)
			assert_int_equal(sector(2, 0, r)[i], 0xe5);
	/* Sector 99 took the place of 12, which the image keeps. */
	assert_int_equal(sector(2, 0, 12)[0],
			 (uint8_t)((2 * 36 + 11) * 3));
}

static void errors(void **state)
{
	reset_and_specify();
	seek_to(5);
	channel(TO_MEMORY, 512);
	COMMAND(0x46, 0, 6, 0, 1, 2, 18, 0x1b, 0xff); /* another cylinder */
	assert_int_equal(finish(), 0x400410);
	COMMAND(0x46, 0, 5, 1, 1, 2, 18, 0x1b, 0xff); /* another head */
	assert_int_equal(finish(), 0x400400);
	COMMAND(0x46, 0, 5, 0, 0, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400400);
	COMMAND(0x46, 0, 5, 0, 1, 3, 18, 0x1b, 0xff); /* another size */
	assert_int_equal(finish(), 0x400400);
	COMMAND(0x46, 1, 5, 0, 1, 2, 18, 0x1b, 0xff); /* no disk */
	assert_int_equal(finish(), 0x410100);
	disk.fail = -5;
	COMMAND(0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x402020);
	disk.fail = 0;
	seek_to(81);
	COMMAND(0x46, 0, 81, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400100);
	seek_to(5);
	disk.block.readonly = true;
	COMMAND(0x45, 0, 5, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0x400200);
	COMMAND(0x4d, 0, 2, 18, 0x54, 0xe5);
	assert_int_equal(finish() & 0xffff00, 0x400200);
	COMMAND(0x04, 0);
	assert_int_equal(get(), 0x68);
}

/* Byte by byte; without a DMA controller nothing tells the end. */
static void without_dma(void **state)
{
	reset_and_specify();
	COMMAND(0x03, 0xaf, 0x03);
	COMMAND(0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff);
	for (unsigned int i = 0; i < 1024; i++) {
		assert_int_equal(status(), 0xf0);
		assert_true(rig.level[IRQ]);
		assert_int_equal(rig_in(&rig, 0x3f5),
				 sector(0, 0, 17)[i]);
		fake_work_run();
	}
	assert_int_equal(finish(), 0x408000);
	COMMAND(0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	for (unsigned int i = 0; i < 512; i++) {
		assert_int_equal(status(), 0xb0);
		rig_out(&rig, 0x3f5, (uint8_t)~i);
	}
	fake_work_run();
	assert_int_equal(finish(), 0x408000);
	assert_int_equal(sector(0, 0, 18)[255], 0);
	assert_int_equal(sector(0, 0, 18)[1], 0xfe);
}

/* The host opens the channel later than the command comes. */
static void waits_for_the_channel(void **state)
{
	reset_and_specify();
	COMMAND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(status(), 0x10);
	assert_false(rig.level[IRQ]);
	channel(TO_MEMORY, 512);
	assert_int_equal(finish(), 0);
	assert_memory_equal(guest(), sector(0, 0, 1), 512);
}

static void reset_under_way(void **state)
{
	reset_and_specify();
	disk.later = true;
	channel(TO_MEMORY, 512);
	COMMAND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(disk.waiting_count, 1);
	reset_and_specify();
	COMMAND(0x46, 0, 0, 0, 3, 2, 18, 0x1b, 0xff);
	assert_int_equal(disk.waiting_count, 1); /* one at a time */
	fake_block_end(&disk, 0);
	fake_work_run();
	assert_int_equal(disk.waiting_count, 1);
	assert_false(rig.level[IRQ]);
	fake_block_end(&disk, 0);
	assert_int_equal(finish(), 0);
	assert_memory_equal(guest(), sector(0, 0, 3), 512);
}

/* A low-density disk is read at the rates of both speeds of drives. */
static void low_density(void **state)
{
	teardown(state);
	build(FLOPPY_360K, 360 << 10);
	reset_and_specify();
	for (uint8_t rate = 0; rate < 4; rate++) {
		rig_out(&rig, 0x3f7, rate);
		COMMAND(0x4a, 4);
		assert_int_equal(finish(),
				 rate == 1 || rate == 2 ? 0x040000
							: 0x440100);
	}
}

/* --- saved state, hostile guests -------------------------------------------------------- */

static struct state_buffer save(void)
{
	struct state_item item = { fdc_class.state, fdc, 0 };
	struct state_buffer out = { 0 };

	assert_int_equal(state_save(&item, 1, &out), 0);
	return out;
}

static void load(struct state_buffer *stream)
{
	struct state_item item = { fdc_class.state, fdc, 0 };

	assert_int_equal(state_load(&item, 1, stream->data, stream->size,
				    NULL, NULL), 0);
	host_free(stream->data);
}

/* In the midst of a read, once before a sector comes, once while it goes. */
static void saved_in_mid_transfer(void **state)
{
	struct state_buffer stream;

	reset_and_specify();
	channel(TO_MEMORY, 2 * 512);
	vm_quiesce_devices(&rig.vm);
	COMMAND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	stream = save();
	rig_out(&rig, 0x3f2, 0);
	load(&stream);
	assert_int_equal(status(), 0x10);
	vm_resume_devices(&rig.vm);
	fake_work_run();
	assert_int_equal(finish(), 0);
	assert_memory_equal(guest(), sector(0, 0, 1), 2 * 512);

	COMMAND(0x03, 0xaf, 0x03);
	COMMAND(0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	for (unsigned int i = 0; i < 512; i++) {
		if (i == 77) {
			vm_quiesce_devices(&rig.vm);
			stream = save();
			rig_out(&rig, 0x3f2, 0);
			load(&stream);
			vm_resume_devices(&rig.vm);
		}
		assert_int_equal(rig_in(&rig, 0x3f5),
				 sector(0, 0, 18)[i]);
	}
	assert_int_equal(finish(), 0x408000);
}

static void valid(void *object)
{
	struct fdc *f = object;

	f->phase = FDC_DATA;
	f->kind = FDC_WRITE;
	f->moved %= 512;
	f->head &= 1;
	f->at = 0;
	f->size %= FDC_FIFO;
	f->senses %= 5;
	f->seek_done &= 0xf;
	f->drive[0].cylinder %= FDC_CYLINDERS;
	f->drive[1].cylinder %= FDC_CYLINDERS;
}

static void roundtrip(void **state)
{
	roundtrip_check(fdc_class.state, fdc, valid);
}

static void hostile(void **state)
{
	static const uint8_t likely[] = {
		0x46, 0x45, 0x4d, 0x4a, 0x0f, 0x07, 0x08, 0x03, 0x56, 0x42,
	};
	uint64_t seed = 3;

	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t word = rig_random(&seed);

		if (word % 64 == 0)
			rig_fuzz(&rig, &rig.vm.pio, 0x3f0, 8, 4);
		if (word % 128 == 1)
			rig_out(&rig, 0x3f2, 0x1c);
		if (word % 32 == 2)
			channel(word & 64 ? TO_MEMORY : FROM_MEMORY,
				(word >> 8) % 5000 + 1);
		disk.later = word >> 8 & 1;
		rig_out(&rig, 0x3f5, word & 1 << 9 ? likely[word % 10]
						  : word >> 16 & 0x13);
		if (word & 1 << 10)
			rig_in(&rig, 0x3f5);
		while (disk.waiting_count && (word & 1 << 11))
			fake_block_end(&disk, 0);
		fake_work_run();
		assert_int_equal(fdc_class.state->check(fdc), 0);
	}
	disk.later = false;
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	rig_out(&rig, 0x0d, 0);
	COMMAND(0x14);
	vm_reset_devices(&rig.vm);
	reset_and_specify();
	channel(TO_MEMORY, 512);
	COMMAND(0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	assert_int_equal(finish(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(formats),
		TEST(resets),
		TEST(tells_of_itself),
		TEST(seeks),
		TEST(disk_change),
		TEST(another_disk),
		TEST(taken_out_in_mid_transfer),
		TEST(reads),
		TEST(writes),
		TEST(deleted_data),
		TEST(verifies),
		TEST(ids),
		TEST(formatting),
		TEST(errors),
		TEST(without_dma),
		TEST(waits_for_the_channel),
		TEST(reset_under_way),
		TEST(low_density),
		TEST(saved_in_mid_transfer),
		TEST(roundtrip),
		TEST(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

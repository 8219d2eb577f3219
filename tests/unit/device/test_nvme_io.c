/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe: commands for the disk, and where their data is.
 */
#include "nvme_rig.h"

/* --- the disk ---------------------------------------------------------------------------- */

static void reads_and_writes(void **state)
{
	static uint8_t data[64 * NVME_PAGE];
	static const uint32_t counts[] = { 1, 8, 16, 17, 200, 500 };

	make_pair(1);
	make_list(62, 512);
	for (unsigned int i = 0; i < 6; i++) {
		uint32_t size = counts[i] * 512;

		assert_int_equal(io(NVME_READ, 100 + i, counts[i]), NVME_OK);
		peek(DATA, data, size);
		assert_memory_equal(data, image + (100 + i) * 512, size);
	}
	memset(data, 0x5a, sizeof(data));
	poke(DATA, data, sizeof(data));
	assert_int_equal(io(NVME_WRITE, 7, 20), NVME_OK);
	assert_memory_equal(image + 7 * 512, data, 20 * 512);
	assert_int_equal(image[27 * 512], 27);
	assert_int_equal(disk.flushes, 0);
}

/* Data that begins within a page, and lists that lead on. */
static void scattered(void **state)
{
	static uint8_t data[64 * NVME_PAGE];
	uint32_t dw[16];

	make_pair(1);
	for (unsigned int each = 2; each < 9; each++) {
		make_list(10, each);
		fill_io(dw, NVME_READ, each, 80);
		dw[6] = DATA + 0xe00;
		dw[8] = LIST + (512 - each) * 8;
		assert_int_equal(command(1, dw), NVME_OK);
		peek(DATA + 0xe00, data, 80 * 512);
		assert_memory_equal(data, image + each * 512, 80 * 512);
	}
}

static void bad_transfers(void **state)
{
	uint64_t entry = DATA + 1;
	uint32_t dw[16];

	make_pair(1);
	assert_int_equal(io(NVME_READ, SECTORS, 1), NVME_LBA_RANGE);
	assert_int_equal(io(NVME_READ, SECTORS - 1, 2), NVME_LBA_RANGE);
	assert_int_equal(io(NVME_READ, UINT64_MAX, 2), NVME_LBA_RANGE);
	assert_int_equal(io(NVME_READ, 0, 2049), NVME_INVALID_FIELD);
	assert_int_equal(io(0x7f, 0, 1), NVME_INVALID_OPCODE);
	fill_io(dw, NVME_READ, 0, 16);
	dw[8] = DATA + 8;
	assert_int_equal(command(1, dw), NVME_PRP_OFFSET);
	dw[8] = 0xfffff000;
	assert_int_equal(command(1, dw), NVME_DATA_TRANSFER);
	dw[1] = 2;
	assert_int_equal(command(1, dw), NVME_INVALID_NAMESPACE);
	fill_io(dw, NVME_READ, 0, 64);
	dw[8] = LIST + 4;
	assert_int_equal(command(1, dw), NVME_PRP_OFFSET);
	dw[8] = LIST;
	poke(LIST, &entry, 8);
	assert_int_equal(command(1, dw), NVME_PRP_OFFSET);
	dw[8] = 0xffffff00;
	assert_int_equal(command(1, dw), NVME_DATA_TRANSFER);
	disk.fail = -5;
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_WRITE_FAULT);
	disk.fail = -28;
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_CAPACITY);
	disk.fail = 0;
	disk.block.readonly = true;
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_WRITE_PROTECTED);
	assert_int_equal(io(NVME_WRITE_ZEROES, 0, 1), NVME_WRITE_PROTECTED);
	assert_int_equal(io(NVME_READ, 0, 1), NVME_OK);
}

static void durable(void **state)
{
	uint32_t dw[16];

	make_pair(1);
	assert_int_equal(io(NVME_FLUSH, 0, 1), NVME_OK);
	assert_int_equal(disk.flushes, 1);
	fill_io(dw, NVME_WRITE, 0, 1);
	dw[12] |= NVME_IO_FUA;
	assert_int_equal(command(1, dw), NVME_OK);
	assert_int_equal(disk.flushes, 2);
	feature(NVME_SET_FEATURES, NVME_F_CACHE, 0, NULL);
	assert_int_equal(io(NVME_WRITE, 0, 1), NVME_OK);
	assert_int_equal(disk.flushes, 3);
}

static void compare(void **state)
{
	make_pair(1);
	assert_int_equal(io(NVME_READ, 9, 16), NVME_OK);
	assert_int_equal(io(NVME_COMPARE, 9, 16), NVME_OK);
	image[16 * 512] ^= 1;
	assert_int_equal(io(NVME_COMPARE, 9, 16), NVME_COMPARE_FAILED);
	fake_fail_alloc(1);
	assert_int_equal(io(NVME_COMPARE, 9, 16), NVME_INTERNAL);
}

static void zeroes_and_deallocate(void **state)
{
	const uint32_t ranges[] = { 0, 4, 8, 0, 0, 0, 99, 0, 0, 1, 100, 0,
				    0, 1, SECTORS, 0 };
	uint32_t dw[16];

	make_pair(1);
	assert_int_equal(io(NVME_WRITE_ZEROES, 3, 2), NVME_OK);
	assert_int_equal(image[4 * 512 + 511], 0);
	assert_int_equal(disk.unmaps, 0);
	poke(DATA, ranges, sizeof(ranges));
	fill_io(dw, NVME_DATASET, 0, 1);
	dw[10] = 2;
	assert_int_equal(command(1, dw), NVME_OK);
	assert_int_equal(disk.discards, 0); /* a hint of another kind */
	dw[11] = NVME_DATASET_DEALLOCATE;
	assert_int_equal(command(1, dw), NVME_OK);
	assert_int_equal(disk.discards, 2);
	dw[10] = 3;
	assert_int_equal(command(1, dw), NVME_LBA_RANGE);
}

/* A small one alone ends with its doorbell; others are the worker's. */
static void little_commands(void **state)
{
	uint32_t dw[16], entry[4];

	make_pair(1);
	fill_io(dw, NVME_READ, 3, 32);
	make_list(3, 512);
	queue_command(1, dw);
	set(NVME_DOORBELLS + 8, queues[1].tail);
	assert_true(completion(1, entry));
	fill_io(dw, NVME_READ, 3, 33);
	make_list(4, 512);
	queue_command(1, dw);
	set(NVME_DOORBELLS + 8, queues[1].tail);
	peek(queues[1].cq + NVME_COMPLETION, entry, sizeof(entry));
	assert_int_equal(entry[3], 0);
	fake_work_run();
	assert_true(completion(1, entry));
	fill_io(dw, NVME_WRITE, 3, 1);
	queue_command(1, dw);
	queue_command(1, dw);
	set(NVME_DOORBELLS + 8, queues[1].tail);
	peek(queues[1].cq + 2 * NVME_COMPLETION, entry, sizeof(entry));
	assert_int_equal(entry[3], 0);
	fake_work_run();
	assert_true(completion(1, entry));
	assert_true(completion(1, entry));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_and_writes),
		TEST(scattered),
		TEST(bad_transfers),
		TEST(durable),
		TEST(compare),
		TEST(zeroes_and_deallocate),
		TEST(little_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings between a machine and its switch: frames pass whole and in order
 * across their end, and whatever the other side writes is either a frame that
 * can be or the end of the ring.
 */
#include "net/switch/lane.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake/test.h"
#include "net/switch/wire.h"

static struct lane_pair ours, theirs;
static struct nic_frame frame;
static const uint8_t *bytes;

static int setup(void **state)
{
	int fd = lane_memory();

	assert_true(fd >= 0);
	assert_int_equal(lane_map(&ours, fd), 0);
	assert_int_equal(lane_map(&theirs, fd), 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	lane_unmap(&ours);
	lane_unmap(&theirs);
	return 0;
}

static bool put(struct lane *lane, uint32_t size, uint8_t with)
{
	const struct nic_frame f = { .size = size };
	uint8_t *to = lane_place(lane, size);

	if (!to)
		return false;
	memset(to, with, size);
	lane_put(lane, &f);
	return true;
}

static void test_passes(void **state)
{
	const uint32_t sizes[] = { NIC_FRAME_MIN, 1514, NIC_FRAME_MAX, 61 };
	uint64_t total = 0;
	unsigned int n = 0;

	assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
			 LANE_EMPTY);
	while (total < 5 * (uint64_t)WIRE_TO_SWITCH) {
		uint32_t size = sizes[n % 4];

		assert_true(put(&theirs.to_switch, size, (uint8_t)n));
		assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
				 LANE_FRAME);
		assert_int_equal(frame.size, size);
		for (uint32_t i = 0; i < size; i++)
			assert_int_equal(bytes[i], (uint8_t)n);
		lane_take(&ours.to_switch, size);
		total += size;
		n++;
	}
	assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
			 LANE_EMPTY);
}

static void test_offloads(void **state)
{
	const struct nic_frame f = {
		.size = 4000,
		.sum = NIC_SUM_OPEN,
		.cut = NIC_CUT_TCP6,
		.ecn = true,
		.sum_start = 54,
		.sum_offset = 16,
		.header = 74,
		.segment = 1440,
	};

	assert_non_null(lane_place(&theirs.to_machine, f.size));
	lane_put(&theirs.to_machine, &f);
	assert_int_equal(lane_peek(&ours.to_machine, &frame, &bytes),
			 LANE_FRAME);
	assert_memory_equal(&frame, &f, sizeof(f));
}

static void test_full(void **state)
{
	struct lane *in = &theirs.to_switch, *out = &ours.to_switch;
	unsigned int count = 0, taken = 0;

	while (put(in, 1500, 1))
		count++;
	assert_in_range(count, 680, 700);
	assert_false(lane_wakes_writer(out));
	assert_false(lane_starve(in, 1500));
	while (!lane_wakes_writer(out)) {
		assert_int_equal(lane_peek(out, &frame, &bytes), LANE_FRAME);
		lane_take(out, frame.size);
		taken++;
	}
	assert_in_range(taken, count / 2 - 2, count / 2 + 2);
	assert_false(lane_wakes_writer(out)); /* it is told once */
	assert_true(put(in, NIC_FRAME_MAX, 2));
}

static void test_sleep(void **state)
{
	assert_false(lane_wakes_reader(&theirs.to_switch));
	assert_false(lane_sleep(&ours.to_switch));
	assert_true(put(&theirs.to_switch, 60, 1));
	assert_true(lane_wakes_reader(&theirs.to_switch));
	assert_false(lane_wakes_reader(&theirs.to_switch));
	assert_true(lane_sleep(&ours.to_switch)); /* there is one: do not */
}

/* A processor watches in the place of the thread that sleeps. */
static void test_watch(void **state)
{
	struct lane *in = &theirs.to_machine, *out = &ours.to_machine;
	_Atomic uint32_t *asleep = &out->shared->asleep;

	assert_false(lane_watch(out)); /* nobody sleeps */
	assert_false(lane_sleep(out));
	assert_true(lane_watch(out));
	assert_int_equal(*asleep, LANE_WATCHED);
	lane_awake(out); /* is the sleeper's, who is not asleep now */
	assert_int_equal(*asleep, LANE_WATCHED);
	assert_true(put(in, 60, 1));
	assert_false(lane_wakes_reader(in)); /* the word told it */
	assert_int_equal(*asleep, LANE_AWAKE);

	assert_int_equal(lane_peek(out, &frame, &bytes), LANE_FRAME);
	lane_take(out, frame.size);
	assert_true(lane_watch_again(out));
	assert_false(lane_unwatch(out));
	assert_int_equal(*asleep, LANE_ASLEEP);
	assert_true(put(in, 60, 1));
	assert_true(lane_watch(out)); /* and it has changed by now */
	assert_int_not_equal(*asleep, LANE_WATCHED);
	assert_false(lane_watch_again(out));
	assert_true(lane_unwatch(out)); /* the sleeper is to look */
}

/* Who waits returns at once when there is a frame, or its end. */
static void test_wait(void **state)
{
	_Atomic bool end = false;

	assert_true(put(&theirs.to_switch, 60, 1));
	lane_wait(&ours.to_switch, &end);
	assert_int_equal(ours.to_switch.shared->asleep, LANE_AWAKE);
	assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
			 LANE_FRAME);
	lane_take(&ours.to_switch, frame.size);
	end = true;
	lane_wait(&ours.to_switch, &end);
}

/* Who looks asks nobody to wake it, and gives up. */
static void test_look(void **state)
{
	_Atomic bool end = false;

	assert_false(lane_look(&ours.to_switch, &end));
	assert_int_equal(ours.to_switch.shared->asleep, LANE_AWAKE);
	assert_true(put(&theirs.to_switch, 60, 1));
	assert_false(lane_wakes_reader(&theirs.to_switch));
	assert_true(lane_look(&ours.to_switch, &end));
	assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
			 LANE_FRAME);
	lane_take(&ours.to_switch, frame.size);
	end = true;
	assert_true(lane_look(&ours.to_switch, &end));
}

/* Positions that cannot be. */
static void test_positions(void **state)
{
	const uint32_t wrong[] = { 1, 8, WIRE_TO_SWITCH + 16, UINT32_MAX,
				   0x80000000u };

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		theirs.to_switch.broken = ours.to_switch.broken = false;
		atomic_store(&theirs.to_switch.shared->head, wrong[i]);
		assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
				 LANE_BROKEN);
		atomic_store(&theirs.to_switch.shared->head, 0);
		/* Once broken it stays so. */
		assert_int_equal(lane_peek(&ours.to_switch, &frame, &bytes),
				 LANE_BROKEN);
		atomic_store(&ours.to_switch.shared->tail, wrong[i]);
		assert_null(lane_place(&theirs.to_switch, 60));
		assert_true(theirs.to_switch.broken);
		atomic_store(&ours.to_switch.shared->tail, 0);
	}
}

static enum lane_state look_at(const struct lane_record *record, uint32_t head)
{
	ours.to_switch.broken = false;
	memcpy(theirs.to_switch.bytes, record, sizeof(*record));
	atomic_store(&theirs.to_switch.shared->head, head);
	return lane_peek(&ours.to_switch, &frame, &bytes);
}

/* Descriptions that cannot be. */
static void test_records(void **state)
{
	const struct lane_record good = {
		.size = 1000, .sum = NIC_SUM_OPEN, .cut = NIC_CUT_TCP4,
		.sum_start = 34, .sum_offset = 16, .header = 54,
		.segment = 100,
	};
	const struct {
		size_t at;
		uint32_t value, bytes;
	} wrong[] = {
		{ offsetof(struct lane_record, size), 13, 4 },
		{ offsetof(struct lane_record, size), 1009, 4 },
		{ offsetof(struct lane_record, size), NIC_FRAME_MAX + 1, 4 },
		{ offsetof(struct lane_record, size), UINT32_MAX, 4 },
		{ offsetof(struct lane_record, sum), 3, 1 },
		{ offsetof(struct lane_record, sum), NIC_SUM_GOOD, 1 },
		{ offsetof(struct lane_record, cut), 3, 1 },
		{ offsetof(struct lane_record, ecn), 2, 1 },
		{ offsetof(struct lane_record, sum_start), 983, 2 },
		{ offsetof(struct lane_record, sum_offset), 65535, 2 },
		{ offsetof(struct lane_record, header), 1000, 2 },
		{ offsetof(struct lane_record, header), 13, 2 },
		{ offsetof(struct lane_record, segment), 0, 2 },
	};

	assert_int_equal(look_at(&good, 1024), LANE_FRAME);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct lane_record bad = good;

		memcpy((uint8_t *)&bad + wrong[i].at, &wrong[i].value,
		       wrong[i].bytes);
		assert_int_equal(look_at(&bad, 1024), LANE_BROKEN);
	}
}

/* Memory that could be taken away is not taken. */
static void test_memory(void **state)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct lane_pair pair;

	assert_int_equal(ftruncate(fd, WIRE_SIZE), 0);
	assert_true(lane_map(&pair, fd) < 0);
	close(fd);
	fd = lane_memory();
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 2 * WIRE_SIZE), -1);
	close(fd);
	assert_true(lane_map(&pair, -1) < 0);
}

/* One that waits at the ring itself is woken when an eighth of it is free. */
static void test_waits(void **state)
{
	struct lane *in = &ours.to_machine, *out = &theirs.to_machine;
	uint32_t used = 0;

	while (put(in, 1514, 1))
		used += 1536;
	assert_false(lane_starve(in, 1514));
	while (used > in->size - in->size / 8) {
		assert_int_equal(atomic_load(&in->shared->starved), 1);
		assert_int_equal(lane_peek(out, &frame, &bytes), LANE_FRAME);
		lane_take(out, frame.size);
		used -= 1536;
		lane_wakes_waiter(out);
	}
	assert_int_equal(atomic_load(&in->shared->starved), 0);
	/* It has been woken: this does not sleep. */
	lane_wait_room(in, UINT64_MAX);
	assert_true(put(in, 1514, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offloads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_look, setup, teardown),
		cmocka_unit_test_setup_teardown(test_positions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

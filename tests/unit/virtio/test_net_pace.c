/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that the network card gives in batches: who rests waits for nothing,
 * who does not is left time for other things. Time is the test's.
 */
#include "net_rig.h"

#define BATCH	   64u
#define NO_SIGNAL  1u /* of a split ring's driver, of a packed one's as well */
#define LOOK_NS	   500000u

static struct vm *vm(void)
{
	return &rig.rig.vm;
}

static void rest(void)
{
	vm_rest_begin(vm());
	vm_rest_end(vm());
}

/* Frames until one has to wait, at most 4 batches; the driver takes all. */
static unsigned int give(void)
{
	unsigned int count = 0;

	while (count < 4 * BATCH) {
		uint32_t written;
		uint16_t id;

		offer_room(0, 100);
		if (!fake_net_give(&net, frame, 60))
			break;
		assert_true(driver_take(&driver, 0, &id, &written));
		count++;
	}
	return count;
}

/* Held from now on, one batch after the processor's last rest. */
static void fill(uint64_t features)
{
	offered = 0;
	start(features);
	vm()->cpu_count = 1;
	rest();
	assert_int_equal(give(), 2 * BATCH);
	assert_int_equal(net.rooms, 0);
}

/* Whether the driver of queue 0 wants interrupts. */
static void set_polling(bool polling)
{
	const struct driver_queue *q = &driver.queue[0];

	driver_poke16(&driver, q->avail + (q->packed ? 2 : 0),
		      polling ? NO_SIGNAL : 0);
}

static void look(unsigned int times)
{
	rig_run(&rig.rig, times * (uint64_t)LOOK_NS);
}

/* With an engine that does not tell of rests there are no batches. */
static void untold(void **state)
{
	offered = 0;
	start(0);
	vm()->cpu_count = 1;
	assert_int_equal(give(), 4 * BATCH);
}

/* Segments of TCP set their own pace. */
static void tcp(void **state)
{
	fill(0);
	frame[23] = 6;
	assert_int_equal(give(), 4 * BATCH);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[23] = 0;
	frame[20] = 6;
	assert_int_equal(give(), 4 * BATCH);
	frame[20] = 17;
	assert_int_equal(give(), 0);
}

static void rests(void **state)
{
	fill(0);
	rest();
	assert_int_equal(net.rooms, 1);
	assert_int_equal(give(), BATCH);
	/* It had rested already when the batch was full. */
	rest();
	assert_int_equal(net.rooms, 2);
	offer_room(0, 100);
	assert_true(fake_net_give(&net, frame, 60));
	rest();
	assert_int_equal(net.rooms, 2);
}

/* One of several that has nothing to do takes what is meant for another. */
static void another_rests(void **state)
{
	fill(0);
	vm()->cpu_count = 2;
	vm_rest_begin(vm());
	assert_int_equal(net.rooms, 1);
	assert_int_equal(give(), 4 * BATCH);
	vm_rest_end(vm());
	assert_true(give() <= BATCH);
}

/* As long as the driver took, and that again. */
static void never_rests(void **state)
{
	fill(0);
	set_polling(true);
	look(2);
	set_polling(false);
	look(1);
	assert_int_equal(net.rooms, 0);
	look(2);
	assert_int_equal(net.rooms, 0);
	look(1);
	assert_int_equal(net.rooms, 1);
	assert_int_equal(give(), BATCH);
}

/* A driver that is never through is given more all the same. */
static void never_done(void **state)
{
	fill(0);
	set_polling(true);
	look(7);
	assert_int_equal(net.rooms, 0);
	look(1);
	assert_int_equal(net.rooms, 1);
	look(20);
	assert_int_equal(net.rooms, 1);
}

/* It has said behind which buffer it wants an interrupt. */
static void event_index(void **state)
{
	const struct driver_queue *q = &driver.queue[0];
	uint64_t at;

	fill(VIRTIO_F_EVENT_IDX);
	at = q->packed ? q->avail : q->avail + 4 + 2 * q->size;
	if (q->packed)
		driver_poke16(&driver, at + 2, VIRTQ_EVENT_DESC);
	driver_poke16(&driver, at, (uint16_t)(q->seen - 1));
	look(2);
	assert_int_equal(net.rooms, 0);
	driver_poke16(&driver, at,
		      (uint16_t)(q->seen | (q->packed && q->seen_wrap) << 15));
	look(1);
	assert_int_equal(net.rooms, 0);
	look(3);
	assert_int_equal(net.rooms, 1);
}

/* What is held at a reset waits for nobody that is gone. */
static void reset_meanwhile(void **state)
{
	fill(0);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	look(8);
	assert_int_equal(net.rooms, 1);
	assert_true(fake_net_give(&net, frame, 60));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(untold),	   BOTH(rests),	      BOTH(another_rests),
		BOTH(never_rests), BOTH(never_done),  BOTH(event_index),
		BOTH(reset_meanwhile), BOTH(tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

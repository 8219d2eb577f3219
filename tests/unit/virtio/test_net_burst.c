/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams that the network card sends in batches: when its driver is asked to
 * tell of many, and what sends those of which it has not told. Time is the
 * test's.
 */
#include "net_rig.h"

#define ALONE	8u
#define FEW	8u
#define MANY	16u
#define SIZE	64u /* of the queue */
#define LOOK_NS 500000u
#define TCP	6
#define UDP	17

static struct vm *vm(void)
{
	return &rig.rig.vm;
}

static void rest(void)
{
	vm_rest_begin(vm());
	vm_rest_end(vm());
}

static void look(void)
{
	rig_run(&rig.rig, LOOK_NS);
}

/* Whether the device has asked to be told of what comes behind `old`. */
static bool wants(uint16_t old, bool wrap)
{
	const struct driver_queue *q = &driver.queue[1];
	uint16_t event;

	if (!q->packed) {
		event = driver_peek16(&driver, q->used + 4 + 8 * q->size);
		return (uint16_t)(q->next - event - 1) <
		       (uint16_t)(q->next - old);
	}
	if (driver_peek16(&driver, q->used + 2) != VIRTQ_EVENT_DESC)
		return driver_peek16(&driver, q->used + 2) ==
		       VIRTQ_EVENT_ENABLE;
	event = driver_peek16(&driver, q->used);
	return (event & 0x7fff) == old && event >> 15 == wrap;
}

/* A frame of one descriptor; whether the driver had to tell of it. */
static bool put(uint8_t protocol)
{
	static const struct header plain;
	const struct driver_desc desc = { TX_AT, HEADER + 60, 0 };
	const struct driver_queue *q = &driver.queue[1];
	const uint16_t old = q->next;
	const bool wrap = q->wrap;
	bool told;

	frame[23] = protocol;
	driver_poke(&driver, TX_AT, &plain, HEADER);
	driver_poke(&driver, TX_AT + HEADER, frame, 60);
	driver_offer(&driver, 1, &desc, 1);
	told = wants(old, wrap);
	if (told)
		driver_notify(&driver, 1);
	return told;
}

/* Of so many, how many the driver told of; it takes what is used. */
static unsigned int put_all(unsigned int count)
{
	unsigned int told = 0;
	uint32_t written;
	uint16_t id;

	while (count--) {
		told += put(UDP);
		while (driver_take(&driver, 1, &id, &written))
			;
	}
	return told;
}

static void begin(uint64_t features, unsigned int size)
{
	driver_start(&driver, &rig,
		     features | ring | VIRTIO_F_EVENT_IDX, 2, size);
	rest();
	assert_int_equal(put_all(1), 1); /* after a rest */
	assert_int_equal(put_all(ALONE), ALONE);
	assert_int_equal(net.sent, 1 + ALONE);
	net.sent = 0;
}

/* One notification for many. */
static void many(void **state)
{
	begin(0, SIZE);
	for (unsigned int i = 1; i < 6; i++) {
		assert_int_equal(put_all(MANY - 1), 0);
		assert_int_equal(net.sent, (i - 1) * MANY);
		assert_true(put(UDP));
		assert_int_equal(net.sent, i * MANY);
	}
}

/* Nothing follows what is there when a processor halts. */
static void rests(void **state)
{
	begin(0, SIZE);
	assert_int_equal(put_all(FEW), 0);
	rest();
	assert_int_equal(net.sent, FEW);
	assert_int_equal(put_all(FEW - 1), 0);
	rest();
	assert_int_equal(net.sent, 2 * FEW - 1);
	/* Too few to go on like that. */
	assert_int_equal(put_all(3), 3);
	assert_int_equal(net.sent, 2 * FEW + 2);
}

/* A guest that does something else without a halt. */
static void looks(void **state)
{
	begin(0, SIZE);
	assert_int_equal(put_all(FEW), 0);
	look();
	assert_int_equal(net.sent, FEW);
	assert_int_equal(put_all(1), 0);
	look();
	assert_int_equal(net.sent, FEW + 1);
	assert_int_equal(put_all(1), 1);
}

/* Who asks and waits for the answer is not held up. */
static void asks(void **state)
{
	begin(0, SIZE);
	rest();
	for (unsigned int i = 0; i < 4 * ALONE; i++) {
		assert_int_equal(put_all(1), 1);
		rest();
	}
	assert_int_equal(net.sent, 4 * ALONE);
}

/* It ends with the first frame of something else, which begins none. */
static void other(void **state)
{
	begin(0, SIZE);
	assert_int_equal(put_all(3), 0);
	assert_false(put(TCP));
	rest();
	assert_int_equal(net.sent, 4);
	for (unsigned int i = 0; i < 4 * ALONE; i++)
		assert_true(put(i % ALONE ? UDP : TCP));
}

/* What the net has no room for goes when it has. */
static void no_room(void **state)
{
	begin(0, SIZE);
	net.later = true;
	assert_int_equal(put_all(MANY), 1);
	rest();
	assert_int_equal(net.sent, 0);
	net.later = false;
	net.net.nic->ops->again(net.net.nic);
	fake_work_run();
	assert_int_equal(net.sent, MANY);
}

/* With an engine that does not tell of rests nothing is held up. */
static void untold(void **state)
{
	driver_start(&driver, &rig, ring | VIRTIO_F_EVENT_IDX, 2, SIZE);
	assert_int_equal(put_all(4 * ALONE), 4 * ALONE);
}

/* Nor in a queue that many would fill. */
static void small(void **state)
{
	begin(0, MANY);
	assert_int_equal(put_all(4 * ALONE), 4 * ALONE);
}

/* Nor with a driver that tells of all or of none. */
static void no_event_index(void **state)
{
	driver_start(&driver, &rig, ring & ~VIRTIO_F_EVENT_IDX, 2, SIZE);
	rest();
	for (unsigned int i = 1; i <= 4 * ALONE; i++) {
		frame[23] = UDP;
		assert_true(transmit(&(struct header){ 0 }, 60));
		assert_int_equal(net.sent, i);
	}
	assert_false(card->lane[0].burst.held);
}

/* The next driver is asked to tell of each. */
static void reset_meanwhile(void **state)
{
	begin(0, SIZE);
	assert_int_equal(put_all(3), 0);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_work_run();
	look();
	assert_int_equal(net.sent, 0);
	begin(0, SIZE);
}

/* While the machine is saved they stay in the queue, and go after that. */
static void quiet(void **state)
{
	begin(0, SIZE);
	assert_int_equal(put_all(FEW), 0);
	vm_quiesce_devices(vm());
	rest();
	look();
	assert_int_equal(net.sent, 0);
	vm_resume_devices(vm());
	fake_work_run();
	assert_int_equal(net.sent, FEW);
	assert_int_equal(put_all(1), 1);
	assert_int_equal(net.sent, FEW + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(many),    BOTH(rests),  BOTH(looks),
		BOTH(asks),    BOTH(other),  BOTH(no_room),
		BOTH(untold),  BOTH(small),  BOTH(no_event_index),
		BOTH(reset_meanwhile), BOTH(quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings to a vhost-user back end, which is played here: frames each way, byte
 * for byte, in chains and in several buffers; full rings, and who is told.
 */
#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "net/vhost/ring.h"

#define BASE 0x100000u

static _Alignas(4096) uint8_t tables[VHOST_RING_BYTES];
static _Alignas(4096) uint8_t buffers[VHOST_RING_SIZE * VHOST_SLOT];
static struct vhost_ring ring;
static uint16_t device_seen;
static uint8_t sent[NIC_FRAME_MAX];

static int setup(void **state)
{
	memset(tables, 0, sizeof(tables));
	vhost_ring_init(&ring, tables, buffers, BASE, VHOST_SLOT);
	device_seen = 0;
	for (unsigned int i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + (i >> 8));
	return 0;
}

static uint32_t get(const uint8_t *at, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, at, size);
	return value;
}

static void put16(uint8_t *at, unsigned int value)
{
	memcpy(at, &(uint16_t){ (uint16_t)value }, 2);
}

/* --- the back end's side ------------------------------------------------------- */

/* The next chain's head; its bytes to `to`, or from there. -1: none. */
static int next(uint8_t *bytes, uint32_t *size, bool writes)
{
	const uint8_t *avail = tables + VHOST_AVAIL;
	uint16_t head, at;
	uint32_t room = *size;

	if (get(avail + 2, 2) == device_seen)
		return -1;
	head = at = (uint16_t)get(avail + 4 + 2 * (device_seen++ %
						   VHOST_RING_SIZE), 2);
	*size = 0;
	for (;;) {
		const uint8_t *desc = tables + 16 * at;
		uint32_t length = get(desc + 8, 4), flags = get(desc + 12, 2);
		uint8_t *buffer = buffers + (get(desc, 4) - BASE);

		assert_int_equal(!!(flags & 2), writes);
		if (writes)
			length = length < room - *size ? length : room - *size;
		memcpy(writes ? buffer : bytes + *size,
		       writes ? bytes + *size : buffer, length);
		*size += length;
		if (!(flags & 1))
			return head;
		at = (uint16_t)get(desc + 14, 2);
	}
}

static void use(int head, uint32_t size)
{
	uint8_t *used = tables + VHOST_USED;
	unsigned int index = get(used + 2, 2);
	uint32_t entry[2] = { (uint32_t)head, size };

	memcpy(used + 4 + 8 * (index % VHOST_RING_SIZE), entry, 8);
	put16(used + 2, index + 1);
}

/* --- tests ---------------------------------------------------------------------- */

static bool send_one(uint32_t size)
{
	const struct span span = { sent, size };
	const struct nic_frame frame = { .span = &span, .spans = 1,
					 .size = size, .sum = NIC_SUM_GOOD };

	return vhost_ring_send(&ring, &frame);
}

static void test_send(void **state)
{
	static const uint32_t sizes[] = { 14, 60, 4084, 4085, 8180, 65553 };
	static uint8_t got[NIC_FRAME_MAX + VHOST_HEADER];

	for (unsigned int round = 0; round < 2000; round++) {
		uint32_t want = sizes[round % 6], size = 0;
		int head;

		vhost_ring_reclaim(&ring);
		assert_true(send_one(want));
		head = next(got, &size, false);
		assert_true(head >= 0);
		assert_int_equal(size, want + VHOST_HEADER);
		assert_int_equal(got[0], NIC_HEADER_SUM_GOOD);
		assert_memory_equal(got + VHOST_HEADER, sent, want);
		use(head, 0);
	}
	assert_false(ring.broken);
}

static void test_full(void **state)
{
	uint8_t got[4096];
	unsigned int count = 0;
	uint32_t size = 0;
	int head = -1;

	while (send_one(100))
		count++;
	assert_int_equal(count, VHOST_RING_SIZE);
	assert_true(vhost_ring_listen(&ring));
	assert_int_equal(get(tables + VHOST_AVAIL, 2), 0);
	for (unsigned int i = 0; i < 5; i++) {
		head = next(got, &size, false);
		use(head, 0);
	}
	assert_false(vhost_ring_listen(&ring));
	assert_false(send_one(100));
	vhost_ring_reclaim(&ring);
	assert_true(send_one(100));
	assert_true(send_one(4 * VHOST_SLOT - VHOST_HEADER));
	assert_false(send_one(100));
	/* What is given back twice is not ours. */
	head = next(got, &size, false);
	use(head, 0);
	use(head, 0);
	vhost_ring_reclaim(&ring);
	assert_true(ring.broken);
	assert_false(send_one(100));
}

/* A frame in as many buffers as it takes; whether it was taken. */
static bool give(const uint8_t *bytes, uint32_t size, unsigned int merged)
{
	static uint8_t whole[NIC_FRAME_MAX + VHOST_HEADER];
	uint32_t done = 0, part;
	int head;

	memset(whole, 0, VHOST_HEADER);
	put16(whole + 10, merged);
	memcpy(whole + VHOST_HEADER, bytes, size);
	for (size += VHOST_HEADER; done < size; done += part) {
		part = size - done;
		head = next(whole + done, &part, true);
		if (head < 0)
			return false;
		use(head, part);
	}
	return true;
}

static void test_receive(void **state)
{
	static const uint32_t sizes[] = { 14, 4084, 4085, 65553 };
	static uint8_t got[NIC_FRAME_MAX];
	struct vhost_frame frame;

	ring.merges = true;
	vhost_ring_offer(&ring);
	assert_true(vhost_ring_listen(&ring));
	for (unsigned int round = 0; round < 2000; round++) {
		uint32_t size = sizes[round % 4];
		unsigned int count = (size + VHOST_HEADER + VHOST_SLOT - 1) /
				     VHOST_SLOT;

		assert_false(vhost_ring_peek(&ring, &frame));
		assert_true(give(sent, size, count));
		assert_false(vhost_ring_listen(&ring));
		/* It stays until it is done with. */
		assert_true(vhost_ring_peek(&ring, &frame));
		assert_true(vhost_ring_peek(&ring, &frame));
		assert_false(frame.malformed);
		assert_int_equal(frame.nic.size, size);
		nic_frame_read(&frame.nic, 0, got, size);
		assert_memory_equal(got, sent, size);
		vhost_ring_done(&ring, &frame);
	}
	assert_false(ring.broken);
	assert_int_equal(ring.under_way, VHOST_RING_SIZE);
	/* Too short to be one. */
	assert_true(give(sent, 13, 1));
	assert_true(vhost_ring_peek(&ring, &frame));
	assert_true(frame.malformed);
	vhost_ring_done(&ring, &frame);
	/* Of more buffers than it has used. */
	assert_true(give(sent, 100, 2));
	assert_false(vhost_ring_peek(&ring, &frame));
	assert_true(ring.broken);
}

static void test_told(void **state)
{
	assert_true(vhost_ring_notifies(&ring));
	put16(tables + VHOST_USED, 1);
	assert_false(vhost_ring_notifies(&ring));
	vhost_ring_ignore(&ring);
	assert_int_equal(get(tables + VHOST_AVAIL, 2), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_send, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_receive, setup),
		cmocka_unit_test_setup(test_told, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

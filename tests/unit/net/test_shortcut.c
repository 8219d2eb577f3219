/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shortcut between two machines, both played here, and the rings that one of
 * them sleeps on: frames pass both ways, whole; one that may not is refused and
 * counted; who has no room is waited for and then not; nonsense in the memory
 * ends it for both.
 */
#include "net/switch/shortcut.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake/host.h"
#include "fake/test.h"
#include "host/linux/passing.h"
#include "net/switch/packet.h"

#define SIZE 1000u

static struct shortcut *one, *two;
static struct wire_shortcut said[2];
static uint8_t bytes[NIC_FRAME_MAX];

static void fill_claims(struct claims *claims, uint8_t number)
{
	*claims = (struct claims){
		.mac = { 0x52, 0x54, 0, 0, 0, number },
		.address4 = { 0x0a010010u + number },
	};
}

/* As the switch does it. */
static void give_memory(int ends[2], int memory)
{
	char byte = 0;
	const struct iovec part = { &byte, 1 };

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(passing_send(ends[i], &part, 1, memory,
					      MSG_DONTWAIT), 1);
}

static int setup(void **state)
{
	int ends[2], memory = lane_memory();

	assert_true(memory >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
				    ends), 0);
	give_memory(ends, memory);
	close(memory);
	for (uint8_t i = 0; i < 2; i++) {
		said[i] = (struct wire_shortcut){ .above = i };
		fill_claims(&said[i].own, i);
		fill_claims(&said[i].other, !i);
	}
	assert_int_equal(shortcut_begin(&one, &said[0], ends[0]), 0);
	assert_int_equal(shortcut_begin(&two, &said[1], ends[1]), 0);
	return 0;
}

static int teardown(void **state)
{
	if (one)
		shortcut_end(one);
	if (two)
		shortcut_end(two);
	one = two = NULL;
	return 0;
}

static void make(const struct shortcut *from, uint32_t size, uint8_t with)
{
	uint8_t *ip = bytes + PACKET_ETHERNET;

	memset(bytes, with, size);
	memcpy(bytes, from->other.mac, NIC_MAC);
	memcpy(bytes + NIC_MAC, from->own.mac, NIC_MAC);
	packet_put16(bytes + 12, PACKET_TYPE_IP4);
	ip[0] = 0x45;
	ip[IP4_PROTOCOL] = PACKET_PROTOCOL_TCP;
	packet_put16(ip + IP4_FRAGMENT, 0);
	packet_put32(ip + IP4_SOURCE, from->own.address4[0]);
}

static bool send_bytes(struct shortcut *from, uint32_t size)
{
	struct span span = { bytes, size };
	const struct nic_frame frame = { .span = &span, .spans = 1,
					 .size = size };

	return shortcut_send(from, &frame);
}

static bool send_one(struct shortcut *from, uint32_t size, uint8_t with)
{
	make(from, size, with);
	return send_bytes(from, size);
}

/* The next frame is that one. */
static void take_one(struct shortcut *to, uint32_t size)
{
	uint8_t got[NIC_FRAME_MAX];
	struct nic_frame frame;

	assert_int_equal(shortcut_peek(to, &frame), LANE_FRAME);
	assert_int_equal(frame.size, size);
	assert_int_not_equal(frame.spans, 0);
	nic_frame_read(&frame, 0, got, size);
	assert_memory_equal(got, bytes, size);
	shortcut_take(to, &frame);
}

static void hear_each_other(void)
{
	assert_true(shortcut_hear(one));
	assert_true(shortcut_hear(two));
}

static bool has_word(const struct shortcut *shortcut)
{
	struct pollfd fd = { shortcut->fd, POLLIN, 0 };

	return poll(&fd, 1, 0) == 1;
}

static void test_passes(void **state)
{
	static const uint32_t sizes[] = { 60, CLAIMS_HEAD, CLAIMS_HEAD + 1,
					  1514, NIC_FRAME_MAX };

	for (unsigned int i = 0; i < 5; i++) {
		assert_true(send_one(one, sizes[i], (uint8_t)i));
		take_one(two, sizes[i]);
		assert_true(send_one(two, sizes[i], (uint8_t)~i));
		take_one(one, sizes[i]);
	}
	assert_int_equal(two->in->shared->frames, 5);
	assert_int_equal(two->in->shared->bytes,
			 60 + 2 * CLAIMS_HEAD + 1 + 1514 + NIC_FRAME_MAX);
	assert_int_equal(two->in->shared->refused, 0);
}

/* Nothing goes that way before the other has begun too. */
static void test_begins(void **state)
{
	make(one, SIZE, 0);
	assert_false(shortcut_leads(one, bytes, CLAIMS_HEAD));
	hear_each_other();
	assert_true(shortcut_leads(one, bytes, CLAIMS_HEAD));
	assert_false(shortcut_leads(two, bytes, CLAIMS_HEAD)); /* not its own */
	bytes[PACKET_ETHERNET + IP4_PROTOCOL] = PACKET_PROTOCOL_ICMP;
	assert_false(shortcut_leads(one, bytes, CLAIMS_HEAD));
}

/* Whoever has no memory for it, or another, has no shortcut. */
static void test_no_memory(void **state)
{
	struct shortcut *none;
	char byte = 0;
	const struct iovec part = { &byte, 1 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0,
				    ends), 0);
	assert_int_equal(shortcut_begin(&none, &said[0], ends[0]), -EPROTO);
	assert_int_equal(passing_send(ends[1], &part, 1, -1, 0), 1);
	assert_int_equal(shortcut_begin(&none, &said[0], ends[0]), -EPROTO);
	assert_int_equal(passing_send(ends[1], &part, 1, ends[1], 0), 1);
	assert_int_equal(shortcut_begin(&none, &said[0], ends[0]), -EINVAL);
	close(ends[1]);
	assert_int_equal(shortcut_begin(&none, &said[0], ends[0]), -EPROTO);
	close(ends[0]);
}

/* What the other may not send, it cannot: the same that a switch refuses. */
static void test_refused(void **state)
{
	struct nic_frame frame;

	for (unsigned int i = 0; i < 4; i++) {
		make(one, SIZE, 1);
		if (i == 0)
			packet_put32(bytes + PACKET_ETHERNET + IP4_SOURCE, 1);
		if (i == 1)
			bytes[NIC_MAC]++;
		if (i == 2)
			memset(bytes, 255, NIC_MAC);
		if (i == 3)
			packet_put16(bytes + 12, PACKET_TYPE_ARP);
		assert_true(send_bytes(one, SIZE));
		assert_int_equal(shortcut_peek(two, &frame), LANE_FRAME);
		assert_int_equal(frame.spans, 0);
		shortcut_take(two, &frame);
	}
	assert_int_equal(two->in->shared->refused, 4);
	assert_int_equal(two->in->shared->frames, 0);
	assert_true(send_one(one, SIZE, 2));
	take_one(two, SIZE);
}

/* The word of a sleeper is changed, and it is told. */
static void test_wakes(void **state)
{
	hear_each_other();
	assert_false(lane_sleep(two->in));
	assert_true(send_one(one, SIZE, 1));
	assert_false(has_word(two)); /* more may follow */
	shortcut_flush(one);
	assert_true(has_word(two));
	assert_true(shortcut_hear(two));
	shortcut_flush(one);
	assert_false(has_word(two));
	assert_int_equal(two->in->shared->asleep, LANE_AWAKE);
}

static unsigned int fill_ring(void)
{
	unsigned int count = 0;

	make(one, SIZE, 3);
	while (send_bytes(one, SIZE))
		count++;
	return count;
}

static void test_waits(void **state)
{
	unsigned int count;

	hear_each_other();
	count = fill_ring();
	assert_in_range(count, 900, WIRE_TO_SWITCH / SIZE);
	assert_int_equal(two->in->shared->dropped, 0);
	fake_time_advance(PATIENCE_MOST / 2);
	assert_false(send_bytes(one, SIZE));
	for (unsigned int i = 0; i < count; i++) {
		take_one(two, SIZE);
		shortcut_taken(two);
	}
	assert_true(has_word(one)); /* there is room now */
	assert_true(send_bytes(one, SIZE));
	take_one(two, SIZE);
}

/* Nobody else waits for one that stands still. */
static void test_drops(void **state)
{
	hear_each_other();
	fill_ring();
	fake_time_advance(PATIENCE_MOST);
	assert_true(send_bytes(one, SIZE));
	assert_true(send_bytes(one, SIZE));
	assert_int_equal(two->in->shared->dropped, 2);
	take_one(two, SIZE);
	assert_true(send_bytes(one, SIZE)); /* that one has room */
	assert_int_equal(two->in->shared->dropped, 2);
	/* And has earned no more than itself. */
	assert_false(send_bytes(one, SIZE));
	fake_time_advance((uint64_t)PATIENCE_BYTE_NS * PATIENCE_BYTES_MIN);
	assert_true(send_bytes(one, SIZE));
	assert_int_equal(two->in->shared->dropped, 3);
}

static void test_broken_by_sender(void **state)
{
	struct nic_frame frame;

	hear_each_other();
	atomic_store(&two->in->shared->head, 12345);
	assert_int_equal(shortcut_peek(two, &frame), LANE_BROKEN);
	assert_true(two->gone);
	assert_false(shortcut_hear(two));
	assert_false(shortcut_hear(one));
}

static void test_broken_by_taker(void **state)
{
	hear_each_other();
	make(one, SIZE, 0);
	assert_true(shortcut_leads(one, bytes, CLAIMS_HEAD));
	atomic_store(&one->out->shared->tail, 12345);
	assert_true(send_bytes(one, SIZE));
	assert_true(one->gone);
	assert_false(shortcut_leads(one, bytes, CLAIMS_HEAD));
	assert_false(shortcut_hear(two));
}

static void test_ends(void **state)
{
	struct lane_shared *ring = two->in->shared;

	hear_each_other();
	assert_int_equal(ring->over, 0);
	shortcut_end(one);
	one = NULL;
	assert_int_equal(ring->over, 1);
	assert_int_equal(two->out->shared->over, 1);
	assert_false(shortcut_hear(two));
}

/* --- slept on together -------------------------------------------------------- */

static void test_inbox(void **state)
{
	struct inbox inbox = { 0 };
	struct host_watch news;
	bool wake;

	inbox_add(&inbox, one->in);
	inbox_add(&inbox, two->in);
	assert_false(inbox_more(&inbox));
	assert_false(inbox_watch(&inbox, &wake)); /* nobody sleeps */
	assert_false(wake);
	assert_false(inbox_sleep(&inbox));
	assert_true(inbox_watch(&inbox, &wake));
	news = inbox_news(&inbox);
	assert_int_equal(news.words, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(*news.word[i], news.value);
	inbox_awake(&inbox); /* the sleeper's, who is not asleep now */
	assert_int_equal(*news.word[1], news.value);

	assert_true(send_one(one, SIZE, 1));
	shortcut_flush(one);
	assert_int_equal(*news.word[0], news.value);
	assert_int_not_equal(*news.word[1], news.value);
	assert_true(inbox_more(&inbox));
	assert_false(inbox_watch_again(&inbox));
	assert_true(inbox_unwatch(&inbox)); /* the sleeper is to look */
	assert_true(inbox_sleep(&inbox));
	take_one(two, SIZE);
	assert_false(inbox_sleep(&inbox));

	/* One of them tells of news: the others are given back. */
	atomic_store(news.word[1], LANE_AWAKE);
	assert_false(inbox_watch(&inbox, &wake));
	assert_false(wake);
	assert_int_equal(*news.word[0], LANE_ASLEEP);
	inbox_hush(&inbox);
	assert_int_equal(*news.word[0], LANE_AWAKE);
	assert_true(inbox_watch_again(&inbox));
	assert_false(inbox_unwatch(&inbox));

	inbox_remove(&inbox, one->in);
	assert_int_equal(inbox_news(&inbox).words, 1);
	assert_ptr_equal(inbox_news(&inbox).word[0], &two->in->shared->asleep);
	inbox_remove(&inbox, one->in);
	assert_int_equal(inbox.count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_passes),	   TEST(test_begins),
		TEST(test_no_memory),	   TEST(test_refused),
		TEST(test_wakes),	   TEST(test_waits),
		TEST(test_drops),	   TEST(test_broken_by_sender),
		TEST(test_broken_by_taker), TEST(test_ends),
		TEST(test_inbox),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

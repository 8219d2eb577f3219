/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames over a stream socket, whose peer is played here: cut anywhere, of
 * sizes that cannot be, with a card that has no room, with a peer or a card that
 * goes and another that comes; taken by the net's thread and by a processor that is
 * halted now and then.
 */
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake/test.h"
#include "host/linux/thread.h"
#include "net/endpoint.h"
#include "net/net.h"

#define PREFIX	4u
#define COUNT	3000u /* frames of a test */
#define FEW	300u  /* that the stream has room for */
#define STREAM	(COUNT * 256)

/* The card, and what it saw. */
static struct nic nic;
static struct host_event interrupt; /* the processor's */
static _Atomic unsigned int received, wrong, downs, ups, agains;
static _Atomic unsigned int room; /* frames; then it has none */

static struct net_config config;
static struct net *net;
static char path[64];
static int peer; /* our end */
static uint8_t stream[STREAM];

/* --- frames --------------------------------------------------------------------- */

static uint32_t size_of(unsigned int number)
{
	return NIC_FRAME_MIN + number * 37 % 200;
}

static void fill(unsigned int number, uint8_t *frame)
{
	for (uint32_t i = 0; i < size_of(number); i++)
		frame[i] = (uint8_t)(number * 31 + i);
}

/* Frame `number` as it goes into the stream; its end. */
static uint8_t *put(uint8_t *at, unsigned int number)
{
	uint32_t size = size_of(number);

	for (unsigned int i = 0; i < PREFIX; i++)
		*at++ = (uint8_t)(size >> 8 * (PREFIX - 1 - i));
	fill(number, at);
	return at + size;
}

static void send_bytes(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size) {
		ssize_t n = send(peer, at, size, MSG_NOSIGNAL);

		assert_true(n > 0);
		at += n;
		size -= (size_t)n;
	}
}

static void await(const _Atomic unsigned int *count, unsigned int value)
{
	while (atomic_load(count) < value)
		sched_yield();
}

/* --- the card --------------------------------------------------------------------- */

static bool receive(struct nic *card, const struct nic_frame *frame)
{
	uint8_t expected[NIC_FRAME_MAX], data[NIC_FRAME_MAX];
	unsigned int number = atomic_load(&received);

	if (!atomic_load(&room))
		return false;
	nic_frame_read(frame, 0, data, frame->size);
	fill(number, expected);
	if (frame->size != size_of(number) ||
	    memcmp(data, expected, frame->size))
		atomic_fetch_add(&wrong, 1);
	atomic_fetch_sub(&room, 1);
	atomic_fetch_add(&received, 1);
	return true;
}

static void flush(struct nic *card)
{
	host_event_set(&interrupt);
}

static void again(struct nic *card)
{
	atomic_fetch_add(&agains, 1);
}

static void set_link(struct nic *card, bool up)
{
	atomic_fetch_add(up ? &ups : &downs, 1);
}

static void announce(struct nic *card)
{
}

static const struct nic_ops card_ops = {
	.receive = receive,
	.flush = flush,
	.again = again,
	.link = set_link,
	.announce = announce,
};

/* --- a processor ------------------------------------------------------------------- */

static _Atomic bool parted;

/* As an engine does (soft/run.c). */
static void halt_often(void *ctx)
{
	struct host_watch watch;

	while (!atomic_load(&parted)) {
		/* Often enough to be in the thread's way. */
		if (!net->idle->begin(net->idle, &watch))
			continue;
		while (!host_event_watch(&interrupt, &watch) &&
		       net->idle->work(net->idle))
			;
		net->idle->end(net->idle);
	}
}

static struct thread processor;

static void begin_processor(void)
{
	atomic_store(&parted, false);
	assert_int_equal(thread_start(&processor, "vcpu-0", halt_often, NULL),
			 0);
}

static void end_processor(void)
{
	atomic_store(&parted, true);
	host_event_set(&interrupt);
	thread_join(&processor);
}

/* --- the net ------------------------------------------------------------------------ */

static void call(void)
{
	unsigned int before = atomic_load(&ups);

	peer = endpoint_connect(path);
	assert_true(peer >= 0);
	await(&ups, before + 1);
}

static int setup(void **state)
{
	static struct net_word listen_word = { "listen", NULL };
	struct net_error error;

	snprintf(path, sizeof(path), "%s/lodge-test-%d", P_tmpdir, getpid());
	config = (struct net_config){
		.mode = net_mode_find("socket", 6),
		.subject = path,
		.word = { listen_word },
		.words = 1,
	};
	config.word[0].value = "";
	received = wrong = downs = ups = agains = 0;
	room = UINT32_MAX;
	interrupt = (struct host_event){ 0 };
	if (config.mode->open(&net, &config, &error))
		return -1;
	nic = (struct nic){ .ops = &card_ops };
	nic_connect(&nic, net);
	net->ops->start(net);
	call();
	return 0;
}

static int teardown(void **state)
{
	nic_part(&nic);
	net_close(net);
	close(peer);
	return 0;
}

/* --- to the card -------------------------------------------------------------------- */

/* Frames [from, to) in pieces of all sizes. */
static void send_cut(unsigned int from, unsigned int to)
{
	uint8_t *end = stream;
	size_t piece = 1;

	while (from < to)
		end = put(end, from++);
	for (uint8_t *at = stream; at < end; at += piece) {
		piece = piece % 701 + 1;
		if (piece > (size_t)(end - at))
			piece = (size_t)(end - at);
		send_bytes(at, piece);
	}
}

static void cut_anywhere(void **state)
{
	send_cut(0, COUNT);
	await(&received, COUNT);
	assert_int_equal(wrong, 0);
}

/* One frame, a byte at a time: nothing comes before its last. */
static void byte_by_byte(void **state)
{
	uint8_t *end = put(stream, 0);

	for (uint8_t *at = stream; at < end; at++) {
		assert_int_equal(received, 0);
		send_bytes(at, 1);
	}
	await(&received, 1);
	assert_int_equal(wrong, 0);
}

/* All come, in their order, whoever takes them. */
static void processor_takes(void **state)
{
	begin_processor();
	for (unsigned int i = 0; i < COUNT; i += 60) {
		send_cut(i, i + 60);
		await(&received, i + 60);
	}
	send_cut(COUNT, 2 * COUNT);
	await(&received, 2 * COUNT);
	end_processor();
	assert_int_equal(wrong, 0);
}

/* A question and an answer at a time, so that it looks before it sleeps. */
static void processor_looks(void **state)
{
	begin_processor();
	for (unsigned int i = 0; i < COUNT; i++) {
		send_bytes(stream, (size_t)(put(stream, i) - stream));
		await(&received, i + 1);
	}
	end_processor();
	assert_int_equal(wrong, 0);
}

static void no_room(void **state)
{
	for (unsigned int turn = 0; turn < 2; turn++) {
		const unsigned int first = turn * FEW;

		atomic_store(&room, 7);
		send_cut(first, first + FEW);
		for (unsigned int i = 7; i < FEW; i += 7) {
			await(&received, first + i);
			atomic_store(&room, 7);
			net->ops->room(net);
		}
		await(&received, first + FEW);
		if (!turn)
			begin_processor();
	}
	end_processor();
	assert_int_equal(wrong, 0);
}

/* --- a strange one ------------------------------------------------------------------- */

static void await_end(void)
{
	uint8_t byte;

	assert_true(recv(peer, &byte, 1, 0) <= 0);
	close(peer);
}

/* It is hung up on; and the next one's stream begins anew. */
static void impossible_sizes(void **state)
{
	static const uint8_t sizes[][PREFIX] = {
		{ 0xff, 0xff, 0xff, 0xff }, { 0, 1, 0, 0x12 },
		{ 0x80, 0, 0, 0 },
	};
	unsigned int count = 0;

	for (unsigned int turn = 0; turn < 2; turn++) {
		for (unsigned int i = 0; i < 3; i++, count++) {
			uint8_t *end = put(stream, count);

			memcpy(end, sizes[i], PREFIX);
			send_bytes(stream, (size_t)(end - stream) + PREFIX);
			await_end();
			await(&received, count + 1);
			call();
		}
		if (!turn)
			begin_processor();
	}
	end_processor();
	assert_int_equal(downs, count);
	assert_int_equal(wrong, 0);
}

/* Frames too short for Ethernet are none; the longest is one. */
static void short_ones(void **state)
{
	uint8_t *at = stream;

	for (unsigned int size = 0; size < NIC_FRAME_MIN; size++) {
		memset(at, 0, PREFIX + size);
		at[PREFIX - 1] = (uint8_t)size;
		at += PREFIX + size;
	}
	send_bytes(stream, (size_t)(put(at, 0) - stream));
	await(&received, 1);
	assert_int_equal(wrong, 0);

	memset(stream, 0, PREFIX + NIC_FRAME_MAX);
	memcpy(stream, (uint8_t[]){ 0, 1, 0, 0x11 }, PREFIX);
	send_bytes(stream, PREFIX + NIC_FRAME_MAX);
	await(&received, 2);
	assert_int_equal(downs, 0);
}

/* It goes in the middle of a frame; with a processor that sleeps on it too. */
static void gone_and_back(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		uint8_t *end = put(stream, i);

		if (i == 10)
			begin_processor();
		memset(end, 0, PREFIX + 3);
		end[PREFIX - 1] = 60;
		send_bytes(stream, (size_t)(end - stream) + PREFIX + 3);
		await(&received, i + 1);
		close(peer);
		await(&downs, i + 1);
		call();
	}
	end_processor();
	assert_int_equal(wrong, 0);
}

/* --- from the card -------------------------------------------------------------------- */

static bool send_frame(unsigned int number)
{
	uint8_t data[NIC_FRAME_MAX];
	const struct span span = { data, size_of(number) };
	const struct nic_frame frame = {
		.span = &span,
		.spans = 1,
		.size = size_of(number),
	};

	fill(number, data);
	return net->ops->send(net, 0, &frame);
}

/* Frames [from, to) are what comes. */
static void expect(unsigned int from, unsigned int to)
{
	static uint8_t came[PREFIX + NIC_FRAME_MAX];

	while (from < to) {
		size_t size = (size_t)(put(stream, from++) - stream);

		assert_int_equal(recv(peer, came, size, MSG_WAITALL), size);
		assert_memory_equal(came, stream, size);
	}
}

/* What it says no to it is asked to send again; nothing is lost. */
static void to_a_slow_peer(void **state)
{
	unsigned int sent = 0, read = 0;

	for (unsigned int turn = 0; turn < 3; turn++) {
		const unsigned int before = atomic_load(&agains);

		while (send_frame(sent))
			sent++;
		net->ops->flush(net, 0);
		for (; read < sent; read++)
			expect(read, read + 1);
		await(&agains, before + 1);
	}
	assert_true(sent > 3 * COUNT);
}

/* What waited for one peer is not for the next. */
static void not_to_the_next(void **state)
{
	unsigned int sent = 0;

	while (send_frame(sent))
		sent++;
	net->ops->flush(net, 0);
	close(peer);
	await(&downs, 1);
	await(&agains, 1);
	call();
	assert_true(send_frame(7));
	net->ops->flush(net, 0);
	expect(7, 8);
}

/* --- another card ---------------------------------------------------------------------- */

static void change_card(void)
{
	nic_part(&nic);
	nic = (struct nic){ .ops = &card_ops };
	nic_connect(&nic, net);
	net->ops->start(net);
}

/* The stream goes on where it was cut, both ways. */
static void another_card(void **state)
{
	uint8_t *end = put(stream, 0);
	unsigned int sent = 0;
	int unread = 1;

	send_bytes(stream, 9);
	while (unread) {
		assert_int_equal(ioctl(peer, SIOCOUTQ, &unread), 0);
		sched_yield();
	}
	change_card();
	send_bytes(stream + 9, (size_t)(end - stream) - 9);
	await(&received, 1);
	assert_int_equal(wrong, 0);

	while (send_frame(sent))
		sent++;
	net->ops->flush(net, 0);
	change_card();
	expect(0, sent);
	assert_int_equal(downs, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cut_anywhere),
		TEST(byte_by_byte),
		TEST(processor_takes),
		TEST(processor_looks),
		TEST(no_room),
		TEST(impossible_sizes),
		TEST(short_ones),
		TEST(gone_and_back),
		TEST(to_a_slow_peer),
		TEST(not_to_the_next),
		TEST(another_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

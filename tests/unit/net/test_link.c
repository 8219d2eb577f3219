/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link between a card and a backend, each of which can do all, some or
 * nothing of what the other leaves open; captures.
 */
#include "net/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/host.h"
#include "fake/test.h"
#include "fake_net.h"

#define PAYLOAD 4000u
#define SIZE	(54 + PAYLOAD)

/* A card that counts, and has room for some frames. */
struct fake_card {
	struct nic nic;
	unsigned int room, received, flushes, agains, links, announces;
	bool up;
	struct nic_frame last;
	uint8_t data[NIC_FRAME_MAX];
};

static struct fake_card card;
static struct fake_net backend;
static struct net *link_net;
static uint8_t frame[SIZE];
static struct span span = { frame, SIZE };

static bool receive(struct nic *nic, const struct nic_frame *f)
{
	struct fake_card *c = (struct fake_card *)nic;

	if (!c->room)
		return false;
	c->room--;
	c->received++;
	c->last = *f;
	nic_frame_read(f, 0, c->data, f->size);
	return true;
}

static void flush(struct nic *nic)
{
	((struct fake_card *)nic)->flushes++;
}

static void again(struct nic *nic)
{
	((struct fake_card *)nic)->agains++;
}

static void set_link(struct nic *nic, bool up)
{
	((struct fake_card *)nic)->links++;
	((struct fake_card *)nic)->up = up;
}

static void announce(struct nic *nic)
{
	((struct fake_card *)nic)->announces++;
}

static const struct nic_ops card_ops = {
	.receive = receive,
	.flush = flush,
	.again = again,
	.link = set_link,
	.announce = announce,
};

static void setup_with(unsigned int backend_can, unsigned int card_can,
		       struct capture *capture)
{
	static const uint8_t head[] = {
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0,
		10, 0, 2, 15, 10, 0, 2, 2,
		0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10,
	};

	memset(&card, 0, sizeof(card));
	card.nic.ops = &card_ops;
	card.room = 100;
	atomic_store(&card.nic.can, card_can);
	fake_net_init(&backend);
	backend.net.can = backend_can;
	link_net = net_link_create(&backend.net, capture);
	assert_non_null(link_net);
	assert_int_equal(link_net->can, NIC_CAN_ALL);
	nic_connect(&card.nic, link_net);
	memset(frame, 0x5a, sizeof(frame));
	memcpy(frame, head, sizeof(head));
	memset(frame + sizeof(head), 0, 6);
}

static void finish(void)
{
	nic_part(&card.nic);
	assert_int_equal(backend.parts, 1);
	assert_null(card.nic.net->nic);
	link_net->ops->close(link_net);
}

static struct nic_frame tcp(bool cut)
{
	return (struct nic_frame){
		.span = &span, .spans = 1, .size = SIZE,
		.sum = NIC_SUM_OPEN, .sum_start = 34, .sum_offset = 16,
		.cut = cut ? NIC_CUT_TCP4 : NIC_WHOLE,
		.header = 54, .segment = 1460,
	};
}

static bool send_frame(const struct nic_frame *f)
{
	return link_net->ops->send(link_net, 0, f);
}

static bool give(const struct nic_frame *f)
{
	return backend.net.nic->ops->receive(backend.net.nic, f);
}

/* Both can all: nothing is touched. */
static void untouched(void **state)
{
	const struct nic_frame f = tcp(true);

	setup_with(NIC_CAN_ALL, NIC_CAN_ALL, NULL);
	assert_true(send_frame(&f));
	assert_int_equal(backend.sent, 1);
	assert_int_equal(fake_net_last(&backend)->frame.cut, NIC_CUT_TCP4);
	assert_memory_equal(fake_net_last(&backend)->data, frame, SIZE);
	assert_true(give(&f));
	assert_int_equal(card.last.cut, NIC_CUT_TCP4);
	finish();
}

/* A backend that can nothing gets whole frames alone. */
static void plain_backend(void **state)
{
	struct nic_frame f = tcp(true);

	setup_with(0, NIC_CAN_ALL, NULL);
	assert_true(send_frame(&f));
	assert_int_equal(backend.sent, 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct nic_frame *got = &backend.frame[i].frame;

		assert_int_equal(nic_frame_needs(got), 0);
		assert_int_equal(got->size, 54 + (i < 2 ? 1460 : 1080));
	}
	f = tcp(false);
	assert_true(send_frame(&f));
	assert_int_equal(backend.sent, 4);
	assert_int_equal(fake_net_last(&backend)->frame.sum, NIC_SUM_GOOD);
	assert_memory_not_equal(fake_net_last(&backend)->data + 50, frame + 50,
				2);
	finish();
}

static void plain_card(void **state)
{
	struct nic_frame f = tcp(true);

	setup_with(NIC_CAN_ALL, 0, NULL);
	assert_true(give(&f));
	assert_int_equal(card.received, 3);
	assert_int_equal(nic_frame_needs(&card.last), 0);
	f = tcp(false);
	assert_true(give(&f));
	assert_int_equal(card.received, 4);
	/* As the card's driver changes its mind. */
	atomic_store(&card.nic.can, NIC_CAN_SUM);
	assert_true(give(&f));
	assert_int_equal(card.last.sum, NIC_SUM_OPEN);
	finish();
}

/* The first segment has no room: all of it later. Others: the rest is lost. */
static void no_room(void **state)
{
	struct nic_frame f = tcp(true);

	setup_with(0, 0, NULL);
	card.room = 0;
	assert_false(give(&f));
	card.room = 2;
	assert_true(give(&f));
	assert_int_equal(card.received, 2);
	backend.later = true;
	assert_false(send_frame(&f));
	finish();
}

static void not_tcp(void **state)
{
	struct nic_frame f = tcp(true);

	setup_with(0, 0, NULL);
	frame[13] = 6;
	assert_true(send_frame(&f)); /* dropped */
	assert_int_equal(backend.sent, 0);
	finish();
}

static void passes_calls(void **state)
{
	struct nic *nic;

	setup_with(0, 0, NULL);
	nic = backend.net.nic;
	link_net->ops->start(link_net);
	link_net->ops->stop(link_net);
	link_net->ops->room(link_net);
	link_net->ops->flush(link_net, 0);
	assert_true(backend.starts == 1 && backend.stops == 1 &&
		    backend.rooms == 1 && backend.flushes == 1);
	nic->ops->flush(nic);
	nic->ops->again(nic);
	nic->ops->announce(nic);
	nic->ops->link(nic, false);
	assert_true(card.flushes == 1 && card.agains == 1 &&
		    card.announces == 1 && card.links == 1 && !card.up);
	assert_false(link_net->link);
	finish();
}

/* --- captures ------------------------------------------------------------------- */

static void captures(void **state)
{
	char path[] = "/tmp/test-capture-XXXXXX";
	struct nic_frame f = tcp(true);
	struct capture *capture;
	struct net_error error;
	uint32_t word[6];
	FILE *file;

	close(mkstemp(path));
	fake_host_reset();
	assert_int_equal(capture_open(&capture, path, 0, &error), 0);
	setup_with(0, NIC_CAN_ALL, capture);
	assert_true(send_frame(&f));
	backend.later = true;
	assert_false(send_frame(&f)); /* it will come again */
	assert_true(give(&f));
	finish();
	file = fopen(path, "r");
	assert_int_equal(fread(word, 4, 6, file), 6);
	assert_int_equal(word[0], 0xa1b23c4d);
	assert_int_equal(word[1], 2 | 4 << 16);
	assert_int_equal(word[5], 1);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t data[SIZE];

		assert_int_equal(fread(word, 4, 4, file), 4);
		assert_int_equal(word[0], 946684800); /* 2000-01-01 */
		assert_int_equal(word[2], SIZE);
		assert_int_equal(word[3], SIZE);
		assert_int_equal(fread(data, 1, SIZE, file), SIZE);
		assert_memory_equal(data, frame, SIZE);
	}
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
	unlink(path);
}

/* In more pieces than a system call takes at once. */
static void captures_pieces(void **state)
{
	char path[] = "/tmp/test-capture-XXXXXX";
	struct span many[200];
	struct nic_frame f = { .span = many, .spans = 200, .size = 2000 };
	struct capture *capture;
	struct net_error error;
	uint8_t data[2000];
	FILE *file;

	close(mkstemp(path));
	assert_int_equal(capture_open(&capture, path, 0, &error), 0);
	for (unsigned int i = 0; i < 200; i++)
		many[i] = (struct span){ frame + 10 * i, 10 };
	capture_frame(capture, &f);
	capture_close(capture);
	file = fopen(path, "r");
	fseek(file, 24 + 16, SEEK_SET);
	assert_int_equal(fread(data, 1, 2000, file), 2000);
	assert_memory_equal(data, frame, 2000);
	fclose(file);
	unlink(path);
}

static void full_disk(void **state)
{
	struct capture *capture;
	struct net_error error;

	assert_int_equal(capture_open(&capture, "/nowhere/x", 0, &error), -1);
	assert_non_null(strstr(error.text, "pcap=/nowhere/x: No such file"));
	/* Already its header does not fit. */
	assert_int_equal(capture_open(&capture, "/dev/full", 0, &error), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(untouched),
		cmocka_unit_test(plain_backend),
		cmocka_unit_test(plain_card),
		cmocka_unit_test(no_room),
		cmocka_unit_test(not_tcp),
		cmocka_unit_test(passes_calls),
		cmocka_unit_test(captures),
		cmocka_unit_test(captures_pieces),
		cmocka_unit_test(full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules kept by a switch: what passes, answers, names, changes while flows are
 * there. Frames go through the whole switch.
 */
#include <string.h>

#include "core_rig.h"
#include "net/switch/packet.h"

#define TCP	6
#define UDP	17
#define ICMP	1
#define OUTSIDE 0x08080808u
#define NAMED	0x09090909u

static unsigned int got[3]; /* 0: the network's own port */
static unsigned int port[3];
static uint64_t now;

static bool give(void *ctx, const struct core_frame *frame)
{
	(*(unsigned int *)ctx)++;
	return true;
}

static uint32_t own(unsigned int n)
{
	return core->port[port[n]].lease;
}

static int setup(void **state)
{
	const char *const more[] = { "subnet", "fd00:1::/64", NULL };

	core_rig_build(more, give, &got[0]);
	now = 1000;
	port[1] = core_rig_plug(1, "one", give, &got[1]);
	port[2] = core_rig_plug(2, "two", give, &got[2]);
	return 0;
}

/* Of machine "one", from now on. */
static void rules(const char *const *text, unsigned int count)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(list, json_string(text[i]));
	filter_set(core, json_pack("{so}", "one", list));
}

#define RULES(...)                                            \
	rules((const char *const[]){ __VA_ARGS__ },           \
	      sizeof((const char *const[]){ __VA_ARGS__ }) / \
		      sizeof(const char *))

/* A packet between two ports, to the receiver's MAC; whether it arrived. */
static bool passes_frame(unsigned int from, unsigned int to, uint8_t *frame,
			 uint32_t size)
{
	const struct core_frame f = { .nic = { .size = size },
				      .head = frame,
				      .head_size = size };
	unsigned int before = got[to];

	mac_of(frame, to);
	mac_of(frame + NIC_MAC, from);
	/* Where the other is has to be known, else all get it. */
	table_learn(&core->table, frame, to ? port[to] : CORE_OWN, now);
	core_input(core, from ? port[from] : CORE_OWN, &f, now);
	return got[to] > before;
}

static bool passes(unsigned int from, unsigned int to, uint8_t protocol,
		   uint32_t source, uint16_t source_port, uint32_t target,
		   uint16_t target_port)
{
	uint8_t frame[128] = { 0 }, *ip = frame + PACKET_ETHERNET;

	packet_put16(frame + 12, PACKET_TYPE_IP4);
	ip[0] = 0x45;
	packet_put16(ip + IP4_LENGTH, 60);
	ip[IP4_PROTOCOL] = protocol;
	packet_put32(ip + IP4_SOURCE, source);
	packet_put32(ip + IP4_TARGET, target);
	packet_put16(ip + PACKET_IP4, protocol == ICMP ? 0x0800 : source_port);
	packet_put16(ip + PACKET_IP4 + 2, target_port);
	return passes_frame(from, to, frame, 74);
}

/* From machine one to the outside, and from there. */
static bool out(uint8_t protocol, uint16_t source, uint32_t to,
		uint16_t target)
{
	return passes(1, 0, protocol, own(1), source, to, target);
}

static bool in(uint8_t protocol, uint32_t from, uint16_t source,
	       uint16_t target)
{
	return passes(0, 1, protocol, from, source, own(1), target);
}

static uint64_t ruled(bool is_in)
{
	return core->port[port[1]].ruled[is_in];
}

static void test_none(void **state)
{
	assert_true(out(TCP, 1000, OUTSIDE, 80));
	assert_true(in(UDP, OUTSIDE, 5, 6));
	/* Another's rules are not this one's. */
	filter_set(core, json_pack("{s[s]}", "two", "out deny"));
	assert_true(out(TCP, 1000, OUTSIDE, 80));
	assert_int_equal(ruled(false) + ruled(true), 0);
}

static void test_out(void **state)
{
	RULES("out allow tcp 8.8.8.0/24 80-443");
	assert_true(out(TCP, 1000, OUTSIDE, 80));
	assert_true(out(TCP, 1000, OUTSIDE, 443));
	assert_false(out(TCP, 1000, OUTSIDE, 444));
	assert_false(out(UDP, 1000, OUTSIDE, 80));
	assert_false(out(TCP, 1000, OUTSIDE + 256, 80));
	assert_false(out(ICMP, 0, OUTSIDE, 0));
	assert_int_equal(ruled(false), 4);
	/* A direction without rules is open, and its flows are answered. */
	assert_true(in(UDP, OUTSIDE, 7, 8));
	assert_true(out(UDP, 8, OUTSIDE, 7));
	assert_false(out(UDP, 8, OUTSIDE, 9));
}

static void test_in(void **state)
{
	RULES("in deny tcp 8.8.8.8", "in allow tcp any 22", "out deny");
	assert_false(in(TCP, OUTSIDE, 1000, 22));
	assert_true(in(TCP, OUTSIDE + 1, 1000, 22));
	assert_false(in(TCP, OUTSIDE + 1, 1000, 23));
	assert_false(in(UDP, OUTSIDE + 1, 1000, 22));
	assert_int_equal(ruled(true), 3);
	/* Answers pass, what is none does not; in time it is forgotten. */
	assert_true(out(TCP, 22, OUTSIDE + 1, 1000));
	assert_false(out(TCP, 22, OUTSIDE + 1, 1001));
	now += FILTER_TIME;
	assert_true(out(TCP, 22, OUTSIDE + 1, 1000));
	now += FILTER_TIME + 1;
	assert_false(out(TCP, 22, OUTSIDE + 1, 1000));
}

static void test_icmp(void **state)
{
	RULES("out allow icmp any", "in deny");
	assert_true(out(ICMP, 0, OUTSIDE, 0));
	assert_true(in(ICMP, OUTSIDE, 0, 0));
	assert_false(in(ICMP, OUTSIDE + 1, 0, 0));
}

/* Between machines: each one's own rules, and their names. */
static void test_machines(void **state)
{
	RULES("out allow tcp two 80", "out allow udp two.internal 53");
	assert_true(passes(1, 2, TCP, own(1), 1, own(2), 80));
	assert_true(passes(2, 1, TCP, own(2), 80, own(1), 1));
	assert_true(passes(1, 2, UDP, own(1), 1, own(2), 53));
	assert_false(passes(1, 2, TCP, own(1), 1, own(2), 81));
	assert_false(out(TCP, 1, OUTSIDE, 80));
	filter_set(core, json_pack("{s[s]s[s]}", "one", "out allow", "two",
				   "in allow tcp one 81"));
	assert_false(passes(1, 2, TCP, own(1), 2, own(2), 80));
	assert_true(passes(1, 2, TCP, own(1), 2, own(2), 81));
	assert_int_equal(core->port[port[2]].ruled[1], 1);
}

/* What a machine needs to be on the network. */
static void test_services(void **state)
{
	uint8_t frame[128] = { 0 };
	static const uint8_t kind[] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	RULES("out deny", "in deny");
	assert_true(out(TCP, 1000, network_names4(&network), 53));
	assert_true(in(UDP, network_names4(&network), 53, 1000));
	assert_false(in(UDP, OUTSIDE, 53, 1000));
	assert_false(out(UDP, 1000, OUTSIDE, 53));
	packet_put16(frame + 12, PACKET_TYPE_ARP);
	memcpy(frame + PACKET_ETHERNET, kind, sizeof(kind));
	mac_of(frame + PACKET_ETHERNET + ARP_SENDER_MAC, 1);
	packet_put32(frame + PACKET_ETHERNET + ARP_SENDER, own(1));
	assert_true(passes_frame(1, 2, frame, 42));
}

static void test_fragments(void **state)
{
	uint8_t frame[128] = { 0 }, *ip = frame + PACKET_ETHERNET;

	RULES("in allow tcp any 80");
	packet_put16(frame + 12, PACKET_TYPE_IP4);
	ip[0] = 0x45;
	ip[IP4_PROTOCOL] = TCP;
	packet_put32(ip + IP4_SOURCE, OUTSIDE);
	packet_put32(ip + IP4_TARGET, own(1));
	/* A first one without ports, and the rest of one. */
	packet_put16(ip + IP4_FRAGMENT, 0x2000);
	assert_false(passes_frame(0, 1, frame, 36));
	packet_put16(ip + IP4_FRAGMENT, 0x2001);
	assert_true(passes_frame(0, 1, frame, 60));
}

/* "answer.example.org" with a CNAME and an address behind it. */
static uint32_t put_answer(uint8_t *at, uint32_t address)
{
	static const uint8_t answer[] = {
		0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0,
		6, 'a', 'n', 's', 'w', 'e', 'r', 7, 'e', 'x', 'a', 'm', 'p',
		'l', 'e', 3, 'o', 'r', 'g', 0, 0, 1, 0, 1,
		0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, 'b', 0xc0, 19,
		1, 'b', 0xc0, 19, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4,
	};

	memcpy(at, answer, sizeof(answer));
	packet_put32(at + sizeof(answer), address);
	return sizeof(answer) + 4;
}

static void hear_answer(uint32_t from, uint32_t address)
{
	uint8_t frame[256] = { 0 }, *ip = frame + PACKET_ETHERNET;
	uint8_t *udp = ip + PACKET_IP4;
	uint32_t size = put_answer(udp + PACKET_UDP, address) + PACKET_UDP;

	packet_put16(frame + 12, PACKET_TYPE_IP4);
	ip[0] = 0x45;
	ip[IP4_PROTOCOL] = UDP;
	packet_put32(ip + IP4_SOURCE, from);
	packet_put32(ip + IP4_TARGET, own(2));
	packet_put16(udp, 53);
	packet_put16(udp + UDP_LENGTH, size);
	passes_frame(0, 2, frame, PACKET_ETHERNET + PACKET_IP4 + size);
}

static void test_names(void **state)
{
	RULES("out allow tcp example.org 80");
	assert_false(out(TCP, 1, NAMED, 80));
	/* Nobody else's answer counts. */
	hear_answer(OUTSIDE, NAMED);
	assert_false(out(TCP, 1, NAMED, 80));
	hear_answer(network_names4(&network), NAMED);
	assert_true(out(TCP, 1, NAMED, 80));
	assert_false(out(TCP, 1, NAMED, 81));
	RULES("out allow tcp nswer.example.org", "out allow tcp answer.example");
	assert_false(out(TCP, 2, NAMED, 80));
	RULES("out allow tcp answer.example.org");
	hear_answer(network_names4(&network), NAMED);
	assert_true(out(TCP, 3, NAMED, 80));
	/* A flood of addresses drives the first ones out, and no more. */
	for (unsigned int i = 1; i <= FILTER_ADDRESSES; i++)
		hear_answer(network_names4(&network), NAMED + i);
	assert_true(out(TCP, 4, NAMED + FILTER_ADDRESSES, 80));
	assert_false(out(TCP, 5, NAMED, 80));
	assert_true(out(TCP, 3, NAMED, 80)); /* its flow is known */
}

/* What is no rule closes; a machine that comes later has its rules. */
static void test_changes(void **state)
{
	uint8_t mac[NIC_MAC];
	const struct core_card card = { .mac = mac, .machine = "one",
					.give = give, .ctx = &got[1] };

	assert_true(out(TCP, 1, OUTSIDE, 80));
	RULES("out allow tcp any 80");
	assert_true(out(TCP, 1, OUTSIDE, 80));
	RULES("out allow tcp any 81");
	assert_true(out(TCP, 1, OUTSIDE, 80)); /* a flow that is there */
	assert_false(out(TCP, 2, OUTSIDE, 80));
	RULES("out allwo");
	assert_false(out(TCP, 2, OUTSIDE, 81));
	assert_false(in(TCP, OUTSIDE, 1, 2));
	mac_of(mac, 1);
	core_unplug(core, port[1]);
	port[1] = (unsigned int)core_plug(core, &card);
	assert_false(out(TCP, 2, OUTSIDE, 81));
	filter_set(core, json_object());
	assert_true(out(TCP, 2, OUTSIDE, 81));
}

/* More flows than there is room for: new ones are kept, rested ones go. */
static void test_many(void **state)
{
	unsigned int kept = 0;

	RULES("out allow tcp any 80", "in deny");
	for (unsigned int i = 0; i < 4 * FILTER_FLOWS; i++) {
		now++;
		assert_true(out(TCP, (uint16_t)(i + 1), OUTSIDE + (i >> 14),
				80));
		assert_true(in(TCP, OUTSIDE + (i >> 14), 80,
			       (uint16_t)(i + 1)));
	}
	for (unsigned int i = 0; i < 4 * FILTER_FLOWS; i++)
		kept += in(TCP, OUTSIDE + (i >> 14), 80, (uint16_t)(i + 1));
	assert_in_range(kept, FILTER_FLOWS / 2, FILTER_FLOWS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_none, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_out, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_in, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_icmp, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_machines, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_services, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_fragments, setup,
						core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, core_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

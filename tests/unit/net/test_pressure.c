/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch whose ports have no room at times: who waits for whom, and how
 * long at most. Time is the test's.
 */
#include <string.h>

#include "core_rig.h"
#include "net/switch/packet.h"

#define PORTS 4u
#define SIZE  1400u

static unsigned int port[PORTS], got[PORTS]; /* 0: the network's own */
static bool full[PORTS];

static bool give(void *ctx, const struct core_frame *frame)
{
	unsigned int n = (unsigned int)((unsigned int *)ctx - got);

	got[n] += !full[n];
	return !full[n];
}

static int setup(void **state)
{
	core_rig_build((const char *const[]){ NULL }, give, &got[0]);
	memset(got, 0, sizeof(got));
	memset(full, 0, sizeof(full));
	for (unsigned int i = 1; i < PORTS; i++) {
		uint8_t mac[NIC_MAC];

		port[i] = core_rig_plug(i, "one", give, &got[i]);
		mac_of(mac, i);
		table_learn(&core->table, mac, port[i], 1000);
	}
	return 0;
}

static uint8_t bytes[SIZE];

/* Of IPv4; `to` of PORTS: for all. */
static struct core_frame make(unsigned int from, unsigned int to,
			      uint32_t size)
{
	memset(bytes, 0, sizeof(bytes));
	if (to == PORTS)
		memset(bytes, 255, NIC_MAC);
	else
		mac_of(bytes, to);
	mac_of(bytes + NIC_MAC, from);
	packet_put16(bytes + 12, PACKET_TYPE_IP4);
	bytes[14] = 0x45;
	packet_put32(bytes + 14 + IP4_SOURCE, core->port[port[from]].lease);
	return (struct core_frame){ .nic = { .size = size },
				    .head = bytes,
				    .head_size = size < GUARD_HEAD ?
							 size : GUARD_HEAD,
				    .rest = bytes + GUARD_HEAD };
}

static unsigned int input(unsigned int from, unsigned int to)
{
	const struct core_frame f = make(from, to, SIZE);

	return core_input(core, from ? port[from] : CORE_OWN, &f, 1000);
}

static unsigned int again(unsigned int to, uint64_t waited)
{
	const struct core_frame f = make(1, to, SIZE);

	return core_again(core, port[to], &f, waited);
}

static unsigned int dropped(unsigned int n)
{
	return (unsigned int)core->port[port[n]].dropped;
}

/* By frames that it takes, to the most. */
static void earn(unsigned int n)
{
	for (unsigned int i = 0; i < PATIENCE_MOST / PATIENCE_BYTE_NS / SIZE + 1;
	     i++)
		assert_int_equal(input(1, n), 0);
	assert_int_equal(core->port[port[n]].patience.ns, PATIENCE_MOST);
}

static void test_waits(void **state)
{
	unsigned int before;

	earn(2);
	before = got[2];
	full[2] = true;
	assert_int_equal(input(1, 2), port[2]);
	assert_int_equal(again(2, 1000), port[2]);
	full[2] = false;
	assert_int_equal(again(2, 1000), 0);
	assert_int_equal(got[2], before + 1);
	assert_int_equal(dropped(2), 0);
	/* It was counted once. */
	assert_int_equal(core->port[port[1]].sent.frames, before + 1);
}

/* One that never took a frame is waited for not at all. */
static void test_stands_still(void **state)
{
	full[2] = true;
	assert_int_equal(input(1, 2), 0);
	assert_int_equal(dropped(2), 1);
	full[2] = false;
	earn(2);
	full[2] = true;
	assert_int_equal(input(1, 2), port[2]);
	assert_int_equal(again(2, PATIENCE_MOST - 1), port[2]);
	assert_int_equal(again(2, 1), 0);
	assert_int_equal(dropped(2), 2);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(input(1, 2), 0);
	assert_int_equal(dropped(2), 102);
}

/*
 * One that takes a frame whenever patience with it is at its end: it holds up
 * a sender no longer than a link of PATIENCE_BYTE_NS a byte would.
 */
static void test_takes_little(void **state)
{
	uint64_t waited = 0;
	unsigned int taken = 0;

	earn(2);
	for (unsigned int i = 0; i < 1000; i++) {
		full[2] = true;
		if (input(1, 2)) {
			uint64_t most = core->port[port[2]].patience.ns;

			waited += most;
			assert_int_equal(again(2, most), 0);
		}
		full[2] = false;
		assert_int_equal(input(1, 2), 0);
		taken++;
	}
	assert_true(waited <= PATIENCE_MOST +
				      (uint64_t)taken * SIZE * PATIENCE_BYTE_NS);
	/* And a small frame counts for little more. */
	full[2] = true;
	while (input(1, 2))
		again(2, UINT64_MAX);
	full[2] = false;
	{
		const struct core_frame f = make(1, 2, 64);

		assert_int_equal(core_input(core, port[1], &f, 1000), 0);
	}
	assert_int_equal(core->port[port[2]].patience.ns,
			 PATIENCE_BYTES_MIN * PATIENCE_BYTE_NS);
}

/* What is for all, from the network itself or to it, does not wait. */
static void test_others(void **state)
{
	earn(2);
	full[2] = full[0] = true;
	assert_int_equal(input(1, PORTS), 0);
	assert_true(got[3] > 0);
	assert_int_equal(dropped(2), 1);
	{
		struct core_frame f = make(1, 2, SIZE);

		assert_int_equal(core_input(core, CORE_OWN, &f, 1000), 0);
	}
	assert_int_equal(dropped(2), 2);
	/* Another pair is not concerned. */
	assert_int_equal(input(1, 3), 0);
	assert_int_equal(input(3, 1), 0);
	assert_int_equal(dropped(1) + dropped(3), 0);
}

/* A port that comes after one that had earned much begins anew. */
static void test_plugged_again(void **state)
{
	uint8_t mac[NIC_MAC];
	struct core_card card = { .mac = mac, .machine = "one",
				  .give = give, .ctx = &got[2] };

	earn(2);
	core_unplug(core, port[2]);
	mac_of(mac, 2);
	assert_int_equal(core_plug(core, &card), port[2]);
	assert_int_equal(core->port[port[2]].patience.ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_stands_still, setup,
						core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_takes_little, setup,
						core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, core_rig_teardown),
		cmocka_unit_test_setup_teardown(test_plugged_again, setup,
						core_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

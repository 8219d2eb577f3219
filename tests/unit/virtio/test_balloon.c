/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory balloon: pages by number and by report, hostile numbers,
 * statistics, poison, resets, saved state.
 */
#include "virtio/balloon.h"

#include "driver.h"

#define INFLATE 0
#define DEFLATE 1
#define STATS	2
#define HINTS	3
#define REPORTS 4
#define QUEUES	5
#define SIZE	8

#define F_STATS	    VIRTIO_F(1)
#define F_OOM	    VIRTIO_F(2)
#define F_HINTS	    VIRTIO_F(3)
#define F_POISON    VIRTIO_F(4)
#define F_REPORTING VIRTIO_F(5)
#define F_ALL	    (F_STATS | F_OOM | F_HINTS | F_REPORTING)
#define PACKED	    VIRTIO_F_RING_PACKED

#define LIST  DRIVER_DATA	      /* of page numbers */
#define PAGES (DRIVER_DATA + 0x10000) /* that the guest gives away */

static struct pci_rig rig;
static struct virtio_balloon *balloon;
static struct driver driver;
static unsigned int came;

static int setup(void **state)
{
	static struct virtio_balloon own;

	balloon = &own;
	came = 0;
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_balloon_init(balloon, &rig.rig.vm), 0);
	assert_int_equal(pci_attach(&rig.host.root, &balloon->pci.pci,
				    DRIVER_DEVFN), 0);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static void start(uint64_t features)
{
	uint8_t ones[0x8000];

	driver_start(&driver, &rig, features, QUEUES, SIZE);
	memset(ones, 1, sizeof(ones));
	driver_poke(&driver, PAGES, ones, sizeof(ones));
	rig.sent_count = 0;
}

static void offer(unsigned int queue, uint64_t addr, uint32_t size, bool write)
{
	const struct driver_desc desc = { addr, size,
					  write ? VIRTQ_WRITE : 0 };

	driver_offer(&driver, queue, &desc, 1);
	driver_notify(&driver, queue);
}

static bool taken(unsigned int queue)
{
	uint32_t written;
	uint16_t id;
	bool got = driver_take(&driver, queue, &id, &written);

	if (got)
		assert_int_equal(written, 0);
	return got;
}

static void give(unsigned int queue, const uint32_t *page, unsigned int count)
{
	driver_poke(&driver, LIST, page, count * sizeof(*page));
	offer(queue, LIST, count * (uint32_t)sizeof(*page), false);
	assert_true(taken(queue));
}

/* Whether the page PAGES + n * 4096 was given back. */
static bool gone(unsigned int n)
{
	uint8_t bytes[4096], first;

	driver_peek(&driver, PAGES + 4096 * n, bytes, sizeof(bytes));
	first = bytes[0];
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], first);
	return !first;
}

static uint32_t number(unsigned int n)
{
	return PAGES / 4096 + n;
}

static void configuration(void **state)
{
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x10451af4);
	start(F_ALL);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4) &
				 0x3f, 0x3e);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUES, 2), QUEUES);
	for (unsigned int at = 0; at < 16; at += 4)
		assert_int_equal(driver_config(&driver, at, 4), 0);
	/* `actual` and `poison_val` are for writing, the others are not. */
	for (unsigned int at = 0; at < 16; at += 4)
		bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + at, 4,
			  0x11223344);
	assert_int_equal(driver_config(&driver, 0, 4), 0);
	assert_int_equal(driver_config(&driver, 4, 4), 0x11223344);
	assert_int_equal(driver_config(&driver, 8, 4), 0);
	assert_int_equal(driver_config(&driver, 12, 4), 0x11223344);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 6, 1, 0x55);
	assert_int_equal(driver_config(&driver, 4, 4), 0x11553344);
}

static void inflates_with(uint64_t features)
{
	const uint32_t pages[] = { number(5), number(1), number(2), number(2),
				   number(6) };
	const uint32_t back[] = { number(1) };

	start(features);
	give(INFLATE, pages, 5);
	for (unsigned int n = 0; n < 8; n++)
		assert_int_equal(gone(n),
				 n == 1 || n == 2 || n == 5 || n == 6);
	assert_int_equal(fake_discarded(), 4 * 4096);
	/* Deflated or not, they can be used. */
	give(DEFLATE, back, 1);
	driver_poke16(&driver, PAGES + 4096, 0x0707);
	assert_int_equal(driver_peek16(&driver, PAGES + 4096), 0x0707);
	assert_int_equal(fake_discarded(), 4 * 4096);
}

static void inflates(void **state)
{
	inflates_with(0);
	teardown(state);
	setup(state);
	inflates_with(F_ALL | PACKED);
}

/* A list of more than are looked at together, in pieces of odd sizes. */
static void long_lists(void **state)
{
	uint32_t page[600];

	start(0);
	for (unsigned int i = 0; i < 600; i++)
		page[i] = number(7 - i % 8);
	page[599] = 0xfffffff0;
	driver_poke(&driver, LIST, page, sizeof(page));
	driver_offer(&driver, INFLATE,
		     (const struct driver_desc[]){
			     { LIST, 3, 0 },
			     { LIST + 3, 1022, 0 },
			     { LIST + 1025, sizeof(page) - 1025, 0 },
		     },
		     3);
	driver_notify(&driver, INFLATE);
	assert_true(taken(INFLATE));
	for (unsigned int n = 0; n < 8; n++)
		assert_true(gone(n));
	assert_int_equal(fake_discarded(), 3 * 8 * 4096);
}

static void hostile_numbers(void **state)
{
	const uint32_t pages[] = { 0xffffffff, 0, 0x100, 0x80000000, 0xa0,
				   0xfffff, 0xfee00 };
	uint8_t byte = 9;

	start(0);
	driver_poke(&driver, 0, &byte, 1);
	give(INFLATE, pages, 7);
	/* Page 0 and 0xa0 are memory on this bench, the rest is nothing. */
	assert_int_equal(fake_discarded(), 2 * 4096);
	assert_int_equal(driver_peek16(&driver, 0), 0);
	/* An odd end is no number; nothing at all is none either. */
	driver_poke(&driver, LIST, (uint32_t[]){ number(0), number(1) }, 8);
	offer(INFLATE, LIST, 7, false);
	assert_true(taken(INFLATE));
	assert_true(gone(0));
	assert_false(gone(1));
	offer(INFLATE, LIST, 0, false);
	assert_true(taken(INFLATE));
	offer(INFLATE, LIST, 64, true);
	assert_true(taken(INFLATE));
	assert_int_equal(fake_discarded(), 3 * 4096);
	assert_int_equal(driver_status(&driver), 0x0f);
}

/* Without room on the host's side the guest goes on. */
static void host_refuses(void **state)
{
	const uint32_t page = number(1);

	start(0);
	fake_fail_ram(1);
	give(INFLATE, &page, 1);
	assert_false(gone(1));
	assert_int_equal(driver_status(&driver), 0x0f);
}

static void target(void **state)
{
	struct virtio_balloon_info info;

	virtio_balloon_set_target(balloon, 0x12345000);
	start(F_ALL);
	assert_int_equal(driver_config(&driver, 0, 4), 0x12345);
	virtio_balloon_set_target(balloon, 0x7000);
	assert_int_equal(rig.sent_count, 1); /* of the change */
	assert_int_equal(driver_config(&driver, 0, 4), 7);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 4, 4, 5);
	virtio_balloon_get(balloon, &info);
	assert_true(info.driver);
	assert_int_equal(info.target, 0x7000);
	assert_int_equal(info.actual, 0x5000);
	/* A new driver starts without a balloon, and with the target. */
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	virtio_balloon_get(balloon, &info);
	assert_false(info.driver);
	assert_int_equal(info.target, 0x7000);
	assert_int_equal(info.actual, 0);
}

/* --- reports ---------------------------------------------------------------- */

static void report(void)
{
	const struct driver_desc pieces[] = {
		{ PAGES + 0x1000, 0x2000, VIRTQ_WRITE },
		{ PAGES + 0x4800, 0x1800, VIRTQ_WRITE }, /* a page and a half */
	};

	driver_offer(&driver, REPORTS, pieces, 2);
	driver_offer(&driver, REPORTS,
		     &(struct driver_desc){ PAGES + 0x7000, 0x1000,
					    VIRTQ_WRITE }, 1);
	driver_notify(&driver, REPORTS);
	assert_true(taken(REPORTS));
	assert_true(taken(REPORTS));
	assert_false(taken(REPORTS));
}

static void expect_reported(bool away)
{
	static const bool whole[8] = { [1] = true, [2] = true, [5] = true,
				       [7] = true };

	for (unsigned int n = 0; n < 8; n++)
		if (n != 4)
			assert_int_equal(gone(n), away && whole[n]);
	assert_int_equal(fake_discarded(), away ? 4 * 4096 : 0);
}

static void reports(void **state)
{
	start(F_ALL);
	report();
	expect_reported(true);
	teardown(state);
	setup(state);
	start(F_ALL | PACKED);
	report();
	expect_reported(true);
}

/* 5.5.6.7.2: pages that hold a value keep it, unless that is zero. */
static void poison(void **state)
{
	driver_probe(&driver, &rig);
	start(F_ALL | F_POISON);
	report();
	expect_reported(true);

	teardown(state);
	setup(state);
	start(F_ALL | F_POISON);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 12, 4,
		  0xaaaaaaaa);
	report();
	expect_reported(false);
	/* The balloon's pages are written to anyway. */
	give(INFLATE, (uint32_t[]){ number(3) }, 1);
	assert_true(gone(3));
}

/* The field has a meaning with the feature alone. */
static void poison_not_agreed(void **state)
{
	start(F_ALL);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 12, 4, 1);
	report();
	expect_reported(true);
}

/* 5.5.2: queues of features that were not taken are none. */
static void no_such_queue(void **state)
{
	start(0);
	offer(REPORTS, PAGES, 0x1000, true);
	assert_false(taken(REPORTS));
	offer(HINTS, PAGES, 0x1000, true);
	assert_false(taken(HINTS));
	offer(STATS, LIST, 10, false);
	assert_false(taken(STATS));
	assert_false(virtio_balloon_ask(balloon));
	assert_int_equal(fake_discarded(), 0);
}

/* 5.5.6.5.2: nothing was asked for, so nothing is touched. */
static void hints(void **state)
{
	start(F_ALL);
	assert_int_equal(driver_config(&driver, 8, 4), 0);
	driver_poke(&driver, LIST, (uint32_t[]){ 0 }, 4);
	offer(HINTS, LIST, 4, false);
	assert_true(taken(HINTS));
	offer(HINTS, PAGES, 0x2000, true);
	assert_true(taken(HINTS));
	assert_false(gone(0));
	assert_int_equal(fake_discarded(), 0);
}

/* --- statistics --------------------------------------------------------------- */

static void stats_came(void *ctx)
{
	assert_ptr_equal(ctx, &came);
	came++;
}

static void put_stat(unsigned int index, uint16_t tag, uint64_t value)
{
	driver_poke16(&driver, LIST + 10 * index, tag);
	driver_poke(&driver, LIST + 10 * index + 2, &value, 8);
}

static void statistics_with(uint64_t features)
{
	struct virtio_balloon_info info;

	virtio_balloon_on_stats(balloon, stats_came, &came);
	assert_false(virtio_balloon_ask(balloon));
	start(features);
	put_stat(0, 5, 1000);
	offer(STATS, LIST, 10, false);
	assert_false(taken(STATS));
	assert_int_equal(came, 0); /* nobody asked */

	for (unsigned int n = 1; n <= 3 * SIZE; n++) {
		assert_true(virtio_balloon_ask(balloon));
		assert_true(virtio_balloon_ask(balloon));
		fake_work_run();
		assert_true(taken(STATS));
		assert_false(taken(STATS));
		assert_true(virtio_balloon_ask(balloon)); /* on their way */
		fake_work_run();
		virtio_balloon_get(balloon, &info);
		assert_true(info.stats_asked);
		/* In any order, with some that nobody knows. */
		put_stat(0, 900, 4);
		put_stat(1, 9, n);
		put_stat(2, 0, UINT64_MAX);
		put_stat(3, 4, 77);
		put_stat(4, 10, 5);
		rig_run(&rig.rig, 1000);
		offer(STATS, LIST, 53, false);
		assert_int_equal(came, n);
		virtio_balloon_get(balloon, &info);
		assert_false(info.stats_asked);
		assert_int_equal(info.stats.known, 1 | 1 << 4 | 1 << 9);
		assert_int_equal(info.stats.value[9], n);
		assert_int_equal(info.stats.value[0], UINT64_MAX);
		assert_int_equal(info.stats.value[4], 77);
		assert_int_equal(info.stats.at, clock_now(&rig.rig.vm.clock));
	}
}

static void statistics(void **state)
{
	statistics_with(F_ALL);
	teardown(state);
	setup(state);
	statistics_with(F_ALL | PACKED | VIRTIO_F_EVENT_IDX);
}

/* Asked before the driver has given its first buffer. */
static void early_question(void **state)
{
	start(F_ALL);
	virtio_balloon_on_stats(balloon, stats_came, &came);
	assert_true(virtio_balloon_ask(balloon));
	fake_work_run();
	offer(STATS, LIST, 10, false);
	assert_true(taken(STATS));
	put_stat(0, 5, 1000);
	offer(STATS, LIST, 10, false);
	assert_int_equal(came, 1);
}

/* --- reset and saved state ---------------------------------------------------- */

/* The buffer that stays with us is no reason to wait. */
static void driver_reset(void **state)
{
	struct virtio_balloon_info info;

	start(F_ALL);
	virtio_balloon_on_stats(balloon, stats_came, &came);
	put_stat(0, 5, 1000);
	offer(STATS, LIST, 10, false);
	virtio_balloon_get(balloon, &info);
	assert_int_equal(info.stats.known, 1 << 5);
	assert_true(virtio_balloon_ask(balloon));
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(driver_status(&driver), 0);
	virtio_balloon_get(balloon, &info);
	assert_int_equal(info.stats.known, 0);
	assert_false(info.stats_asked);
	start(F_ALL);
	offer(STATS, LIST, 10, false);
	assert_false(taken(STATS));
	assert_int_equal(came, 0);
}

/* Saved while the driver gathers statistics and pages are on their way. */
static void saved_in_the_middle(void **state)
{
	static uint8_t ram[1 << 20];
	struct state_buffer stream = { 0 };
	struct virtio_balloon_info info;
	struct state_error error;
	struct state_item item[32];

	start(F_ALL | F_POISON);
	virtio_balloon_set_target(balloon, 0x3000);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 4, 4, 2);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 12, 4, 6);
	offer(STATS, LIST, 10, false);
	assert_true(virtio_balloon_ask(balloon));
	fake_work_run();
	assert_true(taken(STATS));
	vm_quiesce_devices(&rig.rig.vm);
	driver_poke(&driver, LIST, (uint32_t[]){ number(3) }, 4);
	offer(INFLATE, LIST, 4, false);
	assert_false(taken(INFLATE));
	assert_int_equal(state_save(item, pci_rig_items(&rig, item), &stream), 0);
	memcpy(ram, rig.rig.vm.memory.ram.base, sizeof(ram));
	pci_rig_fini(&rig);
	setup(NULL);
	memcpy(rig.rig.vm.memory.ram.base, ram, sizeof(ram));
	if (state_load(item, pci_rig_items(&rig, item), stream.data, stream.size, NULL,
		       &error))
		fail_msg("%s", error.text);
	host_free(stream.data);
	virtio_balloon_on_stats(balloon, stats_came, &came);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_true(taken(INFLATE));
	assert_true(gone(3));
	virtio_balloon_get(balloon, &info);
	assert_true(info.driver && info.stats_asked);
	assert_int_equal(info.target, 0x3000);
	assert_int_equal(info.actual, 0x2000);
	put_stat(0, 5, 1000);
	offer(STATS, LIST, 10, false);
	assert_int_equal(came, 1);
	/* The value of free pages is known as well. */
	offer(REPORTS, PAGES, 0x1000, true);
	assert_true(taken(REPORTS));
	assert_false(gone(0));
}

static void round_trip(void **state)
{
	roundtrip_check(virtio_balloon_class.state, balloon, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(configuration),	 TEST(inflates),
		TEST(long_lists),	 TEST(hostile_numbers),
		TEST(host_refuses),	 TEST(target),
		TEST(reports),		 TEST(poison),
		TEST(poison_not_agreed), TEST(no_such_queue),
		TEST(hints),		 TEST(statistics),
		TEST(early_question),	 TEST(driver_reset),
		TEST(saved_in_the_middle), TEST(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

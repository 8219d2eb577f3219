/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views of device memory: where they are and may be, what engines are told,
 * and who has written. What processors make of it is in tests/guest/src/vga_*.
 */
#include "vm/memory_view.h"

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "vm/error.h"

#define MIB  ((uint64_t)1 << 20)
#define SIZE (MIB)
#define AT   0xc0000000ull

static struct memory mem;
static uint8_t *host;
static unsigned int view;

/* An engine as it sees views; write tags are `tags`, taken back late. */
static struct {
	unsigned int changes, asks, settled;
	const struct memory_region *before;
	bool answered;
	uint64_t synced; /* page that sync() notes, plus 1 */
} engine;

static void view_changed(void *ctx, unsigned int n,
			 const struct memory_region *before)
{
	engine.changes++;
	engine.before = before;
}

static void settle(void *ctx, struct x86_cpu *cpu)
{
	engine.settled++;
}

static void sync(void *ctx, unsigned int n)
{
	if (engine.synced)
		memory_note_host(&mem, host + (engine.synced - 1) * 4096, 1);
}

static void protect(void *ctx)
{
	engine.asks++;
	engine.answered = false;
}

static bool protected(void *ctx)
{
	return engine.answered;
}

static const struct memory_hooks hooks = {
	.view_changed = view_changed,
	.settle = settle,
	.sync = sync,
	.protect = protect,
	.protected = protected,
};

static int setup(void **state)
{
	int number;

	fake_host_reset();
	memset(&engine, 0, sizeof(engine));
	engine.answered = true;
	assert_int_equal(memory_init(&mem, 2 * MIB, 0), 0);
	assert_int_equal(memory_add(&mem, MEMORY_RAM, gpa(0), 2 * MIB, "ram"),
			 0);
	assert_int_equal(memory_device_alloc(&mem, SIZE, &host), 0);
	number = memory_view_add(&mem, "frame buffer");
	assert_true(number >= 0);
	view = (unsigned int)number;
	mem.hooks = &hooks;
	return 0;
}

static int teardown(void **state)
{
	memory_fini(&mem);
	return fake_live() ? -1 : 0;
}

static void is_memory_where_it_is(void **state)
{
	const struct memory_region *old;
	uint32_t v = 0x11223344, got = 0;

	assert_null(memory_find(&mem, gpa(AT)));
	assert_true(memory_view_map(&mem, view, gpa(AT), host, SIZE));
	assert_int_equal(memory_write(&mem, gpa(AT + 5), &v, 4), 0);
	assert_memory_equal(host + 5, &v, 4);
	assert_ptr_equal(memory_for_write(&mem, gpa(AT + 8), 8), host + 8);
	assert_null(memory_for_read(&mem, gpa(AT + SIZE - 4), 8));
	old = memory_find(&mem, gpa(AT));
	assert_true(memory_view_map(&mem, view, gpa(2 * AT), host, SIZE));
	assert_int_equal(memory_read(&mem, gpa(AT + 5), &got, 4), -VM_EFAULT);
	assert_int_equal(memory_read(&mem, gpa(2 * AT + 5), &got, 4), 0);
	assert_int_equal(got, v);
	/* Whoever found it before is still right about where its bytes are. */
	assert_int_equal(old->base, AT);
	assert_ptr_equal(old->host, host);
	memory_view_unmap(&mem, view);
	assert_null(memory_find(&mem, gpa(2 * AT)));
	memory_view_unmap(&mem, view);
	assert_int_equal(engine.changes, 3);
}

static void tells_the_engine(void **state)
{
	assert_true(memory_view_map(&mem, view, gpa(AT), host, SIZE));
	assert_int_equal(engine.changes, 1);
	assert_null(engine.before);
	assert_true(memory_view_map(&mem, view, gpa(AT), host, SIZE));
	assert_int_equal(engine.changes, 1); /* nothing new */
	assert_true(memory_view_map(&mem, view, gpa(AT + SIZE), host, SIZE));
	assert_int_equal(engine.changes, 2);
	assert_int_equal(engine.before->base, AT);
	memory_settle(&mem, NULL);
	memory_settle(&mem, NULL);
	assert_int_equal(engine.settled, 1);
	memory_view_unmap(&mem, view);
	memory_settle(&mem, NULL);
	assert_int_equal(engine.settled, 2);
}

static void where_it_cannot_be(void **state)
{
	int other = memory_view_add(&mem, "second");
	uint8_t *more;

	assert_int_equal(memory_device_alloc(&mem, MEMORY_DEVICE_MAX, &more),
			 -VM_ENOSPC);
	assert_int_equal(memory_device_alloc(&mem, SIZE, &more), 0);
	assert_true(other > 0);
	assert_false(memory_view_map(&mem, view, gpa(MIB), host, SIZE));
	assert_false(memory_view_map(&mem, view, gpa(2 * MIB - 4096), host,
				     SIZE));
	assert_false(memory_view_map(&mem, view, gpa(AT + 1), host, SIZE));
	assert_false(memory_view_map(&mem, view, gpa(0 - MIB / 2), host,
				     SIZE));
	assert_false(memory_view_map(&mem, view, gpa(AT), host, 0));
	assert_true(memory_view_map(&mem, view, gpa(2 * MIB), host, SIZE));
	assert_false(memory_view_map(&mem, (unsigned int)other,
				     gpa(3 * MIB - 4096), more, SIZE));
	assert_true(memory_view_map(&mem, (unsigned int)other, gpa(3 * MIB),
				    more, SIZE));
	/* Refused, it shows nothing where it was. */
	assert_false(memory_view_map(&mem, view, gpa(3 * MIB), host, SIZE));
	assert_null(memory_find(&mem, gpa(2 * MIB)));
	for (unsigned int i = 2; i < MEMORY_VIEWS_MAX; i++)
		assert_int_equal(memory_view_add(&mem, "x"), i);
	assert_int_equal(memory_view_add(&mem, "x"), -VM_ENOSPC);
}

static void too_many_places(void **state)
{
	unsigned int i;

	for (i = 0; memory_view_map(&mem, view, gpa(AT + i * SIZE), host,
				    SIZE);
	     i++)
		;
	assert_int_equal(i, MEMORY_PLACES_MAX);
	assert_null(memory_find(&mem, gpa(AT + (i - 1) * SIZE)));
	/* Where it was before it may be again. */
	assert_true(memory_view_map(&mem, view, gpa(AT), host, SIZE));
	memory_views_reset(&mem);
	assert_null(memory_find(&mem, gpa(AT)));
	assert_true(memory_view_map(&mem, view, gpa(AT + i * SIZE), host,
				    SIZE));
}

/* --- who has written ------------------------------------------------------------- */

static uint64_t written[SIZE / 4096 / 64];

/* What it finds since the last time: number of pages. */
static unsigned int collect(void)
{
	unsigned int count = 0;
	bool any;

	memset(written, 0, sizeof(written));
	any = memory_device_written(&mem, host, SIZE, written);
	for (unsigned int i = 0; i < SIZE / 4096 / 64; i++)
		count += (unsigned int)__builtin_popcountll(written[i]);
	assert_int_equal(any, count > 0);
	return count;
}

static bool is_written(unsigned int page)
{
	return written[page / 64] >> (page % 64) & 1;
}

static void writes_are_found_once(void **state)
{
	uint8_t byte = 1;

	mem.hooks = NULL;
	memory_view_map(&mem, view, gpa(AT), host, SIZE);
	assert_int_equal(collect(), SIZE / 4096);
	assert_int_equal(collect(), 0);
	for (unsigned int page = 0; page < SIZE / 4096; page += 7) {
		assert_int_equal(memory_write(&mem, gpa(AT + page * 4096 + 99),
					      &byte, 1),
				 0);
		assert_int_equal(collect(), 1);
		assert_true(is_written(page));
		assert_int_equal(collect(), 0);
	}
	/* Across a page's end, by pointers, and by the host's address. */
	memory_write(&mem, gpa(AT + 4095), "ab", 2);
	assert_int_equal(collect(), 2);
	assert_non_null(memory_for_write(&mem, gpa(AT + 3 * 4096), 4096));
	assert_int_equal(collect(), 1);
	memory_note_host(&mem, host + 5 * 4096, 4097);
	assert_int_equal(collect(), 2);
	assert_true(is_written(5) && is_written(6));
	memory_note_host(&mem, host + SIZE, 1); /* not its own */
	assert_int_equal(collect(), 0);
}

/* A processor that has not let go of its tags writes and nobody notes it. */
static void pages_stay_loose_until_protected(void **state)
{
	uint8_t byte = 1;

	memory_view_map(&mem, view, gpa(AT), host, SIZE);
	assert_int_equal(collect(), SIZE / 4096);
	assert_int_equal(engine.asks, 1);
	assert_int_equal(collect(), SIZE / 4096); /* not answered: all loose */
	assert_int_equal(engine.asks, 1); /* nothing new is asked for */
	engine.answered = true;
	assert_int_equal(collect(), SIZE / 4096); /* before the answer */
	assert_int_equal(collect(), 0);
	memory_write(&mem, gpa(AT + 4096), &byte, 1);
	assert_int_equal(collect(), 1);
	assert_int_equal(engine.asks, 2);
	memory_write(&mem, gpa(AT), &byte, 1);
	assert_int_equal(collect(), 2); /* page 0, and 1 that is loose */
	engine.answered = true;
	assert_int_equal(collect(), 2);
	assert_int_equal(collect(), 0);
	assert_int_equal(engine.asks, 3);
}

/* An engine that has a log of its own hands it over first. */
static void engines_sync(void **state)
{
	memory_view_map(&mem, view, gpa(AT), host, SIZE);
	collect();
	engine.answered = true;
	collect();
	engine.synced = 1 + 9;
	assert_int_equal(collect(), 1);
	assert_true(is_written(9));
	engine.synced = 0;
	engine.answered = true;
	collect();
	memory_view_unmap(&mem, view);
	engine.synced = 1 + 9;
	assert_int_equal(collect(), 0); /* it shows nothing */
}

static uint64_t code_page;

static void code_written(void *ctx, uint64_t page)
{
	code_page = page;
	atomic_fetch_and(&mem.page_flags[page], (uint8_t)~MEM_PAGE_CODE);
}

static void code_goes_with_the_view(void **state)
{
	int64_t page;

	memory_view_map(&mem, view, gpa(AT), host, SIZE);
	page = memory_page_index(&mem, gpa(AT + 4096));
	assert_true(page > 0);
	mem.code_written = code_written;
	atomic_fetch_or(&mem.page_flags[page], MEM_PAGE_CODE);
	memory_view_map(&mem, view, gpa(AT + SIZE), host, SIZE);
	assert_int_equal(code_page, page);
	assert_int_equal(memory_page_index(&mem, gpa(AT + SIZE + 4096)), page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define VIEW_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		VIEW_TEST(is_memory_where_it_is),
		VIEW_TEST(tells_the_engine),
		VIEW_TEST(where_it_cannot_be),
		VIEW_TEST(too_many_places),
		VIEW_TEST(writes_are_found_once),
		VIEW_TEST(pages_stay_loose_until_protected),
		VIEW_TEST(engines_sync),
		VIEW_TEST(code_goes_with_the_view),
#undef VIEW_TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

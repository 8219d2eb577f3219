/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ROM that is seen in place of RAM: who reads and writes what, and who hears
 * of a change.
 */
#include "vm/memory_cover.h"

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "vm/error.h"
#include "vm/memory_view.h"

#define MIB  ((uint64_t)1 << 20)
#define SEEN 0xf0000u
#define ROM  0xffff0000u

static struct memory mem;
static struct memory_region shut, through, nothing;
static unsigned int changed, written_count;
static uint64_t written;

static void region_changed(void *ctx, unsigned int region)
{
	changed += mem.region[region].base == SEEN;
}

static const struct memory_hooks hooks = { .region_changed = region_changed };

static void code_written(void *ctx, uint64_t page)
{
	written = page;
	written_count++;
}

static int setup(void **state)
{
	fake_host_reset();
	changed = written_count = 0;
	if (memory_init(&mem, 2 * MIB, 0x20000) ||
	    memory_add(&mem, MEMORY_RAM, gpa(0), 0xa0000, "low") ||
	    memory_add(&mem, MEMORY_RAM, gpa(0xc0000), 0x4000, "small") ||
	    memory_add(&mem, MEMORY_RAM, gpa(SEEN), 0x10000, "shadow") ||
	    memory_add(&mem, MEMORY_ROM, gpa(ROM - 0x10000), 0x20000, "image"))
		return -1;
	mem.hooks = &hooks;
	mem.code_written = code_written;
	memory_load(&mem, gpa(ROM), "image", 5);
	memory_load(&mem, gpa(SEEN), "shade", 5);
	return memory_cover_init(&mem, &shut, gpa(SEEN), gpa(ROM), false) ||
	       memory_cover_init(&mem, &through, gpa(SEEN), gpa(ROM), true) ||
	       memory_cover_init(&mem, &nothing, gpa(0xc0000),
				 gpa(0xd0000000), false);
}

static int teardown(void **state)
{
	memory_fini(&mem);
	return fake_live() ? -1 : 0;
}

static void reads(const char *text)
{
	char bytes[5];

	assert_memory_equal(memory_for_read(&mem, gpa(SEEN), 5), text, 5);
	assert_int_equal(memory_read(&mem, gpa(SEEN), bytes, 5), 0);
	assert_memory_equal(bytes, text, 5);
}

static void is_seen(void **state)
{
	const struct memory_region *r = memory_find(&mem, gpa(SEEN));

	reads("shade");
	memory_cover(&mem, gpa(SEEN), &shut);
	reads("image");
	assert_ptr_equal(memory_find(&mem, gpa(SEEN + 0xffff)), &shut);
	assert_int_equal(memory_page_index(&mem, gpa(SEEN)),
			 memory_page_index(&mem, gpa(ROM)));
	/* Writes are dropped, loaders' as well. */
	assert_null(memory_for_write(&mem, gpa(SEEN), 1));
	assert_int_equal(memory_write(&mem, gpa(SEEN), "x", 1), 0);
	assert_int_equal(memory_load(&mem, gpa(SEEN), "x", 1), 0);
	reads("image");
	assert_memory_equal(memory_for_read(&mem, gpa(ROM), 5), "image", 5);
	memory_cover(&mem, gpa(SEEN), NULL);
	reads("shade");
	assert_ptr_equal(memory_find(&mem, gpa(SEEN)), r);
	assert_int_equal(changed, 2);
	memory_cover(&mem, gpa(SEEN), NULL); /* as it is */
	assert_int_equal(changed, 2);
}

static void lets_writes_through(void **state)
{
	uint64_t bitmap[1] = { 0 };

	memory_cover(&mem, gpa(SEEN), &through);
	memory_dirty_log(&mem, true);
	assert_null(memory_for_write(&mem, gpa(SEEN), 1));
	assert_int_equal(memory_write(&mem, gpa(SEEN + 0x1001), "under", 5),
			 0);
	assert_int_equal(memory_write(&mem, gpa(SEEN), "u", 1), 0);
	reads("image");
	/* It is the region that was written. */
	assert_string_equal(mem.region[2].name, "shadow");
	assert_int_equal(memory_dirty_collect(&mem, 2, bitmap), 0);
	assert_int_equal(bitmap[0], 3);
	memory_cover(&mem, gpa(SEEN), NULL);
	reads("uhade");
	assert_memory_equal(memory_for_read(&mem, gpa(SEEN + 0x1001), 5),
			    "under", 5);
}

static void tells_of_code(void **state)
{
	uint64_t page = mem.region[2].first_page;

	memory_cover(&mem, gpa(SEEN), &through);
	mem.page_flags[page] |= MEM_PAGE_CODE;
	memory_write(&mem, gpa(SEEN), "x", 1);
	assert_int_equal(written_count, 1);
	assert_int_equal(written, page);
	/* What is read is another page. */
	memory_note_write(&mem, gpa(SEEN), 1);
	assert_int_equal(written_count, 1);
}

static void reads_as_ones(void **state)
{
	uint8_t bytes[8] = { 0 };

	memory_cover(&mem, gpa(0xc0000), &nothing);
	assert_int_equal(memory_read(&mem, gpa(0xc3ffc), bytes, 4), 0);
	assert_int_equal(bytes[0] & bytes[3], 0xff);
	memory_write(&mem, gpa(0xc3ffc), "xxxx", 4);
	memory_read(&mem, gpa(0xc3ffc), bytes, 4);
	assert_int_equal(bytes[0] & bytes[3], 0xff);
	assert_string_equal(nothing.name, "no memory");
	assert_string_equal(shut.name, "image");
}

static void settles(void **state)
{
	uint64_t moves = atomic_load(&mem.moves);

	memory_cover(&mem, gpa(SEEN), &shut);
	assert_int_equal(atomic_load(&mem.moves), moves + 1);
	memory_settle(&mem, NULL);
	assert_int_equal(atomic_load(&mem.settled), moves + 1);
}

static void refuses(void **state)
{
	struct memory_region cover;

	assert_int_equal(memory_cover_init(&mem, &cover, gpa(SEEN + 0x1000),
					   gpa(ROM), false), -VM_ENOENT);
	/* ROM that is too short is nothing. */
	assert_int_equal(memory_cover_init(&mem, &cover, gpa(SEEN),
					   gpa(ROM + 0x1000), false), 0);
	assert_int_equal(cover.host[0], 0xff);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_seen),	     TEST(lets_writes_through),
		TEST(tells_of_code), TEST(reads_as_ones),
		TEST(settles),	     TEST(refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: regions, checked accessors, page flags, dirty log.
 */
#include "vm/memory.h"

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "vm/error.h"

#define MIB ((uint64_t)1 << 20)

static int setup(void **state)
{
	static struct memory mem;

	fake_host_reset();
	if (memory_init(&mem, 16 * MIB, MIB))
		return -1;
	if (memory_add(&mem, MEMORY_RAM, gpa(0x100000000), 8 * MIB, "high") ||
	    memory_add(&mem, MEMORY_RAM, gpa(0), 0xa0000, "low") ||
	    memory_add(&mem, MEMORY_ROM, gpa(0xf0000), 0x10000, "bios") ||
	    memory_add(&mem, MEMORY_RAM, gpa(0x100000), MIB, "ext"))
		return -1;
	*state = &mem;
	return 0;
}

static int teardown(void **state)
{
	memory_fini(*state);
	return fake_live() ? -1 : 0;
}

static void refuses_bad_sizes(void **state)
{
	struct memory mem;

	assert_int_equal(memory_init(&mem, 0, 0), -VM_EINVAL);
	assert_int_equal(memory_init(&mem, MIB + 1, 0), -VM_EINVAL);
	assert_int_equal(memory_init(&mem, MIB - 4096, 0), -VM_EINVAL);
	assert_int_equal(memory_init(&mem, 2 * MEMORY_SIZE_MAX, 0), -VM_EINVAL);
	assert_int_equal(memory_init(&mem, MIB, 1), -VM_EINVAL);
}

static void gives_back_when_the_host_refuses(void **state)
{
	struct memory mem;
	unsigned int nth, before = fake_live();

	for (nth = 1; nth <= 3; nth++) {
		fake_fail_ram(nth);
		assert_int_equal(memory_init(&mem, MIB, MIB), -VM_ENOMEM);
		assert_int_equal(fake_live(), before);
		memory_fini(&mem); /* harmless */
	}
}

static void keeps_regions_sorted(void **state)
{
	struct memory *mem = *state;
	unsigned int i;

	assert_int_equal(mem->region_count, 4);
	for (i = 1; i < mem->region_count; i++)
		assert_true(mem->region[i - 1].base < mem->region[i].base);
}

static void refuses_bad_regions(void **state)
{
	struct memory *mem = *state;

	assert_int_equal(
		memory_add(mem, MEMORY_RAM, gpa(0x9f000), 0x2000, "overlap"),
		-VM_EEXIST);
	assert_int_equal(
		memory_add(mem, MEMORY_RAM, gpa(0xe0000), 0x20000, "over rom"),
		-VM_EEXIST);
	assert_int_equal(memory_add(mem, MEMORY_RAM, gpa(0x10001), 0x1000, "x"),
			 -VM_EINVAL);
	assert_int_equal(memory_add(mem, MEMORY_RAM, gpa(0xc0000), 0, "x"),
			 -VM_EINVAL);
	assert_int_equal(
		memory_add(mem, MEMORY_RAM, gpa(PAGE_MASK), 0x2000, "wraps"),
		-VM_EINVAL);
	assert_int_equal(memory_add(mem, MEMORY_RAM, gpa(0x10000000), 8 * MIB,
				    "more than there is"),
			 -VM_ENOSPC);
}

static void refuses_too_many_regions(void **state)
{
	struct memory *mem = *state;
	uint64_t base = 0x10000000;

	while (mem->region_count < MEMORY_REGIONS_MAX) {
		assert_int_equal(
			memory_add(mem, MEMORY_RAM, gpa(base), 4096, "page"),
			0);
		base += 8192;
	}
	assert_int_equal(memory_add(mem, MEMORY_RAM, gpa(base), 4096, "page"),
			 -VM_ENOSPC);
}

static void finds_regions(void **state)
{
	struct memory *mem = *state;

	assert_string_equal(memory_find(mem, gpa(0))->name, "low");
	assert_string_equal(memory_find(mem, gpa(0x9ffff))->name, "low");
	assert_null(memory_find(mem, gpa(0xa0000)));
	assert_string_equal(memory_find(mem, gpa(0xfffff))->name, "bios");
	assert_string_equal(memory_find(mem, gpa(0x1fffff))->name, "ext");
	assert_null(memory_find(mem, gpa(0x200000)));
	assert_null(memory_find(mem, gpa(UINT64_MAX)));
	assert_string_equal(memory_find(mem, gpa(0x1007fffff))->name, "high");
	assert_null(memory_find(mem, gpa(0x100800000)));
}

static void checks_whole_ranges(void **state)
{
	struct memory *mem = *state;

	assert_non_null(memory_for_read(mem, gpa(0x9fff8), 8));
	assert_null(memory_for_read(mem, gpa(0x9fff9), 8));
	assert_null(memory_for_read(mem, gpa(0xffff8), 16)); /* two regions */
	assert_null(memory_for_read(mem, gpa(0), 0));
	assert_null(memory_for_read(mem, gpa(0x1000), UINT64_MAX));
	assert_null(memory_for_read(mem, gpa(UINT64_MAX), 2));
	assert_non_null(memory_for_read(mem, gpa(0xf0000), 0x10000));
	assert_null(memory_for_write(mem, gpa(0xf0000), 1));
	assert_non_null(memory_for_write(mem, gpa(0x100000), MIB));
}

static void copies_across_regions(void **state)
{
	struct memory *mem = *state;
	char in[] = "0123456789abcdef", out[16];

	assert_int_equal(memory_load(mem, gpa(0xffff8), in, 16), 0);
	assert_int_equal(memory_read(mem, gpa(0xffff8), out, 16), 0);
	assert_memory_equal(in, out, 16);
	/* The part in ROM stays, the part in RAM changes. */
	assert_int_equal(
		memory_write(mem, gpa(0xffff8), "ABCDEFGHIJKLMNOP", 16), 0);
	assert_int_equal(memory_read(mem, gpa(0xffff8), out, 16), 0);
	assert_memory_equal(out, "01234567IJKLMNOP", 16);
}

static void copies_nothing_outside(void **state)
{
	struct memory *mem = *state;
	char buf[16] = "unchanged";

	assert_int_equal(
		memory_write(mem, gpa(0x9fff8), "xxxxxxxxxxxxxxxx", 16),
		-VM_EFAULT);
	assert_int_equal(*(const char *)memory_for_read(mem, gpa(0x9fff8), 1),
			 0);
	assert_int_equal(memory_read(mem, gpa(0x9fff8), buf, 16), -VM_EFAULT);
	assert_string_equal(buf, "unchanged");
	assert_int_equal(memory_read(mem, gpa(UINT64_MAX), buf, 2), -VM_EFAULT);
	assert_int_equal(memory_read(mem, gpa(0xa0000), buf, 0), 0);
}

static void numbers_pages(void **state)
{
	struct memory *mem = *state;
	int64_t rom = memory_page_index(mem, gpa(0xf0000));

	assert_int_equal(memory_page_index(mem, gpa(0xa0000)), -1);
	assert_int_equal(rom, 16 * MIB / 4096);
	assert_int_equal(memory_page_index(mem, gpa(0xf1fff)), rom + 1);
	/* "high" was added first. */
	assert_int_equal(memory_page_index(mem, gpa(0x100000000)), 0);
	assert_int_equal(memory_page_index(mem, gpa(0)), 8 * MIB / 4096);
}

static uint64_t written[8];
static unsigned int written_count;

static void note(void *ctx, uint64_t page)
{
	assert_ptr_equal(ctx, &written_count);
	assert_true(written_count < 8);
	written[written_count++] = page;
}

static void tells_of_written_code(void **state)
{
	struct memory *mem = *state;
	uint64_t page = (uint64_t)memory_page_index(mem, gpa(0x3000));
	uint64_t rom = (uint64_t)memory_page_index(mem, gpa(0xf0000));

	written_count = 0;
	mem->code_written = note;
	mem->code_written_ctx = &written_count;
	mem->page_flags[page] |= MEM_PAGE_CODE;
	mem->page_flags[rom] |= MEM_PAGE_CODE;

	memory_write(mem, gpa(0x2ff0), "x", 1);
	memory_write(mem, gpa(0x4000), "x", 1);
	memory_write(mem, gpa(0xf0000), "x", 1); /* dropped */
	assert_int_equal(written_count, 0);

	memory_write(mem, gpa(0x2fff), "xy", 2);
	assert_int_equal(written_count, 1);
	assert_int_equal(written[0], page);
	memory_for_write(mem, gpa(0x1000), 0x8000);
	assert_int_equal(written_count, 2);
	memory_note_write(mem, gpa(0x3fff), 1);
	assert_int_equal(written_count, 3);
	memory_load(mem, gpa(0xf0fff), "x", 1);
	assert_int_equal(written_count, 4);
	assert_int_equal(written[3], rom);
	memory_note_write(mem, gpa(0xa0000), 4096); /* nothing there */
	memory_note_write(mem, gpa(0x3000), 0);
	assert_int_equal(written_count, 4);
}

static void note_kind(void *ctx, unsigned int region)
{
	*(unsigned int *)ctx += 1 + 16 * region;
}

static void changes_kinds(void **state)
{
	struct memory *mem = *state;
	uint8_t byte = 0x12;
	unsigned int told = 0;

	mem->kind_changed = note_kind;
	mem->kind_changed_ctx = &told;
	assert_int_equal(memory_set_kind(mem, gpa(0x1000), MEMORY_ROM),
			 -VM_ENOENT);
	assert_int_equal(memory_set_kind(mem, gpa(0x200000000), MEMORY_ROM),
			 -VM_ENOENT);
	assert_int_equal(memory_set_kind(mem, gpa(0x100000), MEMORY_RAM), 0);
	assert_int_equal(told, 0);
	assert_int_equal(memory_set_kind(mem, gpa(0x100000), MEMORY_ROM), 0);
	assert_int_equal(told, 1 + 16 * 2);
	assert_null(memory_for_write(mem, gpa(0x100000), 1));
	assert_int_equal(memory_write(mem, gpa(0x100000), &byte, 1), 0);
	assert_int_equal(memory_read(mem, gpa(0x100000), &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(memory_set_kind(mem, gpa(0x100000), MEMORY_RAM), 0);
	assert_non_null(memory_for_write(mem, gpa(0x100000), 1));
}

static void logs_dirty_pages(void **state)
{
	struct memory *mem = *state;
	uint64_t bitmap[4];

	assert_string_equal(mem->region[0].name, "low"); /* 160 pages */
	assert_int_equal(memory_dirty_collect(mem, 0, bitmap), -VM_EINVAL);
	memory_dirty_log(mem, true);
	assert_int_equal(memory_dirty_collect(mem, 99, bitmap), -VM_EINVAL);
	assert_int_equal(memory_dirty_collect(mem, 0, bitmap), 0);
	assert_int_equal(bitmap[0] | bitmap[1] | bitmap[2], 0);

	memory_write(mem, gpa(0), "x", 1);
	memory_write(mem, gpa(0x1fff), "xy", 2);
	memory_for_write(mem, gpa(0x9f000), 0x1000);
	bitmap[3] = 0x5a5a;
	assert_int_equal(memory_dirty_collect(mem, 0, bitmap), 0);
	assert_int_equal(bitmap[0], 7);
	assert_int_equal(bitmap[1], 0);
	assert_int_equal(bitmap[2], UINT64_C(1) << 31);
	assert_int_equal(bitmap[3], 0x5a5a);
	assert_int_equal(memory_dirty_collect(mem, 0, bitmap), 0);
	assert_int_equal(bitmap[0] | bitmap[1] | bitmap[2], 0);

	memory_dirty_log(mem, false);
	assert_int_equal(mem->page_flags[0], 0);
}

static void gives_pages_back(void **state)
{
	struct memory *mem = *state;
	uint8_t *low = mem->region[0].host;
	uint64_t bitmap[3];

	memset(low, 7, 0x6000);
	memory_load(mem, gpa(0xf0000), "rom", 3);
	/* Whole pages alone. */
	assert_int_equal(memory_discard(mem, gpa(0x1001), 0x2fff), 0);
	assert_int_equal(fake_discarded(), 0x2000);
	assert_int_equal(low[0x1fff], 7);
	assert_int_equal(low[0x2000], 0);
	assert_int_equal(low[0x3fff], 0);
	assert_int_equal(low[0x4000], 7);
	assert_int_equal(memory_discard(mem, gpa(0x4001), 0x1ffe), 0);
	assert_int_equal(memory_discard(mem, gpa(0x4000), 0), 0);
	assert_int_equal(fake_discarded(), 0x2000);
	/* ROM and holes stay; on the way over them RAM goes. */
	assert_int_equal(memory_discard(mem, gpa(0xa0000), 0x50000), 0);
	assert_int_equal(fake_discarded(), 0x2000);
	assert_memory_equal(memory_for_read(mem, gpa(0xf0000), 3), "rom", 3);
	assert_int_equal(memory_discard(mem, gpa(UINT64_MAX - 4095), 4096), 0);
	assert_int_equal(memory_discard(mem, gpa(UINT64_MAX - 4095), 8192), 0);
	assert_int_equal(memory_discard_host(mem, mem->ram.base - 4096,
					     4096), 0);
	assert_int_equal(memory_discard_host(mem, low, UINT64_MAX), 0);
	assert_int_equal(fake_discarded(), 0x2000);
	assert_int_equal(memory_discard(mem, gpa(0x9f000), 0x62000), 0);
	assert_int_equal(fake_discarded(), 0x2000 + 0x1000 + 0x1000);

	/* It is a write, to code and to the log. */
	written_count = 0;
	mem->code_written = note;
	mem->code_written_ctx = &written_count;
	memory_dirty_log(mem, true);
	mem->page_flags[memory_page_index(mem, gpa(0x5000))] |= MEM_PAGE_CODE;
	assert_int_equal(memory_discard_host(mem, low + 0x5000, 0x1000), 0);
	assert_int_equal(written_count, 1);
	assert_int_equal(written[0], memory_page_index(mem, gpa(0x5000)));
	assert_int_equal(memory_dirty_collect(mem, 0, bitmap), 0);
	assert_int_equal(bitmap[0], 1 << 5);

	fake_fail_ram(1);
	assert_int_equal(memory_discard(mem, gpa(0x4000), 0x1000),
			 -VM_ENOMEM);
	assert_int_equal(low[0x4000], 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_bad_sizes),
		cmocka_unit_test(gives_back_when_the_host_refuses),
		TEST(keeps_regions_sorted),
		TEST(refuses_bad_regions),
		TEST(refuses_too_many_regions),
		TEST(finds_regions),
		TEST(checks_whole_ranges),
		TEST(copies_across_regions),
		TEST(copies_nothing_outside),
		TEST(numbers_pages),
		TEST(tells_of_written_code),
		TEST(changes_kinds),
		TEST(logs_dirty_pages),
		TEST(gives_pages_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

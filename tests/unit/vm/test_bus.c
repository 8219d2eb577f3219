/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buses: ranges, and how accesses are cut for devices.
 */
#include "vm/bus.h"

#include <stdio.h>
#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "vm/error.h"

/* A device of 16 bytes that keeps a record of its calls. */
struct echo {
	uint8_t bytes[16];
	char calls[256];
	struct host_lock *lock; /* must be held during a call */
};

static void record(struct echo *e, char kind, uint64_t offset,
		   unsigned int size)
{
	size_t at = strlen(e->calls);

	snprintf(e->calls + at, sizeof(e->calls) - at, "%c%u@%u ", kind, size,
		 (unsigned int)offset);
	if (e->lock)
		assert_int_not_equal(e->lock->word, 0);
	assert_true(offset + size <= sizeof(e->bytes));
}

static uint64_t echo_read(void *device, uint64_t offset, unsigned int size)
{
	struct echo *e = device;
	uint64_t value = 0;

	record(e, 'r', offset, size);
	memcpy(&value, e->bytes + offset, size);
	/* What lies above the size is no business of the guest's. */
	return size == 8 ? value : value | UINT64_MAX << (size * 8);
}

static void echo_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct echo *e = device;

	record(e, 'w', offset, size);
	if (size < 8)
		assert_int_equal(value >> (size * 8), 0);
	memcpy(e->bytes + offset, &value, size);
}

static const struct bus_ops any = { .read = echo_read, .write = echo_write };
static const struct bus_ops bytes = {
	.read = echo_read,
	.write = echo_write,
	.max_size = 1,
};
static const struct bus_ops words = {
	.read = echo_read,
	.write = echo_write,
	.min_size = 4,
	.max_size = 4,
};
static const struct bus_ops exact_words = {
	.read = echo_read,
	.write = echo_write,
	.min_size = 4,
	.max_size = 4,
	.exact = true,
};

static struct host_lock lock;
static struct bus bus;
static struct echo echo;

static int setup(void **state)
{
	unsigned int i;

	fake_host_reset();
	memset(&lock, 0, sizeof(lock));
	memset(&echo, 0, sizeof(echo));
	echo.lock = &lock;
	for (i = 0; i < sizeof(echo.bytes); i++)
		echo.bytes[i] = (uint8_t)(0x10 + i);
	bus_init(&bus, &lock);
	return 0;
}

/* Of the range that has the address. */
static const char *name_at(uint64_t address)
{
	for (unsigned int i = 0; i < bus.count; i++)
		if (address - bus.range[i].base < bus.range[i].size)
			return bus.range[i].name;
	return "";
}

static void claims_and_gives_back(void **state)
{
	assert_int_equal(bus_add(&bus, 0x40, 4, "pit", &any, &echo), 0);
	assert_int_equal(bus_add(&bus, 0x20, 2, "pic", &any, &echo), 0);
	assert_int_equal(bus_add(&bus, 0x43, 1, "x", &any, &echo), -VM_EEXIST);
	assert_int_equal(bus_add(&bus, 0x3f, 2, "x", &any, &echo), -VM_EEXIST);
	assert_int_equal(bus_add(&bus, 0x10, 0x100, "x", &any, &echo),
			 -VM_EEXIST);
	assert_int_equal(bus_add(&bus, 0x50, 0, "x", &any, &echo), -VM_EINVAL);
	assert_int_equal(bus_add(&bus, UINT64_MAX, 2, "x", &any, &echo),
			 -VM_EINVAL);
	assert_int_equal(bus_add(&bus, 0x50, 6, "x", &words, &echo),
			 -VM_EINVAL);
	assert_string_equal(name_at(0x21), "pic");
	assert_false(bus_meets(&bus, 0x22, 1));
	assert_string_equal(name_at(0x43), "pit");
	assert_int_equal(bus_remove(&bus, 0x41), -VM_ENOENT);
	assert_int_equal(bus_remove(&bus, 0x90), -VM_ENOENT);
	assert_int_equal(bus_remove(&bus, 0x20), 0);
	assert_false(bus_meets(&bus, 0x20, 1));
	assert_int_equal(bus_add(&bus, 0x3f, 1, "x", &any, &echo), 0);
}

static void refuses_too_many(void **state)
{
	unsigned int i;

	for (i = 0; i < BUS_RANGES_MAX; i++)
		assert_int_equal(bus_add(&bus, 1000 - i, 1, "x", &any, &echo),
				 0);
	assert_int_equal(bus_add(&bus, 5000, 1, "x", &any, &echo), -VM_ENOSPC);
	for (i = 0; i < BUS_RANGES_MAX; i++)
		assert_true(bus_meets(&bus, 1000 - i, 1));
}

static void reads_ones_where_nothing_is(void **state)
{
	assert_int_equal(bus_read(&bus, 0x80, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x80, 4), 0xffffffff);
	assert_true(bus_read(&bus, UINT64_MAX - 3, 8) == UINT64_MAX);
	bus_write(&bus, 0x80, 8, 1);
}

static void passes_accesses(void **state)
{
	bus_add(&bus, 0x100, 16, "echo", &any, &echo);
	assert_int_equal(bus_read(&bus, 0x100, 1), 0x10);
	assert_int_equal(bus_read(&bus, 0x102, 2), 0x1312);
	assert_int_equal(bus_read(&bus, 0x101, 4), 0x14131211);
	assert_true(bus_read(&bus, 0x108, 8) == UINT64_C(0x1f1e1d1c1b1a1918));
	bus_write(&bus, 0x10f, 1, 0xabcd);
	assert_int_equal(echo.bytes[15], 0xcd);
	assert_string_equal(echo.calls, "r1@0 r2@2 r4@1 r8@8 w1@15 ");
	assert_int_equal(lock.word, 0);
}

static void splits_large_accesses(void **state)
{
	bus_add(&bus, 0x100, 16, "echo", &bytes, &echo);
	assert_int_equal(bus_read(&bus, 0x104, 4), 0x17161514);
	bus_write(&bus, 0x100, 2, 0xa1b2);
	assert_int_equal(echo.bytes[0], 0xb2);
	assert_int_equal(echo.bytes[1], 0xa1);
	assert_string_equal(echo.calls, "r1@4 r1@5 r1@6 r1@7 w1@0 w1@1 ");
}

static void widens_small_accesses(void **state)
{
	bus_add(&bus, 0x100, 16, "echo", &words, &echo);
	assert_int_equal(bus_read(&bus, 0x105, 1), 0x15);
	assert_int_equal(bus_read(&bus, 0x106, 2), 0x1716);
	assert_int_equal(bus_read(&bus, 0x102, 4), 0x15141312);
	assert_true(bus_read(&bus, 0x100, 8) == UINT64_C(0x1716151413121110));
	assert_string_equal(echo.calls, "r4@4 r4@4 r4@0 r4@4 r4@0 r4@4 ");
	bus_write(&bus, 0x109, 1, 0xee);
	assert_memory_equal(echo.bytes + 8, "\0\xee\0\0", 4);
}

static void drops_small_accesses_where_exact(void **state)
{
	bus_add(&bus, 0x100, 16, "echo", &exact_words, &echo);
	assert_int_equal(bus_read(&bus, 0x104, 2), 0xffff);
	bus_write(&bus, 0x104, 1, 1);
	assert_string_equal(echo.calls, "");
	bus_write(&bus, 0x104, 4, 1);
	assert_string_equal(echo.calls, "w4@4 ");
}

static void splits_at_the_ends_of_ranges(void **state)
{
	bus_add(&bus, 0x100, 16, "echo", &any, &echo);
	assert_int_equal(bus_read(&bus, 0x10e, 4), 0xffff1f1e);
	assert_int_equal(bus_read(&bus, 0xff, 2), 0x10ff);
	bus_write(&bus, 0xfe, 4, 0x44332211);
	assert_memory_equal(echo.bytes, "\x33\x44\x12", 3);
	assert_string_equal(echo.calls, "r1@14 r1@15 r1@0 w1@0 w1@1 ");
}

static void leaves_lockless_devices_alone(void **state)
{
	static const struct bus_ops lockless = {
		.read = echo_read,
		.write = echo_write,
		.lockless = true,
	};

	echo.lock = NULL;
	bus_add(&bus, 0x100, 16, "echo", &lockless, &echo);
	host_lock(&lock); /* would be taken twice otherwise */
	assert_int_equal(bus_read(&bus, 0x100, 1), 0x10);
	bus_write(&bus, 0x100, 1, 1);
	host_unlock(&lock);
}

static void bears_missing_callbacks(void **state)
{
	static const struct bus_ops none = { .min_size = 2 };

	bus_add(&bus, 0x100, 16, "none", &none, NULL);
	assert_int_equal(bus_read(&bus, 0x100, 4), 0xffffffff);
	assert_int_equal(bus_read(&bus, 0x101, 1), 0xff);
	bus_write(&bus, 0x100, 4, 0);
	bus_write(&bus, 0x101, 1, 0);
}

/* Like a decoder of its own: the address is the offset. */
static uint64_t rest_read(void *device, uint64_t address, unsigned int size)
{
	struct echo *e = device;
	size_t at = strlen(e->calls);

	snprintf(e->calls + at, sizeof(e->calls) - at, "R%u@%x ", size,
		 (unsigned int)address);
	assert_int_not_equal(lock.word, 0);
	return 0x7777777777777777;
}

static void rest_write(void *device, uint64_t address, unsigned int size,
		       uint64_t value)
{
	struct echo *e = device;
	size_t at = strlen(e->calls);

	snprintf(e->calls + at, sizeof(e->calls) - at, "W%u@%x=%x ", size,
		 (unsigned int)address, (unsigned int)value);
}

static void gives_the_rest_away(void **state)
{
	static const struct bus_ops rest = { .read = rest_read,
					     .write = rest_write };

	bus_add(&bus, 0x100, 16, "echo", &any, &echo);
	bus_set_rest(&bus, "rest", &rest, &echo);
	assert_int_equal(bus_read(&bus, 0x90, 2), 0x7777);
	assert_int_equal(bus_read(&bus, 0x100, 1), 0x10);
	bus_write(&bus, 0x110, 4, 5);
	assert_string_equal(echo.calls, "R2@90 r1@0 W4@110=5 ");
	/* Shared with a range, on either side: by bytes. */
	echo.calls[0] = '\0';
	assert_int_equal(bus_read(&bus, 0xfe, 4), 0x11107777);
	bus_write(&bus, 0x10f, 2, 0x0201);
	assert_string_equal(echo.calls,
			    "R1@fe R1@ff r1@0 r1@1 w1@15 W1@110=2 ");
	assert_false(bus_meets(&bus, 0x90, 1));
	assert_int_equal(bus_read(&bus, UINT64_MAX, 1), 0x77);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(claims_and_gives_back),
		TEST(refuses_too_many),
		TEST(reads_ones_where_nothing_is),
		TEST(passes_accesses),
		TEST(splits_large_accesses),
		TEST(widens_small_accesses),
		TEST(drops_small_accesses_where_exact),
		TEST(splits_at_the_ends_of_ranges),
		TEST(leaves_lockless_devices_alone),
		TEST(bears_missing_callbacks),
		TEST(gives_the_rest_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The saved-state stream: its bytes, its refusals, its versions.
 */
#include "vm/state.h"

#include <string.h>

#include "fake/host.h"
#include "fake/roundtrip.h"
#include "fake/test.h"
#include "vm/clock.h"
#include "vm/error.h"

struct thing {
	void *derived; /* not saved */
	uint8_t a;
	uint16_t b[3];
	uint32_t c;
	uint64_t d[2];
	bool e[2];
	struct timer timer;
	unsigned int saved, loads;
};

static int check(const void *object)
{
	const struct thing *t = object;

	return t->a > 99 ? -VM_EBADMSG : 0;
}

static void saving(void *object)
{
	((struct thing *)object)->saved++;
}

static void loaded(void *object)
{
	((struct thing *)object)->loads++;
}

static void valid(void *object)
{
	struct thing *t = object;

	t->a %= 100;
}

static const struct field fields[] = {
	FIELD(struct thing, FIELD_U8, a),
	FIELD_ARRAY(struct thing, FIELD_U16, b, 3),
	FIELD(struct thing, FIELD_U32, c),
	FIELD_ARRAY(struct thing, FIELD_U64, d, 2),
	FIELD_ARRAY(struct thing, FIELD_BOOL, e, 2),
	FIELD(struct thing, FIELD_TIMER, timer),
};

static const struct state_class thing_class = {
	.name = "thing",
	.version = 1,
	.size = sizeof(struct thing),
	.fields = fields,
	.field_count = 6,
	.check = check,
	.saving = saving,
	.loaded = loaded,
};

/* The same class two releases later. */
static const struct field new_fields[] = {
	FIELD_ARRAY(struct thing, FIELD_U64, d, 2),
	FIELD(struct thing, FIELD_U8, a),
	FIELD_ARRAY(struct thing, FIELD_U16, b, 3),
	{ .name = "c",
	  .type = FIELD_U32,
	  .offset = offsetof(struct thing, c),
	  .count = 1,
	  .since = 3 },
};
static const struct field old_fields[] = {
	FIELD(struct thing, FIELD_U8, a),
	FIELD_ARRAY(struct thing, FIELD_U16, b, 3),
	FIELD_ARRAY(struct thing, FIELD_U64, d, 2),
};
static const struct state_class new_class = {
	.name = "gadget",
	.version = 3,
	.size = sizeof(struct thing),
	.fields = new_fields,
	.field_count = 4,
};
static const struct state_class old_class = {
	.name = "gadget",
	.version = 1,
	.size = sizeof(struct thing),
	.fields = old_fields,
	.field_count = 3,
};

static int setup(void **state)
{
	fake_host_reset();
	return fake_live() ? -1 : 0;
}

static int teardown(void **state)
{
	return fake_live() ? -1 : 0;
}

static void knows_the_checksum(void **state)
{
	/* The check value that the CRC catalogues give for CRC-32. */
	assert_int_equal(state_crc((const uint8_t *)"123456789", 9),
			 0xcbf43926);
	assert_int_equal(state_crc(NULL, 0), 0);
}

/* The format is a promise between releases: byte for byte. */
static void writes_the_documented_bytes(void **state)
{
	static const struct field one[] = {
		FIELD_ARRAY(struct thing, FIELD_U16, b, 3),
	};
	static const struct state_class small = {
		.name = "ab",
		.version = 2,
		.size = sizeof(struct thing),
		.fields = one,
		.field_count = 1,
	};
	static const uint8_t expected[] = {
		'L', 'O', 'D', 'G', 'E', 'V', 'M', '1', 1, 0, 0, 0, 1, 0, 0, 0,
		26,  0,	  0,   0,   2,	 0,   'a', 'b', 5, 0, 0, 0, 2, 0, 1, 0,
		1,   0,	  'b', 2,   3,	 0,   0,   0,	1, 2, 3, 4, 5, 6,
	};
	struct thing t = { .b = { 0x0201, 0x0403, 0x0605 } };
	struct state_item item = { &small, &t, 5 };
	struct state_buffer out = { 0 };

	assert_int_equal(state_save(&item, 1, &out), 0);
	assert_int_equal(out.size, sizeof(expected) + 4);
	assert_memory_equal(out.data, expected, sizeof(expected));
	host_free(out.data);
}

static void goes_round(void **state)
{
	roundtrip_check(&thing_class, NULL, valid);
	roundtrip_check(&new_class, NULL, NULL);
}

static void calls_the_hooks(void **state)
{
	struct thing t = { .a = 1 };
	struct state_item item = { &thing_class, &t, 0 };
	struct state_buffer out = { 0 };
	struct state_error error;

	assert_int_equal(state_save(&item, 1, &out), 0);
	assert_int_equal(t.saved, 1);
	assert_int_equal(state_load(&item, 1, out.data, out.size, NULL, NULL),
			 0);
	assert_int_equal(t.loads, 1);
	t.a = 100;
	assert_int_equal(state_save(&item, 1, &out), 0);
	t.a = 1;
	assert_int_equal(state_load(&item, 1, out.data, out.size, NULL, &error),
			 -VM_EBADMSG);
	assert_string_equal(error.text,
			    "saved state: thing.0: holds impossible values");
	assert_int_equal(t.a, 1);
	assert_int_equal(t.loads, 1);
	host_free(out.data);
}

static void nothing(void *ctx)
{
}

static void arms_timers(void **state)
{
	struct host_lock lock = { 0 };
	struct clock clock;
	struct thing t = { 0 };
	struct state_item item = { &thing_class, &t, 0 };
	struct state_buffer out = { 0 };

	clock_init(&clock, &lock);
	timer_init(&t.timer, nothing, NULL);
	timer_arm(&clock, &t.timer, 500);
	assert_int_equal(state_save(&item, 1, &out), 0);
	timer_arm(&clock, &t.timer, 900);
	assert_int_equal(state_load(&item, 1, out.data, out.size, &clock, NULL),
			 0);
	assert_true(t.timer.armed);
	assert_int_equal(t.timer.deadline, 500);
	assert_ptr_equal(clock.first, &t.timer);

	timer_cancel(&clock, &t.timer);
	assert_int_equal(state_save(&item, 1, &out), 0);
	timer_arm(&clock, &t.timer, 900);
	assert_int_equal(state_load(&item, 1, out.data, out.size, &clock, NULL),
			 0);
	assert_false(t.timer.armed);
	assert_null(clock.first);
	host_free(out.data);
}

static void reads_older_releases(void **state)
{
	struct thing old = { .a = 1, .b = { 2, 3, 4 }, .d = { 5, 6 } };
	struct thing new = { .c = 77 };
	struct state_item from = { &old_class, &old, 0 };
	struct state_item to = { &new_class, &new, 0 };
	struct state_buffer out = { 0 };
	struct state_error error;

	assert_int_equal(state_save(&from, 1, &out), 0);
	assert_int_equal(state_load(&to, 1, out.data, out.size, NULL, NULL), 0);
	assert_int_equal(new.a, 1);
	assert_int_equal(new.d[1], 6);
	assert_int_equal(new.c, 77); /* its reset value */

	assert_int_equal(state_save(&to, 1, &out), 0);
	assert_int_equal(state_check(&from, 1, out.data, out.size, &error),
			 -VM_ENOTSUP);
	assert_string_equal(error.text, "saved state: gadget.0: "
					"saved by a newer release");
	host_free(out.data);
}

static void names_what_it_refuses(void **state)
{
	struct thing t[2] = { 0 };
	struct state_item items[] = {
		{ &old_class, &t[0], 0 },
		{ &old_class, &t[1], 1 },
	};
	struct state_item other = { &thing_class, &t[0], 0 };
	struct state_buffer out = { 0 };
	struct state_error error;

	assert_int_equal(state_save(items, 1, &out), 0);
	assert_int_equal(state_check(items, 2, out.data, out.size, &error),
			 -VM_ENOENT);
	assert_string_equal(error.text, "saved state: gadget.1: missing");
	assert_int_equal(state_check(&other, 1, out.data, out.size, &error),
			 -VM_ENOTSUP);
	assert_string_equal(error.text, "saved state: gadget: "
					"this machine has no such part");
	out.data[out.size - 1] ^= 1;
	assert_int_equal(state_check(items, 1, out.data, out.size, &error),
			 -VM_EBADMSG);
	assert_string_equal(error.text,
			    "saved state: damaged (wrong checksum)");
	assert_int_equal(
		state_check(items, 1, (const uint8_t *)"GIF89a", 6, &error),
		-VM_EBADMSG);
	assert_string_equal(error.text, "saved state: not a saved machine");
	host_free(out.data);
}

static void all_or_nothing(void **state)
{
	struct thing t[2] = { { .a = 1 }, { .a = 2 } };
	struct state_item items[] = {
		{ &thing_class, &t[0], 0 },
		{ &thing_class, &t[1], 1 },
	};
	struct state_buffer out = { 0 };
	uint32_t crc;

	t[1].a = 100; /* the second one will be refused */
	assert_int_equal(state_save(items, 2, &out), 0);
	crc = state_crc(out.data, out.size - 4);
	assert_memory_equal(out.data + out.size - 4, &crc, 4);
	t[0].a = 50;
	assert_int_equal(state_load(items, 2, out.data, out.size, NULL, NULL),
			 -VM_EBADMSG);
	assert_int_equal(t[0].a, 50);
	host_free(out.data);
}

static void survives_without_memory(void **state)
{
	struct thing t = { 0 };
	struct state_item item = { &thing_class, &t, 0 };
	struct state_buffer out = { 0 };
	struct state_error error;

	fake_fail_alloc(1);
	assert_int_equal(state_save(&item, 1, &out), -VM_ENOMEM);
	assert_int_equal(state_save(&item, 1, &out), 0);
	fake_fail_alloc(1);
	assert_int_equal(state_check(&item, 1, out.data, out.size, &error),
			 -VM_ENOMEM);
	fake_fail_alloc(2);
	assert_int_equal(state_load(&item, 1, out.data, out.size, NULL, &error),
			 -VM_ENOMEM);
	fake_fail_alloc(3);
	assert_int_equal(state_load(&item, 1, out.data, out.size, NULL, &error),
			 -VM_ENOMEM);
	assert_int_equal(t.loads, 0);
	host_free(out.data);
}

static void grows_its_buffer(void **state)
{
	static uint8_t big[100000];
	static const struct field field = { .name = "bytes",
					    .type = FIELD_U8,
					    .count = sizeof(big) };
	static const struct state_class class = { .name = "big",
						  .version = 1,
						  .size = sizeof(big),
						  .fields = &field,
						  .field_count = 1 };
	struct state_item item = { &class, big, 0 };
	struct state_buffer out = { 0 };

	big[sizeof(big) - 1] = 7;
	assert_int_equal(state_save(&item, 1, &out), 0);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(state_load(&item, 1, out.data, out.size, NULL, NULL),
			 0);
	assert_int_equal(big[sizeof(big) - 1], 7);
	host_free(out.data);
}

static void finds_tables_that_lie(void **state)
{
	static const struct field outside = {
		.name = "x", .type = FIELD_U64, .offset = 4, .count = 1
	};
	static const struct state_class class = { .name = "x",
						  .version = 1,
						  .size = 8,
						  .fields = &outside,
						  .field_count = 1 };
	uint64_t object = 0;
	struct state_item item = { &class, &object, 0 };
	struct state_buffer out = { 0 };

	assert_true(fake_catches_bug(state_save(&item, 1, &out)));
	host_free(out.data);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(knows_the_checksum),
		TEST(writes_the_documented_bytes),
		TEST(goes_round),
		TEST(calls_the_hooks),
		TEST(arms_timers),
		TEST(reads_older_releases),
		TEST(names_what_it_refuses),
		TEST(all_or_nothing),
		TEST(survives_without_memory),
		TEST(grows_its_buffer),
		TEST(finds_tables_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

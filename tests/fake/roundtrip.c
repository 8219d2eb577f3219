/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generated round-trip and damage tests for saved state; see roundtrip.h.
 */
#include "fake/roundtrip.h"

#include <stdlib.h>
#include <string.h>

#include "fake/test.h"
#include "vm/clock.h"
#include "vm/error.h"
#include "vm/host.h"

#define INSTANCE 7

struct roundtrip {
	const struct state_class *class;
	uint8_t *object;
	void (*valid)(void *object);
	struct state_item item;
	struct state_buffer stream;
};

static const size_t element_sizes[] = {
	[FIELD_U8] = 1,
	[FIELD_U16] = 2,
	[FIELD_U32] = 4,
	[FIELD_U64] = 8,
	[FIELD_BOOL] = sizeof(bool),
	[FIELD_TIMER] = sizeof(struct timer),
};

static size_t field_size(const struct field *f)
{
	return f->count * element_sizes[f->type];
}

static void check_table(const struct state_class *class)
{
	unsigned int i, j;

	assert_true(class->version >= 1);
	for (i = 0; i < class->field_count; i++) {
		const struct field *f = &class->fields[i];

		assert_in_range(f->type, FIELD_U8, FIELD_TIMER);
		assert_true(f->count > 0);
		assert_true(f->since <= class->version);
		assert_true(f->offset + field_size(f) <= class->size);
		for (j = 0; j < i; j++) {
			const struct field *g = &class->fields[j];

			if (!strcmp(f->name, g->name))
				fail_msg("%s: field %s twice", class->name,
					 f->name);
			if (f->offset < g->offset + field_size(g) &&
			    g->offset < f->offset + field_size(f))
				fail_msg("%s: %s overlaps %s", class->name,
					 f->name, g->name);
		}
	}
}

/* Writes values that differ from element to element and seed to seed. */
static void fill(const struct roundtrip *t, uint64_t seed)
{
	unsigned int i;
	uint32_t n;

	for (i = 0; i < t->class->field_count; i++) {
		const struct field *f = &t->class->fields[i];

		for (n = 0; n < f->count; n++) {
			uint8_t *at = t->object + f->offset +
				      n * element_sizes[f->type];

			seed = seed * UINT64_C(6364136223846793005) +
			       UINT64_C(1442695040888963407);
			if (f->type == FIELD_BOOL)
				*(bool *)at = seed >> 63;
			else if (f->type == FIELD_TIMER)
				((struct timer *)at)->deadline = seed >> 8;
			else
				memcpy(at, (uint8_t *)&seed + 3,
				       element_sizes[f->type] > 5
					       ? 5
					       : element_sizes[f->type]);
		}
	}
	if (t->valid)
		t->valid(t->object);
}

static void compare(const struct roundtrip *t, const uint8_t *before)
{
	unsigned int i;
	uint32_t n;

	for (i = 0; i < t->class->field_count; i++) {
		const struct field *f = &t->class->fields[i];

		for (n = 0; n < f->count; n++) {
			size_t at = f->offset + n * element_sizes[f->type];
			const void *a = t->object + at, *b = before + at;
			bool same;

			if (f->type == FIELD_TIMER)
				same = ((const struct timer *)a)->deadline ==
				       ((const struct timer *)b)->deadline;
			else
				same = !memcmp(a, b, element_sizes[f->type]);
			if (!same)
				fail_msg("%s: %s[%u] did not come back",
					 t->class->name, f->name, n);
		}
	}
}

static void there_and_back(struct roundtrip *t)
{
	struct state_buffer again = { 0 };
	struct state_error error = { "" };
	uint8_t *before = malloc(t->class->size);

	assert_non_null(before);
	fill(t, 1);
	assert_int_equal(state_save(&t->item, 1, &t->stream), 0);
	memcpy(before, t->object, t->class->size);
	fill(t, 2);
	if (state_load(&t->item, 1, t->stream.data, t->stream.size, NULL,
		       &error))
		fail_msg("%s: refused: %s", t->class->name, error.text);
	compare(t, before);
	assert_int_equal(state_save(&t->item, 1, &again), 0);
	assert_int_equal(again.size, t->stream.size);
	assert_memory_equal(again.data, t->stream.data, again.size);
	host_free(again.data);
	free(before);
}

/*
 * Offers `size` bytes in a block of exactly that size (so that a sanitizer
 * sees a read past it). Gives what state_check() gave.
 */
static int offer(struct roundtrip *t, const uint8_t *data, size_t size)
{
	struct state_error error = { "" };
	uint8_t *exact = malloc(size ? size : 1);
	int err;

	assert_non_null(exact);
	memcpy(exact, data, size);
	err = state_check(&t->item, 1, exact, size, &error);
	assert_true((err != 0) == (error.text[0] != '\0'));
	free(exact);
	return err;
}

static void seal(uint8_t *data, size_t size)
{
	uint32_t crc = state_crc(data, size - 4);
	unsigned int i;

	for (i = 0; i < 4; i++)
		data[size - 4 + i] = (uint8_t)(crc >> (8 * i));
}

/* Long streams are not tried at every byte: the time goes with the square. */
static size_t step(size_t size)
{
	return size > 4096 ? 1 + size / 4096 : 1;
}

static void damage(struct roundtrip *t)
{
	size_t i, size = t->stream.size;
	uint8_t *bad = malloc(size + 1);

	assert_non_null(bad);
	for (i = 0; i < size; i += step(size)) {
		memcpy(bad, t->stream.data, size);
		if (!offer(t, bad, i))
			fail_msg("%s: accepted %zu of %zu bytes",
				 t->class->name, i, size);
		if (i > 20) {
			seal(bad, i);
			if (!offer(t, bad, i))
				fail_msg("%s: accepted %zu sealed bytes",
					 t->class->name, i);
			memcpy(bad, t->stream.data, size);
		}
		bad[i] ^= (uint8_t)(1 + i % 255);
		if (!offer(t, bad, size))
			fail_msg("%s: accepted a changed byte %zu",
				 t->class->name, i);
		if (i < size - 4) {
			seal(bad, size);
			offer(t, bad, size); /* may be a value like another */
		}
	}
	memcpy(bad, t->stream.data, size);
	bad[size] = 0;
	assert_int_not_equal(offer(t, bad, size + 1), 0);
	seal(bad, size + 1);
	assert_int_not_equal(offer(t, bad, size + 1), 0);
	free(bad);
}

/* Offsets in a stream of one record; see state.h. */
#define AT_RECORDS 12
#define AT_RECORD  16
#define AT_NAME	   (AT_RECORD + 4 + 2)

static void misfits(struct roundtrip *t)
{
	size_t name = strlen(t->class->name), size = t->stream.size;
	size_t record = size - AT_RECORD - 4;
	uint8_t *bad = malloc(size + record);

	assert_non_null(bad);
	memcpy(bad, t->stream.data, size);
	bad[AT_NAME] ^= 0x80;
	seal(bad, size);
	assert_int_equal(offer(t, bad, size), -VM_ENOTSUP);

	memcpy(bad, t->stream.data, size);
	bad[AT_NAME + name] ^= 1; /* instance */
	seal(bad, size);
	assert_int_equal(offer(t, bad, size), -VM_ENOTSUP);

	memcpy(bad, t->stream.data, size);
	bad[AT_NAME + name + 4] += 1; /* class version */
	seal(bad, size);
	assert_int_equal(offer(t, bad, size), -VM_ENOTSUP);

	memcpy(bad, t->stream.data, size);
	memcpy(bad + AT_RECORD + record, t->stream.data + AT_RECORD, record);
	bad[AT_RECORDS] = 2;
	seal(bad, size + record);
	assert_int_equal(offer(t, bad, size + record), -VM_EBADMSG);

	bad[AT_RECORDS] = 0;
	seal(bad, AT_RECORD + 4);
	assert_int_equal(offer(t, bad, AT_RECORD + 4), -VM_ENOENT);
	free(bad);
}

/* A refused stream leaves the object as it was. */
static void untouched(struct roundtrip *t)
{
	uint8_t *before = malloc(t->class->size);

	assert_non_null(before);
	fill(t, 3);
	memcpy(before, t->object, t->class->size);
	t->stream.data[t->stream.size / 2] ^= 0x55;
	assert_int_not_equal(state_load(&t->item, 1, t->stream.data,
					t->stream.size, NULL, NULL),
			     0);
	assert_memory_equal(before, t->object, t->class->size);
	free(before);
}

void roundtrip_check(const struct state_class *class, void *object,
		     void (*valid)(void *object))
{
	struct roundtrip t = { .class = class, .valid = valid };
	void *own = object ? NULL : host_alloc(class->size);

	check_table(class);
	t.object = object ? object : own;
	assert_non_null(t.object);
	t.item = (struct state_item){ .class = class,
				      .object = t.object,
				      .instance = INSTANCE };
	there_and_back(&t);
	damage(&t);
	misfits(&t);
	untouched(&t);
	host_free(t.stream.data);
	host_free(own);
}

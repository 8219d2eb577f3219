/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the reader of saved state. Each input is read as it is and
 * again with its checksum made right, which lets the fuzzer through to what
 * lies behind it. A stream that is accepted must load, and then save to
 * something that loads again.
 */
#include "fuzz_state.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vm/clock.h"
#include "vm/error.h"
#include "vm/host.h"
#include "vm/state.h"

struct thing {
	uint8_t a;
	uint16_t b[3];
	uint32_t c;
	uint64_t d[2];
	bool e[2];
	struct timer timer;
};

static int check(const void *object)
{
	return ((const struct thing *)object)->a > 200 ? -VM_EBADMSG : 0;
}

static const struct field fields[] = {
	FIELD(struct thing, FIELD_U8, a),
	FIELD_ARRAY(struct thing, FIELD_U16, b, 3),
	FIELD(struct thing, FIELD_U32, c),
	FIELD_ARRAY(struct thing, FIELD_U64, d, 2),
	{ .name = "e",
	  .type = FIELD_BOOL,
	  .offset = offsetof(struct thing, e),
	  .count = 2,
	  .since = 2 },
	FIELD(struct thing, FIELD_TIMER, timer),
};

static const struct state_class class = {
	.name = "thing",
	.version = 2,
	.size = sizeof(struct thing),
	.fields = fields,
	.field_count = sizeof(fields) / sizeof(fields[0]),
	.check = check,
};

static void fire(void *ctx)
{
}

static void demand(bool holds)
{
	if (!holds)
		abort();
}

/* Two things and what they need. */
struct machine {
	struct host_lock lock;
	struct clock clock;
	struct thing thing[2];
	struct state_item item[2];
};

static void machine_init(struct machine *m)
{
	unsigned int i;

	memset(m, 0, sizeof(*m));
	clock_init(&m->clock, &m->lock);
	for (i = 0; i < 2; i++) {
		timer_init(&m->thing[i].timer, fire, NULL);
		m->item[i] = (struct state_item){ &class, &m->thing[i], i };
	}
}

static void read_stream(const uint8_t *data, size_t size)
{
	struct state_buffer again = { 0 };
	struct state_error error = { "" };
	struct machine m;
	int err;

	machine_init(&m);
	err = state_check(m.item, 2, data, size, &error);
	demand((err != 0) == (error.text[0] != '\0'));
	demand(memchr(error.text, '\0', sizeof(error.text)) != NULL);
	demand(state_load(m.item, 2, data, size, &m.clock, NULL) == err);
	if (err)
		return;
	demand(state_save(m.item, 2, &again) == 0);
	demand(state_load(m.item, 2, again.data, again.size, &m.clock,
			  &error) == 0);
	host_free(again.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *sealed;
	uint32_t crc;

	read_stream(data, size);
	if (size < sizeof(crc))
		return 0;
	/* Of just this size, for the sanitizer to see a read past the end. */
	sealed = malloc(size);
	demand(sealed != NULL);
	crc = state_crc(data, size - sizeof(crc));
	memcpy(sealed, data, size - sizeof(crc));
	memcpy(sealed + size - sizeof(crc), &crc, sizeof(crc));
	read_stream(sealed, size);
	free(sealed);
	return 0;
}

size_t fuzz_state_seed(uint8_t *stream, size_t max)
{
	struct state_buffer out = { 0 };
	struct machine m;
	size_t size;

	machine_init(&m);
	demand(state_save(m.item, 2, &out) == 0);
	size = out.size < max ? out.size : max;
	memcpy(stream, out.data, size);
	host_free(out.data);
	return size;
}

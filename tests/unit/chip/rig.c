/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench for chips; see rig.h.
 */
#include "rig.h"

void rig_init(struct rig *rig)
{
	fake_host_reset();
	memset(rig, 0, sizeof(*rig));
	vm_init(&rig->vm, "rig");
	clock_start(&rig->vm.clock);
}

static void rig_set(void *object, unsigned int line, bool level)
{
	struct rig *rig = object;

	assert_in_range(line, 0, RIG_LINES - 1);
	if (level && !rig->level[line])
		rig->rises[line]++;
	if (!level && rig->level[line])
		rig->falls[line]++;
	rig->level[line] = level;
}

struct irq rig_line(struct rig *rig, unsigned int line)
{
	return (struct irq){ rig_set, rig, line };
}

void rig_run(struct rig *rig, uint64_t ns)
{
	uint64_t end = host_monotonic_ns() + ns, next;

	for (;;) {
		next = clock_run(&rig->vm.clock);
		if (next > end)
			break;
		if (next > host_monotonic_ns())
			fake_time_advance(next - host_monotonic_ns());
	}
	fake_time_advance(end - host_monotonic_ns());
}

void rig_restore(struct rig *rig, const struct state_item *items,
		 unsigned int count, int (*setup)(void **state))
{
	struct clock *clock = &rig->vm.clock;
	struct state_buffer stream = { 0 };
	struct state_error error = { "" };
	uint64_t now, wall = host_realtime_ns();
	bool level[RIG_LINES];
	uint8_t *copy;
	size_t size;

	clock_stop(clock);
	now = clock_now(clock);
	assert_int_equal(state_save(items, count, &stream), 0);
	size = stream.size;
	copy = malloc(size); /* the fake host forgets its own memory */
	assert_non_null(copy);
	memcpy(copy, stream.data, size);
	host_free(stream.data);
	memcpy(level, rig->level, sizeof(level));

	assert_int_equal(setup(NULL), 0);
	clock_stop(clock);
	fake_time_advance(now + SECOND);
	fake_realtime_set(wall);
	clock_set(clock, now);
	memcpy(rig->level, level, sizeof(level));
	memset(rig->rises, 0, sizeof(rig->rises));
	memset(rig->falls, 0, sizeof(rig->falls));
	if (state_load(items, count, copy, size, clock, &error))
		fail_msg("refused: %s", error.text);
	free(copy);
	clock_start(clock);
}

uint8_t rig_in(struct rig *rig, uint16_t port)
{
	return (uint8_t)bus_read(&rig->vm.pio, port, 1);
}

void rig_out(struct rig *rig, uint16_t port, uint8_t value)
{
	bus_write(&rig->vm.pio, port, 1, value);
}

uint32_t rig_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) +
		UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 32);
}

void rig_fuzz(struct rig *rig, struct bus *bus, uint64_t base, uint64_t size,
	      unsigned int rounds)
{
	uint64_t seed = base + size;
	unsigned int i;

	for (i = 0; i < rounds; i++) {
		uint64_t at = base + rig_random(&seed) % (size + 8) - 4;
		unsigned int bytes = 1u << (rig_random(&seed) & 3);
		uint64_t value = (uint64_t)rig_random(&seed) << 32;

		value |= rig_random(&seed);
		if (rig_random(&seed) & 1)
			value &= 0xff;
		if (rig_random(&seed) & 1)
			bus_write(bus, at, bytes, value);
		else
			bus_read(bus, at, bytes);
		if (rig_random(&seed) % 4 == 0)
			rig_run(rig, rig_random(&seed) % MS);
		assert_int_equal(rig->vm.device_lock.word, 0);
	}
}

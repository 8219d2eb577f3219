/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8254 timer and port 0x61; see pit.h. A channel keeps when its sequence
 * began; count and OUT are computed from that when looked at. The clock is
 * armed for the rising edges of channel 0's OUT alone. Periods shorter than
 * PIT_MIN_PERIOD_NS count right but interrupt no faster than that, and
 * periods missed while the event loop was late are one interrupt. Left out:
 * the extra clock pulse that loads a count.
 */
#include "chip/pit.h"

#include "chip/ticks.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define PIT_MIN_PERIOD_NS 20000u
#define PIT_REFRESH_NS	  15085u /* port 0x61 bit 4 toggles at this rate */

enum pit_mode {
	PIT_TERMINAL_COUNT,
	PIT_ONE_SHOT,
	PIT_RATE,
	PIT_SQUARE,
	PIT_SOFT_STROBE,
	PIT_HARD_STROBE,
};

/* Control word */
#define PIT_READ_BACK	    0xc0
#define PIT_BACK_NO_COUNT   0x20
#define PIT_BACK_NO_STATUS  0x10
#define PIT_ACCESS(v)	    (((v) >> 4) & 3)
#define PIT_ACCESS_LATCH    0
#define PIT_ACCESS_LOW	    1
#define PIT_ACCESS_HIGH	    2
#define PIT_ACCESS_BOTH	    3

/* Port 0x61 */
#define PORT61_GATE	0x01
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH	0x10
#define PORT61_OUT	0x20

static uint64_t pit_now(const struct pit *pit)
{
	return ticks_from_ns(clock_now(&pit->vm->clock), PIT_HZ);
}

static bool pit_is_periodic(const struct pit_channel *ch)
{
	return ch->mode == PIT_RATE || ch->mode == PIT_SQUARE;
}

/* Modes that begin with a rising gate and then do not look at it. */
static bool pit_is_triggered(const struct pit_channel *ch)
{
	return ch->mode == PIT_ONE_SHOT || ch->mode == PIT_HARD_STROBE;
}

/* Ticks counted of the present sequence. */
static uint64_t pit_elapsed(const struct pit_channel *ch, uint64_t now)
{
	if (!ch->loaded || (pit_is_triggered(ch) && !ch->triggered))
		return 0;
	if (!pit_is_triggered(ch) && !ch->gate)
		return ch->spent;
	return now - ch->start;
}

/* Steps a periodic channel over the periods that have ended. */
static void pit_settle(struct pit_channel *ch, uint64_t now)
{
	uint64_t elapsed = pit_elapsed(ch, now);

	if (!pit_is_periodic(ch) || !ch->gate || elapsed < ch->count)
		return;
	ch->start += ch->count;
	elapsed -= ch->count;
	ch->count = ch->next;
	ch->start += elapsed / ch->count * ch->count;
}

/* High ticks of a square wave: an odd count is high one longer. */
static uint32_t pit_half(const struct pit_channel *ch)
{
	return (ch->count + 1) / 2;
}

/* The count as software reads it. */
static uint16_t pit_value(struct pit_channel *ch, uint64_t now)
{
	uint64_t elapsed, value;

	pit_settle(ch, now);
	elapsed = pit_elapsed(ch, now);
	if (ch->mode == PIT_SQUARE) {
		if (elapsed >= pit_half(ch))
			elapsed -= pit_half(ch);
		value = (ch->count & ~1u) - 2 * elapsed;
	} else {
		value = ch->count - elapsed;
	}
	if (!ch->bcd)
		return (uint16_t)value;
	/* A count below zero goes on from 9999. */
	if (elapsed > ch->count)
		value = 10000 - (elapsed - ch->count) % 10000;
	value %= 10000;
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 |
			  value / 100 % 10 << 8 | value / 1000 << 12);
}

static bool pit_out(struct pit_channel *ch, uint64_t now)
{
	uint64_t elapsed;

	if (!ch->loaded)
		return ch->mode != PIT_TERMINAL_COUNT;
	pit_settle(ch, now);
	elapsed = pit_elapsed(ch, now);
	switch (ch->mode) {
	case PIT_TERMINAL_COUNT:
		return elapsed >= ch->count;
	case PIT_ONE_SHOT:
		return !ch->triggered || elapsed >= ch->count;
	case PIT_RATE:
		return !ch->gate || elapsed != ch->count - 1;
	case PIT_SQUARE:
		return !ch->gate || elapsed < pit_half(ch);
	default: /* strobes: low for the tick after the count */
		return elapsed != ch->count;
	}
}

/* Arms the clock for channel 0's next rising edge. */
static void pit_arm(struct pit *pit, uint64_t now)
{
	struct pit_channel *ch = &pit->channel[0];
	uint64_t ticks, deadline, soonest;

	pit_settle(ch, now);
	ticks = ch->count + (ch->mode == PIT_SOFT_STROBE);
	if (!ch->loaded || pit_is_triggered(ch) ||
	    (!pit_is_periodic(ch) && pit_elapsed(ch, now) >= ticks)) {
		timer_cancel(&pit->vm->clock, &pit->timer);
		return;
	}
	deadline = ticks_to_ns(ch->start + ticks, PIT_HZ);
	soonest = clock_now(&pit->vm->clock) + PIT_MIN_PERIOD_NS;
	if (pit_is_periodic(ch) && deadline < soonest &&
	    ch->count < PIT_HZ / (1000000000u / PIT_MIN_PERIOD_NS))
		deadline = soonest;
	timer_arm(&pit->vm->clock, &pit->timer, deadline);
}

/* Held: the device lock. */
static void pit_fire(void *ctx)
{
	struct pit *pit = ctx;

	if (pit->channel[0].mode != PIT_TERMINAL_COUNT)
		irq_set(&pit->irq, false);
	irq_set(&pit->irq, true);
	pit_arm(pit, pit_now(pit));
}

/* A new count, after its last byte. */
static void pit_load(struct pit *pit, struct pit_channel *ch, uint16_t raw)
{
	uint64_t now = pit_now(pit);
	uint32_t value = raw;

	if (ch->bcd)
		value = (raw & 0xfu) + (raw >> 4 & 0xfu) * 10 +
			(raw >> 8 & 0xfu) * 100 + (raw >> 12 & 0xfu) * 1000;
	if (!value)
		value = ch->bcd ? 10000 : 0x10000;
	pit_settle(ch, now);
	ch->next = value;
	/* Running sequences of these modes end with the count they had. */
	if (!ch->loaded || !(pit_is_periodic(ch) ? ch->gate : ch->triggered)) {
		ch->count = value;
		ch->start = now;
		ch->spent = 0;
	}
	ch->loaded = 1;
	if (ch != &pit->channel[0])
		return;
	irq_set(&pit->irq, ch->mode != PIT_TERMINAL_COUNT);
	pit_arm(pit, now);
}

static void pit_set_gate(struct pit_channel *ch, bool gate, uint64_t now)
{
	if (ch->gate == gate)
		return;
	pit_settle(ch, now);
	if (!gate) {
		ch->spent = pit_elapsed(ch, now);
	} else if (pit_is_triggered(ch) || pit_is_periodic(ch)) {
		ch->count = ch->next;
		ch->start = now;
		ch->triggered = pit_is_triggered(ch) && ch->loaded;
	} else {
		ch->start = now - ch->spent;
	}
	ch->gate = gate;
}

static void pit_latch_count(struct pit_channel *ch, uint64_t now)
{
	if (ch->latch_left)
		return;
	ch->latch = pit_value(ch, now);
	ch->latch_left = ch->access == PIT_ACCESS_BOTH ? 2 : 1;
}

static void pit_latch_status(struct pit_channel *ch, uint64_t now)
{
	if (ch->status_latched)
		return;
	ch->status = (uint8_t)(pit_out(ch, now) << 7 |
			       (!ch->loaded || ch->next != ch->count) << 6 |
			       ch->access << 4 | ch->mode << 1 | ch->bcd);
	ch->status_latched = 1;
}

static void pit_read_back(struct pit *pit, uint8_t value)
{
	uint64_t now = pit_now(pit);
	unsigned int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		if (!(value & (2u << i)))
			continue;
		if (!(value & PIT_BACK_NO_COUNT))
			pit_latch_count(&pit->channel[i], now);
		if (!(value & PIT_BACK_NO_STATUS))
			pit_latch_status(&pit->channel[i], now);
	}
}

static void pit_write_control(struct pit *pit, uint8_t value)
{
	struct pit_channel *ch;

	if ((value & PIT_READ_BACK) == PIT_READ_BACK) {
		pit_read_back(pit, value);
		return;
	}
	ch = &pit->channel[value >> 6];
	if (PIT_ACCESS(value) == PIT_ACCESS_LATCH) {
		pit_latch_count(ch, pit_now(pit));
		return;
	}
	ch->access = PIT_ACCESS(value);
	ch->mode = (value >> 1) & 7;
	if (ch->mode > PIT_HARD_STROBE)
		ch->mode &= 3; /* bit 2 does not matter in modes 2 and 3 */
	ch->bcd = value & 1;
	ch->loaded = 0;
	ch->triggered = 0;
	ch->spent = 0;
	ch->write_second = 0;
	ch->read_second = 0;
	ch->latch_left = 0;
	ch->status_latched = 0;
	if (ch != &pit->channel[0])
		return;
	irq_set(&pit->irq, ch->mode != PIT_TERMINAL_COUNT);
	pit_arm(pit, pit_now(pit));
}

static void pit_write_count(struct pit *pit, struct pit_channel *ch,
			    uint8_t value)
{
	switch (ch->access) {
	case PIT_ACCESS_LOW:
		pit_load(pit, ch, value);
		return;
	case PIT_ACCESS_HIGH:
		pit_load(pit, ch, (uint16_t)(value << 8));
		return;
	}
	ch->write_second ^= 1;
	if (!ch->write_second) {
		pit_load(pit, ch, (uint16_t)(value << 8 | ch->write_low));
		return;
	}
	ch->write_low = value;
	if (ch->mode == PIT_TERMINAL_COUNT) {
		ch->loaded = 0; /* the first byte stops the count */
		if (ch == &pit->channel[0]) {
			irq_set(&pit->irq, false);
			pit_arm(pit, pit_now(pit));
		}
	}
}

static uint8_t pit_read_count(struct pit *pit, struct pit_channel *ch)
{
	bool high = ch->access == PIT_ACCESS_HIGH;
	uint16_t value;

	if (ch->status_latched) {
		ch->status_latched = 0;
		return ch->status;
	}
	if (ch->latch_left) {
		value = ch->latch;
		if (ch->access == PIT_ACCESS_BOTH)
			high = ch->latch_left == 1;
		ch->latch_left--;
	} else {
		value = pit_value(ch, pit_now(pit));
		if (ch->access == PIT_ACCESS_BOTH) {
			high = ch->read_second;
			ch->read_second ^= 1;
		}
	}
	return (uint8_t)(high ? value >> 8 : value);
}

static uint64_t pit_read(void *device, uint64_t offset, unsigned int size)
{
	struct pit *pit = device;

	if (offset >= PIT_CHANNELS)
		return 0xff; /* the control word cannot be read */
	return pit_read_count(pit, &pit->channel[offset]);
}

static void pit_write(void *device, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct pit *pit = device;

	if (offset < PIT_CHANNELS)
		pit_write_count(pit, &pit->channel[offset], (uint8_t)value);
	else
		pit_write_control(pit, (uint8_t)value);
}

static uint64_t pit_read_port61(void *device, uint64_t offset,
				unsigned int size)
{
	struct pit *pit = device;
	uint8_t value = pit->port61;

	if (clock_now(&pit->vm->clock) / PIT_REFRESH_NS & 1)
		value |= PORT61_REFRESH;
	if (pit_out(&pit->channel[2], pit_now(pit)))
		value |= PORT61_OUT;
	return value;
}

static void pit_write_port61(void *device, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	struct pit *pit = device;

	pit->port61 = value & PORT61_WRITABLE;
	pit_set_gate(&pit->channel[2], value & PORT61_GATE, pit_now(pit));
}

static void pit_reset(void *device)
{
	struct pit *pit = device;
	unsigned int i;

	for (i = 0; i < PIT_CHANNELS; i++)
		pit->channel[i] = (struct pit_channel){
			.count = 0x10000,
			.next = 0x10000,
			.access = PIT_ACCESS_BOTH,
			.gate = i != 2,
		};
	pit->port61 = 0;
	timer_cancel(&pit->vm->clock, &pit->timer);
	irq_set(&pit->irq, false);
}

static int pit_check(const void *object)
{
	const struct pit *pit = object;
	unsigned int i;

	for (i = 0; i < PIT_CHANNELS; i++) {
		const struct pit_channel *ch = &pit->channel[i];

		if (!ch->count || ch->count > 0x10000 || !ch->next ||
		    ch->next > 0x10000 || ch->mode > PIT_HARD_STROBE ||
		    ch->bcd > 1 || ch->access > PIT_ACCESS_BOTH ||
		    ch->gate > 1 || (i != 2 && !ch->gate) ||
		    ch->latch_left > 2)
			return -VM_EBADMSG;
	}
	return 0;
}

#define PIT_FIELDS(n_)                                           \
	FIELD(struct pit, FIELD_U32, channel[n_].count),         \
	FIELD(struct pit, FIELD_U32, channel[n_].next),          \
	FIELD(struct pit, FIELD_U64, channel[n_].start),         \
	FIELD(struct pit, FIELD_U64, channel[n_].spent),         \
	FIELD(struct pit, FIELD_U8, channel[n_].mode),           \
	FIELD(struct pit, FIELD_U8, channel[n_].bcd),            \
	FIELD(struct pit, FIELD_U8, channel[n_].access),         \
	FIELD(struct pit, FIELD_U8, channel[n_].gate),           \
	FIELD(struct pit, FIELD_U8, channel[n_].loaded),         \
	FIELD(struct pit, FIELD_U8, channel[n_].triggered),      \
	FIELD(struct pit, FIELD_U8, channel[n_].write_low),      \
	FIELD(struct pit, FIELD_U8, channel[n_].write_second),   \
	FIELD(struct pit, FIELD_U8, channel[n_].read_second),    \
	FIELD(struct pit, FIELD_U16, channel[n_].latch),         \
	FIELD(struct pit, FIELD_U8, channel[n_].latch_left),     \
	FIELD(struct pit, FIELD_U8, channel[n_].status),         \
	FIELD(struct pit, FIELD_U8, channel[n_].status_latched)

static const struct field pit_fields[] = {
	PIT_FIELDS(0),
	PIT_FIELDS(1),
	PIT_FIELDS(2),
	FIELD(struct pit, FIELD_U8, port61),
	FIELD(struct pit, FIELD_TIMER, timer),
};

static const struct state_class pit_state = {
	.name = "pit",
	.version = 1,
	.size = sizeof(struct pit),
	.fields = pit_fields,
	.field_count = sizeof(pit_fields) / sizeof(pit_fields[0]),
	.check = pit_check,
};

const struct device_class pit_class = {
	.name = "pit",
	.reset = pit_reset,
	.state = &pit_state,
};

static const struct bus_ops pit_ops = {
	.read = pit_read,
	.write = pit_write,
	.max_size = 1,
};

static const struct bus_ops pit_port61_ops = {
	.read = pit_read_port61,
	.write = pit_write_port61,
	.max_size = 1,
};

int pit_init(struct pit *pit, struct vm *vm, const struct irq *irq)
{
	int err;

	memset(pit, 0, sizeof(*pit));
	pit->vm = vm;
	pit->irq = *irq;
	timer_init(&pit->timer, pit_fire, pit);
	pit_reset(pit);
	err = bus_add(&vm->pio, 0x40, 4, "pit", &pit_ops, pit);
	if (!err)
		err = bus_add(&vm->pio, 0x61, 1, "port61", &pit_port61_ops,
			      pit);
	if (err)
		return err;
	return vm_add_device(vm, &pit_class, pit);
}

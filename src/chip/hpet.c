/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HPET; see hpet.h. The counter is derived from VM time, a host timer is
 * armed only for comparators that may interrupt. Periods that pass while the
 * host is late are skipped, so that no guest can make the host fall behind.
 */
#include "chip/hpet.h"

#include "vm/bytes.h"
#include "vm/error.h"

/* Registers, from the base (specification 2.3.3). */
#define REG_ID	     0x000u
#define REG_CONFIG   0x010u
#define REG_STATUS   0x020u
#define REG_COUNTER  0x0f0u
#define REG_TIMERS   0x100u
#define TIMER_STRIDE 0x20u
#define TIMER_CONFIG 0x00u
#define TIMER_COMPARATOR 0x08u

#define ID_REVISION 0x01u
#define ID_TIMERS   ((HPET_TIMERS - 1u) << 8)
#define ID_WIDE	    0x2000u
#define ID_LEGACY   0x8000u
#define ID_VENDOR   0x80860000u
#define FEMTOSECONDS_PER_NS 1000000u

#define CONFIG_ENABLE 0x01u
#define CONFIG_LEGACY 0x02u

#define TIMER_LEVEL    0x0002u
#define TIMER_ENABLE   0x0004u
#define TIMER_PERIODIC 0x0008u
#define TIMER_CAN_PERIOD 0x0010u
#define TIMER_CAN_WIDE 0x0020u
#define TIMER_SET      0x0040u
#define TIMER_NARROW   0x0100u
#define TIMER_ROUTE    0x3e00u
#define TIMER_ROUTE_SHIFT 9
#define TIMER_WRITABLE                                                     \
	(TIMER_LEVEL | TIMER_ENABLE | TIMER_PERIODIC | TIMER_SET |         \
	 TIMER_NARROW | TIMER_ROUTE)

/* A deadline further away than this is looked at again then. */
#define FAR_TICKS (UINT64_C(1) << 40)

static bool is_running(const struct hpet *hpet)
{
	return hpet->config & CONFIG_ENABLE;
}

static uint64_t now(const struct hpet *hpet)
{
	uint64_t ns = clock_now(&hpet->vm->clock);

	if (!is_running(hpet))
		return hpet->counter;
	return hpet->counter + (ns - hpet->since) / HPET_TICK_NS;
}

static uint64_t width(const struct hpet_timer *t)
{
	return t->config & TIMER_NARROW ? UINT32_MAX : UINT64_MAX;
}

static bool has_legacy_line(const struct hpet_timer *t)
{
	return (t->hpet->config & CONFIG_LEGACY) && t->index < 2;
}

static const struct irq *line_of(const struct hpet_timer *t)
{
	unsigned int route = (unsigned int)(t->config & TIMER_ROUTE) >>
			     TIMER_ROUTE_SHIFT;

	if (has_legacy_line(t))
		return t->index ? &t->hpet->rtc : &t->hpet->pit;
	if (route >= HPET_LINES || !(HPET_ROUTES >> route & 1))
		return NULL;
	return &t->hpet->line[route];
}

static bool is_level(const struct hpet_timer *t)
{
	return (t->config & TIMER_LEVEL) && !has_legacy_line(t);
}

/* Arms the host timer for the next match. */
static void arm(struct hpet_timer *t)
{
	struct clock *clock = &t->hpet->vm->clock;
	uint64_t ticks;

	if (!is_running(t->hpet) || !(t->config & TIMER_ENABLE)) {
		timer_cancel(clock, &t->timer);
		return;
	}
	ticks = (t->comparator - now(t->hpet)) & width(t);
	/* A match that has just been is a full turn away. */
	if (!ticks)
		ticks = t->config & TIMER_NARROW ? UINT64_C(1) << 32 :
						   FAR_TICKS;
	if (ticks > FAR_TICKS)
		ticks = FAR_TICKS;
	timer_arm(clock, &t->timer, clock_now(clock) + ticks * HPET_TICK_NS);
}

/* A level line follows the status bit. */
static void update_line(struct hpet_timer *t)
{
	const struct irq *line = line_of(t);

	if (line && is_level(t))
		irq_set(line, (t->config & TIMER_ENABLE) &&
				      (t->hpet->status >> t->index & 1));
}

static void drop_line(struct hpet_timer *t)
{
	const struct irq *line = line_of(t);

	if (line && is_level(t))
		irq_set(line, false);
}

static void raise(struct hpet_timer *t)
{
	const struct irq *line = line_of(t);

	if (is_level(t)) {
		t->hpet->status |= 1u << t->index;
		update_line(t);
	} else if (line) {
		irq_pulse(line);
	}
}

/* Held: the device lock. */
static void fire(void *ctx)
{
	struct hpet_timer *t = ctx;
	uint64_t late = (now(t->hpet) - t->comparator) & width(t);

	/* Woken on the way to a match that is far away, or that never was. */
	if (late >= (width(t) < FAR_TICKS ? width(t) : FAR_TICKS) / 2) {
		arm(t);
		return;
	}
	raise(t);
	if ((t->config & TIMER_PERIODIC) && (t->period & width(t))) {
		uint64_t period = t->period & width(t);

		t->comparator += period * (late / period + 1);
		t->comparator &= width(t);
	}
	arm(t);
}

/* --- registers ------------------------------------------------------------ */

uint32_t hpet_id(const struct hpet *hpet)
{
	return ID_VENDOR | ID_WIDE | ID_TIMERS | ID_REVISION |
	       (hpet->legacy_capable ? ID_LEGACY : 0);
}

static uint64_t read_timer(const struct hpet_timer *t, unsigned int reg)
{
	switch (reg) {
	case TIMER_CONFIG:
		return (uint64_t)HPET_ROUTES << 32 | t->config |
		       TIMER_CAN_PERIOD | TIMER_CAN_WIDE;
	case TIMER_COMPARATOR:
		return t->comparator;
	default:
		return 0;
	}
}

static uint64_t read_register(const struct hpet *hpet, unsigned int reg)
{
	unsigned int n = (reg - REG_TIMERS) / TIMER_STRIDE;

	if (reg >= REG_TIMERS)
		return n < HPET_TIMERS ? read_timer(&hpet->timer[n],
						    reg % TIMER_STRIDE) :
					 0;
	switch (reg) {
	case REG_ID:
		return (uint64_t)HPET_TICK_NS * FEMTOSECONDS_PER_NS << 32 |
		       hpet_id(hpet);
	case REG_CONFIG:
		return hpet->config;
	case REG_STATUS:
		return hpet->status;
	case REG_COUNTER:
		return now(hpet);
	default:
		return 0;
	}
}

static uint64_t merge(uint64_t old, uint64_t value, uint64_t mask)
{
	return (old & ~mask) | (value & mask);
}

static void arm_all(struct hpet *hpet)
{
	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		arm(&hpet->timer[i]);
}

/* The two lines of legacy mode: idle for the timers, or their chips' own. */
static void drive_legacy_lines(struct hpet *hpet)
{
	bool legacy = hpet->config & CONFIG_LEGACY;

	irq_set(&hpet->pit, hpet->pit_level && !legacy);
	irq_set(&hpet->rtc, hpet->rtc_level && !legacy);
}

static void write_config(struct hpet *hpet, uint64_t value)
{
	uint64_t counter = now(hpet);
	bool legacy = hpet->config & CONFIG_LEGACY;

	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		drop_line(&hpet->timer[i]);
	hpet->config = value & (CONFIG_ENABLE |
				(hpet->legacy_capable ? CONFIG_LEGACY : 0));
	hpet->counter = counter;
	hpet->since = clock_now(&hpet->vm->clock);
	if (legacy != !!(hpet->config & CONFIG_LEGACY))
		drive_legacy_lines(hpet);
	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		update_line(&hpet->timer[i]);
	arm_all(hpet);
}

/* Writing one ends a level interrupt. */
static void write_status(struct hpet *hpet, uint64_t value)
{
	for (unsigned int i = 0; i < HPET_TIMERS; i++) {
		if (!(value & hpet->status & 1u << i))
			continue;
		hpet->status &= ~(1u << i);
		update_line(&hpet->timer[i]);
	}
}

static void write_counter(struct hpet *hpet, uint64_t value)
{
	hpet->counter = value;
	hpet->since = clock_now(&hpet->vm->clock);
	arm_all(hpet);
}

static void write_timer_config(struct hpet_timer *t, uint64_t value)
{
	drop_line(t);
	t->config = value & TIMER_WRITABLE;
	if (!is_level(t))
		t->hpet->status &= ~(1u << t->index);
	update_line(t);
	t->comparator &= width(t);
	arm(t);
}

/*
 * A periodic timer takes what is written as its period, and also as its next
 * match when it was told so (specification 2.3.9.2.2).
 */
static void write_comparator(struct hpet_timer *t, uint64_t value,
			     uint64_t mask)
{
	if (t->config & TIMER_PERIODIC)
		t->period = merge(t->period, value, mask) & width(t);
	if (!(t->config & TIMER_PERIODIC) || (t->config & TIMER_SET))
		t->comparator = merge(t->comparator, value, mask) & width(t);
	t->config &= ~(uint64_t)TIMER_SET;
	arm(t);
}

static void write_register(struct hpet *hpet, unsigned int reg,
			   uint64_t value, uint64_t mask)
{
	unsigned int n = (reg - REG_TIMERS) / TIMER_STRIDE;

	if (reg >= REG_TIMERS) {
		if (n >= HPET_TIMERS)
			return;
		if (reg % TIMER_STRIDE == TIMER_CONFIG)
			write_timer_config(&hpet->timer[n],
					   merge(hpet->timer[n].config, value,
						 mask));
		else if (reg % TIMER_STRIDE == TIMER_COMPARATOR)
			write_comparator(&hpet->timer[n], value, mask);
		return;
	}
	if (reg == REG_CONFIG)
		write_config(hpet, merge(hpet->config, value, mask));
	else if (reg == REG_STATUS)
		write_status(hpet, value & mask);
	else if (reg == REG_COUNTER)
		write_counter(hpet, merge(now(hpet), value, mask));
}

static uint64_t hpet_read(void *device, uint64_t offset, unsigned int size)
{
	unsigned int reg = (unsigned int)offset & ~7u;

	if (!(offset & 7))
		return read_register(device, reg);
	return read_register(device, reg) >> 32 |
	       (size == 8 ? read_register(device, reg + 8) << 32 : 0);
}

static void hpet_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	const uint64_t low = UINT32_MAX;
	unsigned int reg = (unsigned int)offset & ~7u;

	if (!(offset & 7)) {
		write_register(device, reg, value,
			       size == 8 ? UINT64_MAX : low);
		return;
	}
	write_register(device, reg, value << 32, low << 32);
	if (size == 8)
		write_register(device, reg + 8, value >> 32, low);
}

static const struct bus_ops hpet_ops = {
	.read = hpet_read,
	.write = hpet_write,
	.min_size = 4,
	.max_size = 8,
	.exact = true,
};

/* --- PIT and RTC ---------------------------------------------------------- */

static void set_pit(void *object, unsigned int line, bool level)
{
	struct hpet *hpet = object;

	hpet->pit_level = level;
	if (!(hpet->config & CONFIG_LEGACY))
		irq_set(&hpet->pit, level);
}

static void set_rtc(void *object, unsigned int line, bool level)
{
	struct hpet *hpet = object;

	hpet->rtc_level = level;
	if (!(hpet->config & CONFIG_LEGACY))
		irq_set(&hpet->rtc, level);
}

struct irq hpet_pit_irq(struct hpet *hpet, const struct irq *to)
{
	hpet->pit = *to;
	return (struct irq){ set_pit, hpet, HPET_LINE_PIT };
}

struct irq hpet_rtc_irq(struct hpet *hpet, const struct irq *to)
{
	hpet->rtc = *to;
	return (struct irq){ set_rtc, hpet, HPET_LINE_RTC };
}

/* --- the device ----------------------------------------------------------- */

static void hpet_reset(void *device)
{
	struct hpet *hpet = device;

	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		drop_line(&hpet->timer[i]);
	if (hpet->config & CONFIG_LEGACY) {
		hpet->config = 0;
		drive_legacy_lines(hpet);
	}
	hpet->config = 0;
	hpet->status = 0;
	hpet->counter = 0;
	hpet->since = 0;
	for (unsigned int i = 0; i < HPET_TIMERS; i++) {
		struct hpet_timer *t = &hpet->timer[i];

		t->config = 0;
		t->period = 0;
		t->comparator = UINT64_MAX;
		timer_cancel(&hpet->vm->clock, &t->timer);
	}
}

#define HPET_TIMER_FIELDS(n_)                                  \
	FIELD(struct hpet, FIELD_U64, timer[n_].config),       \
	FIELD(struct hpet, FIELD_U64, timer[n_].comparator),   \
	FIELD(struct hpet, FIELD_U64, timer[n_].period),       \
	FIELD(struct hpet, FIELD_TIMER, timer[n_].timer)

static const struct field hpet_fields[] = {
	FIELD(struct hpet, FIELD_U64, config),
	FIELD(struct hpet, FIELD_U64, status),
	FIELD(struct hpet, FIELD_U64, counter),
	FIELD(struct hpet, FIELD_U64, since),
	FIELD(struct hpet, FIELD_BOOL, pit_level),
	FIELD(struct hpet, FIELD_BOOL, rtc_level),
	HPET_TIMER_FIELDS(0),
	HPET_TIMER_FIELDS(1),
	HPET_TIMER_FIELDS(2),
};

static int hpet_check(const void *object)
{
	const struct hpet *hpet = object;

	for (unsigned int i = 0; i < HPET_TIMERS; i++)
		if (hpet->timer[i].config & ~(uint64_t)TIMER_WRITABLE)
			return -VM_EBADMSG;
	if (hpet->config & ~(uint64_t)(CONFIG_ENABLE | CONFIG_LEGACY))
		return -VM_EBADMSG;
	return hpet->status >> HPET_TIMERS ? -VM_EBADMSG : 0;
}

static const struct state_class hpet_state = {
	.name = "hpet",
	.version = 1,
	.size = sizeof(struct hpet),
	.fields = hpet_fields,
	.field_count = sizeof(hpet_fields) / sizeof(hpet_fields[0]),
	.check = hpet_check,
};

const struct device_class hpet_class = {
	.name = "hpet",
	.reset = hpet_reset,
	.state = &hpet_state,
};

int hpet_init(struct hpet *hpet, struct vm *vm, const struct irq *line,
	      bool legacy)
{
	int err;

	hpet->vm = vm;
	memcpy(hpet->line, line, sizeof(hpet->line));
	hpet->legacy_capable = legacy;
	for (unsigned int i = 0; i < HPET_TIMERS; i++) {
		hpet->timer[i].hpet = hpet;
		hpet->timer[i].index = i;
		timer_init(&hpet->timer[i].timer, fire, &hpet->timer[i]);
	}
	hpet_reset(hpet);
	err = bus_add(&vm->mmio, HPET_BASE, HPET_SIZE, "hpet", &hpet_ops,
		      hpet);
	if (err)
		return err;
	return vm_add_device(vm, &hpet_class, hpet);
}

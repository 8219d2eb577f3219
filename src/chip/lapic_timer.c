/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's timer. Intel SDM vol. 3, 11.5.4. It counts nanoseconds of
 * VM time (LAPIC_TIMER_HZ) through the divider; the current count is
 * computed when it is read, and the clock is only armed for an interrupt
 * that the guest will see. A periodic timer faster than LAPIC_MIN_PERIOD_NS
 * counts right but interrupts no faster than that; periods missed while the
 * event loop was late are one interrupt.
 */
#include "chip/lapic_impl.h"

#include "x86/msr.h"

#define LAPIC_MIN_PERIOD_NS 20000u
#define NS_PER_SECOND	    1000000000ull

static enum lapic_timer_mode lapic_timer_mode(const struct lapic *lapic)
{
	return LAPIC_LVT_TIMER_MODE(lapic_get(&lapic->lvt[LAPIC_LVT_TIMER]));
}

/* log2 of the divider: register bits 3, 1, 0; 111 divides by 1. */
static unsigned int lapic_timer_shift(const struct lapic *lapic)
{
	uint32_t d = lapic->timer_divide;

	return (((d & 3) | ((d >> 1) & 4)) + 1) & 7;
}

static uint64_t lapic_timer_period(const struct lapic *lapic)
{
	return (uint64_t)lapic->timer_initial << lapic_timer_shift(lapic);
}

/*
 * Brings the timer up to `now`: raises the interrupt that has become due and
 * steps the count over periods that have passed. Held: timer_lock.
 */
static void lapic_timer_settle(struct lapic *lapic, uint64_t now)
{
	bool due = lapic->timer_due <= now;
	uint64_t elapsed = now - lapic->timer_start;
	uint64_t period = lapic_timer_period(lapic);

	if (lapic_timer_mode(lapic) == LAPIC_TIMER_DEADLINE) {
		if (due)
			lapic->tsc_deadline = 0;
	} else if (lapic->timer_running && elapsed >= period) {
		if (lapic_timer_mode(lapic) == LAPIC_TIMER_PERIODIC)
			lapic->timer_start += elapsed / period * period;
		else
			lapic->timer_running = false;
	}
	if (due) {
		lapic->timer_due = TIMER_NEVER;
		lapic_raise_local(lapic, LAPIC_LVT_TIMER);
	}
}

/* When the count reaches zero next. Held: timer_lock; settled. */
static void lapic_timer_plan(struct lapic *lapic, uint64_t now)
{
	uint64_t period = lapic_timer_period(lapic);
	uint32_t lvt = lapic_get(&lapic->lvt[LAPIC_LVT_TIMER]);

	if (lapic_timer_mode(lapic) == LAPIC_TIMER_DEADLINE)
		return; /* lapic_timer_set_deadline() planned it */
	lapic->timer_due = TIMER_NEVER;
	if (!lapic->timer_running || (lvt & LAPIC_LVT_MASKED))
		return;
	lapic->timer_due = lapic->timer_start + period;
	if (lapic_timer_mode(lapic) == LAPIC_TIMER_PERIODIC &&
	    period < LAPIC_MIN_PERIOD_NS)
		lapic->timer_due = now + LAPIC_MIN_PERIOD_NS;
}

static void lapic_timer_arm(struct lapic *lapic)
{
	if (lapic->timer_due == TIMER_NEVER)
		timer_cancel(&lapic->vm->clock, &lapic->timer);
	else
		timer_arm(&lapic->vm->clock, &lapic->timer, lapic->timer_due);
}

/* Begins a change of the timer's registers: locks and settles. */
static uint64_t lapic_timer_begin(struct lapic *lapic)
{
	uint64_t now;

	host_lock(&lapic->timer_lock);
	now = clock_now(&lapic->vm->clock);
	lapic_timer_settle(lapic, now);
	return now;
}

static void lapic_timer_end(struct lapic *lapic, uint64_t now)
{
	lapic_timer_plan(lapic, now);
	lapic_timer_arm(lapic);
	host_unlock(&lapic->timer_lock);
}

/*
 * On the clock's thread, device lock held. The vCPU may have programmed the
 * timer anew since the clock took it off its list: then nothing is due.
 */
static void lapic_timer_fire(void *ctx)
{
	struct lapic *lapic = ctx;
	uint64_t now = lapic_timer_begin(lapic);

	lapic_timer_end(lapic, now);
}

void lapic_timer_init(struct lapic *lapic)
{
	timer_init(&lapic->timer, lapic_timer_fire, lapic);
	lapic->timer_due = TIMER_NEVER;
}

void lapic_timer_reset(struct lapic *lapic)
{
	host_lock(&lapic->timer_lock);
	lapic->timer_initial = 0;
	lapic->timer_divide = 0;
	lapic->timer_start = 0;
	lapic->timer_running = false;
	lapic->tsc_deadline = 0;
	lapic->timer_due = TIMER_NEVER;
	lapic_put(&lapic->lvt[LAPIC_LVT_TIMER], LAPIC_LVT_MASKED);
	lapic_timer_arm(lapic);
	host_unlock(&lapic->timer_lock);
}

void lapic_timer_set_lvt(struct lapic *lapic, uint32_t value)
{
	uint64_t now = lapic_timer_begin(lapic);
	bool was_deadline = lapic_timer_mode(lapic) == LAPIC_TIMER_DEADLINE;

	lapic_put(&lapic->lvt[LAPIC_LVT_TIMER], value);
	if (was_deadline != (lapic_timer_mode(lapic) == LAPIC_TIMER_DEADLINE)) {
		/* SDM 11.5.4.1: either way the switch disarms the timer. */
		lapic->timer_running = false;
		lapic->tsc_deadline = 0;
		lapic->timer_due = TIMER_NEVER;
	}
	lapic_timer_end(lapic, now);
}

void lapic_timer_set_initial(struct lapic *lapic, uint32_t value)
{
	uint64_t now = lapic_timer_begin(lapic);

	if (lapic_timer_mode(lapic) != LAPIC_TIMER_DEADLINE) {
		lapic->timer_initial = value;
		lapic->timer_start = now;
		lapic->timer_running = value != 0;
	}
	lapic_timer_end(lapic, now);
}

/* Ticks left of the present count. Held: timer_lock. */
static uint32_t lapic_timer_left(const struct lapic *lapic, uint64_t now)
{
	uint64_t elapsed = now - lapic->timer_start;
	uint64_t period = lapic_timer_period(lapic);

	if (!lapic->timer_running)
		return 0;
	if (elapsed >= period) {
		if (lapic_timer_mode(lapic) != LAPIC_TIMER_PERIODIC)
			return 0;
		elapsed %= period;
	}
	return lapic->timer_initial -
	       (uint32_t)(elapsed >> lapic_timer_shift(lapic));
}

/* The count goes on from where it is, at the new rate. */
void lapic_timer_set_divide(struct lapic *lapic, uint32_t value)
{
	uint64_t now = lapic_timer_begin(lapic);
	uint32_t left = lapic_timer_left(lapic, now);

	lapic->timer_divide = value & 0xb;
	if (lapic->timer_running)
		lapic->timer_start =
			now - ((uint64_t)(lapic->timer_initial - left)
			       << lapic_timer_shift(lapic));
	lapic_timer_end(lapic, now);
}

/* Nanoseconds that `ticks` of the TSC take, rounded up; saturates. */
static uint64_t lapic_tsc_to_ns(uint64_t ticks)
{
	uint64_t hz = host_tsc_hz();
	uint64_t seconds = ticks / hz;

	if (seconds >= UINT64_MAX / NS_PER_SECOND / 2)
		return TIMER_NEVER / 2;
	return seconds * NS_PER_SECOND +
	       (ticks % hz * NS_PER_SECOND + hz - 1) / hz;
}

void lapic_timer_set_deadline(struct lapic *lapic, uint64_t tsc)
{
	uint64_t now = lapic_timer_begin(lapic);
	uint64_t tsc_now = x86_tsc(lapic->cpu);

	if (lapic_timer_mode(lapic) == LAPIC_TIMER_DEADLINE) {
		lapic->tsc_deadline = tsc;
		lapic->timer_due = TIMER_NEVER;
		if (tsc)
			lapic->timer_due = now;
		if (tsc > tsc_now)
			lapic->timer_due += lapic_tsc_to_ns(tsc - tsc_now);
		lapic_timer_settle(lapic, now); /* it may have passed */
	}
	lapic_timer_end(lapic, now);
}

uint32_t lapic_timer_current(struct lapic *lapic)
{
	uint32_t left;

	host_lock(&lapic->timer_lock);
	left = lapic_timer_left(lapic, clock_now(&lapic->vm->clock));
	host_unlock(&lapic->timer_lock);
	return left;
}

uint64_t lapic_timer_deadline(struct lapic *lapic)
{
	uint64_t deadline = 0;

	host_lock(&lapic->timer_lock);
	if (clock_now(&lapic->vm->clock) < lapic->timer_due)
		deadline = lapic->tsc_deadline;
	host_unlock(&lapic->timer_lock);
	return deadline;
}

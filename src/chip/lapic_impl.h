/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the three files of the local APIC share: registers (lapic.c), timer
 * (lapic_timer.c) and routing (lapic_set.c). Not for others.
 */
#ifndef LODGE_CHIP_LAPIC_IMPL_H
#define LODGE_CHIP_LAPIC_IMPL_H

#include "chip/lapic.h"
#include "chip/lapic_reg.h"

static inline uint32_t lapic_get(const _Atomic uint32_t *reg)
{
	return atomic_load_explicit(reg, memory_order_relaxed);
}

static inline void lapic_put(_Atomic uint32_t *reg, uint32_t value)
{
	atomic_store_explicit(reg, value, memory_order_relaxed);
}

static inline bool lapic_on(const struct lapic *lapic)
{
	return atomic_load_explicit(&lapic->base, memory_order_relaxed) &
	       LAPIC_BASE_ENABLE;
}

static inline bool lapic_x2apic(const struct lapic *lapic)
{
	uint64_t base = atomic_load_explicit(&lapic->base,
					     memory_order_relaxed);

	return (base & LAPIC_BASE_ENABLE) && (base & LAPIC_BASE_X2APIC);
}

/*
 * Makes a fixed interrupt pending and wakes the processor; a vector below 16
 * is a receive error instead. Any thread.
 */
void lapic_inject(struct lapic *lapic, uint8_t vector, bool level);

/* Sets a bit of the error status and raises LVT error. Any thread. */
void lapic_error(struct lapic *lapic, uint32_t bit);

/* Raises a local interrupt as its LVT entry says. Any thread. */
void lapic_raise_local(struct lapic *lapic, enum lapic_lvt entry);

/* An interrupt on its way to the LAPICs that it names. */
struct lapic_message {
	uint32_t dest;
	bool wide;    /* dest has 32 bits (x2APIC ICR), else 8 */
	bool logical; /* destination mode */
	bool level;   /* trigger mode of a fixed interrupt */
	enum lapic_mode mode;
	uint8_t vector;
	enum lapic_shorthand shorthand;
};

/* `sender` is NULL for messages from outside. Any thread. */
void lapic_route(struct lapic_set *set, struct lapic *sender,
		 const struct lapic_message *message);

/* Timer registers; all on the vCPU's thread. */
void lapic_timer_init(struct lapic *lapic);
void lapic_timer_reset(struct lapic *lapic);
void lapic_timer_set_lvt(struct lapic *lapic, uint32_t value);
void lapic_timer_set_initial(struct lapic *lapic, uint32_t value);
void lapic_timer_set_divide(struct lapic *lapic, uint32_t value);
void lapic_timer_set_deadline(struct lapic *lapic, uint64_t tsc);
uint32_t lapic_timer_current(struct lapic *lapic);
uint64_t lapic_timer_deadline(struct lapic *lapic);

#endif

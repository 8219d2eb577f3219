/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt lines and messages as small values. A chip raises `struct irq`
 * without knowing which controller is behind it.
 */
#ifndef LODGE_VM_IRQ_H
#define LODGE_VM_IRQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One input line of a controller. A zeroed value is a line to nowhere. */
struct irq {
	void (*set)(void *object, unsigned int line, bool level);
	void *object;
	unsigned int line;
};

/* Sets the line's level. Held: the VM's device lock. */
static inline void irq_set(const struct irq *irq, bool level)
{
	if (irq->set)
		irq->set(irq->object, irq->line, level);
}

/* A rising edge followed by a falling one. */
static inline void irq_pulse(const struct irq *irq)
{
	irq_set(irq, true);
	irq_set(irq, false);
}

/* A message-signalled interrupt (PCI 3.0, 6.8; Intel SDM vol. 3, 11.11). */
struct msi {
	uint64_t address; /* 0xfeexxxxx */
	uint32_t data;
};

/* Where messages go: the LAPICs of soft, or an in-kernel irqchip. */
struct msi_sink {
	void (*send)(void *object, const struct msi *msi);
	void *object;
};

static inline void msi_send(const struct msi_sink *sink, const struct msi *msi)
{
	if (sink->send)
		sink->send(sink->object, msi);
}

#endif

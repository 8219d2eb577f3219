/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A UART with FIFOs and interrupts (National Semiconductor PC16550D
 * datasheet). Transmission is immediate; break, modem lines and loopback
 * work, line speed matters only for the receiver's timeout.
 */
#ifndef LODGE_CHIP_UART_H
#define LODGE_CHIP_UART_H

#include "vm/clock.h"
#include "vm/irq.h"
#include "vm/vm.h"

#define UART_FIFO 16
#define UART_COM1 0x3f8

/* Where transmitted bytes go. Called with the device lock held; must not
 * block. */
struct uart_sink {
	void (*transmit)(void *ctx, const uint8_t *data, unsigned int count);
	/* The FIFO has room again after it refused bytes; may call
	 * uart_receive() at once. May be NULL. */
	void (*ready)(void *ctx);
	void *ctx;
};

struct uart {
	struct vm *vm;
	struct irq irq;
	struct uart_sink sink;
	uint8_t ier, lcr, mcr, lsr, msr, scratch, fcr;
	uint16_t divisor;
	uint8_t fifo[UART_FIFO];
	uint8_t fifo_head, fifo_count;
	bool thr_pending; /* transmitter-empty interrupt not yet seen */
	bool timeout_pending, refused;
	struct timer timeout;
};

extern const struct device_class uart_class;

/* Claims eight ports at `base`. `sink` may be NULL. */
int uart_init(struct uart *uart, struct vm *vm, uint16_t base,
	      const struct irq *irq, const struct uart_sink *sink);

/*
 * Received bytes; gives how many fitted. When fewer than `count` did, the
 * sink's ready() tells when to try again. Held: the device lock.
 */
unsigned int uart_receive(struct uart *uart, const uint8_t *data,
			  unsigned int count);

#endif

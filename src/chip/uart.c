/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A UART; see uart.h. What the receiver cannot hold is refused, never
 * lost: overruns exist in loopback only. The transmitter is always empty.
 * The interrupt passes only while MCR OUT2 is set, as PCs wire it.
 */
#include "chip/uart.h"

#include "chip/uart_reg.h"
#include "vm/bytes.h"
#include "vm/error.h"

/* Four characters of ten bits, for each unit of the divisor (1.8432 MHz). */
#define UART_TIMEOUT_NS 347222u

/* Modem lines of a terminal that is there. */
#define UART_MSR_IDLE (UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD)

static bool uart_has_fifo(const struct uart *uart)
{
	return uart->fcr & UART_FCR_ENABLE;
}

static unsigned int uart_trigger(const struct uart *uart)
{
	static const uint8_t level[] = { 1, 4, 8, 14 };

	return uart_has_fifo(uart) ? level[uart->fcr >> 6] : 1;
}

static unsigned int uart_room(const struct uart *uart)
{
	unsigned int capacity = uart_has_fifo(uart) ? UART_FIFO : 1;

	return uart->fifo_count < capacity ? capacity - uart->fifo_count : 0;
}

/* The interrupt of the highest priority that is enabled and pending. */
static uint8_t uart_interrupt(const struct uart *uart)
{
	if ((uart->ier & UART_IER_RLS) && (uart->lsr & UART_LSR_ERRORS))
		return UART_IIR_RLS;
	if ((uart->ier & UART_IER_RDA) &&
	    uart->fifo_count >= uart_trigger(uart))
		return UART_IIR_RDA;
	if ((uart->ier & UART_IER_RDA) && uart->timeout_pending)
		return UART_IIR_TIMEOUT;
	if ((uart->ier & UART_IER_THRE) && uart->thr_pending)
		return UART_IIR_THRE;
	if ((uart->ier & UART_IER_MSR) && (uart->msr & UART_MSR_DELTAS))
		return UART_IIR_MSR;
	return UART_IIR_NONE;
}

static void uart_update(struct uart *uart)
{
	irq_set(&uart->irq, (uart->mcr & UART_MCR_OUT2) &&
				    uart_interrupt(uart) != UART_IIR_NONE);
}

/* After a byte came or went: the receiver's timeout begins anew. */
static void uart_arm_timeout(struct uart *uart)
{
	uint64_t divisor = uart->divisor ? uart->divisor : 1;

	uart->timeout_pending = false;
	if (uart_has_fifo(uart) && (uart->ier & UART_IER_RDA) &&
	    uart->fifo_count && uart->fifo_count < uart_trigger(uart))
		timer_arm(&uart->vm->clock, &uart->timeout,
			  clock_now(&uart->vm->clock) +
				  divisor * UART_TIMEOUT_NS);
	else if (uart->timeout.armed)
		timer_cancel(&uart->vm->clock, &uart->timeout);
}

/* Held: the device lock. */
static void uart_timeout(void *ctx)
{
	struct uart *uart = ctx;

	uart->timeout_pending = uart->fifo_count != 0;
	uart_update(uart);
}

static void uart_push(struct uart *uart, uint8_t byte)
{
	unsigned int at = uart->fifo_head + uart->fifo_count;

	uart->fifo[at % UART_FIFO] = byte;
	uart->fifo_count++;
}

/* Tells the outside that what it kept back may come now. */
static void uart_tell_ready(struct uart *uart)
{
	if (!uart->refused || !uart_room(uart) ||
	    (uart->mcr & UART_MCR_LOOPBACK))
		return;
	uart->refused = false;
	if (uart->sink.ready)
		uart->sink.ready(uart->sink.ctx);
}

unsigned int uart_receive(struct uart *uart, const uint8_t *data,
			  unsigned int count)
{
	unsigned int taken = 0;

	if (!(uart->mcr & UART_MCR_LOOPBACK))
		while (taken < count && uart_room(uart))
			uart_push(uart, data[taken++]);
	if (taken < count)
		uart->refused = true;
	if (taken) {
		uart_arm_timeout(uart);
		uart_update(uart);
	}
	return taken;
}

static void uart_clear_receiver(struct uart *uart)
{
	uart->fifo_head = 0;
	uart->fifo_count = 0;
	uart_arm_timeout(uart);
}

static uint8_t uart_read_data(struct uart *uart)
{
	uint8_t byte = uart->fifo[uart->fifo_head];

	if (uart->fifo_count) {
		uart->fifo_head = (uart->fifo_head + 1) % UART_FIFO;
		uart->fifo_count--;
		uart_arm_timeout(uart);
		uart_update(uart);
		uart_tell_ready(uart);
	}
	return byte;
}

static void uart_loop_back(struct uart *uart, uint8_t byte)
{
	if (uart_room(uart)) {
		uart_push(uart, byte);
		uart_arm_timeout(uart);
	} else {
		uart->lsr |= UART_LSR_OE;
	}
}

static void uart_write_data(struct uart *uart, uint8_t byte)
{
	/* The transmitter fills and empties: an edge for the interrupt. */
	uart->thr_pending = false;
	uart_update(uart);
	if (uart->mcr & UART_MCR_LOOPBACK)
		uart_loop_back(uart, byte);
	else if (uart->sink.transmit)
		uart->sink.transmit(uart->sink.ctx, &byte, 1);
	uart->thr_pending = true;
	uart_update(uart);
}

static void uart_write_ier(struct uart *uart, uint8_t value)
{
	if ((value & UART_IER_THRE) && !(uart->ier & UART_IER_THRE))
		uart->thr_pending = true;
	uart->ier = value & UART_IER_BITS;
	if (!uart->timeout_pending)
		uart_arm_timeout(uart);
	uart_update(uart);
}

static void uart_write_fcr(struct uart *uart, uint8_t value)
{
	bool toggled = (value ^ uart->fcr) & UART_FCR_ENABLE;

	/* Without the enable bit, the others are not programmed. */
	uart->fcr = value & UART_FCR_ENABLE ? value & UART_FCR_KEEP : 0;
	if (toggled || (value & UART_FCR_CLEAR_RX))
		uart_clear_receiver(uart);
	uart_update(uart);
	uart_tell_ready(uart);
}

/* Modem lines as they are now: outputs come back in loopback. */
static uint8_t uart_modem_lines(const struct uart *uart)
{
	uint8_t mcr = uart->mcr;

	if (!(mcr & UART_MCR_LOOPBACK))
		return UART_MSR_IDLE;
	/* RTS -> CTS, DTR -> DSR, OUT1 -> RI, OUT2 -> DCD */
	return (uint8_t)((mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 |
			 (mcr & 8) << 4);
}

static void uart_write_mcr(struct uart *uart, uint8_t value)
{
	uint8_t lines, changed;

	uart->mcr = value & UART_MCR_BITS;
	lines = uart_modem_lines(uart);
	changed = (lines ^ uart->msr) & 0xf0;
	/* The ring indicator counts only when it ends. */
	if (lines & UART_MSR_RI)
		changed &= (uint8_t)~UART_MSR_RI;
	uart->msr = lines | (uart->msr & UART_MSR_DELTAS) | changed >> 4;
	uart_update(uart);
	uart_tell_ready(uart);
}

static void uart_write_lcr(struct uart *uart, uint8_t value)
{
	bool breaks = value & ~uart->lcr & UART_LCR_BREAK;

	uart->lcr = value;
	if (breaks && (uart->mcr & UART_MCR_LOOPBACK)) {
		uart->lsr |= UART_LSR_BI;
		uart_loop_back(uart, 0);
		uart_update(uart);
	}
}

static uint8_t uart_read_iir(struct uart *uart)
{
	uint8_t value = uart_interrupt(uart);

	if (value == UART_IIR_THRE) {
		uart->thr_pending = false;
		uart_update(uart);
	}
	return value | (uart_has_fifo(uart) ? UART_IIR_FIFO : 0);
}

static uint8_t uart_read_lsr(struct uart *uart)
{
	uint8_t value = uart->lsr | UART_LSR_THRE | UART_LSR_TEMT;

	if (uart->fifo_count)
		value |= UART_LSR_DR;
	uart->lsr = 0;
	uart_update(uart);
	return value;
}

static uint8_t uart_read_msr(struct uart *uart)
{
	uint8_t value = uart->msr;

	uart->msr &= (uint8_t)~UART_MSR_DELTAS;
	uart_update(uart);
	return value;
}

static uint64_t uart_read(void *device, uint64_t offset, unsigned int size)
{
	struct uart *uart = device;
	bool dlab = uart->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_DATA:
		return dlab ? uart->divisor & 0xff : uart_read_data(uart);
	case UART_IER:
		return dlab ? uart->divisor >> 8 : uart->ier;
	case UART_IIR:
		return uart_read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return uart_read_lsr(uart);
	case UART_MSR:
		return uart_read_msr(uart);
	}
	return uart->scratch;
}

static void uart_write_divisor(struct uart *uart, bool high, uint8_t value)
{
	if (high)
		uart->divisor = (uint16_t)(value << 8 |
					   (uart->divisor & 0xff));
	else
		uart->divisor = (uart->divisor & 0xff00) | value;
}

static void uart_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct uart *uart = device;
	uint8_t byte = (uint8_t)value;

	if (offset <= UART_IER && (uart->lcr & UART_LCR_DLAB)) {
		uart_write_divisor(uart, offset == UART_IER, byte);
		return;
	}
	switch (offset) {
	case UART_DATA:
		uart_write_data(uart, byte);
		break;
	case UART_IER:
		uart_write_ier(uart, byte);
		break;
	case UART_IIR:
		uart_write_fcr(uart, byte);
		break;
	case UART_LCR:
		uart_write_lcr(uart, byte);
		break;
	case UART_MCR:
		uart_write_mcr(uart, byte);
		break;
	case UART_SCR:
		uart->scratch = byte;
		break;
	}
}

static void uart_reset(void *device)
{
	struct uart *uart = device;

	uart->ier = 0;
	uart->fcr = 0;
	uart->lcr = 0;
	uart->mcr = 0;
	uart->lsr = 0;
	uart->msr = UART_MSR_IDLE;
	uart->divisor = 12; /* 9600 baud */
	uart->thr_pending = false;
	uart_clear_receiver(uart);
	uart_update(uart);
	uart_tell_ready(uart);
}

static int uart_check(const void *object)
{
	const struct uart *uart = object;

	if (uart->fifo_head >= UART_FIFO || uart->fifo_count > UART_FIFO)
		return -VM_EBADMSG;
	return 0;
}

/* The receiver may have room again for what it refused before. */
static void uart_loaded(void *object)
{
	uart_tell_ready(object);
}

static const struct field uart_fields[] = {
	FIELD(struct uart, FIELD_U8, ier),
	FIELD(struct uart, FIELD_U8, lcr),
	FIELD(struct uart, FIELD_U8, mcr),
	FIELD(struct uart, FIELD_U8, lsr),
	FIELD(struct uart, FIELD_U8, msr),
	FIELD(struct uart, FIELD_U8, scratch),
	FIELD(struct uart, FIELD_U8, fcr),
	FIELD(struct uart, FIELD_U16, divisor),
	FIELD_ARRAY(struct uart, FIELD_U8, fifo, UART_FIFO),
	FIELD(struct uart, FIELD_U8, fifo_head),
	FIELD(struct uart, FIELD_U8, fifo_count),
	FIELD(struct uart, FIELD_BOOL, thr_pending),
	FIELD(struct uart, FIELD_BOOL, timeout_pending),
	FIELD(struct uart, FIELD_TIMER, timeout),
};

static const struct state_class uart_state = {
	.name = "uart",
	.version = 1,
	.size = sizeof(struct uart),
	.fields = uart_fields,
	.field_count = sizeof(uart_fields) / sizeof(uart_fields[0]),
	.check = uart_check,
	.loaded = uart_loaded,
};

const struct device_class uart_class = {
	.name = "uart",
	.reset = uart_reset,
	.state = &uart_state,
};

static const struct bus_ops uart_ops = {
	.read = uart_read,
	.write = uart_write,
	.max_size = 1,
};

int uart_init(struct uart *uart, struct vm *vm, uint16_t base,
	      const struct irq *irq, const struct uart_sink *sink)
{
	int err;

	memset(uart, 0, sizeof(*uart));
	uart->vm = vm;
	uart->irq = *irq;
	if (sink)
		uart->sink = *sink;
	timer_init(&uart->timeout, uart_timeout, uart);
	uart_reset(uart);
	err = bus_add(&vm->pio, base, 8, "uart", &uart_ops, uart);
	if (err)
		return err;
	return vm_add_device(vm, &uart_class, uart);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 16550A: transmission, reception, interrupts, loopback.
 */
#include "chip/uart.h"

#include "chip/uart_reg.h"
#include "rig.h"

static struct rig rig;
static struct uart uart;
static char sent[256];
static unsigned int sent_count, ready_count;
static const char *more; /* what ready() offers */

static void transmit(void *ctx, const uint8_t *data, unsigned int count)
{
	while (count-- && sent_count < sizeof(sent))
		sent[sent_count++] = (char)*data++;
}

static void ready(void *ctx)
{
	ready_count++;
	if (more)
		more += uart_receive(&uart, (const uint8_t *)more,
				     (unsigned int)strlen(more));
}

static uint8_t get(enum uart_reg reg)
{
	return rig_in(&rig, (uint16_t)(UART_COM1 + reg));
}

static void put(enum uart_reg reg, uint8_t value)
{
	rig_out(&rig, (uint16_t)(UART_COM1 + reg), value);
}

static int setup(void **state)
{
	struct uart_sink sink = { transmit, ready, NULL };
	struct irq irq;

	rig_init(&rig);
	irq = rig_line(&rig, 4);
	sent_count = 0;
	ready_count = 0;
	more = NULL;
	assert_int_equal(uart_init(&uart, &rig.vm, UART_COM1, &irq, &sink), 0);
	put(UART_MCR, 0x0b);
	put(UART_LCR, 0x80);
	put(UART_DATA, 1); /* 115200 baud */
	put(UART_IER, 0);
	put(UART_LCR, 0x03);
	return 0;
}

static unsigned int receive(const char *text)
{
	return uart_receive(&uart, (const uint8_t *)text,
			    (unsigned int)strlen(text));
}

static void registers(void **state)
{
	put(UART_SCR, 0x5a);
	assert_int_equal(get(UART_SCR), 0x5a);
	put(UART_LCR, 0x83);
	put(UART_DATA, 0x34);
	put(UART_IER, 0x12);
	assert_int_equal(get(UART_DATA), 0x34);
	assert_int_equal(get(UART_IER), 0x12);
	put(UART_LCR, 0x03);
	put(UART_IER, 0xff);
	assert_int_equal(get(UART_IER), 0x0f);
	assert_int_equal(get(UART_LCR), 0x03);
	assert_int_equal(get(UART_MCR), 0x0b);
	assert_int_equal(get(UART_MSR), 0xb0);
	put(UART_LSR, 0);
	put(UART_MSR, 0);
	assert_int_equal(get(UART_LSR), 0x60);
	put(UART_IER, 0);
	assert_int_equal(get(UART_IIR), 0x01);
	put(UART_IIR, 0x01);
	assert_int_equal(get(UART_IIR), 0xc1); /* a 16550A */
}

static void transmits(void **state)
{
	const char *text = "lodge\n";

	while (*text) {
		assert_int_equal(get(UART_LSR) & 0x60, 0x60);
		put(UART_DATA, (uint8_t)*text++);
	}
	assert_int_equal(sent_count, 6);
	assert_memory_equal(sent, "lodge\n", 6);
}

static void transmitter_interrupt(void **state)
{
	put(UART_IER, UART_IER_THRE);
	assert_true(rig.level[4]); /* empty: at once */
	assert_int_equal(get(UART_IIR), 0x02);
	assert_false(rig.level[4]); /* reading IIR acknowledges */
	assert_int_equal(get(UART_IIR), 0x01);
	put(UART_DATA, 'x');
	assert_true(rig.level[4]);
	put(UART_DATA, 'y'); /* each byte is an edge */
	assert_int_equal(rig.rises[4], 3);
	put(UART_IER, 0);
	assert_false(rig.level[4]);
}

static void receives_without_fifo(void **state)
{
	put(UART_IER, UART_IER_RDA);
	assert_int_equal(receive("ab"), 1);
	assert_true(rig.level[4]);
	assert_int_equal(get(UART_IIR), 0x04);
	assert_int_equal(get(UART_LSR), 0x61);
	assert_int_equal(ready_count, 0);
	assert_int_equal(get(UART_DATA), 'a');
	assert_int_equal(ready_count, 1);
	assert_false(rig.level[4]);
	assert_int_equal(get(UART_LSR), 0x60);
	assert_int_equal(get(UART_DATA), get(UART_DATA)); /* stale, harmless */
}

static void trigger_and_timeout(void **state)
{
	put(UART_IIR, 0x81); /* FIFO, trigger 8 */
	put(UART_IER, UART_IER_RDA);
	assert_int_equal(receive("abc"), 3);
	assert_false(rig.level[4]);
	rig_run(&rig, 347221);
	assert_false(rig.level[4]);
	rig_run(&rig, 1); /* four characters long */
	assert_true(rig.level[4]);
	assert_int_equal(get(UART_IIR), 0xcc);
	assert_int_equal(get(UART_DATA), 'a');
	assert_false(rig.level[4]);
	rig_run(&rig, MS);
	assert_int_equal(get(UART_IIR), 0xcc);
	assert_int_equal(receive("defghi"), 6);
	assert_int_equal(get(UART_IIR), 0xc4);
	assert_int_equal(get(UART_DATA), 'b');
	assert_int_equal(get(UART_IIR), 0xc1);
	while (get(UART_LSR) & UART_LSR_DR)
		get(UART_DATA);
	rig_run(&rig, MS);
	assert_int_equal(get(UART_IIR), 0xc1);
	assert_null(rig.vm.clock.first);
	put(UART_IIR, 0xc1); /* trigger 14 */
	receive("0123456789abc");
	assert_int_equal(get(UART_IIR), 0xc1);
	receive("d");
	assert_int_equal(get(UART_IIR), 0xc4);
	put(UART_IIR, 0x01); /* trigger 1 */
	assert_int_equal(get(UART_IIR), 0xc4);
}

static void refused_input_waits(void **state)
{
	static const char text[] = "the quick brown fox jumps over the lazy";
	char got[sizeof(text)];
	unsigned int n = 0;

	put(UART_IIR, 0x01);
	more = text;
	more += receive(text);
	assert_int_equal(more - text, 16);
	while (get(UART_LSR) & UART_LSR_DR) {
		assert_true(n < sizeof(got) - 1);
		got[n++] = (char)get(UART_DATA);
	}
	assert_int_equal(n, sizeof(text) - 1);
	assert_memory_equal(got, text, n);
	assert_int_equal(get(UART_LSR) & UART_LSR_OE, 0);
}

static void clearing_fifo_makes_room(void **state)
{
	put(UART_IIR, 0x01);
	assert_int_equal(receive("0123456789abcdefg"), 16);
	put(UART_IIR, 0x03);
	assert_int_equal(ready_count, 1);
	assert_int_equal(get(UART_LSR) & UART_LSR_DR, 0);
	receive("x");
	put(UART_IIR, 0x00); /* switching it off clears, too */
	assert_int_equal(get(UART_LSR) & UART_LSR_DR, 0);
	assert_int_equal(receive("xyz"), 1);
	uart_class.reset(&uart);
	assert_int_equal(ready_count, 2);
}

static void loopback(void **state)
{
	put(UART_IIR, 0x01);
	put(UART_IER, UART_IER_RDA | UART_IER_MSR);
	put(UART_MCR, 0x18); /* OUT2 stays, RTS and DTR fall */
	assert_int_equal(get(UART_MSR), 0x83); /* CTS and DSR changed */
	assert_int_equal(get(UART_MSR), 0x80);
	put(UART_DATA, 'q');
	assert_int_equal(sent_count, 0);
	assert_int_equal(get(UART_DATA), 'q');
	assert_int_equal(receive("z"), 0); /* the wire is cut */
	put(UART_MCR, 0x1f);
	assert_int_equal(get(UART_MSR), 0xf3);
	put(UART_MCR, 0x1b);
	assert_int_equal(get(UART_MSR), 0xb4); /* the ring has ended */
	assert_int_equal(ready_count, 0);
	put(UART_MCR, 0x0b);
	assert_int_equal(ready_count, 1);
	assert_int_equal(get(UART_MSR), 0xb0);
}

static void loopback_overrun_and_break(void **state)
{
	unsigned int i;

	put(UART_IIR, 0x01);
	put(UART_MCR, 0x18);
	put(UART_IER, UART_IER_RLS);
	for (i = 0; i < 17; i++)
		put(UART_DATA, (uint8_t)i);
	assert_true(rig.level[4]);
	assert_int_equal(get(UART_IIR), 0xc6);
	assert_int_equal(get(UART_LSR), 0x63);
	assert_false(rig.level[4]);
	assert_int_equal(get(UART_LSR), 0x61);
	for (i = 0; i < 16; i++)
		assert_int_equal(get(UART_DATA), i);
	put(UART_LCR, 0x43);
	assert_int_equal(get(UART_LSR), 0x71);
	assert_int_equal(get(UART_DATA), 0);
}

static void interrupt_priorities(void **state)
{
	put(UART_IIR, 0x01);
	put(UART_MCR, 0x18);
	put(UART_IER, 0x0f);
	put(UART_LCR, 0x43); /* break: all sources at once */
	assert_int_equal(get(UART_IIR), 0xc6);
	get(UART_LSR);
	assert_int_equal(get(UART_IIR), 0xc4);
	get(UART_DATA);
	assert_int_equal(get(UART_IIR), 0xc2);
	assert_int_equal(get(UART_IIR), 0xc0);
	get(UART_MSR);
	assert_int_equal(get(UART_IIR), 0xc1);
	assert_false(rig.level[4]);
}

static void out2_gates_interrupt(void **state)
{
	put(UART_MCR, 0x03);
	put(UART_IER, UART_IER_THRE);
	assert_false(rig.level[4]);
	put(UART_MCR, 0x0b);
	assert_true(rig.level[4]);
}

static void no_sink(void **state)
{
	static struct uart other;
	struct irq nowhere = { 0 };

	assert_int_equal(uart_init(&other, &rig.vm, UART_COM1, &nowhere, NULL),
			 -VM_EEXIST);
	assert_int_equal(uart_init(&other, &rig.vm, 0x2f8, &nowhere, NULL), 0);
	rig_out(&rig, 0x2f8, 'x');
	uart_receive(&other, (const uint8_t *)"ab", 2);
	assert_int_equal(rig_in(&rig, 0x2f8), 'a');
}

static void hostile(void **state)
{
	uint64_t seed = 11;
	unsigned int i;

	for (i = 0; i < 3000; i++) {
		rig_fuzz(&rig, &rig.vm.pio, UART_COM1, 8, 8);
		if (rig_random(&seed) & 1)
			receive("hostile input of some length");
		assert_in_range(uart.fifo_count, 0, UART_FIFO);
	}
}

static void valid(void *object)
{
	struct uart *u = object;

	u->fifo_head %= UART_FIFO;
	u->fifo_count %= UART_FIFO + 1;
}

static void round_trip(void **state)
{
	roundtrip_check(uart_class.state, &uart, valid);
	rig_fuzz(&rig, &rig.vm.pio, UART_COM1, 8, 1000);
}

static void restore(void)
{
	const struct state_item item = { uart_class.state, &uart, 0 };

	rig_restore(&rig, &item, 1, setup);
}

/* Three of four bytes wait for their timeout, which has half passed. */
static void receiver_goes_on(void **state)
{
	put(UART_IIR, 0x81);
	put(UART_IER, UART_IER_RDA);
	assert_int_equal(receive("abcd"), 4);
	assert_int_equal(get(UART_DATA), 'a');
	rig_run(&rig, 200000);
	restore();
	rig_run(&rig, 147221);
	assert_false(rig.level[4]);
	rig_run(&rig, 1);
	assert_true(rig.level[4]);
	restore();
	assert_true(rig.level[4]);
	assert_int_equal(get(UART_IIR), 0xcc);
	assert_int_equal(get(UART_LSR), 0x61);
	assert_int_equal(get(UART_DATA), 'b');
	assert_false(rig.level[4]);
	assert_int_equal(receive("efghijklmnopqrs"), 14); /* round the ring */
	assert_int_equal(get(UART_IIR), 0xc4);
	restore();
	for (unsigned int c = 'c'; c <= 'r'; c++)
		assert_int_equal(get(UART_DATA), c);
	assert_int_equal(get(UART_LSR), 0x60);
	assert_false(rig.level[4]);
}

/* A byte was sent, its interrupt not seen yet; nothing is sent twice. */
static void transmitter_goes_on(void **state)
{
	put(UART_IER, UART_IER_THRE);
	put(UART_DATA, 'x');
	assert_int_equal(sent_count, 1);
	restore();
	assert_int_equal(sent_count, 0);
	assert_int_equal(rig.rises[4] + rig.falls[4], 0);
	assert_true(rig.level[4]);
	assert_int_equal(get(UART_IIR), 0x02);
	assert_false(rig.level[4]);
	restore();
	assert_int_equal(get(UART_IIR), 0x01); /* seen stays seen */
	put(UART_DATA, 'y');
	assert_int_equal(rig.rises[4], 1);
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0], 'y');
}

static void divisor_goes_on(void **state)
{
	put(UART_LCR, 0x83);
	put(UART_DATA, 0x34);
	restore();
	put(UART_IER, 0x12);
	assert_int_equal(get(UART_DATA), 0x34);
	restore();
	put(UART_LCR, 0x03);
	assert_int_equal(get(UART_IER), 0);
	put(UART_IIR, 0x81);
	put(UART_IER, UART_IER_RDA);
	receive("a");
	rig_run(&rig, 0x1234 * 347222ull - 1);
	assert_false(rig.level[4]);
	rig_run(&rig, 1);
	assert_true(rig.level[4]);
}

/* A break was received: its error, its byte and the modem lines wait. */
static void errors_go_on(void **state)
{
	put(UART_IIR, 0x01);
	put(UART_MCR, 0x18);
	put(UART_IER, 0x0f);
	put(UART_LCR, 0x43);
	restore();
	assert_int_equal(get(UART_IIR), 0xc6);
	assert_int_equal(get(UART_LSR), 0x71);
	restore();
	assert_int_equal(get(UART_IIR), 0xc4);
	assert_int_equal(get(UART_DATA), 0);
	assert_int_equal(get(UART_IIR), 0xc2);
	assert_int_equal(get(UART_IIR), 0xc0);
	restore();
	assert_true(rig.level[4]);
	assert_int_equal(get(UART_MSR), 0x83);
	assert_false(rig.level[4]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(transmits, setup),
		cmocka_unit_test_setup(transmitter_interrupt, setup),
		cmocka_unit_test_setup(receives_without_fifo, setup),
		cmocka_unit_test_setup(trigger_and_timeout, setup),
		cmocka_unit_test_setup(refused_input_waits, setup),
		cmocka_unit_test_setup(clearing_fifo_makes_room, setup),
		cmocka_unit_test_setup(loopback, setup),
		cmocka_unit_test_setup(loopback_overrun_and_break, setup),
		cmocka_unit_test_setup(interrupt_priorities, setup),
		cmocka_unit_test_setup(out2_gates_interrupt, setup),
		cmocka_unit_test_setup(no_sink, setup),
		cmocka_unit_test_setup(hostile, setup),
		cmocka_unit_test_setup(round_trip, setup),
		cmocka_unit_test_setup(receiver_goes_on, setup),
		cmocka_unit_test_setup(transmitter_goes_on, setup),
		cmocka_unit_test_setup(divisor_goes_on, setup),
		cmocka_unit_test_setup(errors_go_on, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

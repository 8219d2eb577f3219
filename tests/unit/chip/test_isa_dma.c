/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8237A pair, with a device that moves bytes on channel 2 and words on 5.
 */
#include "chip/isa_dma.h"

#include "rig.h"

static struct rig rig;
static struct isa_dma dma;
static unsigned int told;

static void ready(void *ctx)
{
	told++;
}

static int setup(void **state)
{
	rig_init(&rig);
	assert_int_equal(memory_init(&rig.vm.memory, 1 << 20, 0), 0);
	assert_int_equal(memory_add(&rig.vm.memory, MEMORY_RAM, gpa(0),
				    1 << 20, "RAM"), 0);
	assert_int_equal(isa_dma_init(&dma, &rig.vm), 0);
	isa_dma_connect(&dma, 2, ready, NULL);
	told = 0;
	return 0;
}

static int teardown(void **state)
{
	vm_fini(&rig.vm);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static void word(uint16_t port, uint16_t value)
{
	rig_out(&rig, port, (uint8_t)value);
	rig_out(&rig, port, (uint8_t)(value >> 8));
}

/* Channel 2: `count` bytes at a 24-bit address. */
static void program(uint8_t mode, uint32_t at, uint32_t count)
{
	rig_out(&rig, 0x0a, 6);
	rig_out(&rig, 0x0c, 0);
	rig_out(&rig, 0x0b, mode | 2);
	word(0x04, (uint16_t)at);
	rig_out(&rig, 0x81, (uint8_t)(at >> 16));
	word(0x05, (uint16_t)(count - 1));
	rig_out(&rig, 0x0a, 2);
}

static void peek(uint32_t at, void *to, size_t size)
{
	assert_int_equal(memory_read(&rig.vm.memory, gpa(at), to, size), 0);
}

static void to_memory(void **state)
{
	uint8_t data[300], got[300];
	bool end;

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	program(0x44, 0x23456, 300);
	assert_int_equal(told, 1);
	assert_int_equal(isa_dma_to_memory(&dma, 2, data, 100, &end), 100);
	assert_false(end);
	assert_int_equal(rig_in(&rig, 0x05), 199);
	assert_int_equal(rig_in(&rig, 0x05), 0);
	assert_int_equal(rig_in(&rig, 0x08), 0);
	/* More than there is room for. */
	assert_int_equal(isa_dma_to_memory(&dma, 2, data + 100, 200, &end),
			 200);
	assert_true(end);
	peek(0x23456, got, sizeof(got));
	assert_memory_equal(data, got, sizeof(got));
	assert_int_equal(rig_in(&rig, 0x08), 1 << 2);
	assert_int_equal(rig_in(&rig, 0x08), 0); /* read once */
	/* The channel has closed itself. */
	assert_int_equal(rig_in(&rig, 0x0f), 0xff);
	assert_int_equal(isa_dma_to_memory(&dma, 2, data, 1, &end), 0);
}

static void from_memory(void **state)
{
	const char text[] = "out of memory";
	char got[sizeof(text)] = "";
	bool end;

	memory_write(&rig.vm.memory, gpa(0x4000), text, sizeof(text));
	program(0x48, 0x4000, sizeof(text));
	assert_int_equal(isa_dma_to_memory(&dma, 2, text, 1, &end), 0);
	assert_int_equal(isa_dma_from_memory(&dma, 2, got, 64, &end),
			 sizeof(text));
	assert_true(end);
	assert_string_equal(got, text);
}

static void wraps_within_a_page(void **state)
{
	const uint8_t data[4] = { 1, 2, 3, 4 };
	uint8_t got[2];
	bool end;

	program(0x44, 0x3fffe, 4);
	isa_dma_to_memory(&dma, 2, data, 4, &end);
	peek(0x3fffe, got, 2);
	assert_memory_equal(got, data, 2);
	peek(0x30000, got, 2);
	assert_memory_equal(got, data + 2, 2);
}

static void downwards_and_again(void **state)
{
	const uint8_t data[6] = { 1, 2, 3, 4, 5, 6 };
	uint8_t got[3];
	bool end;

	program(0x74, 0x1002, 3); /* auto-init, decrement */
	assert_int_equal(isa_dma_to_memory(&dma, 2, data, 6, &end), 3);
	assert_true(end);
	peek(0x1000, got, 3);
	assert_int_equal(got[0], 3);
	assert_int_equal(got[2], 1);
	assert_int_equal(isa_dma_to_memory(&dma, 2, data + 3, 3, &end), 3);
	peek(0x1000, got, 3);
	assert_int_equal(got[0], 6);
}

static void words(void **state)
{
	const uint8_t data[4] = { 1, 2, 3, 4 };
	uint8_t got[4];
	bool end;

	rig_out(&rig, 0xd8, 0);
	rig_out(&rig, 0xd6, 0x45);
	word(0xc4, 0x8100);
	rig_out(&rig, 0x8b, 0x05); /* bit 0 is not used */
	word(0xc6, 1);
	rig_out(&rig, 0xd4, 1);
	assert_int_equal(isa_dma_to_memory(&dma, 5, data, 5, &end), 4);
	assert_true(end);
	peek(0x50200, got, 4);
	assert_memory_equal(got, data, 4);
	assert_int_equal(rig_in(&rig, 0xd0), 1 << 1);
}

static void closed(void **state)
{
	uint8_t byte = 0;
	bool end;

	program(0x44, 0x1000, 4);
	rig_out(&rig, 0x08, 0x04); /* the controller is off */
	assert_int_equal(isa_dma_to_memory(&dma, 2, &byte, 1, &end), 0);
	rig_out(&rig, 0x08, 0);
	assert_int_equal(isa_dma_to_memory(&dma, 2, &byte, 1, &end), 1);
	program(0xc4, 0x1000, 4); /* a cascade moves nothing */
	assert_int_equal(isa_dma_to_memory(&dma, 2, &byte, 1, &end), 0);
	rig_out(&rig, 0x0d, 0);
	assert_int_equal(rig_in(&rig, 0x0f), 0xff);
	rig_out(&rig, 0x0e, 0);
	assert_int_equal(rig_in(&rig, 0x0f), 0xf0);
	rig_out(&rig, 0x0f, 0x5);
	assert_int_equal(rig_in(&rig, 0x0f), 0xf5);
}

/* Verify counts and touches nothing; outside memory there are ones. */
static void nowhere(void **state)
{
	uint8_t byte = 0x12, got = 0x34;
	bool end;

	memory_write(&rig.vm.memory, gpa(0x1000), &got, 1);
	program(0x40, 0x1000, 2);
	assert_int_equal(isa_dma_to_memory(&dma, 2, &byte, 1, &end), 1);
	peek(0x1000, &got, 1);
	assert_int_equal(got, 0x34);
	program(0x44, 0xf00000, 1);
	assert_int_equal(isa_dma_to_memory(&dma, 2, &byte, 1, &end), 1);
	program(0x48, 0xf00000, 1);
	assert_int_equal(isa_dma_from_memory(&dma, 2, &byte, 1, &end), 1);
	assert_int_equal(byte, 0xff);
}

static void pages(void **state)
{
	for (uint16_t port = 0x80; port < 0x90; port++)
		rig_out(&rig, port, (uint8_t)(port * 3));
	for (uint16_t port = 0x80; port < 0x90; port++)
		assert_int_equal(rig_in(&rig, port), (uint8_t)(port * 3));
	vm_reset_devices(&rig.vm);
	assert_int_equal(rig_in(&rig, 0x81), 0);
}

static void hostile(void **state)
{
	uint8_t data[64] = { 0 };
	uint64_t seed = 5;
	bool end;

	for (unsigned int i = 0; i < 3000; i++) {
		unsigned int channel = rig_random(&seed) & 7;

		rig_fuzz(&rig, &rig.vm.pio, 0x00, 0x10, 1);
		rig_fuzz(&rig, &rig.vm.pio, 0xc0, 0x20, 1);
		rig_out(&rig, 0x80 + (i & 15), (uint8_t)rig_random(&seed));
		isa_dma_from_memory(&dma, channel, data, i & 63, &end);
		isa_dma_to_memory(&dma, channel, data, i & 63, &end);
	}
}

static void round_trip(void **state)
{
	roundtrip_check(isa_dma_class.state, &dma, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(to_memory),	   TEST(from_memory),
		TEST(wraps_within_a_page), TEST(downwards_and_again),
		TEST(words),		   TEST(closed),
		TEST(nowhere),		   TEST(pages),
		TEST(hostile),		   TEST(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

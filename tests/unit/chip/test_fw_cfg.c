/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fw_cfg: items by key and by name, the data port, DMA, hostile requests.
 */
#include "chip/fw_cfg.h"

#include "rig.h"

#define RAM_SIZE 0x200000
#define REQUEST	 0x1000u
#define BUFFER	 0x2000u

static struct rig rig;
static struct fw_cfg cfg;
static uint8_t blob[300];
static uint8_t writable[16];

static int setup(void **state)
{
	struct memory *mem = &rig.vm.memory;

	rig_init(&rig);
	assert_int_equal(memory_init(mem, RAM_SIZE, PAGE_SIZE), 0);
	assert_int_equal(memory_add(mem, MEMORY_RAM, gpa(0), RAM_SIZE, "RAM"),
			 0);
	assert_int_equal(fw_cfg_init(&cfg, &rig.vm), 0);
	for (unsigned int i = 0; i < sizeof(blob); i++)
		blob[i] = (uint8_t)(i * 7 + 1);
	memset(writable, 0, sizeof(writable));
	assert_int_equal(fw_cfg_add_number(&cfg, FW_CFG_CPUS, 5, 2), 0);
	assert_int_equal(fw_cfg_add_file(&cfg, "etc/blob", blob, sizeof(blob)),
			 0);
	assert_int_equal(fw_cfg_add_writable(&cfg, "etc/slot", writable,
					     sizeof(writable)),
			 0);
	return 0;
}

static int teardown(void **state)
{
	memory_fini(&rig.vm.memory);
	return 0;
}

static void select_key(uint16_t key)
{
	bus_write(&rig.vm.pio, FW_CFG_PORT, 2, key);
}

static void get(void *to, unsigned int count)
{
	uint8_t *at = to;

	while (count--)
		*at++ = rig_in(&rig, FW_CFG_PORT + 1);
}

static uint32_t be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3];
}

/* The key of a file, found as firmware does; 0: there is none. */
static uint16_t find_file(const char *name)
{
	uint8_t word[4], entry[64];

	select_key(FW_CFG_FILE_DIRECTORY);
	get(word, 4);
	for (uint32_t n = be32(word); n; n--) {
		get(entry, sizeof(entry));
		if (!strcmp((char *)entry + 8, name))
			return (uint16_t)(entry[4] << 8 | entry[5]);
	}
	return 0;
}

/* Runs a DMA request; gives its control word afterwards. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
	struct {
		uint32_t control, length;
		uint64_t address;
	} request = { __builtin_bswap32(control), __builtin_bswap32(length),
		      __builtin_bswap64(address) };

	memory_write(&rig.vm.memory, gpa(REQUEST), &request, sizeof(request));
	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT, 4, 0);
	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT + 4, 4,
		  __builtin_bswap32(REQUEST));
	memory_read(&rig.vm.memory, gpa(REQUEST), &request, 4);
	return __builtin_bswap32(request.control);
}

static void numbers(void **state)
{
	uint8_t bytes[5];

	get(bytes, 4); /* selected after reset */
	assert_memory_equal(bytes, "QEMU", 4);
	select_key(FW_CFG_ID);
	get(bytes, 4);
	assert_memory_equal(bytes, "\3\0\0\0", 4);
	select_key(FW_CFG_CPUS);
	get(bytes, 5); /* behind the end: zeros */
	assert_memory_equal(bytes, "\5\0\0\0\0", 5);
	select_key(0x1234);
	get(bytes, 2);
	assert_memory_equal(bytes, "\0\0", 2);
	assert_int_equal(bus_read(&rig.vm.pio, FW_CFG_DMA_PORT, 4),
			 0x554d4551);
	assert_int_equal(bus_read(&rig.vm.pio, FW_CFG_DMA_PORT + 4, 4),
			 0x47464320);
	assert_int_equal(rig_in(&rig, FW_CFG_DMA_PORT + 1), 'E');
}

static void files(void **state)
{
	uint8_t bytes[sizeof(blob)];

	assert_int_equal(find_file("etc/blob"), FW_CFG_FILE);
	assert_int_equal(find_file("etc/slot"), FW_CFG_FILE + 1);
	assert_int_equal(find_file("etc/none"), 0);
	select_key(FW_CFG_FILE);
	get(bytes, sizeof(bytes));
	assert_memory_equal(bytes, blob, sizeof(blob));
	select_key(FW_CFG_FILE); /* from the start again */
	get(bytes, 1);
	assert_int_equal(bytes[0], blob[0]);
}

static void refuses_items(void **state)
{
	char name[FW_CFG_NAME_SIZE + 1];

	memset(name, 'x', sizeof(name));
	name[FW_CFG_NAME_SIZE] = 0;
	assert_int_equal(fw_cfg_add_file(&cfg, name, blob, 1), -VM_EINVAL);
	assert_int_equal(fw_cfg_add_file(&cfg, "", blob, 1), -VM_EINVAL);
	name[FW_CFG_NAME_SIZE - 1] = 0;
	assert_int_equal(fw_cfg_add_file(&cfg, name, blob, 1), 0);
	assert_int_equal(fw_cfg_add_file(&cfg, "etc/blob", blob, 1),
			 -VM_EEXIST);
	assert_int_equal(fw_cfg_add_number(&cfg, FW_CFG_CPUS, 1, 2),
			 -VM_EEXIST);
	for (unsigned int i = 0; cfg.count < FW_CFG_ITEMS_MAX; i++)
		assert_int_equal(fw_cfg_add(&cfg, (uint16_t)(0x8000 + i),
					    blob, 1),
				 0);
	assert_int_equal(fw_cfg_add(&cfg, 0x7000, blob, 1), -VM_ENOSPC);
}

static void dma_reads(void **state)
{
	uint8_t *buffer = memory_for_write(&rig.vm.memory, gpa(BUFFER), 1024);

	memset(buffer, 0xaa, 1024);
	assert_int_equal(dma(FW_CFG_FILE << 16 | 0x0a, 100, BUFFER), 0);
	assert_memory_equal(buffer, blob, 100);
	assert_int_equal(buffer[100], 0xaa);
	assert_int_equal(dma(0x04, 50, 0), 0); /* skip */
	assert_int_equal(dma(0x02, 300, BUFFER), 0);
	assert_memory_equal(buffer, blob + 150, 150);
	for (unsigned int i = 150; i < 300; i++)
		assert_int_equal(buffer[i], 0);
	assert_int_equal(buffer[300], 0xaa);
}

static void dma_writes(void **state)
{
	memory_write(&rig.vm.memory, gpa(BUFFER), "firmware's words", 16);
	assert_int_equal(dma((FW_CFG_FILE + 1) << 16 | 0x18, 16, BUFFER), 0);
	assert_memory_equal(writable, "firmware's words", 16);
	/* Behind its end, and where firmware may not write. */
	assert_int_equal(dma(0x10, 1, BUFFER), 1);
	assert_int_equal(dma((FW_CFG_FILE + 1) << 16 | 0x18, 17, BUFFER), 1);
	assert_int_equal(dma(FW_CFG_FILE << 16 | 0x18, 4, BUFFER), 1);
	assert_int_equal(blob[0], 1);
}

static void dma_refuses(void **state)
{
	assert_int_equal(dma(FW_CFG_FILE << 16 | 0x0a, 16, RAM_SIZE - 8), 1);
	assert_int_equal(dma(FW_CFG_FILE << 16 | 0x0a, UINT32_MAX, BUFFER), 1);
	assert_int_equal(dma(FW_CFG_FILE << 16 | 0x0a, 16, UINT64_MAX - 8), 1);
	assert_int_equal(dma(0x04, UINT32_MAX, 0), 0);
	assert_int_equal(dma(0x04, UINT32_MAX, 0), 0);
	assert_int_equal(rig_in(&rig, FW_CFG_PORT + 1), 0);
	/* A request outside of memory is nothing. */
	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT, 4, UINT32_MAX);
	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT + 4, 4, UINT32_MAX);
}

static void hostile(void **state)
{
	rig_fuzz(&rig, &rig.vm.pio, FW_CFG_PORT, 12, 20000);
}

static void round_trip(void **state)
{
	roundtrip_check(fw_cfg_class.state, &cfg, NULL);
}

/* Written only when firmware asks for it. */
static uint8_t late[8];

static void write_late(void *ctx, const struct fw_cfg_item *item)
{
	if (item->data == late)
		memcpy(late, "ACPIACPI", sizeof(late));
}

static int again(void **state)
{
	teardown(state);
	setup(state);
	memset(late, 0, sizeof(late));
	cfg.selected = write_late;
	return fw_cfg_add_file(&cfg, "etc/late", late, sizeof(late));
}

static void restore(void)
{
	const struct state_item item = { fw_cfg_class.state, &cfg, 0 };

	rig_restore(&rig, &item, 1, again);
}

static void reading_goes_on(void **state)
{
	uint8_t bytes[sizeof(blob)];
	uint8_t *buffer;

	select_key(FW_CFG_FILE);
	get(bytes, 100);
	restore();
	get(bytes + 100, 100);
	restore();
	assert_int_equal(dma(0x02, 100, BUFFER), 0);
	buffer = memory_for_write(&rig.vm.memory, gpa(BUFFER), 100);
	memcpy(bytes + 200, buffer, 100);
	assert_memory_equal(bytes, blob, sizeof(blob));
	restore();
	assert_int_equal(rig_in(&rig, FW_CFG_PORT + 1), 0); /* at its end */
}

/* An item that is written on selection is there in the new machine, too. */
static void late_item_goes_on(void **state)
{
	const uint16_t key = FW_CFG_FILE + 2;
	uint8_t bytes[8];

	again(state);
	assert_int_equal(find_file("etc/late"), key);
	select_key(key);
	get(bytes, 5);
	restore();
	get(bytes + 5, 1);
	restore();
	assert_int_equal(dma(0x02, 2, BUFFER), 0);
	memory_read(&rig.vm.memory, gpa(BUFFER), bytes + 6, 2);
	assert_memory_equal(bytes, "ACPIACPI", 8);
	select_key(key);
	restore();
	get(bytes, 1);
	assert_int_equal(bytes[0], 'A');
}

/* The upper half of an address was written: far outside of memory. */
static void dma_address_goes_on(void **state)
{
	const uint32_t request[4] = { __builtin_bswap32(0x02),
				      __builtin_bswap32(4), 0,
				      __builtin_bswap32(BUFFER) };
	uint32_t word;

	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT, 4, __builtin_bswap32(1));
	restore();
	memory_write(&rig.vm.memory, gpa(REQUEST), request, sizeof(request));
	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT + 4, 4,
		  __builtin_bswap32(REQUEST));
	memory_read(&rig.vm.memory, gpa(REQUEST), &word, 4);
	assert_int_equal(word, request[0]);
	restore(); /* and is gone after that */
	memory_write(&rig.vm.memory, gpa(REQUEST), request, sizeof(request));
	bus_write(&rig.vm.pio, FW_CFG_DMA_PORT + 4, 4,
		  __builtin_bswap32(REQUEST));
	memory_read(&rig.vm.memory, gpa(REQUEST), &word, 4);
	assert_int_equal(word, 0);
	memory_read(&rig.vm.memory, gpa(BUFFER), &word, 4);
	assert_memory_equal(&word, "QEMU", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(files, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_items, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(dma_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(reading_goes_on, setup,
						teardown),
		cmocka_unit_test_setup_teardown(late_item_goes_on, setup,
						teardown),
		cmocka_unit_test_setup_teardown(dma_address_goes_on, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

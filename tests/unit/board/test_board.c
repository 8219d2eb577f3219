/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC as a whole, with an engine that only counts: memory layout, buses,
 * wires, start and reset of processors, saved state, clean failures.
 */
#include "fake/test.h"

#include <string.h>

#include "board/board.h"
#include "board/layout.h"
#include "board/pc.h"
#include "device/usb_keyboard.h"
#include "device/usb_tablet.h"
#include "fake/host.h"
#include "fake/roundtrip.h"
#include "kernels.h"
#include "vm/error.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* --- an engine that counts ------------------------------------------------ */

struct counts {
	unsigned int calls, fail_at; /* 1: the first call fails */
	int open, cpus, maps;
	unsigned int line, lines_set;
	struct msi msi;
};

static struct counts counts;

static int step(void)
{
	return ++counts.calls == counts.fail_at ? -VM_EIO : 0;
}

static int count_open(const struct engine_setup *setup, void **vm_engine)
{
	int err = step();

	*vm_engine = &counts;
	counts.open += !err;
	return err;
}

static void count_close(void *vm_engine)
{
	assert_ptr_equal(vm_engine, &counts);
	counts.open--;
}

static int count_map(void *vm_engine)
{
	int err = step();

	counts.maps += !err;
	return err;
}

static int count_cpu_open(void *vm_engine, struct x86_cpu *cpu)
{
	int err = step();

	counts.cpus += !err;
	return err;
}

static void count_cpu_close(struct x86_cpu *cpu)
{
	counts.cpus--;
}

static void count_line(void *vm_engine, unsigned int line, bool level)
{
	counts.line = line;
	counts.lines_set += level;
}

static void count_msi(void *vm_engine, const struct msi *msi)
{
	counts.msi = *msi;
}

static const struct engine engine_count = {
	.name = "count",
	.open = count_open,
	.close = count_close,
	.map_memory = count_map,
	.cpu_open = count_cpu_open,
	.cpu_close = count_cpu_close,
};

static const struct engine engine_own = {
	.name = "own",
	.open = count_open,
	.close = count_close,
	.map_memory = count_map,
	.cpu_open = count_cpu_open,
	.cpu_close = count_cpu_close,
	.own_irqchip = true,
	.irq_line = count_line,
	.send_msi = count_msi,
};

/* --- a machine ------------------------------------------------------------ */

static uint8_t sent[16];
static unsigned int sent_count;

static void transmit(void *ctx, const uint8_t *data, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		sent[sent_count++ % sizeof(sent)] = data[i];
}

static const struct uart_sink sink = { .transmit = transmit };

static struct board *build(const struct engine *engine, unsigned int cpus,
			   uint64_t memory)
{
	const struct board_config config = {
		.name = "test",
		.cpus = cpus,
		.memory = memory,
		.testdev = true,
		.usb = true,
		.engine = engine,
		.serial = &sink,
	};
	struct board *board = NULL;

	fake_host_reset();
	memset(&counts, 0, sizeof(counts));
	sent_count = 0;
	assert_int_equal(board_build(&config, &board), 0);
	return board;
}

static void destroy(struct board *board)
{
	board_destroy(board);
	assert_int_equal(counts.open, 0);
	assert_int_equal(counts.cpus, 0);
	assert_int_equal(fake_live(), 0);
}

static int load_flat(struct board *board)
{
	static const uint8_t code[] = { 0xf4 };
	const struct board_boot boot = {
		.kind = BOOT_FLAT,
		.kernel = code,
		.kernel_size = sizeof(code),
		.flat_address = 0x7c00,
		.flat_entry = 0x7c00,
	};
	struct boot_error error;

	return board_load(board, &boot, &error);
}

/* --- tests ---------------------------------------------------------------- */

static void refuses_bad_sizes(void **state)
{
	static const struct {
		unsigned int cpus;
		uint64_t memory;
	} bad[] = {
		{ 0, 64 * MIB },    { VM_CPUS_MAX + 1, 64 * MIB },
		{ 1, 0 },	    { 1, MIB / 2 },
		{ 1, MIB + 4096 },  { 1, 1024 * GIB + MIB },
		{ 1000, 64 * MIB }, { 1, UINT64_MAX },
	};

	fake_host_reset();
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct board_config config = {
			.cpus = bad[i].cpus,
			.memory = bad[i].memory,
			.engine = &engine_count,
		};
		struct board *board;

		assert_int_equal(board_build(&config, &board), -VM_EINVAL);
	}
	assert_int_equal(fake_live(), 0);
}

static const struct {
	uint64_t memory, ram_end, above;
} layouts[] = {
	{ 1 * MIB, 0, 0 },
	{ 2 * MIB, 2 * MIB, 0 },
	{ 2 * GIB, 2 * GIB, 0 },
	{ 5 * GIB, 2 * GIB, 3 * GIB },
	{ 1024 * GIB, 2 * GIB, 1022 * GIB },
};

static void memory_layouts(void **state)
{
	for (unsigned int i = 0; i < sizeof(layouts) / sizeof(layouts[0]);
	     i++) {
		struct board *board =
			build(&engine_count, 1, layouts[i].memory);
		struct memory *mem = &board_vm(board)->memory;
		uint64_t end = layouts[i].ram_end, above = layouts[i].above;

		assert_non_null(memory_for_write(mem, gpa(0), 0xa0000));
		assert_null(memory_find(mem, gpa(0xa0000)));
		assert_null(memory_find(mem, gpa(0xbffff)));
		assert_int_equal(memory_find(mem, gpa(0xc0000))->kind,
				 MEMORY_ROM);
		assert_null(memory_for_write(mem, gpa(0xfffff), 1));
		assert_int_equal(!end, !memory_find(mem, gpa(MIB)));
		if (end) {
			assert_non_null(
				memory_for_read(mem, gpa(MIB), end - MIB));
			assert_null(memory_find(mem, gpa(end)));
		}
		assert_null(memory_find(mem, gpa(4 * GIB - 1)));
		assert_int_equal(!above, !memory_find(mem, gpa(4 * GIB)));
		if (above)
			assert_non_null(
				memory_for_read(mem, gpa(4 * GIB), above));
		assert_null(memory_find(mem, gpa(4 * GIB + above)));
		assert_int_equal(load_flat(board), 0);
		destroy(board);
	}
}

static void opens_the_engine(void **state)
{
	struct board *board = build(&engine_count, 4, 16 * MIB);

	assert_int_equal(counts.open, 1);
	assert_int_equal(counts.maps, 1);
	assert_int_equal(counts.cpus, 4);
	assert_int_equal(board_vm(board)->cpu_count, 4);
	assert_ptr_equal(board_engine_vm(board), &counts);
	destroy(board);
}

/* Whatever fails while a board is built, nothing is left. */
static void build_fails_cleanly(void **state)
{
	const struct board_config config = {
		.cpus = 3,
		.memory = 16 * MIB,
		.usb = true,
		.engine = &engine_count,
	};
	struct board *board = NULL;

	for (unsigned int kind = 0; kind < 3; kind++) {
		unsigned int nth = 0;
		int err;

		do {
			fake_host_reset();
			memset(&counts, 0, sizeof(counts));
			nth++;
			if (kind == 0)
				fake_fail_alloc(nth);
			else if (kind == 1)
				fake_fail_ram(nth);
			else
				counts.fail_at = nth;
			err = board_build(&config, &board);
			if (err) {
				assert_int_equal(fake_live(), 0);
				assert_int_equal(counts.open, 0);
				assert_int_equal(counts.cpus, 0);
			}
		} while (err);
		assert_true(nth > 3);
		destroy(board);
	}
}

/* Firmware's marks, and the processors' state after a load. */
static void load_prepares(void **state)
{
	struct board *board = build(&engine_count, 2, 16 * MIB);
	struct vm *vm = board_vm(board);
	uint16_t word;

	assert_int_equal(load_flat(board), 0);
	assert_memory_equal(memory_for_read(&vm->memory, gpa(LAYOUT_TABLES), 8),
			    "RSD PTR ", 8);
	assert_memory_equal(memory_for_read(&vm->memory, gpa(LAYOUT_SMBIOS), 5),
			    "_SM3_", 5);
	assert_memory_equal(memory_for_read(&vm->memory, gpa(LAYOUT_FACS), 4),
			    "FACS", 4);
	memory_read(&vm->memory, gpa(0x413), &word, 2);
	assert_int_equal(word, 639);
	assert_int_equal(vm->cpu[0]->state.activity, X86_RUNNING);
	assert_int_equal(vm->cpu[1]->state.activity, X86_WAIT_SIPI);
	assert_int_equal(vm->cpu[0]->state.rip, 0x7c00);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vm->cpu[i]->state.mtrr_def_type, 0x806);
		assert_int_equal(vm->cpu[i]->state.mtrr_base[0], 0x80000000);
	}
	destroy(board);
}

static void reset_starts_anew(void **state)
{
	struct board *board = build(&engine_count, 2, 32 * MIB);
	static struct kernel_file file;
	struct vm *vm = board_vm(board);
	struct board_boot boot = { 0 };
	struct boot_error error;

	kernel_linux(&file);
	boot.kernel = file.data;
	boot.kernel_size = file.size;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(board_load(board, &boot, &error), 0);
		assert_int_equal(vm->cpu[0]->state.rip, 0x1000200);
		assert_true(vm->cpu[0]->mode & X86_MODE_CODE64);
		vm->cpu[1]->state.activity = X86_RUNNING;
		vm->cpu[0]->state.gpr[X86_R15] = 5;
		bus_write(&vm->pio, LAYOUT_COM1 + 7, 1, 0x55);
		board_reset(board);
		assert_int_equal(vm->cpu[0]->state.gpr[X86_R15], 0);
		assert_int_equal(vm->cpu[1]->state.activity, X86_WAIT_SIPI);
		assert_int_equal(vm->cpu[0]->state.cr0 & X86_CR0_PE, 0);
	}
	file.data[0x202] = 0;
	assert_int_equal(board_load(board, &boot, &error), -VM_EINVAL);
	assert_non_null(strstr(error.text, "not a kernel"));
	destroy(board);
}

static void serial_ports(void **state)
{
	struct board *board = build(&engine_count, 1, 16 * MIB);
	struct vm *vm = board_vm(board);

	bus_write(&vm->pio, LAYOUT_COM1, 1, 'x');
	bus_write(&vm->pio, LAYOUT_COM2, 1, 'y');
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0], 'x');
	assert_int_equal(board_serial_receive(board, (const uint8_t *)"z", 1),
			 1);
	assert_int_equal(bus_read(&vm->pio, LAYOUT_COM1, 1), 'z');
	destroy(board);
}

/* Each line of the PC reaches the inputs that the MADT tells of. */
static void wires(void **state)
{
	struct board *board = build(&engine_count, 1, 16 * MIB);
	struct vm *vm = board_vm(board);

	for (unsigned int line = 0; line < 16; line++) {
		uint32_t input = line == 0 ? 2 : line;

		if (line == 2)
			continue;
		bus_write(&vm->pio, TESTDEV_LINES + line, 1, 1);
		assert_int_equal(board->ioapic.level, 1u << input);
		bus_write(&vm->pio, TESTDEV_LINES + line, 1, 0);
		assert_int_equal(board->ioapic.level, 0);
	}
	destroy(board);
}

static void own_irqchip(void **state)
{
	static const uint16_t ports[] = { 0x20,	 0x21, 0xa0, 0xa1, 0x4d0,
					  0x4d1, 0x40, 0x43, 0x61 };
	const struct msi msi = { 0xfee00000, 0x41 };
	struct board *board = build(&engine_own, 2, 16 * MIB);
	struct vm *vm = board_vm(board);

	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		assert_false(bus_meets(&vm->pio, ports[i], 1));
	assert_false(bus_meets(&vm->mmio, IOAPIC_BASE, 1));
	bus_write(&vm->pio, TESTDEV_LINES + 4, 1, 1);
	assert_int_equal(counts.line, 4);
	assert_int_equal(counts.lines_set, 1);
	msi_send(&vm->msi, &msi);
	assert_int_equal(counts.msi.data, 0x41);
	assert_int_equal(load_flat(board), 0);
	destroy(board);
}

/* While nobody drives the USB devices, the others have what comes. */
static void keys_and_pointer(void **state)
{
	struct board *board = build(&engine_count, 1, 16 * MIB);

	assert_int_equal(board_keys_unread(board), 0);
	board_key(board, KEY_A, true);
	board_key(board, KEY_A, false);
	assert_int_equal(board_keys_unread(board), 3); /* 1c, f0 1c */
	assert_int_equal(board->usb_keyboard->count, 0);
	assert_false(board_points(board));
	assert_false(board_point(board, 1, 1, 10, 10, 0, 0));
	assert_int_equal(board->usb_tablet->count, 0);
	/* One that was pressed on the other is released there. */
	usb_keyboard_key(board->usb_keyboard, KEY_A, true);
	board_key(board, KEY_A, false);
	assert_int_equal(board->usb_keyboard->count, 2);
	destroy(board);
}

static void power_button(void **state)
{
	struct board *board = build(&engine_count, 1, 16 * MIB);
	struct vm *vm = board_vm(board);

	/* PM1 status bit 8, enable bit 8 (ACPI 6.4, 4.8.4.1); SCI is 9. */
	bus_write(&vm->pio, ACPI_PM_PM1_EVT + 2, 2, 0x100);
	board_power_button(board);
	assert_int_equal(bus_read(&vm->pio, ACPI_PM_PM1_EVT, 2) & 0x100, 0x100);
	assert_int_equal(board->ioapic.level, 1u << 9);
	destroy(board);
}

/* S5 by the value of \_S5, and the FADT's reset register. */
static void ends(void **state)
{
	struct board *board = build(&engine_count, 1, 16 * MIB);
	struct vm *vm = board_vm(board);

	bus_write(&vm->pio, ACPI_PM_PM1_CNT, 2,
		  ACPI_PM_S5_TYPE << 10 | 1 << 13);
	assert_int_equal(atomic_load(&vm->request), VM_POWER_OFF);
	destroy(board);

	board = build(&engine_count, 1, 16 * MIB);
	vm = board_vm(board);
	bus_write(&vm->pio, RESET_CONTROL_PORT, 1, RESET_CONTROL_VALUE);
	assert_int_equal(atomic_load(&vm->request), VM_RESET);
	destroy(board);
}

/* A machine's state goes into its twin, and only into its twin. */
static void saved_state(void **state)
{
	struct state_item items[VM_CPUS_MAX + VM_DEVICES_MAX];
	struct board *board = build(&engine_count, 2, 16 * MIB);
	struct state_buffer stream = { 0 };
	struct state_error error;
	unsigned int count;

	assert_int_equal(load_flat(board), 0);
	clock_start(&board->vm.clock);
	fake_time_advance(12345);
	clock_stop(&board->vm.clock);
	board->vm.cpu[1]->state.gpr[X86_RBX] = 77;
	bus_write(&board->vm.pio, LAYOUT_COM1 + 7, 1, 0x5a);
	count = board_state_items(board, items,
				  sizeof(items) / sizeof(items[0]));
	assert_true(count > 10);
	assert_int_equal(board_state_items(board, items, 3), 3);
	board_state_items(board, items, sizeof(items) / sizeof(items[0]));
	assert_int_equal(state_save(items, count, &stream), 0);

	board_reset(board);
	bus_write(&board->vm.pio, LAYOUT_COM1 + 7, 1, 0);
	clock_set(&board->vm.clock, 1);
	assert_int_equal(state_load(items, count, stream.data, stream.size,
				    &board->vm.clock, &error),
			 0);
	assert_int_equal(board->vm.cpu[1]->state.gpr[X86_RBX], 77);
	assert_int_equal(bus_read(&board->vm.pio, LAYOUT_COM1 + 7, 1), 0x5a);
	assert_int_equal(clock_now(&board->vm.clock), 12345);

	/* Another size of memory: not this machine's state. */
	board->record.memory_here += MIB;
	assert_int_equal(
		state_check(items, count, stream.data, stream.size, &error),
		-VM_EBADMSG);
	assert_non_null(strstr(error.text, "board"));
	host_free(stream.data);
	destroy(board);
}

static void record_valid(void *object)
{
	struct board_record *record = object;

	record->memory = record->memory_here;
	record->cpus = record->cpus_here;
}

static void record_round_trip(void **state)
{
	struct board *board = build(&engine_count, 1, 16 * MIB);

	roundtrip_check(&board_record_class, &board->record, record_valid);
	destroy(board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_bad_sizes),
		cmocka_unit_test(memory_layouts),
		cmocka_unit_test(opens_the_engine),
		cmocka_unit_test(build_fails_cleanly),
		cmocka_unit_test(load_prepares),
		cmocka_unit_test(reset_starts_anew),
		cmocka_unit_test(serial_ports),
		cmocka_unit_test(wires),
		cmocka_unit_test(own_irqchip),
		cmocka_unit_test(keys_and_pointer),
		cmocka_unit_test(power_button),
		cmocka_unit_test(ends),
		cmocka_unit_test(saved_state),
		cmocka_unit_test(record_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices of a PC from before PCI: where the board puts them, and what it
 * tells systems of them.
 */
#include "device/ahci.h"
#include "device/ata.h"
#include "device/ide.h"
#include "fake/test.h"

#include <string.h>

#include "board/layout.h"
#include "board/pc.h"
#include "fake/block.h"
#include "fake/host.h"
#include "vm/error.h"

#define MIB (1ull << 20)
#define KIB (1u << 10)

/* --- an engine that runs nothing and has the lines -------------------------- */

static uint32_t lines;

static int idle_open(const struct engine_setup *setup, void **vm_engine)
{
	*vm_engine = NULL;
	return 0;
}

static void idle_close(void *vm_engine)
{
}

static int idle_map(void *vm_engine)
{
	return 0;
}

static int idle_cpu_open(void *vm_engine, struct x86_cpu *cpu)
{
	return 0;
}

static void idle_cpu_close(struct x86_cpu *cpu)
{
}

static void set_line(void *vm_engine, unsigned int line, bool level)
{
	lines = level ? lines | 1u << line : lines & ~(1u << line);
}

static void send_msi(void *vm_engine, const struct msi *msi)
{
}

static const struct engine engine_idle = {
	.name = "idle",
	.open = idle_open,
	.close = idle_close,
	.map_memory = idle_map,
	.cpu_open = idle_cpu_open,
	.cpu_close = idle_cpu_close,
	.own_irqchip = true,
	.irq_line = set_line,
	.send_msi = send_msi,
};

static struct board *build(struct board_config *config)
{
	struct board *board;

	fake_host_reset();
	lines = 0;
	config->name = "test";
	config->cpus = 1;
	config->memory = 16 * MIB;
	config->engine = &engine_idle;
	assert_int_equal(board_build(config, &board), 0);
	return board;
}

static void destroy(struct board *board)
{
	board_destroy(board);
	assert_int_equal(fake_live(), 0);
}

static uint8_t in(struct board *board, uint16_t port)
{
	return (uint8_t)bus_read(&board_vm(board)->pio, port, 1);
}

static void out(struct board *board, uint16_t port, uint8_t value)
{
	bus_write(&board_vm(board)->pio, port, 1, value);
}

static uint8_t nvram(struct board *board, uint8_t index)
{
	out(board, 0x70, index);
	return in(board, 0x71);
}

/* --- floppy disks ------------------------------------------------------------- */

static void without_floppies(void **state)
{
	struct board_config config = { 0 };
	struct board *board = build(&config);

	assert_int_equal(in(board, 0x3f4), 0xff);
	assert_int_equal(nvram(board, 0x10), 0);
	assert_int_equal(nvram(board, 0x14), 0x06);
	destroy(board);
}

static void floppies(void **state)
{
	static uint8_t data[512];
	struct fake_block disk[2];
	struct board_config config = {
		.floppy = { &disk[0].block, &disk[1].block },
	};

	fake_block_init(&disk[0], data, 1440 * KIB);
	fake_block_init(&disk[1], data, 360 * KIB);
	for (unsigned int count = 1; count <= 2; count++) {
		struct board *board;

		config.floppies = count;
		board = build(&config);
		assert_int_equal(nvram(board, 0x10),
				 count == 1 ? 0x40 : 0x41);
		assert_int_equal(nvram(board, 0x14),
				 count == 1 ? 0x07 : 0x47);
		out(board, 0x3f2, 0x0c);
		assert_int_equal(in(board, 0x3f4), 0x80);
		assert_int_equal(lines, 1u << LAYOUT_IRQ_FDC);
		destroy(board);
	}
	assert_int_equal(board_floppy_type(2880 * KIB), 5);
	assert_int_equal(board_floppy_type(1000), 0);
	fake_block_init(&disk[1], data, 1000 * KIB);
	fake_host_reset();
	assert_int_equal(board_build(&config, &(struct board *){ NULL }),
			 -VM_EINVAL);
	assert_int_equal(fake_live(), 0);
}

/* --- IDE ------------------------------------------------------------------------ */

static void ide(void **state)
{
	static uint8_t data[512];
	struct fake_block disk;
	struct board_disk drive = { .block = &disk.block, .bus = BOARD_IDE };
	struct board_disk five[5] = { drive, drive, drive, drive, drive };
	struct board_config config = { .disk = &drive, .disks = 1 };
	struct board *board;

	fake_block_init(&disk, data, 64 * KIB);
	board = build(&config);
	/* Decoded when firmware, or who takes its place, says so. */
	assert_int_equal(in(board, 0x1f7), 0xff);
	pci_config_write(board->pci.root.function[PCI_DEVFN(31, 1)],
			 PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(in(board, 0x1f7), 0x50);
	out(board, 0x1f7, 0x90);
	assert_int_equal(lines, 1u << LAYOUT_IRQ_IDE);
	assert_int_equal(in(board, 0x177), 0);
	/* There, and nowhere else. */
	assert_null(board->pci.root.function[PCI_DEVFN(LAYOUT_SLOT_DISKS, 0)]);
	destroy(board);
	config.disk = five;
	config.disks = 5;
	fake_host_reset();
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
}

/* --- media that are changed --------------------------------------------------------- */

static void media(void **state)
{
	static uint8_t data[1440 * KIB];
	struct fake_block disk[5];
	struct board_disk drive[] = {
		{ .block = &disk[0].block, .bus = BOARD_AHCI },
		{ .block = &disk[1].block, .bus = BOARD_IDE },
		{ .bus = BOARD_IDE, .cd = true },
		{ .block = &disk[2].block, .bus = BOARD_AHCI, .cd = true },
	};
	struct board_config config = {
		.disk = drive,
		.disks = 4,
		.floppy = { NULL, &disk[3].block },
		.floppies = 2,
	};
	struct board_drive now;
	struct board *board;

	for (unsigned int i = 0; i < 5; i++)
		fake_block_init(&disk[i], data, 64 * KIB);
	disk[3].block.size = disk[4].block.size = 1440 * KIB;
	board = build(&config);
	assert_int_equal(board->drives, 4);
	/* CDs in their order, whatever they are on, then floppy disks. */
	assert_ptr_equal(ahci_drive(board->ahci, 1)->block, &disk[2].block);
	assert_null(ide_drive(board->ide, 1)->block);
	assert_int_equal(board_change(board, 0, &disk[4].block, false), 0);
	assert_ptr_equal(ide_drive(board->ide, 1)->block, &disk[4].block);
	assert_int_equal(board_change(board, 1, NULL, false), 0);
	assert_null(ahci_drive(board->ahci, 1)->block);
	board_drive(board, 0, &now);
	assert_false(now.open || now.locked);
	board_drive(board, 1, &now);
	assert_true(now.open && !now.locked);
	/* An empty drive is for 1440K. */
	assert_int_equal(board->floppy_type[0], 4);
	assert_int_equal(board_change(board, 2, &disk[0].block, false),
			 -VM_EINVAL);
	assert_int_equal(board_change(board, 2, &disk[4].block, false), 0);
	assert_int_equal(board_change(board, 3, NULL, false), 0);
	board_drive(board, 3, &now);
	assert_false(now.open || now.locked);
	destroy(board);
}

/* --- the whole machine's state ------------------------------------------------------ */

/* With a command of each controller half given. */
static void saved(void **state)
{
	static uint8_t data[1440 * KIB];
	struct state_item items[VM_CPUS_MAX + VM_DEVICES_MAX];
	const unsigned int max = sizeof(items) / sizeof(items[0]);
	struct fake_block disk, floppy;
	struct board_disk drive = { .block = &disk.block, .bus = BOARD_IDE };
	struct board_config config = {
		.disk = &drive,
		.disks = 1,
		.floppy = { &floppy.block },
		.floppies = 1,
	};
	struct state_buffer stream = { 0 };
	struct state_error error;
	struct board *board;
	unsigned int count;

	fake_block_init(&disk, data, 64 * KIB);
	fake_block_init(&floppy, data, sizeof(data));
	board = build(&config);
	pci_config_write(board->pci.root.function[PCI_DEVFN(31, 1)],
			 PCI_COMMAND, 2, PCI_COMMAND_IO);
	out(board, 0x1f6, 0xe0);
	out(board, 0x1f7, 0x30);
	bus_write(&board->vm.pio, 0x1f0, 2, 0x1234);
	out(board, 0x3f2, 0x0c);
	out(board, 0x3f5, 0x03);
	out(board, 0x3f5, 0xaf);
	out(board, 0x81, 0x77);
	vm_quiesce_devices(&board->vm);
	count = board_state_items(board, items, max);
	assert_int_equal(state_save(items, count, &stream), 0);
	board_reset(board);
	assert_int_equal(in(board, 0x81), 0);
	assert_int_equal(state_load(items, count, stream.data, stream.size,
				    &board->vm.clock, &error), 0);
	vm_resume_devices(&board->vm);
	assert_int_equal(in(board, 0x81), 0x77);
	assert_int_equal(in(board, 0x3f4), 0x90);
	assert_int_equal(in(board, 0x1f7), 0x58);
	for (unsigned int i = 2; i < 512; i += 2)
		bus_write(&board->vm.pio, 0x1f0, 2, 0);
	fake_work_run();
	assert_int_equal(in(board, 0x1f7), 0x50);
	assert_int_equal(data[512] | data[513] << 8, 0x1234); /* sector 1 */
	host_free(stream.data);
	destroy(board);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_floppies),
		cmocka_unit_test(floppies),
		cmocka_unit_test(ide),
		cmocka_unit_test(media),
		cmocka_unit_test(saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

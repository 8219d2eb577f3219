/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel finds on PCI when no firmware ran: the whole listing is
 * pinned here, since guests remember where their devices are.
 */
#include "board/pci_layout.h"

#include <stdio.h>
#include <string.h>

#include "board/pc.h"
#include "chip/pci_dump.h"
#include "fake/block.h"
#include "fake/host.h"
#include "fake/idle_engine.h"
#include "fake/test.h"
#include "vm/error.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* --- the listing ------------------------------------------------------------ */

static char listing[8192];

static void add_line(void *ctx, const char *text)
{
	strcat(listing, text);
	strcat(listing, "\n");
}

static void dump(struct board *board)
{
	listing[0] = '\0';
	pci_dump(&board->pci, add_line, NULL);
}

static void start(struct board *board)
{
	static const uint8_t halt[] = { 0xf4 };
	const struct board_boot boot = {
		.kind = BOOT_FLAT,
		.kernel = halt,
		.kernel_size = sizeof(halt),
		.flat_address = 0x7c00,
		.flat_entry = 0x7c00,
	};
	struct boot_error error;

	assert_int_equal(board_load(board, &boot, &error), 0);
}

static struct board *build(struct board_config *config)
{
	struct board *board;

	fake_host_reset();
	config->name = "test";
	config->cpus = 1;
	config->memory = 64 * MIB;
	config->engine = &engine_idle;
	assert_int_equal(board_build(config, &board), 0);
	start(board);
	dump(board);
	return board;
}

static void expect(const char *golden)
{
	if (strcmp(listing, golden))
		fail_msg("the machine is now:\n%s", listing);
}

static const char bare[] =
	"00:00.0 060000 8086:29c0 rev 00 host bridge io- mem- master-\n"
	"00:02.0 00ff00 1af4:1044 rev 01 rng io- mem+ master-\n"
	"  interrupt pin 1, line 11\n"
	"  BAR 1: 32-bit memory at c0008000, size 4096\n"
	"  BAR 4: 64-bit memory at c0000000, size 16384\n"
	"  [40] vendor's, type 1\n"
	"  [50] vendor's, type 3\n"
	"  [60] vendor's, type 2\n"
	"  [74] vendor's, type 5\n"
	"  [88] MSI-X, vectors 2\n"
	"  [94] express, type 9\n"
	"00:05.0 00ff00 1af4:1045 rev 01 balloon io- mem+ master-\n"
	"  interrupt pin 1, line 10\n"
	"  BAR 1: 32-bit memory at c0009000, size 4096\n"
	"  BAR 4: 64-bit memory at c0004000, size 16384\n"
	"  [40] vendor's, type 1\n"
	"  [50] vendor's, type 3\n"
	"  [60] vendor's, type 4\n"
	"  [70] vendor's, type 2\n"
	"  [84] vendor's, type 5\n"
	"  [98] MSI-X, vectors 6\n"
	"  [a4] express, type 9\n"
	"00:1f.0 060100 8086:2918 rev 02 LPC bridge io+ mem+ master+\n";

static void bare_machine(void **state)
{
	struct board_config config = { 0 };
	struct board *board = build(&config);

	expect(bare);
	/* The same after a reset and another start. */
	board_reset(board);
	start(board);
	dump(board);
	expect(bare);
	board_destroy(board);
}

static const char with_disks[] =
	"00:08.0 010000 1af4:1042 rev 01 blk io- mem+ master-\n"
	"  interrupt pin 1, line 10\n"
	"  BAR 1: 32-bit memory at c0012000, size 4096\n"
	"  BAR 4: 64-bit memory at c0008000, size 16384\n"
	"  [40] vendor's, type 1\n"
	"  [50] vendor's, type 3\n"
	"  [60] vendor's, type 4\n"
	"  [70] vendor's, type 2\n"
	"  [84] vendor's, type 5\n"
	"  [98] MSI-X, vectors 2\n"
	"  [a4] express, type 9\n"
	"00:09.0 010000 1af4:1042 rev 01 blk io- mem+ master-\n"
	"  interrupt pin 1, line 10\n"
	"  BAR 1: 32-bit memory at c0013000, size 4096\n"
	"  BAR 4: 64-bit memory at c000c000, size 16384\n"
	"  [40] vendor's, type 1\n"
	"  [50] vendor's, type 3\n"
	"  [60] vendor's, type 4\n"
	"  [70] vendor's, type 2\n"
	"  [84] vendor's, type 5\n"
	"  [98] MSI-X, vectors 5\n"
	"  [a4] express, type 9\n";

/* Disks from 00:08.0 on; nothing else moves to another place. */
static void disks(void **state)
{
	static uint8_t image[2][4096];
	struct fake_block block[2];
	struct board_disk disk[2] = { { .block = &block[0].block },
				      { .block = &block[1].block,
					.queues = 4 } };
	struct board_config config = { .disk = disk, .disks = 2 };
	struct board *board;
	char *at;

	for (unsigned int i = 0; i < 2; i++)
		fake_block_init(&block[i], image[i], sizeof(image[i]));
	board = build(&config);
	at = strstr(listing, "00:08.0");
	assert_non_null(at);
	at[strlen(with_disks)] = '\0';
	assert_string_equal(at, with_disks);
	board_destroy(board);
	config.disks = BOARD_DISKS_MAX + 1;
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
}

static const char with_usb[] =
	"00:03.0 0c0330 1af4:10f1 rev 01 xhci io- mem+ master-\n"
	"  interrupt pin 1, line 11\n"
	"  BAR 0: 64-bit memory at c0004000, size 16384\n"
	"  BAR 2: 32-bit memory at c000d000, size 4096\n"
	"  [40] MSI-X, vectors 4\n"
	"  [64] express, type 9\n";

/* USB at 00:03.0. */
static void usb(void **state)
{
	struct board_config config = { .usb = true };
	struct board *board = build(&config);
	char *at = strstr(listing, "00:03.0");

	assert_non_null(at);
	*strstr(at, "00:05.0") = '\0';
	assert_string_equal(at, with_usb);
	board_destroy(board);
}

static const char two_ports[] =
	"00:1c.0 060400 8086:2940 rev 02 root port io+ mem+ master+\n"
	"  leads to 01-01\n"
	"  memory c0100000-c02fffff\n"
	"  prefetchable 0800000000-083fffffff\n"
	"  [40] express, type 4\n"
	"  [7c] MSI, vectors 1\n"
	"00:1c.1 060400 8086:2940 rev 02 root port io+ mem+ master+\n"
	"  leads to 02-02\n"
	"  memory c0300000-c04fffff\n"
	"  prefetchable 0840000000-087fffffff\n"
	"  [40] express, type 4\n"
	"  [7c] MSI, vectors 1\n";

/* Empty slots have buses and room already. */
static void ports(void **state)
{
	struct board_config config = { .ports = 2 };
	struct board *board = build(&config);
	char *at = strstr(listing, "00:1c.0");

	assert_non_null(at);
	*strstr(at, "00:1f.0") = '\0';
	assert_string_equal(at, two_ports);
	board_destroy(board);
	config.ports = BOARD_PORTS_MAX + 1;
	assert_int_equal(board_build(&config, &board), -VM_EINVAL);
}

static void windows(void **state)
{
	struct pci_layout layout;

	pci_layout_init(&layout, 512 * MIB, 40);
	assert_true(layout.ecam.base == 0xb0000000);
	assert_true(layout.ecam.size == 256 * MIB);
	assert_true(layout.low.base == 0xc0000000);
	assert_true(layout.low.base + layout.low.size == 0xfec00000);
	assert_true(layout.high.base == 32 * GIB);
	assert_true(layout.high.size == 32 * GIB);
	pci_layout_init(&layout, 30 * GIB, 40);
	assert_true(layout.high.base == 32 * GIB);
	pci_layout_init(&layout, 30 * GIB + MIB, 40);
	assert_true(layout.high.base == 64 * GIB);
	/* No room above the RAM. */
	pci_layout_init(&layout, 40 * GIB, 36);
	assert_true(layout.high.size == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bare_machine),
		cmocka_unit_test(disks),
		cmocka_unit_test(usb),
		cmocka_unit_test(ports),
		cmocka_unit_test(windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

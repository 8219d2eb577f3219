/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AHCI controller with a disk and a CD, as a driver talks to it; and as
 * one would that means harm.
 */
#include "device/ahci.h"

#include "device/ahci_reg.h"
#include "device/ata.h"
#include "fake/block.h"
#include "pci_rig.h"
#include "vm/error.h"

#define DEVFN	PCI_DEVFN(31, 2)
#define BAR	0xd0000000ull
#define SECTORS 4096u

/* Where the driver keeps things in guest memory. */
#define LIST	 0x10000u /* 0x1000 a port */
#define RECEIVED 0x18000u
#define TABLE	 0x20000u /* 0x1000 a slot */
#define DATA	 0x80000u

static struct pci_rig rig;
static struct fake_block disk, medium;
static uint8_t image[SECTORS * 512], iso[SECTORS * 512];
static struct ahci *ahci;

static void poke(uint32_t at, const void *data, size_t size)
{
	assert_int_equal(memory_write(&rig.rig.vm.memory, gpa(at), data,
				      size), 0);
}

static void peek(uint32_t at, void *data, size_t size)
{
	assert_int_equal(memory_read(&rig.rig.vm.memory, gpa(at), data, size),
			 0);
}

static uint32_t get(unsigned int port, unsigned int at)
{
	return (uint32_t)bus_read(&rig.rig.vm.mmio,
				  BAR + AHCI_PORT0 + port * AHCI_PORT_SIZE +
					  at, 4);
}

static void set(unsigned int port, unsigned int at, uint32_t value)
{
	bus_write(&rig.rig.vm.mmio,
		  BAR + AHCI_PORT0 + port * AHCI_PORT_SIZE + at, 4, value);
}

static void start_port(unsigned int port)
{
	set(port, AHCI_CLB, LIST + port * 0x1000);
	set(port, AHCI_FB, RECEIVED + port * 0x1000);
	set(port, AHCI_CMD, AHCI_CMD_FRE);
	set(port, AHCI_SERR, ~0u);
	set(port, AHCI_PIS, ~0u);
	set(port, AHCI_PIE, AHCI_IS_ALL);
	set(port, AHCI_CMD, AHCI_CMD_FRE | AHCI_CMD_ST);
}

static int setup(void **state)
{
	const struct ahci_drive hd = { &disk.block, "serial", false };
	const struct ahci_drive cd = { &medium.block, NULL, true };

	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	for (unsigned int i = 0; i < sizeof(image); i++) {
		image[i] = (uint8_t)(i / 512 + i);
		iso[i] = (uint8_t)(i / 2048 * 3 + i);
	}
	memset(&disk, 0, sizeof(disk));
	memset(&medium, 0, sizeof(medium));
	fake_block_init(&disk, image, sizeof(image));
	fake_block_init(&medium, iso, sizeof(iso));
	disk.block.can_discard = true;
	medium.block.readonly = true;
	assert_int_equal(ahci_create(&ahci, &rig.rig.vm), 0);
	ahci_add(ahci, 0, &hd);
	ahci_add(ahci, 1, &cd);
	assert_int_equal(pci_attach(&rig.host.root, ahci_pci(ahci), DEVFN), 0);
	pci_rig_set(&rig, DEVFN, PCI_BAR0 + 20, 4, (uint32_t)BAR);
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	bus_write(&rig.rig.vm.mmio, BAR + AHCI_GHC, 4,
		  AHCI_GHC_AE | AHCI_GHC_IE);
	start_port(0);
	start_port(1);
	return 0;
}

static int teardown(void **state)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	fake_work_run();
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

/* A command in `slot`: frame, and PRDs of `size` bytes cut in `pieces`. */
static void put(unsigned int port, unsigned int slot, const uint8_t *fis,
		const uint8_t *packet, uint32_t size, unsigned int pieces)
{
	uint32_t table = TABLE + slot * 0x1000, each, at = DATA;
	uint32_t header[8] = { 5 | pieces << 16, 0, table };

	if (packet) {
		header[0] |= AHCI_HEADER_A;
		poke(table + AHCI_TABLE_PACKET, packet, 16);
	}
	poke(LIST + port * 0x1000 + slot * AHCI_HEADER, header,
	     sizeof(header));
	poke(table, fis, 20);
	for (unsigned int i = 0; i < pieces; i++) {
		uint32_t prd[4] = { at };

		each = i + 1 < pieces ? size / pieces & ~1u
				      : size - (at - DATA);
		prd[3] = each - 1;
		poke(table + AHCI_TABLE_PRDT + i * AHCI_PRD, prd, sizeof(prd));
		at += each;
	}
}

static void go(unsigned int port, unsigned int slot)
{
	set(port, AHCI_CI, 1u << slot);
	fake_work_run();
}

static void frame(uint8_t *fis, uint8_t command, uint64_t lba, uint16_t count)
{
	memset(fis, 0, 20);
	fis[0] = FIS_H2D;
	fis[1] = 0x80;
	fis[2] = command;
	fis[7] = 0x40;
	for (unsigned int i = 0; i < 3; i++) {
		fis[4 + i] = (uint8_t)(lba >> 8 * i);
		fis[8 + i] = (uint8_t)(lba >> (24 + 8 * i));
	}
	fis[12] = (uint8_t)count;
	fis[13] = (uint8_t)(count >> 8);
}

/* A whole ATA command with data; the task file afterwards. */
static uint32_t ata(uint8_t command, uint64_t lba, uint16_t count,
		    uint32_t size, unsigned int pieces)
{
	uint8_t fis[20];

	frame(fis, command, lba, count);
	put(0, 3, fis, NULL, size, pieces);
	set(0, AHCI_PIS, ~0u);
	go(0, 3);
	return get(0, AHCI_TFD);
}

static uint32_t packet(const uint8_t *cdb, uint32_t size)
{
	uint8_t fis[20];

	frame(fis, 0xa0, 0, 0);
	fis[3] = 1;
	put(1, 0, fis, cdb, size, size ? 1 : 0);
	set(1, AHCI_PIS, ~0u);
	go(1, 0);
	return get(1, AHCI_TFD);
}

static void restart(unsigned int port)
{
	set(port, AHCI_CMD, AHCI_CMD_FRE);
	assert_false(get(port, AHCI_CMD) & AHCI_CMD_CR);
	set(port, AHCI_PIS, ~0u);
	set(port, AHCI_CMD, AHCI_CMD_FRE | AHCI_CMD_ST);
}

static uint8_t sense_key(void)
{
	const uint8_t cdb[16] = { 0x03, 0, 0, 0, 18 };
	uint8_t sense[18];

	assert_int_equal(packet(cdb, 18) & 0xff, 0x50);
	peek(DATA, sense, sizeof(sense));
	return sense[2];
}

/* --- the controller ------------------------------------------------------------- */

static void registers(void **state)
{
	assert_int_equal(pci_rig_get(&rig, DEVFN, 0, 4), 0x29228086);
	assert_int_equal(pci_rig_get(&rig, DEVFN, 8, 4) >> 8, 0x010601);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + AHCI_PI, 4), 0x3f);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + AHCI_VS, 4),
			 0x10301);
	assert_int_equal(get(0, AHCI_SIG), AHCI_SIG_DISK);
	assert_int_equal(get(1, AHCI_SIG), AHCI_SIG_CD);
	assert_int_equal(get(2, AHCI_SIG), AHCI_SIG_NONE);
	assert_int_equal(get(0, AHCI_SSTS), AHCI_SSTS_UP);
	assert_int_equal(get(2, AHCI_SSTS), 0);
	assert_int_equal(get(0, AHCI_TFD), 0x150);
}

static void comreset(void **state)
{
	set(0, AHCI_CMD, AHCI_CMD_FRE);
	set(0, AHCI_SCTL, 1);
	assert_int_equal(get(0, AHCI_SSTS), 0);
	set(0, AHCI_SCTL, 0);
	assert_int_equal(get(0, AHCI_SSTS), AHCI_SSTS_UP);
	assert_int_equal(get(0, AHCI_TFD), 0x150);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_PCS);
	set(0, AHCI_SERR, AHCI_SERR_X);
	assert_false(get(0, AHCI_PIS) & AHCI_IS_PCS);
	set(0, AHCI_SCTL, 4);
	assert_int_equal(get(0, AHCI_SSTS), AHCI_SSTS_OFFLINE);
}

static void software_reset(void **state)
{
	uint8_t fis[20];

	frame(fis, 0, 0, 0);
	fis[1] = 0;
	fis[15] = 4;
	put(0, 0, fis, NULL, 0, 0);
	go(0, 0);
	fis[15] = 0;
	put(0, 1, fis, NULL, 0, 0);
	go(0, 1);
	assert_int_equal(get(0, AHCI_CI), 0);
	assert_int_equal(get(0, AHCI_TFD), 0x150);
	peek(RECEIVED + AHCI_FIS_D2H, fis, 20);
	assert_int_equal(fis[0], FIS_D2H);
	assert_int_equal(fis[12], 1);
}

static void interrupts(void **state)
{
	bool *level = rig.rig.level;
	unsigned int high = 0;

	ata(0xe7, 0, 0, 0, 0);
	assert_int_equal(disk.flushes, 1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		high += level[i];
	assert_int_equal(high, 1);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + AHCI_IS, 4), 1);
	set(0, AHCI_PIS, ~0u);
	bus_write(&rig.rig.vm.mmio, BAR + AHCI_IS, 4, 1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		assert_false(level[i]);
}

/* --- the disk --------------------------------------------------------------------- */

static void identify(void **state)
{
	uint8_t id[512], sum = 0;

	assert_int_equal(ata(0xec, 0, 0, 512, 2), 0x50);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_PSS);
	peek(DATA, id, sizeof(id));
	assert_memory_equal(id + 20, "esirla", 6);
	assert_int_equal(id[200] | id[201] << 8, SECTORS);
	for (unsigned int i = 0; i < 512; i++)
		sum += id[i];
	assert_int_equal(sum, 0);
}

/* In one piece, and in more than a request takes at a time. */
static void reads_and_writes(void **state)
{
	static const unsigned int pieces[] = { 1, 3, 128, 700 };
	static uint8_t data[64 * 512];
	uint32_t count;

	for (unsigned int i = 0; i < 4; i++) {
		memset(data, 0, sizeof(data));
		poke(DATA, data, sizeof(data));
		assert_int_equal(ata(0x25, 100 + i, 64, sizeof(data),
				     pieces[i] < 240 ? pieces[i] : 240), 0x50);
		assert_int_equal(get(0, AHCI_PIS), AHCI_IS_DHRS);
		assert_int_equal(get(0, AHCI_CI), 0);
		peek(DATA, data, sizeof(data));
		assert_memory_equal(data, image + (100 + i) * 512,
				    sizeof(data));
		peek(LIST + 3 * AHCI_HEADER + 4, &count, 4);
		assert_int_equal(count, sizeof(data));
	}
	memset(data, 0x5a, sizeof(data));
	poke(DATA, data, sizeof(data));
	assert_int_equal(ata(0xca, 7, 2, 1024, 9), 0x50);
	assert_memory_equal(image + 7 * 512, data, 1024);
	assert_int_equal(image[9 * 512], 9);
}

/* Pieces of two bytes: a request's spans are used up within the transfer. */
static void tiny_pieces(void **state)
{
	uint8_t fis[20], data[1536];
	uint32_t prd[4] = { 0, 0, 0, 1 };

	frame(fis, 0x25, 50, 3);
	put(0, 0, fis, NULL, 2, 1);
	for (unsigned int i = 0; i < 768; i++) {
		uint32_t header[8] = { 5 | 768u << 16, 0, 0x40000 };

		prd[0] = DATA + i * 4;
		poke(0x40000 + AHCI_TABLE_PRDT + i * 16, prd, 16);
		poke(LIST, header, sizeof(header));
	}
	poke(0x40000, fis, 20);
	go(0, 0);
	assert_int_equal(get(0, AHCI_TFD), 0x50);
	for (unsigned int i = 0; i < 768; i++)
		peek(DATA + i * 4, data + i * 2, 2);
	assert_memory_equal(data, image + 50 * 512, sizeof(data));
}

static void task_file_errors(void **state)
{
	assert_int_equal(ata(0x25, SECTORS, 1, 512, 1), 0x1051);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_TFES);
	assert_true(get(0, AHCI_CI));
	restart(0);
	assert_int_equal(get(0, AHCI_CI), 0);
	assert_int_equal(ata(0xf1, 0, 0, 0, 0), 0x0451);
	restart(0);
	disk.fail = -5;
	assert_int_equal(ata(0x25, 0, 1, 512, 1), 0x4051);
	disk.fail = 0;
	restart(0);
	assert_int_equal(ata(0x25, 0, 1, 512, 1), 0x50);
}

static void bad_addresses(void **state)
{
	uint8_t fis[20];
	uint32_t prd[4] = { 0xfffffff0, 0xffffffff, 0, 511 };

	frame(fis, 0x25, 0, 1);
	put(0, 0, fis, NULL, 512, 1);
	poke(TABLE + AHCI_TABLE_PRDT, prd, 16);
	go(0, 0);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_HBFS);
	restart(0);
	ata(0x25, 0, 4, 512, 1); /* too short */
	assert_true(get(0, AHCI_PIS) & AHCI_IS_OFS);
	restart(0);
	set(0, AHCI_CLB, 0xfffffc00);
	go(0, 0);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_HBFS);
	set(0, AHCI_CLB, LIST);
	restart(0);
	assert_int_equal(ata(0x25, 0, 1, 512, 1), 0x50);
}

static void queue(unsigned int slot, uint64_t lba)
{
	uint8_t fis[20];

	frame(fis, 0x60, lba, (uint16_t)(slot << 3));
	fis[3] = 1;
	put(0, slot, fis, NULL, 512, 1);
	set(0, AHCI_SACT, 1u << slot);
	go(0, slot);
}

static void queued(void **state)
{
	uint8_t data[512];

	disk.later = true;
	queue(4, 40);
	queue(9, 90);
	assert_int_equal(get(0, AHCI_CI), 0);
	assert_int_equal(get(0, AHCI_SACT), 1u << 4 | 1u << 9);
	assert_int_equal(disk.waiting_count, 2);
	fake_block_end(&disk, 1);
	assert_int_equal(get(0, AHCI_SACT), 1u << 4);
	peek(DATA, data, 512);
	assert_memory_equal(data, image + 90 * 512, 512);
	fake_block_end(&disk, 0);
	assert_int_equal(get(0, AHCI_SACT), 0);
	assert_int_equal(get(0, AHCI_PIS), AHCI_IS_SDBS);
}

/* It fails; what is queued after it too, until the log was read. */
static void queued_error(void **state)
{
	uint8_t log[16];

	queue(5, SECTORS);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_TFES);
	assert_int_equal(get(0, AHCI_SACT), 1u << 5);
	restart(0);
	assert_int_equal(get(0, AHCI_SACT), 0);
	queue(6, 1);
	assert_true(get(0, AHCI_PIS) & AHCI_IS_TFES);
	restart(0);
	assert_int_equal(ata(0x2f, 0x10, 1, 512, 1), 0x50);
	peek(DATA, log, 16);
	assert_int_equal(log[0], 6);
	queue(6, 1);
	assert_int_equal(get(0, AHCI_SACT), 0);
}

static void mixed_with_queued(void **state)
{
	uint8_t log[16];

	disk.later = true;
	queue(4, 40);
	assert_int_equal(ata(0xe7, 0, 0, 0, 0) & 0xff, 0x51);
	/* The port is stopped when its memory is not used any more. */
	set(0, AHCI_CMD, AHCI_CMD_FRE);
	assert_true(get(0, AHCI_CMD) & AHCI_CMD_CR);
	fake_block_end(&disk, 0);
	assert_false(get(0, AHCI_CMD) & AHCI_CMD_CR);
	disk.later = false;
	restart(0);
	assert_int_equal(ata(0x2f, 0x10, 1, 512, 1), 0x50);
	peek(DATA, log, 16);
	assert_int_equal(log[0], 0x80);
}

static void reset_under_way(void **state)
{
	disk.later = true;
	queue(4, 40);
	bus_write(&rig.rig.vm.mmio, BAR + AHCI_GHC, 4, AHCI_GHC_HR);
	assert_true(bus_read(&rig.rig.vm.mmio, BAR + AHCI_GHC, 4) &
		    AHCI_GHC_HR);
	fake_block_end(&disk, 0);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + AHCI_GHC, 4),
			 AHCI_GHC_AE);
	assert_int_equal(get(0, AHCI_SACT), 0);
	assert_int_equal(get(0, AHCI_PIS) & ~AHCI_IS_PCS, 0);
}

/* A small one alone ends when it is issued; others are the worker's. */
static void little_commands(void **state)
{
	uint8_t fis[20];

	frame(fis, 0x25, 3, 32);
	put(0, 1, fis, NULL, 32 * 512, 2);
	set(0, AHCI_CI, 1u << 1);
	assert_int_equal(get(0, AHCI_CI), 0);
	assert_int_equal(get(0, AHCI_TFD), 0x50);
	frame(fis, 0x25, 3, 33);
	put(0, 1, fis, NULL, 33 * 512, 2);
	set(0, AHCI_CI, 1u << 1);
	assert_int_equal(get(0, AHCI_CI), 1u << 1);
	fake_work_run();
	assert_int_equal(get(0, AHCI_CI), 0);
	frame(fis, 0x35, 3, 1);
	put(0, 1, fis, NULL, 512, 1);
	put(0, 2, fis, NULL, 512, 1);
	set(0, AHCI_CI, 1u << 1 | 1u << 2);
	assert_int_equal(get(0, AHCI_CI), 1u << 1 | 1u << 2);
	fake_work_run();
	assert_int_equal(get(0, AHCI_CI), 0);
}

/* The same when the block takes its time. */
static void little_commands_later(void **state)
{
	uint8_t fis[20], data[512];

	disk.later = true;
	frame(fis, 0x25, 40, 1);
	put(0, 1, fis, NULL, 512, 1);
	set(0, AHCI_CI, 1u << 1);
	assert_int_equal(disk.waiting_count, 1);
	assert_int_equal(get(0, AHCI_CI), 1u << 1);
	fake_block_end(&disk, 0);
	assert_int_equal(get(0, AHCI_CI), 0);
	peek(DATA, data, 512);
	assert_memory_equal(data, image + 40 * 512, 512);
}

static void trim(void **state)
{
	const uint64_t ranges[64] = { 8 | 4ull << 48, 0, 100 | 1ull << 48 };
	uint8_t fis[20];

	poke(DATA, ranges, sizeof(ranges));
	frame(fis, 0x06, 0, 1);
	fis[3] = 1;
	put(0, 0, fis, NULL, 512, 1);
	go(0, 0);
	assert_int_equal(get(0, AHCI_TFD), 0x50);
	assert_int_equal(disk.discards, 2);
}

/* --- the CD ------------------------------------------------------------------------ */

static void cd_attention(void **state)
{
	const uint8_t ready[16] = { 0 };

	assert_int_equal(packet(ready, 0), 0x6451);
	restart(1);
	assert_int_equal(packet(ready, 0), 0x50);
	assert_int_equal(sense_key(), 0);
}

static void cd_changes(void **state)
{
	const uint8_t read[16] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 2 };
	const uint8_t ready[16] = { 0 }, lock[16] = { 0x1e, 0, 0, 0, 1 };
	static uint8_t other[64 * 2048], data[4096];
	static struct fake_block block;

	memset(other, 0x55, sizeof(other));
	fake_block_init(&block, other, sizeof(other));
	sense_key();
	assert_int_equal(ahci_change(ahci, 1, NULL, false), 0);
	assert_true(ahci_has(ahci, 1));
	assert_int_equal(get(1, AHCI_SSTS), AHCI_SSTS_UP);
	assert_int_equal(packet(read, sizeof(data)), 0x2451);
	restart(1);
	assert_int_equal(ahci_change(ahci, 1, &block.block, false), 0);
	assert_int_equal(packet(ready, 0), 0x6451);
	restart(1);
	assert_int_equal(packet(read, sizeof(data)), 0x50);
	peek(DATA, data, sizeof(data));
	assert_memory_equal(data, other, sizeof(data));
	assert_int_equal(packet(lock, 0), 0x50);
	assert_int_equal(ahci_change(ahci, 1, NULL, false), -VM_EBUSY);
	assert_true(ahci_drive(ahci, 1)->locked);
	assert_int_equal(ahci_change(ahci, 1, NULL, true), 0);
	assert_true(ahci_drive(ahci, 1)->open);
}

/* What the guest has issued is held back meanwhile, and then finds none. */
static void cd_changes_before_a_command(void **state)
{
	const uint8_t read[16] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 2 };

	sense_key();
	vm_quiesce_devices(&rig.rig.vm);
	packet(read, 4096);
	assert_int_equal(get(1, AHCI_CI), 1);
	assert_int_equal(ahci_change(ahci, 1, NULL, false), 0);
	fake_work_run();
	assert_int_equal(get(1, AHCI_TFD), 0x2451);
}

static void cd_reads(void **state)
{
	const uint8_t capacity[16] = { 0x25 };
	const uint8_t read[16] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 2 };
	const uint8_t beyond[16] = { 0x28, 0, 0, 0, 4, 0, 0, 0, 1 };
	const uint8_t unknown[16] = { 0xff };
	uint8_t data[4096];

	sense_key();
	assert_int_equal(packet(capacity, 8), 0x50);
	peek(DATA, data, 8);
	assert_int_equal(data[2] << 8 | data[3], sizeof(iso) / 2048 - 1);
	assert_int_equal(packet(read, sizeof(data)), 0x50);
	peek(DATA, data, sizeof(data));
	assert_memory_equal(data, iso + 9 * 2048, sizeof(data));
	assert_int_equal(packet(beyond, 2048), 0x5451);
	restart(1);
	assert_int_equal(sense_key(), 5);
	assert_int_equal(packet(unknown, 0), 0x5451);
	restart(1);
	medium.fail = -5;
	assert_int_equal(packet(read, sizeof(data)), 0x3451);
	medium.fail = 0;
	restart(1);
	assert_int_equal(sense_key(), 3);
}

/* --- saved state, and hostile guests ---------------------------------------------------- */

/* What is issued while the machine is held is done when it goes on. */
static void held_in_mid_command(void **state)
{
	uint8_t fis[20], data[512];

	vm_quiesce_devices(&rig.rig.vm);
	frame(fis, 0x25, 33, 1);
	put(0, 2, fis, NULL, 512, 1);
	go(0, 2);
	assert_int_equal(get(0, AHCI_CI), 1u << 2);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_int_equal(get(0, AHCI_CI), 0);
	peek(DATA, data, 512);
	assert_memory_equal(data, image + 33 * 512, 512);
}

static void valid(void *object)
{
	ahci_class.state->loaded(object);
}

static void roundtrip(void **state)
{
	roundtrip_check(ahci_class.state, ahci, valid);
	pci_device_reset(ahci_pci(ahci));
}

/* Registers and structures at random; afterwards a reset mends it all. */
static void fuzz(void **state)
{
	uint64_t seed = 1;

	for (unsigned int i = 0; i < 40000; i++) {
		uint32_t word = rig_random(&seed), at = rig_random(&seed);
		uint32_t where = (at & 1 ? LIST : TABLE) + (at >> 8) % 0x2000;
		uint8_t fis[20];

		switch (at >> 1 & 7) {
		case 0:
			set(at >> 4 & 1, at >> 8 & 0x7c, word);
			break;
		case 1:
			poke(where, &word, 4);
			break;
		case 2:
			rig_fuzz(&rig.rig, &rig.rig.vm.mmio, BAR, 0x400, 1);
			break;
		case 3:
			disk.later = word & 1;
			start_port(at >> 4 & 1);
			break;
		default:
			frame(fis, (uint8_t)word, word >> 8 & 0xfff,
			      (uint16_t)(word >> 24));
			put(at >> 4 & 1, at >> 5 & 31, fis, (uint8_t *)image +
			    word % 4096, word >> 20, at >> 10 & 7);
			go(at >> 4 & 1, at >> 5 & 31);
			break;
		}
		while (disk.waiting_count > 30)
			fake_block_end(&disk, word % disk.waiting_count);
		fake_work_run();
	}
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	disk.later = false;
	bus_write(&rig.rig.vm.mmio, BAR + AHCI_GHC, 4, AHCI_GHC_HR);
	start_port(0);
	assert_int_equal(ata(0x25, 1, 1, 512, 1), 0x50);
}

/* --- drives that come and go ----------------------------------------------------- */

static void plugged_in_and_out(void **state)
{
	static uint8_t other[64 * 512];
	static struct fake_block block;
	const struct ahci_drive drive = { &block.block, "other", false };

	fake_block_init(&block, other, sizeof(other));
	start_port(3);
	assert_false(ahci_has(ahci, 3));
	assert_int_equal(get(3, AHCI_SSTS), 0);
	host_lock(&rig.rig.vm.device_lock);
	ahci_plug(ahci, 3, &drive);
	host_unlock(&rig.rig.vm.device_lock);
	assert_true(ahci_has(ahci, 3));
	assert_int_equal(get(3, AHCI_SSTS), AHCI_SSTS_UP);
	assert_int_equal(get(3, AHCI_SIG), AHCI_SIG_DISK);
	assert_int_equal(get(3, AHCI_SERR), AHCI_SERR_N | AHCI_SERR_X);
	assert_int_equal(get(3, AHCI_PIS) & (AHCI_IS_PCS | AHCI_IS_PRCS),
			 AHCI_IS_PCS | AHCI_IS_PRCS);
	set(3, AHCI_SERR, ~0u);
	assert_int_equal(get(3, AHCI_PIS) & (AHCI_IS_PCS | AHCI_IS_PRCS), 0);
	ahci_unplug(ahci, 3);
	assert_false(ahci_has(ahci, 3));
	assert_int_equal(get(3, AHCI_SSTS), 0);
	assert_int_equal(get(3, AHCI_SIG), AHCI_SIG_NONE);
	assert_int_equal(get(3, AHCI_SERR), AHCI_SERR_N);
	assert_int_equal(get(3, AHCI_PIS) & (AHCI_IS_PCS | AHCI_IS_PRCS),
			 AHCI_IS_PRCS);
	/* What is asked of nobody is not answered, and harms nobody. */
	set(3, AHCI_CI, 1);
	fake_work_run();
	/* Into a port that is offline: seen when that ends. */
	set(3, AHCI_SCTL, 4);
	host_lock(&rig.rig.vm.device_lock);
	ahci_plug(ahci, 3, &drive);
	host_unlock(&rig.rig.vm.device_lock);
	assert_int_equal(get(3, AHCI_SSTS), AHCI_SSTS_OFFLINE);
	set(3, AHCI_SCTL, 0);
	assert_int_equal(get(3, AHCI_SSTS), AHCI_SSTS_UP);
	ahci_unplug(ahci, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers),
		TEST(comreset),
		TEST(software_reset),
		TEST(interrupts),
		TEST(identify),
		TEST(reads_and_writes),
		TEST(tiny_pieces),
		TEST(task_file_errors),
		TEST(bad_addresses),
		TEST(queued),
		TEST(queued_error),
		TEST(mixed_with_queued),
		TEST(reset_under_way),
		TEST(little_commands),
		TEST(little_commands_later),
		TEST(trim),
		TEST(cd_attention),
		TEST(cd_reads),
		TEST(cd_changes),
		TEST(cd_changes_before_a_command),
		TEST(held_in_mid_command),
		TEST(plugged_in_and_out),
		TEST(roundtrip),
		TEST(fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the AHCI controller with a disk and a CD. A driver that knows
 * no rules writes its registers, puts commands and PRD tables into memory and
 * starts them; the block's requests end in any order, or fail. Whatever comes,
 * the process and what lies outside of guest memory stay as they are.
 */
#include "fuzz_machine.h"

#include "device/ahci.h"
#include "device/ahci_reg.h"

/* 0x1000 a port; 0x200 a slot. */
#define LIST	 0x10000u
#define RECEIVED 0x18000u
#define TABLE	 0x20000u
#define DATA	 0x40000u

static struct ahci *ahci;
static struct fake_block disk, medium;
static uint8_t image[65536], iso[65536];

static void build(unsigned int pick)
{
	const struct ahci_drive hd = { &disk.block, "fuzz", false };
	const struct ahci_drive cd = { &medium.block, NULL, true };

	build_pci_machine();
	fake_block_init(&disk, image, sizeof(image));
	fake_block_init(&medium, iso, sizeof(iso));
	disk.later = pick & 1;
	medium.later = pick & 2;
	medium.block.readonly = true;
	demand(!ahci_create(&ahci, &vm));
	ahci_add(ahci, 0, &hd);
	ahci_add(ahci, 1, &cd);
	attach(ahci_pci(ahci), PCI_DEVFN(2, 0));
	turn_on(5, -1);
	set(AHCI_GHC, AHCI_GHC_AE | AHCI_GHC_IE);
}

static void start_port(unsigned int port)
{
	unsigned int base = AHCI_PORT0 + port * AHCI_PORT_SIZE;

	set(base + AHCI_CMD, AHCI_CMD_FRE);
	set(base + AHCI_CLB, LIST + port * 0x1000);
	set(base + AHCI_CLBU, 0);
	set(base + AHCI_FB, RECEIVED + port * 0x1000);
	set(base + AHCI_FBU, 0);
	set(base + AHCI_PIS, UINT32_MAX);
	set(base + AHCI_PIE, UINT32_MAX);
	set(base + AHCI_CMD, AHCI_CMD_FRE | AHCI_CMD_ST);
}

/* A command as the input says, with a few PRDs, in a slot that it names. */
static void command(struct words *w, unsigned int port)
{
	static const uint8_t often[] = { 0x25, 0x35, 0x60, 0x61, 0xa0, 0x06,
					 0xec, 0xea, 0x2f, 0x00 };
	unsigned int slot = (unsigned int)next_word(w, 1) & 31;
	unsigned int pieces = (unsigned int)next_word(w, 1) & 3;
	uint32_t table = TABLE + slot * 0x200;
	uint32_t header[8] = { 5 | pieces << 16, 0, table };
	uint8_t fis[20] = { FIS_H2D, 0x80 }, packet[16];

	for (unsigned int i = 2; i < sizeof(fis); i++)
		fis[i] = (uint8_t)next_word(w, 1);
	if (fis[2] < 0x80)
		fis[2] = often[fis[2] % sizeof(often)];
	for (unsigned int i = 0; i < sizeof(packet); i++)
		packet[i] = (uint8_t)next_word(w, 1);
	if (fis[2] == 0xa0)
		header[0] |= AHCI_HEADER_A;
	put(LIST + port * 0x1000 + slot * AHCI_HEADER, header, sizeof(header));
	put(table, fis, sizeof(fis));
	put(table + AHCI_TABLE_PACKET, packet, sizeof(packet));
	for (unsigned int i = 0; i < pieces; i++) {
		uint32_t prd[4] = { DATA + (uint32_t)next_word(w, 2), 0, 0,
				    (uint32_t)next_word(w, 2) };

		put(table + AHCI_TABLE_PRDT + i * AHCI_PRD, prd, sizeof(prd));
	}
	set(AHCI_PORT0 + port * AHCI_PORT_SIZE + AHCI_SACT, 1u << slot);
	set(AHCI_PORT0 + port * AHCI_PORT_SIZE + AHCI_CI, 1u << slot);
}

static void end_all(void)
{
	end_waiting(&disk, &medium);
}

/* By hand: out, or in again. Nobody waits with requests held back. */
static void change_medium(unsigned int op)
{
	bool disk_later = disk.later, medium_later = medium.later;

	disk.later = medium.later = false;
	end_all();
	fake_work_run();
	end_all();
	ahci_change(ahci, 1, op & 1 ? &medium.block : NULL, op & 2);
	disk.later = disk_later;
	medium.later = medium_later;
}

static void poke(struct words *w)
{
	uint32_t at = LIST + (uint32_t)next_word(w, 2) * 4 % 0x1c000;
	uint32_t value = (uint32_t)next_word(w, 4);

	put(at, &value, sizeof(value));
}

static void step(struct words *w, unsigned int op)
{
	unsigned int port = op & 1;

	switch (op >> 5) {
	case 0:
	case 1:
	case 2:
		command(w, port);
		break;
	case 3:
		poke(w);
		break;
	case 4:
		end_one(port ? &medium : &disk, op >> 1);
		break;
	case 5:
		set((uint32_t)next_word(w, 2) & 0x1fc,
		    (uint32_t)next_word(w, 4));
		break;
	case 6:
		start_port(port);
		break;
	default:
		if (op & 16)
			change_medium(op);
		else if (op & 8)
			config(PCI_COMMAND, 2, op & 7);
		else
			disk.fail = medium.fail = op & 2 ? -5 : 0;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	start_port(0);
	start_port(1);
	while (w.left) {
		step(&w, (unsigned int)next_word(&w, 1));
		if (disk.waiting_count + medium.waiting_count >
		    FAKE_BLOCK_WAITING / 2)
			end_all();
		fake_work_run();
	}
	end_all();
	fake_work_run();
	end_all();
	destroy_machine();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the IDE controller with a disk and a CD. A driver that knows no
 * rules writes to its channels, its bus master and the tables in memory; the
 * requests of the blocks end when the input says so; now and then the state is
 * saved and loaded again. Whatever comes, the state is one that the saved-state
 * check accepts, and a reset mends it all.
 */
#include "fuzz_machine.h"

#include "device/ide.h"
#include "vm/state.h"

#define BM    0xc000u
#define TABLE 0x1000u

static struct ide *ide;
static struct fake_block disk, medium;
static uint8_t image[65536], iso[65536];

static void drop_line(void *object, unsigned int line, bool level)
{
	demand(line == 14 || line == 15);
}

static void build(unsigned int pick)
{
	const struct irq irq[IDE_CHANNELS] = { { drop_line, NULL, 14 },
					       { drop_line, NULL, 15 } };
	const struct ide_drive_config hd = { &disk.block, "fuzz", false };
	const struct ide_drive_config cd = { &medium.block, NULL, true };

	build_pci_machine();
	fake_block_init(&disk, image, sizeof(image));
	fake_block_init(&medium, iso, sizeof(iso));
	medium.block.readonly = true;
	disk.block.readonly = pick & 4;
	disk.later = pick & 1;
	medium.later = pick & 2;
	demand(!ide_create(&ide, &vm, irq));
	ide_add(ide, 0, &hd);
	ide_add(ide, 1, &cd);
	attach(ide_pci(ide), PCI_DEVFN(31, 1));
	config(PCI_BAR0 + 16, 4, BM);
	config(PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void end_all(void)
{
	end_waiting(&disk, &medium);
}

/* By hand: out, or in again. */
static void change_medium(unsigned int op)
{
	bool disk_later = disk.later, medium_later = medium.later;

	disk.later = medium.later = false;
	end_all();
	ide_change(ide, 1, op & 4 ? &medium.block : NULL, op & 8);
	disk.later = disk_later;
	medium.later = medium_later;
}

static void save_and_load(void)
{
	struct state_item item = { ide_class.state, ide, 0 };
	struct state_buffer out = { 0 };
	bool disk_later = disk.later, medium_later = medium.later;

	/* No thread ends them meanwhile. */
	disk.later = medium.later = false;
	end_all();
	vm_quiesce_devices(&vm);
	demand(!state_save(&item, 1, &out));
	demand(!state_load(&item, 1, out.data, out.size, NULL, NULL));
	host_free(out.data);
	vm_resume_devices(&vm);
	disk.later = disk_later;
	medium.later = medium_later;
}

/* The registers of a command, then the command. */
static void command(struct words *w, unsigned int op)
{
	static const uint8_t likely[] = { 0x20, 0x30, 0xc8, 0xca, 0xa0, 0xec,
					  0xc4, 0x06, 0xef, 0xe7, 0x24, 0x91,
					  0xc6, 0xc5, 0xa1, 0x35 };

	for (unsigned int reg = 1; reg < 6; reg++)
		bus_write(&vm.pio, 0x1f0 + reg, 1,
			  next_word(w, 1) & (reg > 3 ? 0x01 : 0x3f));
	bus_write(&vm.pio, 0x1f6, 1, next_word(w, 1) & 0xf0);
	bus_write(&vm.pio, 0x1f7, 1, likely[op & 15]);
}

static void table(struct words *w)
{
	uint8_t entry[8] = { 0 };

	entry[0] = (uint8_t)next_word(w, 1);
	entry[1] = (uint8_t)next_word(w, 1);
	entry[2] = next_word(w, 1) & 0x1f;
	entry[4] = (uint8_t)next_word(w, 1);
	entry[5] = next_word(w, 1) & 0x0f;
	entry[7] = next_word(w, 1) & 0x80;
	put(TABLE + (entry[0] >> 4 & 7) * 8u, entry, sizeof(entry));
}

static void move(struct words *w, unsigned int op)
{
	for (unsigned int n = 4 * (unsigned int)next_word(w, 1); n--;) {
		if (op & 1)
			bus_write(&vm.pio, 0x1f0, 2, n * 0x101);
		else
			bus_read(&vm.pio, 0x1f0, op & 2 ? 4 : 2);
	}
}

static void step(struct words *w, unsigned int op)
{
	uint64_t word;

	switch (op >> 4) {
	case 0:
	case 1:
	case 2:
	case 3:
		command(w, op);
		break;
	case 4:
	case 5:
	case 6:
		move(w, op);
		break;
	case 7:
		table(w);
		break;
	case 8:
		bus_write(&vm.pio, BM + 4, 4, TABLE);
		bus_write(&vm.pio, BM, 1, op & 8);
		bus_write(&vm.pio, BM, 1, (op & 8) | 1);
		break;
	case 9:
		word = next_word(w, 2);
		bus_write(&vm.pio, BM + (op & 15), 1u << (word & 1), word >> 1);
		break;
	case 10:
		word = next_word(w, 2);
		bus_write(&vm.pio, (op & 8 ? 0x170 : 0x1f0) + (op & 7),
			  1u << (word & 1), word >> 1);
		break;
	case 11:
		bus_read(&vm.pio, (op & 8 ? 0x170 : 0x1f0) + (op & 7), 1);
		break;
	case 12:
		disk.fail = op & 1 ? -5 : 0;
		medium.fail = op & 2 ? -5 : 0;
		break;
	case 13:
		bus_write(&vm.pio, op & 8 ? 0x376 : 0x3f6, 1, op & 6);
		break;
	case 14:
		if (!(op & 3))
			save_and_load();
		else if (op & 1)
			change_medium(op);
		break;
	default:
		config((unsigned int)next_word(w, 1), 1, op);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	while (w.left) {
		unsigned int op = (unsigned int)next_word(&w, 1);

		step(&w, op);
		if (op & 1)
			end_all();
		fake_work_run();
		demand(!ide_class.state->check(ide));
	}
	disk.later = medium.later = false;
	end_all();
	fake_work_run();
	end_all();
	config(PCI_COMMAND, 2, PCI_COMMAND_IO);
	config(0x40, 2, 0x8000);
	bus_write(&vm.pio, 0x3f6, 1, 4);
	bus_write(&vm.pio, 0x3f6, 1, 0);
	demand(bus_read(&vm.pio, 0x1f7, 1) == 0x50);
	destroy_machine();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the floppy controller and the DMA controllers behind it. A
 * driver that knows no rules writes to their ports; the disk's requests end
 * when the input says so. After each step the state must be one that the
 * saved-state check accepts; a reset mends it all.
 */
#include "fuzz_machine.h"

#include "device/fdc.h"

static struct isa_dma dma;
static struct fdc *fdc;
static struct fake_block disk;
static uint8_t image[2880 << 10];

static void drop_line(void *object, unsigned int line, bool level)
{
	demand(line == 6);
}

static void build(unsigned int pick)
{
	static const uint16_t kib[] = { 160, 180, 320, 360, 720, 1200, 1440,
					2880 };
	const uint32_t size = (uint32_t)kib[pick & 7] << 10;
	const struct irq irq = { drop_line, NULL, 6 };
	enum floppy_drive type = floppy_format_of(size)->drive;

	build_machine();
	fake_block_init(&disk, image, size);
	disk.block.readonly = pick & 8;
	disk.later = pick & 16;
	demand(!isa_dma_init(&dma, &vm));
	demand(!fdc_create(&fdc, &vm, &irq, &dma));
	demand(!fdc_add(fdc, 0, type, &disk.block));
	demand(!fdc_add(fdc, 1, FLOPPY_1440K, NULL));
	clock_start(&vm.clock);
}

static void out(uint16_t port, uint64_t value)
{
	bus_write(&vm.pio, port, 1, value & 0xff);
}

/* Channel 2 towards memory or from it. */
static void open_channel(struct words *w, unsigned int op)
{
	out(0x0c, 0);
	out(0x0b, op & 1 ? 0x46 : 0x4a);
	for (unsigned int i = 0; i < 4; i++)
		out(0x04 + i / 2, next_word(w, 1));
	out(0x81, next_word(w, 1) & 0x1f);
	out(0x0a, 2);
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 4) {
	case 0:
		open_channel(w, op);
		break;
	case 1:
		out(0x3f2, op & 1 ? 0x1c : next_word(w, 1));
		break;
	case 2:
		out((uint16_t)(0x3f0 + (op & 7)), next_word(w, 1));
		break;
	case 3:
		bus_read(&vm.pio, 0x3f0 + (op & 7), 1);
		break;
	case 4:
		end_one(&disk, 0);
		break;
	case 5:
		out((uint16_t)((op & 1 ? 0xc0 : 0) + (next_word(w, 1) & 31)),
		    next_word(w, 1));
		break;
	case 6:
		disk.fail = op & 1 ? -5 : 0;
		break;
	case 7:
		if (op & 2)
			fdc_change(fdc, op >> 2 & 1,
				   op & 8 ? &disk.block : NULL);
		vm_quiesce_devices(&vm);
		if (op & 1)
			vm_reset_devices(&vm);
		vm_resume_devices(&vm);
		break;
	case 8: /* a whole command of a transfer */
	case 9:
		out(0x3f5, 0x40 | (op & 0x1f));
		for (unsigned int i = 0; i < 8; i++)
			out(0x3f5, next_word(w, 1) & (i == 4 ? 3 : 0x1f));
		break;
	default:
		out(0x3f5, next_word(w, 1));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	out(0x3f2, 0x1c);
	while (w.left) {
		unsigned int op = (unsigned int)next_word(&w, 1);

		/* Nobody waits with the disk's requests held back. */
		if (op >> 4 == 7)
			end_waiting(&disk, NULL);
		step(&w, op);
		fake_work_run();
		demand(!fdc_class.state->check(fdc));
	}
	end_waiting(&disk, NULL);
	vm_reset_devices(&vm);
	out(0x3f2, 0x1c);
	demand(bus_read(&vm.pio, 0x3f4, 1) == 0x80);
	destroy_machine();
	return 0;
}

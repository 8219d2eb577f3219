/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the watchdog before a driver that knows no rules, while time
 * goes by. It bites at most once a begun stage, and what is saved is valid.
 */
#include "fuzz_machine.h"

#include "device/i6300esb.h"

static struct i6300esb dog;
static unsigned int bites;

static void bite(void *ctx)
{
	bites++;
}

static void reload(struct words *w, unsigned int op)
{
	if (op & 1)
		bus_write(&vm.mmio, BAR + 0x0c, 2, 0x80);
	if (op & 2)
		bus_write(&vm.mmio, BAR + 0x0c, 2, 0x86);
	bus_write(&vm.mmio, BAR + (op & 0x1c), op & 0x10 ? 2 : 4,
		  next_word(w, 3));
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 5) {
	case 0:
	case 1:
	case 2:
		reload(w, op);
		break;
	case 3:
		config(op & 8 ? 0x60 : 0x68, op & 8 ? 2 : 1,
		       (uint32_t)next_word(w, 2));
		break;
	case 4:
		bus_read(&vm.mmio, BAR + (op & 0x1f), 1u << (op % 3));
		break;
	case 5:
		if (op & 1)
			vm_reset_devices(&vm);
		break;
	default:
		/* Up to 67 s. */
		fake_time_advance(next_word(w, 3) << 12);
		clock_run(&vm.clock);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build_pci_machine();
	clock_start(&vm.clock);
	bites = 0;
	demand(!i6300esb_init(&dog, &vm, bite, NULL));
	attach(&dog.pci, PCI_DEVFN(2, 0));
	turn_on(0, -1);
	while (w.left)
		step(&w, (unsigned int)next_word(&w, 1));
	demand(bites <= size);
	if (i6300esb_class.state->check)
		demand(!i6300esb_class.state->check(&dog));
	destroy_machine();
	return 0;
}

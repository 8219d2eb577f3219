/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the firmware configuration device. Firmware that knows no rules
 * selects items, reads them by bytes and asks for DMA of all kinds, by
 * requests that lie anywhere. Whatever comes, items that are only to be read
 * stay what they are, what lies behind those that may be written is not
 * touched, and the state is one that the saved-state check accepts.
 */
#include "fuzz_machine.h"

#include "chip/fw_cfg.h"

#define REQUEST	 0x1000u
#define SLOT	 24u
#define GUARD	 0xa5

static struct fw_cfg cfg;
static uint8_t blob[3000], slot[SLOT + 8];
static unsigned int asked; /* how often an item was about to be read */

static void selected(void *ctx, const struct fw_cfg_item *item)
{
	demand(item >= cfg.item && item < cfg.item + cfg.count);
	asked++;
}

static void build(void)
{
	build_machine();
	memset(&cfg, 0, sizeof(cfg));
	memset(blob, 0x5a, sizeof(blob));
	memset(slot, GUARD, sizeof(slot));
	demand(!fw_cfg_init(&cfg, &vm));
	cfg.selected = selected;
	demand(!fw_cfg_add_number(&cfg, FW_CFG_CPUS, 3, 2));
	demand(!fw_cfg_add_number(&cfg, FW_CFG_RAM_SIZE, RAM, 8));
	demand(!fw_cfg_add_file(&cfg, "etc/blob", blob, sizeof(blob)));
	demand(!fw_cfg_add_file(&cfg, "etc/empty", blob, 0));
	demand(!fw_cfg_add_writable(&cfg, "etc/slot", slot, SLOT));
}

/* Keys that often are there. */
static void choose(struct words *w)
{
	static const uint16_t keys[] = { FW_CFG_SIGNATURE, FW_CFG_ID,
					 FW_CFG_CPUS, FW_CFG_RAM_SIZE,
					 FW_CFG_FILE_DIRECTORY, 0x20, 0x21,
					 0x22 };
	uint16_t pick = (uint16_t)next_word(w, 2);

	bus_write(&vm.pio, FW_CFG_PORT, 2, pick & 0x8000 ? pick
							 : keys[pick & 7]);
}

/* A request in big-endian words; its address then goes to the port. */
static void dma(struct words *w, unsigned int op)
{
	uint64_t at = op & 1 ? REQUEST : next_word(w, 3), target;
	uint32_t request[4];

	request[0] = (uint32_t)next_word(w, 1) | (uint32_t)next_word(w, 1)
							<< 16;
	request[1] = (uint32_t)next_word(w, 2);
	target = next_word(w, op & 2 ? 8 : 2);
	if (op & 4)
		target += RAM - 0x8000;
	request[2] = (uint32_t)(target >> 32);
	request[3] = (uint32_t)target;
	for (unsigned int i = 0; i < 4; i++)
		request[i] = __builtin_bswap32(request[i]);
	put(at, request, sizeof(request));
	if (op & 8)
		bus_write(&vm.pio, FW_CFG_DMA_PORT, 4, next_word(w, 1));
	bus_write(&vm.pio, FW_CFG_DMA_PORT + 4, 4,
		  __builtin_bswap32((uint32_t)at));
}

static void step(struct words *w, unsigned int op)
{
	switch (op >> 5) {
	case 0:
	case 1:
		choose(w);
		break;
	case 2:
	case 3:
	case 4:
		dma(w, op);
		break;
	case 5:
		for (unsigned int n = (unsigned int)next_word(w, 1) + 1; n--;)
			bus_read(&vm.pio, FW_CFG_PORT + 1, 1);
		break;
	case 6:
		if (op & 1)
			vm_reset_devices(&vm);
		bus_read(&vm.pio, FW_CFG_DMA_PORT + (op & 7), 1u << (op & 3));
		break;
	default:
		bus_write(&vm.pio, FW_CFG_PORT + (op & 15), 1u << (op >> 4 & 1),
			  next_word(w, 2));
		break;
	}
}

static void check(void)
{
	for (unsigned int i = 0; i < sizeof(blob); i++)
		demand(blob[i] == 0x5a);
	for (unsigned int i = SLOT; i < sizeof(slot); i++)
		demand(slot[i] == GUARD);
	if (fw_cfg_class.state->check)
		demand(!fw_cfg_class.state->check(&cfg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build();
	while (w.left)
		step(&w, (unsigned int)next_word(&w, 1));
	check();
	/* What it is for still works. */
	vm_reset_devices(&vm);
	bus_write(&vm.pio, FW_CFG_PORT, 2, FW_CFG_CPUS);
	demand(bus_read(&vm.pio, FW_CFG_PORT + 1, 1) == 3);
	demand(asked);
	destroy_machine();
	return 0;
}

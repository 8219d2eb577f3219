/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the NVMe controller. A driver that knows no rules writes its
 * registers and doorbells, puts commands and PRP lists into memory; the
 * block's requests end in any order, or fail. Whatever comes, the process and
 * what lies outside of guest memory stay as they are.
 */
#include "fuzz_machine.h"

#include "device/nvme.h"
#include "device/nvme_reg.h"

#define QUEUES 3u

#define SQ	0x10000u /* 0x1000 a queue */
#define CQ	0x20000u
#define LIST	0x30000u
#define DATA	0x40000u
#define ENTRIES 16u

static struct nvme *nvme;
static struct fake_block disk;
static uint8_t image[65536];
static unsigned int tail[QUEUES + 1];

static void start(void)
{
	memset(tail, 0, sizeof(tail));
	set(NVME_CC, NVME_CC_SIZES);
	set(NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	set(NVME_ASQ, SQ);
	set(NVME_ASQ + 4, 0);
	set(NVME_ACQ, CQ);
	set(NVME_ACQ + 4, 0);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN);
}

static void submit(unsigned int id, const uint32_t *dw)
{
	put(SQ + id * 0x1000 + tail[id] * NVME_COMMAND, dw, NVME_COMMAND);
	tail[id] = (tail[id] + 1) % ENTRIES;
	set(NVME_DOORBELLS + 8 * id, tail[id]);
}

static void make_pair(unsigned int id)
{
	const uint32_t cq[16] = { NVME_CREATE_CQ, [6] = CQ + id * 0x1000,
				  [10] = id | (ENTRIES - 1) << 16,
				  NVME_QUEUE_PC | NVME_QUEUE_IEN };
	const uint32_t sq[16] = { NVME_CREATE_SQ, [6] = SQ + id * 0x1000,
				  [10] = id | (ENTRIES - 1) << 16,
				  NVME_QUEUE_PC | id << 16 };

	tail[id] = 0;
	submit(0, cq);
	submit(0, sq);
}

static void build(unsigned int pick)
{
	const struct nvme_config disk_config = { .block = &disk.block,
						 .queues = QUEUES };

	build_pci_machine();
	fake_block_init(&disk, image, sizeof(image));
	disk.later = pick & 1;
	disk.block.readonly = pick & 2;
	demand(!nvme_create(&nvme, &vm, &disk_config));
	attach(nvme_pci(nvme), PCI_DEVFN(2, 0));
	turn_on(0, 4);
	start();
	if (pick & 4)
		make_pair(1);
	if (pick & 8)
		make_pair(2);
	fake_work_run();
}

/* Numbers that often are within bounds. */
static void command(struct words *w, unsigned int id)
{
	uint32_t dw[16] = { 0 };
	uint32_t kind = (uint32_t)next_word(w, 1);

	dw[0] = (kind & 0x0f) | (uint32_t)next_word(w, 1) << 16;
	dw[1] = kind & 0x10 ? (uint32_t)next_word(w, 4) : 1;
	dw[6] = kind & 0x20 ? (uint32_t)next_word(w, 4) : DATA;
	dw[8] = kind & 0x40 ? LIST + (uint32_t)next_word(w, 2) % 0x2000
			    : DATA + NVME_PAGE;
	dw[10] = (uint32_t)next_word(w, 1) | (id ? 0 :
			(uint32_t)next_word(w, 1) << 16);
	dw[11] = id && !(kind & 0x80) ? 0 : (uint32_t)next_word(w, 3);
	dw[12] = (uint32_t)next_word(w, 1);
	submit(id, dw);
}

static void poke(struct words *w)
{
	uint32_t at = SQ + (uint32_t)next_word(w, 2) * 4 % 0x24000;
	uint64_t value = next_word(w, 4);

	put(at, &value, sizeof(value));
}

/* Pages of data, and now and then one that leads astray. */
static void list(struct words *w)
{
	unsigned int at = (unsigned int)next_word(w, 2) % 0x2000 & ~7u;

	for (unsigned int i = 0; i < 16; i++) {
		uint64_t entry = DATA + next_word(w, 1) * NVME_PAGE;

		put(LIST + at + 8 * i, &entry, sizeof(entry));
	}
}

static void step(struct words *w, unsigned int op)
{
	unsigned int id = op & 3;

	switch (op >> 5) {
	case 0:
	case 1:
		command(w, id);
		break;
	case 2:
		if (op & 4)
			poke(w);
		else
			list(w);
		break;
	case 3:
		set(NVME_DOORBELLS + 4 * (op & 15),
		    (uint32_t)next_word(w, 1) % 20);
		break;
	case 4:
		end_one(&disk, op);
		break;
	case 5:
		set((uint32_t)next_word(w, 1) & 0x3c,
		    (uint32_t)next_word(w, 4));
		break;
	case 6:
		if (op & 16)
			start();
		make_pair(id);
		break;
	default:
		if (op & 8)
			config(PCI_COMMAND, 2, op & 7);
		else
			disk.fail = op & 2 ? -5 : 0;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct words w = { data, size };

	build((unsigned int)next_word(&w, 1));
	while (w.left) {
		step(&w, (unsigned int)next_word(&w, 1));
		if (disk.waiting_count > FAKE_BLOCK_WAITING / 3)
			end_waiting(&disk, NULL);
		fake_work_run();
	}
	end_waiting(&disk, NULL);
	fake_work_run();
	end_waiting(&disk, NULL);
	destroy_machine();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe: the controller itself, its queues and interrupts; saved state, and a
 * driver that knows no rules.
 */
#include "nvme_rig.h"

/* --- the controller ------------------------------------------------------------------ */

static void registers(void **state)
{
	uint64_t cap = bus_read(&rig.rig.vm.mmio, BAR + NVME_CAP, 8);

	assert_int_equal(cap & 0xffff, NVME_ENTRIES - 1);
	assert_true(cap & NVME_CAP_CSS_NVM);
	assert_int_equal(cap >> 48, 0); /* pages of 4 KiB */
	assert_int_equal(get(NVME_VS), 0x10400);
	assert_int_equal(pci_rig_get(&rig, DEVFN, 8, 4) >> 8, 0x010802);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + NVME_ASQ, 8),
			 ADMIN_SQ);
	bus_write(&rig.rig.vm.mmio, BAR + NVME_ASQ, 8, 0x1234567fff);
	assert_int_equal(bus_read(&rig.rig.vm.mmio, BAR + NVME_ASQ, 8),
			 0x1234567000);
	set(NVME_INTMS, 5);
	set(NVME_INTMC, 4);
	assert_int_equal(get(NVME_INTMS), 1);
}

/* What it cannot do ends in a fatal status, which a reset mends. */
static void wrong_configurations(void **state)
{
	static const uint32_t wrong[] = { 0x10, 0x80, 0x800, 0 };

	for (unsigned int i = 0; i < 4; i++) {
		disable();
		assert_int_equal(get(NVME_CSTS), 0);
		if (!wrong[i])
			set(NVME_AQA, 0);
		set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN | wrong[i]);
		assert_int_equal(get(NVME_CSTS), NVME_CSTS_CFS);
	}
	disable();
	enable();
	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, NVME_CNS_CONTROLLER, 0),
			 NVME_OK);
}

static void queues_outside_of_memory(void **state)
{
	disable();
	set(NVME_ASQ, 0xfffff000);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN);
	set(NVME_DOORBELLS, 1);
	fake_work_run();
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	disable();
	enable();
	disable();
	set(NVME_ACQ, 0xfffff000);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN);
	set(NVME_DOORBELLS, 1);
	fake_work_run();
	assert_true(get(NVME_CSTS) & NVME_CSTS_CFS);
}

static void shut_down(void **state)
{
	uint32_t dw[16];

	make_pair(1);
	disk.later = true;
	fill_io(dw, NVME_WRITE, 1, 1);
	queue_command(1, dw);
	ring(1);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN | 0x4000);
	fake_work_run();
	assert_int_equal(get(NVME_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_BUSY);
	assert_int_equal(disk.waiting_count, 1);
	fake_block_end(&disk, 0);
	fake_work_run();
	assert_int_equal(get(NVME_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_BUSY);
	fake_block_end(&disk, 0);
	assert_int_equal(disk.flushes, 1);
	assert_int_equal(get(NVME_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_OVER);
	disk.later = false;
	disable();
	enable();
}

/* Memory is the guest's again when RDY is clear. */
static void reset_under_way(void **state)
{
	const uint32_t delete[16] = { NVME_DELETE_SQ, [10] = 1 };
	uint32_t dw[16], entry[4];

	make_pair(1);
	disk.later = true;
	fill_io(dw, NVME_READ, 1, 1);
	queue_command(1, dw);
	ring(1);
	queue_command(0, delete);
	ring(0);
	disable();
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY);
	set(NVME_CC, NVME_CC_SIZES | NVME_CC_EN); /* too soon: waits */
	fake_block_end(&disk, 0);
	assert_int_equal(get(NVME_CSTS), NVME_CSTS_RDY);
	assert_false(completion(1, entry));
	disable();
	assert_int_equal(get(NVME_CSTS), 0);
	disk.later = false;
	enable();
	make_pair(1);
	assert_int_equal(io(NVME_READ, 1, 1), NVME_OK);
}

/* --- queues and interrupts --------------------------------------------------------- */

/* More commands than places for completions: the rest waits. */
static void full_completion_queue(void **state)
{
	uint32_t dw[16], entry[4];
	unsigned int done = 0;

	set_up_queue(1, IO_SQ + 0x1000, IO_CQ + 0x1000);
	assert_int_equal(create_cq(1, ENTRIES, NVME_QUEUE_PC), NVME_OK);
	for (unsigned int i = 1; i < 4; i++) {
		queues[i].sq = IO_SQ + i * 0x1000;
		assert_int_equal(create_sq(i, ENTRIES, NVME_QUEUE_PC |
					   1 << 16), NVME_OK);
		for (unsigned int k = 0; k < ENTRIES - 1; k++) {
			fill_io(dw, NVME_READ, k, 1);
			queue_command(i, dw);
		}
	}
	for (unsigned int i = 1; i < 4; i++)
		ring(i);
	while (completion(1, entry)) {
		assert_int_equal(entry[3] >> 17, NVME_OK);
		done++;
	}
	assert_int_equal(done, 3 * (ENTRIES - 1));
}

/* Queues take turns, of one command each here. */
static void round_robin(void **state)
{
	uint32_t dw[16], entry[4];
	unsigned int from[4] = { 0 };

	set_up_queue(1, IO_SQ + 0x1000, IO_CQ + 0x1000);
	create_cq(1, ENTRIES, NVME_QUEUE_PC);
	feature(NVME_SET_FEATURES, NVME_F_ARBITRATION, 0, NULL);
	for (unsigned int i = 1; i < 4; i++) {
		queues[i].sq = IO_SQ + i * 0x1000;
		create_sq(i, ENTRIES, NVME_QUEUE_PC | 1 << 16);
	}
	vm_quiesce_devices(&rig.rig.vm);
	for (unsigned int i = 1; i < 4; i++) {
		for (unsigned int k = 0; k < 5; k++) {
			fill_io(dw, NVME_READ, k, 1);
			queue_command(i, dw);
		}
		ring(i);
	}
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	for (unsigned int i = 0; i < 6; i++) {
		assert_true(completion(1, entry));
		from[entry[2] >> 16]++;
	}
	for (unsigned int i = 1; i < 4; i++)
		assert_int_equal(from[i], 2);
}

static void interrupts(void **state)
{
	bool *level = rig.rig.level;
	unsigned int high = 0;
	uint32_t dw[16];

	make_pair(1);
	fill_io(dw, NVME_READ, 0, 1);
	queue_command(1, dw);
	ring(1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		high += level[i];
	assert_int_equal(high, 1);
	set(NVME_INTMS, 1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		assert_false(level[i]);
	set(NVME_INTMC, 1);
	set(NVME_DOORBELLS + 12, 1);
	for (unsigned int i = 0; i < RIG_LINES; i++)
		assert_false(level[i]);
}

static void messages(void **state)
{
	unsigned int cap = nvme_pci(nvme)->msix->cap, before;
	uint32_t dw[16];

	pci_rig_set(&rig, DEVFN, cap + MSIX_CONTROL, 2, MSIX_ENABLE);
	for (unsigned int i = 0; i <= QUEUES; i++) {
		bus_write(&rig.rig.vm.mmio, MSIX + i * 16, 4, 0xfee00000);
		bus_write(&rig.rig.vm.mmio, MSIX + i * 16 + 8, 4, 0x40 + i);
		bus_write(&rig.rig.vm.mmio, MSIX + i * 16 + 12, 4, 0);
	}
	set_up_queue(2, IO_SQ + 0x2000, IO_CQ + 0x2000);
	assert_int_equal(create_cq(2, ENTRIES, NVME_QUEUE_PC | NVME_QUEUE_IEN |
				   7 << 16), NVME_OK);
	assert_int_equal(create_sq(2, ENTRIES, NVME_QUEUE_PC | 2 << 16),
			 NVME_OK);
	assert_int_equal(create_cq(3, ENTRIES, NVME_QUEUE_PC |
				   (QUEUES + 1) << 16), NVME_VECTOR);
	before = rig.sent_count;
	for (unsigned int i = 0; i < 3; i++) {
		fill_io(dw, NVME_READ, i, 1);
		queue_command(2, dw);
	}
	ring(2);
	assert_int_equal(rig.sent_count, before + 1); /* one for all three */
	assert_int_equal(rig.sent[before].data, 0x47);
}

/* --- saved state, and hostile guests ---------------------------------------------------- */

/* Save and load with commands submitted and events asked for. */
static void saved_in_mid_operation(void **state)
{
	const struct state_item item = { nvme_class.state, nvme, 0 };
	const uint32_t ask[16] = { NVME_ASYNC_EVENT | 9 << 16 };
	struct state_buffer buffer = { 0 };
	struct state_error error;
	uint32_t dw[16], entry[4];
	uint8_t data[512];

	make_pair(1);
	queue_command(0, ask);
	ring(0);
	disk.later = true;
	fill_io(dw, NVME_READ, 30, 1);
	queue_command(1, dw);
	ring(1);
	fake_block_end(&disk, 0);
	vm_quiesce_devices(&rig.rig.vm);
	fill_io(dw, NVME_READ, 33, 1);
	queue_command(1, dw);
	ring(1);
	assert_int_equal(disk.waiting_count, 0);
	assert_int_equal(state_save(&item, 1, &buffer), 0);
	disable(); /* all is forgotten ... */
	assert_int_equal(state_load(&item, 1, buffer.data, buffer.size, NULL,
				    &error), 0);
	host_free(buffer.data);
	disk.later = false;
	vm_resume_devices(&rig.rig.vm); /* ... and goes on */
	fake_work_run();
	assert_true(completion(1, entry));
	assert_true(completion(1, entry));
	peek(DATA, data, 512);
	assert_memory_equal(data, image + 33 * 512, 512);
	set(NVME_DOORBELLS + 8 * 5, 1);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x010000);
}

static void valid(void *object)
{
	struct nvme *n = object;
	struct nvme_saved *s = &n->saved;

	for (unsigned int i = 0; i < NVME_QUEUES; i++) {
		bool there = i <= QUEUES;

		s->sq_base[i] = there ? s->sq_base[i] & ~(uint64_t)0xfff : 0;
		s->cq_base[i] = there ? s->cq_base[i] & ~(uint64_t)0xfff : 0;
		s->sq_size[i] = there ? 64 + s->sq_size[i] % 64 : 0;
		s->cq_size[i] = there ? 64 + s->cq_size[i] % 64 : 0;
		s->sq_head[i] = there ? s->sq_head[i] % 64 : 0;
		s->cq_head[i] = there ? s->cq_head[i] % 64 : 0;
		s->sq_tail[i] = there ? s->sq_tail[i] % 64 : 0;
		s->cq_tail[i] = there ? s->cq_tail[i] % 64 : 0;
		s->sq_cq[i] = i ? s->sq_cq[i] % QUEUES : 0;
		s->cq_vector[i] %= QUEUES;
	}
	n->waiting_count %= NVME_EVENTS;
	nvme_class.state->loaded(n);
}

static void roundtrip(void **state)
{
	roundtrip_check(nvme_class.state, nvme, valid);
	pci_device_reset(nvme_pci(nvme));
}

static void fuzz_step(uint64_t *seed)
{
	uint32_t word = rig_random(seed), at = rig_random(seed), dw[16];
	unsigned int id = at >> 4 & 3;

	switch (at & 15) {
	case 0:
		rig_fuzz(&rig.rig, &rig.rig.vm.mmio, BAR, 0x1030, 1);
		break;
	case 1:
		set(NVME_DOORBELLS + (at >> 8 & 0x3c), word & 31);
		break;
	case 2:
		disk.later = word & 1;
		disk.fail = word & 2 ? 0 : -5;
		break;
	case 3:
		set(NVME_CC, NVME_CC_SIZES | (word & 0xc000) | (at >> 8 & 1));
		set(NVME_ASQ, ADMIN_SQ);
		set(NVME_ACQ, ADMIN_CQ);
		break;
	default:
		fill_io(dw, word & 15, word >> 8 & 0xfff, (at >> 8 & 0xff) + 1);
		if (!id)
			dw[10] = (word >> 8 & 7) | (at >> 12 & 15) << 16;
		if (!id)
			dw[11] = (at >> 16 & 3) | (word >> 16 & 3) << 16;
		queues[id].sq = id ? IO_SQ + id * 0x1000 : ADMIN_SQ;
		queue_command(id, dw);
		ring(id);
		set(NVME_DOORBELLS + 8 * id + 4, word >> 20 & 15);
		break;
	}
}

/* Registers and commands at random; afterwards a reset mends it all. */
static void fuzz(void **state)
{
	uint64_t seed = 1;

	for (unsigned int i = 0; i < 40000; i++) {
		fuzz_step(&seed);
		while (disk.waiting_count > 30)
			fake_block_end(&disk, i % disk.waiting_count);
		fake_work_run();
	}
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	disk.later = false;
	disk.fail = 0;
	fake_work_run();
	disable();
	enable();
	make_pair(1);
	assert_int_equal(io(NVME_READ, 1, 1), NVME_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers),
		TEST(wrong_configurations),
		TEST(queues_outside_of_memory),
		TEST(shut_down),
		TEST(reset_under_way),
		TEST(full_completion_queue),
		TEST(round_robin),
		TEST(interrupts),
		TEST(messages),
		TEST(saved_in_mid_operation),
		TEST(roundtrip),
		TEST(fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

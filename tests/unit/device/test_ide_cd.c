/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDE: packets of the CD; commands that are dropped, saved and loaded in their
 * midst, and a driver that knows no rules.
 */
#include "ide_rig.h"

/* --- the CD -------------------------------------------------------------------------- */

static void packets(void **state)
{
	static const uint8_t ready[12] = { 0 }, capacity[12] = { 0x25 };
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 7 };
	static uint8_t data[7 * 2048];
	uint8_t id[512];

	command(1, 0xa1);
	take(1, id, 512);
	assert_int_equal(word_of(id, 0), 0x85c0);
	packet(ready, false, 0);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	assert_int_equal(in(1, IDE_ERROR) >> 4, 6); /* it was reset */
	assert_int_equal(sense_key(), 6);
	packet(ready, false, 0);
	assert_int_equal(in(1, IDE_STATUS), 0x50);
	packet(capacity, false, 8);
	assert_int_equal(take_packet(data, 8, 8), 0x50);
	assert_int_equal(data[2] << 8 | data[3], 511);
	for (unsigned int limit = 512; limit <= 8192; limit *= 4) {
		memset(data, 0, sizeof(data));
		packet(read, false, (uint16_t)limit);
		assert_int_equal(take_packet(data, sizeof(data), limit), 0x50);
		assert_memory_equal(data, iso + 9 * 2048, sizeof(data));
	}
}

static void packets_by_dma(void **state)
{
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 30, 0, 0, 9 };
	static const uint8_t beyond[12] = { 0x28, 0, 0, 0, 2, 0, 0, 0, 1 };

	sense_key();
	entry(0, DATA, 9 * 2048, true);
	packet(read, true, 0);
	assert_int_equal(peek_status(1), 0x80);
	start_dma(1, IDE_BM_TO_HOST);
	assert_int_equal(end_dma(1), IDE_BM_IRQ);
	assert_int_equal(in(1, IDE_STATUS), 0x50);
	assert_int_equal(in(1, IDE_COUNT), 3);
	assert_memory_equal(guest(DATA, 9 * 2048), iso + 30 * 2048, 9 * 2048);
	packet(beyond, true, 0);
	start_dma(1, IDE_BM_TO_HOST);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	end_dma(1);
	assert_int_equal(sense_key(), 5);
	medium.fail = -5;
	packet(read, false, 2048);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	medium.fail = 0;
	assert_int_equal(sense_key(), 3);
}

/* --- under way, saved, hostile --------------------------------------------------------- */

static void reset_under_way(void **state)
{
	uint8_t data[512];

	disk.later = true;
	address(0, 2);
	command(0, 0x20);
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	rig_out(&rig.rig, 0x3f6, 0x04);
	rig_out(&rig.rig, 0x3f6, 0);
	address(9, 1);
	command(0, 0x20);
	assert_int_equal(disk.waiting_count, 1); /* one at a time */
	fake_block_end(&disk, 0);
	fake_work_run();
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	fake_block_end(&disk, 0);
	take(0, data, 512);
	assert_memory_equal(data, image + 9 * 512, 512);
}

/* Saved, destroyed, loaded. */
static void save_and_load(void)
{
	struct state_item item = { ide_class.state, ide, 0 };
	struct state_buffer out_ = { 0 };

	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_save(&item, 1, &out_), 0);
	for (unsigned int i = 0; i < IDE_CHANNELS; i++)
		ide_channel_reset(&ide->channel[i], true);
	assert_int_equal(state_load(&item, 1, out_.data, out_.size, NULL,
				    NULL), 0);
	host_free(out_.data);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
}

static void saved_in_mid_transfer(void **state)
{
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 5 };
	static uint8_t data[8 * 2048];

	/* Between two words, and before each sector comes. */
	address(77, 3);
	command(0, 0x20);
	for (unsigned int i = 0; i < 3; i++) {
		take(0, data, 100);
		save_and_load();
		take(0, data + 100, 412);
		assert_memory_equal(data, image + (77 + i) * 512, 512);
	}
	/* A write, half given. */
	memset(data, 0x77, sizeof(data));
	address(77, 2);
	command(0, 0x30);
	give(0, data, 600 - 88);
	give(0, data, 88);
	save_and_load();
	give(0, data, 424);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(image + 77 * 512, data, 1024);
	/* DMA that waits for its start; a packet's data. */
	entry(0, DATA, 1024, true);
	address(3, 2);
	command(0, 0xc8);
	save_and_load();
	start_dma(0, IDE_BM_TO_HOST);
	assert_int_equal(in(0, IDE_STATUS), 0x50);
	assert_memory_equal(guest(DATA, 1024), image + 3 * 512, 1024);
	sense_key();
	packet(read, false, 2048);
	take(1, data, 2048);
	save_and_load();
	take(1, data + 2048, 1000);
	save_and_load();
	take(1, data + 3048, 1048);
	assert_memory_equal(data, iso + 9 * 2048, 4096);
}

/* A request of the block is due when the machine is held. */
static void saved_before_the_block(void **state)
{
	uint8_t data[512];

	address(40, 1);
	vm_quiesce_devices(&rig.rig.vm);
	command(0, 0x20);
	assert_int_equal(in(0, IDE_STATUS), 0x80);
	save_and_load();
	take(0, data, 512);
	assert_memory_equal(data, image + 40 * 512, 512);
}

static void valid(void *object)
{
	struct ide *i = object;

	for (unsigned int c = 0; c < IDE_CHANNELS; c++) {
		struct ide_channel *ch = &i->channel[c];

		ch->phase = IDE_IDLE;
		ch->protocol %= ATA_PROTOCOLS;
		ch->op %= 5;
		ch->size %= ATA_BUFFER;
		ch->request.trim_size = ch->request.trim_at = 64 * c;
		for (unsigned int d = 0; d < 2; d++)
			ata_drive_loaded(&ch->drive[d].ata);
	}
}

static void roundtrip(void **state)
{
	roundtrip_check(ide_class.state, ide, valid);
	pci_device_reset(ide_pci(ide));
}

static void hostile(void **state)
{
	static const uint8_t likely[] = { 0x20, 0x30, 0xc8, 0xca, 0xa0, 0xec,
					  0xc4, 0x06, 0xef, 0xe7, 0x24, 0x91 };
	uint64_t seed = 11;
	uint8_t data[512];

	for (unsigned int i = 0; i < 30000; i++) {
		uint32_t word = rig_random(&seed), pick = word >> 28;
		unsigned int ch = word & 1;

		disk.later = word >> 1 & 1;
		medium.later = word >> 2 & 1;
		if (pick < 4)
			rig_fuzz(&rig.rig, &rig.rig.vm.pio, base[ch], 8, 1);
		else if (pick < 6)
			rig_fuzz(&rig.rig, &rig.rig.vm.pio, BM, 16, 1);
		else if (pick < 7)
			entry(word >> 8 & 3, word >> 4 & 0x1ffff,
			      word >> 12 & 0xfff, word & 8);
		else if (pick < 9)
			start_dma(ch, word & 8);
		else if (pick < 12)
			for (unsigned int n = word >> 8 & 0x1ff; n--;)
				word & 16 ? out_word(ch, (uint16_t)n)
					  : (void)in_word(ch);
		else if (pick < 15)
			command(ch, likely[(word >> 8) % 12]);
		else if (!(word & 0xf00))
			rig_out(&rig.rig, (uint16_t)(base[ch] + 0x206),
				(uint8_t)word);
		if (word & 32)
			end_all();
		assert_int_equal(ide_class.state->check(ide), 0);
	}
	disk.later = medium.later = false;
	end_all();
	rig_out(&rig.rig, 0x3f6, 4);
	rig_out(&rig.rig, 0x3f6, 0);
	address(1, 1);
	command(0, 0x20);
	take(0, data, 512);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets),
		TEST(packets_by_dma),
		TEST(reset_under_way),
		TEST(saved_in_mid_transfer),
		TEST(saved_before_the_block),
		TEST(roundtrip),
		TEST(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

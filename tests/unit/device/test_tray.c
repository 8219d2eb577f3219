/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tray of a CD drive, on IDE: what a driver hears of a medium that comes
 * and goes, and who may move it.
 */
#include "ide_rig.h"
#include "vm/error.h"

#define CD 2 /* its place */

static uint8_t iso2[64 * 2048];
static struct fake_block second;

static int set_up(void **state)
{
	setup(state);
	memset(iso2, 0x33, sizeof(iso2));
	fake_block_init(&second, iso2, sizeof(iso2));
	second.block.readonly = true;
	sense(); /* it was reset */
	return 0;
}

/* A packet without data: 0, or the sense data. */
static uint32_t ask(const uint8_t *cdb)
{
	packet(cdb, false, 0xfffe);
	return in(1, IDE_STATUS) & 1 ? sense() : 0;
}

static uint32_t ready(void)
{
	static const uint8_t cdb[12] = { 0x00 };

	return ask(cdb);
}

/* START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL, by their byte 4 */
static uint32_t start_stop(uint8_t how)
{
	const uint8_t cdb[12] = { 0x1b, 0, 0, 0, how };

	return ask(cdb);
}

#define EJECT 2
#define LOAD  3

static void prevent(uint8_t how)
{
	const uint8_t cdb[12] = { 0x1e, 0, 0, 0, how };

	assert_int_equal(ask(cdb), 0);
}

/* Event and status of the medium, as one number. */
static uint16_t event(void)
{
	static const uint8_t cdb[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8 };
	uint8_t data[8];

	packet(cdb, false, 0xfffe);
	assert_int_equal(take_packet(data, 8, 0xfffe), 0x50);
	assert_int_equal(data[1], 6);
	assert_int_equal(data[2], 4);
	assert_int_equal(data[3], 0x10);
	return (uint16_t)(data[4] << 8 | data[5]);
}

static void answer(const uint8_t *cdb, uint8_t *data, unsigned int size)
{
	packet(cdb, false, 0xfffe);
	assert_int_equal(take_packet(data, size, 0xfffe), 0x50);
}

static int change(struct block *block, bool force)
{
	int err = ide_change(ide, CD, block, force);

	fake_work_run();
	return err;
}

/* --- without a medium ------------------------------------------------------------ */

static void empty(void **state)
{
	static const uint8_t medium_wanted[][12] = {
		{ 0x00 }, { 0x25 }, { 0x28, 0, 0, 0, 0, 9, 0, 0, 1 }, { 0x2b },
		{ 0x2f }, { 0x43, 0, 0, 0, 0, 0, 0, 0, 12 },
		{ 0x51, 0, 0, 0, 0, 0, 0, 0, 34 },
		{ 0x52, 0, 0, 0, 0, 0, 0, 0, 36 },
		{ 0xa8, 0, 0, 0, 0, 9, 0, 0, 0, 1 },
		{ 0xbe, 0, 0, 0, 0, 0, 0, 0, 1, 0x10 },
		{ 0x1b, 0, 0, 0, 1 },
	};
	static const uint8_t unknown[12] = { 0xff }, park[12] = { 0x1b };
	static const uint8_t power[12] = { 0x1b, 0, 0, 0, 0x30 };

	assert_int_equal(change(NULL, false), 0);
	for (unsigned int i = 0; i < 11; i++)
		assert_int_equal(ask(medium_wanted[i]), 0x023a02);
	assert_int_equal(ask(unknown), 0x052000);
	assert_int_equal(ask(park), 0);
	assert_int_equal(ask(power), 0);
	assert_int_equal(start_stop(LOAD), 0);
	for (unsigned int i = 0; i < 11; i++)
		assert_int_equal(ask(medium_wanted[i]), 0x023a01);
}

/* What the drive tells of itself without one. */
static void describes_itself(void **state)
{
	static const uint8_t configuration[12] = { 0x46, 0, 0, 0, 0,
						   0,	 0, 0, 255 };
	static const uint8_t mode[12] = { 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255 };
	static const uint8_t mechanism[12] = { 0xbd, 0, 0, 0, 0, 0, 0, 0, 0,
					       8 };
	uint8_t data[64];

	answer(configuration, data, 8 + 8 + 12 + 8 + 12 + 8);
	assert_int_equal(data[7], 8);
	assert_int_equal(data[8 + 6], 1);
	answer(mode, data, 28);
	assert_int_equal(data[2], 0x01);
	assert_int_equal(data[8 + 6], 0x29);
	answer(mechanism, data, 8);
	assert_int_equal(data[1], 0);
	prevent(1);
	answer(mode, data, 28);
	assert_int_equal(data[8 + 6], 0x2b);
	prevent(0);
	assert_int_equal(change(NULL, false), 0);
	answer(configuration, data, 8 + 8 + 12 + 8 + 12 + 8);
	assert_int_equal(data[7], 0); /* no current profile */
	assert_int_equal(data[8 + 6], 0);
	assert_int_equal(data[8 + 2] & 1, 1); /* but the list */
	assert_int_equal(data[8 + 8 + 12 + 8 + 2] & 1, 0);
	answer(mode, data, 28);
	assert_int_equal(data[2], 0x71);
	answer(mechanism, data, 8);
	assert_int_equal(data[1], 0x10);
	assert_int_equal(start_stop(LOAD), 0);
	answer(mode, data, 28);
	assert_int_equal(data[2], 0x70);
}

/* --- another medium -------------------------------------------------------------- */

static void changed(void **state)
{
	static const uint8_t capacity[12] = { 0x25 };
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 1 };
	static uint8_t data[2048];

	assert_int_equal(ready(), 0);
	assert_int_equal(event(), 0x0002);
	assert_int_equal(change(NULL, false), 0);
	assert_int_equal(event(), 0x0301); /* removed, open */
	assert_int_equal(event(), 0x0001); /* told once */
	assert_int_equal(change(&second.block, false), 0);
	assert_int_equal(event(), 0x0202); /* new */
	assert_int_equal(event(), 0x0002);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(ready(), 0);
	answer(capacity, data, 8);
	assert_int_equal(data[3], 63);
	answer(read, data, sizeof(data));
	assert_memory_equal(data, iso2, sizeof(data));
	/* One in place of another, after a reset of which nobody has heard. */
	out(1, IDE_STATUS, 0x08);
	assert_int_equal(change(&medium.block, false), 0);
	assert_int_equal(ready(), 0x062900);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(ready(), 0);
	answer(read, data, sizeof(data));
	assert_memory_equal(data, iso + 9 * 2048, sizeof(data));
	/* REQUEST SENSE tells it too; taken out again, it is no more true. */
	assert_int_equal(change(&second.block, false), 0);
	assert_int_equal(sense(), 0x062800);
	assert_int_equal(sense(), 0);
	assert_int_equal(change(&second.block, false), 0);
	assert_int_equal(change(NULL, false), 0);
	assert_int_equal(ready(), 0x023a02);
}

/* An event is there until there was room to tell it. */
static void events_are_polled(void **state)
{
	static const uint8_t asynchronous[12] = { 0x4a, 0, 0, 0, 0x10,
						  0,	0, 0, 8 };
	static const uint8_t header[12] = { 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4 };
	static const uint8_t others[12] = { 0x4a, 1, 0, 0, 0x6e, 0, 0, 0, 8 };
	uint8_t data[8];

	assert_int_equal(ask(asynchronous), 0x052400);
	assert_int_equal(change(NULL, false), 0);
	answer(header, data, 4);
	answer(others, data, 4);
	assert_int_equal(data[2], 0x80);
	assert_int_equal(event(), 0x0301);
}

/* --- who moves the tray ------------------------------------------------------------- */

static void the_guest_opens(void **state)
{
	assert_int_equal(start_stop(EJECT), 0);
	assert_int_equal(ready(), 0x023a02);
	assert_int_equal(event(), 0x0301);
	assert_true(ide_drive(ide, CD)->open);
	assert_non_null(ide_drive(ide, CD)->block);
	assert_int_equal(start_stop(EJECT), 0); /* it is */
	assert_int_equal(event(), 0x0001);
	assert_int_equal(start_stop(LOAD), 0);
	assert_int_equal(event(), 0x0202);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(ready(), 0);
	/* Through a reset of the drive, and of the machine. */
	assert_int_equal(start_stop(EJECT), 0);
	out(1, IDE_STATUS, 0x08);
	sense();
	assert_int_equal(ready(), 0x023a02);
	pci_device_reset(ide_pci(ide));
	pci_rig_set(&rig, DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_IO | PCI_COMMAND_MASTER);
	sense();
	assert_int_equal(ready(), 0x023a02);
}

static void the_guest_holds(void **state)
{
	prevent(1);
	assert_int_equal(change(&second.block, false), -VM_EBUSY);
	assert_int_equal(event(), 0x0102); /* the button was pressed */
	assert_int_equal(start_stop(EJECT), 0x055302);
	assert_int_equal(ready(), 0);
	prevent(0);
	assert_int_equal(change(&second.block, false), 0);
	assert_int_equal(ready(), 0x062800);
	/* By force. */
	prevent(1);
	assert_int_equal(change(&medium.block, true), 0);
	assert_int_equal(ready(), 0x062800);
	assert_int_equal(change(NULL, true), 0);
	/* Without a medium nothing is removed. */
	assert_int_equal(start_stop(LOAD), 0);
	assert_int_equal(start_stop(EJECT), 0x025302);
	assert_int_equal(change(&second.block, false), 0);
	/* A reset lets go. */
	assert_int_equal(change(NULL, false), -VM_EBUSY);
	pci_device_reset(ide_pci(ide));
	assert_int_equal(change(NULL, false), 0);
}

/* The guest is asked and opens itself. */
static void the_guest_is_asked(void **state)
{
	prevent(3);
	assert_int_equal(change(NULL, false), -VM_EBUSY);
	assert_int_equal(event(), 0x0102);
	assert_int_equal(start_stop(EJECT), 0);
	assert_int_equal(change(&second.block, false), 0);
	assert_int_equal(ready(), 0x062800);
	prevent(1);
	prevent(2);
	assert_int_equal(change(NULL, false), -VM_EBUSY);
	prevent(0);
	assert_int_equal(change(NULL, false), 0);
}

/* --- in the midst of a command ------------------------------------------------------ */

static const uint8_t read_eight[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 8 };

static void gone_before_the_block(void **state)
{
	/* A sector is due when the machine is held. */
	vm_quiesce_devices(&rig.rig.vm);
	packet(read_eight, false, 2048);
	assert_int_equal(peek_status(1), 0x80);
	assert_int_equal(change(&second.block, false), 0);
	assert_true(irq(1));
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	assert_int_equal(in(1, IDE_ERROR) >> 4, 2);
}

static void gone_between_pieces(void **state)
{
	static uint8_t data[2048];

	packet(read_eight, false, 2048);
	take(1, data, 2048);
	assert_memory_equal(data, iso + 9 * 2048, 2048);
	assert_int_equal(change(&second.block, false), 0);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	assert_int_equal(in(1, IDE_ERROR) >> 4, 2);
	assert_int_equal(in_word(1), 0);
	/* DMA that waits for its start. */
	assert_int_equal(ready(), 0x062800);
	packet(read_eight, true, 0);
	assert_int_equal(change(NULL, false), 0);
	start_dma(1, IDE_BM_TO_HOST);
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	end_dma(1);
}

/* All of it was read: the guest may take it. */
static void gone_when_it_was_read(void **state)
{
	static const uint8_t read[12] = { 0x28, 0, 0, 0, 0, 9, 0, 0, 1 };
	static uint8_t data[2048];

	packet(read, false, 2048);
	assert_int_equal(change(NULL, false), 0);
	assert_int_equal(take_packet(data, 2048, 2048), 0x50);
	assert_memory_equal(data, iso + 9 * 2048, 2048);
}

/* A saved state goes on in a machine whose drive is empty. */
static void saved_with_a_medium(void **state)
{
	struct state_item item = { ide_class.state, ide, 0 };
	struct state_buffer stream = { 0 };

	packet(read_eight, false, 2048);
	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_save(&item, 1, &stream), 0);
	assert_int_equal(ide_change(ide, CD, NULL, false), 0);
	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_load(&item, 1, stream.data, stream.size, NULL,
				    NULL), 0);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	host_free(stream.data);
	for (unsigned int i = 0; i < 8 * 2048 && peek_status(1) & 8; i += 2) {
		in_word(1);
		fake_work_run();
	}
	assert_int_equal(in(1, IDE_STATUS), 0x51);
	assert_int_equal(in(1, IDE_ERROR) >> 4, 2);
}

static void open_tray_is_saved(void **state)
{
	struct state_item item = { ide_class.state, ide, 0 };
	struct state_buffer stream = { 0 };

	assert_int_equal(start_stop(EJECT), 0);
	prevent(3);
	assert_int_equal(state_save(&item, 1, &stream), 0);
	assert_int_equal(change(&medium.block, false), 0);
	assert_int_equal(ready(), 0x062800);
	prevent(2);
	assert_int_equal(state_load(&item, 1, stream.data, stream.size, NULL,
				    NULL), 0);
	host_free(stream.data);
	assert_true(ide_drive(ide, CD)->open);
	assert_true(ide_drive(ide, CD)->kept);
	assert_int_equal(event(), 0x0301);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty),
		TEST(describes_itself),
		TEST(changed),
		TEST(events_are_polled),
		TEST(the_guest_opens),
		TEST(the_guest_holds),
		TEST(the_guest_is_asked),
		TEST(gone_before_the_block),
		TEST(gone_between_pieces),
		TEST(gone_when_it_was_read),
		TEST(saved_with_a_medium),
		TEST(open_tray_is_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

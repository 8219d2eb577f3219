/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio core behind its registers: negotiation, resets, configuration
 * space, bus mastering, saved state.
 */
#include "box.h"

/* --- features and status ------------------------------------------------ */

static void negotiation(void **state)
{
	driver_probe(&driver, &rig);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUES, 2), 2);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4),
			 0x30000020);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 1);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4),
			 0x145);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 2);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4),
			 0);
	/* A legacy driver, and one that takes what is not offered. */
	assert_false(driver_negotiate(&driver, 0));
	assert_int_equal(driver_status(&driver), 3);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0x07);
	assert_int_equal(driver_status(&driver), 3); /* nor may it go on */
	assert_false(driver_negotiate(&driver, VIRTIO_F_VERSION_1 |
						       VIRTIO_F(6)));
	assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	/* Agreed upon: a later word is not heard. */
	driver_set(&driver, VIRTIO_COMMON_DRIVER_SELECT, 4, 0);
	driver_set(&driver, VIRTIO_COMMON_DRIVER_FEATURE, 4, 1u << 29);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DRIVER_FEATURE, 4),
			 0);
	/* The status only grows, and NEEDS_RESET is the device's. */
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0x4b);
	assert_int_equal(driver_status(&driver), 0x0b);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0x01);
	assert_int_equal(driver_status(&driver), 0x0b);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0x80);
	assert_int_equal(driver_status(&driver), 0x8b);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(driver_status(&driver), 0);
}

/* Nothing of a queue is looked at before DRIVER_OK. */
static void waits_for_driver_ok(void **state)
{
	uint16_t id;

	driver_probe(&driver, &rig);
	assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_set_queue(&driver, 0, SIZE);
	id = offer_text("early");
	driver_notify(&driver, 0);
	expect_nothing();
	assert_int_equal(box.readies, 0);
	driver_ok(&driver);
	fake_work_run();
	expect_text(id, "early");
}

static void queue_registers(void **state)
{
	driver_probe(&driver, &rig);
	assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2, 1);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_SIZE, 2), 16);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_NOTIFY, 2), 1);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_VECTOR, 2),
			 0xffff);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_VECTOR, 2, 2);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_VECTOR, 2), 2);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_VECTOR, 2, 3); /* too many */
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_VECTOR, 2),
			 0xffff);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_DESC, 4, 0x12345678);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_DESC + 4, 4, 0x9abcdef0);
	assert_true(driver_get(&driver, VIRTIO_COMMON_QUEUE_DESC, 8) ==
		    0x9abcdef012345678);
	/* Other widths than the register's mean nothing. */
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SIZE, 1, 4);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 4, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2), 1);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_SIZE, 2), 16);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2, 2); /* no such */
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_SIZE, 2), 0);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
}

/* --- resets ------------------------------------------------------------- */

/* Over when the last buffer is back; the ring is not touched any more. */
static void reset_waits_in(uint64_t format)
{
	uint16_t used;

	start(format);
	box.keep = true;
	offer_text("1");
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(box.kept, 2);
	used = driver_peek16(&driver, driver.queue[0].used + 2);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(driver_status(&driver), 0x0f);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 1); /* too early */
	assert_int_equal(driver_status(&driver), 0x0f);
	assert_int_equal(box.resets, 0);
	rig.sent_count = 0;
	box_give();
	assert_int_equal(driver_status(&driver), 0);
	assert_int_equal(box.resets, 1);
	assert_int_equal(rig.sent_count, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 2),
			 used);
	expect_nothing();
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
}
EACH_FORMAT(reset_waits)

static void one_queue_reset_in(uint64_t format)
{
	uint16_t id;

	start(format | VIRTIO_F_RING_RESET);
	box.keep = true;
	offer_text("1");
	driver_notify(&driver, 0);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_SELECT, 2, 0);
	driver_set(&driver, VIRTIO_COMMON_QUEUE_RESET, 2, 1);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_RESET, 2), 1);
	box_give();
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_RESET, 2), 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2), 0);
	expect_nothing();
	assert_int_equal(driver_status(&driver), 0x0f);
	/* Anew, with another size. */
	box.keep = false;
	driver_set_queue(&driver, 0, 4);
	id = offer_text("again");
	driver_notify(&driver, 0);
	expect_text(id, "again");
}
EACH_FORMAT(one_queue_reset)

/* A reset of the function does not wait, and late buffers do no harm. */
static void function_reset_in(uint64_t format)
{
	start(format);
	box.keep = true;
	offer_text("1");
	driver_notify(&driver, 0);
	host_lock(&rig.rig.vm.device_lock);
	pci_device_reset(&box.pci.pci);
	host_unlock(&rig.rig.vm.device_lock);
	assert_int_equal(atomic_load(&box.virtio.status), 0);
	assert_int_equal(box.resets, 0);
	rig.sent_count = 0;
	box_give();
	assert_int_equal(box.resets, 1);
	assert_int_equal(rig.sent_count, 0);
	expect_nothing();
	box.keep = false;
	start(format);
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(driver_status(&driver), 0x0f);
}
EACH_FORMAT(function_reset)

/* --- access through configuration space --------------------------------- */

static uint32_t through(unsigned int bar, uint32_t offset, uint32_t size)
{
	unsigned int cap = driver.cfg_cap;

	pci_rig_set(&rig, DRIVER_DEVFN, cap + 4, 1, bar);
	pci_rig_set(&rig, DRIVER_DEVFN, cap + 8, 4, offset);
	pci_rig_set(&rig, DRIVER_DEVFN, cap + 12, 4, size);
	return cap + 16;
}

static void config_access(void **state)
{
	unsigned int data;

	start(0);
	/* It works with the BARs off, too. */
	pci_rig_set(&rig, DRIVER_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	data = through(4, driver.common + VIRTIO_COMMON_STATUS, 1);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, data, 1), 0x0f);
	data = through(4, driver.common + VIRTIO_COMMON_QUEUES, 2);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, data, 2), 2);
	data = through(4, driver.common + VIRTIO_COMMON_QUEUE_SELECT, 2);
	pci_rig_set(&rig, DRIVER_DEVFN, data, 2, 1);
	assert_int_equal(box.virtio.queue_select, 1);
	/* Places that are none. */
	through(5, 0, 4);
	pci_rig_get(&rig, DRIVER_DEVFN, data, 4);
	through(4, 0x4000, 4);
	pci_rig_set(&rig, DRIVER_DEVFN, data, 4, 1);
	through(4, 0xfffffffc, 4);
	pci_rig_set(&rig, DRIVER_DEVFN, data, 4, 1);
	through(4, 1, 4);
	pci_rig_set(&rig, DRIVER_DEVFN, data, 4, 1);
	through(4, 0, 3);
	pci_rig_set(&rig, DRIVER_DEVFN, data, 4, 1);
	through(200, 0, 4);
	pci_rig_set(&rig, DRIVER_DEVFN, data, 4, 1);
	assert_int_equal(driver_peek16(&driver, 0), 0);
}

/* --- no DMA without bus mastering --------------------------------------- */

static void bus_mastering(void **state)
{
	uint16_t id;

	start(0);
	pci_rig_set(&rig, DRIVER_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEM);
	id = offer_text("wait");
	driver_notify(&driver, 0);
	expect_nothing();
	pci_rig_set(&rig, DRIVER_DEVFN, PCI_COMMAND, 2,
		    PCI_COMMAND_MEM | PCI_COMMAND_MASTER);
	fake_work_run();
	expect_text(id, "wait");
}

/* --- saved state -------------------------------------------------------- */

/* Saved between two buffers, loaded into a machine that knows nothing. */
static void moves_house_in(uint64_t format)
{
	static uint8_t ram[1 << 20];
	struct state_buffer stream = { 0 };
	struct state_error error;
	struct state_item item[32];
	uint16_t id;

	start(format);
	for (unsigned int i = 0; i < 5; i++) {
		id = offer_text("before");
		driver_notify(&driver, 0);
		expect_text(id, "before");
	}
	id = offer_text("on the way"); /* not noticed yet */
	vm_quiesce_devices(&rig.rig.vm);
	assert_int_equal(state_save(item, pci_rig_items(&rig, item), &stream), 0);
	memcpy(ram, rig.rig.vm.memory.ram.base, sizeof(ram));
	pci_rig_fini(&rig);
	setup(NULL);
	memcpy(rig.rig.vm.memory.ram.base, ram, sizeof(ram));
	if (state_load(item, pci_rig_items(&rig, item), stream.data, stream.size, NULL,
		       &error))
		fail_msg("%s", error.text);
	host_free(stream.data);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_int_equal(driver_status(&driver), 0x0f);
	expect_text(id, "on the way");
	assert_int_equal(rig.sent_count, 1);
	id = offer_text("after");
	driver_notify(&driver, 0);
	expect_text(id, "after");
}
EACH_FORMAT(moves_house)

static void valid(void *object)
{
	struct virtio_device *dev = object;

	dev->status &= 0x03;
	virtio_class.state->loaded(dev);
}

static void round_trip(void **state)
{
	start(0);
	box.virtio.queue_count = 0; /* their fields are the test before's */
	roundtrip_check(virtio_class.state, &box.virtio, valid);
	box.virtio.queue_count = 2;
	roundtrip_check(virtio_pci_class.state, &box.pci, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(negotiation),
		TEST(waits_for_driver_ok),
		TEST(queue_registers),
		TEST(reset_waits),
		TEST(one_queue_reset),
		TEST(function_reset),
		TEST(config_access),
		TEST(bus_mastering),
		TEST(moves_house),
		TEST(round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

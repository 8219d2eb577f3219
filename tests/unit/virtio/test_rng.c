/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device.
 */
#include "virtio/rng.h"

#include "driver.h"

static struct pci_rig rig;
static struct virtio_rng rng;
static struct driver driver;

static int setup(void **state)
{
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_rng_init(&rng, &rig.rig.vm), 0);
	assert_int_equal(pci_attach(&rig.host.root, &rng.pci.pci,
				    DRIVER_DEVFN), 0);
	driver_start(&driver, &rig, 0, 1, 8);
	return 0;
}

static int teardown(void **state)
{
	pci_rig_fini(&rig);
	return 0;
}

static void fills(void **state)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 100, VIRTQ_WRITE },
		{ DRIVER_DATA + 0x1000, 28, VIRTQ_WRITE },
	};
	uint8_t bytes[128], zero[128] = { 0 };
	uint32_t written;
	uint16_t id;

	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x10441af4);
	driver_offer(&driver, 0, descs, 2);
	driver_notify(&driver, 0);
	assert_true(driver_take(&driver, 0, &id, &written));
	assert_int_equal(written, 128);
	driver_peek(&driver, DRIVER_DATA, bytes, 100);
	driver_peek(&driver, DRIVER_DATA + 0x1000, bytes + 100, 28);
	assert_memory_not_equal(bytes, zero, 50);
	assert_memory_not_equal(bytes + 50, zero, 50);
	assert_memory_not_equal(bytes + 100, zero, 28);
	driver_peek(&driver, DRIVER_DATA + 100, bytes, 1);
	assert_int_equal(bytes[0], 0);
}

/* Too much is cut, what cannot be written stays. */
static void odd_buffers(void **state)
{
	const struct driver_desc much = { 0, 0x10000, VIRTQ_WRITE };
	const struct driver_desc none = { DRIVER_DATA, 16, 0 };
	const struct driver_desc much_more[] = {
		{ DRIVER_DATA, 0x10000, VIRTQ_WRITE },
		{ DRIVER_DATA + 0x10000, 0x10000, VIRTQ_WRITE },
	};
	uint32_t written;
	uint16_t id;

	driver_offer(&driver, 0, &none, 1);
	driver_offer(&driver, 0, &much, 1);
	driver_offer(&driver, 0, much_more, 2);
	driver_notify(&driver, 0);
	assert_true(driver_take(&driver, 0, &id, &written));
	assert_int_equal(written, 0);
	assert_true(driver_take(&driver, 0, &id, &written));
	assert_int_equal(written, 0x10000);
	assert_true(driver_take(&driver, 0, &id, &written));
	assert_int_equal(written, 0x10000);
}

/* Buffers are used as they were offered, in both formats, over many laps. */
static void in_order(void **state)
{
	const struct driver_desc desc = { DRIVER_DATA, 16, VIRTQ_WRITE };
	const uint64_t formats[] = { 0, VIRTIO_F_RING_PACKED };
	uint32_t written;
	uint16_t id, offered[5];

	for (unsigned int f = 0; f < 2; f++) {
		driver_start(&driver, &rig, formats[f], 1, 8);
		assert_true(driver.features & VIRTIO_F_IN_ORDER);
		for (unsigned int lap = 0; lap < 10; lap++) {
			for (unsigned int i = 0; i < 5; i++)
				offered[i] = driver_offer(&driver, 0, &desc, 1);
			driver_notify(&driver, 0);
			for (unsigned int i = 0; i < 5; i++) {
				assert_true(driver_take(&driver, 0, &id,
							&written));
				assert_int_equal(id, offered[i]);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fills, setup, teardown),
		cmocka_unit_test_setup_teardown(odd_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(in_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

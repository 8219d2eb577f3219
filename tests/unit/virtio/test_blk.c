/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device, its requests in every shape a driver may give them.
 */
#include "virtio/blk.h"

#include "driver.h"
#include "fake/block.h"

#define SECTORS 1024u
#define OK	0
#define IOERR	1
#define UNSUPP	2

#define RO	 VIRTIO_F(5)
#define FLUSH	 VIRTIO_F(9)
#define WCE	 VIRTIO_F(11)
#define MQ	 VIRTIO_F(12)
#define DISCARD	 VIRTIO_F(13)
#define ZEROES	 VIRTIO_F(14)
#define PACKED	 VIRTIO_F_RING_PACKED

#define HEADER	 DRIVER_DATA
#define STATUS	 (DRIVER_DATA + 0x100)
#define BUFFER	 (DRIVER_DATA + 0x1000)

static struct pci_rig rig;
static struct fake_block disk;
static uint8_t image[SECTORS * 512];
static struct virtio_blk *blk;
static struct driver driver;

static int setup_with(unsigned int queues, bool readonly)
{
	struct virtio_blk_config config = {
		.block = &disk.block,
		.queues = queues,
		.serial = "serial-number",
	};

	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	for (unsigned int i = 0; i < sizeof(image); i++)
		image[i] = (uint8_t)(i / 512 + i);
	fake_block_init(&disk, image, sizeof(image));
	disk.block.readonly = readonly;
	assert_int_equal(virtio_blk_create(&blk, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, virtio_blk_pci(blk),
				    DRIVER_DEVFN), 0);
	return 0;
}

static int setup(void **state)
{
	return setup_with(2, false);
}

static int teardown(void **state)
{
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static void start_sized(uint64_t features, unsigned int size)
{
	driver_start(&driver, &rig, features, 1, size);
	rig.sent_count = 0;
}

static void start(uint64_t features)
{
	start_sized(features, 16);
}

static void put_header(uint32_t type, uint64_t sector)
{
	const struct {
		uint32_t type, zero;
		uint64_t sector;
	} header = { type, 0, sector };

	driver_poke(&driver, HEADER, &header, sizeof(header));
	driver_poke16(&driver, STATUS, 0x5555);
}

/* Header, `size` bytes of data, status; gives the id. */
static uint16_t offer(uint32_t type, uint64_t sector, uint32_t size, bool write)
{
	const struct driver_desc descs[] = {
		{ HEADER, 16, 0 },
		{ BUFFER, size, write ? 0 : VIRTQ_WRITE },
		{ STATUS, 1, VIRTQ_WRITE },
	};
	const struct driver_desc bare[] = { descs[0], descs[2] };

	put_header(type, sector);
	return size ? driver_offer(&driver, 0, descs, 3)
		    : driver_offer(&driver, 0, bare, 2);
}

static uint8_t status(void)
{
	return driver_peek16(&driver, STATUS) & 0xff;
}

/* The whole of a request: its status; *written as the ring tells it. */
static uint8_t run(uint32_t type, uint64_t sector, uint32_t size, bool write,
		   uint32_t *written)
{
	uint32_t length;
	uint16_t id = offer(type, sector, size, write), got;

	driver_notify(&driver, 0);
	assert_true(driver_take(&driver, 0, &got, &length));
	assert_int_equal(got, id);
	if (written)
		*written = length;
	assert_int_equal(driver_peek16(&driver, STATUS) >> 8, 0x55);
	return status();
}

static void configuration(void **state)
{
	start(0);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x10421af4);
	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 8, 4), 0x01000001);
	assert_int_equal(driver_config(&driver, 0, 8), SECTORS);
	assert_int_equal(driver_config(&driver, 12, 4), 254);
	assert_int_equal(driver_config(&driver, 20, 4), 512);
	assert_int_equal(driver_config(&driver, 24, 1), 3); /* 4 KiB */
	assert_int_equal(driver_config(&driver, 26, 2), 8);
	assert_int_equal(driver_config(&driver, 34, 2), 2);
	assert_int_equal(driver_config(&driver, 40, 4), 1);
	assert_int_equal(driver_config(&driver, 52, 4), 1);
	/* The capacity is not for writing. */
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device, 4, 1);
	assert_int_equal(driver_config(&driver, 0, 8), SECTORS);
}

static void reads_and_writes_with(uint64_t features)
{
	uint8_t data[1024];
	uint32_t written;

	start(features);
	assert_int_equal(run(0, 3, 1024, false, &written), OK);
	assert_int_equal(written, 1025);
	driver_peek(&driver, BUFFER, data, 1024);
	assert_memory_equal(data, image + 3 * 512, 1024);
	memset(data, 0xa5, 1024);
	driver_poke(&driver, BUFFER, data, 1024);
	assert_int_equal(run(1, SECTORS - 2, 1024, true, &written), OK);
	assert_int_equal(written, 1);
	assert_memory_equal(image + (SECTORS - 2) * 512, data, 1024);
	assert_int_equal(run(1, 5, 0, true, NULL), OK); /* nothing */
	assert_int_equal(driver_status(&driver), 0x0f);
}

static void reads_and_writes(void **state)
{
	reads_and_writes_with(0);
	reads_and_writes_with(PACKED | VIRTIO_F_EVENT_IDX);
}

/* Header, data and status cut anywhere (2.7.4.1). */
static void any_layout(void **state)
{
	static const uint32_t cuts[] = { 1, 7, 16, 17, 300, 527 };

	start(0);
	for (unsigned int i = 0; i < 6; i++) {
		/* A write: 16 + 512 bytes from one place on. */
		const struct driver_desc write[] = {
			{ BUFFER, cuts[i], 0 },
			{ BUFFER + cuts[i], 528 - cuts[i], 0 },
			{ STATUS, 1, VIRTQ_WRITE },
		};
		/* A read: 512 + 1 bytes to another. */
		const struct driver_desc read[] = {
			{ HEADER, 16, 0 },
			{ BUFFER + 0x1000, cuts[i] % 512, VIRTQ_WRITE },
			{ BUFFER + 0x1000 + cuts[i] % 512,
			  513 - cuts[i] % 512, VIRTQ_WRITE },
		};
		uint8_t block[528], back[513];
		uint32_t written;
		uint16_t id;

		memset(block, (int)i, sizeof(block));
		put_header(1, 20 + i);
		driver_peek(&driver, HEADER, block, 16);
		driver_poke(&driver, BUFFER, block, sizeof(block));
		driver_offer(&driver, 0, write, 3);
		driver_notify(&driver, 0);
		assert_true(driver_take(&driver, 0, &id, &written));
		assert_int_equal(status(), OK);
		put_header(0, 20 + i);
		driver_offer(&driver, 0, read, 3);
		driver_notify(&driver, 0);
		assert_true(driver_take(&driver, 0, &id, &written));
		assert_int_equal(written, 513);
		driver_peek(&driver, BUFFER + 0x1000, back, 513);
		assert_memory_equal(back, block + 16, 512);
		assert_int_equal(back[512], OK);
	}
}

static void out_of_range(void **state)
{
	uint32_t written;

	start(0);
	assert_int_equal(run(0, SECTORS, 512, false, &written), IOERR);
	assert_int_equal(written, 0); /* not one byte without a gap */
	assert_int_equal(run(0, SECTORS - 1, 1024, false, NULL), IOERR);
	assert_int_equal(run(1, UINT64_MAX, 512, true, NULL), IOERR);
	assert_int_equal(run(1, UINT64_MAX / 512 + 2, 512, true, NULL), IOERR);
	assert_int_equal(run(0, 0, 100, false, NULL), IOERR);
	assert_int_equal(run(0, SECTORS, 0, false, NULL), OK);
	assert_int_equal(run(77, 0, 0, false, NULL), UNSUPP);
	assert_int_equal(driver_status(&driver), 0x0f);
}

static void host_errors(void **state)
{
	start(FLUSH);
	disk.fail = -VM_EIO;
	assert_int_equal(run(0, 0, 512, false, NULL), IOERR);
	assert_int_equal(run(1, 0, 512, true, NULL), IOERR);
	assert_int_equal(run(4, 0, 0, false, NULL), IOERR);
	disk.fail = -VM_ENOSPC;
	assert_int_equal(run(1, 0, 512, true, NULL), IOERR);
	disk.fail = -VM_ENOTSUP;
	assert_int_equal(run(4, 0, 0, false, NULL), UNSUPP);
	disk.fail = 0;
	assert_int_equal(run(4, 0, 0, false, NULL), OK);
	assert_int_equal(disk.flushes, 1);
}

/* Who does not know flushes wants each write durable; also by choice. */
static void write_caches(void **state)
{
	start(0);
	run(1, 0, 512, true, NULL);
	assert_int_equal(disk.flushes, 1);
	run(0, 0, 512, false, NULL);
	assert_int_equal(disk.flushes, 1);
	start(FLUSH);
	run(1, 0, 512, true, NULL);
	assert_int_equal(disk.flushes, 1);
	/* The field is the driver's only when agreed upon. */
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 32, 1, 0);
	assert_int_equal(driver_config(&driver, 32, 1), 1);
	start(FLUSH | WCE);
	assert_int_equal(driver_config(&driver, 32, 1), 1);
	run(1, 0, 512, true, NULL);
	assert_int_equal(disk.flushes, 1);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 32, 1, 0);
	assert_int_equal(driver_config(&driver, 32, 1), 0);
	disk.later = true;
	offer(1, 0, 512, true);
	driver_notify(&driver, 0);
	fake_block_end(&disk, 0);
	assert_int_equal(status(), 0x55); /* the flush is still to come */
	fake_block_end(&disk, 0);
	assert_int_equal(status(), OK);
	assert_int_equal(disk.flushes, 2);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors,
		     uint32_t flags, uint32_t size)
{
	const struct {
		uint64_t sector;
		uint32_t sectors, flags;
	} segment = { sector, sectors, flags };

	driver_poke(&driver, BUFFER, &segment, sizeof(segment));
	return run(type, 0, size, true, NULL);
}

static void ranges(void **state)
{
	start(0);
	assert_int_equal(range(11, 0, 8, 0, 16), UNSUPP); /* not agreed */
	assert_int_equal(range(13, 0, 8, 0, 16), UNSUPP);
	start(DISCARD | ZEROES);
	assert_int_equal(range(13, 8, 8, 0, 16), OK);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(image[4096 + i], 0);
	assert_int_not_equal(image[8192 + 1], 0);
	assert_int_equal(disk.unmaps, 0);
	assert_int_equal(range(13, 8, 8, 1, 16), OK);
	assert_int_equal(disk.unmaps, 1);
	assert_int_equal(range(11, 16, 8, 0, 16), OK);
	assert_int_equal(disk.discards, 1);
	assert_int_equal(range(11, 16, 8, 1, 16), UNSUPP); /* unmap */
	assert_int_equal(range(13, 16, 8, 2, 16), UNSUPP);
	assert_int_equal(range(13, SECTORS, 1, 0, 16), IOERR);
	assert_int_equal(range(13, UINT64_MAX, 1, 0, 16), IOERR);
	assert_int_equal(range(13, 0, 0x400001, 0, 16), IOERR);
	assert_int_equal(range(13, 0, 8, 0, 32), IOERR); /* two segments */
	assert_int_equal(range(13, 0, 8, 0, 15), IOERR);
	assert_int_equal(range(13, 0, 8, 0, 0), IOERR);
}

static void serial(void **state)
{
	char back[21] = "";
	uint32_t written;

	start(0);
	assert_int_equal(run(8, 0, 20, false, &written), OK);
	assert_int_equal(written, 21);
	driver_peek(&driver, BUFFER, back, 20);
	assert_string_equal(back, "serial-number");
	assert_int_equal(run(8, 0, 4, false, &written), OK);
	assert_int_equal(written, 5);
	assert_int_equal(run(8, 0, 100, false, &written), OK);
	assert_int_equal(written, 20);
}

static void read_only(void **state)
{
	teardown(state);
	setup_with(1, true);
	start(RO);
	driver_set(&driver, VIRTIO_COMMON_DEVICE_SELECT, 4, 0);
	assert_int_equal(driver_get(&driver, VIRTIO_COMMON_DEVICE_FEATURE, 4) &
				 (RO | DISCARD | ZEROES | MQ), RO);
	assert_int_equal(run(1, 0, 512, true, NULL), IOERR);
	assert_int_equal(run(0, 0, 512, false, NULL), OK);
	assert_int_equal(run(4, 0, 0, false, NULL), OK);
}

/* Ends in another order than begun, an interrupt each. */
static void many_under_way(void **state)
{
	uint16_t id[4], got;
	uint32_t written;

	start(0);
	disk.later = true;
	for (unsigned int i = 0; i < 4; i++)
		id[i] = offer(0, i, 512, false);
	driver_notify(&driver, 0);
	assert_int_equal(disk.waiting_count, 4);
	fake_block_end(&disk, 2);
	assert_int_equal(rig.sent_count, 1);
	assert_true(driver_take(&driver, 0, &got, &written));
	assert_int_equal(got, id[2]);
	fake_block_end(&disk, 0);
	assert_true(driver_take(&driver, 0, &got, &written));
	assert_int_equal(got, id[0]);
	assert_false(driver_take(&driver, 0, &got, &written));
}

static void queues(void **state)
{
	teardown(state);
	setup_with(2, false);
	driver_start(&driver, &rig, MQ, 2, 16);
	rig.sent_count = 0;
	put_header(0, 1);
	driver_offer(&driver, 1,
		     (struct driver_desc[]){ { HEADER, 16, 0 },
					     { BUFFER, 512, VIRTQ_WRITE },
					     { STATUS, 1, VIRTQ_WRITE } }, 3);
	driver_notify(&driver, 1);
	assert_int_equal(status(), OK);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(rig.sent[0].data, 0x42);
}

static void without_header(void **state)
{
	static const struct driver_desc bad[][2] = {
		{ { HEADER, 15, 0 }, { STATUS, 1, VIRTQ_WRITE } },
		{ { HEADER, 16, 0 }, { HEADER, 0, 0 } },
		{ { STATUS, 1, VIRTQ_WRITE }, { STATUS, 1, VIRTQ_WRITE } },
	};

	for (unsigned int i = 0; i < 3; i++) {
		start(0);
		driver_offer(&driver, 0, bad[i], 2);
		driver_notify(&driver, 0);
		assert_int_equal(driver_status(&driver), 0x4f);
	}
	start(0);
	assert_int_equal(run(0, 0, 512, false, NULL), OK);
}

/* Tells the device, and does not let its worker run. */
static void ring(void)
{
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.notify, 2, 0);
}

static unsigned int served(void)
{
	uint32_t length;
	unsigned int count = 0;
	uint16_t id;

	while (driver_take(&driver, 0, &id, &length))
		count++;
	return count;
}

/* Requests are served when told of; what comes behind 1 MiB is the worker's. */
static void quick_requests_with(uint64_t features)
{
	start_sized(features, 64);
	for (unsigned int i = 0; i < 40; i++) {
		offer(0, i, 16384, false);
		ring();
		assert_int_equal(served(), 1);
		assert_int_equal(rig.sent_count, i + 1);
		assert_int_equal(status(), OK);
	}
	for (unsigned int i = 0; i < 14; i++)
		offer(0, i, 16384, false);
	ring();
	assert_int_equal(served(), 14);
	for (unsigned int i = 0; i < 4; i++)
		offer(0, 0, 0x60000, false);
	ring();
	assert_int_equal(served(), 2);
	fake_work_run();
	assert_int_equal(served(), 2);
	disk.later = true;
	offer(0, 3, 512, false);
	ring();
	assert_int_equal(disk.waiting_count, 1);
	assert_int_equal(served(), 0);
	offer(0, 3, 512, false);
	ring();
	assert_int_equal(disk.waiting_count, 2);
	fake_block_end(&disk, 0);
	fake_block_end(&disk, 0);
	assert_int_equal(served(), 2);
	disk.later = false;
}

static void quick_requests(void **state)
{
	quick_requests_with(FLUSH);
	quick_requests_with(FLUSH | PACKED);
	quick_requests_with(FLUSH | PACKED | VIRTIO_F_EVENT_IDX);
}

/* A reset in the midst of requests: over when they are. */
static void reset(void **state)
{
	start(0);
	disk.later = true;
	offer(1, 9, 512, true);
	offer(1, 9, 512, true);
	driver_notify(&driver, 0);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	fake_block_end(&disk, 1);
	fake_work_run();
	assert_int_equal(driver_status(&driver), 0x0f);
	fake_block_end(&disk, 0);
	/* Not flush-aware: the write's flush is under way now. */
	while (disk.waiting_count)
		fake_block_end(&disk, 0);
	fake_work_run();
	assert_int_equal(driver_status(&driver), 0);
	disk.later = false;
	start(0);
	assert_int_equal(run(0, 0, 512, false, NULL), OK);
}

/* A write that was begun is over, a read that was offered is done elsewhere. */
static void saved_in_the_middle_of(uint64_t format)
{
	static uint8_t ram[1 << 20];
	struct state_buffer stream = { 0 };
	struct state_item item[32];
	uint32_t written;
	uint16_t first, second, got;

	start(format | FLUSH);
	memset(image + 5 * 512, 0, 512);
	first = offer(1, 5, 512, true);
	driver_notify(&driver, 0);
	vm_quiesce_devices(&rig.rig.vm);
	assert_true(driver_take(&driver, 0, &got, &written));
	assert_int_equal(got, first);
	second = offer(0, 9, 512, false); /* not noticed yet */
	assert_false(driver_take(&driver, 0, &got, &written));
	assert_int_equal(state_save(item, pci_rig_items(&rig, item), &stream),
			 0);
	memcpy(ram, rig.rig.vm.memory.ram.base, sizeof(ram));
	pci_rig_fini(&rig);
	setup(NULL);
	memcpy(rig.rig.vm.memory.ram.base, ram, sizeof(ram));
	assert_int_equal(state_load(item, pci_rig_items(&rig, item),
				    stream.data, stream.size, NULL, NULL), 0);
	host_free(stream.data);
	vm_resume_devices(&rig.rig.vm);
	fake_work_run();
	assert_true(driver_take(&driver, 0, &got, &written));
	assert_int_equal(got, second);
	assert_int_equal(written, 513);
	assert_int_equal(status(), OK);
	driver_peek(&driver, BUFFER, ram, 512);
	assert_memory_equal(ram, image + 9 * 512, 512);
	assert_int_equal(run(0, 1, 512, false, NULL), OK);
}

static void saved_in_the_middle(void **state)
{
	saved_in_the_middle_of(0);
	saved_in_the_middle_of(PACKED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration),
		TEST(reads_and_writes),
		TEST(any_layout),
		TEST(out_of_range),
		TEST(host_errors),
		TEST(write_caches),
		TEST(ranges),
		TEST(serial),
		TEST(read_only),
		TEST(many_under_way),
		TEST(queues),
		TEST(without_header),
		TEST(quick_requests),
		TEST(reset),
		TEST(saved_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio core: both ring formats against a device that keeps buffers
 * until it is told to give them back.
 */
#include <stdio.h>

#include "driver.h"
#include "virtio/ring.h"

#define SIZE	8
#define KEEP	16
#define PACKED	VIRTIO_F_RING_PACKED
#define EVENT	VIRTIO_F_EVENT_IDX
#define INDIRECT VIRTIO_F_INDIRECT_DESC

/* A device that copies what it reads to what it may write. */
struct box {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct virtio_buffer buffer[KEEP];
	unsigned int kept;
	bool keep; /* until box_give() */
	unsigned int readies, resets;
	unsigned int config_at;
	uint32_t config_value;
};

static struct pci_rig rig;
static struct box box;
static struct driver driver;

static void answer(struct virtio_queue *q, struct virtio_buffer *b, bool later)
{
	uint8_t bytes[4096];
	uint32_t n = virtio_buffer_read(b, 0, bytes, sizeof(bytes));
	uint32_t written = virtio_buffer_write(q, b, 0, bytes, n);

	if (later)
		virtio_queue_done(q, b, written);
	else
		virtio_queue_push(q, b, written);
}

static void box_ready(struct virtio_device *device, struct virtio_queue *q)
{
	struct box *b = (struct box *)device;

	b->readies++;
	while (b->kept < KEEP && virtio_queue_pop(q, &b->buffer[b->kept])) {
		if (b->keep)
			b->kept++;
		else
			answer(q, &b->buffer[0], false);
	}
}

static void box_reset(struct virtio_device *device)
{
	((struct box *)device)->resets++;
}

static void box_config(struct virtio_device *device, unsigned int at,
		       unsigned int size, uint32_t value)
{
	struct box *b = (struct box *)device;

	b->config_at = at;
	b->config_value = value;
}

static const struct virtio_class box_class = {
	.name = "box",
	.id = 42,
	.pci_class = 0x00ff00,
	.features = VIRTIO_F(5),
	.config_size = 16,
	.ready = box_ready,
	.reset = box_reset,
	.config_written = box_config,
};

/* Gives the kept buffers back, the last first. */
static void box_give(void)
{
	while (box.kept)
		answer(&box.virtio.queue[0], &box.buffer[--box.kept], true);
	fake_work_run();
}

static int setup(void **state)
{
	pci_rig_init(&rig);
	memset(&box, 0, sizeof(box));
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_init(&box.virtio, &rig.rig.vm, &box_class, 2,
				     16), 0);
	assert_int_equal(virtio_pci_init(&box.pci, &box.virtio), 0);
	assert_int_equal(pci_attach(&rig.host.root, &box.pci.pci,
				    DRIVER_DEVFN), 0);
	return 0;
}

static int teardown(void **state)
{
	box_give();
	pci_rig_fini(&rig);
	return 0;
}

static void start(uint64_t features)
{
	driver_start(&driver, &rig, features, 1, SIZE);
	rig.sent_count = 0;
	box.resets = 0;
}

/* A chain of `out` then 64 writable bytes; the text comes back. */
static uint16_t offer_text(const char *text)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, (uint32_t)strlen(text), 0 },
		{ DRIVER_DATA + 0x1000, 64, VIRTQ_WRITE },
	};

	driver_poke(&driver, DRIVER_DATA, text, strlen(text));
	return driver_offer(&driver, 0, descs, 2);
}

static void expect_text(uint16_t id, const char *text)
{
	uint32_t written;
	uint16_t got;
	char back[64];

	assert_true(driver_take(&driver, 0, &got, &written));
	assert_int_equal(got, id);
	assert_int_equal(written, strlen(text));
	driver_peek(&driver, DRIVER_DATA + 0x1000, back, written);
	assert_memory_equal(back, text, written);
}

static void expect_nothing(void)
{
	uint32_t written;
	uint16_t id;

	assert_false(driver_take(&driver, 0, &id, &written));
}

/* Runs a test for each ring format, with and without event indexes. */
#define EACH_FORMAT(name_)                                                 \
	static void name_(void **state)                                    \
	{                                                                  \
		static const uint64_t formats[] = { 0, EVENT, PACKED,      \
						    PACKED | EVENT };      \
		for (unsigned int i_ = 0; i_ < 4; i_++) {                  \
			name_##_in(formats[i_]);                           \
			teardown(state);                                   \
			setup(state);                                      \
		}                                                          \
	}

/* --- rings ----------------------------------------------------------------------- */

static void moves_data_in(uint64_t format)
{
	start(format);
	for (unsigned int i = 0; i < 1000; i++) { /* laps of the ring */
		char text[32];
		uint16_t id;

		snprintf(text, sizeof(text), "buffer %u", i);
		id = offer_text(text);
		expect_nothing();
		driver_notify(&driver, 0);
		expect_text(id, text);
		expect_nothing();
	}
	assert_int_equal(driver_status(&driver), 0x0f);
}
EACH_FORMAT(moves_data)

/* Pieces on either side of the seams are one stream of bytes. */
static void chains_in(uint64_t format)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 3, 0 },
		{ DRIVER_DATA + 0x100, 0, 0 },
		{ DRIVER_DATA + 0x200, 5, 0 },
		{ DRIVER_DATA + 0x1000, 4, VIRTQ_WRITE },
		{ DRIVER_DATA + 0x1100, 10, VIRTQ_WRITE },
	};
	uint32_t written;
	uint16_t id, want;
	char back[4];

	start(format);
	for (unsigned int lap = 0; lap < 20; lap++) {
		driver_poke(&driver, DRIVER_DATA, "abc", 3);
		driver_poke(&driver, DRIVER_DATA + 0x200, "defgh", 5);
		want = driver_offer(&driver, 0, descs, 5);
		driver_notify(&driver, 0);
		assert_true(driver_take(&driver, 0, &id, &written));
		assert_int_equal(id, want);
		assert_int_equal(written, 8);
		driver_peek(&driver, DRIVER_DATA + 0x1000, back, 4);
		assert_memory_equal(back, "abcd", 4);
		driver_peek(&driver, DRIVER_DATA + 0x1100, back, 4);
		assert_memory_equal(back, "efgh", 4);
	}
}
EACH_FORMAT(chains)

static void put_table(uint64_t at, bool packed, const struct driver_desc *descs,
		      unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint16_t flags = descs[i].flags;

		if (packed) {
			driver_poke_desc(&driver, at + 16 * i, descs[i].addr,
					 descs[i].len, 0, flags);
			continue;
		}
		if (i + 1 < count)
			flags |= VIRTQ_NEXT;
		driver_poke_desc(&driver, at + 16 * i, descs[i].addr,
				 descs[i].len, flags, (uint16_t)(i + 1));
	}
}

static void indirect_tables_in(uint64_t format)
{
	const struct driver_desc inner[] = {
		{ DRIVER_DATA, 6, 0 },
		{ DRIVER_DATA + 0x1000, 64, VIRTQ_WRITE },
	};
	/* Of no alignment at all: the standard asks for none. */
	const struct driver_desc table = { DRIVER_DATA + 0x2003, 32,
					   VIRTQ_INDIRECT };
	uint16_t id;

	start(format | INDIRECT);
	for (unsigned int lap = 0; lap < 20; lap++) {
		driver_poke(&driver, DRIVER_DATA, "inside", 6);
		put_table(table.addr, format & PACKED, inner, 2);
		id = driver_offer(&driver, 0, &table, 1);
		driver_notify(&driver, 0);
		expect_text(id, "inside");
	}
}
EACH_FORMAT(indirect_tables)

/* 2.7.5.3.2: behind normal descriptors, and whatever WRITE says of it. */
static void table_behind_chain(void **state)
{
	const struct driver_desc inner[] = {
		{ DRIVER_DATA + 3, 3, 0 },
		{ DRIVER_DATA + 0x1000, 64, VIRTQ_WRITE },
	};
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 3, 0 },
		{ DRIVER_DATA + 0x2000, 32, VIRTQ_INDIRECT | VIRTQ_WRITE },
	};
	uint16_t id;

	start(INDIRECT);
	driver_poke(&driver, DRIVER_DATA, "chains", 6);
	put_table(DRIVER_DATA + 0x2000, false, inner, 2);
	id = driver_offer(&driver, 0, descs, 2);
	driver_notify(&driver, 0);
	expect_text(id, "chains");
	start(INDIRECT | PACKED);
	put_table(DRIVER_DATA + 0x2000, true, inner, 2);
	id = driver_offer(&driver, 0, &descs[1], 1);
	driver_notify(&driver, 0);
	expect_text(id, "ins");
}

/* Buffers come back in any order. */
static void out_of_order_in(uint64_t format)
{
	uint32_t written;
	uint16_t id[3], got;

	start(format);
	box.keep = true;
	for (unsigned int lap = 0; lap < 12; lap++) {
		for (unsigned int i = 0; i < 3; i++)
			id[i] = offer_text("text");
		driver_notify(&driver, 0);
		expect_nothing();
		assert_int_equal(box.kept, 3);
		box_give();
		for (unsigned int i = 3; i--;) {
			assert_true(driver_take(&driver, 0, &got, &written));
			assert_int_equal(got, id[i]);
		}
		expect_nothing();
	}
}
EACH_FORMAT(out_of_order)

static void takes_back_in(uint64_t format)
{
	struct virtio_queue *q = &box.virtio.queue[0];
	uint16_t id;

	start(format);
	for (unsigned int lap = 0; lap < 20; lap++) {
		id = offer_text("twice");
		host_lock(&q->lock);
		assert_true(virtio_queue_pop(q, &box.buffer[0]));
		virtio_queue_unpop(q, &box.buffer[0]);
		host_unlock(&q->lock);
		driver_notify(&driver, 0);
		expect_text(id, "twice");
	}
}
EACH_FORMAT(takes_back)

/* --- notifications ------------------------------------------------------------------ */

static void interrupts_in(uint64_t format)
{
	start(format);
	offer_text("one");
	offer_text("two");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1); /* one for both */
	assert_int_equal(rig.sent[0].data, 0x41);
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
}
EACH_FORMAT(interrupts)

/* The driver wants none: flag, or event structure. */
static void no_interrupts(void **state)
{
	start(0);
	driver_poke16(&driver, driver.queue[0].avail, VIRTQ_NO_INTERRUPT);
	offer_text("one");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 0);
	driver_poke16(&driver, driver.queue[0].avail, 0);
	offer_text("two");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);

	teardown(state);
	setup(state);
	start(PACKED);
	driver_poke16(&driver, driver.queue[0].avail + 2, VIRTQ_EVENT_DISABLE);
	offer_text("one");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 0);
}

/* An interrupt when, and only when, the used index passes the event's. */
static void split_event_index(void **state)
{
	uint64_t used_event;

	start(EVENT);
	used_event = driver.queue[0].avail + 4 + 2 * SIZE;
	driver_poke16(&driver, used_event, 0);
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	driver_poke16(&driver, used_event, 2); /* after the third */
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	offer_text("3");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 2);
	offer_text("4");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 2);
}

static void packed_event_index(void **state)
{
	uint64_t event;

	start(PACKED | EVENT);
	event = driver.queue[0].avail;
	driver_poke16(&driver, event + 2, VIRTQ_EVENT_DESC);
	driver_poke16(&driver, event, 0 | 1 << 15);
	offer_text("1"); /* places 0 and 1 */
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	driver_poke16(&driver, event, 4 | 1 << 15);
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 1);
	offer_text("3");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 2);
}

/* The device asks for notifications when it has run out of buffers. */
static void asks_for_notifications(void **state)
{
	start(0);
	box.keep = true;
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used), 0);
	box.kept = KEEP; /* it takes no more */
	offer_text("2");
	driver_notify(&driver, 0);
	box.kept = 1;
	box_give();

	teardown(state);
	setup(state);
	start(EVENT);
	offer_text("1");
	offer_text("2");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 4 +
						       8 * SIZE), 2);

	teardown(state);
	setup(state);
	start(PACKED | EVENT);
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used),
			 2 | 1 << 15);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 2),
			 VIRTQ_EVENT_DESC);
	teardown(state);
	setup(state);
	start(PACKED);
	offer_text("1");
	driver_notify(&driver, 0);
	assert_int_equal(driver_peek16(&driver, driver.queue[0].used + 2),
			 VIRTQ_EVENT_ENABLE);
}

/* Without MSI-X: the pin, and a status that reading clears. */
static void pin(void **state)
{
	struct bus *mmio = &rig.rig.vm.mmio;

	driver_probe(&driver, &rig);
	assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1));
	driver_set_queue(&driver, 0, SIZE);
	driver_ok(&driver);
	offer_text("pin");
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, 0);
	assert_true(rig.rig.level[22]); /* device 2, INTA */
	assert_int_equal(bus_read(mmio, DRIVER_BAR + driver.isr, 1), 1);
	assert_false(rig.rig.level[22]);
	assert_int_equal(bus_read(mmio, DRIVER_BAR + driver.isr, 1), 0);
	virtio_config_changed(&box.virtio);
	fake_work_run();
	assert_true(rig.rig.level[22]);
	assert_int_equal(bus_read(mmio, DRIVER_BAR + driver.isr, 1), 2);
}

static void configuration_change(void **state)
{
	uint8_t before;

	start(0);
	before = (uint8_t)driver_get(&driver, VIRTIO_COMMON_GENERATION, 1);
	virtio_config_put(&box.virtio, 4, 8, 0x1122334455667788);
	virtio_config_changed(&box.virtio);
	assert_int_equal(rig.sent_count, 1);
	assert_int_equal(rig.sent[0].data, 0x40);
	assert_int_not_equal(driver_get(&driver, VIRTIO_COMMON_GENERATION, 1),
			     before);
	assert_int_equal(driver_config(&driver, 4, 4), 0x55667788);
	assert_true(driver_config(&driver, 4, 8) == 0x1122334455667788);
	assert_int_equal(driver_config(&driver, 16, 4), 0);
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 8, 2, 0xabcd);
	assert_int_equal(box.config_at, 8);
	assert_int_equal(box.config_value, 0xabcd);
	box.config_at = 0;
	bus_write(&rig.rig.vm.mmio, DRIVER_BAR + driver.device + 14, 4, 1);
	assert_int_equal(box.config_at, 0);
}

/* --- features and status --------------------------------------------------------------- */

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

/* --- a driver that is wrong --------------------------------------------------------------- */

static void expect_broken(void)
{
	unsigned int sent = rig.sent_count;
	uint16_t id;

	driver_notify(&driver, 0);
	assert_int_equal(driver_status(&driver), 0x4f);
	assert_int_equal(rig.sent_count, sent + 1);
	assert_int_equal(rig.sent[sent].data, 0x40); /* configuration's */
	expect_nothing();
	driver_notify(&driver, 0);
	assert_int_equal(rig.sent_count, sent + 1);
	/* A reset mends it. */
	start(driver.features);
	id = offer_text("well");
	driver_notify(&driver, 0);
	expect_text(id, "well");
}

static void split_head_beyond(void **state)
{
	start(0);
	driver_poke16(&driver, driver.queue[0].avail + 4, SIZE);
	driver_poke16(&driver, driver.queue[0].avail + 2, 1);
	expect_broken();
}

static void split_index_too_far(void **state)
{
	start(0);
	driver_poke16(&driver, driver.queue[0].avail + 2, SIZE + 1);
	expect_broken();
}

static void split_loop(void **state)
{
	start(0);
	offer_text("loop");
	driver_poke_desc(&driver, driver.queue[0].desc, DRIVER_DATA, 4,
			 VIRTQ_NEXT, 0);
	expect_broken();
}

static void split_next_beyond(void **state)
{
	start(0);
	offer_text("next");
	driver_poke_desc(&driver, driver.queue[0].desc, DRIVER_DATA, 4,
			 VIRTQ_NEXT, SIZE);
	expect_broken();
}

static void packed_loop(void **state)
{
	struct driver_desc descs[SIZE];

	start(PACKED);
	for (unsigned int i = 0; i < SIZE; i++)
		descs[i] = (struct driver_desc){ DRIVER_DATA, 4, VIRTQ_NEXT };
	driver_offer(&driver, 0, descs, SIZE);
	expect_broken();
}

static void outside_in(uint64_t format)
{
	static const struct driver_desc bad[] = {
		{ 0x100000, 1, 0 },		  /* behind the RAM */
		{ 0xfffff, 2, VIRTQ_WRITE },	  /* over its end */
		{ UINT64_MAX, 4, 0 },		  /* wraps */
		{ DRIVER_BAR, 4, VIRTQ_WRITE },	  /* a device */
		{ DRIVER_DATA, 0xffffffff, 0 },
	};

	for (unsigned int i = 0; i < 5; i++) {
		start(format);
		driver_offer(&driver, 0, &bad[i], 1);
		expect_broken();
	}
}
EACH_FORMAT(outside)

static void read_after_write_in(uint64_t format)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, 4, VIRTQ_WRITE },
		{ DRIVER_DATA, 4, 0 },
	};

	start(format);
	driver_offer(&driver, 0, descs, 2);
	expect_broken();
}
EACH_FORMAT(read_after_write)

static void bad_tables_in(uint64_t format)
{
	static const struct driver_desc inner[] = {
		{ DRIVER_DATA, 4, 0 },
		{ DRIVER_DATA + 0x3000, 16, VIRTQ_INDIRECT }, /* nested */
	};
	static const struct driver_desc bad[] = {
		{ DRIVER_DATA + 0x2000, 0, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 17, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 16 * (SIZE + 1), VIRTQ_INDIRECT },
		{ 0xffff8, 16, VIRTQ_INDIRECT },
		{ 0x200000, 16, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 32, VIRTQ_INDIRECT },
		{ DRIVER_DATA + 0x2000, 16, VIRTQ_INDIRECT | VIRTQ_NEXT },
	};
	/* In a packed table the flags of entries but WRITE are not used. */
	unsigned int count = format & PACKED ? 5 : 7;

	for (unsigned int i = 0; i < count; i++) {
		start(format | INDIRECT);
		put_table(DRIVER_DATA + 0x2000, format & PACKED, inner, 2);
		driver_offer(&driver, 0, &bad[i], 1);
		expect_broken();
	}
	/* Not agreed upon. */
	start(format);
	put_table(DRIVER_DATA + 0x2000, format & PACKED, inner, 1);
	driver_offer(&driver, 0,
		     &(struct driver_desc){ DRIVER_DATA + 0x2000, 16,
					    VIRTQ_INDIRECT }, 1);
	expect_broken();
}
EACH_FORMAT(bad_tables)

static void bad_rings(void **state)
{
	static const struct {
		unsigned int size;
		uint64_t desc, avail, used, features;
		bool good;
	} rings[] = {
		{ 8, 0x10000, 0x11000, 0x12000, 0, true },
		{ 6, 0x10000, 0x11000, 0x12000, 0, false },
		{ 6, 0x10000, 0x11000, 0x12000, PACKED, true },
		{ 0, 0x10000, 0x11000, 0x12000, 0, false },
		{ 32, 0x10000, 0x11000, 0x12000, 0, false },
		{ 8, 0x10008, 0x11000, 0x12000, 0, false },
		{ 8, 0x10000, 0x11001, 0x12000, 0, false },
		{ 8, 0x10000, 0x11000, 0x12002, 0, false },
		{ 8, 0x10000, 0x11002, 0x12000, PACKED, false },
		{ 8, 0x100000, 0x11000, 0x12000, 0, false },
		{ 8, 0x10000, 0xffff0, 0x12000, 0, false },
		{ 8, 0x10000, 0x11000, 0xffff0, 0, false },
		{ 8, UINT64_MAX & ~15ull, 0x11000, 0x12000, 0, false },
	};

	for (unsigned int i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		driver_probe(&driver, &rig);
		assert_true(driver_negotiate(&driver, VIRTIO_F_VERSION_1 |
							rings[i].features));
		driver_set(&driver, VIRTIO_COMMON_QUEUE_SIZE, 2, rings[i].size);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_DESC, 8, rings[i].desc);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_DRIVER, 8,
			   rings[i].avail);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_DEVICE, 8,
			   rings[i].used);
		driver_set(&driver, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
		driver_ok(&driver);
		fake_work_run();
		assert_int_equal(driver_status(&driver) & 0x40,
				 rings[i].good ? 0 : 0x40);
	}
}

/* --- resets ----------------------------------------------------------------------------------- */

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

/* --- access through configuration space ---------------------------------------------------------- */

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

/* --- no DMA without bus mastering --------------------------------------------------------------------- */

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

/* --- saved state ----------------------------------------------------------------------------------------- */

static unsigned int items(struct state_item *item)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < rig.rig.vm.device_count; i++) {
		const struct device *d = &rig.rig.vm.device[i];

		if (d->class->state)
			item[count++] = (struct state_item){
				d->class->state, d->object, d->instance };
	}
	return count;
}

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
	assert_int_equal(state_save(item, items(item), &stream), 0);
	memcpy(ram, rig.rig.vm.memory.ram.base, sizeof(ram));
	pci_rig_fini(&rig);
	setup(NULL);
	memcpy(rig.rig.vm.memory.ram.base, ram, sizeof(ram));
	if (state_load(item, items(item), stream.data, stream.size, NULL,
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(moves_data),
		TEST(chains),
		TEST(indirect_tables),
		TEST(table_behind_chain),
		TEST(out_of_order),
		TEST(takes_back),
		TEST(interrupts),
		TEST(no_interrupts),
		TEST(split_event_index),
		TEST(packed_event_index),
		TEST(asks_for_notifications),
		TEST(pin),
		TEST(configuration_change),
		TEST(negotiation),
		TEST(waits_for_driver_ok),
		TEST(queue_registers),
		TEST(split_head_beyond),
		TEST(split_index_too_far),
		TEST(split_loop),
		TEST(split_next_beyond),
		TEST(packed_loop),
		TEST(outside),
		TEST(read_after_write),
		TEST(bad_tables),
		TEST(bad_rings),
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

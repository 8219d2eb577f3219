/* SPDX-License-Identifier: Apache-2.0 */
#include "box.h"

struct pci_rig rig;
struct box box;
struct driver driver;

static void answer(struct virtio_queue *q, struct virtio_buffer *b, bool later)
{
	uint8_t bytes[4096];
	uint32_t n = virtio_buffer_read(b, 0, bytes, sizeof(bytes));
	uint32_t written = virtio_buffer_write(q, b, 0, bytes, n);

	if (later)
		host_lock(&q->lock);
	virtio_queue_push(q, b, written);
	if (later) {
		virtio_queue_signal(q);
		host_unlock(&q->lock);
	}
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

void box_give(void)
{
	while (box.kept)
		answer(&box.virtio.queue[0], &box.buffer[--box.kept], true);
	fake_work_run();
}

int setup(void **state)
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

int teardown(void **state)
{
	box_give();
	pci_rig_fini(&rig);
	return 0;
}

void start(uint64_t features)
{
	driver_start(&driver, &rig, features, 1, SIZE);
	rig.sent_count = 0;
	box.resets = 0;
}

uint16_t offer_text(const char *text)
{
	const struct driver_desc descs[] = {
		{ DRIVER_DATA, (uint32_t)strlen(text), 0 },
		{ DRIVER_DATA + 0x1000, 64, VIRTQ_WRITE },
	};

	driver_poke(&driver, DRIVER_DATA, text, strlen(text));
	return driver_offer(&driver, 0, descs, 2);
}

void expect_text(uint16_t id, const char *text)
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

void expect_nothing(void)
{
	uint32_t written;
	uint16_t id;

	assert_false(driver_take(&driver, 0, &id, &written));
}

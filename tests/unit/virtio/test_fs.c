/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file-system device over a share that answers at once or later.
 */
#include "virtio/fs.h"

#include <string.h>

#include "driver.h"
#include "fake/test.h"

#define REQUESTS 2 /* the first queue of requests, behind queue 0 */
#define OUT	 DRIVER_DATA
#define IN	 (DRIVER_DATA + 0x1000)
#define PENDING	 300

struct fake_share {
	struct share share;
	bool later;
	unsigned int count; /* pending */
	struct share_request *pending[PENDING];
	uint32_t out_size, in_size; /* of the last one */
	uint8_t first;		    /* its first byte */
};

static struct pci_rig rig;
static struct fake_share fake;
static struct virtio_fs *fs;
static struct driver driver;

/* The answer: 'a' as far as there is room, up to 16. */
static void answer(struct share_request *r)
{
	r->written = 0;
	if (r->ins) {
		r->written = r->in_size < 16 ? r->in_size : 16;
		memset(r->in[0].data, 'a', r->written);
	}
}

static bool submit(struct share *share, struct share_request *r)
{
	fake.out_size = r->out_size;
	fake.in_size = r->in_size;
	fake.first = *(const uint8_t *)r->out[0].data;
	if (fake.later) {
		fake.pending[fake.count++] = r;
		return false;
	}
	answer(r);
	return true;
}

static const struct share_ops ops = { .submit = submit };

static int setup(void **state)
{
	const struct virtio_fs_config config = {
		.share = &fake.share,
		.tag = "the tag",
		.queues = 3,
	};

	fake = (struct fake_share){ .share.ops = &ops };
	pci_rig_init(&rig);
	assert_int_equal(host_worker_create(&rig.rig.vm.worker, "devices"), 0);
	assert_int_equal(virtio_fs_create(&fs, &rig.rig.vm, &config), 0);
	assert_int_equal(pci_attach(&rig.host.root, virtio_fs_pci(fs),
				    DRIVER_DEVFN), 0);
	driver_start(&driver, &rig, 0, 4, 16);
	return 0;
}

static void end_all(void)
{
	for (unsigned int i = 0; i < fake.count; i++) {
		answer(fake.pending[i]);
		fake.pending[i]->done(fake.pending[i]);
	}
	fake.count = 0;
}

static int teardown(void **state)
{
	end_all();
	pci_rig_fini(&rig);
	assert_int_equal(fake_live(), 0);
	return 0;
}

static void configuration(void **state)
{
	const char tag[36] = "the tag";

	assert_int_equal(pci_rig_get(&rig, DRIVER_DEVFN, 0, 4), 0x105a1af4);
	for (unsigned int i = 0; i < sizeof(tag); i++)
		assert_int_equal(driver_config(&driver, i, 1), tag[i]);
	assert_int_equal(driver_config(&driver, 36, 4), 3);
}

static uint16_t offer(unsigned int queue, uint32_t out, uint32_t in)
{
	const struct driver_desc descs[] = {
		{ OUT, out, 0 },
		{ IN, in, VIRTQ_WRITE },
	};

	return driver_offer(&driver, queue, descs, in ? 2 : 1);
}

static void answers(void **state)
{
	const uint8_t head = 'h';
	uint32_t written;
	uint8_t bytes[17];
	uint16_t id, mine;

	driver_poke(&driver, OUT, &head, 1);
	mine = offer(REQUESTS, 40, 100);
	driver_notify(&driver, REQUESTS);
	assert_true(driver_take(&driver, REQUESTS, &id, &written));
	assert_int_equal(id, mine);
	assert_int_equal(written, 16);
	assert_int_equal(fake.out_size, 40);
	assert_int_equal(fake.in_size, 100);
	assert_int_equal(fake.first, 'h');
	driver_peek(&driver, IN, bytes, sizeof(bytes));
	assert_int_equal(bytes[15], 'a');
	assert_int_equal(bytes[16], 0);
}

/* Forgets have no room for an answer, and come by the first queue as well. */
static void without_answer(void **state)
{
	uint32_t written;
	uint16_t id;

	offer(0, 48, 0);
	driver_notify(&driver, 0);
	assert_true(driver_take(&driver, 0, &id, &written));
	assert_int_equal(written, 0);
	assert_int_equal(fake.out_size, 48);
}

/* They end in any order, each with its own buffer. */
static void later(void **state)
{
	uint16_t id[3], got;
	uint32_t written;

	fake.later = true;
	for (unsigned int i = 0; i < 3; i++)
		id[i] = offer(REQUESTS, 40 + i, 8);
	driver_notify(&driver, REQUESTS);
	assert_int_equal(fake.count, 3);
	assert_false(driver_take(&driver, REQUESTS, &got, &written));
	for (unsigned int i = 3; i-- > 0;) {
		answer(fake.pending[i]);
		fake.pending[i]->done(fake.pending[i]);
		assert_true(driver_take(&driver, REQUESTS, &got, &written));
		assert_int_equal(got, id[i]);
		assert_int_equal(written, 8);
	}
	fake.count = 0;
}

/* Large ones are copied by the worker, not on the processor's thread. */
static void large(void **state)
{
	const struct driver_desc descs[] = {
		{ OUT, 0x40000, 0 },
		{ IN, 16, VIRTQ_WRITE },
	};
	uint32_t written;
	uint16_t id;

	driver_offer(&driver, REQUESTS, descs, 2);
	driver_notify(&driver, REQUESTS);
	assert_true(driver_take(&driver, REQUESTS, &id, &written));
	assert_int_equal(fake.out_size, 0x40000);
}

static void without_head(void **state)
{
	uint32_t written;
	uint16_t id;

	fake.out_size = 0;
	offer(REQUESTS, 39, 16);
	driver_notify(&driver, REQUESTS);
	assert_true(driver_status(&driver) & VIRTIO_STATUS_NEEDS_RESET);
	assert_false(driver_take(&driver, REQUESTS, &id, &written));
	assert_int_equal(fake.out_size, 0);
}

/* A reset waits for what is under way; then the device starts anew. */
static void reset_while_busy(void **state)
{
	fake.later = true;
	offer(REQUESTS, 40, 16);
	driver_notify(&driver, REQUESTS);
	assert_int_equal(fake.count, 1);
	driver_set(&driver, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_not_equal(driver_status(&driver), 0);
	end_all();
	host_worker_wait(rig.rig.vm.worker);
	assert_int_equal(driver_status(&driver), 0);
	fake.later = false;
	driver_start(&driver, &rig, VIRTIO_F_RING_PACKED, 4, 16);
	answers(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(without_answer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(later, setup, teardown),
		cmocka_unit_test_setup_teardown(large, setup, teardown),
		cmocka_unit_test_setup_teardown(without_head, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_while_busy, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

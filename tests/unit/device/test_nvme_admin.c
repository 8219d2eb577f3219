/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NVMe: admin commands, features, logs and events.
 */
#include "nvme_rig.h"

/* --- admin commands -------------------------------------------------------------------- */

static void identify(void **state)
{
	uint8_t id[4096];
	uint32_t list[2];
	uint64_t size;

	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, NVME_CNS_CONTROLLER, 0),
			 NVME_OK);
	peek(DATA, id, sizeof(id));
	assert_memory_equal(id + 4, "serial              ", 20);
	assert_memory_equal(id + 768, "nqn.2014-08.org.nvmexpress:uuid:", 32);
	assert_int_equal(id[512] | id[513] << 8, 0x4466);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 1, NVME_CNS_NAMESPACE, 0),
			 NVME_OK);
	peek(DATA, &size, 8);
	assert_int_equal(size, SECTORS);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, NVME_CNS_ACTIVE, 0),
			 NVME_OK);
	peek(DATA, list, 8);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 0);
	admin(NVME_IDENTIFY_OP, 1, NVME_CNS_ACTIVE, 0);
	peek(DATA, list, 8);
	assert_int_equal(list[0], 0);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 1, NVME_CNS_DESCRIPTORS, 0),
			 NVME_OK);
	peek(DATA, id, 24);
	assert_int_equal(id[0] | id[1] << 8, 0x1003);
	assert_int_equal(id[20], 0);
}

static void bad_admin_commands(void **state)
{
	const uint32_t sgl[16] = { NVME_IDENTIFY_OP | 0x4000, [10] = 1 };
	const uint32_t odd[16] = { NVME_IDENTIFY_OP, [6] = DATA + 2,
				   [10] = 1 };
	const uint32_t nowhere[16] = { NVME_IDENTIFY_OP, [6] = 0xfffff000,
				       [10] = 1 };

	assert_int_equal(admin(0x7f, 0, 0, 0), NVME_INVALID_OPCODE);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 0, 0x7f, 0),
			 NVME_INVALID_FIELD);
	assert_int_equal(admin(NVME_IDENTIFY_OP, 2, NVME_CNS_NAMESPACE, 0),
			 NVME_INVALID_NAMESPACE);
	assert_int_equal(admin(NVME_IDENTIFY_OP, UINT32_MAX, NVME_CNS_ACTIVE,
			       0), NVME_INVALID_NAMESPACE);
	assert_int_equal(command(0, sgl), NVME_INVALID_FIELD);
	assert_int_equal(command(0, odd), NVME_PRP_OFFSET);
	assert_int_equal(command(0, nowhere), NVME_DATA_TRANSFER);
	assert_int_equal(admin(NVME_GET_LOG, 0, 0x7f, 0), NVME_LOG_PAGE);
	assert_int_equal(admin(NVME_GET_LOG, 1, NVME_LOG_HEALTH, 0),
			 NVME_INVALID_FIELD);
}

static void bad_queues(void **state)
{
	assert_int_equal(create_cq(0, 8, 1), NVME_QUEUE_ID);
	assert_int_equal(create_cq(QUEUES + 1, 8, 1), NVME_QUEUE_ID);
	assert_int_equal(create_cq(1, 1, 1), NVME_QUEUE_SIZE);
	assert_int_equal(create_cq(1, NVME_ENTRIES + 1, 1), NVME_QUEUE_SIZE);
	assert_int_equal(create_cq(1, 8, 0), NVME_INVALID_FIELD);
	assert_int_equal(create_cq(1, 8, 1 | 1 << 16), NVME_VECTOR);
	assert_int_equal(create_sq(1, 8, 1 | 1 << 16), NVME_CQ_INVALID);
	assert_int_equal(create_sq(1, 8, 1), NVME_QUEUE_ID);
	make_pair(1);
	assert_int_equal(create_cq(1, 8, 1), NVME_QUEUE_ID);
	assert_int_equal(create_sq(1, 8, 1 | 1 << 16), NVME_QUEUE_ID);
	assert_int_equal(admin(NVME_DELETE_CQ, 0, 1, 0), NVME_QUEUE_DELETION);
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 2, 0), NVME_QUEUE_ID);
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 0, 0), NVME_QUEUE_ID);
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 1, 0), NVME_OK);
	assert_int_equal(admin(NVME_DELETE_CQ, 0, 1, 0), NVME_OK);
	assert_int_equal(admin(NVME_DELETE_CQ, 0, 1, 0), NVME_QUEUE_ID);
}

static void all_queues(void **state)
{
	uint32_t dw[16];

	for (unsigned int i = 1; i <= QUEUES; i++)
		make_pair(i);
	for (unsigned int i = QUEUES; i; i--) {
		fill_io(dw, NVME_READ, i, 1);
		assert_int_equal(command(i, dw), NVME_OK);
	}
}

/* Its commands end before the queue is gone. */
static void deletion_waits(void **state)
{
	const uint32_t delete[16] = { NVME_DELETE_SQ, [10] = 1 };
	uint32_t dw[16], entry[4];

	make_pair(1);
	disk.later = true;
	fill_io(dw, NVME_READ, 5, 1);
	queue_command(1, dw);
	ring(1);
	queue_command(0, delete);
	ring(0);
	assert_false(completion(0, entry));
	assert_int_equal(admin(NVME_DELETE_SQ, 0, 1, 0), NVME_QUEUE_ID);
	fake_block_end(&disk, 0);
	assert_true(completion(1, entry));
	assert_true(completion(0, entry));
	assert_int_equal(entry[3] >> 17, NVME_OK);
}

static void features(void **state)
{
	uint32_t value;

	feature(NVME_SET_FEATURES, NVME_F_QUEUES, 0x00ff00ff, &value);
	assert_int_equal(value, (QUEUES - 1) << 16 | (QUEUES - 1));
	feature(NVME_GET_FEATURES, NVME_F_CACHE, 0, &value);
	assert_int_equal(value, 1);
	feature(NVME_SET_FEATURES, NVME_F_CACHE, 0, NULL);
	feature(NVME_GET_FEATURES, NVME_F_CACHE, 0, &value);
	assert_int_equal(value, 0);
	feature(NVME_GET_FEATURES, NVME_F_CACHE | 1 << 8, 0, &value);
	assert_int_equal(value, 1);
	feature(NVME_GET_FEATURES, NVME_F_RECOVERY | 3 << 8, 0, &value);
	assert_int_equal(value, 6);
	feature(NVME_SET_FEATURES, NVME_F_VECTOR, 3 | 1 << 16, NULL);
	feature(NVME_GET_FEATURES, NVME_F_VECTOR, 3, &value);
	assert_int_equal(value, 3 | 1 << 16);
	assert_int_equal(feature(NVME_SET_FEATURES, NVME_F_VECTOR, 999, NULL),
			 NVME_INVALID_FIELD);
	assert_int_equal(feature(NVME_SET_FEATURES,
				 NVME_F_CACHE | NVME_FEATURE_SAVE, 0, NULL),
			 NVME_NOT_SAVEABLE);
	assert_int_equal(feature(NVME_GET_FEATURES, 0x03, 0, NULL),
			 NVME_INVALID_FIELD);
	assert_int_equal(feature(NVME_SET_FEATURES, NVME_F_POWER, 1, NULL),
			 NVME_INVALID_FIELD);
	make_pair(1);
	assert_int_equal(feature(NVME_SET_FEATURES, NVME_F_QUEUES, 0, NULL),
			 NVME_SEQUENCE);
	disable();
	enable();
	feature(NVME_GET_FEATURES, NVME_F_CACHE, 0, &value);
	assert_int_equal(value, 1);
}

static uint64_t log64(uint32_t page, unsigned int at)
{
	uint8_t log[512];
	uint64_t value;

	assert_int_equal(admin(NVME_GET_LOG, 0, page | 127u << 16, 0),
			 NVME_OK);
	peek(DATA, log, sizeof(log));
	memcpy(&value, log + at, sizeof(value));
	return value;
}

static void logs(void **state)
{
	make_pair(1);
	io(NVME_READ, 0, 8);
	io(NVME_WRITE, 0, 8);
	assert_int_equal(log64(NVME_LOG_HEALTH, 64), 1);
	assert_int_equal(log64(NVME_LOG_HEALTH, 32), 1);
	assert_int_equal(log64(NVME_LOG_HEALTH, 80), 1);
	assert_int_equal(log64(NVME_LOG_ERROR, 0), 0);
	disk.fail = -5;
	assert_int_equal(io(NVME_READ, 7, 1), NVME_READ_ERROR);
	disk.fail = 0;
	assert_int_equal(log64(NVME_LOG_HEALTH, 160), 1);
	assert_int_equal(log64(NVME_LOG_ERROR, 0), 1);
	assert_int_equal(log64(NVME_LOG_ERROR, 8) & 0xffffffff, 0x00770001);
	assert_int_equal(log64(NVME_LOG_ERROR, 16), 7);
	assert_int_equal(log64(NVME_LOG_FIRMWARE, 0), 1);
	assert_int_equal(admin(NVME_GET_LOG, 0, NVME_LOG_EFFECTS | 1023 << 16,
			       0), NVME_OK);
}

static void events(void **state)
{
	const uint32_t ask[16] = { NVME_ASYNC_EVENT | 9 << 16 };
	uint32_t entry[4], result;
	uint32_t abort[16] = { NVME_ABORT, [10] = 9 << 16 };

	for (unsigned int i = 0; i < NVME_EVENTS; i++) {
		queue_command(0, ask);
		ring(0);
		assert_false(completion(0, entry));
	}
	assert_int_equal(command(0, ask), NVME_EVENT_LIMIT);
	set(NVME_DOORBELLS + 8 * 5, 1); /* no such queue */
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x010000);
	set(NVME_DOORBELLS, 999); /* masked: its log was not read */
	assert_false(completion(0, entry));
	admin(NVME_GET_LOG, 0, NVME_LOG_ERROR, 0);
	set(NVME_DOORBELLS, 999);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x010100);
	feature(NVME_SET_FEATURES, NVME_F_EVENTS, 0xff, NULL);
	queue_command(0, (const uint32_t[16]){ NVME_SET_FEATURES, [10] =
						NVME_F_TEMPERATURE, 300 });
	ring(0);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0x020101);
	assert_true(completion(0, entry));
	queue_command(0, abort);
	ring(0);
	assert_true(completion(0, entry));
	assert_int_equal(entry[3] >> 17 & NVME_CODE, NVME_ABORTED);
	assert_true(completion(0, entry));
	assert_int_equal(entry[0], 0);
	assert_int_equal(command_for(0, abort, &result), NVME_OK);
	assert_int_equal(result, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identify),
		TEST(bad_admin_commands),
		TEST(bad_queues),
		TEST(all_queues),
		TEST(deletion_waits),
		TEST(features),
		TEST(logs),
		TEST(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

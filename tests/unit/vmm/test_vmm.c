/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the VM's process that need no machine: keys, ring, initrd
 * check, suggestions for mistyped words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/option.h"
#include "vmm/boot/image.h"
#include "vmm/console/keys.h"
#include "vmm/console/ring.h"

/* --- keys ------------------------------------------------------------------ */

static void keys_pass_ordinary_bytes(void **state)
{
	struct keys keys = { 0 };

	for (unsigned int byte = 0; byte < 256; byte++)
		if (byte != 1)
			assert_int_equal(keys_take(&keys, (uint8_t)byte),
					 KEY_BYTE);
}

static void keys_know_commands(void **state)
{
	static const struct {
		uint8_t byte;
		enum key_action action;
	} cases[] = {
		{ 'x', KEY_STOP },  { 'r', KEY_RESET }, { 'p', KEY_POWER },
		{ 'h', KEY_HELP },  { '?', KEY_HELP },	{ 'a', KEY_CTRL_A },
		{ 0x01, KEY_CTRL_A }, { 'q', KEY_UNKNOWN },
	};
	struct keys keys = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(keys_take(&keys, 1), KEY_PENDING);
		assert_int_equal(keys_take(&keys, cases[i].byte),
				 cases[i].action);
		assert_int_equal(keys_take(&keys, 'x'), KEY_BYTE);
	}
}

static void keys_help_ends(void **state)
{
	unsigned int n = 0;

	while (keys_help(n))
		assert_non_null(strstr(keys_help(n++), "Ctrl-A"));
	assert_in_range(n, 4, 10);
}

/* --- ring ------------------------------------------------------------------ */

static void ring_keeps_order_across_its_end(void **state)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	uint8_t part[1000], next = 0, expected = 0;

	assert_non_null(ring);
	for (unsigned int round = 0; round < 1000; round++) {
		const uint8_t *data;
		uint32_t count;

		for (size_t i = 0; i < sizeof(part); i++)
			part[i] = next++;
		assert_int_equal(ring_put(ring, part, sizeof(part)),
				 sizeof(part));
		while ((count = ring_peek(ring, &data))) {
			for (uint32_t i = 0; i < count; i++)
				assert_int_equal(data[i], expected++);
			ring_drop(ring, count);
		}
	}
	assert_int_equal(ring_used(ring), 0);
	free(ring);
}

static void ring_takes_what_fits(void **state)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	uint8_t *much = calloc(1, RING_SIZE);
	const uint8_t *data;

	assert_non_null(ring);
	assert_non_null(much);
	assert_int_equal(ring_put(ring, much, 100), 100);
	assert_int_equal(ring_put(ring, much, RING_SIZE), RING_SIZE - 100);
	assert_int_equal(ring_put(ring, much, 1), 0);
	assert_int_equal(ring_peek(ring, &data), RING_SIZE);
	ring_drop(ring, 10);
	assert_int_equal(ring_put(ring, much, RING_SIZE), 10);
	free(much);
	free(ring);
}

/* --- initrd ---------------------------------------------------------------- */

static int check(const void *data, size_t size, struct vmm_error *error)
{
	/* A copy of exactly this size, for the address sanitizer. */
	uint8_t *copy = malloc(size);
	const struct image image = {
		.path = "initrd",
		.data = copy,
		.size = size,
	};
	int rc;

	assert_non_null(copy);
	memcpy(copy, data, size);
	rc = image_check_initrd(&image, error);
	free(copy);
	return rc;
}

static size_t add_entry(char *out, const char *name, size_t size)
{
	size_t length = strlen(name) + 1;
	size_t head = (110 + length + 3) & ~(size_t)3;

	memset(out, 0, head + ((size + 3) & ~(size_t)3));
	sprintf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X"
		     "%08X", 1, 0100644, 0, 0, 1, 0, (unsigned int)size, 0, 0,
		0, 0, (unsigned int)length, 0);
	memcpy(out + 110, name, length);
	return head + ((size + 3) & ~(size_t)3);
}

static void initrd_cpio_cut_anywhere_is_refused(void **state)
{
	struct vmm_error error;
	char archive[2048];
	size_t size = add_entry(archive, "init", 333);

	size += add_entry(archive + size, "TRAILER!!!", 0);
	assert_int_equal(check(archive, size, &error), 0);
	for (size_t cut = 1; cut < size - 4; cut++)
		assert_int_equal(check(archive, cut, &error), -1);
}

static void initrd_several_archives(void **state)
{
	struct vmm_error error;
	char archive[4096] = { 0 };
	size_t size = add_entry(archive, "TRAILER!!!", 0);

	size = (size + 511) & ~(size_t)511;
	memcpy(archive + size, "\x1f\x8b\x08 and the rest of it", 23);
	assert_int_equal(check(archive, size + 23, &error), 0);
	memcpy(archive + size, "\x1e", 1);
	assert_int_equal(check(archive, size + 23, &error), -1);
}

static void initrd_zstd_blocks(void **state)
{
	/* Single segment, 1-byte content size, checksum; a raw block of 3
	 * bytes, an RLE block of 5, the last raw one of 1. */
	static const uint8_t frame[] = {
		0x28, 0xb5, 0x2f, 0xfd, 0x24, 9, 0x18, 0, 0, 'a', 'b', 'c',
		0x2a, 0, 0, 'd', 0x09, 0, 0, 'e', 1, 2, 3, 4,
	};
	struct vmm_error error;

	assert_int_equal(check(frame, sizeof(frame), &error), 0);
	for (size_t cut = 4; cut < sizeof(frame); cut++) {
		assert_int_equal(check(frame, cut, &error), -1);
		assert_non_null(strstr(error.text, "cut short"));
	}
}

static void initrd_random_bytes_are_survived(void **state)
{
	static const char *const magics[] = {
		"070701", "\x28\xb5\x2f\xfd", "\x02\x21\x4c\x18", ("\xfd" "7zXZ"),
	};
	struct vmm_error error;
	unsigned int seed = 1;
	uint8_t data[300];

	for (unsigned int round = 0; round < 20000; round++) {
		const char *magic = magics[round % 4];
		size_t size = 8 + (size_t)rand_r(&seed) % (sizeof(data) - 8);

		for (size_t i = 0; i < size; i++)
			data[i] = (uint8_t)rand_r(&seed);
		memcpy(data, magic, strlen(magic));
		check(data, size, &error);
	}
}

/* --- suggestions ------------------------------------------------------------ */

static void nearest_word(void **state)
{
	static const char *const words[] = { "kernel", "memory", "cpus",
					     "engine" };
	const size_t n = sizeof(words) / sizeof(words[0]);

	assert_string_equal(cli_nearest("kernal", words, n, sizeof(*words)),
			    "kernel");
	assert_string_equal(cli_nearest("memroy", words, n, sizeof(*words)),
			    "memory");
	assert_string_equal(cli_nearest("cpu", words, n, sizeof(*words)),
			    "cpus");
	assert_string_equal(cli_nearest("eng", words, n, sizeof(*words)),
			    "engine");
	assert_null(cli_nearest("disk", words, n, sizeof(*words)));
	assert_null(cli_nearest("", words, n, sizeof(*words)));
	assert_null(cli_nearest("a word that is longer than any could be",
				words, n, sizeof(*words)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_pass_ordinary_bytes),
		cmocka_unit_test(keys_know_commands),
		cmocka_unit_test(keys_help_ends),
		cmocka_unit_test(ring_keeps_order_across_its_end),
		cmocka_unit_test(ring_takes_what_fits),
		cmocka_unit_test(initrd_cpio_cut_anywhere_is_refused),
		cmocka_unit_test(initrd_several_archives),
		cmocka_unit_test(initrd_zstd_blocks),
		cmocka_unit_test(initrd_random_bytes_are_survived),
		cmocka_unit_test(nearest_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first boot's volume, read as ECMA-119 and Rock Ridge say; what is a
 * public key, what a host name. No hashing of passwords here: that is an
 * extension of the program.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake/test.h"
#include "image/seed.h"

#define SECTOR 2048
#define KEY    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b with spaces"

static uint8_t *volume;
static size_t volume_size;

static uint32_t both(const uint8_t *at)
{
	uint32_t little = 0, big = 0;

	for (unsigned int i = 0; i < 4; i++) {
		little |= (uint32_t)at[i] << 8 * i;
		big = big << 8 | at[4 + i];
	}
	assert_int_equal(little, big);
	return little;
}

/* The name of Rock Ridge's NM field behind a record's own name. */
static void name_of(const uint8_t *record, char name[65])
{
	size_t at = 33u + record[32] + !(record[32] & 1);

	*name = '\0';
	while (at + 4 <= record[0]) {
		const uint8_t *field = record + at;

		if (!memcmp(field, "NM", 2)) {
			memcpy(name, field + 5, field[2] - 5u);
			name[field[2] - 5] = '\0';
		}
		assert_true(field[2]);
		at += field[2];
	}
}

/* A file's content, to be freed; NULL: it is not there. */
static char *content(const char *wanted)
{
	const uint8_t *root = volume + 16 * SECTOR + 156, *record;
	char name[65], last[65] = "", *text;
	uint32_t size;

	for (record = volume + both(root + 2) * SECTOR; *record;
	     record += *record) {
		char identifier[65];

		snprintf(identifier, sizeof(identifier), "%.*s", record[32],
			 (const char *)record + 33);
		assert_true(strcmp(last, identifier) <= 0);
		strcpy(last, identifier);
		name_of(record, name);
		if (strcmp(name, wanted))
			continue;
		size = both(record + 10);
		assert_in_range(both(record + 2) * SECTOR + size, 21 * SECTOR,
				volume_size);
		text = malloc(size + 1);
		memcpy(text, volume + both(record + 2) * SECTOR, size);
		text[size] = '\0';
		return text;
	}
	return NULL;
}

static void make(const struct seed *seed)
{
	const uint8_t *descriptor;

	volume = seed_make(seed, &volume_size);
	assert_non_null(volume);
	descriptor = volume + 16 * SECTOR;
	assert_memory_equal(descriptor, "\1CD001\1", 7);
	assert_memory_equal(descriptor + 40, "cidata  ", 8);
	assert_int_equal(both(descriptor + 80) * SECTOR, volume_size);
	assert_memory_equal(volume + 17 * SECTOR, "\377CD001\1", 7);
}

static void is(const char *file, const char *text)
{
	char *have = content(file);

	assert_non_null(have);
	assert_string_equal(have, text);
	free(have);
}

static json_t *config(const char *file)
{
	char *text = content(file);
	json_t *json;

	assert_non_null(text);
	assert_memory_equal(text, "#cloud-config\n", 14);
	json = json_loads(text + 14, 0, NULL);
	assert_non_null(json);
	free(text);
	return json;
}

static void an_account(void **state)
{
	const struct seed seed = {
		.instance = "lodge-1", .host = "box_1.", .user = "me",
		.key = { KEY, "ssh-rsa AAAA c" }, .keys = 2,
	};
	json_t *json;

	make(&seed);
	/* Where the image's own first boot looks for it. */
	assert_memory_equal(volume + 33342, "LODGE ACCOUNT 1 ", 16);
	is("account", "instance lodge-1\nhost box-1\nuser me\nkey " KEY
	   "\nkey ssh-rsa AAAA c\n");
	assert_null(content("vendor-data"));
	json = config("user-data");
	assert_string_equal(json_string_value(json_object_get(
		json_object_get(json, "user"), "name")), "me");
	assert_string_equal(json_string_value(json_array_get(
		json_object_get(json, "ssh_authorized_keys"), 0)), KEY);
	json_decref(json);
	free(volume);
}

static void user_data(void **state)
{
	static char text[3 * SECTOR + 1];
	const struct seed seed = {
		.instance = "i", .host = "h", .user_data = text,
		.user_data_size = sizeof(text) - 1,
	};
	json_t *json;

	memset(text, 'x', sizeof(text) - 1);
	make(&seed);
	assert_memory_not_equal(volume + 33342, "LODGE ACCOUNT", 13);
	assert_null(content("account"));
	is("user-data", text);
	json = config("vendor-data");
	assert_int_equal(json_object_size(json), 0);
	json_decref(json);
	free(volume);
}

/* For images of others: the program, and what makes it a service. */
static void an_agent(void **state)
{
	struct seed seed = {
		.instance = "i", .host = "h", .user = "me",
		.agent = "\177ELF", .agent_size = 4,
		.agent_hook = "#cloud-boothook\n#!/bin/sh\n",
	};
	char *text;

	make(&seed);
	assert_memory_equal(volume + 33342, "LODGE ACCOUNT 1 ", 16);
	is("lodge-agent", "\177ELF");
	is("vendor-data", seed.agent_hook);
	json_decref(config("user-data"));
	free(volume);
	/* Beside the user's own text: both, as parts of one. */
	seed.user_data = "#!/bin/sh\n";
	seed.user_data_size = strlen(seed.user_data);
	make(&seed);
	is("user-data", seed.user_data);
	is("lodge-agent", "\177ELF");
	text = content("vendor-data");
	assert_memory_equal(text, "Content-Type: multipart/mixed; ", 31);
	assert_non_null(strstr(text, "\n\n#cloud-config\n{"));
	assert_non_null(strstr(text, "\n\n#cloud-boothook\n#!/bin/sh\n"));
	free(text);
	free(volume);
}

/* A clone is told what it is, in both ways. */
static void a_clone(void **state)
{
	struct seed seed = {
		.instance = "i", .host = "h", .identity = "id-1",
		.clone_hook = "# hook\n",
	};
	char *text;

	make(&seed);
	is("account", "instance i\nhost h\nidentity id-1\n");
	text = content("vendor-data");
	assert_non_null(strstr(text, "\n\n#cloud-boothook\n#!/bin/sh\n"
				     "identity=id-1\n# hook\n"));
	assert_null(strstr(text, "cloud-config"));
	free(text);
	free(volume);
	/* Beside all else there may be. */
	seed.user_data = "#!/bin/sh\n";
	seed.user_data_size = strlen(seed.user_data);
	seed.agent = "\177ELF";
	seed.agent_size = 4;
	seed.agent_hook = "#cloud-boothook\n#!/bin/sh\nagent\n";
	make(&seed);
	text = content("vendor-data");
	assert_non_null(strstr(text, "\n\n#cloud-config\n{"));
	assert_non_null(strstr(text, "identity=id-1\n# hook\n"));
	assert_non_null(strstr(text, "\n\n#cloud-boothook\n#!/bin/sh\nagent"));
	free(text);
	free(volume);
}

static void host_names(void **state)
{
	static const char *const pairs[][2] = {
		{ "a", "a" }, { "a.b_c", "a-b-c" }, { "a--", "a" },
		{ "\xc3\xa4x", "--x" },
	};
	char line[80];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct seed seed = { .instance = "i",
					   .host = pairs[i][0] };

		make(&seed);
		snprintf(line, sizeof(line), "instance i\nhost %s\n",
			 pairs[i][1]);
		is("account", line);
		free(volume);
	}
}

static int keys_of(struct seed *seed, const char *text)
{
	char path[] = P_tmpdir "/lodge-XXXXXX";
	struct disk_error error;
	int fd = mkstemp(path), err;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	err = seed_read_keys(seed, path, &error);
	unlink(path);
	return err;
}

static void key_files(void **state)
{
	struct seed seed = { 0 };

	assert_int_equal(keys_of(&seed, "# mine\r\n" KEY "\r\n\nsk-ssh-x AA\n"
				 "ecdsa-sha2-nistp256 AAAA"), 0);
	assert_int_equal(seed.keys, 3);
	assert_string_equal(seed.key[0], KEY);
	assert_string_equal(seed.key[2], "ecdsa-sha2-nistp256 AAAA");
	assert_int_equal(keys_of(&seed, "hello\n"), -1);
	assert_int_equal(keys_of(&seed, ""), -1);
	assert_int_equal(keys_of(&seed, "ssh-ed25519\n"), -1);
	assert_int_equal(keys_of(&seed, KEY "\n-----BEGIN OPENSSH PRIVATE "
				 "KEY-----\n"), -1);
	assert_int_equal(seed.keys, 3);
	for (unsigned int i = 0; i < 2 * SEED_KEYS_MAX; i++)
		keys_of(&seed, KEY "\n");
	assert_int_equal(seed.keys, SEED_KEYS_MAX);
	seed_free_keys(&seed);
	assert_int_equal(seed.keys, 0);
}

static void passwords(void **state)
{
	char one[SEED_PASSWORD], two[SEED_PASSWORD];

	assert_int_equal(seed_make_password(one), 0);
	assert_int_equal(seed_make_password(two), 0);
	assert_int_equal(strlen(one), SEED_PASSWORD - 1);
	assert_string_not_equal(one, two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_account),
		cmocka_unit_test(user_data), cmocka_unit_test(an_agent),
		cmocka_unit_test(a_clone),
		cmocka_unit_test(host_names),
		cmocka_unit_test(key_files),
		cmocka_unit_test(passwords),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "image/seed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/extension.h"
#include "image/iso.h"
#include "image/password.h"

#define HEAD "#cloud-config\n" /* JSON is YAML */

/* --- texts ------------------------------------------------------------------ */

/* A host name of a machine's name: letters, digits and hyphens. */
static void host_name(char to[64], const char *from)
{
	size_t length = 0;

	for (; *from && length < 63; from++)
		to[length++] = isalnum((unsigned char)*from) ? *from : '-';
	while (length > 1 && to[length - 1] == '-')
		length--;
	to[length] = '\0';
}

/* Indexes into the alphabet from the kernel's random numbers. */
static int random_text(char *to, size_t length, const char *alphabet)
{
	size_t letters = strlen(alphabet);
	uint8_t bytes[64];

	if (length > sizeof(bytes) ||
	    getrandom(bytes, length, 0) != (ssize_t)length)
		return -1;
	for (size_t i = 0; i < length; i++)
		to[i] = alphabet[bytes[i] % letters];
	to[length] = '\0';
	return 0;
}

int seed_make_password(char password[SEED_PASSWORD])
{
	/* 32 letters, none of which looks like another: 5 bits each. */
	return random_text(password, SEED_PASSWORD - 1,
			   "abcdefghijkmnpqrstuvwxyz23456789");
}

/* As /etc/shadow has it, to be freed; NULL: it cannot be made. */
static char *hash(const char *password)
{
	image_password_hasher *hasher;
	char salt[32] = "$6$", why[200];

	hasher = (image_password_hasher *)extension_symbol(
		"password", "image_password_hash", why, sizeof(why));
	if (!hasher || random_text(salt + 3, 16, "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./"))
		return NULL;
	return hasher(password, salt);
}

/* The account as cloud-config: on top of what the system's own one has. */
static json_t *config_of(const struct seed *seed, const char *hashed)
{
	json_t *config = json_object(), *user, *keys;

	if (seed->user) {
		user = json_pack("{ss ss}", "name", seed->user, "gecos",
				 seed->user);
		if (hashed) {
			json_object_set_new(user, "passwd",
					    json_string(hashed));
			json_object_set_new(user, "lock_passwd", json_false());
		}
		json_object_set_new(config, "user", user);
	}
	if (seed->keys) {
		keys = json_array();
		for (unsigned int i = 0; i < seed->keys; i++)
			json_array_append_new(keys,
					      json_string(seed->key[i]));
		json_object_set_new(config, "ssh_authorized_keys", keys);
	}
	return config;
}

static char *config_text(const struct seed *seed, const char *hashed)
{
	json_t *config = config_of(seed, hashed);
	char *json = json_dumps(config, JSON_INDENT(2)), *text = NULL;

	if (json && asprintf(&text, HEAD "%s\n", json) < 0)
		text = NULL;
	free(json);
	json_decref(config);
	return text;
}

static char *meta_text(const struct seed *seed, const char *host)
{
	json_t *meta = json_pack("{ss ss}", "instance-id", seed->instance,
				 "local-hostname", host);
	char *text = json_dumps(meta, JSON_INDENT(2));

	json_decref(meta);
	return text;
}

/* The same as lines of a word and its value. */
static char *account_text(const struct seed *seed, const char *host,
			  const char *hashed)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "instance %s\nhost %s\n", seed->instance, host);
	if (seed->identity)
		fprintf(out, "identity %s\n", seed->identity);
	if (seed->user)
		fprintf(out, "user %s\n", seed->user);
	if (seed->user && hashed)
		fprintf(out, "password %s\n", hashed);
	for (unsigned int i = 0; i < seed->keys; i++)
		fprintf(out, "key %s\n", seed->key[i]);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

/* A part in the format that cloud-init has for several (MIME). */
static void put_part(FILE *out, const char *type, const char *before,
		     const char *text)
{
	fprintf(out, "--=lodge=\nContent-Type: text/%s\n\n%s%s\n", type,
		before, text);
}

/*
 * vendor-data: the account where the user brings user-data, the script for the
 * agent, that for a clone, which is told its identity in a line before.
 */
static char *vendor_text(const struct seed *seed, const char *config)
{
	const char *hook = seed->agent ? seed->agent_hook : NULL;
	const char *clone = seed->identity ? seed->clone_hook : NULL;
	char *text = NULL, line[120];
	size_t size;
	FILE *out;

	if (!clone && (!seed->user_data || !hook))
		return strdup(hook ? hook : config);
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fprintf(out, "Content-Type: multipart/mixed; boundary=\"=lodge=\"\n"
		     "MIME-Version: 1.0\n\n");
	if (seed->user_data)
		put_part(out, "cloud-config", "", config);
	if (clone) {
		snprintf(line, sizeof(line), "#cloud-boothook\n#!/bin/sh\n"
			 "identity=%.80s\n", seed->identity);
		put_part(out, "cloud-boothook", line, clone);
	}
	if (hook)
		put_part(out, "cloud-boothook", "", hook);
	fprintf(out, "--=lodge=--\n");
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}

struct texts {
	char *account, *meta, *config, *vendor;
};

/* In the order of their short names. */
static void *put_files(const struct seed *seed, const struct texts *texts,
		       size_t *size)
{
	struct iso_file file[5];
	size_t count = 0;

	if (!seed->user_data)
		file[count++] = (struct iso_file){
			"account", "ACCOUNT.;1", texts->account,
			strlen(texts->account) };
	if (seed->agent)
		file[count++] = (struct iso_file){
			"lodge-agent", "LODGE_AG.;1", seed->agent,
			seed->agent_size };
	file[count++] = (struct iso_file){ "meta-data", "META_DAT.;1",
					   texts->meta, strlen(texts->meta) };
	file[count] = (struct iso_file){ "user-data", "USER_DAT.;1",
					 texts->config, strlen(texts->config) };
	if (seed->user_data) {
		file[count].data = seed->user_data;
		file[count].size = seed->user_data_size;
	}
	count++;
	if (seed->user_data || seed->agent ||
	    (seed->identity && seed->clone_hook))
		file[count++] = (struct iso_file){
			"vendor-data", "VENDOR_D.;1", texts->vendor,
			strlen(texts->vendor) };
	return iso_make("cidata", seed->user_data ? "LODGE" : "LODGE ACCOUNT 1",
			file, count, size);
}

void *seed_make(const struct seed *seed, size_t *size)
{
	char host[64], *hashed = seed->password ? hash(seed->password) : NULL;
	struct texts texts = { 0 };
	void *image = NULL;

	host_name(host, seed->host);
	texts.account = account_text(seed, host, hashed);
	texts.meta = meta_text(seed, host);
	texts.config = config_text(seed, hashed);
	if (texts.config)
		texts.vendor = vendor_text(seed, texts.config);
	if (texts.account && texts.meta && texts.vendor)
		image = put_files(seed, &texts, size);
	free(hashed);
	free(texts.account);
	free(texts.meta);
	free(texts.config);
	free(texts.vendor);
	return image;
}

/* --- files ------------------------------------------------------------------ */

static int read_all(int fd, char *to, size_t *size)
{
	size_t length = 0;
	ssize_t n;

	do {
		n = read(fd, to + length, SEED_FILE_MAX + 1 - length);
		if (n < 0 && errno != EINTR)
			return -errno;
		length += n > 0 ? (size_t)n : 0;
	} while (n && length <= SEED_FILE_MAX);
	*size = length;
	to[length < SEED_FILE_MAX ? length : SEED_FILE_MAX] = '\0';
	return length > SEED_FILE_MAX ? -EFBIG : 0;
}

char *seed_read_file(const char *path, size_t *size, struct disk_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(SEED_FILE_MAX + 2);
	int err = fd < 0 ? -errno : !text ? -ENOMEM : 0;

	if (!err)
		err = read_all(fd, text, size);
	if (fd >= 0)
		close(fd);
	if (!err)
		return text;
	free(text);
	if (err == -ENOENT)
		disk_error_set(error, err, "%s: no such file; check the path",
			       path);
	else if (err == -EISDIR)
		disk_error_set(error, err, "%s: is a folder; give a file in it",
			       path);
	else
		disk_error_set(error, err, "%s: %s", path, strerror(-err));
	return NULL;
}

/* cloud-init unpacks what gzip has packed. */
char *seed_read_user_data(const char *path, size_t *size,
			  struct disk_error *error)
{
	char *text = seed_read_file(path, size, error);

	if (!text || !memchr(text, '\0', *size) || !memcmp(text, "\x1f\x8b", 2))
		return text;
	free(text);
	disk_error_set(error, -EINVAL, "%s: is no text; give cloud-init's "
		       "user-data, which begins with #cloud-config or #!",
		       path);
	return NULL;
}

/* Whether a line of a public key file is a key: "TYPE BASE64 ...". */
static bool is_key(const char *line)
{
	static const char *const types[] = { "ssh-", "ecdsa-sha2-", "sk-ssh-",
					     "sk-ecdsa-" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strncmp(line, types[i], strlen(types[i])))
			return strchr(line, ' ');
	return false;
}

int seed_read_keys(struct seed *seed, const char *path,
		   struct disk_error *error)
{
	unsigned int before = seed->keys;
	char *text, *rest, *line;
	size_t size;

	text = seed_read_file(path, &size, error);
	if (!text)
		return -1;
	if (strstr(text, "PRIVATE KEY-----")) {
		disk_error_set(error, -EINVAL, "%s: is a private key; give the "
			       "public one, %s.pub", path, path);
		free(text);
		return -1;
	}
	for (line = strtok_r(text, "\r\n", &rest); line;
	     line = strtok_r(NULL, "\r\n", &rest))
		if (is_key(line) && seed->keys < SEED_KEYS_MAX)
			seed->key[seed->keys++] = strdup(line);
	free(text);
	if (seed->keys > before)
		return 0;
	disk_error_set(error, -EINVAL, "%s: has no ssh public key", path);
	return -1;
}

void seed_free_keys(struct seed *seed)
{
	while (seed->keys)
		free((char *)seed->key[--seed->keys]);
}

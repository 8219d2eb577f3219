/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS headers; see crypt.h. libcryptsetup wants a file: it gets one in memory
 * with what the image has there, and what it changed is written back in an
 * order that leaves one sound header at every moment.
 */
#include "disk/crypt/crypt.h"

#include <errno.h>
#include <jansson.h>
#include <libcryptsetup.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk/crypt/cipher.h"
#include "disk/wire.h"
#include "disk/zeros.h"

#define BLOCK	   4096u
#define HEADER	   (16u << 20) /* as much as LUKS2 takes by default */
#define HEADER_MAX (160ull << 20)
#define VOLUME	   (1ull << 40) /* the copy's length: enough to be believed */
#define KEY_MAX	   128u
#define ARGON_KIB  (1u << 20) /* more memory than that is not given */
#define ARGON_WORK (64ull << 20) /* KiB that are gone through, all rounds */
#define ROUNDS_MAX 100000000u	 /* of a hash: half a minute or so */
#define LUKS1_ROUNDS 164	 /* place in its header */

struct disk_crypt {
	struct disk_node *file;
	uint64_t offset, header; /* bytes of the header and its key slots */
	struct crypt_device *device;
	int fd; /* the copy */
	struct disk_cipher *cipher; /* NULL: sealed */
	char key[KEY_MAX]; /* the volume's */
	size_t key_size;
	int slot; /* of the passphrase that unlocked it */
	char said[200]; /* the library's last words */
};

/* The library's state is one for the process. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

static void note(int level, const char *text, void *ctx)
{
	struct disk_crypt *crypt = ctx;

	if (level == CRYPT_LOG_ERROR)
		snprintf(crypt->said, sizeof(crypt->said), "%.*s",
			 (int)strcspn(text, "\n"), text);
}

static int fail(struct disk_crypt *crypt, int result, const char *what,
		struct disk_error *error)
{
	if (result == -EPERM)
		return disk_error_set(error, -EACCES, "the secret is none of "
				      "its passphrases; give the file of one "
				      "of them");
	return disk_error_set(error, result, "%s: %s", what,
			      *crypt->said ? crypt->said : strerror(-result));
}

/* --- the copy --------------------------------------------------------------- */

/* Copies bytes [from, end) of the header into memory; zeros are there. */
static int load(struct disk_crypt *crypt, uint64_t from, uint64_t end)
{
	uint64_t size = crypt->file->size - crypt->offset;
	uint8_t block[BLOCK];

	for (; from < end && from < size; from += BLOCK) {
		size_t part = size - from < BLOCK ? size - from : BLOCK;
		int error = disk_read_bytes(crypt->file, crypt->offset + from,
					    block, part);

		if (error)
			return error;
		if (!disk_all_zeros(block, part) &&
		    pwrite(crypt->fd, block, part, (off_t)from) !=
			    (ssize_t)part)
			return -EIO;
	}
	return 0;
}

/* Writes back what differs in [from, end). */
static int store(struct disk_crypt *crypt, uint64_t from, uint64_t end)
{
	uint64_t size = crypt->file->size;
	uint8_t old[BLOCK], now[BLOCK];

	for (; from < end; from += BLOCK) {
		uint64_t at = crypt->offset + from;
		int error = 0;

		memset(old, 0, BLOCK);
		if (pread(crypt->fd, now, BLOCK, (off_t)from) < 0)
			return -errno;
		if (at < size)
			error = disk_read_bytes(crypt->file, at, old,
						size - at < BLOCK ? size - at
								  : BLOCK);
		if (!error && memcmp(old, now, BLOCK))
			error = disk_write_bytes(crypt->file, at, now, BLOCK);
		if (error)
			return error;
	}
	return disk_flush(crypt->file);
}

/*
 * The headers' and the key slots' turn: what a header names must be there
 * before it, and is wiped only behind it. LUKS2 has two headers; both are
 * rewritten, the second one first.
 */
static int store_all(struct disk_crypt *crypt, bool adding)
{
	const uint64_t second = crypt_get_type(crypt->device) &&
						!strcmp(crypt_get_type(
								crypt->device),
							CRYPT_LUKS2)
					? 16384
					: BLOCK;
	const uint64_t slots = second == BLOCK ? BLOCK : 2 * second;
	int error = 0;

	if (adding)
		error = store(crypt, slots, crypt->header);
	if (!error && slots > second)
		error = store(crypt, second, slots);
	if (!error)
		error = store(crypt, 0, second);
	if (!error && !adding)
		error = store(crypt, slots, crypt->header);
	return error;
}

/* --- opening ---------------------------------------------------------------- */

static int init_device(struct disk_crypt *crypt, struct disk_error *error)
{
	char path[40];
	int result;

	crypt_free(crypt->device);
	crypt->device = NULL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", crypt->fd);
	crypt_metadata_locking(NULL, 0); /* nobody else has the copy */
	result = crypt_init(&crypt->device, path);
	if (result)
		return fail(crypt, result, "LUKS", error);
	crypt_set_log_callback(crypt->device, note, crypt);
	return 0;
}

static int begin(struct disk_crypt **made, struct disk_node *file,
		 uint64_t offset, struct disk_error *error)
{
	struct disk_crypt *crypt = calloc(1, sizeof(*crypt));
	int result = 0;

	*made = crypt;
	if (!crypt)
		return disk_error_set(error, -ENOMEM, "out of memory");
	crypt->file = file;
	crypt->offset = offset;
	crypt->fd = memfd_create("luks", MFD_CLOEXEC);
	if (crypt->fd < 0 || ftruncate(crypt->fd, (off_t)VOLUME))
		result = disk_error_set(error, -errno, "%s", strerror(errno));
	return result;
}

static int too_long(const char *what, struct disk_error *error)
{
	return disk_error_set(error, -EINVAL, "its LUKS header wants minutes "
			      "of work for %s; a damaged or hostile one", what);
}

/* How often the key is hashed to see that it is the right one. */
static uint64_t digest_rounds(struct disk_crypt *crypt)
{
	const char *text = NULL, *id;
	json_t *header, *digest;
	uint8_t number[4] = { 0 };
	uint64_t most = 0;

	if (!strcmp(crypt_get_type(crypt->device), CRYPT_LUKS1)) {
		if (pread(crypt->fd, number, sizeof(number), LUKS1_ROUNDS) < 0)
			return 0;
		return get_be32(number);
	}
	if (crypt_dump_json(crypt->device, &text, 0))
		return 0;
	header = json_loads(text, 0, NULL);
	json_object_foreach(json_object_get(header, "digests"), id, digest) {
		json_int_t rounds = json_integer_value(
			json_object_get(digest, "iterations"));

		if (rounds > 0 && (uint64_t)rounds > most)
			most = (uint64_t)rounds;
	}
	json_decref(header);
	return most;
}

static int check_slot(const struct crypt_pbkdf_type *pbkdf, int slot,
		      struct disk_error *error)
{
	char what[24];

	snprintf(what, sizeof(what), "key slot %d", slot);
	if (pbkdf->max_memory_kb > ARGON_KIB)
		return disk_error_set(error, -EINVAL, "%s wants %u MiB of "
				      "memory; the most is %u", what,
				      pbkdf->max_memory_kb >> 10,
				      ARGON_KIB >> 10);
	return pbkdf->iterations > ROUNDS_MAX ||
			       (uint64_t)pbkdf->iterations *
					       pbkdf->max_memory_kb >
				       ARGON_WORK
		       ? too_long(what, error)
		       : 0;
}

/* A hostile header could ask for all memory to derive one key, or for hours. */
static int check_work(struct disk_crypt *crypt, struct disk_error *error)
{
	int slots = crypt_keyslot_max(crypt_get_type(crypt->device));
	int result;

	if (digest_rounds(crypt) > ROUNDS_MAX)
		return too_long("its key", error);
	for (int i = 0; i < slots; i++) {
		struct crypt_pbkdf_type pbkdf = { 0 };

		if (crypt_keyslot_status(crypt->device, i) <
			    CRYPT_SLOT_ACTIVE ||
		    crypt_keyslot_get_pbkdf(crypt->device, i, &pbkdf))
			continue;
		result = check_slot(&pbkdf, i, error);
		if (result)
			return result;
	}
	return 0;
}

/* The volume key for sectors. */
static int take_key(struct disk_crypt *crypt, const struct disk_secret *secret,
		    struct disk_error *error)
{
	const char *mode = crypt_get_cipher_mode(crypt->device);
	int result;

	crypt->key_size = KEY_MAX;

	if (strcmp(crypt_get_cipher(crypt->device), "aes") ||
	    (strcmp(mode, "xts-plain64") && strcmp(mode, "xts-plain")))
		return disk_error_set(error, -ENOTSUP, "is encrypted by %s-%s; "
				      "only aes-xts-plain64 is known",
				      crypt_get_cipher(crypt->device), mode);
	result = crypt_volume_key_get(crypt->device, CRYPT_ANY_SLOT,
				      crypt->key, &crypt->key_size,
				      secret->data, secret->size);
	if (result < 0)
		return fail(crypt, result, "LUKS", error);
	crypt->slot = result;
	crypt->cipher = disk_cipher_create(
		crypt->key, crypt->key_size,
		(unsigned int)crypt_get_sector_size(crypt->device),
		!strcmp(mode, "xts-plain"));
	return crypt->cipher ? 0
			     : disk_error_set(error, -EINVAL, "has a key of "
					      "%zu bytes, which AES-XTS does "
					      "not know", crypt->key_size);
}

static int load_header(struct disk_crypt *crypt, uint64_t room,
		       struct disk_error *error)
{
	uint64_t end = room < HEADER ? room : HEADER;
	int result = load(crypt, 0, end);

	if (result)
		return disk_error_set(error, result, "reading: %s",
				      strerror(-result));
	result = init_device(crypt, error);
	if (result)
		return result;
	result = crypt_load(crypt->device, CRYPT_LUKS, NULL);
	if (result)
		return fail(crypt, -EINVAL, "its LUKS header is damaged",
			    error);
	crypt->header = crypt_get_data_offset(crypt->device) * 512;
	if (crypt->header > room || crypt->header > HEADER_MAX)
		return disk_error_set(error, -EINVAL, "its LUKS header of "
				      "%llu bytes is larger than the file",
				      (unsigned long long)crypt->header);
	result = load(crypt, end, crypt->header);
	return result ? disk_error_set(error, result, "reading: %s",
				       strerror(-result))
		      : check_work(crypt, error);
}

int disk_crypt_open(struct disk_crypt **crypt, struct disk_node *file,
		    uint64_t offset, uint64_t room,
		    const struct disk_secret *secret, bool sealed,
		    struct disk_error *error)
{
	int result;

	*crypt = NULL;
	if (!secret && !sealed)
		return disk_error_set(error, -EACCES, "is encrypted; name the "
				      "file of its passphrase: --secret FILE, "
				      "or secret=FILE of a disk");
	if (offset > file->size)
		return disk_error_set(error, -EINVAL, "has no LUKS header");
	pthread_mutex_lock(&library);
	result = begin(crypt, file, offset, error);
	if (!result)
		result = load_header(*crypt, room, error);
	if (!result && secret)
		result = take_key(*crypt, secret, error);
	pthread_mutex_unlock(&library);
	if (result) {
		disk_crypt_close(*crypt);
		*crypt = NULL;
	}
	return result;
}

/* --- making ----------------------------------------------------------------- */

static void choose_pbkdf(struct crypt_pbkdf_type *pbkdf,
			 const struct disk_crypt_make *make)
{
	const bool one = make->version == 1;

	*pbkdf = (struct crypt_pbkdf_type){
		.type = make->pbkdf ? make->pbkdf : one ? CRYPT_KDF_PBKDF2
							: CRYPT_KDF_ARGON2ID,
		.hash = make->hash ? make->hash : "sha256",
		.time_ms = 1000,
		.iterations = make->iterations,
	};
	if (make->iterations)
		pbkdf->flags = CRYPT_PBKDF_NO_BENCHMARK;
	if (!strcmp(pbkdf->type, CRYPT_KDF_PBKDF2))
		return;
	pbkdf->max_memory_kb = make->memory_kib ? make->memory_kib
						: ARGON_KIB / 4;
	pbkdf->parallel_threads = 4;
}

static int format(struct disk_crypt *crypt, const struct disk_crypt_make *make,
		  const struct disk_secret *secret, struct disk_error *error)
{
	const bool one = make->version == 1;
	struct crypt_pbkdf_type pbkdf;
	struct crypt_params_luks1 luks1 = { .hash = "sha256" };
	struct crypt_params_luks2 luks2 = {
		.sector_size = make->sector ? make->sector : 4096,
	};
	int result;

	choose_pbkdf(&pbkdf, make);
	luks1.hash = pbkdf.hash;
	luks2.pbkdf = &pbkdf;
	result = crypt_set_pbkdf_type(crypt->device, &pbkdf);
	if (!result)
		result = crypt_format(crypt->device,
				      one ? CRYPT_LUKS1 : CRYPT_LUKS2, "aes",
				      "xts-plain64", NULL, NULL,
				      make->key_bits ? make->key_bits / 8 : 64,
				      one ? (void *)&luks1 : (void *)&luks2);
	if (!result)
		result = crypt_keyslot_add_by_volume_key(
			crypt->device, CRYPT_ANY_SLOT, NULL, 0, secret->data,
			secret->size);
	return result < 0 ? fail(crypt, result, "LUKS", error) : 0;
}

int disk_crypt_create(struct disk_crypt **crypt, struct disk_node *file,
		      uint64_t offset, const struct disk_crypt_make *make,
		      const struct disk_secret *secret,
		      struct disk_error *error)
{
	int result;

	*crypt = NULL;
	if (!secret || !secret->size)
		return disk_error_set(error, -EINVAL, "needs a passphrase: "
				      "give its file by --secret");
	pthread_mutex_lock(&library);
	result = begin(crypt, file, offset, error);
	if (!result)
		result = init_device(*crypt, error);
	if (!result)
		result = format(*crypt, make, secret, error);
	if (!result) {
		(*crypt)->header =
			crypt_get_data_offset((*crypt)->device) * 512;
		result = store_all(*crypt, true);
		if (result)
			disk_error_set(error, result, "writing: %s",
				       strerror(-result));
	}
	if (!result)
		result = take_key(*crypt, secret, error);
	pthread_mutex_unlock(&library);
	if (result) {
		disk_crypt_close(*crypt);
		*crypt = NULL;
	}
	return result;
}

void disk_crypt_close(struct disk_crypt *crypt)
{
	if (!crypt)
		return;
	pthread_mutex_lock(&library);
	crypt_free(crypt->device);
	pthread_mutex_unlock(&library);
	disk_cipher_destroy(crypt->cipher);
	explicit_bzero(crypt->key, sizeof(crypt->key));
	if (crypt->fd >= 0)
		close(crypt->fd);
	free(crypt);
}

/* --- what it is ------------------------------------------------------------- */

uint64_t disk_crypt_payload(const struct disk_crypt *crypt)
{
	return crypt->header;
}

uint32_t disk_crypt_sector(const struct disk_crypt *crypt)
{
	return (uint32_t)crypt_get_sector_size(crypt->device);
}

int disk_crypt_encrypt(struct disk_crypt *crypt, uint64_t at, void *buf,
		       size_t size)
{
	return crypt->cipher
		       ? disk_cipher_run(crypt->cipher, true, at, buf, size)
		       : -EACCES;
}

int disk_crypt_decrypt(struct disk_crypt *crypt, uint64_t at, void *buf,
		       size_t size)
{
	return crypt->cipher
		       ? disk_cipher_run(crypt->cipher, false, at, buf, size)
		       : -EACCES;
}

json_t *disk_crypt_info(struct disk_crypt *crypt)
{
	json_t *slots = json_array();
	json_t *info;
	int max;

	pthread_mutex_lock(&library);
	max = crypt_keyslot_max(crypt_get_type(crypt->device));
	for (int i = 0; i < max; i++)
		if (crypt_keyslot_status(crypt->device, i) >=
		    CRYPT_SLOT_ACTIVE)
			json_array_append_new(slots, json_integer(i));
	info = json_pack("{ssss++sisiso}", "encryption",
			 crypt_get_type(crypt->device), "cipher",
			 crypt_get_cipher(crypt->device), "-",
			 crypt_get_cipher_mode(crypt->device), "key_bits",
			 crypt_get_volume_key_size(crypt->device) * 8,
			 "sector", (int)disk_crypt_sector(crypt), "key_slots",
			 slots);
	pthread_mutex_unlock(&library);
	return info;
}

/* --- passphrases ------------------------------------------------------------ */

/* The new one takes as much work as that which unlocked the volume. */
static int add_key(struct disk_crypt *crypt, const struct disk_secret *secret)
{
	struct crypt_pbkdf_type pbkdf = { 0 };
	int result = crypt_keyslot_get_pbkdf(crypt->device, crypt->slot,
					     &pbkdf);

	pbkdf.flags |= CRYPT_PBKDF_NO_BENCHMARK;
	if (!result)
		result = crypt_set_pbkdf_type(crypt->device, &pbkdf);
	if (!result)
		result = crypt_keyslot_add_by_volume_key(
			crypt->device, CRYPT_ANY_SLOT, crypt->key,
			crypt->key_size, secret->data, secret->size);

	return result < 0 ? result : store_all(crypt, true);
}

int disk_crypt_add_key(struct disk_crypt *crypt,
		       const struct disk_secret *secret,
		       struct disk_error *error)
{
	int result;

	if (!secret->size)
		return disk_error_set(error, -EINVAL,
				      "the new passphrase is empty");
	if (!crypt->cipher)
		return disk_error_set(error, -EACCES, "is sealed");
	pthread_mutex_lock(&library);
	result = add_key(crypt, secret);
	if (result)
		fail(crypt, result, "adding a passphrase", error);
	pthread_mutex_unlock(&library);
	return result;
}

static int remove_key(struct disk_crypt *crypt,
		      const struct disk_secret *secret,
		      struct disk_error *error)
{
	char key[KEY_MAX];
	size_t size = sizeof(key);
	int slot = crypt_volume_key_get(crypt->device, CRYPT_ANY_SLOT, key,
					&size, secret->data, secret->size);
	int result;

	explicit_bzero(key, sizeof(key));
	if (slot < 0)
		return fail(crypt, slot, "LUKS", error);
	if (crypt_keyslot_status(crypt->device, slot) == CRYPT_SLOT_ACTIVE_LAST)
		return disk_error_set(error, -EPERM, "that is its last "
				      "passphrase; add another one first");
	result = crypt_keyslot_destroy(crypt->device, slot);
	if (!result)
		result = store_all(crypt, false);
	return result ? fail(crypt, result, "removing a passphrase", error)
		      : 0;
}

int disk_crypt_remove_key(struct disk_crypt *crypt,
			  const struct disk_secret *secret,
			  struct disk_error *error)
{
	int result;

	pthread_mutex_lock(&library);
	result = remove_key(crypt, secret, error);
	pthread_mutex_unlock(&library);
	return result;
}

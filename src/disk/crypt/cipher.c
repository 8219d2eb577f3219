/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/crypt/cipher.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEEP 8 /* contexts of each direction that wait for the next request */

struct disk_cipher {
	const EVP_CIPHER *type;
	uint8_t key[64];
	uint32_t sector;
	bool short_numbers;
	pthread_mutex_t mutex; /* guards the rest */
	EVP_CIPHER_CTX *idle[2][KEEP];
	unsigned int idle_count[2];
};

struct disk_cipher *disk_cipher_create(const void *key, size_t size,
				       uint32_t sector, bool short_numbers)
{
	struct disk_cipher *cipher;

	if ((size != 32 && size != 64) || sector < 512 || sector > 4096 ||
	    sector & (sector - 1))
		return NULL;
	cipher = calloc(1, sizeof(*cipher));
	if (!cipher)
		return NULL;
	cipher->type = size == 64 ? EVP_aes_256_xts() : EVP_aes_128_xts();
	memcpy(cipher->key, key, size);
	cipher->sector = sector;
	cipher->short_numbers = short_numbers;
	pthread_mutex_init(&cipher->mutex, NULL);
	return cipher;
}

void disk_cipher_destroy(struct disk_cipher *cipher)
{
	if (!cipher)
		return;
	for (unsigned int way = 0; way < 2; way++)
		while (cipher->idle_count[way])
			EVP_CIPHER_CTX_free(
				cipher->idle[way][--cipher->idle_count[way]]);
	pthread_mutex_destroy(&cipher->mutex);
	explicit_bzero(cipher->key, sizeof(cipher->key));
	free(cipher);
}

/* A context with the key in it, for the caller alone. */
static EVP_CIPHER_CTX *take(struct disk_cipher *cipher, bool encrypt)
{
	EVP_CIPHER_CTX *context = NULL;

	pthread_mutex_lock(&cipher->mutex);
	if (cipher->idle_count[encrypt])
		context = cipher->idle[encrypt][--cipher->idle_count[encrypt]];
	pthread_mutex_unlock(&cipher->mutex);
	if (context)
		return context;
	context = EVP_CIPHER_CTX_new();
	if (context && EVP_CipherInit_ex(context, cipher->type, NULL,
					 cipher->key, NULL, encrypt) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

static void give_back(struct disk_cipher *cipher, bool encrypt,
		      EVP_CIPHER_CTX *context)
{
	pthread_mutex_lock(&cipher->mutex);
	if (cipher->idle_count[encrypt] < KEEP) {
		cipher->idle[encrypt][cipher->idle_count[encrypt]++] = context;
		context = NULL;
	}
	pthread_mutex_unlock(&cipher->mutex);
	EVP_CIPHER_CTX_free(context);
}

int disk_cipher_run(struct disk_cipher *cipher, bool encrypt, uint64_t at,
		    void *buf, size_t size)
{
	EVP_CIPHER_CTX *context = take(cipher, encrypt);
	uint8_t *bytes = buf;
	bool good = true;

	if (!context)
		return -ENOMEM;
	for (; size && good; size -= cipher->sector) {
		uint64_t number = at / 512;
		uint8_t tweak[16] = { 0 };
		int done;

		if (cipher->short_numbers)
			number = (uint32_t)number;
		for (unsigned int i = 0; i < 8; i++)
			tweak[i] = (uint8_t)(number >> (8 * i));
		good = EVP_CipherInit_ex(context, NULL, NULL, NULL, tweak,
					 encrypt) == 1 &&
		       EVP_CipherUpdate(context, bytes, &done, bytes,
					(int)cipher->sector) == 1;
		bytes += cipher->sector;
		at += cipher->sector;
	}
	give_back(cipher, encrypt, context);
	return good ? 0 : -EIO;
}

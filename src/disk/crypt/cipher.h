/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk sectors by AES-XTS (IEEE 1619) with a sector's number, counted in
 * units of 512 bytes, as its tweak: dm-crypt's xts-plain64.
 */
#ifndef LODGE_DISK_CRYPT_CIPHER_H
#define LODGE_DISK_CRYPT_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_cipher;

/*
 * `size` of the key: 32 or 64 bytes. `sector`: 512, 1024, 2048 or 4096.
 * `short_numbers`: only 32 bits of them count (xts-plain). NULL: none of
 * these, or no memory.
 */
struct disk_cipher *disk_cipher_create(const void *key, size_t size,
				       uint32_t sector, bool short_numbers);

/* Forgets the key. NULL is fine. */
void disk_cipher_destroy(struct disk_cipher *cipher);

/* Whole sectors in place, from byte `at` on; any thread. -ENOMEM, -EIO. */
int disk_cipher_run(struct disk_cipher *cipher, bool encrypt, uint64_t at,
		    void *buf, size_t size);

#endif

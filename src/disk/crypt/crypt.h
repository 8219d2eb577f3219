/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS: a volume key under passphrases, and the sectors that it encrypts
 * (LUKS1 On-Disk Format 1.2.3, LUKS2 On-Disk Format 1.1.2). Headers are
 * libcryptsetup's work, done in memory on a copy; sectors are OpenSSL's:
 * AES-XTS with plain64 numbers. Formats put headers and sectors where they
 * want them.
 */
#ifndef LODGE_DISK_CRYPT_CRYPT_H
#define LODGE_DISK_CRYPT_CRYPT_H

#include "disk/node.h"

struct disk_crypt;

/* How a volume is to be made; zeros and NULLs: as is usual now. */
struct disk_crypt_make {
	unsigned int version;	  /* 1 or 2 (2) */
	unsigned int key_bits;	  /* 256 or 512: AES-128 or AES-256 (512) */
	unsigned int sector;	  /* 512 or 4096 (4096 of version 2) */
	const char *hash;	  /* (sha256) */
	const char *pbkdf;	  /* argon2id, argon2i or pbkdf2 */
	unsigned int iterations;  /* 0: as many as take about a second */
	unsigned int memory_kib;  /* of argon2 */
};

/*
 * Reads the header at byte `offset` of `file`, which has at most `room` bytes,
 * and unlocks it. -EACCES: `secret` is none of its passphrases, or missing:
 * then, `sealed`, the volume stays locked and the header can be looked at.
 */
int disk_crypt_open(struct disk_crypt **crypt, struct disk_node *file,
		    uint64_t offset, uint64_t room,
		    const struct disk_secret *secret, bool sealed,
		    struct disk_error *error);

/* Writes a new header with one passphrase at `offset` of `file`. */
int disk_crypt_create(struct disk_crypt **crypt, struct disk_node *file,
		      uint64_t offset, const struct disk_crypt_make *make,
		      const struct disk_secret *secret,
		      struct disk_error *error);

/* Forgets the key. NULL is fine. */
void disk_crypt_close(struct disk_crypt *crypt);

/* The same of what `how` says, version `version` unless it says another. */
int disk_crypt_take_options(const struct disk_create *how, unsigned int version,
			    struct disk_crypt_make *make,
			    struct disk_error *error);

/* Bytes from the header's first to the volume's first. */
uint64_t disk_crypt_payload(const struct disk_crypt *crypt);

/* Bytes that are encrypted as one: 512 to 4096. */
uint32_t disk_crypt_sector(const struct disk_crypt *crypt);

/* Whole sectors in place; `at` is the volume's byte that `buf` begins with.
 * Any number of threads. -ENOMEM, -EACCES: sealed. */
int disk_crypt_encrypt(struct disk_crypt *crypt, uint64_t at, void *buf,
		       size_t size);
int disk_crypt_decrypt(struct disk_crypt *crypt, uint64_t at, void *buf,
		       size_t size);

/*
 * Bytes [offset, offset + length) of what lies encrypted in `in` from byte
 * `base` on; sectors are numbered from there. What is behind the end of `in`
 * reads as zeros. Who writes has the sectors around the range alone.
 */
int disk_crypt_read(struct disk_crypt *crypt, struct disk_node *in,
		    uint64_t base, uint64_t offset, uint64_t length,
		    struct disk_vec to);
int disk_crypt_write(struct disk_crypt *crypt, struct disk_node *in,
		     uint64_t base, uint64_t offset, uint64_t length,
		     struct disk_vec from);

/* Adds a passphrase, or takes one away, but never the last; on the file. */
int disk_crypt_add_key(struct disk_crypt *crypt,
		       const struct disk_secret *secret,
		       struct disk_error *error);
int disk_crypt_remove_key(struct disk_crypt *crypt,
			  const struct disk_secret *secret,
			  struct disk_error *error);

/* Version, cipher, sector and key slots, as in `lodge disk info`. */
json_t *disk_crypt_info(struct disk_crypt *crypt);

/* The functions above, for formats that are not in the extension. */
struct disk_crypt_calls {
	int (*open)(struct disk_crypt **crypt, struct disk_node *file,
		    uint64_t offset, uint64_t room,
		    const struct disk_secret *secret, bool sealed,
		    struct disk_error *error);
	int (*create)(struct disk_crypt **crypt, struct disk_node *file,
		      uint64_t offset, const struct disk_crypt_make *make,
		      const struct disk_secret *secret,
		      struct disk_error *error);
	void (*close)(struct disk_crypt *crypt);
	uint64_t (*payload)(const struct disk_crypt *crypt);
	uint32_t (*sector)(const struct disk_crypt *crypt);
	int (*read)(struct disk_crypt *crypt, struct disk_node *in,
		    uint64_t base, uint64_t offset, uint64_t length,
		    struct disk_vec to);
	int (*write)(struct disk_crypt *crypt, struct disk_node *in,
		     uint64_t base, uint64_t offset, uint64_t length,
		     struct disk_vec from);
	int (*add_key)(struct disk_crypt *crypt,
		       const struct disk_secret *secret,
		       struct disk_error *error);
	int (*remove_key)(struct disk_crypt *crypt,
			  const struct disk_secret *secret,
			  struct disk_error *error);
	json_t *(*info)(struct disk_crypt *crypt);
};

extern const struct disk_crypt_calls disk_crypt_calls;

/* Loads the extension; NULL with `error` (luks.c). */
const struct disk_crypt_calls *disk_crypt_load(struct disk_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's tables, kept in memory as far as they are in use: a bounded cache
 * of pages of its file. What is written to it stays there until a flush, which
 * puts the guest's data on the disk first and the tables behind it. So an
 * entry that a crash leaves on the disk always points at what was written.
 *
 * Pages keep track of sectors: what lies beside the tables is never written
 * back. Room of the file that becomes a table is first written whole.
 * Any thread may call anything between init and fini.
 */
#ifndef LODGE_DISK_META_H
#define LODGE_DISK_META_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct disk_node;

#define META_PAGE   4096u
#define META_SECTOR 512u
#define META_PAGES  2048u /* 8 MiB at most */
#define META_HASH   1024u

struct disk_meta_page {
	uint64_t offset; /* in the file, a multiple of META_PAGE */
	struct disk_meta_page *next; /* of the same hash */
	bool hashed;	/* has the file's bytes */
	bool used;	/* since the hand last came by */
	uint8_t dirty;	/* sectors that the file does not have yet */
	uint8_t bytes[META_PAGE];
};

struct disk_meta {
	struct disk_node *file;
	pthread_mutex_t mutex;
	struct disk_meta_page *hash[META_HASH];
	struct disk_meta_page *page[META_PAGES];
	unsigned int limit, pages, hand;
	unsigned int dirty, dirty_limit; /* pages; so many are written out */
	uint64_t stable; /* the file's size that the last flush kept */
	/*
	 * Called with the dirty pages, in the file's order, when the data is
	 * on the disk and before they are written: a format's log. May be
	 * NULL; must not call the cache.
	 */
	int (*log)(void *ctx, struct disk_meta_page *const *page,
		   unsigned int count);
	void *ctx;
};

void disk_meta_init(struct disk_meta *meta, struct disk_node *file);
/* For one cache of so many in an image: their memory together is bounded. */
void disk_meta_share(struct disk_meta *meta, unsigned int caches);
void disk_meta_fini(struct disk_meta *meta); /* what is dirty is lost */

/* Bytes behind the file's end are zeros. `flags`: DISK_NOWAIT. */
int disk_meta_read(struct disk_meta *meta, uint64_t offset, void *buf,
		   size_t size, unsigned int flags);
int disk_meta_write(struct disk_meta *meta, uint64_t offset, const void *buf,
		    size_t size);

/* Data, then tables; all of it is on the disk then. */
int disk_meta_flush(struct disk_meta *meta);

#endif

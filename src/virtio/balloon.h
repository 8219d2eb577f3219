/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory balloon (virtio 1.2, 5.5): the guest's unused pages go back to the
 * host, when asked for (the balloon) and by the guest's own reports.
 */
#ifndef LODGE_VIRTIO_BALLOON_H
#define LODGE_VIRTIO_BALLOON_H

#include "virtio/pci.h"

#define VIRTIO_BALLOON_STATS 10 /* tags of 5.5.6.4, from 0 on */

/* What a guest tells of itself; `known` has a bit for each tag that it gave. */
struct virtio_balloon_stats {
	uint32_t known;
	uint64_t value[VIRTIO_BALLOON_STATS];
	uint64_t at; /* VM time of their coming */
};

struct virtio_balloon_info {
	bool driver;	  /* the guest has one, running */
	uint64_t target;  /* bytes that the balloon is to have */
	uint64_t actual;  /* bytes that it has, as the guest says */
	bool stats_asked; /* new ones are on their way */
	struct virtio_balloon_stats stats;
};

struct virtio_balloon {
	struct virtio_device virtio;
	struct virtio_pci pci;
	struct virtio_buffer buffer[5]; /* of each queue, under its lock */
	_Atomic bool held;     /* quiesced */
	_Atomic bool poisoned; /* free pages hold something else than zeros */

	/* The statistics queue's lock. */
	void (*stats_came)(void *ctx);
	void *stats_ctx;
	bool stats_wanted; /* ask as soon as the driver has a buffer there */
	bool stats_asked;  /* it has its buffer back, to fill */
	struct virtio_balloon_stats stats;
};

extern const struct device_class virtio_balloon_class;

/* Then pci_attach() puts balloon->pci.pci on a bus. */
int virtio_balloon_init(struct virtio_balloon *balloon, struct vm *vm);

/* --- from the outside; any thread, no lock held ------------------------------- */

/* What the balloon is to have, in bytes; a driver gets there by and by. */
void virtio_balloon_set_target(struct virtio_balloon *balloon,
			       uint64_t bytes);

/*
 * Whom to tell that statistics have come: any thread, with locks held. NULL:
 * nobody, from the return of this on.
 */
void virtio_balloon_on_stats(struct virtio_balloon *balloon,
			     void (*came)(void *ctx), void *ctx);

/*
 * Asks the guest for statistics. False: there is no driver that gives any.
 */
bool virtio_balloon_ask(struct virtio_balloon *balloon);

void virtio_balloon_get(struct virtio_balloon *balloon,
			struct virtio_balloon_info *info);

#endif

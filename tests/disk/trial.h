/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image under random changes, and the model of what it must hold. Images
 * of all formats that lodge writes, in shapes chosen at random.
 */
#ifndef LODGE_DISK_TRIAL_H
#define LODGE_DISK_TRIAL_H

#include "model.h"

#define TRIAL_MOMENTS 3u /* snapshots at once */
#define TRIAL_OPTIONS 8u
#define TRIAL_PASSPHRASE "swordfish" /* of those that have one */

/* A format or a variant of one. */
struct trial_kind {
	const char *name;
	const char *format;
	const char *options[6]; /* "name=value" */
	const char *backing;	/* format of the image it stands on */
	const char *qemu;	/* format as qemu-img calls it; NULL: unknown
				 * to it */
	bool chance;	/* the rest of its options is chosen at random */
	bool snapshots; /* has them, and compressed clusters */
	bool encrypted;
	bool under;	/* ... as a whole file */
	bool noisy;	/* what was never written reads as anything */
	bool late;	/* some of its tables are mended when it is opened for
			 * writing only: qemu-img sees it after that */
	uint32_t unit;	/* sizes are multiples of it */
	uint32_t least, most; /* KiB of a disk */
};

extern const struct trial_kind trial_kinds[];
extern const unsigned int trial_kind_count;

/* Whether this program was built with LUKS. */
extern const bool trial_has_luks;

/* What a snapshot holds. */
struct trial_moment {
	uint64_t sectors;
	uint32_t *stamp;
};

struct trial {
	const struct trial_kind *kind;
	uint64_t seed;
	const char *folder;
	char path[128]; /* of the image */
	char option[TRIAL_OPTIONS][32];
	const char *options[TRIAL_OPTIONS];
	unsigned int option_count;
	uint64_t size, base_size;
	struct trial_moment moment[TRIAL_MOMENTS];
	struct model *model; /* others may see it: another process */
	struct disk_node *image;
	_Atomic bool failed;
	_Atomic bool stop; /* ends trial_work() */
};

/* Chooses a shape by `seed`, which random_state becomes. */
void trial_init(struct trial *trial, const struct trial_kind *kind,
		const char *folder, uint64_t seed);
void trial_fini(struct trial *trial);

/* Makes the image, and what it stands on. False: tells stderr. */
bool trial_create(struct trial *trial);

/* Opens it, writable; NULL: tells stderr. */
struct disk_node *trial_open(const struct trial *trial);

/* What was chosen, to stderr. */
void trial_print(const struct trial *trial);

/* Nothing is wrong but leaks; none of those either when `exact`. */
bool trial_is_sound(struct disk_node *image, bool exact);

/*
 * Changes the image for a while: by threads, then in large, then snapshots
 * and its size. Sets trial->failed when something is not as it must be.
 */
void trial_work(struct trial *trial);

/* Closes and opens it again; it must be sound. */
void trial_reopen(struct trial *trial);

#endif

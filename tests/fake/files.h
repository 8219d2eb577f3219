/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fake disks in the place of the host's files, for images of several files: a
 * program that is built with files.c opens and makes its images on them
 * (disk_open(), disk_create() as ever). The power goes for all at once.
 *
 * Each has an empty file of its name on the host, so that paths are found; no
 * locks. Programs call fake_files_use() for each thread that opens images.
 */
#ifndef LODGE_FAKE_FILES_H
#define LODGE_FAKE_FILES_H

#include "fake/disk.h"

struct fake_files;

/* No files yet; they will lie in `folder`, which is there and stays. */
struct fake_files *fake_files_create(const char *folder);

/* Forgets the disks, and with `names` the host's empty files, too. */
void fake_files_free(struct fake_files *files, bool names);

/* What this thread opens and makes is one of these. */
void fake_files_use(struct fake_files *files);

/* As struct fake_disk has them, of all disks and those to come; it may call
 * fake_files_cut(). */
void fake_files_watch(struct fake_files *files,
		      void (*before)(struct fake_disk *disk,
				     unsigned int kind, void *ctx),
		      void *ctx);

/* All that was written is flushed. */
void fake_files_flush(struct fake_files *files);

/* What is left when the power goes; see fake_disk_cut(). Each file has a part
 * of its own of what was not flushed. */
struct fake_files *fake_files_cut(struct fake_files *files, uint64_t seed);

/* Writes them to the host's folder `folder` by their names. */
void fake_files_save(struct fake_files *files, const char *folder);

#endif

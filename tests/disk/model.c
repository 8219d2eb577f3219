/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vm/host.h"

#define PART 128u /* sectors compared at once */

struct model *model_create(uint64_t size, uint64_t most)
{
	uint64_t records = most / MODEL_SECTOR;
	size_t room = sizeof(struct model) +
		      records * sizeof(struct model_sector);
	struct model *model = mmap(NULL, room, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	bug_on(model == MAP_FAILED);
	model->sectors = size / MODEL_SECTOR;
	model->room = room;
	return model;
}

void model_free(struct model *model)
{
	munmap(model, model->room);
}

void model_begin(struct model *model, uint64_t sector, uint32_t stamp)
{
	struct model_sector *s = &model->sector[sector];
	unsigned int n = s->changes;

	if (n < MODEL_HISTORY)
		s->since[n] = stamp;
	s->changes = n + 1;
	s->now = stamp;
}

void model_flushed(struct model *model, uint64_t sector)
{
	struct model_sector *s = &model->sector[sector];

	s->flushed = (uint32_t)s->now;
	s->changes = 0;
}

void model_fill(uint8_t *bytes, uint64_t sector, uint32_t stamp)
{
	uint64_t word = stamp ? sector << 32 | stamp : 0;

	for (unsigned int i = 0; i < MODEL_SECTOR; i += 8)
		memcpy(bytes + i, &word, 8);
}

bool model_stamp(const uint8_t *bytes, uint64_t sector, uint32_t *stamp)
{
	uint64_t word;

	memcpy(&word, bytes, 8);
	if (memcmp(bytes, bytes + 8, MODEL_SECTOR - 8) ||
	    (word && word >> 32 != sector))
		return false;
	*stamp = (uint32_t)word;
	return true;
}

static bool may_be(const struct model_sector *s, uint32_t stamp,
		   bool after_loss)
{
	unsigned int n = s->changes;

	if (!after_loss)
		return stamp == s->now;
	if (stamp == s->flushed || n > MODEL_HISTORY)
		return true;
	for (unsigned int i = 0; i < n; i++)
		if (s->since[i] == stamp)
			return true;
	return false;
}

static bool differs(const struct model *model, uint64_t sector,
		    const uint8_t *bytes)
{
	const struct model_sector *s = &model->sector[sector];
	uint64_t word;

	memcpy(&word, bytes, 8);
	fprintf(stderr, "sector %" PRIu64 ": %#" PRIx64 ", but flushed was %#"
		PRIx32 ", last written %#" PRIx32 ", %u changes since\n",
		sector, word, (uint32_t)s->flushed, (uint32_t)s->now,
		(unsigned int)s->changes);
	return false;
}

bool model_check(const struct model *model, uint64_t first, uint64_t count,
		 const uint8_t *bytes, bool after_loss)
{
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *at = bytes + i * MODEL_SECTOR;
		uint32_t stamp;

		if (!model_stamp(at, first + i, &stamp) ||
		    !may_be(&model->sector[first + i], stamp, after_loss))
			return differs(model, first + i, at);
	}
	return true;
}

bool model_compare(const struct model *model, struct disk_node *disk,
		   uint64_t first, uint64_t count, bool after_loss)
{
	uint8_t bytes[PART * MODEL_SECTOR];

	while (count) {
		uint64_t part = count < PART ? count : PART;
		int error = disk_read_bytes(disk, first * MODEL_SECTOR, bytes,
					    part * MODEL_SECTOR);

		if (error) {
			fprintf(stderr, "reading: %s\n", strerror(-error));
			return false;
		}
		if (!model_check(model, first, part, bytes, after_loss))
			return false;
		first += part;
		count -= part;
	}
	return true;
}

bool model_reread(struct model *model, struct disk_node *disk)
{
	uint8_t bytes[MODEL_SECTOR];

	model->sectors = disk->size / MODEL_SECTOR;
	for (uint64_t i = 0; i < model->sectors; i++) {
		uint32_t stamp;

		if (disk_read_bytes(disk, i * MODEL_SECTOR, bytes,
				    MODEL_SECTOR) ||
		    !model_stamp(bytes, i, &stamp))
			return false;
		model_begin(model, i, stamp);
	}
	return true;
}

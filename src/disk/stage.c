/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/stage.h"

#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (2u << 20)

void disk_stage_init(struct disk_stage *stage)
{
	memset(stage, 0, sizeof(*stage));
	pthread_mutex_init(&stage->lock, NULL);
}

void disk_stage_fini(struct disk_stage *stage)
{
	if (stage->memory)
		munmap(stage->memory, DISK_STAGE_SLOTS * DISK_STAGE_MAX);
	pthread_mutex_destroy(&stage->lock);
}

/* One huge page more is mapped, and what is around it unmapped. */
void *disk_stage_map(size_t size)
{
	char *at = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (at == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)at & (HUGE_PAGE - 1);
	if (before)
		munmap(at, before);
	munmap(at + before + size, HUGE_PAGE - before);
	madvise(at + before, size, MADV_HUGEPAGE);
	return at + before;
}

static struct disk_stage_slot *find(struct disk_stage *stage,
				    const struct disk_io *io)
{
	for (unsigned int i = 0; i < DISK_STAGE_SLOTS; i++)
		if (stage->slot[i].io == io)
			return &stage->slot[i];
	return NULL;
}

static struct disk_stage_slot *take(struct disk_stage *stage,
				    struct disk_io *io)
{
	struct disk_stage_slot *slot;
	char *memory;

	pthread_mutex_lock(&stage->lock);
	if (!stage->memory)
		stage->memory = disk_stage_map(DISK_STAGE_SLOTS * DISK_STAGE_MAX);
	memory = stage->memory;
	slot = memory ? find(stage, NULL) : NULL;
	if (slot) {
		slot->io = io;
		slot->span.data = memory + (slot - stage->slot) *
						   (size_t)DISK_STAGE_MAX;
	}
	pthread_mutex_unlock(&stage->lock);
	return slot;
}

bool disk_stage_enter(struct disk_stage *stage, struct disk_io *io)
{
	struct disk_stage_slot *slot;

	if (io->length < DISK_STAGE_MIN || io->length > DISK_STAGE_MAX)
		return false;
	slot = take(stage, io);
	if (!slot)
		return false;
	slot->vec = io->vec;
	slot->span.size = io->length;
	if (io->write)
		disk_vec_gather(slot->span.data, io->vec, io->length);
	io->vec = (struct disk_vec){ .span = &slot->span, .spans = 1 };
	return true;
}

void disk_stage_leave(struct disk_stage *stage, struct disk_io *io)
{
	struct disk_stage_slot *slot;

	pthread_mutex_lock(&stage->lock);
	slot = find(stage, io);
	pthread_mutex_unlock(&stage->lock);
	if (!slot)
		return;
	io->vec = slot->vec;
	if (!io->write && !io->error)
		disk_vec_fill(io->vec, slot->span.data, io->length);
	pthread_mutex_lock(&stage->lock);
	slot->io = NULL;
	pthread_mutex_unlock(&stage->lock);
}

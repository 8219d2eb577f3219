/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest has open; see handle.h.
 */
#include "share/server/handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM_MIN 64u

static int grow(struct handles *h)
{
	uint32_t room = h->room ? 2 * h->room : ROOM_MIN;
	struct handle **more = realloc(h->handle,
				       room * sizeof(struct handle *));

	if (!more)
		return -ENOMEM;
	memset(more + h->room, 0, (room - h->room) * sizeof(struct handle *));
	h->handle = more;
	h->room = room;
	return 0;
}

static int add(struct handles *h, struct handle *handle)
{
	if (h->count == h->max)
		return -ENFILE;
	if (2 * h->count + 2 > h->room && grow(h))
		return -ENOMEM;
	while (h->handle[h->free])
		h->free = (h->free + 1) % h->room;
	/* Never 0, which guests take for none. */
	handle->id = (uint64_t)++h->uses << 32 | h->free;
	h->handle[h->free] = handle;
	h->count++;
	return 0;
}

int handle_add(struct handles *h, int fd, bool folder, uint64_t *id)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int rc = -ENOMEM;

	pthread_mutex_lock(&h->mutex);
	if (handle)
		rc = add(h, handle);
	if (!rc) {
		pthread_mutex_init(&handle->mutex, NULL);
		handle->fd = fd;
		handle->folder = folder;
		handle->users = 1;
		handle->open = true;
		*id = handle->id;
	}
	pthread_mutex_unlock(&h->mutex);
	if (rc) {
		free(handle);
		close(fd);
	}
	return rc;
}

static struct handle *by_id(const struct handles *h, uint64_t id)
{
	uint32_t at = (uint32_t)id;
	struct handle *handle = at < h->room ? h->handle[at] : NULL;

	return handle && handle->id == id && handle->open ? handle : NULL;
}

int handle_use(struct handles *h, uint64_t id, bool folder,
	       struct handle **handle)
{
	pthread_mutex_lock(&h->mutex);
	*handle = by_id(h, id);
	if (*handle && (*handle)->folder != folder)
		*handle = NULL;
	if (*handle)
		(*handle)->users++;
	pthread_mutex_unlock(&h->mutex);
	return *handle ? 0 : -EBADF;
}

/* Held: the lock. True: it is the caller's to end. */
static bool drop(struct handles *h, struct handle *handle)
{
	if (--handle->users)
		return false;
	h->handle[(uint32_t)handle->id] = NULL;
	h->count--;
	return true;
}

static void end(struct handle *handle)
{
	close(handle->fd);
	pthread_mutex_destroy(&handle->mutex);
	free(handle);
}

void handle_done(struct handles *h, struct handle *handle)
{
	bool last;

	pthread_mutex_lock(&h->mutex);
	last = drop(h, handle);
	pthread_mutex_unlock(&h->mutex);
	if (last)
		end(handle);
}

void handle_close(struct handles *h, uint64_t id)
{
	struct handle *handle;
	bool last = false;

	pthread_mutex_lock(&h->mutex);
	handle = by_id(h, id);
	if (handle) {
		handle->open = false;
		last = drop(h, handle);
	}
	pthread_mutex_unlock(&h->mutex);
	if (last)
		end(handle);
}

void handles_init(struct handles *h, unsigned int max)
{
	*h = (struct handles){ .max = max };
	pthread_mutex_init(&h->mutex, NULL);
}

void handles_reset(struct handles *h)
{
	for (uint32_t i = 0; i < h->room; i++)
		if (h->handle[i])
			handle_close(h, h->handle[i]->id);
}

void handles_fini(struct handles *h)
{
	handles_reset(h);
	free(h->handle);
	pthread_mutex_destroy(&h->mutex);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge-share: the process that serves one folder to one machine, which starts
 * it (share/start.c). It ends when the machine does.
 *
 * usage: lodge-share ro|rw NANOSECONDS CPUS FOLDER
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/linux/thread.h"
#include "share/channel.h"
#include "share/server/sandbox.h"
#include "share/server/server.h"
#include "vm/share.h"

#define THREADS_MIN 2u
#define THREADS_MAX 8u

struct service {
	struct channel *channel;
	struct server server;
	unsigned int cpus;
	struct thread thread[THREADS_MAX];
};

/* A request that is this thread's now; CHANNEL_SLOTS: there is none. */
static unsigned int take(struct channel *channel)
{
	for (unsigned int i = 0; i < CHANNEL_SLOTS; i++) {
		uint32_t sent = CHANNEL_SENT;

		if (atomic_load_explicit(&channel->slot[i].state,
					 memory_order_relaxed) ==
			    CHANNEL_SENT &&
		    atomic_compare_exchange_strong(&channel->slot[i].state,
						   &sent, CHANNEL_TAKEN))
			return i;
	}
	return CHANNEL_SLOTS;
}

static void serve(struct service *service, unsigned int i)
{
	struct channel *channel = service->channel;
	struct channel_slot *slot = &channel->slot[i];
	uint32_t size = slot->out_size, room = slot->in_room;
	uint32_t at = channel_answer_at(size);

	slot->in_size = 0;
	if (size >= SHARE_HEAD && size <= CHANNEL_OUT_MAX &&
	    room <= CHANNEL_SLOT - at)
		slot->in_size = server_answer(&service->server,
					      channel->data[i], size,
					      channel->data[i] + at, room);
	atomic_store(&slot->state, CHANNEL_DONE);
	if (!atomic_load(&slot->looked_at))
		channel_tell(&channel->machine);
}

static bool no_request(void *ctx)
{
	struct service *service = ctx;

	for (unsigned int i = 0; i < CHANNEL_SLOTS; i++)
		if (atomic_load(&service->channel->slot[i].state) ==
		    CHANNEL_SENT)
			return false;
	return true;
}

static void work(void *ctx)
{
	struct service *service = ctx;
	struct channel_side *side = &service->channel->server;
	struct channel_wait wait = { .busy = service->cpus };

	for (;;) {
		unsigned int i = take(service->channel);

		if (i == CHANNEL_SLOTS) {
			channel_sleep(side, &wait, no_request, service);
			continue;
		}
		if (atomic_fetch_sub(&side->waiting, 1) > 1)
			channel_call(side);
		serve(service, i);
	}
}

static int start(struct service *service, bool readonly, uint64_t believe,
		 const char **what)
{
	struct server_config config = {
		.folder = CHANNEL_FD_FOLDER,
		.readonly = readonly,
		.believe = believe,
		.descriptors = sandbox_descriptors(),
	};
	unsigned int threads = service->cpus + 1;
	int rc;

	umask(0);
	*what = "memory";
	service->channel = mmap(NULL, sizeof(*service->channel),
				PROT_READ | PROT_WRITE, MAP_SHARED,
				CHANNEL_FD_MEMORY, 0);
	if (service->channel == MAP_FAILED)
		return -errno;
	close(CHANNEL_FD_MEMORY);
	close_range(CHANNEL_FD_LIFE + 1, ~0u, 0);
	*what = "folder";
	rc = server_init(&service->server, &config);
	if (rc)
		return rc;
	*what = "sandbox";
	rc = sandbox_enter(CHANNEL_FD_FOLDER, readonly);
	*what = "threads";
	if (threads < THREADS_MIN)
		threads = THREADS_MIN;
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	for (unsigned int i = 0; i < threads && !rc; i++)
		rc = thread_start(&service->thread[i], "share", work, service);
	return rc;
}

int main(int argc, char **argv)
{
	static struct service service;
	const char *what;
	char byte;
	int rc;

	if (argc != 5) {
		fprintf(stderr, "lodge-share: lodge starts it; see lodge help "
			"run\n");
		return 2;
	}
	service.cpus = (unsigned int)strtoul(argv[3], NULL, 10);
	rc = start(&service, !strcmp(argv[1], "ro"),
		   strtoull(argv[2], NULL, 10), &what);
	if (rc) {
		fprintf(stderr, "lodge: share %s: %s: %s\n", argv[4], what,
			strerror(-rc));
		return 1;
	}
	while (read(CHANNEL_FD_LIFE, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers by io_uring; see ring.h. Submitters push on a list and wake the
 * thread when it sleeps, by an eventfd that it reads through the ring. The
 * thread alone uses the ring, so it needs no lock, and completions interrupt
 * nobody else (IORING_SETUP_DEFER_TASKRUN, where the kernel has it). It makes
 * the ring, too: a processor's thread, which asks for it, must not
 * (host/linux/jail.h).
 *
 * Before it sleeps it looks for a while, if the last wait of the kind was
 * short: for a completion, or for a request when nothing is under way.
 */
#include "disk/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/linux/eager.h"
#include "host/linux/thread.h"
#include "vm/host.h"

#define ENTRIES 256

struct disk_ring {
	struct io_uring uring;
	struct thread thread;
	int fd, locked, wake;
	struct host_event opened;
	int result; /* of that */
	_Atomic(struct disk_io *) fresh; /* newest first */
	_Atomic bool asleep, end;

	/* The thread's. */
	bool armed; /* a read of `wake` is under way */
	uint64_t wakes;
	unsigned int busy; /* entries under way besides */
	struct disk_io *early; /* whose begun() is due */
	bool eager[2];	   /* in the next wait with nothing, something busy */
};

static void wake(struct disk_ring *ring)
{
	const uint64_t one = 1;
	ssize_t n;

	if (!atomic_exchange(&ring->asleep, false))
		return;
	n = write(ring->wake, &one, sizeof(one));
	(void)n; /* cannot fail: nobody counts to 2^64 */
}

void disk_ring_submit(struct disk_ring *ring, struct disk_io *io)
{
	io->next = atomic_load_explicit(&ring->fresh, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&ring->fresh, &io->next, io))
		;
	wake(ring);
}

/* --- the thread ------------------------------------------------------------- */

/* A free entry; makes room by submitting what is there. */
static struct io_uring_sqe *get_entry(struct disk_ring *ring)
{
	struct io_uring_sqe *entry;

	while (!(entry = io_uring_get_sqe(&ring->uring)))
		io_uring_submit(&ring->uring);
	return entry;
}

static void prepare(struct disk_ring *ring, struct disk_io *io)
{
	const struct iovec *iov = (const struct iovec *)io->vec.span;
	struct io_uring_sqe *entry = get_entry(ring);

	if (io->vec.spans == 1 && io->write)
		io_uring_prep_write(entry, ring->fd, iov->iov_base,
				    (unsigned int)io->length, io->offset);
	else if (io->vec.spans == 1)
		io_uring_prep_read(entry, ring->fd, iov->iov_base,
				   (unsigned int)io->length, io->offset);
	else if (io->write)
		io_uring_prep_writev(entry, ring->fd, iov, io->vec.spans,
				     io->offset);
	else
		io_uring_prep_readv(entry, ring->fd, iov, io->vec.spans,
				    io->offset);
	io_uring_sqe_set_data(entry, io);
	ring->busy++;
	if (!io->begun)
		return;
	entry->rw_flags = RWF_NOWAIT;
	io->next = ring->early;
	ring->early = io;
}

/* Takes what was pushed, oldest first. */
static void take_fresh(struct disk_ring *ring)
{
	struct disk_io *list = atomic_exchange(&ring->fresh, NULL);
	struct disk_io *first = NULL;

	while (list) {
		struct disk_io *next = list->next;

		list->next = first;
		first = list;
		list = next;
	}
	while (first) {
		struct disk_io *next = first->next;

		prepare(ring, first);
		first = next;
	}
}

/*
 * Submits, and tells of those that wish it and did not fail at once. What is
 * over stays there for take_completions(), so that none is another by then.
 */
static void begin_early(struct disk_ring *ring)
{
	struct io_uring_cqe *entry;
	struct disk_io *io;
	unsigned int head;

	io_uring_submit_and_get_events(&ring->uring);
	if (io_uring_sq_ready(&ring->uring))
		return; /* the kernel has no room: later */
	io_uring_for_each_cqe(&ring->uring, head, entry) {
		io = io_uring_cqe_get_data(entry);
		if (io)
			io->begun = NULL;
	}
	while ((io = ring->early)) {
		void (*begun)(struct disk_io *) = io->begun;

		ring->early = io->next;
		io->begun = NULL;
		if (begun)
			begun(io);
	}
}

/* Takes what was pushed; true: it has been submitted already. */
static bool take_all(struct disk_ring *ring)
{
	take_fresh(ring);
	if (!ring->early)
		return false;
	begin_early(ring);
	return true;
}

static void arm(struct disk_ring *ring)
{
	struct io_uring_sqe *entry;

	if (ring->armed)
		return;
	entry = get_entry(ring);
	io_uring_prep_read(entry, ring->wake, &ring->wakes,
			   sizeof(ring->wakes), 0);
	io_uring_sqe_set_data(entry, NULL);
	ring->armed = true;
}

static void complete(struct disk_io *io, int result)
{
	io->error = 0;
	if (result == -ECANCELED || result == -EINTR ||
	    (result >= 0 && (uint64_t)result != io->length))
		io->error = -EAGAIN;
	else if (result < 0)
		io->error = result;
	io->done(io);
}

static void take_completions(struct disk_ring *ring)
{
	struct io_uring_cqe *entry;

	while (!io_uring_peek_cqe(&ring->uring, &entry)) {
		struct disk_io *io = io_uring_cqe_get_data(entry);
		int result = entry->res;

		io_uring_cqe_seen(&ring->uring, entry);
		if (io) {
			ring->busy--;
			complete(io, result);
		} else {
			ring->armed = false;
		}
		/* What the guest asks for meanwhile is not to wait for us. */
		if (atomic_load_explicit(&ring->fresh, memory_order_relaxed)) {
			if (!take_all(ring))
				io_uring_submit(&ring->uring);
		}
	}
}

/* Looks for a while; true: there is something. */
static bool look(struct disk_ring *ring)
{
	uint64_t end = eager_now() + EAGER_LOOK_NS;
	struct io_uring_cqe *entry;

	do {
		for (int i = 0; i < EAGER_PAUSES; i++) {
			if (atomic_load_explicit(&ring->fresh,
						 memory_order_acquire) ||
			    !io_uring_peek_cqe(&ring->uring, &entry))
				return true;
			__builtin_ia32_pause();
		}
	} while (eager_now() < end);
	return false;
}

/* Sleeps until something is over or was pushed. */
static void sleep_until(struct disk_ring *ring)
{
	arm(ring);
	atomic_store(&ring->asleep, true);
	/* What was pushed before that may have woken nobody. */
	if (atomic_load(&ring->fresh) || atomic_load(&ring->end))
		atomic_store(&ring->asleep, false);
	else
		io_uring_submit_and_wait(&ring->uring, 1);
	atomic_store(&ring->asleep, false);
}

static void wait(struct disk_ring *ring)
{
	bool *eager = &ring->eager[ring->busy > 0];
	uint64_t start = eager_now();

	if (*eager)
		io_uring_submit(&ring->uring);
	if (!*eager || !look(ring))
		sleep_until(ring);
	*eager = eager_next(*eager, eager_now() - start, 0);
}

static int init_uring(struct disk_ring *ring)
{
	const unsigned int flags = IORING_SETUP_SINGLE_ISSUER |
				   IORING_SETUP_DEFER_TASKRUN |
				   IORING_SETUP_TASKRUN_FLAG;
	int result = io_uring_queue_init(ENTRIES, &ring->uring, flags);

	if (result == -EINVAL) /* before Linux 6.1 */
		result = io_uring_queue_init(ENTRIES, &ring->uring, 0);
	if (result)
		return result;
	result = io_uring_register_files(&ring->uring, &ring->locked, 1);
	if (result)
		io_uring_queue_exit(&ring->uring);
	return result;
}

static void serve(void *ctx)
{
	struct disk_ring *ring = ctx;
	int result = init_uring(ring);

	ring->result = result;
	host_event_set(&ring->opened);
	if (result)
		return;
	while (!atomic_load(&ring->end)) {
		take_all(ring);
		wait(ring);
		take_completions(ring);
	}
	/* Locks end with their last descriptor now, not when the kernel comes
	 * to it. */
	io_uring_unregister_files(&ring->uring);
	io_uring_queue_exit(&ring->uring);
}

/* --- the whole -------------------------------------------------------------- */

int disk_ring_open(struct disk_ring **out, int fd, int locked)
{
	struct disk_ring *ring = calloc(1, sizeof(*ring));
	int result;

	*out = NULL;
	if (!ring)
		return -ENOMEM;
	ring->fd = fd;
	ring->locked = locked;
	ring->wake = eventfd(0, EFD_CLOEXEC);
	if (ring->wake < 0) {
		result = -errno;
		goto no_event;
	}
	result = thread_start(&ring->thread, "disk-ring", serve, ring);
	if (result)
		goto no_thread;
	host_event_wait(&ring->opened, UINT64_MAX);
	if (!ring->result) {
		*out = ring;
		return 0;
	}
	result = ring->result;
	thread_join(&ring->thread);

no_thread:
	close(ring->wake);
no_event:
	free(ring);
	return result;
}

void disk_ring_close(struct disk_ring *ring)
{
	if (!ring)
		return;
	atomic_store(&ring->end, true);
	wake(ring);
	thread_join(&ring->thread);
	close(ring->wake);
	free(ring);
}

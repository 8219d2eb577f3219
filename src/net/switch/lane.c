/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/linux/eager.h"
#include "net/switch/wire.h"
#include "vm/host.h"

#define NS_PER_S 1000000000u

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static uint32_t room_of(uint32_t size)
{
	return ((uint32_t)sizeof(struct lane_record) + size + LANE_ALIGN - 1) &
	       ~(LANE_ALIGN - 1);
}

static uint8_t *at(const struct lane *ring, uint32_t position)
{
	return ring->bytes + (position & (ring->size - 1));
}

/* Bytes in the ring by the positions; more than its size: nonsense. */
static bool sane(struct lane *ring, uint32_t used)
{
	if (used > ring->size || used % LANE_ALIGN)
		ring->broken = true;
	return !ring->broken;
}

/* --- putting in ------------------------------------------------------------ */

uint8_t *lane_place(struct lane *ring, uint32_t size)
{
	uint32_t used = ring->own - atomic_load_explicit(&ring->shared->tail,
							 memory_order_acquire);

	if (ring->broken || !sane(ring, used) ||
	    room_of(size) > ring->size - used)
		return NULL;
	return at(ring, ring->own) + sizeof(struct lane_record);
}

void lane_put(struct lane *ring, const struct nic_frame *frame)
{
	const struct lane_record record = {
		.size = frame->size,
		.sum = (uint8_t)frame->sum,
		.cut = (uint8_t)frame->cut,
		.ecn = frame->ecn,
		.sum_start = frame->sum_start,
		.sum_offset = frame->sum_offset,
		.header = frame->header,
		.segment = frame->segment,
	};

	memcpy(at(ring, ring->own), &record, sizeof(record));
	ring->own += room_of(frame->size);
	atomic_store(&ring->shared->head, ring->own);
}

static void wake_watcher(struct lane *ring)
{
	syscall(SYS_futex, &ring->shared->asleep, FUTEX_WAKE, 1, NULL, NULL,
		0);
}

bool lane_wakes_reader(struct lane *ring)
{
	uint32_t was = atomic_load(&ring->shared->asleep);

	if (was)
		was = atomic_exchange(&ring->shared->asleep, LANE_AWAKE);
	if (was != LANE_WATCHED)
		return was;
	wake_watcher(ring);
	return false;
}

bool lane_drained(const struct lane *ring)
{
	return atomic_load(&ring->shared->tail) == ring->own;
}

bool lane_starve(struct lane *ring, uint32_t size)
{
	atomic_store(&ring->shared->starved, 1);
	return lane_place(ring, size);
}

void lane_wait_room(struct lane *ring, uint64_t ns)
{
	const struct timespec time = { (time_t)(ns / NS_PER_S),
				       (long)(ns % NS_PER_S) };

	syscall(SYS_futex, &ring->shared->starved, FUTEX_WAIT, 1, &time, NULL,
		0);
}

/* --- taking out ------------------------------------------------------------ */

static bool sum_fits(const struct lane_record *record)
{
	return (uint32_t)record->sum_start + record->sum_offset + 2 <=
	       record->size;
}

static bool fits(const struct lane_record *record)
{
	if (record->size < NIC_FRAME_MIN || record->size > NIC_FRAME_MAX ||
	    record->sum > NIC_SUM_OPEN || record->cut > NIC_CUT_TCP6 ||
	    record->ecn > 1)
		return false;
	if (record->sum == NIC_SUM_OPEN && !sum_fits(record))
		return false;
	return !record->cut ||
	       (record->sum == NIC_SUM_OPEN && record->segment &&
		record->header >= NIC_FRAME_MIN &&
		record->header < record->size);
}

enum lane_state lane_peek(struct lane *ring, struct nic_frame *frame,
			  const uint8_t **bytes)
{
	uint32_t used = atomic_load_explicit(&ring->shared->head,
					     memory_order_acquire) - ring->own;
	struct lane_record record;

	if (ring->broken || !sane(ring, used))
		return LANE_BROKEN;
	if (!used)
		return LANE_EMPTY;
	memcpy(&record, at(ring, ring->own), sizeof(record));
	/* The compiler must not look there again. */
	atomic_signal_fence(memory_order_seq_cst);
	if (!fits(&record) || room_of(record.size) > used) {
		ring->broken = true;
		return LANE_BROKEN;
	}
	*frame = (struct nic_frame){
		.size = record.size,
		.sum = (enum nic_sum)record.sum,
		.cut = (enum nic_cut)record.cut,
		.ecn = record.ecn,
		.sum_start = record.sum_start,
		.sum_offset = record.sum_offset,
		.header = record.header,
		.segment = record.segment,
	};
	*bytes = at(ring, ring->own) + sizeof(record);
	return LANE_FRAME;
}

void lane_take(struct lane *ring, uint32_t size)
{
	ring->own += room_of(size);
	atomic_store(&ring->shared->tail, ring->own);
}

bool lane_wakes_writer(struct lane *ring)
{
	uint32_t used;

	if (!atomic_load(&ring->shared->starved))
		return false;
	used = atomic_load(&ring->shared->head) - ring->own;
	return used <= ring->size / 2 &&
	       atomic_exchange(&ring->shared->starved, 0);
}

void lane_wakes_waiter(struct lane *ring)
{
	uint32_t used;

	if (!atomic_load(&ring->shared->starved))
		return;
	used = atomic_load(&ring->shared->head) - ring->own;
	if (used <= ring->size - ring->size / 8 &&
	    atomic_exchange(&ring->shared->starved, 0))
		syscall(SYS_futex, &ring->shared->starved, FUTEX_WAKE, INT_MAX,
			NULL, NULL, 0);
}

bool lane_more(const struct lane *ring)
{
	return atomic_load(&ring->shared->head) != ring->own;
}

bool lane_seems_more(const struct lane *ring)
{
	return atomic_load(&ring->shared->head) !=
	       atomic_load(&ring->shared->tail);
}

bool lane_sleep(struct lane *ring)
{
	atomic_store(&ring->shared->asleep, LANE_ASLEEP);
	return lane_more(ring);
}

/* Whether it was `from`. */
static bool change(struct lane *ring, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(&ring->shared->asleep, &from, to);
}

void lane_awake(struct lane *ring)
{
	change(ring, LANE_ASLEEP, LANE_AWAKE);
}

bool lane_look(const struct lane *ring, const _Atomic bool *end)
{
	const uint64_t until = eager_now() + EAGER_ANSWER_NS;

	do {
		if (lane_more(ring) || atomic_load(end))
			return true;
		host_yield();
	} while (eager_now() < until);
	return false;
}

void lane_wait(struct lane *ring, const _Atomic bool *end)
{
	atomic_store(&ring->shared->asleep, LANE_WATCHED);
	if (!lane_more(ring) && !atomic_load(end))
		syscall(SYS_futex, &ring->shared->asleep, FUTEX_WAIT,
			LANE_WATCHED, NULL, NULL, 0);
	atomic_store_explicit(&ring->shared->asleep, LANE_AWAKE,
			      memory_order_relaxed);
}

bool lane_watch(struct lane *ring)
{
	if (!change(ring, LANE_ASLEEP, LANE_WATCHED))
		return false;
	if (lane_more(ring))
		atomic_store(&ring->shared->asleep, LANE_AWAKE);
	return true;
}

bool lane_watch_again(struct lane *ring)
{
	atomic_store(&ring->shared->asleep, LANE_WATCHED);
	return !lane_more(ring);
}

bool lane_unwatch(struct lane *ring)
{
	return !change(ring, LANE_WATCHED, LANE_ASLEEP) || lane_more(ring);
}

void lane_hush(struct lane *ring)
{
	atomic_store(&ring->shared->asleep, LANE_AWAKE);
}

void lane_disturb(struct lane *ring)
{
	lane_hush(ring);
	wake_watcher(ring);
}

/* --- memory ------------------------------------------------------------------ */

int lane_memory(void)
{
	int fd = memfd_create("lodge-switch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, WIRE_SIZE) &&
	    !fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* `size` bytes of the file from `offset` on, twice in a row. */
static uint8_t *map_twice(int fd, uint32_t offset, uint32_t size)
{
	uint8_t *room = mmap(NULL, 2 * (size_t)size, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			     0);

	if (room == MAP_FAILED)
		return NULL;
	for (unsigned int i = 0; i < 2; i++) {
		if (mmap(room + i * (size_t)size, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED)
			continue;
		munmap(room, 2 * (size_t)size);
		return NULL;
	}
	return room;
}

static int map_ring(struct lane *ring, int fd, uint32_t offset, uint32_t size)
{
	ring->size = size;
	ring->bytes = map_twice(fd, offset, size);
	return ring->bytes ? 0 : -ENOMEM;
}

int lane_map(struct lane_pair *pair, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS), err;
	struct stat st;

	memset(pair, 0, sizeof(*pair));
	/* Memory that could shrink would end whoever reads it. */
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) ||
	    st.st_size != WIRE_SIZE)
		return -EINVAL;
	pair->page = mmap(NULL, WIRE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);
	if (pair->page == MAP_FAILED) {
		pair->page = NULL;
		return -ENOMEM;
	}
	pair->to_switch.shared = pair->page;
	pair->to_machine.shared =
		(void *)((uint8_t *)pair->page + WIRE_SECOND);
	err = map_ring(&pair->to_switch, fd, WIRE_PAGE, WIRE_TO_SWITCH);
	if (!err)
		err = map_ring(&pair->to_machine, fd,
			       WIRE_PAGE + WIRE_TO_SWITCH, WIRE_TO_MACHINE);
	if (err)
		lane_unmap(pair);
	return err;
}

void lane_unmap(struct lane_pair *pair)
{
	if (pair->to_switch.bytes)
		munmap(pair->to_switch.bytes, 2 * (size_t)WIRE_TO_SWITCH);
	if (pair->to_machine.bytes)
		munmap(pair->to_machine.bytes, 2 * (size_t)WIRE_TO_MACHINE);
	if (pair->page)
		munmap(pair->page, WIRE_PAGE);
	memset(pair, 0, sizeof(*pair));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing behind: a write is over when it is under way, whoever waits for it
 * finds it in the file, and one that fails is told to whom waits next. The ring
 * here does nothing by itself.
 */
#include "disk/behind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk/ring.h"
#include "fake/test.h"
#include "host/linux/thread.h"

#define PIECE  DISK_BEHIND_MIN
#define PIECES 8u

static struct disk_behind behind;
static struct disk_ranges ranges;
static struct disk_io *asked; /* of the ring, last */
static int fd;

/* --- the ring ---------------------------------------------------------------
 */

int disk_ring_open(struct disk_ring **ring, int on, int locked)
{
	*ring = NULL;
	return -ENOSYS;
}

void disk_ring_close(struct disk_ring *ring)
{
}

void disk_ring_submit(struct disk_ring *ring, struct disk_io *io)
{
	asked = io;
}

static struct disk_ring *const ring = (struct disk_ring *)&asked;

static void begins(struct disk_io *io)
{
	void (*begun)(struct disk_io *) = io->begun;

	io->begun = NULL;
	begun(io);
}

static void ends(struct disk_io *io, int error)
{
	if (!error)
		assert_int_equal(pwrite(fd, io->vec.span->data, io->length,
					(off_t)io->offset),
				 io->length);
	io->error = error;
	io->done(io);
}

/* --- who writes -------------------------------------------------------------
 */

struct write {
	struct disk_io io;
	struct span span[2];
	uint8_t *memory;
	bool over;
};

static void over(struct disk_io *io)
{
	((struct write *)io->leaf)->over = true;
}

/* In two parts, the second one first in memory. */
static struct write *new_write(unsigned int piece, uint8_t value)
{
	struct write *w = calloc(1, sizeof(*w));

	w->memory = malloc(PIECE);
	memset(w->memory + PIECE / 2, value, PIECE / 2);
	memset(w->memory, value + 1, PIECE / 2);
	w->span[0] = (struct span){ w->memory + PIECE / 2, PIECE / 2 };
	w->span[1] = (struct span){ w->memory, PIECE / 2 };
	w->io = (struct disk_io){ .write = true,
				  .offset = (uint64_t)piece * PIECE,
				  .length = PIECE,
				  .vec = { .span = w->span, .spans = 2 },
				  .error = -1,
				  .done = over,
				  .leaf = w };
	return w;
}

static void free_write(struct write *w)
{
	free(w->memory);
	free(w);
}

/* What the ring was asked for; NULL: nothing, it is to be written otherwise. */
static struct disk_io *begin(struct write *w)
{
	struct disk_behind_slot *slot = disk_behind_take(&behind, &w->io);

	if (!slot)
		return NULL;
	memset(w->memory, 0xee, PIECE); /* it has a copy */
	disk_behind_begin(slot, &w->io, ring);
	return asked;
}

/* Of a piece, under way and over for its owner. */
static struct disk_io *write_behind(unsigned int piece, uint8_t value)
{
	struct write *w = new_write(piece, value);
	struct disk_io *io = begin(w);

	assert_non_null(io);
	assert_false(w->over);
	begins(io);
	assert_true(w->over);
	assert_int_equal(w->io.error, 0);
	free_write(w);
	return io;
}

static bool takes(unsigned int piece)
{
	struct write *w = new_write(piece, 0);
	struct disk_io *io = begin(w);

	if (io)
		ends(io, 0);
	free_write(w);
	return io;
}

static void expect_piece(unsigned int piece, uint8_t value)
{
	uint8_t *bytes = malloc(PIECE);

	assert_int_equal(pread(fd, bytes, PIECE, (off_t)piece * PIECE), PIECE);
	for (unsigned int i = 0; i < PIECE; i++)
		assert_int_equal(bytes[i],
				 (uint8_t)(value + (i >= PIECE / 2)));
	free(bytes);
}

static int settle(bool last)
{
	return disk_behind_settle(&behind, 0, UINT64_MAX, last);
}

static int setup(void **state)
{
	fd = memfd_create("behind", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)PIECES * PIECE), 0);
	disk_ranges_init(&ranges);
	disk_behind_init(&behind, &ranges);
	behind.fd = fd;
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(behind.used, 0);
	assert_null(ranges.first);
	disk_behind_fini(&behind);
	disk_ranges_destroy(&ranges);
	close(fd);
	return 0;
}

/* --- tests ------------------------------------------------------------------
 */

static void over_when_it_is_under_way(void **state)
{
	struct disk_io *io = write_behind(2, 7);

	assert_true(disk_behind_holds(&behind, 3 * PIECE - 1, 1));
	assert_true(disk_behind_holds(&behind, 0, UINT64_MAX));
	assert_false(disk_behind_holds(&behind, 0, 2 * PIECE));
	assert_false(disk_behind_holds(&behind, 3 * PIECE, PIECE));
	assert_int_equal(disk_behind_settle(&behind, 0, 2 * PIECE, false), 0);
	assert_non_null(ranges.first);
	ends(io, 0);
	assert_false(disk_behind_holds(&behind, 0, UINT64_MAX));
	assert_int_equal(settle(true), 0);
	expect_piece(2, 7);
}

/* The kernel would have had to wait, for room say: then the owner does. */
static void over_at_the_end(void **state)
{
	struct write *w = new_write(1, 3);
	struct disk_io *io = begin(w);

	asked = NULL;
	ends(io, -EAGAIN);
	assert_ptr_equal(asked, io);
	assert_null(io->begun);
	assert_false(w->over);
	ends(io, 0);
	assert_true(w->over);
	assert_int_equal(w->io.error, 0);
	expect_piece(1, 3);
	assert_true(takes(1));
	free_write(w);
}

static void error_at_the_end(void **state)
{
	struct write *w = new_write(1, 3);
	struct disk_io *io = begin(w);

	ends(io, -EAGAIN);
	ends(io, -EIO);
	assert_true(w->over);
	assert_int_equal(w->io.error, -EIO);
	assert_int_equal(settle(true), 0);
	free_write(w);
}

static void a_file_that_cannot(void **state)
{
	struct write *w = new_write(1, 3);
	struct disk_io *io = begin(w);

	ends(io, -EOPNOTSUPP);
	ends(io, 0);
	assert_int_equal(w->io.error, 0);
	assert_false(takes(1));
	free_write(w);
}

static void error_afterwards(void **state)
{
	int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ends(write_behind(2, 7), -EIO);
	assert_null(ranges.first);
	behind.fd = closed;
	assert_int_equal(disk_behind_settle(&behind, 0, PIECE, false), 0);
	assert_int_equal(settle(false), -EBADF);
	assert_int_equal(settle(false), -EBADF);
	assert_true(disk_behind_holds(&behind, 2 * PIECE, 1));
	assert_int_equal(settle(true), -EBADF);
	assert_int_equal(settle(true), 0);
	assert_false(takes(3));
	close(closed);
}

static void tried_again(void **state)
{
	ends(write_behind(2, 7), -EIO);
	assert_int_equal(settle(false), 0);
	expect_piece(2, 7);
	assert_int_equal(settle(true), 0);
}

/* The machine waits for room, and nothing is lost meanwhile. */
static void no_room(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	ends(write_behind(2, 7), -ENOSPC);
	behind.fd = full;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(settle(true), -ENOSPC);
	behind.fd = fd;
	assert_int_equal(settle(true), 0);
	expect_piece(2, 7);
	close(full);
}

static void not_where_somebody_is(void **state)
{
	struct disk_range range;
	struct disk_io *io;

	disk_range_enter(&ranges, &range, 5 * PIECE, 1, true);
	assert_false(takes(5));
	disk_range_leave(&ranges, &range);
	io = write_behind(5, 1);
	assert_false(takes(5));
	assert_true(takes(6));
	ends(io, 0);
	assert_true(takes(5));
}

static void as_many_as_there_are_slots(void **state)
{
	struct disk_io *io[DISK_BEHIND_SLOTS];

	for (unsigned int i = 0; i < DISK_BEHIND_SLOTS; i++)
		io[i] = write_behind(i, (uint8_t)(10 * i));
	assert_false(takes(PIECES - 1));
	for (unsigned int i = DISK_BEHIND_SLOTS; i--;)
		ends(io[i], 0);
	for (unsigned int i = 0; i < DISK_BEHIND_SLOTS; i++)
		expect_piece(i, (uint8_t)(10 * i));
	assert_true(takes(PIECES - 1));
}

static void too_small_too_large(void **state)
{
	struct disk_io io = { .write = true, .length = DISK_BEHIND_MIN - 512 };

	assert_null(disk_behind_take(&behind, &io));
	io.length = DISK_BEHIND_MAX + 512;
	assert_null(disk_behind_take(&behind, &io));
}

static _Atomic bool ended;
static bool ended_before;

static void flush(void *ctx)
{
	settle(true);
	ended_before = ended;
}

static void waits(void **state)
{
	struct disk_io *io = write_behind(2, 7);
	struct thread thread;

	assert_int_equal(thread_start(&thread, "flush", flush, NULL), 0);
	usleep(20000); /* so that it is there by then, most often */
	ended = true;
	ends(io, 0);
	thread_join(&thread);
	assert_true(ended_before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(over_when_it_is_under_way),
		TEST(over_at_the_end),
		TEST(error_at_the_end),
		TEST(a_file_that_cannot),
		TEST(error_afterwards),
		TEST(tried_again),
		TEST(no_room),
		TEST(not_where_somebody_is),
		TEST(as_many_as_there_are_slots),
		TEST(too_small_too_large),
		TEST(waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead: pieces in a row are there before they are asked for, and what
 * was written is never read as it was before.
 */
#include "disk/ahead.h"

#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk/ring.h"
#include "fake/test.h"
#include "host/linux/thread.h"

#define PIECE  DISK_AHEAD_MIN
#define PIECES 8u
#define SIZE   (PIECES * (uint64_t)PIECE)

static struct disk_ahead ahead;
static struct disk_ranges ranges;
static struct disk_ring *ring;
static int fd;
static uint8_t *memory;

static void write_piece(unsigned int piece, uint8_t value)
{
	uint8_t *bytes = malloc(PIECE);

	memset(bytes, value, PIECE);
	assert_int_equal(pwrite(fd, bytes, PIECE, (off_t)piece * PIECE), PIECE);
	free(bytes);
}

static int setup(void **state)
{
	fd = memfd_create("ahead", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, SIZE) || disk_ring_open(&ring, fd, fd))
		skip(); /* no io_uring here */
	disk_ranges_init(&ranges);
	disk_ahead_init(&ahead, &ranges);
	ahead.keep_ns = UINT64_MAX; /* however slow this host is */
	memory = malloc(PIECE);
	for (unsigned int i = 0; i < PIECES; i++)
		write_piece(i, (uint8_t)(i + 1));
	return 0;
}

static int teardown(void **state)
{
	disk_ahead_drain(&ahead);
	disk_ring_close(ring);
	disk_ahead_fini(&ahead);
	assert_null(ranges.first);
	disk_ranges_destroy(&ranges);
	close(fd);
	free(memory);
	return 0;
}

static void follow(unsigned int piece)
{
	disk_ahead_follow(&ahead, ring, (uint64_t)piece * PIECE, PIECE, SIZE);
}

/* Pieces up to this one are asked for in a row. */
static void in_a_row(unsigned int last)
{
	for (unsigned int i = 0; i <= last; i++) {
		follow(i);
		disk_ahead_drain(&ahead);
	}
}

static void tell(struct disk_io *io)
{
	sem_post(io->leaf);
}

/* Whether the piece was read ahead; then it is in `memory`. */
static bool was_read(unsigned int piece)
{
	sem_t end;
	struct span span = { memory, PIECE };
	struct disk_io io = { .offset = (uint64_t)piece * PIECE,
			      .length = PIECE,
			      .vec = { .span = &span, .spans = 1 },
			      .error = -1,
			      .done = tell,
			      .leaf = &end };
	bool over;

	sem_init(&end, 0, 0);
	if (!disk_ahead_read(&ahead, &io, &over))
		return false;
	if (!over)
		sem_wait(&end);
	assert_int_equal(io.error, 0);
	return true;
}

static void expect_piece(unsigned int piece, uint8_t value)
{
	assert_true(was_read(piece));
	assert_int_equal(memory[0], value);
	assert_memory_equal(memory, memory + 1, PIECE - 1);
}

/* --- tests ------------------------------------------------------------------
 */

static void pieces_in_a_row(void **state)
{
	in_a_row(1);
	assert_false(was_read(2));
	in_a_row(2);
	expect_piece(3, 4);
	expect_piece(4, 5);
	assert_false(was_read(3)); /* once */
	assert_false(was_read(5));
}

static void at_other_places(void **state)
{
	in_a_row(1);
	follow(5);
	follow(3);
	follow(6);
	disk_ahead_drain(&ahead);
	for (unsigned int i = 0; i < PIECES; i++)
		assert_false(was_read(i));
}

static void up_to_the_end(void **state)
{
	in_a_row(PIECES - 2);
	expect_piece(PIECES - 1, PIECES);
	assert_false(was_read(PIECES));
}

/* Comes while it is under way, or just before. */
static void asked_for_meanwhile(void **state)
{
	for (unsigned int i = 0; i < 3; i++)
		follow(i);
	expect_piece(3, 4);
	expect_piece(4, 5);
}

static void written_meanwhile(void **state)
{
	struct disk_range range;

	in_a_row(2);
	disk_range_enter(&ranges, &range, 4 * PIECE - 1, 1, false);
	disk_ahead_forget(&ahead, 4 * PIECE - 1, 1);
	disk_range_leave(&ranges, &range);
	assert_false(was_read(3));
	expect_piece(4, 5);
}

static void not_where_somebody_writes(void **state)
{
	struct disk_range range;

	disk_range_enter(&ranges, &range, 3 * PIECE, PIECE, false);
	in_a_row(2);
	assert_false(was_read(3));
	disk_range_leave(&ranges, &range);
	expect_piece(4, 5);
}

static void too_long_ago(void **state)
{
	in_a_row(2);
	ahead.keep_ns = 0;
	assert_false(was_read(3));
	follow(3);
	ahead.keep_ns = UINT64_MAX;
	expect_piece(4, 5);
	expect_piece(5, 6);
}

/* --- a writer beside it -----------------------------------------------------
 */

#define ROUNDS 1500u

static _Atomic unsigned int written[PIECES];
static _Atomic bool ended;

static void write_on(void *ctx)
{
	for (unsigned int i = 0; !ended; i++) {
		unsigned int piece = i * 5 % PIECES;
		unsigned int version = written[piece] + 1;
		struct disk_range range;

		disk_range_enter(&ranges, &range, (uint64_t)piece * PIECE,
				 PIECE, false);
		disk_ahead_forget(&ahead, (uint64_t)piece * PIECE, PIECE);
		write_piece(piece, (uint8_t)version);
		disk_range_leave(&ranges, &range);
		written[piece] = version;
	}
}

/* Never older than what had been written when it was asked for. */
static void never_as_it_was(void **state)
{
	struct thread writer;

	ended = false;
	for (unsigned int i = 0; i < PIECES; i++)
		written[i] = i + 1;
	assert_int_equal(thread_start(&writer, "write", write_on, NULL), 0);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int piece = i % PIECES;
		unsigned int before = written[piece];
		bool read = was_read(piece);
		unsigned int newer = written[piece] + 1 - before;

		follow(piece);
		/* Each byte is of one of the versions since. */
		for (unsigned int at = 0; read && at < PIECE; at += 4096)
			assert_in_range((uint8_t)(memory[at] - before), 0,
					newer);
	}
	ended = true;
	thread_join(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pieces_in_a_row),	 TEST(at_other_places),
		TEST(up_to_the_end),	 TEST(asked_for_meanwhile),
		TEST(written_meanwhile), TEST(not_where_somebody_writes),
		TEST(too_long_ago),	 TEST(never_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

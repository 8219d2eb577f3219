/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of frames in memory that two processes map, of which neither trusts
 * the other. One puts frames in, one takes them out. Positions count bytes
 * for ever, modulo 2^32; the bytes are mapped twice in a row, so that a frame
 * is always in one piece.
 *
 * Each side keeps its own position to itself and only tells it to the other;
 * what the other tells is read once and checked: a position that cannot be
 * makes the ring broken, which is for its owner to end. A frame's description
 * is copied, and then checked; its bytes may change at any time, so whoever
 * decides by them copies them first.
 *
 * Who is about to sleep says so, looks once more, and sleeps: the other wakes
 * it when it has changed something (lane_wakes_*()). Who takes out may watch
 * the word that says so instead (futex(2)): it changes with the waking.
 */
#ifndef LODGE_NET_SWITCH_LANE_H
#define LODGE_NET_SWITCH_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/nic.h"

#define LANE_ALIGN 16u

/* In the shared memory; a line of the cache for each who writes it. */
struct lane_shared {
	_Alignas(64) _Atomic uint32_t head; /* behind what was put in */
	_Atomic uint32_t starved;	    /* who puts in waits for room */
	_Atomic uint64_t dropped;	    /* frames, for there was none */
	_Alignas(64) _Atomic uint32_t tail; /* behind what was taken out */
	_Atomic uint32_t asleep; /* who takes out waits: enum lane_sleep */
	/* Of a shortcut, for the switch to see. */
	_Atomic uint32_t over;		/* one side has ended it */
	_Atomic uint64_t frames, bytes; /* that were taken out */
	_Atomic uint64_t refused;	/* frames that may not go there */
};

/* Before each frame. */
struct lane_record {
	uint32_t size; /* of the frame */
	uint8_t sum, cut, ecn, zero;
	uint16_t sum_start, sum_offset, header, segment;
};

struct lane {
	struct lane_shared *shared;
	uint8_t *bytes; /* twice `size` of them */
	uint32_t size;	/* a power of two */
	uint32_t own;	/* this side's position */
	bool broken;
};

enum lane_sleep {
	LANE_AWAKE,
	LANE_ASLEEP,  /* is to be told */
	LANE_WATCHED, /* the word itself wakes */
};

enum lane_state {
	LANE_FRAME,
	LANE_EMPTY,
	LANE_BROKEN,
};

/* --- putting in ------------------------------------------------------------ */

/* Room for a frame of `size` bytes; NULL: none now, or the ring is broken. */
uint8_t *lane_place(struct lane *ring, uint32_t size);

/* What was placed is a frame, described by `frame` (not by its spans). */
void lane_put(struct lane *ring, const struct nic_frame *frame);

/* After lane_put(): whether the other sleeps, and is to be told; it is once. */
bool lane_wakes_reader(struct lane *ring);

/* Whether all that was put in has been taken out. */
bool lane_drained(const struct lane *ring);

/* There was no room: asks to be woken. True: there is room by now. */
bool lane_starve(struct lane *ring, uint32_t size);

/* After lane_starve(): sleeps until lane_wakes_waiter(), for `ns` at most. */
void lane_wait_room(struct lane *ring, uint64_t ns);

/* --- taking out ------------------------------------------------------------ */

/* The next frame: *frame describes it (no spans), *bytes are frame->size. */
enum lane_state lane_peek(struct lane *ring, struct nic_frame *frame,
			  const uint8_t **bytes);

/* That frame, of that size, is done with. */
void lane_take(struct lane *ring, uint32_t size);

/* After lane_take(): whether the other waits for room, and has much now. */
bool lane_wakes_writer(struct lane *ring);

/* The same for one in lane_wait_room(), which it wakes; little is enough. */
void lane_wakes_waiter(struct lane *ring);

/* Whether there is a frame, perhaps. Whoever does not take now asks the
 * second, which the other side may have wrong. */
bool lane_more(const struct lane *ring);
bool lane_seems_more(const struct lane *ring);

/* About to sleep (true: there is a frame by now, do not), and not any more. */
bool lane_sleep(struct lane *ring);
void lane_awake(struct lane *ring);

/* Looks for a frame for a while (host/linux/eager.h). True: there is one, or
 * *end is set. */
bool lane_look(const struct lane *ring, const _Atomic bool *end);

/*
 * Sleeps until there is a frame, or for no reason. Who sets *end ends it by
 * lane_disturb().
 */
void lane_wait(struct lane *ring, const _Atomic bool *end);

/*
 * In the place of one who sleeps: true, `asleep` is to be watched, which is
 * LANE_WATCHED until there is a frame. False: nobody sleeps.
 */
bool lane_watch(struct lane *ring);

/* After lane_take(): the same again. False: there is a frame by now. */
bool lane_watch_again(struct lane *ring);

/* The one who sleeps does so itself. True: there is a frame, or nobody does. */
bool lane_unwatch(struct lane *ring);

/* Nobody is to be told. */
void lane_hush(struct lane *ring);

/* Wakes who watches on this side. */
void lane_disturb(struct lane *ring);

/* --- memory ------------------------------------------------------------------ */

/* Both rings of a memory file (wire.h). */
struct lane_pair {
	void *page;
	struct lane to_switch, to_machine;
};

/* A memory file whose size nobody can change. The descriptor or -errno. */
int lane_memory(void);

/*
 * Maps one, which is checked to be such. `fresh`: this process begins the
 * rings. 0 or -errno.
 */
int lane_map(struct lane_pair *pair, int fd);
void lane_unmap(struct lane_pair *pair);

#endif

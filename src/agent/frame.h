/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the agent's protocol on a stream socket, for both ends. What comes
 * is not believed: a size beyond the limit is an error, and nothing is looked
 * at before it is whole.
 */
#ifndef LODGE_AGENT_FRAME_H
#define LODGE_AGENT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/protocol.h"

struct frame {
	uint8_t type; /* enum agent_frame, or anything */
	uint32_t size;
	const uint8_t *data; /* until the next call */
};

struct frame_in {
	uint32_t start, used; /* bytes [start, used) wait */
	uint8_t bytes[AGENT_FRAME_HEAD + AGENT_FRAME_MAX];
};

/* What waits to be sent. */
struct frame_out {
	uint32_t start, used;
	uint8_t bytes[2 * (AGENT_FRAME_HEAD + AGENT_FRAME_MAX)];
};

/* One read(2): its result, or a negative errno; -EAGAIN: nothing there. */
long frame_fill(struct frame_in *in, int fd);

/* 1: a frame is there, 0: not yet a whole one, -EPROTO: what cannot be. */
int frame_next(struct frame_in *in, struct frame *frame);

/* The same, and waits for it. 0: the end; negative errno. */
int frame_wait(struct frame_in *in, int fd, struct frame *frame);

/* Exactly `size` bytes, which come before frames; waits. 0, or -errno. */
int frame_expect(struct frame_in *in, int fd, const char *bytes, size_t size);

/* Bytes of a frame that fit into `out` now; 0: not even its head. */
uint32_t frame_room(const struct frame_out *out);

/* Puts a frame behind the others. False: no room. */
bool frame_put(struct frame_out *out, uint8_t type, const void *data,
	       uint32_t size);

/* Sends what the socket takes. 0, or a negative errno. */
int frame_flush(struct frame_out *out, int fd);

/* Sends a frame, and waits until it is on its way. 0, or a negative errno. */
int frame_send(int fd, uint8_t type, const void *data, uint32_t size);

/* A frame of a number and a line for people. */
int frame_send_failure(int fd, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Numbers in frames. */
uint16_t frame_get16(const uint8_t *at);
uint32_t frame_get32(const uint8_t *at);
uint64_t frame_get64(const uint8_t *at);
void frame_put16(uint8_t *at, uint16_t value);
void frame_put32(uint8_t *at, uint32_t value);
void frame_put64(uint8_t *at, uint64_t value);

#endif

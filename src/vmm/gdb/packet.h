/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of the GDB remote serial protocol ("Debugging with GDB", appendix
 * E.1): bytes in, checked packets out, and answers put together. Knows
 * nothing of what they mean.
 */
#ifndef LODGE_VMM_GDB_PACKET_H
#define LODGE_VMM_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_MAX 0x4000u /* between '$' and '#' */

/* What a byte completed. */
enum gdb_event {
	GDB_NOTHING,
	GDB_PACKET,    /* packet->data: NUL behind it, escapes undone */
	GDB_BROKEN,    /* a wrong sum, or too long: to be sent again */
	GDB_INTERRUPT, /* Ctrl-C */
	GDB_NAK,       /* the other side wants the last answer again */
};

struct gdb_packet {
	enum { GDB_IDLE, GDB_BODY, GDB_ESCAPE, GDB_SUM1, GDB_SUM2 } at;
	uint8_t sum, told;
	bool overlong, bad_sum;
	unsigned int size;
	char data[GDB_PACKET_MAX + 1];
};

enum gdb_event gdb_packet_take(struct gdb_packet *packet, uint8_t byte);

/* An answer; what does not fit is left out, and `full` is set. */
struct gdb_answer {
	unsigned int size;
	bool full;
	char data[2 * GDB_PACKET_MAX + 8];
};

void gdb_begin(struct gdb_answer *answer);
void gdb_put(struct gdb_answer *answer, const char *text);
void gdb_put_format(struct gdb_answer *answer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void gdb_put_hex(struct gdb_answer *answer, const void *data, size_t size);
/* Text that may hold characters with a meaning of their own. */
void gdb_put_binary(struct gdb_answer *answer, const char *data, size_t size);
/* Adds the sum: data is what to send. */
void gdb_end(struct gdb_answer *answer);

/* The value of a hex digit, or -1. */
int gdb_digit(char c);

/*
 * Reads a hex number of 1 to 16 digits at *text and moves behind it. False
 * when there is none, or more digits.
 */
bool gdb_number(const char **text, uint64_t *value);

/* Moves *text behind `c`; false when it is not there. */
bool gdb_skip(const char **text, char c);

/* `size` bytes from pairs of hex digits; false when there are fewer. */
bool gdb_bytes(const char **text, void *data, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing of the GDB remote serial protocol; see packet.h. Run-length
 * encoding is left out: the debugger's side does not send it.
 */
#include "vmm/gdb/packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CTRL_C 3
#define ESCAPE '}'
#define ESCAPE_BIT 0x20

static void start_packet(struct gdb_packet *packet)
{
	packet->at = GDB_BODY;
	packet->sum = 0;
	packet->size = 0;
	packet->overlong = false;
	packet->bad_sum = false;
}

static void take_body(struct gdb_packet *packet, uint8_t byte)
{
	packet->sum += byte;
	if (packet->at == GDB_ESCAPE)
		byte ^= ESCAPE_BIT;
	else if (byte == ESCAPE) {
		packet->at = GDB_ESCAPE;
		return;
	}
	packet->at = GDB_BODY;
	if (packet->size == GDB_PACKET_MAX)
		packet->overlong = true;
	else
		packet->data[packet->size++] = (char)byte;
}

static void take_sum(struct gdb_packet *packet, uint8_t byte)
{
	int digit = gdb_digit((char)byte);

	if (digit < 0)
		packet->bad_sum = true;
	packet->told = (uint8_t)(packet->told << 4 | (digit & 15));
}

static enum gdb_event idle(struct gdb_packet *packet, uint8_t byte)
{
	switch (byte) {
	case '$':
		start_packet(packet);
		return GDB_NOTHING;
	case CTRL_C:
		return GDB_INTERRUPT;
	case '-':
		return GDB_NAK;
	default: /* '+', and noise */
		return GDB_NOTHING;
	}
}

enum gdb_event gdb_packet_take(struct gdb_packet *packet, uint8_t byte)
{
	switch (packet->at) {
	case GDB_IDLE:
		return idle(packet, byte);
	case GDB_BODY:
		if (byte == '#') {
			packet->at = GDB_SUM1;
			return GDB_NOTHING;
		}
		if (byte == '$') { /* the one before was cut off */
			start_packet(packet);
			return GDB_NOTHING;
		}
		take_body(packet, byte);
		return GDB_NOTHING;
	case GDB_ESCAPE:
		take_body(packet, byte);
		return GDB_NOTHING;
	case GDB_SUM1:
		take_sum(packet, byte);
		packet->at = GDB_SUM2;
		return GDB_NOTHING;
	default:
		take_sum(packet, byte);
		packet->at = GDB_IDLE;
		packet->data[packet->size] = '\0';
		if (packet->overlong || packet->bad_sum ||
		    packet->told != packet->sum)
			return GDB_BROKEN;
		return GDB_PACKET;
	}
}

/* --- answers --------------------------------------------------------------- */

void gdb_begin(struct gdb_answer *answer)
{
	answer->data[0] = '$';
	answer->size = 1;
	answer->full = false;
}

/* Room for the sum and a NUL is kept. */
static void put(struct gdb_answer *answer, const char *data, size_t size)
{
	if (size > sizeof(answer->data) - 4 - answer->size) {
		answer->full = true;
		return;
	}
	memcpy(answer->data + answer->size, data, size);
	answer->size += (unsigned int)size;
}

void gdb_put(struct gdb_answer *answer, const char *text)
{
	put(answer, text, strlen(text));
}

void gdb_put_format(struct gdb_answer *answer, const char *format, ...)
{
	char text[256];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	gdb_put(answer, text);
}

void gdb_put_hex(struct gdb_answer *answer, const void *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *byte = data;

	for (size_t i = 0; i < size; i++) {
		const char pair[2] = { digits[byte[i] >> 4],
				       digits[byte[i] & 15] };

		put(answer, pair, 2);
	}
}

void gdb_put_binary(struct gdb_answer *answer, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char pair[2] = { ESCAPE, (char)(data[i] ^ ESCAPE_BIT) };
		bool escape = data[i] && strchr("$#}*", data[i]);

		put(answer, escape ? pair : &data[i], escape ? 2 : 1);
	}
}

void gdb_end(struct gdb_answer *answer)
{
	uint8_t sum = 0;

	for (unsigned int i = 1; i < answer->size; i++)
		sum += (uint8_t)answer->data[i];
	answer->size += (unsigned int)snprintf(answer->data + answer->size, 4,
					       "#%02x", sum);
}

/* --- requests -------------------------------------------------------------- */

int gdb_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool gdb_number(const char **text, uint64_t *value)
{
	unsigned int digits = 0;
	uint64_t v = 0;
	int digit;

	while ((digit = gdb_digit(**text)) >= 0) {
		if (digits++ == 16)
			return false;
		v = v << 4 | (unsigned int)digit;
		(*text)++;
	}
	*value = v;
	return digits;
}

bool gdb_skip(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

bool gdb_bytes(const char **text, void *data, size_t size)
{
	uint8_t *byte = data;

	for (size_t i = 0; i < size; i++) {
		int high = gdb_digit((*text)[0]);
		int low = high < 0 ? -1 : gdb_digit((*text)[1]);

		if (low < 0)
			return false;
		byte[i] = (uint8_t)(high << 4 | low);
		*text += 2;
	}
	return true;
}

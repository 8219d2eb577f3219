/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved state as data. Each class of object declares its saved fields once;
 * saving, checking, loading, printing and the round-trip test read that one
 * table.
 *
 * The stream (all little-endian):
 *   header:  8-byte magic "LODGEVM1", u32 format version, u32 record count
 *   record:  u32 length of what follows, u16 name length, name, u32 instance,
 *            u16 class version, u16 field count, fields
 *   field:   u16 name length, name, u8 type, u32 count, count elements
 *   trailer: u32 CRC-32 (IEEE 802.3, reflected) of everything before it
 * A reader refuses, by name, a class or field that it does not know, a type
 * or count that differs, a version above its own, and trailing bytes. Fields
 * newer (`since`) than the stream's class version keep their reset value.
 * The whole stream is checked before anything is loaded.
 */
#ifndef LODGE_VM_STATE_H
#define LODGE_VM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_U8 = 1,
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_BOOL,  /* one byte, 0 or 1 */
	FIELD_TIMER, /* struct timer: its deadline in VM ns, as u64 */
};

struct field {
	const char *name;
	enum field_type type;
	uint32_t offset; /* in the object */
	uint32_t count;	 /* elements: 1, or an array's length */
	uint16_t since;	 /* class version that introduced it; 0 and 1: first */
};

/* Table entries: FIELD(struct pit, FIELD_U16, reload) */
#define FIELD(type_, kind_, member_)                          \
	{                                                     \
		.name = #member_, .type = (kind_),            \
		.offset = (uint32_t)offsetof(type_, member_), \
		.count = 1,                                   \
	}
#define FIELD_ARRAY(type_, kind_, member_, count_)            \
	{                                                     \
		.name = #member_, .type = (kind_),            \
		.offset = (uint32_t)offsetof(type_, member_), \
		.count = (count_),                            \
	}

struct clock;

struct state_class {
	const char *name;
	uint16_t version; /* from 1 */
	uint32_t size;	  /* sizeof the object: bounds the table */
	const struct field *fields;
	unsigned int field_count;

	/*
	 * Optional. `check` refuses impossible values in a freshly loaded
	 * copy (-EBADMSG); `loaded` rebuilds what derives from the fields;
	 * `saving` brings the fields up to date first.
	 */
	int (*check)(const void *object);
	void (*saving)(void *object);
	void (*loaded)(void *object);
};

/* One object to save or load. */
struct state_item {
	const struct state_class *class;
	void *object;
	uint32_t instance;
};

/* A growing or given buffer that a stream is written to. */
struct state_buffer {
	uint8_t *data; /* host_alloc()ed; freed by the caller */
	size_t size;
	size_t capacity;
};

/* Why a stream was refused: one line that names the thing. */
struct state_error {
	char text[160];
};

/* The trailer's CRC-32. */
uint32_t state_crc(const uint8_t *data, size_t size);

/*
 * Writes all items into `out`, from its start; what it holds is replaced, its
 * memory reused. -ENOMEM.
 */
int state_save(const struct state_item *items, unsigned int count,
	       struct state_buffer *out);

/*
 * Checks the whole stream against `items` without touching the objects:
 * -EBADMSG (malformed or refused by a class's check()), -ENOTSUP (a class,
 * field or version unknown here), -ENOENT (an item is missing from it).
 */
int state_check(const struct state_item *items, unsigned int count,
		const uint8_t *data, size_t size, struct state_error *error);

/*
 * state_check(), then loads. Timers are re-armed on `clock` (NULL: only their
 * deadlines are set). After an error no object has changed.
 */
int state_load(const struct state_item *items, unsigned int count,
	       const uint8_t *data, size_t size, struct clock *clock,
	       struct state_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The saved-state stream: writing it from field tables, checking it whole,
 * loading it. The format stands in state.h.
 *
 * A reader walks the stream with a cursor that never passes the end; checking
 * and loading are the same walk, first into scratch copies of the objects (to
 * which a class's check() is put), then into the objects.
 */
#include "vm/state.h"

#include "vm/bytes.h"
#include "vm/clock.h"
#include "vm/error.h"
#include "vm/host.h"

#define FORMAT_VERSION 1
#define MAGIC	       "LODGEVM1"
#define MAGIC_SIZE     8
#define HEADER_SIZE    (MAGIC_SIZE + 4 + 4)
#define TRAILER_SIZE   4
#define NAME_MAX_SIZE  255
#define FIELDS_MAX     256 /* of one class */

static const uint8_t element_size[] = {
	[FIELD_U8] = 1,	 [FIELD_U16] = 2,  [FIELD_U32] = 4,
	[FIELD_U64] = 8, [FIELD_BOOL] = 1, [FIELD_TIMER] = 8,
};

/* Bytes from one element to the next in the object. */
static const uint8_t element_stride[] = {
	[FIELD_U8] = 1,
	[FIELD_U16] = 2,
	[FIELD_U32] = 4,
	[FIELD_U64] = 8,
	[FIELD_BOOL] = sizeof(bool),
	[FIELD_TIMER] = sizeof(struct timer),
};

static uint16_t field_since(const struct field *f)
{
	return f->since ? f->since : 1;
}

static size_t name_length(const char *name)
{
	size_t n = 0;

	while (name[n])
		n++;
	return n;
}

/* A table that reaches outside its object is our bug. */
static void check_table(const struct state_class *class)
{
	unsigned int i;

	bug_on(class->field_count > FIELDS_MAX || !class->version);
	for (i = 0; i < class->field_count; i++) {
		const struct field *f = &class->fields[i];

		bug_on(f->type < FIELD_U8 || f->type > FIELD_TIMER);
		bug_on(!f->count || field_since(f) > class->version);
		bug_on(f->offset +
			       (uint64_t)f->count * element_stride[f->type] >
		       class->size);
	}
}

/* --- checksum --------------------------------------------------------- */

uint32_t state_crc(const uint8_t *data, size_t size)
{
	/* The CRC of each value of four bits. */
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xffffffff;
	size_t i;

	for (i = 0; i < size; i++) {
		crc ^= data[i];
		crc = table[crc & 15] ^ (crc >> 4);
		crc = table[crc & 15] ^ (crc >> 4);
	}
	return ~crc;
}

/* --- error lines ------------------------------------------------------ */

static void say(struct state_error *error, const char *text)
{
	size_t at, n = name_length(text);

	if (!error)
		return;
	at = name_length(error->text);
	if (n > sizeof(error->text) - 1 - at)
		n = sizeof(error->text) - 1 - at;
	memcpy(error->text + at, text, n);
	error->text[at + n] = '\0';
}

static void say_number(struct state_error *error, uint64_t number)
{
	char digits[21];
	unsigned int at = sizeof(digits);

	digits[--at] = '\0';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	say(error, digits + at);
}

/* A name from the stream: bounded, and with odd bytes made visible. */
static void say_name(struct state_error *error, const uint8_t *name,
		     size_t size)
{
	char text[48];
	size_t i;

	if (size > sizeof(text) - 1)
		size = sizeof(text) - 1;
	for (i = 0; i < size; i++)
		text[i] =
			(char)(name[i] > ' ' && name[i] < 0x7f ? name[i] : '?');
	text[i] = '\0';
	say(error, text);
}

static void say_item(struct state_error *error, const struct state_item *item)
{
	say(error, item->class->name);
	say(error, ".");
	say_number(error, item->instance);
}

/* --- writing ---------------------------------------------------------- */

static int reserve(struct state_buffer *out, size_t more)
{
	size_t capacity = out->capacity ? out->capacity : 4096;
	uint8_t *data;

	if (more <= out->capacity - out->size)
		return 0;
	while (capacity - out->size < more) {
		if (capacity > SIZE_MAX / 2)
			return -VM_ENOMEM;
		capacity *= 2;
	}
	data = host_alloc(capacity);
	if (!data)
		return -VM_ENOMEM;
	if (out->data)
		memcpy(data, out->data, out->size);
	host_free(out->data);
	out->data = data;
	out->capacity = capacity;
	return 0;
}

/* Little-endian; the space is reserved. */
static void put(struct state_buffer *out, uint64_t value, unsigned int bytes)
{
	for (; bytes; bytes--, value >>= 8)
		out->data[out->size++] = (uint8_t)value;
}

static void put_name(struct state_buffer *out, const char *name)
{
	size_t n = name_length(name);

	put(out, n, 2);
	memcpy(out->data + out->size, name, n);
	out->size += n;
}

static uint64_t element_get(const struct field *f, const void *object,
			    uint32_t index)
{
	const uint8_t *at = (const uint8_t *)object + f->offset +
			    (size_t)index * element_stride[f->type];
	uint64_t value = 0;

	if (f->type == FIELD_TIMER)
		return ((const struct timer *)at)->deadline;
	if (f->type == FIELD_BOOL)
		return *(const bool *)at;
	memcpy(&value, at, element_size[f->type]);
	return value;
}

static size_t record_size(const struct state_class *class)
{
	size_t size = 4 + 2 + name_length(class->name) + 4 + 2 + 2;
	unsigned int i;

	for (i = 0; i < class->field_count; i++) {
		const struct field *f = &class->fields[i];

		size += 2 + name_length(f->name) + 1 + 4 +
			(size_t)f->count * element_size[f->type];
	}
	return size;
}

static int put_item(struct state_buffer *out, const struct state_item *item)
{
	const struct state_class *class = item->class;
	size_t size = record_size(class);
	unsigned int i;
	uint32_t n;

	check_table(class);
	if (reserve(out, size))
		return -VM_ENOMEM;
	if (class->saving)
		class->saving(item->object);
	put(out, size - 4, 4);
	put_name(out, class->name);
	put(out, item->instance, 4);
	put(out, class->version, 2);
	put(out, class->field_count, 2);
	for (i = 0; i < class->field_count; i++) {
		const struct field *f = &class->fields[i];

		put_name(out, f->name);
		put(out, f->type, 1);
		put(out, f->count, 4);
		for (n = 0; n < f->count; n++)
			put(out, element_get(f, item->object, n),
			    element_size[f->type]);
	}
	return 0;
}

int state_save(const struct state_item *items, unsigned int count,
	       struct state_buffer *out)
{
	unsigned int i;
	int err;

	out->size = 0;
	err = reserve(out, HEADER_SIZE);
	if (err)
		return err;
	memcpy(out->data, MAGIC, MAGIC_SIZE);
	out->size = MAGIC_SIZE;
	put(out, FORMAT_VERSION, 4);
	put(out, count, 4);
	for (i = 0; i < count; i++) {
		err = put_item(out, &items[i]);
		if (err)
			return err;
	}
	err = reserve(out, TRAILER_SIZE);
	if (err)
		return err;
	put(out, state_crc(out->data, out->size), 4);
	return 0;
}

/* --- reading ---------------------------------------------------------- */

struct cursor {
	const uint8_t *at;
	size_t left;
	bool overrun; /* something reached past the end; all reads give 0 */
};

static const uint8_t *take(struct cursor *c, size_t size)
{
	const uint8_t *at = c->at;

	if (c->overrun || size > c->left) {
		c->overrun = true;
		return NULL;
	}
	c->at += size;
	c->left -= size;
	return at;
}

static uint64_t get(struct cursor *c, unsigned int bytes)
{
	const uint8_t *at = take(c, bytes);
	uint64_t value = 0;

	while (at && bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static bool name_is(const uint8_t *bytes, size_t size, const char *name)
{
	return bytes && name_length(name) == size && !memcmp(bytes, name, size);
}

static void element_set(const struct field *f, void *object, uint32_t index,
			uint64_t value, struct clock *clock)
{
	uint8_t *at = (uint8_t *)object + f->offset +
		      (size_t)index * element_stride[f->type];

	if (f->type == FIELD_BOOL)
		*(bool *)at = value;
	else if (f->type != FIELD_TIMER)
		memcpy(at, &value, element_size[f->type]);
	else if (clock)
		timer_arm(clock, (struct timer *)at, value);
	else
		((struct timer *)at)->deadline = value;
}

/* A walk over the stream: what stands still, and the errors' place. */
struct reader {
	const struct state_item *items;
	unsigned int count;
	struct state_error *error;
	struct clock *clock;
	uint8_t *seen; /* one byte an item */
	bool load;     /* into the objects; else into copies, and check */
};

static int refuse(struct reader *r, int err, const struct state_item *item,
		  const uint8_t *field, size_t field_size, const char *why)
{
	if (r->error)
		r->error->text[0] = '\0';
	say(r->error, "saved state: ");
	if (item)
		say_item(r->error, item);
	if (field) {
		say(r->error, item ? ": field " : "");
		say_name(r->error, field, field_size);
	}
	say(r->error, item || field ? ": " : "");
	say(r->error, why);
	return err;
}

static int read_field(struct reader *r, const struct state_item *item,
		      void *object, uint16_t version, struct cursor *c,
		      uint64_t *seen)
{
	const struct state_class *class = item->class;
	const struct field *f = NULL;
	size_t size = get(c, 2);
	const uint8_t *name = take(c, size);
	unsigned int type = (unsigned int)get(c, 1);
	uint32_t count = (uint32_t)get(c, 4);
	unsigned int i;
	uint32_t n;

	if (c->overrun)
		return refuse(r, -VM_EBADMSG, item, NULL, 0, "cut short");
	for (i = 0; i < class->field_count && !f; i++)
		if (name_is(name, size, class->fields[i].name))
			f = &class->fields[i];
	if (!f)
		return refuse(r, -VM_ENOTSUP, item, name, size,
			      "not known to this release");
	i = (unsigned int)(f - class->fields);
	if (seen[i / 64] >> (i % 64) & 1)
		return refuse(r, -VM_EBADMSG, item, name, size, "given twice");
	seen[i / 64] |= (uint64_t)1 << (i % 64);
	if (type != f->type || count != f->count)
		return refuse(r, -VM_ENOTSUP, item, name, size,
			      "of another type or count than here");
	if (field_since(f) > version)
		return refuse(r, -VM_EBADMSG, item, name, size,
			      "newer than its record's version");

	for (n = 0; n < count; n++) {
		uint64_t value = get(c, element_size[f->type]);

		if (f->type == FIELD_BOOL && value > 1)
			return refuse(r, -VM_EBADMSG, item, name, size,
				      "neither 0 nor 1");
		if (!c->overrun)
			element_set(f, object, n, value, r->clock);
	}
	if (c->overrun)
		return refuse(r, -VM_EBADMSG, item, name, size, "cut short");
	return 0;
}

static int read_fields(struct reader *r, const struct state_item *item,
		       void *object, struct cursor *c)
{
	const struct state_class *class = item->class;
	uint64_t seen[FIELDS_MAX / 64] = { 0 };
	uint16_t version = (uint16_t)get(c, 2);
	unsigned int i, fields = (unsigned int)get(c, 2);
	int err;

	if (c->overrun || !version)
		return refuse(r, -VM_EBADMSG, item, NULL, 0, "malformed");
	if (version > class->version)
		return refuse(r, -VM_ENOTSUP, item, NULL, 0,
			      "saved by a newer release");
	for (i = 0; i < fields; i++) {
		err = read_field(r, item, object, version, c, seen);
		if (err)
			return err;
	}
	if (c->left)
		return refuse(r, -VM_EBADMSG, item, NULL, 0,
			      "more bytes than fields");
	for (i = 0; i < class->field_count; i++) {
		const struct field *f = &class->fields[i];

		if (field_since(f) > version || seen[i / 64] >> (i % 64) & 1)
			continue;
		return refuse(r, -VM_EBADMSG, item, (const uint8_t *)f->name,
			      name_length(f->name), "missing");
	}
	return 0;
}

/* Reads a record into a copy of its object and lets the class check it. */
static int check_item(struct reader *r, const struct state_item *item,
		      struct cursor *c)
{
	void *copy = host_alloc(item->class->size);
	int err;

	if (!copy)
		return refuse(r, -VM_ENOMEM, item, NULL, 0, "out of memory");
	memcpy(copy, item->object, item->class->size);
	err = read_fields(r, item, copy, c);
	if (!err && item->class->check && item->class->check(copy))
		err = refuse(r, -VM_EBADMSG, item, NULL, 0,
			     "holds impossible values");
	host_free(copy);
	return err;
}

/* The item a record is for, or `count`. */
static unsigned int find_item(const struct reader *r, const uint8_t *name,
			      size_t size, uint32_t instance)
{
	unsigned int i;

	for (i = 0; i < r->count; i++)
		if (r->items[i].instance == instance &&
		    name_is(name, size, r->items[i].class->name))
			break;
	return i;
}

static int read_record(struct reader *r, struct cursor *stream)
{
	size_t left = get(stream, 4);
	const uint8_t *record = take(stream, left);
	struct cursor c = { .at = record, .left = record ? left : 0 };
	size_t size = get(&c, 2);
	const uint8_t *name = take(&c, size);
	uint32_t instance = (uint32_t)get(&c, 4);
	const struct state_item *item;
	unsigned int i;
	int err;

	if (stream->overrun || c.overrun || size > NAME_MAX_SIZE)
		return refuse(r, -VM_EBADMSG, NULL, NULL, 0, "cut short");
	i = find_item(r, name, size, instance);
	if (i == r->count)
		return refuse(r, -VM_ENOTSUP, NULL, name, size,
			      "this machine has no such part");
	item = &r->items[i];
	if (r->seen[i])
		return refuse(r, -VM_EBADMSG, item, NULL, 0, "given twice");
	r->seen[i] = 1;
	if (!r->load)
		return check_item(r, item, &c);

	err = read_fields(r, item, item->object, &c);
	if (!err && item->class->loaded)
		item->class->loaded(item->object);
	return err;
}

static int read_records(struct reader *r, struct cursor *c, uint32_t records)
{
	unsigned int i;
	int err;

	while (records--) {
		err = read_record(r, c);
		if (err)
			return err;
	}
	if (c->left)
		return refuse(r, -VM_EBADMSG, NULL, NULL, 0,
			      "more bytes than records");
	for (i = 0; i < r->count; i++)
		if (!r->seen[i])
			return refuse(r, -VM_ENOENT, &r->items[i], NULL, 0,
				      "missing");
	return 0;
}

static int read_stream(struct reader *r, const uint8_t *data, size_t size)
{
	struct cursor c = { .at = data, .left = size };
	const uint8_t *magic = take(&c, MAGIC_SIZE);
	uint64_t version = get(&c, 4);
	uint64_t records = get(&c, 4);
	struct cursor crc;
	unsigned int i;
	int err;

	if (c.overrun || memcmp(magic, MAGIC, MAGIC_SIZE))
		return refuse(r, -VM_EBADMSG, NULL, NULL, 0,
			      "not a saved machine");
	if (version != FORMAT_VERSION)
		return refuse(r, -VM_ENOTSUP, NULL, NULL, 0,
			      "a format that this release does not know");
	if (c.left < TRAILER_SIZE)
		return refuse(r, -VM_EBADMSG, NULL, NULL, 0, "cut short");
	c.left -= TRAILER_SIZE;
	crc = (struct cursor){ .at = c.at + c.left, .left = TRAILER_SIZE };
	if (get(&crc, 4) != state_crc(data, size - TRAILER_SIZE))
		return refuse(r, -VM_EBADMSG, NULL, NULL, 0,
			      "damaged (wrong checksum)");

	for (i = 0; i < r->count; i++)
		check_table(r->items[i].class);
	r->seen = host_alloc(r->count ? r->count : 1);
	if (!r->seen)
		return refuse(r, -VM_ENOMEM, NULL, NULL, 0, "out of memory");
	err = read_records(r, &c, (uint32_t)records);
	host_free(r->seen);
	return err;
}

int state_check(const struct state_item *items, unsigned int count,
		const uint8_t *data, size_t size, struct state_error *error)
{
	struct reader r = { .items = items, .count = count, .error = error };

	return read_stream(&r, data, size);
}

int state_load(const struct state_item *items, unsigned int count,
	       const uint8_t *data, size_t size, struct clock *clock,
	       struct state_error *error)
{
	struct reader r = { .items = items, .count = count, .error = error };
	int err = read_stream(&r, data, size);

	if (err)
		return err;
	r.load = true;
	r.clock = clock;
	return read_stream(&r, data, size);
}

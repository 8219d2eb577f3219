/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI Machine Language (ACPI 6.4, chapter 20: names 20.2.2, data 20.2.3,
 * package length 20.2.4; resource descriptors 6.4). Only the objects that our
 * DSDT holds.
 */
#include "board/aml.h"

#include "vm/bytes.h"
#include "vm/host.h"

enum {
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_STRING = 0x0d,
	AML_QWORD = 0x0e,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_METHOD = 0x14,
	AML_EXTENDED = 0x5b,
	AML_IF = 0xa0,
	AML_ELSE = 0xa1,
	AML_EXT_DEVICE = 0x82,
};

void aml_init(struct aml *aml, struct table *out)
{
	*aml = (struct aml){ .out = out };
}

static void begin(struct aml *aml)
{
	bug_on(aml->depth == AML_DEPTH_MAX);
	aml->open[aml->depth++] = aml->out->used;
}

/*
 * The package length counts its own bytes and is as short as it can be, so it
 * is known only now: the content moves up to make room.
 */
void aml_end(struct aml *aml)
{
	struct table *out = aml->out;
	uint32_t at = aml->open[--aml->depth];
	uint32_t content = out->used - at;
	uint32_t extra = content + 1 < 0x40 ? 0 : content + 2 < 0x1000 ? 1 : 2;
	uint32_t length = content + 1 + extra;

	table_zero(out, 1 + extra);
	if (out->overflow)
		return;
	memmove(out->data + at + 1 + extra, out->data + at, content);
	if (!extra) {
		out->data[at] = (uint8_t)length;
		return;
	}
	out->data[at] = (uint8_t)(extra << 6 | (length & 0xf));
	for (uint32_t i = 0; i < extra; i++)
		out->data[at + 1 + i] = (uint8_t)(length >> (4 + 8 * i));
}

static void name_string(struct aml *aml, const char *name)
{
	uint32_t length = 0;

	if (*name == '\\') {
		table_u8(aml->out, '\\');
		name++;
	}
	while (name[length])
		length++;
	bug_on(!length || length > 4);
	table_text(aml->out, name, 4, '_');
}

void aml_integer(struct aml *aml, uint64_t value)
{
	if (value <= 1) {
		table_u8(aml->out, (uint8_t)value); /* ZeroOp, OneOp */
	} else if (value <= 0xff) {
		table_u8(aml->out, AML_BYTE);
		table_u8(aml->out, (uint8_t)value);
	} else if (value <= 0xffff) {
		table_u8(aml->out, AML_WORD);
		table_u16(aml->out, (uint16_t)value);
	} else if (value <= 0xffffffff) {
		table_u8(aml->out, AML_DWORD);
		table_u32(aml->out, (uint32_t)value);
	} else {
		table_u8(aml->out, AML_QWORD);
		table_u64(aml->out, value);
	}
}

void aml_scope_begin(struct aml *aml, const char *name)
{
	table_u8(aml->out, AML_SCOPE);
	begin(aml);
	name_string(aml, name);
}

void aml_device_begin(struct aml *aml, const char *name)
{
	table_u8(aml->out, AML_EXTENDED);
	table_u8(aml->out, AML_EXT_DEVICE);
	begin(aml);
	name_string(aml, name);
}

void aml_name_begin(struct aml *aml, const char *name)
{
	table_u8(aml->out, AML_NAME);
	name_string(aml, name);
}

void aml_name_integer(struct aml *aml, const char *name, uint64_t value)
{
	aml_name_begin(aml, name);
	aml_integer(aml, value);
}

void aml_name_string(struct aml *aml, const char *name, const char *value)
{
	aml_name_begin(aml, name);
	table_u8(aml->out, AML_STRING);
	while (*value)
		table_u8(aml->out, (uint8_t)*value++);
	table_u8(aml->out, 0);
}

static unsigned int hex_digit(char c)
{
	return c <= '9' ? (unsigned int)(c - '0')
			: (unsigned int)(c - 'A' + 10);
}

/* Three letters of five bits, four hexadecimal digits; big-endian (19.6.36). */
void aml_name_eisa_id(struct aml *aml, const char *name, const char *id)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < 3; i++)
		v = v << 5 | (id[i] & 0x1f);
	for (unsigned int i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_name_integer(aml, name, __builtin_bswap32(v));
}

void aml_name_package(struct aml *aml, const char *name, const uint64_t *values,
		      uint8_t count)
{
	aml_name_begin(aml, name);
	aml_package_begin(aml, count);
	for (uint8_t i = 0; i < count; i++)
		aml_integer(aml, values[i]);
	aml_end(aml);
}

void aml_package_begin(struct aml *aml, uint8_t count)
{
	table_u8(aml->out, AML_PACKAGE);
	begin(aml);
	table_u8(aml->out, count);
}

void aml_method_begin(struct aml *aml, const char *name, unsigned int args)
{
	table_u8(aml->out, AML_METHOD);
	begin(aml);
	name_string(aml, name);
	table_u8(aml->out, (uint8_t)args);
}

void aml_op(struct aml *aml, unsigned int op)
{
	table_u8(aml->out, (uint8_t)op);
}

void aml_reference(struct aml *aml, const char *name)
{
	name_string(aml, name);
}

void aml_buffer(struct aml *aml, const void *bytes, uint32_t count)
{
	table_u8(aml->out, AML_BUFFER);
	begin(aml);
	aml_integer(aml, count);
	table_bytes(aml->out, bytes, count);
	aml_end(aml);
}

void aml_if_begin(struct aml *aml)
{
	table_u8(aml->out, AML_IF);
	begin(aml);
}

void aml_else_begin(struct aml *aml)
{
	table_u8(aml->out, AML_ELSE);
	begin(aml);
}

/* --- resources ------------------------------------------------------------- */

static void number(struct table *out, unsigned int width, uint64_t value)
{
	for (unsigned int i = 0; i < width; i++)
		table_u8(out, (uint8_t)(value >> 8 * i));
}

/* Address space descriptors (6.4.3.5), minimum and maximum fixed. */
void aml_resource_window(struct table *out, enum aml_space space,
			 unsigned int width, uint64_t base, uint64_t size)
{
	static const uint8_t tags[9] = { [2] = 0x88, [4] = 0x87, [8] = 0x8a };
	/* Writable memory that is not cached; ports of all kinds; buses. */
	static const uint8_t flags[] = { 0x01, 0x03, 0x00 };

	table_u8(out, tags[width]);
	table_u16(out, (uint16_t)(3 + 5 * width));
	table_u8(out, (uint8_t)space);
	table_u8(out, 0x0c);
	table_u8(out, flags[space]);
	number(out, width, 0); /* granularity */
	number(out, width, base);
	number(out, width, base + (size - 1));
	number(out, width, 0); /* translation */
	number(out, width, size);
}

/* I/O port descriptor (6.4.2.5): all 16 address lines are decoded. */
void aml_resource_ports(struct table *out, uint16_t base, uint8_t count)
{
	table_u8(out, 0x47);
	table_u8(out, 1);
	table_u16(out, base);
	table_u16(out, base);
	table_u8(out, 1); /* alignment */
	table_u8(out, count);
}

/* Fixed 32-bit memory range (6.4.3.4), writable. */
void aml_resource_memory(struct table *out, uint32_t base, uint32_t size)
{
	table_u8(out, 0x86);
	table_u16(out, 9);
	table_u8(out, 1);
	table_u32(out, base);
	table_u32(out, size);
}

void aml_resource_end(struct table *out)
{
	table_u8(out, 0x79);
	table_u8(out, 0); /* no checksum */
}

void aml_name_resources(struct aml *aml, const struct aml_resources *res)
{
	uint8_t bytes[24];
	struct table out;

	table_init(&out, bytes, sizeof(bytes), 0);
	if (res->port_count)
		aml_resource_ports(&out, res->port, res->port_count);
	if (res->second)
		aml_resource_ports(&out, res->second, 1);
	if (res->irq < 16) {
		table_u8(&out, 0x22); /* IRQ descriptor (6.4.2.1) */
		table_u16(&out, (uint16_t)(1u << res->irq));
	}
	if (res->dma) {
		table_u8(&out, 0x2a); /* DMA descriptor (6.4.2.2) */
		table_u8(&out, res->dma);
		table_u8(&out, 0); /* compatible, bytes */
	}
	aml_resource_end(&out);
	aml_name_begin(aml, "_CRS");
	aml_buffer(aml, bytes, out.used);
}

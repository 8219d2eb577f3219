/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes ACPI Machine Language (ACPI 6.4, chapter 20). Scopes, devices and
 * packages nest: each aml_*_begin() is closed by one aml_end(), which fills in
 * the package length.
 */
#ifndef LODGE_BOARD_AML_H
#define LODGE_BOARD_AML_H

#include <stdint.h>

#include "board/table.h"

#define AML_DEPTH_MAX 8

struct aml {
	struct table *out;
	uint32_t open[AML_DEPTH_MAX]; /* where package lengths will stand */
	unsigned int depth;
};

void aml_init(struct aml *aml, struct table *out);

/* `name`: up to four characters a segment; "\\_SB" is rooted. */
void aml_scope_begin(struct aml *aml, const char *name);
void aml_device_begin(struct aml *aml, const char *name);
void aml_end(struct aml *aml);

/* Method (name, args) */
void aml_method_begin(struct aml *aml, const char *name, unsigned int args);

/* What a method is made of; operands follow as the next things written. */
enum aml_op {
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68, /* to AML_ARG0 + 6 */
	AML_STORE = 0x70,
	AML_AND = 0x7b,
	AML_OR = 0x7d,
	AML_DWORD_FIELD = 0x8a, /* CreateDWordField */
	AML_NOT = 0x92,
	AML_EQUAL = 0x93,
	AML_RETURN = 0xa4,
};

void aml_op(struct aml *aml, unsigned int op);
void aml_reference(struct aml *aml, const char *name);
void aml_integer(struct aml *aml, uint64_t value);
void aml_buffer(struct aml *aml, const void *bytes, uint32_t count);
void aml_if_begin(struct aml *aml); /* its condition comes first */
void aml_else_begin(struct aml *aml);

/* Name (name, what is written next) */
void aml_name_begin(struct aml *aml, const char *name);
void aml_package_begin(struct aml *aml, uint8_t count);

/* Name (name, value) */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *value);

/* Name (name, EisaId (id)), as in "PNP0501". */
void aml_name_eisa_id(struct aml *aml, const char *name, const char *id);

/* Name (name, Package () { values }) of integers. */
void aml_name_package(struct aml *aml, const char *name, const uint64_t *values,
		      uint8_t count);

/* A legacy device's resources; irq above 15, second port 0: none. */
struct aml_resources {
	uint16_t port;
	uint8_t port_count;
	uint8_t irq;
	uint16_t second; /* one more port */
	uint8_t dma;	 /* channels, a bit each */
};

/*
 * Descriptors of a resource template (6.4), to be closed by aml_resource_end()
 * and given as a buffer.
 */
enum aml_space { AML_MEMORY, AML_IO, AML_BUS };

/* A window of `size` bytes, numbers in 2, 4 or 8 bytes as `width` says. */
void aml_resource_window(struct table *out, enum aml_space space,
			 unsigned int width, uint64_t base, uint64_t size);
void aml_resource_ports(struct table *out, uint16_t base, uint8_t count);
void aml_resource_memory(struct table *out, uint32_t base, uint32_t size);
void aml_resource_end(struct table *out);

/* Name (_CRS, ResourceTemplate () { IO, IRQNoFlags }) */
void aml_name_resources(struct aml *aml, const struct aml_resources *res);

#endif

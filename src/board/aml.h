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

/* Name (name, value) */
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
void aml_name_string(struct aml *aml, const char *name, const char *value);

/* Name (name, EisaId (id)), as in "PNP0501". */
void aml_name_eisa_id(struct aml *aml, const char *name, const char *id);

/* Name (name, Package () { values }) of integers. */
void aml_name_package(struct aml *aml, const char *name, const uint64_t *values,
		      uint8_t count);

/* A legacy device's resources; irq above 15: none. */
struct aml_resources {
	uint16_t port;
	uint8_t port_count;
	uint8_t irq;
};

/* Name (_CRS, ResourceTemplate () { IO, IRQNoFlags }) */
void aml_name_resources(struct aml *aml, const struct aml_resources *res);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's ACPI tables (ACPI 6.4): RSDP, XSDT, FADT, MADT, DSDT, FACS.
 */
#ifndef LODGE_BOARD_ACPI_H
#define LODGE_BOARD_ACPI_H

#include <stdint.h>

#include "board/table.h"

#define ACPI_FACS_SIZE 64

struct acpi_machine {
	unsigned int cpus;
	uint64_t facs; /* guest-physical; RAM that the map reserves */
};

/* Writes the tables to `out`, the RSDP first. False: they do not fit. */
bool acpi_build(struct table *out, const struct acpi_machine *machine);

/* The table that goes to machine->facs. */
void acpi_build_facs(uint8_t facs[ACPI_FACS_SIZE]);

#endif

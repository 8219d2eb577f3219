/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's ACPI tables (ACPI 6.4): RSDP, XSDT, FADT, MADT, MCFG, DSDT,
 * FACS.
 */
#ifndef LODGE_BOARD_ACPI_H
#define LODGE_BOARD_ACPI_H

#include <stdint.h>

#include "board/pci_layout.h"
#include "board/table.h"

#define ACPI_FACS_SIZE 64

struct acpi_machine {
	unsigned int cpus;
	uint64_t facs; /* guest-physical; RAM that the map reserves */
	struct pci_layout pci;
};

/* Writes the tables to `out`, the RSDP first. False: they do not fit. */
bool acpi_build(struct table *out, const struct acpi_machine *machine);

/* The part of acpi_pci.c: PCI's devices in \_SB, and the table MCFG. */
struct aml;
void acpi_pci_devices(struct aml *aml, const struct pci_layout *pci);
uint32_t acpi_build_mcfg(struct table *out, const struct pci_layout *pci);

/* Opens a table, with a header that acpi_table_end() completes; its start. */
uint32_t acpi_table_begin(struct table *out, const char *signature,
			  uint8_t revision);
void acpi_table_end(struct table *out, uint32_t start);

/* The table that goes to machine->facs. */
void acpi_build_facs(uint8_t facs[ACPI_FACS_SIZE]);

#endif

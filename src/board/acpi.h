/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's ACPI tables (ACPI 6.4): RSDP, XSDT, FADT, MADT, MCFG, HPET,
 * DSDT, FACS.
 */
#ifndef LODGE_BOARD_ACPI_H
#define LODGE_BOARD_ACPI_H

#include <stdint.h>

#include "board/pci_layout.h"
#include "board/table.h"

#define ACPI_FACS_SIZE 64
#define ACPI_RSDP_SIZE 36
#define ACPI_RSDP_V1_SIZE 20 /* what the first checksum covers */
#define ACPI_RSDP_SUM_V1 8
#define ACPI_RSDP_XSDT	 24 /* where its address is */
#define ACPI_RSDP_SUM	 32

struct acpi_machine {
	unsigned int cpus;
	/* Guest-physical; RAM that the map reserves. 0: with the tables. */
	uint64_t facs;
	uint32_t hpet; /* hpet_id() */
	bool display; /* and keyboard and mouse */
	bool floppy;  /* controller */
	struct pci_layout pci;
};

/* Writes the tables to `out`, the RSDP first. False: they do not fit. */
bool acpi_build(struct table *out, const struct acpi_machine *machine);

/*
 * Everything but the RSDP, the FACS first when it is not elsewhere; where the
 * XSDT begins. `out->overflow` tells when they do not fit.
 */
uint32_t acpi_build_tables(struct table *out,
			   const struct acpi_machine *machine);

void acpi_build_rsdp(uint8_t rsdp[ACPI_RSDP_SIZE], uint64_t xsdt);

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

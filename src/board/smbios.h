/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's SMBIOS structures (DSP0134 3.0): what dmidecode and
 * inventory tools read.
 */
#ifndef LODGE_BOARD_SMBIOS_H
#define LODGE_BOARD_SMBIOS_H

#include <stdint.h>

#include "board/table.h"

struct smbios_machine {
	const char *name; /* the VM's name: system's serial number */
	unsigned int cpus;
	uint64_t memory;	/* bytes */
	uint32_t cpu_signature; /* CPUID 1: EAX */
	uint32_t cpu_features;	/* CPUID 1: EDX */
	const char *const *words; /* for programs of the guest */
	unsigned int word_count;  /* 255 at most */
};

/* The structures alone. False: they do not fit. */
bool smbios_build_structures(struct table *out,
			     const struct smbios_machine *machine);

/* The entry point (24 bytes) of `size` bytes of structures at `address`. */
void smbios_build_entry(struct table *out, uint64_t address, uint32_t size);

/* The entry point at the head of `out`, then the structures. */
bool smbios_build(struct table *out, const struct smbios_machine *machine);

#endif

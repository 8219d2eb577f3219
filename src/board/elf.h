/* SPDX-License-Identifier: Apache-2.0 */
/* ELF executables (System V gABI, chapters 4 and 5), 32 and 64 bits. */
#ifndef LODGE_BOARD_ELF_H
#define LODGE_BOARD_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "board/loader.h"

#define ELF_LOAD 1u /* segment types */
#define ELF_NOTE 4u

struct elf {
	const uint8_t *data;
	uint64_t size;
	bool wide; /* ELF64 */
	uint64_t entry;
	uint64_t segments; /* offset of the program headers */
	unsigned int segment_count, segment_size;
};

struct elf_segment {
	uint32_t type;
	uint64_t offset, file_size;    /* in the file */
	uint64_t address, memory_size; /* physical */
	uint64_t virtual, align;
};

/* NULL, or what is wrong with the file as an x86 executable. */
const char *elf_open(struct elf *elf, const uint8_t *data, uint64_t size);

/* Whether the file begins as ELF files do. */
bool elf_claims(const uint8_t *data, uint64_t size);

void elf_segment(const struct elf *elf, unsigned int index,
		 struct elf_segment *segment);

/* Loads all segments to their physical addresses; *end: behind the last. */
int elf_load(struct loader *loader, const struct elf *elf, uint64_t *end);

#endif

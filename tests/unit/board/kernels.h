/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small kernel files of each kind, made in memory, for the loaders' tests and
 * as first inputs of their fuzzers; and a machine to load them into.
 */
#ifndef LODGE_TESTS_KERNELS_H
#define LODGE_TESTS_KERNELS_H

#include <stdint.h>

#include "board/loader.h"

#define KERNEL_FILE_MAX 16384u

struct kernel_file {
	uint8_t data[KERNEL_FILE_MAX];
	uint32_t size;
};

/* Little-endian words into a file, to spoil or complete it. */
void kernel_put16(struct kernel_file *file, uint32_t at, uint16_t value);
void kernel_put32(struct kernel_file *file, uint32_t at, uint32_t value);
void kernel_put64(struct kernel_file *file, uint32_t at, uint64_t value);

#define KERNEL_LINUX_PAYLOAD 0x400u /* where it starts in the file */
#define KERNEL_LINUX_INIT    0x200000u

/* Protocol 2.15, preferred at 16 MiB, 2 MiB of memory to start. */
void kernel_linux(struct kernel_file *file);

/* ELF64: text at 1 MiB, 8 KiB of zeroes behind; PVH entry at 0x100010. */
void kernel_pvh(struct kernel_file *file);

/* Multiboot with ELF32 or ELF64, entry at 0x100020; by addresses. */
void kernel_multiboot_elf32(struct kernel_file *file);
void kernel_multiboot_elf64(struct kernel_file *file);
void kernel_multiboot_raw(struct kernel_file *file);

/* Memory, map and processor as board_load() gives them to a loader. */
struct loader_machine {
	struct memory memory;
	struct x86_state state;
	struct board_boot boot;
	struct boot_error error;
	struct loader loader;
};

void loader_machine_init(struct loader_machine *machine, uint64_t memory);
void loader_machine_fini(struct loader_machine *machine);

/* Words of guest memory; UINT64_MAX outside. */
uint64_t loader_machine_peek(struct loader_machine *machine, uint64_t addr,
			     unsigned int size);

#endif

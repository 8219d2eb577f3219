/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel loaders share. A loader knows guest memory, the memory map
 * and one processor's state, nothing of the rest of the board, so that it
 * runs alone in tests and fuzzers.
 */
#ifndef LODGE_BOARD_LOADER_H
#define LODGE_BOARD_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "board/board.h"
#include "board/e820.h"
#include "vm/memory.h"
#include "x86/state.h"

struct loader {
	struct memory *memory;
	struct e820 map;
	uint64_t rsdp; /* guest-physical */
	const struct board_boot *boot;
	struct x86_state *state; /* bootstrap processor, at power-on */
	struct boot_error *error;
};

/* One kind of kernel file. */
struct loader_format {
	const char *name;
	bool (*claims)(const struct board_boot *boot);
	int (*load)(struct loader *loader);
};

extern const struct loader_format linux_format;
extern const struct loader_format pvh_format;
extern const struct loader_format multiboot_format;
extern const struct loader_format flat_format;

/* Finds the format and loads; 0 or -EINVAL with loader->error set. */
int loader_run(struct loader *loader);

/*
 * Says what is wrong and gives -EINVAL. `format` knows %s, %u, %x (unsigned
 * int), %llu and %llx (unsigned long long).
 */
int loader_fail(struct loader *loader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Whether [offset, offset + length) lies in a file of `size` bytes. */
bool loader_in_file(uint64_t size, uint64_t offset, uint64_t length);

/* Little-endian words of a file; the caller has checked the offset. */
uint16_t loader_u16(const uint8_t *data);
uint32_t loader_u32(const uint8_t *data);
uint64_t loader_u64(const uint8_t *data);

/*
 * Whether a kernel may lie in [base, base + size): RAM that neither the
 * loaders' own area nor firmware tables use.
 */
bool loader_may_use(const struct loader *loader, uint64_t base, uint64_t size);

/* Copies to guest memory; -EINVAL with an error when it is not RAM. */
int loader_write(struct loader *loader, uint64_t addr, const void *data,
		 uint64_t size);
int loader_zero(struct loader *loader, uint64_t addr, uint64_t size);

/*
 * Writes `first`, a blank and the command line (or only one of them) at
 * LAYOUT_CMDLINE. Fails when they are longer than `max` bytes without NUL.
 */
int loader_write_cmdline(struct loader *loader, const char *first,
			 uint32_t max);

/* Number of modules, the initrd as the first one included. */
unsigned int loader_module_count(const struct loader *loader);
void loader_module(const struct loader *loader, unsigned int index,
		   struct boot_module *module);

/* Says that module `index` does not fit. */
int loader_fail_module(struct loader *loader, unsigned int index);

/* Refuses modules behind the initrd for kernels that take none. */
int loader_refuse_modules(struct loader *loader);

/*
 * Where `size` bytes fit, page-aligned, below `top` and above `bottom` in the
 * RAM from 1 MiB to the hole, as high as can be. 0: nowhere.
 */
uint64_t loader_find_high(const struct loader *loader, uint64_t bottom,
			  uint64_t top, uint64_t size);

/* Flat 32-bit protected mode without paging, entered at `entry`. */
int loader_enter_32(struct loader *loader, uint32_t entry);

/* 64-bit mode, the first 4 GiB mapped one to one, entered at `entry`. */
int loader_enter_64(struct loader *loader, uint64_t entry);

#endif

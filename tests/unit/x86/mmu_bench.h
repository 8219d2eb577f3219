/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor, page tables in its memory, a ROM, a device and an xAPIC: what
 * the tests of paging stand on. Each test program has one.
 */
#ifndef LODGE_MMU_BENCH_H
#define LODGE_MMU_BENCH_H

#include <string.h>

#include "fake/host.h"
#include "fake/test.h"
#include "x86/access.h"

#define RAM_SIZE  0x400000u
#define ROM_BASE  0xfff00000u
#define ROM_SIZE  0x10000u
#define MMIO_BASE 0xd0000000u
#define MMIO_SIZE 0x1000u

/* Tables in RAM. */
#define TOP	  0x10000u
#define PDPT	  0x11000u
#define PD	  0x12000u
#define PT	  0x13000u
#define DATA	  0x200000u /* what the tests map */

#define P  0x01u
#define W  0x02u
#define U  0x04u
#define A  0x20u
#define D  0x40u
#define PS 0x80u
#define G  0x100u
#define NX ((uint64_t)1 << 63)

#define LINEAR 0x40000000u

struct bench {
	struct vm vm;
	struct cpuid_policy policy;
	struct x86_cpu *cpu;
	uint64_t mmio_at, mmio_value;
	unsigned int mmio_size, flushes;
	uint32_t apic_offset, apic_value;
};

extern struct bench bench;

int setup(void **state);
int teardown(void **state);

/* Guest memory. */
uint64_t peek(uint64_t at);
void poke(uint64_t at, uint64_t v);
void poke32(uint64_t at, uint32_t v);

/* Flat protected mode at `cpl`; paging as cr0, cr4 and efer say. */
struct x86_cpu *enter(uint64_t cr0, uint64_t cr4, uint64_t efer,
		      unsigned int cpl);
struct x86_cpu *enter_long(unsigned int cpl, uint64_t cr4);

/* Map LINEAR to DATA with `flags` in the last level: in four levels, by PAE,
 * by 32-bit paging. */
void map_long(uint64_t flags);
void map_pae(uint64_t flags);
void map_narrow(uint32_t flags);

enum x86_result load(uint64_t linear, uint64_t *v);
enum x86_result store(uint64_t linear, uint64_t v);
bool tlb_has(enum x86_tlb_access access, uint64_t linear);

void assert_page_fault(enum x86_result r, uint64_t at, uint32_t error);
void assert_loads(uint64_t linear, uint64_t expected);

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif

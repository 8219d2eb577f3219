/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor with flat memory for unit tests of single instructions: paging
 * is off, code runs at CPL 0 unless a test changes the state.
 */
#ifndef LODGE_TEST_MACHINE_UNDER_TEST_H
#define LODGE_TEST_MACHINE_UNDER_TEST_H

#include "vm/vm.h"
#include "x86/cpu.h"

#define TEST_RAM  0x200000u
#define TEST_DATA 0x10000u /* 64-byte aligned */
#define TEST_CODE 0x1000u

enum test_mode {
	TEST_LONG, /* 64-bit code, paging on, identity-mapped */
	TEST_PROT32,
	TEST_PROT16,
	TEST_REAL,
};

/* cmocka set-up and tear-down; *state becomes the struct x86_cpu. */
int test_cpu_open(void **state);
int test_cpu_close(void **state);

/* Puts the processor into a mode; registers and x87 as after reset. */
void test_cpu_mode(struct x86_cpu *cpu, enum test_mode mode);

/*
 * Runs the instruction; RBX (or BX) addresses TEST_DATA. Gives the vector of
 * the exception that it raised, or -1.
 */
int test_run(struct x86_cpu *cpu, const uint8_t *bytes, unsigned int size);

#define TEST_RUN(cpu, ...)                                                     \
	test_run(cpu, (const uint8_t[]){ __VA_ARGS__ },                        \
		 sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* The guest's memory at TEST_DATA. */
uint8_t *test_data(struct x86_cpu *cpu);

#endif

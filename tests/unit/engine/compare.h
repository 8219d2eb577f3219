/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction-level comparison of the software CPU with the host processor:
 * what both sides start from and end with, and the parts of the test.
 *
 * Memory operands lie in a data window that has the same linear address in
 * this process and in the guest.
 */
#ifndef LODGE_TEST_COMPARE_H
#define LODGE_TEST_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

#include "fake/random.h"
#include "x86/state.h"

#define DATA_BASE 0x20000000u
#define DATA_SIZE 0x2000u /* unmapped on both sides */

#define FLAGS_SEEN 0xcd5u /* CF PF AF ZF SF DF OF */

#define NO_VECTOR (-1)

/* Everything an instruction may change, as the XSAVE standard format has it;
 * components of AVX-512 where x86/state.h has them. */
struct machine {
	_Alignas(64) uint8_t xsave[X86_XSAVE_PKRU];
	uint64_t gpr[16];
	uint64_t flags;
	int vector; /* exception, or NO_VECTOR */
	uint8_t data[DATA_SIZE];
};

struct sample {
	uint8_t bytes[16];
	unsigned int length;
	uint32_t undefined; /* flags to leave out */
	ZydisDecodedInstruction zi;
};

/* An encoding whose register numbers, address and immediate are free. */
struct form {
	uint8_t vex;	/* enum x86_encoding */
	uint8_t map;	/* 0: one-byte, 1: 0F, 2: 0F38, 3: 0F3A */
	uint8_t prefix; /* 0, 66, F3, F2 */
	uint8_t w, l;
	uint8_t b; /* of EVEX */
	uint8_t opcode;
	uint8_t modrm; /* 1: has one */
	uint8_t ext;   /* ModRM.reg when it extends the opcode, else FREE */
	uint8_t rm;    /* ModRM.rm likewise */
	uint8_t opcode_register; /* the opcode's low bits name a register */
	uint8_t mem;
	uint8_t imm; /* bytes */
	ZydisMnemonic mnemonic;
	uint32_t signature; /* of operand types and sizes */
};

#define FREE	  0xff
#define FORMS_MAX 16384

/* forms.c */
unsigned int forms_find(struct form *forms);

/*
 * Draws an instruction of the form and points the registers of its address
 * into the data window. False when it did not succeed.
 */
bool forms_draw(const struct form *form, struct sample *s, struct machine *m);

/* machine.c: contents of registers, and xorshift64*, seeded by main */
void machine_randomise(struct machine *m);

/* Parts of the state that only AVX-512 has. */
extern const struct component {
	uint32_t number, offset, size; /* in machine.xsave */
} avx512_components[3];

/* on_host.c: runs the sample on this processor. */
void on_host_open(void);
bool on_host_avx512(void); /* registers of AVX-512 take part */
void on_host_run(const struct sample *s, const struct machine *in,
		 struct machine *out);

/* on_soft.c: the same on the software CPU. */
void on_soft_open(void);
void on_soft_close(void);
void on_soft_run(const struct sample *s, const struct machine *in,
		 struct machine *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that draw programs share: the program as far as it is, and
 * the instruction being put together.
 */
#ifndef LODGE_TEST_REWRITE_DRAW_H
#define LODGE_TEST_REWRITE_DRAW_H

#include <Zydis/Zydis.h>

#include "test_rewrite.h"

#define DRAW_BLOCKS_MAX 6u
#define DRAW_TARGETS	(REWRITE_WORDS + 0x40) /* pointers to blocks */

struct drawing {
	struct program *p;
	unsigned int block;
	uint32_t at;
	uint32_t start[DRAW_BLOCKS_MAX + 1]; /* the last is REWRITE_STOP */
	unsigned int blocks;
	uint8_t pointers[5], smalls[3];
	uint16_t precious; /* registers of those two kinds */
	bool x87;	   /* many x87 instructions */
	bool streams;	   /* this block is a loop over memory */
	bool on_stack;	   /* this block works on the stack */
	unsigned int favourite; /* pointer of this block */
	unsigned int favourite_index, favourite_scale; /* index 4: none */
};

struct code {
	uint8_t bytes[32];
	unsigned int length;
	bool adsize_prefix;
};

/* What a memory operand is made of. */
struct draw_address {
	unsigned int mod, rm;
	bool sib;
	unsigned int base, index, scale;
	unsigned int disp_size;
	int32_t disp;
	bool rip;
};

void draw_put(struct code *c, unsigned int byte);
void draw_put_value(struct code *c, uint64_t v, unsigned int size);

/* A register that points into the data; that holds a small number; one to
 * change, seldom of those two. */
unsigned int draw_pointer(const struct drawing *d);
unsigned int draw_small(const struct drawing *d);
unsigned int draw_register(const struct drawing *d);

/* A linear address of data, and the same as offset in DS. */
uint32_t draw_data_address(void);
uint32_t draw_offset(const struct drawing *d);

void draw_add_piece(struct drawing *d, const struct code *c);
void draw_add_bytes(struct drawing *d, uint64_t bytes, unsigned int count);
bool draw_fits_short(const struct drawing *d, uint32_t target);
bool draw_far_away(const struct drawing *d, uint32_t target);

/* test_rewrite_flags.c: flags that are undefined where the program ends now;
 * the same behind one more instruction, false when it reads one of them. */
uint32_t draw_undefined_now(struct drawing *d);
bool draw_follow_flags(const ZydisDecodedInstruction *zi, uint32_t *undefined);
bool draw_decode(const uint8_t *bytes, unsigned int bits,
		 ZydisDecodedInstruction *zi, ZydisDecodedOperand *zo);

/* test_rewrite_branch.c: jumps to `target` on some condition; ends the block,
 * and notes whether that keeps every flag alive. */
void draw_condition(struct drawing *d, uint32_t target);
void draw_end(struct drawing *d);

/* test_rewrite_stream.c: the body of a loop. */
void draw_stream(struct drawing *d);

/* test_rewrite_stack.c: an instruction or two that work on the stack. */
void draw_on_stack(struct drawing *d);

/* test_rewrite_special.c */
void draw_control(struct drawing *d);
void draw_favourite_move(struct drawing *d);
void draw_division(struct drawing *d);
void draw_special(struct drawing *d);
/* A new instruction, maybe with operands of the other size. */
void draw_maybe_other_size(struct code *c);

/* test_rewrite_narrow.c: 16- and 32-bit code. */
void draw_narrow_segments(struct drawing *d);
void draw_narrow_registers(struct drawing *d);
unsigned int draw_adsize(const struct drawing *d, const struct code *c);
void draw_narrow_modrm(const struct drawing *d, struct code *c,
		       unsigned int reg);
/* ModRM of a mere offset in DS. */
void draw_put_offset(const struct drawing *d, struct code *c, unsigned int reg,
		     uint32_t address);
/* Leads to `next`, or to `other`; notes whether all flags are alive. */
void draw_narrow_end(struct drawing *d, uint32_t next, uint32_t other,
		     bool *all_live);

#endif

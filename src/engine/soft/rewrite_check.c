/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of pages whose code changes often (change.c): host code compares the
 * bytes in guest memory with those that it was made from, eight at a time,
 * and leaves when they differ. It calls a routine for their number. The run loop then decodes what is there, which
 * may want flags that this block does not.
 */
#include "engine/soft/rewrite_impl.h"

#define BYTES 8u

void rewrite_save_flags(struct emit *e)
{
	const struct emit_mem rax = rewrite_word(WORD_TARGET);
	const struct emit_mem flags = rewrite_word(WORD_FLAGS);

	emit_store(e, HOST_RAX, &rax);
	emit_8(e, 0x9f); /* lahf */
	emit_rm_reg(e, 0, false, false, 0x0f90, 0, HOST_RAX); /* seto al */
	emit_store(e, HOST_RAX, &flags);
}

void rewrite_restore_flags(struct emit *e)
{
	const struct emit_mem rax = rewrite_word(WORD_TARGET);
	const struct emit_mem flags = rewrite_word(WORD_FLAGS);

	emit_load(e, HOST_RAX, &flags);
	emit_8(e, 0x04); /* add al, 0x7f */
	emit_8(e, 0x7f);
	emit_8(e, 0x9e); /* sahf */
	emit_load(e, HOST_RAX, &rax);
}

void rewrite_check_source(struct rewrite *t)
{
	emit_const(&t->e, HOST_R9, (uint64_t)(uintptr_t)t->block);
	emit_call(&t->e, t->rw->check_source[t->block->bytes / BYTES]);
}

static struct emit_mem field(size_t offset)
{
	return emit_at(HOST_R9, (int32_t)offset);
}

/* movzx from a field of the block at r9 */
static void load_byte(struct emit *e, unsigned int to, size_t offset)
{
	const struct emit_mem m = field(offset);

	emit_rm_mem(e, 0, false, 0x0fb6, to, &m);
}

/* `size` bytes of those at r10 and r11, `at` from rcx if that is `index`. To
 * `differ` if they do; 0: gives the jump. Uses rax. */
static uint8_t *compare(struct emit *e, unsigned int index, int32_t at,
			unsigned int size, uint64_t differ)
{
	const struct emit_mem now = { .base = HOST_R10, .disp = at,
				      .index = (uint8_t)index };
	const struct emit_mem then = { .base = HOST_R11, .disp = at,
				       .index = (uint8_t)index };

	emit_rm_mem(e, 0, size == 8, size == 8 ? 0x8b : 0x8a, HOST_RAX, &then);
	emit_rm_mem(e, 0, size == 8, size == 8 ? 0x3b : 0x3a, HOST_RAX, &now);
	return emit_jcc(e, 5, differ);
}

/* Flags, rcx and rax in memory; the source at r10, and what it was at r11. */
static void begin(struct emit *e)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem source = field(offsetof(struct block, source));
	const struct emit_mem bytes = {
		.base = HOST_R9, .index = HOST_RAX,
		.disp = offsetof(struct block, insn) + sizeof(struct x86_insn),
	};

	_Static_assert(sizeof(struct x86_insn) == 64, "shifted by that");
	rewrite_save_flags(e);
	emit_store(e, HOST_RCX, &rcx);
	load_byte(e, HOST_RCX, offsetof(struct block, bytes));
	load_byte(e, HOST_RAX, offsetof(struct block, count));
	emit_rm_reg(e, 0, false, false, 0xc1, 4, HOST_RAX); /* shl */
	emit_8(e, 6);
	emit_lea(e, true, HOST_R11, &bytes); /* block_bytes() */
	emit_load(e, HOST_R10, &source);
}

static void end(struct emit *e)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);

	emit_load(e, HOST_RCX, &rcx);
	rewrite_restore_flags(e);
}

static uint64_t put_differ(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem rip = field(offsetof(struct block, rip));
	const struct emit_mem above = emit_at(HOST_RSP, 8);
	uint64_t here = emit_here(e);

	end(e);
	emit_load(e, HOST_R9, &rip);
	emit_lea(e, true, HOST_RSP, &above);
	emit_jmp(e, rw->sought);
	return here;
}

/* Blocks of less than eight bytes. */
static void put_few(struct rewriter *rw, struct emit *e, uint64_t differ)
{
	const struct emit_mem less = emit_at(HOST_RCX, -1);
	uint64_t again;
	uint8_t *none;

	rw->check_source[0] = emit_here(e);
	begin(e);
	again = emit_here(e);
	none = emit_jrcxz(e);
	compare(e, HOST_RCX, -1, 1, differ);
	emit_lea(e, true, HOST_RCX, &less);
	emit_jmp(e, again);
	emit_land_8(e, none);
	end(e);
	emit_8(e, 0xc3);
}

/* Called with the block in r9; come back if its bytes are the same. Use r10
 * and r11. For so many whole pieces: these, and the last eight bytes. */
void rewrite_stub_source(struct rewriter *rw, struct emit *e)
{
	uint64_t differ = put_differ(rw, e), piece[REWRITE_SOURCES];

	put_few(rw, e, differ);
	for (unsigned int i = REWRITE_SOURCES; i-- > 1;) {
		piece[i] = emit_here(e);
		compare(e, HOST_NONE, (int32_t)((i - 1) * BYTES), BYTES,
			differ);
	}
	end(e);
	emit_8(e, 0xc3);
	for (unsigned int i = 1; i < REWRITE_SOURCES; i++) {
		rw->check_source[i] = emit_here(e);
		begin(e);
		compare(e, HOST_RCX, -(int32_t)BYTES, BYTES, differ);
		emit_jmp(e, piece[i]);
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of pages whose code changes often (change.c): host code compares the
 * bytes in guest memory with those that it was made from, eight at a time,
 * and leaves when they differ. The run loop then decodes what is there, which
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
	const struct block *b = t->block;
	const uint8_t *bytes = block_bytes(t->block);
	uint8_t *differ[UINT8_MAX / BYTES + 3], *same;
	unsigned int jumps = 0, size;
	struct emit *e = &t->e;
	uint64_t v;

	rewrite_save_flags(e);
	emit_const(e, HOST_R9, (uint64_t)(uintptr_t)b->source);
	for (unsigned int at = 0; at < b->bytes; at += size) {
		const struct emit_mem m = emit_at(HOST_R9, (int32_t)at);

		size = b->bytes - at;
		size = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
		v = 0;
		memcpy(&v, bytes + at, size);
		emit_const(e, HOST_R10, v);
		/* cmp [r9 + at], r10 */
		emit_rm_mem(e, size == 2 ? 0x66 : 0, size == 8,
			    size == 1 ? 0x38 : 0x39, HOST_R10, &m);
		differ[jumps++] = emit_jcc(e, 5, 0);
	}
	same = emit_jmp(e, 0);
	while (jumps)
		emit_land_32(e, differ[--jumps]);
	rewrite_restore_flags(e);
	emit_const(e, HOST_R9, b->rip);
	emit_jmp(e, t->rw->sought);
	emit_land_32(e, same);
	rewrite_restore_flags(e);
}

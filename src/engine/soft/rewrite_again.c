/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is looked for again: instructions of host code's blocks, of which there
 * are no rows, for the interpreter; and which blocks are to be made otherwise
 * the next time.
 *
 * An instruction is decoded once more from guest memory. Those that were
 * lately are remembered, as the TLB misses of a few are many.
 */
#include "engine/soft/rewrite_impl.h"

#include "engine/soft/soft.h"
#include "vm/error.h"

int rewrite_again_open(struct rewriter *rw)
{
	rw->again = host_alloc(REWRITE_AGAINS * sizeof(*rw->again));
	return rw->again ? 0 : -VM_ENOMEM;
}

void rewrite_again_close(struct rewriter *rw)
{
	host_free(rw->again);
}

void rewrite_again_flush(struct rewriter *rw)
{
	memset(rw->again, 0, REWRITE_AGAINS * sizeof(*rw->again));
	memset(rw->apart, 0, sizeof(rw->apart));
}

/* --- instructions --------------------------------------------------------- */

const struct x86_insn *rewrite_again(struct x86_cpu *cpu, struct block *block,
				     unsigned int index, unsigned int offset)
{
	struct soft_cpu *soft = cpu->engine;
	gpa_t address = gpa(block->address + offset);
	unsigned int left = PAGE_SIZE - (unsigned int)(address.v & 0xfff);
	uint64_t hash = (address.v + block->linear) * 0x9e3779b97f4a7c15u;
	struct rewrite_again *again =
		&soft->rewriter.again[hash >> 40 & (REWRITE_AGAINS - 1)];
	struct x86_insn insn;
	const uint8_t *bytes;

	if (block->rows >> index & 1)
		return block_insn(block, index);
	if (again->block == block && again->insn.offset == offset)
		return &again->insn;
	bytes = memory_for_read(&cpu->vm->memory, address, left);
	if (!bytes || x86_decode(&insn, bytes, left, block->mode) <= 0)
		return NULL;
	insn.offset = (uint8_t)offset;
	x86_bind(cpu, &insn);
	/* Then it is what the block was made from. */
	if (!block_is_current(block))
		return NULL;
	*again = (struct rewrite_again){ block, insn };
	return &again->insn;
}

/* --- blocks --------------------------------------------------------------- */

static unsigned int apart_bit(const struct block *block)
{
	return block->linear * 0x9e3779b97f4a7c15u >> 40 & (REWRITE_APART - 1);
}

bool rewrite_wants_apart(const struct rewriter *rw, const struct block *block)
{
	unsigned int bit = apart_bit(block);

	return rw->apart[bit / 64] >> (bit % 64) & 1;
}

void rewrite_want_apart(struct rewriter *rw, const struct block *block)
{
	unsigned int bit = apart_bit(block);

	rw->apart[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments of 16- and 32-bit code in host code: from an effective address to
 * a linear one, and whether a jump stays within the code segment. What the
 * descriptors allow is in x86_cpu.reach, ready for one comparison; anything
 * beyond is the interpreter's, which raises the fault or knows better
 * (segments that expand down). Flat segments need none of that: what would
 * wrap at 4 GiB straddles a page, and misses the TLB.
 */
#include "engine/soft/rewrite_impl.h"

static struct emit_mem reach_of(unsigned int seg, bool write)
{
	return emit_gs(offsetof(struct x86_cpu, reach) +
		       seg * sizeof(struct x86_reach) +
		       (write ? offsetof(struct x86_reach, write) :
				offsetof(struct x86_reach, read)));
}

static void check_with_flags(struct rewrite *t, const struct emit_mem *end,
			     const struct emit_mem *reach)
{
	emit_lea(&t->e, true, HOST_R10, end);
	emit_rm_mem(&t->e, 0, true, 0x3b, HOST_R10, reach); /* cmp */
	rewrite_miss(t, emit_jcc(&t->e, 7, 0), HOST_RCX); /* ja */
}

/*
 * To the interpreter when r10, less `first` of r9, is negative; no flag is
 * touched. r11 may belong to a share.
 */
static void miss_when_below(struct rewrite *t, int32_t first)
{
	const struct emit_mem rcx = rewrite_word(WORD_RCX);
	const struct emit_mem used = emit_at(HOST_R9, first);
	const struct emit_mem left = { .base = HOST_RCX, .index = HOST_R10,
				       .disp = 1 };
	struct emit *e = &t->e;
	uint8_t *within;

	emit_store(e, HOST_RCX, &rcx);
	emit_lea(e, true, HOST_RCX, &used);
	emit_rm_reg(e, 0, true, false, 0xf7, 2, HOST_RCX); /* not */
	emit_lea(e, true, HOST_RCX, &left);
	emit_const(e, HOST_R10, 63);
	emit_shrx(e, HOST_RCX, HOST_RCX, HOST_R10);
	within = emit_jrcxz(e);
	rewrite_miss(t, emit_jmp(e, 0), HOST_NONE);
	emit_land_8(e, within);
	emit_load(e, HOST_RCX, &rcx);
}

void rewrite_segment(struct rewrite *t, unsigned int seg, unsigned int size,
		     bool write)
{
	const struct emit_mem base =
		emit_gs(offsetof(struct x86_state, seg) +
			seg * sizeof(struct x86_segment) +
			offsetof(struct x86_segment, base));
	const struct emit_mem sum = { .base = HOST_R9, .index = HOST_R10 };
	const struct emit_mem end = emit_at(HOST_R9, (int32_t)size);
	const struct emit_mem reach = reach_of(seg, write);

	if ((t->block->mode & X86_MODE_FLAT) && seg < X86_FS &&
	    !(seg == X86_CS && write))
		return;
	if (t->flags_live) {
		emit_load(&t->e, HOST_R10, &reach);
		miss_when_below(t, (int32_t)size);
	} else {
		check_with_flags(t, &end, &reach);
	}
	emit_load(&t->e, HOST_R10, &base);
	emit_lea(&t->e, false, HOST_R9, &sum);
}

void rewrite_check_target(struct rewrite *t, unsigned int opsize)
{
	uint64_t limit = t->block->segment >> 32;

	if ((t->block->mode & X86_MODE_FLAT) ||
	    (opsize == 2 && limit >= UINT16_MAX))
		return;
	emit_const(&t->e, HOST_R10, limit);
	miss_when_below(t, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a decoded instruction to its handler: the opcode maps as tables.
 * An entry names a pick function (handlers specialised by size and operand
 * kind), one fast handler, or a slow handler behind x86_run_slow(). What has
 * no entry goes to the native executor, or raises #UD.
 *
 * Intel SDM vol. 2, appendix A; AMD64 APM vol. 3, appendix A.
 */
#include "x86/exec.h"
#include "x86/flags.h"
#include "x86/handlers.h"

enum {
	NO_64 = 1,   /* #UD in 64-bit code */
	END = 2,     /* a block ends here */
	NATIVE = 4,  /* the native executor's */
};

struct binding {
	x86_pick *pick;
	x86_handler *fast;
	x86_handler *slow;
	unsigned int flags;
};

#define PICK(fn)      { .pick = (fn) }
#define FAST(fn)      { .fast = (fn) }
#define SLOW(fn)      { .slow = (fn) }
#define SLOW_NO64(fn) { .slow = (fn), .flags = NO_64 }
#define FAST_NO64(fn) { .fast = (fn), .flags = NO_64 }
#define BRANCH(fn)    { .pick = (fn), .flags = END }

static enum x86_result undefined(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	return x86_raise(cpu, X86_UD);
}

static const struct binding map_one[256] = {
	[0x00 ... 0x05] = PICK(x86_pick_alu),
	[0x06] = SLOW_NO64(x86_push_seg),
	[0x07] = SLOW_NO64(x86_pop_seg),
	[0x08 ... 0x0d] = PICK(x86_pick_alu),
	[0x0e] = SLOW_NO64(x86_push_seg),
	[0x10 ... 0x15] = PICK(x86_pick_alu),
	[0x16] = SLOW_NO64(x86_push_seg),
	[0x17] = SLOW_NO64(x86_pop_seg),
	[0x18 ... 0x1d] = PICK(x86_pick_alu),
	[0x1e] = SLOW_NO64(x86_push_seg),
	[0x1f] = SLOW_NO64(x86_pop_seg),
	[0x20 ... 0x25] = PICK(x86_pick_alu),
	[0x27] = FAST_NO64(x86_bcd),
	[0x28 ... 0x2d] = PICK(x86_pick_alu),
	[0x2f] = FAST_NO64(x86_bcd),
	[0x30 ... 0x35] = PICK(x86_pick_alu),
	[0x37] = FAST_NO64(x86_bcd),
	[0x38 ... 0x3d] = PICK(x86_pick_alu),
	[0x3f] = FAST_NO64(x86_bcd),
	[0x40 ... 0x4f] = PICK(x86_pick_inc_dec),
	[0x50 ... 0x5f] = PICK(x86_pick_push_pop),
	[0x60] = FAST_NO64(x86_pusha),
	[0x61] = FAST_NO64(x86_popa),
	[0x62] = FAST_NO64(x86_bound),
	[0x63] = SLOW_NO64(x86_arpl),
	[0x68] = PICK(x86_pick_push_pop),
	[0x69] = PICK(x86_pick_imul),
	[0x6a] = PICK(x86_pick_push_pop),
	[0x6b] = PICK(x86_pick_imul),
	[0x6c ... 0x6d] = SLOW(x86_ins),
	[0x6e ... 0x6f] = SLOW(x86_outs),
	[0x70 ... 0x7f] = BRANCH(x86_pick_jcc),
	[0x80 ... 0x81] = PICK(x86_pick_alu_group),
	[0x82] = { .pick = x86_pick_alu_group, .flags = NO_64 },
	[0x83] = PICK(x86_pick_alu_group),
	[0x84 ... 0x85] = PICK(x86_pick_test),
	[0x86 ... 0x87] = PICK(x86_pick_exchange),
	[0x88 ... 0x8b] = PICK(x86_pick_mov),
	[0x8c] = SLOW(x86_mov_from_seg),
	[0x8d] = PICK(x86_pick_lea),
	[0x8e] = SLOW(x86_mov_to_seg),
	[0x8f] = PICK(x86_pick_push_pop),
	[0x90 ... 0x97] = PICK(x86_pick_exchange),
	[0x98 ... 0x99] = PICK(x86_pick_convert),
	[0x9a] = SLOW_NO64(x86_far_call),
	[0x9b] = FAST(x86_fwait),
	[0x9c] = SLOW(x86_pushf),
	[0x9d] = SLOW(x86_popf),
	[0x9e ... 0x9f] = FAST(x86_flag_op),
	[0xa0 ... 0xa3] = PICK(x86_pick_mov),
	[0xa4 ... 0xa7] = PICK(x86_pick_string),
	[0xa8 ... 0xa9] = PICK(x86_pick_test),
	[0xaa ... 0xaf] = PICK(x86_pick_string),
	[0xb0 ... 0xbf] = PICK(x86_pick_mov),
	[0xc0 ... 0xc1] = PICK(x86_pick_shift),
	[0xc2 ... 0xc3] = BRANCH(x86_pick_branch),
	[0xc4 ... 0xc5] = SLOW_NO64(x86_load_far),
	[0xc6 ... 0xc7] = PICK(x86_pick_mov),
	[0xc8] = FAST(x86_enter),
	[0xc9] = FAST(x86_leave),
	[0xca ... 0xcb] = SLOW(x86_far_return),
	[0xcc ... 0xcd] = SLOW(x86_int),
	[0xce] = SLOW_NO64(x86_int),
	[0xcf] = SLOW(x86_iret),
	[0xd0 ... 0xd3] = PICK(x86_pick_shift),
	[0xd4 ... 0xd5] = FAST_NO64(x86_bcd),
	[0xd6] = FAST_NO64(x86_salc),
	[0xd7] = FAST(x86_xlat),
	[0xd8 ... 0xdf] = { .flags = NATIVE },
	[0xe0 ... 0xe3] = BRANCH(x86_pick_branch),
	[0xe4 ... 0xe5] = SLOW(x86_in),
	[0xe6 ... 0xe7] = SLOW(x86_out),
	[0xe8 ... 0xe9] = BRANCH(x86_pick_branch),
	[0xea] = SLOW_NO64(x86_far_jump),
	[0xeb] = BRANCH(x86_pick_branch),
	[0xec ... 0xed] = SLOW(x86_in),
	[0xee ... 0xef] = SLOW(x86_out),
	[0xf1] = SLOW(x86_int),
	[0xf4] = SLOW(x86_hlt),
	[0xf5] = FAST(x86_flag_op),
	[0xf6 ... 0xf7] = PICK(x86_pick_group3),
	[0xf8 ... 0xf9] = FAST(x86_flag_op),
	[0xfa] = FAST(x86_cli),
	[0xfb] = SLOW(x86_sti),
	[0xfc ... 0xfd] = FAST(x86_flag_op),
	[0xfe] = PICK(x86_pick_group4),
	[0xff] = PICK(x86_pick_group5),
};

static const struct binding map_0f[256] = {
	[0x00] = SLOW(x86_group_0f00),
	[0x01] = SLOW(x86_group_0f01),
	[0x02] = SLOW(x86_lar),
	[0x03] = SLOW(x86_lsl),
	[0x05] = SLOW(x86_syscall),
	[0x06] = SLOW(x86_clts),
	[0x07] = SLOW(x86_sysret),
	[0x08 ... 0x09] = SLOW(x86_invd),
	[0x0d] = FAST(x86_prefetchw),
	[0x10 ... 0x17] = { .flags = NATIVE },
	[0x18 ... 0x1f] = FAST(x86_nop), /* PREFETCHh, ENDBR, long NOP */
	[0x20] = SLOW(x86_mov_cr),
	[0x21] = SLOW(x86_mov_dr),
	[0x22] = SLOW(x86_mov_cr),
	[0x23] = SLOW(x86_mov_dr),
	[0x28 ... 0x2f] = { .flags = NATIVE },
	[0x30] = SLOW(x86_wrmsr),
	[0x31] = FAST(x86_rdtsc),
	[0x32] = SLOW(x86_rdmsr),
	[0x33] = SLOW(x86_rdpmc),
	[0x34] = SLOW(x86_sysenter),
	[0x35] = SLOW(x86_sysexit),
	[0x40 ... 0x4f] = PICK(x86_pick_cmov),
	[0x50 ... 0x76] = { .flags = NATIVE },
	[0x77] = FAST(x86_emms),
	[0x7c ... 0x7f] = { .flags = NATIVE },
	[0x80 ... 0x8f] = BRANCH(x86_pick_jcc),
	[0x90 ... 0x9f] = PICK(x86_pick_setcc),
	[0xa0] = SLOW(x86_push_seg),
	[0xa1] = SLOW(x86_pop_seg),
	[0xa2] = FAST(x86_cpuid),
	[0xa3] = PICK(x86_pick_bit_test),
	[0xa4 ... 0xa5] = PICK(x86_pick_shift_double),
	[0xa8] = SLOW(x86_push_seg),
	[0xa9] = SLOW(x86_pop_seg),
	[0xab] = PICK(x86_pick_bit_test),
	[0xac ... 0xad] = PICK(x86_pick_shift_double),
	[0xae] = FAST(x86_group_0fae),
	[0xaf] = PICK(x86_pick_imul),
	[0xb0 ... 0xb1] = PICK(x86_pick_cmpxchg),
	[0xb2] = SLOW(x86_load_far),
	[0xb3] = PICK(x86_pick_bit_test),
	[0xb4 ... 0xb5] = SLOW(x86_load_far),
	[0xb6 ... 0xb7] = PICK(x86_pick_extend),
	[0xb8] = PICK(x86_pick_bit_scan),
	[0xba ... 0xbb] = PICK(x86_pick_bit_test),
	[0xbc ... 0xbd] = PICK(x86_pick_bit_scan),
	[0xbe ... 0xbf] = PICK(x86_pick_extend),
	[0xc0 ... 0xc1] = PICK(x86_pick_xadd),
	[0xc2 ... 0xc6] = { .flags = NATIVE },
	[0xc7] = FAST(x86_group_0fc7),
	[0xc8 ... 0xcf] = PICK(x86_pick_bswap),
	[0xd0 ... 0xfe] = { .flags = NATIVE },
};

static const struct binding native_binding = { .flags = NATIVE };
static const struct binding no_binding;

/* Group 5's far forms, and opcodes that mean several things. */
static struct binding special(const struct x86_cpu *cpu,
			      const struct x86_insn *insn,
			      const struct binding *b)
{
	unsigned int reg = insn->modrm >> 3 & 7;
	bool code64 = cpu->mode & X86_MODE_CODE64;

	if (insn->map == X86_MAP_ONE && insn->opcode == 0x63 && code64)
		return (struct binding)PICK(x86_pick_extend);
	if (insn->map == X86_MAP_ONE && insn->opcode == 0xff && reg >= 2) {
		if (reg == 3 || reg == 5) {
			if (!insn->mem)
				return no_binding;
			return (struct binding)SLOW(
				reg == 3 ? x86_far_call : x86_far_jump);
		}
		if (reg != 6)
			return (struct binding)BRANCH(x86_pick_group5);
	}
	if (insn->map == X86_MAP_0F && insn->opcode == 0x01 &&
	    insn->modrm == 0xf8)
		return (struct binding)FAST(x86_swapgs);
	if (insn->map == X86_MAP_0F && insn->opcode == 0xc7) {
		if (insn->mem && reg == 1)
			return (struct binding)FAST(x86_cmpxchg_wide);
		if (!insn->mem && reg == 7 && (insn->prefix & X86_PFX_REP))
			return (struct binding)FAST(x86_rdpid);
		if (!insn->mem && reg >= 6)
			return (struct binding)SLOW(x86_rdrand);
	}
	if (insn->map == X86_MAP_0F && insn->opcode == 0xae && !insn->mem &&
	    (insn->prefix & X86_PFX_REP) && reg < 4)
		return (struct binding)FAST(x86_fsgsbase);
	return *b;
}

static struct binding find(const struct x86_cpu *cpu,
			   const struct x86_insn *insn)
{
	if (insn->encoding != X86_LEGACY) {
		if (insn->encoding == X86_VEX && insn->map == X86_MAP_0F &&
		    insn->opcode == 0x77)
			return (struct binding)FAST(x86_vzero);
		return native_binding;
	}
	if (insn->map == X86_MAP_0F38 && insn->opcode == 0x82 &&
	    (insn->prefix & X86_PFX_OPSIZE))
		return (struct binding)SLOW(x86_invpcid);
	if (insn->map >= X86_MAP_0F38)
		return native_binding;
	return special(cpu, insn, insn->map == X86_MAP_ONE ?
					  &map_one[insn->opcode] :
					  &map_0f[insn->opcode]);
}

void x86_bind(struct x86_cpu *cpu, struct x86_insn *insn)
{
	struct binding b = find(cpu, insn);
	x86_handler *handler = b.fast;

	if ((b.flags & NO_64) && (cpu->mode & X86_MODE_CODE64))
		b = no_binding, handler = NULL;
	if (b.pick)
		handler = b.pick(insn);
	if (insn->prefix & X86_PFX_LOCK)
		b.slow = NULL, b.flags = 0, handler = x86_pick_locked(insn);
	if (b.slow) {
		insn->handler = x86_run_slow;
		insn->slow = b.slow;
		return;
	}
	if (!handler && (b.flags & NATIVE) && cpu->native &&
	    cpu->native->prepare(cpu->native_ctx, cpu, insn))
		return;
	insn->handler = handler ? handler : undefined;
}

bool x86_is_jcc_64(const struct x86_insn *insn)
{
	return insn->encoding == X86_LEGACY && insn->adsize == 8 &&
	       ((insn->map == X86_MAP_ONE && insn->opcode >> 4 == 7) ||
		(insn->map == X86_MAP_0F && insn->opcode >> 4 == 8));
}

bool x86_ends_block(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode, reg = insn->modrm >> 3 & 7;

	/* STI's shadow covers what follows: one block for both. */
	if (insn->handler == x86_run_slow)
		return insn->slow != x86_sti;
	if (insn->handler == undefined)
		return true;
	if (insn->encoding != X86_LEGACY)
		return false;
	if (insn->map == X86_MAP_0F)
		return op >= 0x80 && op <= 0x8f;
	if (insn->map != X86_MAP_ONE)
		return false;
	if (op == 0xff)
		return reg == 2 || reg == 4;
	return map_one[op].flags & END;
}

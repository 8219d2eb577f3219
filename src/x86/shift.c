/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR, SHLD SHRD. AMD64 APM
 * vol. 3, chapter 3. The host's own instruction computes result and flags,
 * so that the undefined flags are a processor's too.
 */
#include "x86/exec.h"
#include "x86/operand.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

/* LAHF's and SETO's view of the flags in one word: see gather(). */
#define READ_FLAGS "lahf\n\tseto %%al"

/* AH holds SF ZF AF PF CF in RFLAGS's places, AL holds OF. */
X86_INLINE uint64_t gather(uint64_t ax)
{
	return (ax >> 8 & 0xd5) | (ax & 1) << 11;
}

/*
 * One shift on the host: `cf` goes in (for RCL, RCR), flags come out.
 * ADDB of 0xff to 0 or 1 leaves the wanted carry.
 */
#define SHIFT(mnemonic, suffix, type)                                      \
	static uint64_t mnemonic##suffix(uint64_t value, uint8_t count,    \
					 uint8_t cf, uint64_t *flags)      \
	{                                                                  \
		type v = (type)value;                                      \
		uint64_t ax;                                               \
                                                                           \
		__asm__("addb $0xff, %2\n\t" #mnemonic #suffix             \
			" %%cl, %0\n\t" READ_FLAGS                         \
			: "+r"(v), "=&a"(ax), "+q"(cf)                     \
			: "c"(count)                                       \
			: "cc");                                           \
		*flags = gather(ax);                                       \
		return v;                                                  \
	}
#define SHIFT_SIZES(mnemonic)           \
	SHIFT(mnemonic, b, uint8_t)     \
	SHIFT(mnemonic, w, uint16_t)    \
	SHIFT(mnemonic, l, uint32_t)    \
	SHIFT(mnemonic, q, uint64_t)

SHIFT_SIZES(rol)
SHIFT_SIZES(ror)
SHIFT_SIZES(rcl)
SHIFT_SIZES(rcr)
SHIFT_SIZES(shl)
SHIFT_SIZES(shr)
SHIFT_SIZES(sar)

typedef uint64_t shift_fn(uint64_t value, uint8_t count, uint8_t cf,
			  uint64_t *flags);

#define SIZES(mnemonic) \
	{ mnemonic##b, mnemonic##w, mnemonic##l, mnemonic##q }

/* By ModRM.reg; 6 is the undocumented alias of SHL. */
static shift_fn *const shift_table[8][4] = {
	SIZES(rol), SIZES(ror), SIZES(rcl), SIZES(rcr),
	SIZES(shl), SIZES(shr), SIZES(shl), SIZES(sar),
};

/* A count of zero (after masking) changes nothing, flags included. */
static uint64_t shift_value(struct x86_cpu *cpu, const struct x86_insn *insn,
			    uint64_t v, uint8_t count)
{
	unsigned int op = insn->modrm >> 3 & 7;
	uint64_t flags, keep = 0;

	if (op < 4) /* rotates change CF and OF only */
		keep = x86_flags(cpu) & ~(uint64_t)(X86_FLAG_CF | X86_FLAG_OF);
	v = shift_table[op][size_log2(insn->opsize)](v, count, x86_cf(cpu),
						     &flags);
	if (op < 4)
		flags = keep | (flags & (X86_FLAG_CF | X86_FLAG_OF));
	x86_set_arith(cpu, flags);
	return v;
}

static enum x86_result shift_rm(ARGS, uint8_t count)
{
	struct modify m;
	enum x86_result r;
	uint64_t v;

	count &= insn->opsize == 8 ? 63 : 31;
	if (!insn->mem) {
		if (!count && insn->opsize != 4)
			return X86_NEXT;
		v = get_register(cpu, insn, insn->rm, insn->opsize);
		if (count)
			v = shift_value(cpu, insn, v, count);
		set_register(cpu, insn, insn->rm, insn->opsize, v);
		return X86_NEXT;
	}
	r = modify_begin(cpu, insn, insn->opsize, &m, &v);
	if (r || !count)
		return r;
	return modify_end(cpu, &m, insn->opsize,
			  shift_value(cpu, insn, v, count));
}

static enum x86_result shift_immediate(ARGS)
{
	return shift_rm(cpu, insn, (uint8_t)insn->imm);
}

static enum x86_result shift_one(ARGS)
{
	return shift_rm(cpu, insn, 1);
}

static enum x86_result shift_cl(ARGS)
{
	return shift_rm(cpu, insn, (uint8_t)cpu->state.gpr[X86_RCX]);
}

/*
 * The forms that compilers emit most: SHL, SHR, SAR of a register by a
 * constant other than zero, with lazy flags.
 */
X86_INLINE enum x86_result shl_constant(ARGS, unsigned int size)
{
	unsigned int bits = size * 8, count = insn->imm & (bits - 1);
	uint64_t v = get_register(cpu, insn, insn->rm, size);
	uint64_t result = truncate(v << count, size);
	uint64_t cf = v >> (bits - count) & 1;

	/* OF = CF ^ top bit of the result: "carry into the top" is SF. */
	x86_set_lazy(cpu, sign_extend(result, size),
		     cf << (bits - 1) | (result >> (bits - 1)) << (bits - 2),
		     bits);
	set_register(cpu, insn, insn->rm, size, result);
	return X86_NEXT;
}

X86_INLINE enum x86_result shr_constant(ARGS, unsigned int size)
{
	unsigned int bits = size * 8, count = insn->imm & (bits - 1);
	uint64_t v = get_register(cpu, insn, insn->rm, size);
	uint64_t result = v >> count, cf = v >> (count - 1) & 1;
	/* OF = top bit of the operand for a count of 1, else clear. */
	uint64_t of = count == 1 ? v >> (bits - 1) & 1 : 0;

	x86_set_lazy(cpu, sign_extend(result, size),
		     cf << (bits - 1) | (cf ^ of) << (bits - 2), bits);
	set_register(cpu, insn, insn->rm, size, result);
	return X86_NEXT;
}

static enum x86_result shl_constant_4(ARGS)
{
	return shl_constant(cpu, insn, 4);
}

static enum x86_result shl_constant_8(ARGS)
{
	return shl_constant(cpu, insn, 8);
}

static enum x86_result shr_constant_4(ARGS)
{
	return shr_constant(cpu, insn, 4);
}

static enum x86_result shr_constant_8(ARGS)
{
	return shr_constant(cpu, insn, 8);
}

x86_handler *x86_pick_shift(const struct x86_insn *insn)
{
	static x86_handler *const constant[2][2] = {
		{ shl_constant_4, shl_constant_8 },
		{ shr_constant_4, shr_constant_8 },
	};
	unsigned int op = insn->modrm >> 3 & 7;

	if (insn->opcode == 0xc1 && !insn->mem && insn->opsize >= 4 &&
	    (op == 4 || op == 5) && (insn->imm & (insn->opsize * 8u - 1)))
		return constant[op & 1][insn->opsize == 8];
	if (insn->opcode < 0xd0)
		return shift_immediate;
	return insn->opcode < 0xd2 ? shift_one : shift_cl;
}

#define DOUBLE(mnemonic, suffix, type)                                       \
	static uint64_t mnemonic##suffix(uint64_t value, uint64_t fill,      \
					 uint8_t count, uint64_t *flags)     \
	{                                                                    \
		type v = (type)value;                                        \
		uint64_t ax;                                                 \
                                                                             \
		__asm__(#mnemonic #suffix " %%cl, %2, %0\n\t" READ_FLAGS     \
			: "+r"(v), "=&a"(ax)                                 \
			: "r"((type)fill), "c"(count)                        \
			: "cc");                                             \
		*flags = gather(ax);                                         \
		return v;                                                    \
	}
DOUBLE(shld, w, uint16_t)
DOUBLE(shld, l, uint32_t)
DOUBLE(shld, q, uint64_t)
DOUBLE(shrd, w, uint16_t)
DOUBLE(shrd, l, uint32_t)
DOUBLE(shrd, q, uint64_t)

typedef uint64_t double_fn(uint64_t value, uint64_t fill, uint8_t count,
			   uint64_t *flags);

static enum x86_result shift_double(ARGS)
{
	static double_fn *const table[2][3] = { { shldw, shldl, shldq },
						{ shrdw, shrdl, shrdq } };
	unsigned int size = insn->opsize;
	uint64_t count = insn->opcode & 1 ? cpu->state.gpr[X86_RCX] : insn->imm;
	struct modify m = { 0 };
	enum x86_result r;
	uint64_t v, flags, fill;

	count &= size == 8 ? 63 : 31;
	if (insn->mem) {
		r = modify_begin(cpu, insn, size, &m, &v);
		if (r)
			return r;
	} else {
		v = get_register(cpu, insn, insn->rm, size);
	}
	if (count) {
		fill = get_register(cpu, insn, insn->reg, size);
		v = table[insn->opcode >> 3 & 1][size_log2(size) - 1](
			v, fill, (uint8_t)count, &flags);
		x86_set_arith(cpu, flags);
	}
	if (insn->mem)
		return count ? modify_end(cpu, &m, size, v) : X86_NEXT;
	set_register(cpu, insn, insn->rm, size, v);
	return X86_NEXT;
}

x86_handler *x86_pick_shift_double(const struct x86_insn *insn)
{
	return shift_double;
}

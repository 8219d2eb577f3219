/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MUL, IMUL, DIV, IDIV. AMD64 APM vol. 3, chapter 3. CF and OF tell that the
 * product does not fit; the other flags, undefined by the manuals, follow
 * the low half of the product.
 */
#include "x86/exec.h"
#include "x86/operand.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

/* CF = OF = `overflow`: a carry out of, and none into, the top bit. */
X86_INLINE void set_product_flags(struct x86_cpu *cpu, uint64_t low,
				  bool overflow, unsigned int size)
{
	x86_set_lazy(cpu, sign_extend(low, size),
		     (uint64_t)overflow << (size * 8 - 1), size * 8);
}

X86_INLINE enum x86_result imul_value(ARGS, unsigned int size, uint64_t a,
				      uint64_t b)
{
	int64_t product;
	bool overflow = __builtin_mul_overflow(sign_extend(a, size),
					       sign_extend(b, size), &product);

	overflow |= sign_extend((uint64_t)product, size) != product;
	set_product_flags(cpu, (uint64_t)product, overflow, size);
	set_register(cpu, insn, insn->reg, size, (uint64_t)product);
	return X86_NEXT;
}

/* 0F AF: reg *= r/m. 69, 6B: reg = r/m * immediate. */
#define IMUL_SIZE(size)                                                      \
	static enum x86_result imul_two_##size(ARGS)                         \
	{                                                                    \
		uint64_t v;                                                  \
		enum x86_result r = read_rm(cpu, insn, size, &v);            \
                                                                             \
		if (r)                                                       \
			return r;                                            \
		return imul_value(cpu, insn, size,                           \
				  cpu->state.gpr[insn->reg], v);             \
	}                                                                    \
	static enum x86_result imul_three_##size(ARGS)                       \
	{                                                                    \
		uint64_t v;                                                  \
		enum x86_result r = read_rm(cpu, insn, size, &v);            \
                                                                             \
		return r ? r : imul_value(cpu, insn, size, insn->imm, v);    \
	}
IMUL_SIZE(2)
IMUL_SIZE(4)
IMUL_SIZE(8)

x86_handler *x86_pick_imul(const struct x86_insn *insn)
{
	static x86_handler *const two[3] = { imul_two_2, imul_two_4,
					     imul_two_8 };
	static x86_handler *const three[3] = { imul_three_2, imul_three_4,
					       imul_three_8 };
	unsigned int size = size_log2(insn->opsize) - 1;

	return insn->opcode == 0xaf ? two[size] : three[size];
}

/* Stores a double-width result: AX, or rDX:rAX. */
static void set_wide(struct x86_cpu *cpu, const struct x86_insn *insn,
		     uint64_t low, uint64_t high)
{
	if (insn->opsize == 1) {
		uint16_t ax = (uint16_t)((low & 0xff) | high << 8);

		memcpy(&cpu->state.gpr[X86_RAX], &ax, 2);
		return;
	}
	set_register(cpu, insn, X86_RAX, insn->opsize, low);
	set_register(cpu, insn, X86_RDX, insn->opsize, high);
}

enum x86_result x86_mul(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = insn->opsize;
	unsigned __int128 product;
	uint64_t v, high;
	enum x86_result r = read_rm(cpu, insn, size, &v);

	if (r)
		return r;
	product = (unsigned __int128)truncate(cpu->state.gpr[X86_RAX], size) *
		  v;
	high = truncate((uint64_t)(product >> (size * 8)), size);
	set_wide(cpu, insn, (uint64_t)product, high);
	set_product_flags(cpu, truncate((uint64_t)product, size), high != 0,
			  size);
	return X86_NEXT;
}

enum x86_result x86_imul_one(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = insn->opsize;
	__int128 product;
	uint64_t v;
	enum x86_result r = read_rm(cpu, insn, size, &v);

	if (r)
		return r;
	product = (__int128)sign_extend(cpu->state.gpr[X86_RAX], size) *
		  sign_extend(v, size);
	set_wide(cpu, insn, (uint64_t)product,
		 (uint64_t)((unsigned __int128)product >> (size * 8)));
	set_product_flags(cpu, (uint64_t)product,
			  product != sign_extend((uint64_t)product, size),
			  size);
	return X86_NEXT;
}

/* The dividend: AX, or rDX:rAX, as high and low halves. */
static void get_wide(const struct x86_cpu *cpu, unsigned int size,
		     uint64_t *high, uint64_t *low)
{
	uint64_t rax = cpu->state.gpr[X86_RAX];

	*low = truncate(rax, size);
	*high = size == 1 ? rax >> 8 & 0xff :
			    truncate(cpu->state.gpr[X86_RDX], size);
}

/* high:low / divisor for halves of `size` bytes; needs high < divisor. */
static uint64_t divide(uint64_t high, uint64_t low, uint64_t divisor,
		       unsigned int size, uint64_t *remainder)
{
	uint64_t quotient;

	if (size == 8) {
		__asm__("divq %4"
			: "=a"(quotient), "=d"(*remainder)
			: "a"(low), "d"(high), "r"(divisor)
			: "cc");
		return quotient;
	}
	low |= high << (size * 8);
	*remainder = low % divisor;
	return low / divisor;
}

enum x86_result x86_div(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = insn->opsize;
	uint64_t divisor, high, low, quotient, remainder;
	enum x86_result r = read_rm(cpu, insn, size, &divisor);

	if (r)
		return r;
	get_wide(cpu, size, &high, &low);
	if (high >= divisor)
		return x86_raise(cpu, X86_DE);
	quotient = divide(high, low, divisor, size, &remainder);
	set_wide(cpu, insn, quotient, remainder);
	return X86_NEXT;
}

enum x86_result x86_idiv(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = insn->opsize;
	uint64_t v, high, low, quotient, remainder, limit;
	bool negative, opposite;
	int64_t divisor;
	enum x86_result r = read_rm(cpu, insn, size, &v);

	if (r)
		return r;
	divisor = sign_extend(v, size);
	get_wide(cpu, size, &high, &low);
	negative = sign_extend(high, size) < 0;
	opposite = negative != (divisor < 0);
	if (negative) { /* magnitude of the dividend */
		low = truncate(0 - low, size);
		high = truncate(~high + (low == 0), size);
	}
	v = divisor < 0 ? 0 - (uint64_t)divisor : (uint64_t)divisor;
	if (high >= v)
		return x86_raise(cpu, X86_DE);
	quotient = divide(high, low, v, size, &remainder);
	limit = 1ull << (size * 8 - 1);
	if (quotient > limit - !opposite)
		return x86_raise(cpu, X86_DE);
	if (opposite)
		quotient = 0 - quotient;
	if (negative)
		remainder = 0 - remainder;
	set_wide(cpu, insn, quotient, remainder);
	return X86_NEXT;
}

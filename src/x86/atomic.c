/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-modify-write instructions that other processors must see as one step:
 * everything with LOCK, XCHG with memory, CMPXCHG, XADD, CMPXCHG8B/16B.
 * AMD64 APM vol. 3, 1.2.5 and chapter 3; vol. 2, 7.3.
 *
 * On plain RAM they are the host's locked instructions at the host address,
 * whatever its alignment. An operand that straddles two pages, or lies in
 * MMIO, is read and written in two steps under the VM's split lock, so that
 * it is one step towards others of its kind.
 */
#include "vm/memory_view.h"
#include "x86/alu.h"
#include "x86/exec.h"

/* PAUSEs in a row, about, after which waiting seems to take long. */
#define PAUSES 64u

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

#define HOST_CAS(suffix, operand)                                        \
	__asm__ volatile("lock cmpxchg" suffix " " operand ", (%2)"      \
			 : "=@ccz"(done), "+a"(*expected)                \
			 : "r"(p), "r"(desired)                          \
			 : "memory")

/* Host compare-and-exchange of 1 to 8 bytes, any alignment. */
static bool host_cas(void *p, unsigned int size, uint64_t *expected,
		     uint64_t desired)
{
	bool done;

	switch (size) {
	case 1:
		HOST_CAS("b", "%b3");
		break;
	case 2:
		HOST_CAS("w", "%w3");
		break;
	case 4:
		HOST_CAS("l", "%k3");
		break;
	default:
		HOST_CAS("q", "%q3");
	}
	*expected = truncate(*expected, size);
	return done;
}

/* A locked operand; host NULL: MMIO, ROM or page-straddling. */
struct locked {
	uint64_t linear;
	void *host;
	uint64_t old;
};

/*
 * Nobody else's split atomic comes between. Views that it moves are settled
 * behind the lock, which others may wait for.
 */
static void split_begin(struct x86_cpu *cpu)
{
	host_lock(&cpu->vm->split_lock);
	cpu->split = true;
}

static void split_end(struct x86_cpu *cpu)
{
	cpu->split = false;
	host_unlock(&cpu->vm->split_lock);
	memory_settle(&cpu->vm->memory, cpu);
}

static enum x86_result locked_at(ARGS, uint64_t ea, struct locked *l)
{
	unsigned int size = insn->opsize;
	enum x86_result r = x86_linear(cpu, insn->seg, ea, size, X86_WRITE,
				       &l->linear);

	if (!r)
		r = x86_pointer(cpu, l->linear, size, X86_WRITE, &l->host);
	if (r)
		return r;
	l->old = 0;
	if (l->host) {
		l->old = host_load(l->host, size);
		return X86_NEXT;
	}
	split_begin(cpu);
	r = x86_read(cpu, l->linear, &l->old, size);
	if (r)
		split_end(cpu);
	return r;
}

static enum x86_result locked_begin(ARGS, struct locked *l)
{
	return locked_at(cpu, insn, x86_effective(cpu, insn), l);
}

/*
 * Stores `v` if the operand still holds l->old; otherwise *again is set and
 * l->old is the new content.
 */
static enum x86_result locked_try(ARGS, struct locked *l, uint64_t v,
				  bool *again)
{
	enum x86_result r;

	*again = false;
	if (!l->host) {
		r = x86_write(cpu, l->linear, &v, insn->opsize);
		split_end(cpu);
		return r;
	}
	*again = !host_cas(l->host, insn->opsize, &l->old, v);
	return X86_NEXT;
}

/* The operation of a lockable two- or one-operand instruction. */
static enum alu_op locked_operation(const struct x86_insn *insn)
{
	switch (insn->opcode) {
	case 0x80:
	case 0x81:
	case 0x82:
	case 0x83:
		return (enum alu_op)(insn->modrm >> 3 & 7);
	case 0xf6:
	case 0xf7:
		return insn->modrm & 8 ? ALU_NEG : ALU_NOT;
	case 0xfe:
	case 0xff:
		return insn->modrm & 8 ? ALU_DEC : ALU_INC;
	default:
		return (enum alu_op)(insn->opcode >> 3 & 7);
	}
}

static enum x86_result locked_alu(ARGS)
{
	enum alu_op op = locked_operation(insn);
	unsigned int size = insn->opsize;
	bool immediate = insn->opcode >= 0x80;
	uint64_t b = immediate ? truncate(insn->imm, size) :
				 get_register(cpu, insn, insn->reg, size);
	struct locked l;
	bool again;
	enum x86_result r = locked_begin(cpu, insn, &l);
	/* INC, DEC, ADC and SBB read CF: each try starts from the same. */
	uint64_t before = r ? 0 : x86_flags(cpu);

	if (r)
		return r;
	do {
		x86_set_arith(cpu, before);
		r = locked_try(cpu, insn, &l,
			       alu_compute(cpu, op, l.old, b, size), &again);
	} while (again);
	return r;
}

/* BTS, BTR, BTC with a bit index in a register or an immediate. */
static enum x86_result locked_bit(ARGS)
{
	unsigned int size = insn->opsize, bits = size * 8, bit;
	unsigned int op = (insn->opcode == 0xba ? insn->modrm : insn->opcode) >>
				  3 & 3;
	uint64_t ea = x86_effective(cpu, insn);
	int64_t index = (int64_t)insn->imm;
	struct locked l;
	uint64_t mask, v;
	enum x86_result r;
	bool again;

	if (insn->opcode != 0xba) {
		index = sign_extend(cpu->state.gpr[insn->reg], size);
		ea += (uint64_t)(index >> size_log2(bits)) * size;
		ea = truncate(ea, insn->adsize);
	}
	bit = (unsigned int)index & (bits - 1);
	mask = 1ull << bit;
	r = locked_at(cpu, insn, ea, &l);
	if (r)
		return r;
	do {
		v = op == 1 ? l.old | mask : l.old & ~mask;
		if (op == 3)
			v = l.old ^ mask;
		r = locked_try(cpu, insn, &l, v, &again);
	} while (again);
	if (!r)
		x86_set_arith(cpu, (x86_flags(cpu) & ~(uint64_t)X86_FLAG_CF) |
					   (l.old >> bit & 1));
	return r;
}

static enum x86_result xchg_register(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t a = get_register(cpu, insn, insn->reg, size);
	uint64_t b = get_register(cpu, insn, insn->rm, size);

	set_register(cpu, insn, insn->reg, size, b);
	set_register(cpu, insn, insn->rm, size, a);
	return X86_NEXT;
}

/* 90-97: with rAX. 90 without REX.B is NOP, bound elsewhere. */
static enum x86_result xchg_accumulator(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t a = get_register(cpu, insn, X86_RAX, size);
	uint64_t b = get_register(cpu, insn, insn->rm, size);

	set_register(cpu, insn, X86_RAX, size, b);
	set_register(cpu, insn, insn->rm, size, a);
	return X86_NEXT;
}

static enum x86_result xchg_memory(ARGS)
{
	uint64_t v = get_register(cpu, insn, insn->reg, insn->opsize);
	struct locked l;
	bool again;
	enum x86_result r = locked_begin(cpu, insn, &l);

	if (r)
		return r;
	do {
		r = locked_try(cpu, insn, &l, v, &again);
	} while (again);
	if (!r)
		set_register(cpu, insn, insn->reg, insn->opsize, l.old);
	return r;
}

/*
 * A processor that spins waits for another one, whose thread the host may have
 * set aside, perhaps for this very thread.
 */
static enum x86_result pause(ARGS)
{
	if (cpu->vm->cpu_count > 1 && !(++cpu->pauses % PAUSES))
		host_yield();
	return X86_NEXT;
}

x86_handler *x86_pick_exchange(const struct x86_insn *insn)
{
	if (insn->opcode >= 0x90 && insn->rm == 0)
		return insn->prefix & X86_PFX_REP ? pause : x86_nop;
	if (insn->opcode >= 0x90)
		return xchg_accumulator;
	return insn->mem ? xchg_memory : xchg_register;
}

static enum x86_result cmpxchg_register(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t a = get_register(cpu, insn, X86_RAX, size);
	uint64_t v = get_register(cpu, insn, insn->rm, size);
	uint64_t b = get_register(cpu, insn, insn->reg, size);

	if (size == 1)
		a &= 0xff;
	alu_compute(cpu, ALU_CMP, a, v, size);
	if (a == v)
		set_register(cpu, insn, insn->rm, size, b);
	else if (size == 1)
		memcpy(&cpu->state.gpr[X86_RAX], &v, 1);
	else
		set_register(cpu, insn, X86_RAX, size, v);
	return X86_NEXT;
}

static enum x86_result cmpxchg_memory(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t a = truncate(cpu->state.gpr[X86_RAX], size);
	uint64_t b = get_register(cpu, insn, insn->reg, size);
	struct locked l;
	bool again = false;
	enum x86_result r = locked_begin(cpu, insn, &l);

	if (r)
		return r;
	do {
		/* A failed comparison writes the old value back. */
		r = locked_try(cpu, insn, &l, l.old == a ? b : l.old, &again);
	} while (again);
	if (r)
		return r;
	alu_compute(cpu, ALU_CMP, a, l.old, size);
	if (a == l.old)
		return X86_NEXT;
	if (size == 1)
		memcpy(&cpu->state.gpr[X86_RAX], &l.old, 1);
	else
		set_register(cpu, insn, X86_RAX, size, l.old);
	return X86_NEXT;
}

x86_handler *x86_pick_cmpxchg(const struct x86_insn *insn)
{
	return insn->mem ? cmpxchg_memory : cmpxchg_register;
}

static enum x86_result xadd_register(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t a = get_register(cpu, insn, insn->rm, size);
	uint64_t b = get_register(cpu, insn, insn->reg, size);
	uint64_t sum = alu_compute(cpu, ALU_ADD, a, b, size);

	set_register(cpu, insn, insn->reg, size, a);
	set_register(cpu, insn, insn->rm, size, sum);
	return X86_NEXT;
}

static enum x86_result xadd_memory(ARGS)
{
	unsigned int size = insn->opsize;
	uint64_t b = get_register(cpu, insn, insn->reg, size);
	struct locked l;
	bool again;
	enum x86_result r = locked_begin(cpu, insn, &l);

	if (r)
		return r;
	do {
		r = locked_try(cpu, insn, &l, l.old + b, &again);
	} while (again);
	if (r)
		return r;
	alu_compute(cpu, ALU_ADD, l.old, b, size);
	set_register(cpu, insn, insn->reg, size, l.old);
	return X86_NEXT;
}

x86_handler *x86_pick_xadd(const struct x86_insn *insn)
{
	return insn->mem ? xadd_memory : xadd_register;
}

/* LOCK is valid only where memory is read, changed and written. */
x86_handler *x86_pick_locked(const struct x86_insn *insn)
{
	unsigned int reg = insn->modrm >> 3 & 7, op = insn->opcode;

	if (!insn->mem)
		return NULL;
	if (insn->map == X86_MAP_ONE) {
		if (op < 0x38 && (op & 7) < 2)
			return locked_alu;
		if (op >= 0x80 && op <= 0x83)
			return reg == 7 ? NULL : locked_alu;
		if (op == 0xf6 || op == 0xf7)
			return reg == 2 || reg == 3 ? locked_alu : NULL;
		if (op == 0xfe || op == 0xff)
			return reg < 2 ? locked_alu : NULL;
		return op == 0x86 || op == 0x87 ? xchg_memory : NULL;
	}
	if (insn->map != X86_MAP_0F)
		return NULL;
	if (op == 0xab || op == 0xb3 || op == 0xbb)
		return locked_bit;
	if (op == 0xba)
		return reg > 4 ? locked_bit : NULL;
	if (op == 0xb0 || op == 0xb1)
		return cmpxchg_memory;
	if (op == 0xc0 || op == 0xc1)
		return xadd_memory;
	return op == 0xc7 && reg == 1 ? x86_cmpxchg_wide : NULL;
}

/* 16-byte host compare-and-exchange; `p` aligned to 16. */
static bool host_cas16(void *p, uint64_t expected[2], const uint64_t desired[2])
{
	bool done;

	__asm__ volatile("lock cmpxchg16b (%3)"
			 : "=@ccz"(done), "+a"(expected[0]), "+d"(expected[1])
			 : "r"(p), "b"(desired[0]), "c"(desired[1])
			 : "memory");
	return done;
}

/* Held: the split lock. */
static enum x86_result exchange_split(struct x86_cpu *cpu, uint64_t linear,
				      unsigned int half, uint64_t expected[2],
				      const uint64_t desired[2], bool *equal)
{
	uint64_t old[2] = { 0 };
	enum x86_result r = x86_read(cpu, linear, &old[0], half);

	if (!r)
		r = x86_read(cpu, linear + half, &old[1], half);
	if (r)
		return r;
	*equal = old[0] == expected[0] && old[1] == expected[1];
	if (!*equal) {
		expected[0] = old[0];
		expected[1] = old[1];
		return X86_NEXT;
	}
	r = x86_write(cpu, linear, &desired[0], half);
	return r ? r : x86_write(cpu, linear + half, &desired[1], half);
}

/* The part of CMPXCHG8B/16B on the operand: *equal tells the outcome. */
static enum x86_result exchange_wide(struct x86_cpu *cpu, uint64_t linear,
				     unsigned int half, uint64_t expected[2],
				     const uint64_t desired[2], bool *equal)
{
	uint64_t want, put;
	enum x86_result r;
	void *host;

	r = x86_pointer(cpu, linear, half * 2, X86_WRITE, &host);
	if (r)
		return r;
	if (host && half == 8) {
		*equal = host_cas16(host, expected, desired);
		return X86_NEXT;
	}
	if (host) {
		want = expected[0] | expected[1] << 32;
		put = desired[0] | desired[1] << 32;
		*equal = host_cas(host, 8, &want, put);
		expected[0] = (uint32_t)want;
		expected[1] = want >> 32;
		return X86_NEXT;
	}
	split_begin(cpu);
	r = exchange_split(cpu, linear, half, expected, desired, equal);
	split_end(cpu);
	return r;
}

/* CMPXCHG8B; CMPXCHG16B wants an aligned operand. */
enum x86_result x86_cmpxchg_wide(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	unsigned int half = insn->prefix & X86_PFX_REXW ? 8 : 4;
	uint64_t *gpr = cpu->state.gpr, linear, flags;
	uint64_t expected[2] = { truncate(gpr[X86_RAX], half),
				 truncate(gpr[X86_RDX], half) };
	uint64_t desired[2] = { truncate(gpr[X86_RBX], half),
				truncate(gpr[X86_RCX], half) };
	enum x86_result r;
	bool equal;

	r = x86_operand(cpu, insn, half * 2, X86_WRITE, &linear);
	if (r)
		return r;
	if (half == 8 && (linear & 15))
		return x86_raise_error(cpu, X86_GP, 0);
	r = exchange_wide(cpu, linear, half, expected, desired, &equal);
	if (r)
		return r;
	flags = x86_flags(cpu) & ~(uint64_t)X86_FLAG_ZF;
	x86_set_arith(cpu, flags | (equal ? X86_FLAG_ZF : 0));
	if (!equal) {
		gpr[X86_RAX] = expected[0];
		gpr[X86_RDX] = expected[1];
	}
	return X86_NEXT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rewriter knows of each instruction: whether it can be kept, whether
 * it writes its memory operand, which flags it reads and which it replaces.
 * AMD64 APM vol. 3, appendix E. Flags that the manuals call undefined count as
 * replaced: the host's own instruction decides.
 */
#include "engine/soft/rewrite.h"

#include "x86/exec.h"

#define ALL   X86_FLAGS_ARITH
#define CF    X86_FLAG_CF
#define NO_CF (X86_FLAGS_ARITH & ~X86_FLAG_CF)
#define ROT   (X86_FLAG_CF | X86_FLAG_OF)

/* By condition code / 2. */
static const uint16_t condition_flags[8] = {
	X86_FLAG_OF,
	X86_FLAG_CF,
	X86_FLAG_ZF,
	X86_FLAG_CF | X86_FLAG_ZF,
	X86_FLAG_SF,
	X86_FLAG_PF,
	X86_FLAG_SF | X86_FLAG_OF,
	X86_FLAG_SF | X86_FLAG_OF | X86_FLAG_ZF,
};

static struct rewrite_class make(enum rewrite_kind kind, bool writes,
				 uint32_t read, uint32_t killed)
{
	return (struct rewrite_class){ .kind = (uint8_t)kind,
				       .writes_memory = writes,
				       .flags_read = (uint16_t)read,
				       .flags_killed = (uint16_t)killed };
}

static const struct rewrite_class none = { .flags_read = ALL };

/* ADD OR ADC SBB AND SUB XOR CMP by number. */
static struct rewrite_class arithmetic(unsigned int op, bool to_rm,
				       enum rewrite_kind kind)
{
	return make(kind, to_rm && op != 7, op == 2 || op == 3 ? CF : 0, ALL);
}

static struct rewrite_class shift(const struct x86_insn *insn)
{
	unsigned int op = insn->modrm >> 3 & 7;
	unsigned int mask = insn->opsize == 8 ? 63 : 31;
	bool constant = insn->opcode < 0xd2;
	bool none_left = insn->opcode < 0xd0 && !(insn->imm & mask);
	uint32_t read = op == 2 || op == 3 ? CF : 0;

	if (!constant || none_left)
		return make(REWRITE_RM, true, read, 0);
	return make(REWRITE_RM, true, read, op < 4 ? ROT : ALL);
}

static struct rewrite_class group3(const struct x86_insn *insn)
{
	switch (insn->modrm >> 3 & 7) {
	case 0:
	case 1:
		return make(REWRITE_RM, false, 0, ALL);
	case 2:
		return make(REWRITE_RM, true, 0, 0);
	case 3:
		return make(REWRITE_RM, true, 0, ALL);
	case 4:
	case 5:
		return make(REWRITE_RM, false, 0, ALL);
	default:
		return insn->opsize >= 4 ? make(REWRITE_DIVIDE, false, 0, ALL) :
					   none;
	}
}

static struct rewrite_class group5(const struct x86_insn *insn)
{
	switch (insn->modrm >> 3 & 7) {
	case 0:
	case 1:
		return make(REWRITE_RM, true, 0, NO_CF);
	case 2:
		return make(REWRITE_CALL_RM, false, 0, 0);
	case 4:
		return make(REWRITE_JMP_RM, false, 0, 0);
	case 6:
		return insn->mem && !(insn->prefix & X86_PFX_OPSIZE) ?
			       make(REWRITE_PUSH_MEM, true, 0, 0) :
			       none;
	default:
		return none;
	}
}

static struct rewrite_class stack(const struct x86_insn *insn, bool narrow)
{
	if (!narrow && insn->prefix & X86_PFX_OPSIZE)
		return none;
	if (insn->opcode == 0x68 || insn->opcode == 0x6a)
		return make(REWRITE_PUSH_IMM, true, 0, 0);
	return insn->opcode < 0x58 ? make(REWRITE_PUSH, true, 0, 0) :
				     make(REWRITE_POP, false, 0, 0);
}

/* What means something else in 16- and 32-bit code; else the same. */
static struct rewrite_class narrow_byte(const struct x86_insn *insn,
					struct rewrite_class same)
{
	switch (insn->opcode) {
	case 0x40 ... 0x4f:
		return make(REWRITE_INC_DEC, false, 0, NO_CF);
	case 0x63:
		return none; /* ARPL */
	case 0x82:
		return arithmetic(insn->modrm >> 3 & 7, true, REWRITE_RM);
	case 0xa0 ... 0xa1:
		return make(REWRITE_OFFSET, false, 0, 0);
	case 0xa2 ... 0xa3:
		return make(REWRITE_OFFSET, true, 0, 0);
	case 0xa4 ... 0xa5:
	case 0xaa ... 0xad:
		return insn->prefix & (X86_PFX_REP | X86_PFX_REPNE) ?
			       none :
			       make(REWRITE_STRING, insn->opcode < 0xac, 0, 0);
	case 0xc9:
		return make(REWRITE_LEAVE, false, 0, 0);
	case 0xe2 ... 0xe3:
		return make(REWRITE_LOOP, false, 0, 0);
	case 0xff:
		return (insn->modrm >> 3 & 7) == 6 ?
			       make(REWRITE_PUSH_RM, true, 0, 0) :
			       same;
	default:
		return same;
	}
}

static struct rewrite_class one_byte(const struct x86_insn *insn, bool narrow)
{
	unsigned int op = insn->opcode;

	if (op < 0x40)
		return (op & 7) < 4 ?
			       arithmetic(op >> 3, !(op & 2), REWRITE_RM) :
		       (op & 7) < 6 ?
			       arithmetic(op >> 3, false, REWRITE_PLAIN) :
			       none;
	switch (op) {
	case 0x50 ... 0x5f:
	case 0x68:
	case 0x6a:
		return stack(insn, narrow);
	case 0x63:
	case 0x8a ... 0x8b:
		return make(REWRITE_RM, false, 0, 0);
	case 0x69:
	case 0x6b:
	case 0x84 ... 0x85:
		return make(REWRITE_RM, false, 0, ALL);
	case 0x70 ... 0x7f:
		return make(REWRITE_JCC, false, condition_flags[op >> 1 & 7],
			    0);
	case 0x80 ... 0x81:
	case 0x83:
		return arithmetic(insn->modrm >> 3 & 7, true, REWRITE_RM);
	case 0x86 ... 0x89:
		return make(REWRITE_RM, true, 0, 0);
	case 0x8d:
		return insn->mem ? make(REWRITE_LEA, false, 0, 0) : none;
	case 0x90 ... 0x97:
		/* PAUSE may let another thread run. */
		if (!insn->rm && insn->prefix & X86_PFX_REP)
			return none;
		return make(REWRITE_EXCHANGE, false, 0, 0);
	case 0x98 ... 0x99:
		return make(REWRITE_PLAIN, false, 0, 0);
	case 0x9e:
		return make(REWRITE_PLAIN, false, 0, ALL & ~X86_FLAG_OF);
	case 0x9f:
		return make(REWRITE_PLAIN, false, ALL & ~X86_FLAG_OF, 0);
	case 0xa8 ... 0xa9:
		return make(REWRITE_PLAIN, false, 0, ALL);
	case 0xb0 ... 0xbf:
		return make(REWRITE_OPCODE_REG, false, 0, 0);
	case 0xc0 ... 0xc1:
	case 0xd0 ... 0xd3:
		return shift(insn);
	case 0xc2 ... 0xc3:
		return make(REWRITE_RET, false, 0, 0);
	case 0xc6 ... 0xc7:
		return insn->modrm & 0x38 ? none :
					    make(REWRITE_RM, true, 0, 0);
	case 0xc9:
		return insn->prefix & X86_PFX_OPSIZE ?
			       none :
			       make(REWRITE_LEAVE, false, 0, 0);
	case 0xe8:
		return make(REWRITE_CALL, true, 0, 0);
	case 0xe3:
		return make(REWRITE_LOOP, false, 0, 0);
	case 0xe9:
	case 0xeb:
		return make(REWRITE_JMP, false, 0, 0);
	case 0xf5:
		return make(REWRITE_PLAIN, false, CF, CF);
	case 0xf6 ... 0xf7:
		return group3(insn);
	case 0xf8 ... 0xf9:
		return make(REWRITE_PLAIN, false, 0, CF);
	case 0xfe:
		return (insn->modrm >> 3 & 7) < 2 ?
			       make(REWRITE_RM, true, 0, NO_CF) :
			       none;
	case 0xff:
		return group5(insn);
	default:
		return none;
	}
}

/* 0F BA: a constant bit index. */
static struct rewrite_class bit_group(const struct x86_insn *insn)
{
	unsigned int op = insn->modrm >> 3 & 7;

	return op < 4 ? none : make(REWRITE_RM, op != 4, 0, CF);
}

static struct rewrite_class two_byte(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode;
	unsigned int mask = insn->opsize == 8 ? 63 : 31;

	switch (op) {
	case 0x0d:
		return insn->mem ? make(REWRITE_NOP, false, 0, 0) : none;
	case 0x18 ... 0x1f:
		return make(REWRITE_NOP, false, 0, 0);
	case 0x40 ... 0x4f:
		return make(REWRITE_RM, false, condition_flags[op >> 1 & 7],
			    0);
	case 0x80 ... 0x8f:
		return make(REWRITE_JCC, false, condition_flags[op >> 1 & 7],
			    0);
	case 0x90 ... 0x9f:
		return make(REWRITE_RM, true, condition_flags[op >> 1 & 7], 0);
	case 0xa3:
	case 0xab:
	case 0xb3:
	case 0xbb:
		if (insn->mem && insn->opsize < 4)
			return none;
		return make(REWRITE_RM, op != 0xa3 || !insn->mem, 0, CF);
	case 0xa4:
	case 0xac:
		return make(REWRITE_RM, true, 0, insn->imm & mask ? ALL : 0);
	case 0xa5:
	case 0xad:
		return make(REWRITE_RM, true, 0, 0);
	case 0xaf:
		return make(REWRITE_RM, false, 0, ALL);
	case 0xb0 ... 0xb1:
	case 0xc0 ... 0xc1:
		return make(REWRITE_RM, true, 0, ALL);
	case 0xb6 ... 0xb7:
	case 0xbe ... 0xbf:
		return make(REWRITE_RM, false, 0, 0);
	case 0xb8:
		return insn->prefix & X86_PFX_REP ?
			       make(REWRITE_RM, false, 0, ALL) :
			       none;
	case 0xba:
		return bit_group(insn);
	case 0xbc ... 0xbd:
		return make(REWRITE_RM, false, 0, 0);
	case 0xc7: /* CMPXCHG16B */
		return insn->mem && insn->opsize == 8 &&
				       (insn->modrm >> 3 & 7) == 1 &&
				       !(insn->prefix & (X86_PFX_OPSIZE |
							 X86_PFX_REP |
							 X86_PFX_REPNE)) ?
			       make(REWRITE_RM, true, 0, X86_FLAG_ZF) :
			       none;
	case 0xc8 ... 0xcf:
		return make(REWRITE_OPCODE_REG, false, 0, 0);
	default:
		return none;
	}
}

/* VZEROUPPER; with VEX.L VZEROALL */
static bool is_vzero(const struct x86_insn *insn)
{
	return insn->encoding == X86_VEX && insn->map == X86_MAP_0F &&
	       insn->opcode == 0x77 && !insn->vvvv &&
	       !(insn->prefix & (X86_PFX_LOCK | X86_PFX_OPSIZE | X86_PFX_REP |
				 X86_PFX_REPNE));
}

struct rewrite_class rewrite_classify(const struct x86_insn *insn,
				       uint32_t mode)
{
	bool narrow = !(mode & X86_MODE_CODE64);
	struct rewrite_class class = none;

	if (is_vzero(insn) && (mode & X86_MODE_AVX) && !narrow) {
		class = make(REWRITE_VZERO, false, 0, 0);
		class.needs = REWRITE_VECTORS;
		return class;
	}
	if (insn->encoding != X86_LEGACY)
		return none;
	if (insn->map == X86_MAP_ONE)
		class = one_byte(insn, narrow);
	else if (insn->map == X86_MAP_0F)
		class = two_byte(insn);
	if (insn->map == X86_MAP_ONE && narrow)
		class = narrow_byte(insn, class);
	if (class.kind == REWRITE_NOT)
		return rewrite_system_class(insn, mode);
	/* LOCK elsewhere is #UD, to the host too. */
	if ((insn->prefix & X86_PFX_LOCK) && !x86_pick_locked(insn))
		return none;
	return class;
}

#define READS_BOTH (MODRM_READS_REG | MODRM_READS_RM)

/* Of one that replaces its register, unless only a part. */
static unsigned int load_use(const struct x86_insn *insn)
{
	return MODRM_READS_RM | MODRM_WRITES_REG |
	       (insn->opsize < 4 ? MODRM_READS_REG : 0);
}

static unsigned int one_byte_use(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode, group = insn->modrm >> 3 & 7;

	if (op < 0x40) {
		if (op >> 3 == 7)
			return READS_BOTH;
		return READS_BOTH |
		       (op & 2 ? MODRM_WRITES_REG : MODRM_WRITES_RM);
	}
	switch (op) {
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8a ... 0x8b:
		return load_use(insn);
	case 0x80 ... 0x81:
	case 0x83:
		return MODRM_READS_RM | (group == 7 ? 0 : MODRM_WRITES_RM);
	case 0x84 ... 0x85:
		return READS_BOTH;
	case 0x88 ... 0x89:
		return MODRM_READS_REG | MODRM_WRITES_RM |
		       (insn->opsize < 4 ? MODRM_READS_RM : 0);
	case 0xf6 ... 0xf7:
		return MODRM_READS_RM |
		       (group == 2 || group == 3 ? MODRM_WRITES_RM : 0);
	case 0xc0 ... 0xc1:
	case 0xc6 ... 0xc7:
	case 0xd0 ... 0xd3:
	case 0xfe ... 0xff:
		return MODRM_READS_RM | MODRM_WRITES_RM;
	default:
		return READS_BOTH | MODRM_WRITES_REG | MODRM_WRITES_RM;
	}
}

static unsigned int two_byte_use(const struct x86_insn *insn)
{
	switch (insn->opcode) {
	case 0x40 ... 0x4f:
	case 0xaf:
	case 0xbc ... 0xbd:
		return READS_BOTH | MODRM_WRITES_REG;
	case 0x90 ... 0x9f:
	case 0xba:
	case 0xc7:
		return MODRM_READS_RM | MODRM_WRITES_RM;
	case 0xa3:
		return READS_BOTH;
	case 0xa4 ... 0xa5:
	case 0xab ... 0xad:
	case 0xb0 ... 0xb1:
	case 0xb3:
	case 0xbb:
		return READS_BOTH | MODRM_WRITES_RM;
	case 0xb6 ... 0xb8:
	case 0xbe ... 0xbf:
		return load_use(insn);
	default:
		return READS_BOTH | MODRM_WRITES_REG | MODRM_WRITES_RM;
	}
}

unsigned int rewrite_modrm_use(const struct x86_insn *insn)
{
	return insn->map == X86_MAP_ONE ? one_byte_use(insn) :
					  two_byte_use(insn);
}

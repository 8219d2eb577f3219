/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside engine/soft's native part. A native_op is the shape of an
 * instruction: everything but which guest registers and which address it
 * names. Instructions of one shape share one op and its stub, so their
 * number is bounded by opcodes and immediates, not by register choices.
 *
 * A stub is called as native_stub with System V registers:
 *
 *   rdi  the guest's state, where it loads and stores registers
 *   rsi  host address of the memory operand
 *   rdx  the instruction, whose fields tell the register numbers
 *   ecx  arithmetic flags in, packed; flags out in eax
 *
 * Host registers of renamed operands, by where the encoding names them:
 *
 *             ModRM.reg  ModRM.rm  VEX.vvvv  imm8[7:4]  EVEX.aaa
 *   vectors   xmm1       xmm2      xmm3      xmm4
 *   MMX       mm1        mm2
 *   GPRs      r8         r9        r10
 *   opmasks   k2 (, k3)  k4        k5                   k1
 *
 * Implicit registers (XMM0, EAX, ECX, EDX) keep their number. rax is
 * scratch, r11 holds rdx.
 */
#ifndef LODGE_ENGINE_SOFT_NATIVE_OP_H
#define LODGE_ENGINE_SOFT_NATIVE_OP_H

#include <Zydis/Zydis.h>

#include "engine/soft/native.h"
#include "vm/host.h"
#include "x86/access.h"
#include "x86/flags.h"
#include "x86/fpu.h"

typedef uint32_t native_stub(struct x86_state *state, void *memory,
			     const struct x86_insn *insn, uint32_t flags);

enum native_kind {
	NATIVE_VECTOR,
	NATIVE_MMX,
	NATIVE_GPR,
	NATIVE_OPMASK,
};

/* Where the instruction's encoding names the register. */
enum native_field {
	NATIVE_VVVV, /* stored in this order: MULX's ModRM.reg wins */
	NATIVE_RM,
	NATIVE_REG,
	NATIVE_IS4,
	NATIVE_AAA, /* EVEX's opmask */
	NATIVE_FIXED,
};

#define NATIVE_OPERANDS_MAX 6

struct native_operand {
	uint8_t kind;	/* enum native_kind */
	uint8_t field;	/* enum native_field */
	uint8_t number; /* of the host register */
	bool load;
	bool store;
	bool wide; /* a YMM register, or with EVEX a ZMM one */
};

/* native_op.flags */
#define NATIVE_READ	 0x001u /* memory operand is read */
#define NATIVE_WRITE	 0x002u /* memory operand is written */
#define NATIVE_FLAGS_IN	 0x004u
#define NATIVE_FLAGS_OUT 0x008u
#define NATIVE_MXCSR	 0x010u /* obeys MXCSR and can raise #XM (QUIET) */
#define NATIVE_X87	 0x020u
#define NATIVE_HAS_MMX	 0x040u
#define NATIVE_VEX	 0x080u
#define NATIVE_DIRTY_YMM 0x100u /* leaves upper halves: VZEROUPPER */
#define NATIVE_NARROW	 0x200u /* not 64-bit code: 8 registers */
#define NATIVE_HIGH_BYTE 0x400u /* rm names AH, CH, DH or BH (CRC32) */
#define NATIVE_EVEX	 0x800u
#define NATIVE_CLEAR_ZMM 0x1000u /* VEX, and there are bits 256 to 511 */
#define NATIVE_PAIR	 0x2000u /* ModRM.reg names two opmasks */
#define NATIVE_PACKED	 0x4000u /* memory holds enabled elements only */
#define NATIVE_QUIET	 0x8000u /* obeys MXCSR, but never raises #XM */

#define NATIVE_CODE_MAX 16

struct native_op {
	native_stub *stub;
	x86_handler *handler;
	uint32_t need; /* X86_MODE_* bits, all of them */
	uint16_t flags;
	uint8_t size;		       /* bytes of the memory operand */
	uint8_t align;		       /* #GP when misaligned; 1: any */
	uint8_t count;		       /* of `operand` */
	uint8_t length;		       /* of `code` */
	/*
	 * Memory operands under an opmask: bytes that an element has there,
	 * and how many bits of the opmask count. 0: accessed whole.
	 */
	uint8_t piece, mask_bits;
	uint8_t code[NATIVE_CODE_MAX]; /* renamed, [rsi] for memory */
	struct native_operand operand[NATIVE_OPERANDS_MAX];
	ZydisMnemonic mnemonic;
};

#define NATIVE_CODE_SIZE (1u << 21)
#define NATIVE_SLOT_SIZE 512u /* largest stub, and room at the region's end */
#define NATIVE_HASH_SIZE 8192u
#define NATIVE_OPS_MAX	 6144u

struct native {
	struct host_code code;
	uint32_t used; /* bytes of `code` */
	uint32_t count;
	struct native_op *hash[NATIVE_HASH_SIZE];
	uint64_t features; /* NATIVE_ISA bits offered; see native_isa.c */
	bool features_known;
	/* Private copies of an instruction's operands. */
	struct x86_state scratch;
	_Alignas(64) uint8_t bounce[128];
};

/* native_isa.c: whether the guest's CPUID offers the instruction. */
bool native_isa_offered(struct native *n, struct x86_cpu *cpu,
			const ZydisDecodedInstruction *zi);

/* The op of an instruction that is nothing but its stub, or NULL: no masked
 * access, no AH ... BH, no x87 environment. */
const struct native_op *native_plain(const struct x86_insn *insn);

/* native_shape.c: finds the shape; false when it cannot be run this way. */
bool native_shape(struct native_op *op, const struct x86_insn *insn,
		  const ZydisDecodedInstruction *zi,
		  const ZydisDecodedOperand *operands);

/* native_emit.c: writes the stub at `at`; its size. */
unsigned int native_emit(const struct native_op *op, struct host_code *code,
			 uint32_t at);

/* Writes the constants that stubs use; bytes used. */
unsigned int native_emit_constants(struct host_code *code);

/* native_mask.c: a handler for gathers and masked moves, or NULL. */
x86_handler *native_pick_masked(struct x86_insn *insn, ZydisMnemonic mnemonic,
				const ZydisDecodedOperand *operands);

/*
 * native_evex.c: instructions with a stub that need AVX-512; a handler for
 * gathers and scatters, or NULL; and how an opmask applies to the memory
 * operand: NATIVE_PACKED, piece and mask_bits.
 */
x86_handler native_run_evex;
x86_handler *native_pick_evex(struct x86_insn *insn, ZydisMnemonic mnemonic,
			      const ZydisDecodedOperand *operands);
void native_find_pieces(struct native_op *op, const ZydisDecodedInstruction *zi,
			const ZydisDecodedOperand *operands);

/* Runs a stub that obeys MXCSR while the guest has exceptions unmasked. */
enum x86_result native_run_guarded(struct x86_cpu *cpu,
				   const struct x86_insn *insn, void *host);

/* native_x87.c: x87 with a stub. native_x87_env.c: handlers of control and
 * environment instructions, or NULL. */
x86_handler native_run_x87;
x86_handler *native_pick_x87(ZydisMnemonic mnemonic);

/*
 * Raises what a missing mode bit means: #UD, or #NM when only CR0.TS keeps
 * the instruction back.
 */
enum x86_result native_refuse(struct x86_cpu *cpu, uint32_t need);

/* What may keep an MMX instruction back: #UD, #NM, #MF. */
enum x86_result native_begin_mmx(struct x86_cpu *cpu);

/*
 * The state that every MMX instruction leaves: TOP becomes 0, so that MMn is
 * ST(n), and all registers count as in use.
 */
void native_enter_mmx(struct x86_state *state);

/* A memory operand made reachable for the host. */
struct native_memory {
	void *host; /* guest memory itself, or the bounce buffer */
	uint64_t linear;
	bool bounced;
};

/*
 * Finds or copies the memory operand, checked for what the op does with it.
 * `private` always copies.
 */
enum x86_result native_map(struct x86_cpu *cpu, const struct x86_insn *insn,
			   const struct native_op *op, bool private,
			   struct native_memory *m);

/* Writes a bounced operand back. */
enum x86_result native_unmap(struct x86_cpu *cpu, const struct native_op *op,
			     const struct native_memory *m);

/* Arithmetic flags as stubs take them (OF in bit 0, the rest in bits 8-15)
 * and give them. */
static inline uint32_t native_pack_flags(uint64_t flags)
{
	return (flags >> 11 & 1) | (flags & 0xff) << 8;
}

static inline uint64_t native_unpack_flags(uint32_t packed)
{
	return (packed >> 8 & 0xd5) | (packed & 1) << 11;
}

/* Runs the stub on the guest's state. */
static inline __attribute__((always_inline)) void
native_call(struct x86_cpu *cpu, const struct x86_insn *insn,
	    const struct native_op *op, void *host)
{
	uint32_t flags = 0;

	if (op->flags & NATIVE_FLAGS_IN)
		flags = native_pack_flags(x86_flags(cpu));
	flags = op->stub(&cpu->state, host, insn, flags);
	if (op->flags & NATIVE_FLAGS_OUT)
		x86_set_arith(cpu, native_unpack_flags(flags));
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 arithmetic, loads and stores: a stub between FXRSTOR64 and FXSAVE64.
 * Exceptions, masked or not, come out of it in the status word; the pointers
 * to the last instruction and operand are set here. Intel SDM vol. 1,
 * chapter 8.
 */
#include "engine/soft/native_op.h"

#include <stddef.h>

/*
 * CR0.NE is clear and an exception pending: the instruction runs with the
 * exception out of the way, as with IGNNE# asserted.
 */
static uint16_t hide_pending(struct x86_state *state)
{
	uint16_t pending = fpu_get16(state, FPU_FSW) & FPU_EXCEPT;

	fpu_set16(state, FPU_FSW, fpu_get16(state, FPU_FSW) ^ pending);
	return pending;
}

static void show_pending(struct x86_state *state, uint16_t pending)
{
	fpu_set16(state, FPU_FSW, fpu_get16(state, FPU_FSW) | pending);
	fpu_normalise(state);
}

/* An unmasked exception leaves the destination as it was. */
static enum x86_result map_operand(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   const struct native_op *op,
				   struct native_memory *m)
{
	enum x86_result r = native_map(cpu, insn, op, false, m);

	if (r == X86_NEXT && m->bounced && !(op->flags & NATIVE_READ) &&
	    ~fpu_get16(&cpu->state, FPU_FCW) & FPU_EXCEPT)
		r = x86_read(cpu, m->linear, m->host, op->size);
	return r;
}

enum x86_result native_run_x87(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	const struct native_op *op = insn->native;
	struct x86_state *state = &cpu->state;
	struct native_memory m = { 0 };
	uint64_t fdp = fpu_get64(state, FPU_FDP);
	uint16_t pending = 0;
	enum x86_result r;

	if (cpu->mode & X86_MODE_FPU_OFF)
		return x86_raise(cpu, X86_NM);
	r = fpu_check_pending(cpu);
	if (r == X86_NEXT && op->size)
		r = map_operand(cpu, insn, op, &m);
	if (r != X86_NEXT)
		return r;
	if (fpu_pending(state))
		pending = hide_pending(state);
	native_call(cpu, insn, op, m.host);
	if (pending)
		show_pending(state, pending);
	fpu_set16(state, FPU_FOP,
		  (uint16_t)((insn->opcode & 7) << 8 | insn->modrm));
	fpu_set64(state, FPU_FIP, cpu->block_rip + insn->offset);
	fpu_set64(state, FPU_FDP, insn->mem ? x86_effective(cpu, insn) : fdp);
	return native_unmap(cpu, op, &m);
}

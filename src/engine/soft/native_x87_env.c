/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 instructions that only move bits: control and status word, FNCLEX,
 * FNINIT, and the environment (FNSTENV, FLDENV, FNSAVE, FRSTOR) in its four
 * layouts. Intel SDM vol. 1, 8.1.10 (figures 8-9 to 8-12). The selectors in
 * the environment read as 0.
 */
#include "engine/soft/native_op.h"

static enum x86_result begin(struct x86_cpu *cpu, bool wait)
{
	if (cpu->mode & X86_MODE_FPU_OFF)
		return x86_raise(cpu, X86_NM);
	return wait ? fpu_check_pending(cpu) : X86_NEXT;
}

static enum x86_result store16(struct x86_cpu *cpu, const struct x86_insn *insn,
			       uint16_t v)
{
	uint64_t linear;
	enum x86_result r = x86_operand(cpu, insn, 2, X86_WRITE, &linear);

	return r == X86_NEXT ? x86_write(cpu, linear, &v, 2) : r;
}

static enum x86_result run_fnstcw(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	enum x86_result r = begin(cpu, false);

	return r == X86_NEXT
		       ? store16(cpu, insn, fpu_get16(&cpu->state, FPU_FCW))
		       : r;
}

static enum x86_result run_fnstsw(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	uint16_t fsw = fpu_get16(&cpu->state, FPU_FSW);
	enum x86_result r = begin(cpu, false);

	if (r != X86_NEXT)
		return r;
	if (insn->mem)
		return store16(cpu, insn, fsw);
	memcpy(&cpu->state.gpr[X86_RAX], &fsw, sizeof(fsw));
	return X86_NEXT;
}

static enum x86_result run_fldcw(struct x86_cpu *cpu,
				 const struct x86_insn *insn)
{
	uint64_t linear;
	uint16_t fcw;
	enum x86_result r = begin(cpu, true);

	if (r == X86_NEXT)
		r = x86_operand(cpu, insn, 2, X86_READ, &linear);
	if (r == X86_NEXT)
		r = x86_read(cpu, linear, &fcw, 2);
	if (r != X86_NEXT)
		return r;
	fpu_set16(&cpu->state, FPU_FCW, fcw);
	fpu_normalise(&cpu->state);
	return X86_NEXT;
}

static enum x86_result run_fnclex(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	enum x86_result r = begin(cpu, false);

	if (r == X86_NEXT)
		fpu_set16(&cpu->state, FPU_FSW,
			  fpu_get16(&cpu->state, FPU_FSW) & 0x7f00);
	return r;
}

static enum x86_result run_fninit(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	enum x86_result r = begin(cpu, false);

	if (r == X86_NEXT)
		fpu_init(&cpu->state);
	return r;
}

/* FNENI, FNDISI, FNSETPM: of the 8087 and 80287, no effect since. */
static enum x86_result run_nothing(struct x86_cpu *cpu,
				   const struct x86_insn *insn)
{
	return begin(cpu, false);
}

/* --- the environment --------------------------------------------------- */

#define TAG_VALID   0u
#define TAG_ZERO    1u
#define TAG_SPECIAL 2u
#define TAG_EMPTY   3u

/* Of a register's contents: Intel SDM vol. 1, 8.1.7. */
static unsigned int classify(const uint8_t *st)
{
	uint64_t mantissa;
	uint16_t exponent;

	memcpy(&mantissa, st, sizeof(mantissa));
	memcpy(&exponent, st + 8, sizeof(exponent));
	exponent &= 0x7fff;
	if (!exponent && !mantissa)
		return TAG_ZERO;
	if (!exponent || exponent == 0x7fff || !(mantissa >> 63))
		return TAG_SPECIAL;
	return TAG_VALID;
}

static uint16_t full_tags(const struct x86_state *state)
{
	unsigned int top = fpu_get16(state, FPU_FSW) >> FPU_TOP_SHIFT & 7;
	unsigned int tags = 0;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		const uint8_t *st =
			state->xsave + FPU_ST + 16 * ((i - top) & 7);

		tags |= (state->xsave[FPU_FTW] >> i & 1 ? classify(st)
							: TAG_EMPTY)
			<< 2 * i;
	}
	return (uint16_t)tags;
}

static void set_full_tags(struct x86_state *state, uint16_t tags)
{
	unsigned int i;

	state->xsave[FPU_FTW] = 0;
	for (i = 0; i < 8; i++)
		if ((tags >> 2 * i & 3) != TAG_EMPTY)
			state->xsave[FPU_FTW] |= (uint8_t)(1u << i);
}

/* An environment in memory: seven fields of 2 or 4 bytes. */
enum { ENV_FCW, ENV_FSW, ENV_FTW, ENV_FIP, ENV_FCS, ENV_FDP, ENV_FDS };

#define ENV_FIELDS 7
#define ENV_MAX	   (4 * ENV_FIELDS)
#define SAVE_MAX   (ENV_MAX + 80)

static unsigned int field_size(const struct x86_insn *insn)
{
	return insn->opsize == 2 ? 2 : 4;
}

static bool real_layout(const struct x86_cpu *cpu)
{
	return !(cpu->mode & X86_MODE_PROT);
}

static void make_fields(const struct x86_cpu *cpu, unsigned int size,
			uint32_t f[ENV_FIELDS])
{
	const struct x86_state *state = &cpu->state;
	uint32_t fip = fpu_get32(state, FPU_FIP);
	uint32_t fdp = fpu_get32(state, FPU_FDP);
	uint32_t fop = fpu_get16(state, FPU_FOP);

	f[ENV_FCW] = 0xffff0000u | fpu_get16(state, FPU_FCW);
	f[ENV_FSW] = 0xffff0000u | fpu_get16(state, FPU_FSW);
	f[ENV_FTW] = 0xffff0000u | full_tags(state);
	f[ENV_FIP] = fip;
	f[ENV_FDP] = fdp;
	if (!real_layout(cpu)) {
		f[ENV_FCS] = size == 4 ? fop << 16 : 0;
		f[ENV_FDS] = 0xffff0000u;
	} else if (size == 4) {
		f[ENV_FIP] = 0xffff0000u | (fip & 0xffff);
		f[ENV_FCS] = (fip >> 16) << 12 | fop;
		f[ENV_FDP] = 0xffff0000u | (fdp & 0xffff);
		f[ENV_FDS] = (fdp >> 16) << 12;
	} else {
		f[ENV_FCS] = (fip >> 4 & 0xf000) | fop;
		f[ENV_FDS] = fdp >> 4 & 0xf000;
	}
}

static void take_fields(struct x86_cpu *cpu, unsigned int size,
			const uint32_t f[ENV_FIELDS])
{
	struct x86_state *state = &cpu->state;
	uint32_t fip = f[ENV_FIP], fdp = f[ENV_FDP];
	uint16_t fop = fpu_get16(state, FPU_FOP);

	if (!real_layout(cpu)) {
		if (size == 4)
			fop = f[ENV_FCS] >> 16 & FPU_FOP_USED;
	} else if (size == 4) {
		fip = (fip & 0xffff) | (f[ENV_FCS] << 4 & 0xffff0000u);
		fdp = (fdp & 0xffff) | (f[ENV_FDS] << 4 & 0xffff0000u);
		fop = f[ENV_FCS] & FPU_FOP_USED;
	} else {
		fip |= (f[ENV_FCS] & 0xf000) << 4;
		fdp |= (f[ENV_FDS] & 0xf000) << 4;
		fop = f[ENV_FCS] & FPU_FOP_USED;
	}
	fpu_set_top(state, f[ENV_FSW] >> FPU_TOP_SHIFT & 7);
	fpu_set16(state, FPU_FCW, (uint16_t)f[ENV_FCW]);
	fpu_set16(state, FPU_FSW, (uint16_t)f[ENV_FSW]);
	fpu_set16(state, FPU_FOP, fop);
	fpu_set64(state, FPU_FIP, fip);
	fpu_set64(state, FPU_FDP, fdp);
	set_full_tags(state, (uint16_t)f[ENV_FTW]);
	fpu_normalise(state);
}

/* FNSTENV, and the first part of FNSAVE. Gives the bytes made. */
static unsigned int make_env(const struct x86_cpu *cpu, unsigned int size,
			     uint8_t *buf)
{
	uint32_t f[ENV_FIELDS];
	unsigned int i;

	make_fields(cpu, size, f);
	for (i = 0; i < ENV_FIELDS; i++)
		memcpy(buf + size * i, &f[i], size);
	return ENV_FIELDS * size;
}

static unsigned int take_env(struct x86_cpu *cpu, unsigned int size,
			     const uint8_t *buf)
{
	uint32_t f[ENV_FIELDS] = { 0 };
	unsigned int i;

	for (i = 0; i < ENV_FIELDS; i++)
		memcpy(&f[i], buf + size * i, size);
	take_fields(cpu, size, f);
	return ENV_FIELDS * size;
}

/* Writes up to SAVE_MAX bytes, all or nothing. */
static enum x86_result store_block(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   const uint8_t *buf, unsigned int size)
{
	unsigned int half = size > 64 ? 64 : size;
	uint64_t linear;
	enum x86_result r = x86_operand(cpu, insn, size, X86_WRITE, &linear);

	if (r == X86_NEXT && size > half)
		r = x86_probe(cpu, linear + half, size - half, X86_WRITE);
	if (r == X86_NEXT)
		r = x86_write(cpu, linear, buf, half);
	if (r == X86_NEXT && size > half)
		r = x86_write(cpu, linear + half, buf + half, size - half);
	return r;
}

static enum x86_result load_block(struct x86_cpu *cpu,
				  const struct x86_insn *insn, uint8_t *buf,
				  unsigned int size)
{
	unsigned int half = size > 64 ? 64 : size;
	uint64_t linear;
	enum x86_result r = x86_operand(cpu, insn, size, X86_READ, &linear);

	if (r == X86_NEXT)
		r = x86_read(cpu, linear, buf, half);
	if (r == X86_NEXT && size > half)
		r = x86_read(cpu, linear + half, buf + half, size - half);
	return r;
}

static enum x86_result run_fnstenv(struct x86_cpu *cpu,
				   const struct x86_insn *insn)
{
	uint8_t buf[ENV_MAX];
	enum x86_result r = begin(cpu, false);

	if (r != X86_NEXT)
		return r;
	r = store_block(cpu, insn, buf, make_env(cpu, field_size(insn), buf));
	if (r != X86_NEXT)
		return r;
	fpu_set16(&cpu->state, FPU_FCW,
		  fpu_get16(&cpu->state, FPU_FCW) | FPU_EXCEPT);
	fpu_normalise(&cpu->state);
	return X86_NEXT;
}

static enum x86_result run_fldenv(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	unsigned int size = field_size(insn);
	uint8_t buf[ENV_MAX];
	enum x86_result r = begin(cpu, true);

	if (r == X86_NEXT)
		r = load_block(cpu, insn, buf, ENV_FIELDS * size);
	if (r == X86_NEXT)
		take_env(cpu, size, buf);
	return r;
}

static enum x86_result run_fnsave(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	uint8_t buf[SAVE_MAX];
	unsigned int at, i;
	enum x86_result r = begin(cpu, false);

	if (r != X86_NEXT)
		return r;
	at = make_env(cpu, field_size(insn), buf);
	for (i = 0; i < 8; i++, at += 10)
		memcpy(buf + at, cpu->state.xsave + FPU_ST + 16 * i, 10);
	r = store_block(cpu, insn, buf, at);
	if (r == X86_NEXT)
		fpu_init(&cpu->state);
	return r;
}

static enum x86_result run_frstor(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	unsigned int size = field_size(insn);
	uint8_t buf[SAVE_MAX];
	unsigned int at, i;
	enum x86_result r = begin(cpu, true);

	if (r == X86_NEXT)
		r = load_block(cpu, insn, buf, ENV_FIELDS * size + 80);
	if (r != X86_NEXT)
		return r;
	at = take_env(cpu, size, buf);
	for (i = 0; i < 8; i++, at += 10)
		memcpy(cpu->state.xsave + FPU_ST + 16 * i, buf + at, 10);
	return X86_NEXT;
}

static const struct {
	ZydisMnemonic mnemonic;
	x86_handler *handler;
} handlers[] = {
	{ ZYDIS_MNEMONIC_FNSTCW, run_fnstcw },
	{ ZYDIS_MNEMONIC_FNSTSW, run_fnstsw },
	{ ZYDIS_MNEMONIC_FLDCW, run_fldcw },
	{ ZYDIS_MNEMONIC_FNCLEX, run_fnclex },
	{ ZYDIS_MNEMONIC_FNINIT, run_fninit },
	{ ZYDIS_MNEMONIC_FENI8087_NOP, run_nothing },
	{ ZYDIS_MNEMONIC_FDISI8087_NOP, run_nothing },
	{ ZYDIS_MNEMONIC_FSETPM287_NOP, run_nothing },
	{ ZYDIS_MNEMONIC_FNSTENV, run_fnstenv },
	{ ZYDIS_MNEMONIC_FLDENV, run_fldenv },
	{ ZYDIS_MNEMONIC_FNSAVE, run_fnsave },
	{ ZYDIS_MNEMONIC_FRSTOR, run_frstor },
};

x86_handler *native_pick_x87(ZydisMnemonic mnemonic)
{
	unsigned int i;

	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].mnemonic == mnemonic)
			return handlers[i].handler;
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port input and output: IN, OUT, INS, OUTS, the I/O permission bitmap and
 * I/O breakpoints. Intel SDM vol. 1, 19.5; vol. 3, 17.2.4, 20.3.3.
 */
#include "vm/memory_view.h"
#include "x86/access.h"
#include "x86/handlers.h"
#include "x86/operand.h"

#define TSS_IO_BASE 102 /* where a 32- and a 64-bit TSS keep the offset */

/* Port access after the I/O permission check of the caller. */
static uint64_t x86_port_read(struct x86_cpu *cpu, uint16_t port, unsigned int size)
{
	uint64_t value;

	cpu->stat_pio++;
	cpu->work = X86_WORK_DEVICE;
	value = bus_read(&cpu->vm->pio, port, size);
	cpu->work = X86_WORK_RUN;
	return value;
}

static void x86_port_write(struct x86_cpu *cpu, uint16_t port,
			   unsigned int size, uint64_t value)
{
	cpu->stat_pio++;
	cpu->work = X86_WORK_DEVICE;
	bus_write(&cpu->vm->pio, port, size, value);
	memory_settle(&cpu->vm->memory, cpu);
	cpu->work = X86_WORK_RUN;
}

/* Looks the ports up in the bitmap of the current TSS. */
static enum x86_result check_bitmap(struct x86_cpu *cpu, uint16_t port,
				    unsigned int size)
{
	const struct x86_segment *tr = &cpu->state.tr;
	unsigned int type = tr->attr & X86_ATTR_TYPE;
	uint16_t map, bits, mask = (uint16_t)((1u << size) - 1);
	enum x86_result r;
	uint64_t at;

	/* A 16-bit TSS has no bitmap. */
	if (!(tr->attr & X86_ATTR_P) || (type != 9 && type != 11) ||
	    tr->limit < TSS_IO_BASE + 1)
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_system(cpu, tr->base + TSS_IO_BASE, &map, 2);
	if (r)
		return r;
	at = map + port / 8u;
	if (at + 1 > tr->limit)
		return x86_raise_error(cpu, X86_GP, 0);
	r = x86_read_system(cpu, tr->base + at, &bits, 2);
	if (r)
		return r;
	if (bits >> (port & 7) & mask)
		return x86_raise_error(cpu, X86_GP, 0);
	return X86_NEXT;
}

static enum x86_result check_port(struct x86_cpu *cpu, uint16_t port,
				  unsigned int size)
{
	unsigned int iopl = (cpu->state.rflags & X86_FLAG_IOPL) >> 12;

	if (!(cpu->mode & X86_MODE_VM86) && cpu->cpl <= iopl)
		return X86_NEXT;
	return check_bitmap(cpu, port, size);
}

/* Notes the I/O breakpoints that an access hits (R/W = 2, with CR4.DE). */
static void watch_port(struct x86_cpu *cpu, uint16_t port, unsigned int size)
{
	static const uint8_t length[4] = { 1, 2, 8, 4 };
	uint64_t dr7 = cpu->state.dr[7];

	if (!(dr7 & 0xff) || !(cpu->state.cr4 & X86_CR4_DE))
		return;
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t len = length[dr7 >> (18 + 4 * i) & 3];
		uint64_t at = cpu->state.dr[i] & ~(len - 1);

		if (dr7 >> (2 * i) & 3 && (dr7 >> (16 + 4 * i) & 3) == 2 &&
		    port < at + len && at < (uint64_t)port + size)
			cpu->debug_hits |= (uint8_t)(1u << i);
	}
}

/* A device may have ended the run: reset, power-off, debug exit. */
static enum x86_result done(struct x86_cpu *cpu)
{
	return atomic_load_explicit(&cpu->vm->request,
				    memory_order_relaxed) == VM_RUN ?
		       X86_NEXT :
		       X86_STOP;
}

static unsigned int io_size(const struct x86_insn *insn)
{
	if (!(insn->opcode & 1))
		return 1;
	return insn->opsize == 2 ? 2 : 4;
}

/* Port of E4-E7 (immediate) and EC-EF (DX). */
static uint16_t io_port(const struct x86_cpu *cpu,
			const struct x86_insn *insn)
{
	if (insn->opcode & 8)
		return (uint16_t)cpu->state.gpr[X86_RDX];
	return (uint8_t)insn->imm;
}

enum x86_result x86_in(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = io_size(insn);
	uint16_t port = io_port(cpu, insn);
	enum x86_result r = check_port(cpu, port, size);

	if (r)
		return r;
	set_register(cpu, insn, X86_RAX, size,
		     x86_port_read(cpu, port, size));
	watch_port(cpu, port, size);
	return done(cpu);
}

enum x86_result x86_out(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int size = io_size(insn);
	uint16_t port = io_port(cpu, insn);
	enum x86_result r = check_port(cpu, port, size);

	if (r)
		return r;
	x86_port_write(cpu, port, size,
		       get_register(cpu, insn, X86_RAX, size));
	watch_port(cpu, port, size);
	return done(cpu);
}

static uint64_t index_register(const struct x86_cpu *cpu,
			       const struct x86_insn *insn, unsigned int r)
{
	return truncate(cpu->state.gpr[r], insn->adsize);
}

static bool repeats(const struct x86_insn *insn)
{
	return insn->prefix & (X86_PFX_REP | X86_PFX_REPNE);
}

/* Steps the index, counts down, and stays at the instruction if need be. */
static enum x86_result string_step(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   unsigned int r, unsigned int size)
{
	uint64_t index = index_register(cpu, insn, r), count;

	index += cpu->state.rflags & X86_FLAG_DF ? 0 - (uint64_t)size : size;
	set_register(cpu, insn, r, insn->adsize, index);
	if (repeats(insn)) {
		count = index_register(cpu, insn, X86_RCX) - 1;
		set_register(cpu, insn, X86_RCX, insn->adsize, count);
		if (truncate(count, insn->adsize))
			cpu->next_rip = cpu->state.rip;
	}
	return done(cpu);
}

enum x86_result x86_ins(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint16_t port = (uint16_t)cpu->state.gpr[X86_RDX];
	unsigned int size = io_size(insn);
	enum x86_result r;
	uint64_t linear, v;

	r = check_port(cpu, port, size);
	if (r)
		return r;
	if (repeats(insn) && !index_register(cpu, insn, X86_RCX))
		return X86_NEXT;
	r = x86_linear(cpu, X86_ES, index_register(cpu, insn, X86_RDI), size,
		       X86_WRITE, &linear);
	/* A port must not be read for nothing. */
	if (!r)
		r = x86_probe(cpu, linear, size, X86_WRITE);
	if (r)
		return r;
	v = x86_port_read(cpu, port, size);
	r = x86_write(cpu, linear, &v, size);
	if (r)
		return r;
	watch_port(cpu, port, size);
	return string_step(cpu, insn, X86_RDI, size);
}

enum x86_result x86_outs(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint16_t port = (uint16_t)cpu->state.gpr[X86_RDX];
	unsigned int size = io_size(insn);
	enum x86_result r;
	uint64_t linear, v = 0;

	r = check_port(cpu, port, size);
	if (r)
		return r;
	if (repeats(insn) && !index_register(cpu, insn, X86_RCX))
		return X86_NEXT;
	r = x86_linear(cpu, insn->seg, index_register(cpu, insn, X86_RSI),
		       size, X86_READ, &linear);
	if (!r)
		r = x86_read(cpu, linear, &v, size);
	if (r)
		return r;
	x86_port_write(cpu, port, size, v);
	watch_port(cpu, port, size);
	return string_step(cpu, insn, X86_RSI, size);
}

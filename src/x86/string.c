/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions: MOVS CMPS STOS LODS SCAS with REP, REPE, REPNE.
 * AMD64 APM vol. 3, chapter 3 and 1.2.6. INS and OUTS are in io.c.
 *
 * Each iteration is complete before the next one may fault: registers always
 * say what has been done. REP MOVS and STOS go forward a page at a time on
 * the host's own REP instruction. A long repetition comes back to the run
 * loop now and then, with rip still at the instruction, so that interrupts
 * are taken.
 */
#include "x86/alu.h"
#include "x86/exec.h"

#define ARGS struct x86_cpu *cpu, const struct x86_insn *insn

/* Iterations after which a repetition looks for interrupts. */
#define STRING_SLICE 256

/* What the current repetition works on. */
struct string {
	uint64_t rsi, rdi; /* cut to the address size */
	uint64_t count;	   /* iterations left; 1 without REP */
	unsigned int size;
	bool rep;
};

static void string_begin(ARGS, struct string *s)
{
	s->size = insn->opsize;
	s->rsi = truncate(cpu->state.gpr[X86_RSI], insn->adsize);
	s->rdi = truncate(cpu->state.gpr[X86_RDI], insn->adsize);
	s->rep = insn->prefix & (X86_PFX_REP | X86_PFX_REPNE);
	s->count = s->rep ? truncate(cpu->state.gpr[X86_RCX], insn->adsize) :
			    1;
}

static void advance(ARGS, struct string *s, bool source, bool target,
		    uint64_t n)
{
	uint64_t step = n * s->size;

	if (cpu->state.rflags & X86_FLAG_DF)
		step = 0 - step;
	if (source) {
		s->rsi = truncate(s->rsi + step, insn->adsize);
		set_register(cpu, insn, X86_RSI, insn->adsize, s->rsi);
	}
	if (target) {
		s->rdi = truncate(s->rdi + step, insn->adsize);
		set_register(cpu, insn, X86_RDI, insn->adsize, s->rdi);
	}
	s->count -= n;
	if (s->rep)
		set_register(cpu, insn, X86_RCX, insn->adsize, s->count);
}

/* Ends the instruction, or leaves rip at it when iterations remain. */
static enum x86_result string_end(ARGS, const struct string *s, bool more)
{
	if (!more || !s->count)
		return X86_NEXT;
	cpu->state.rip = cpu->block_rip + insn->offset;
	return X86_BRANCH;
}

static enum x86_result source_linear(ARGS, const struct string *s,
				     uint64_t *linear)
{
	return x86_linear(cpu, insn->seg, s->rsi, s->size, X86_READ, linear);
}

static enum x86_result target_linear(struct x86_cpu *cpu,
				     const struct string *s,
				     enum x86_access access, uint64_t *linear)
{
	return x86_linear(cpu, X86_ES, s->rdi, s->size, access, linear);
}

/*
 * How many iterations from `linear` on stay in its page, for a repetition
 * that goes forward through segments without a limit; 0 when the next
 * element straddles or one step at a time is asked for.
 */
static uint64_t in_page(const struct x86_cpu *cpu,
			const struct x86_insn *insn, const struct string *s,
			uint64_t address, uint64_t linear)
{
	uint64_t n = (PAGE_SIZE - (linear & 0xfff)) / s->size;

	if (cpu->state.rflags & X86_FLAG_DF)
		return 0;
	if (cpu->mode & (X86_MODE_TRACE | X86_MODE_AC))
		return 0;
	if (!(cpu->mode & X86_MODE_CODE64)) {
		if (!(cpu->mode & X86_MODE_FLAT) || insn->seg >= X86_FS ||
		    insn->adsize == 2 || address > UINT32_MAX - PAGE_SIZE)
			return 0;
	}
	return n;
}

/* Moves up to a page at once; *done 0: not possible here. */
static enum x86_result move_bulk(ARGS, struct string *s, uint64_t *done)
{
	uint64_t from, to, n, m;
	void *source, *target;
	enum x86_result r;

	*done = 0;
	r = source_linear(cpu, insn, s, &from);
	if (!r)
		r = target_linear(cpu, s, X86_WRITE, &to);
	if (r)
		return r;
	n = in_page(cpu, insn, s, s->rsi, from);
	m = in_page(cpu, insn, s, s->rdi, to);
	n = n < m ? n : m;
	n = n < s->count ? n : s->count;
	if (!n)
		return X86_NEXT;
	r = x86_pointer(cpu, from, (unsigned int)(n * s->size), X86_READ,
			&source);
	if (!r && source)
		r = x86_pointer(cpu, to, (unsigned int)(n * s->size),
				X86_WRITE, &target);
	if (r || !source || !target)
		return r;
	/* A target less than an element behind the source: not by bytes. */
	if (s->size > 1 && (uintptr_t)target - (uintptr_t)source < s->size)
		return X86_NEXT;
	*done = n;
	m = n * s->size;
	__asm__ volatile("rep movsb"
			 : "+S"(source), "+D"(target), "+c"(m)
			 :
			 : "memory");
	advance(cpu, insn, s, true, true, n);
	return X86_NEXT;
}

static enum x86_result move_one(ARGS, struct string *s)
{
	uint64_t from, to, v = 0;
	enum x86_result r = source_linear(cpu, insn, s, &from);

	if (!r)
		r = x86_read(cpu, from, &v, s->size);
	if (!r)
		r = target_linear(cpu, s, X86_WRITE, &to);
	if (!r)
		r = x86_write(cpu, to, &v, s->size);
	if (!r)
		advance(cpu, insn, s, true, true, 1);
	return r;
}

static enum x86_result movs(ARGS)
{
	enum x86_result r = X86_NEXT;
	uint64_t done, i;
	struct string s;

	string_begin(cpu, insn, &s);
	for (i = 0; s.count && i < STRING_SLICE; i++) {
		done = 0;
		if (s.count > 1)
			r = move_bulk(cpu, insn, &s, &done);
		if (!r && !done)
			r = move_one(cpu, insn, &s);
		if (r)
			return r;
		if (cpu->mode & X86_MODE_TRACE)
			break;
		/* A page counts as many. */
		i += done ? 15 : 0;
	}
	return string_end(cpu, insn, &s, s.rep);
}

static void fill(void *target, unsigned int size, uint64_t v, uint64_t n)
{
	switch (size) {
	case 1:
		__asm__ volatile("rep stosb"
				 : "+D"(target), "+c"(n) : "a"(v) : "memory");
		break;
	case 2:
		__asm__ volatile("rep stosw"
				 : "+D"(target), "+c"(n) : "a"(v) : "memory");
		break;
	case 4:
		__asm__ volatile("rep stosl"
				 : "+D"(target), "+c"(n) : "a"(v) : "memory");
		break;
	default:
		__asm__ volatile("rep stosq"
				 : "+D"(target), "+c"(n) : "a"(v) : "memory");
	}
}

static enum x86_result store_bulk(ARGS, struct string *s, uint64_t *done)
{
	void *target;
	uint64_t to, n;
	enum x86_result r = target_linear(cpu, s, X86_WRITE, &to);

	*done = 0;
	if (r)
		return r;
	n = in_page(cpu, insn, s, s->rdi, to);
	n = n < s->count ? n : s->count;
	if (!n)
		return X86_NEXT;
	r = x86_pointer(cpu, to, (unsigned int)(n * s->size), X86_WRITE,
			&target);
	if (r || !target)
		return r;
	fill(target, s->size, cpu->state.gpr[X86_RAX], n);
	*done = n;
	advance(cpu, insn, s, false, true, n);
	return X86_NEXT;
}

static enum x86_result stos(ARGS)
{
	enum x86_result r = X86_NEXT;
	uint64_t done, to, i;
	struct string s;

	string_begin(cpu, insn, &s);
	for (i = 0; s.count && i < STRING_SLICE; i++) {
		done = 0;
		if (s.count > 1)
			r = store_bulk(cpu, insn, &s, &done);
		if (!r && !done) {
			r = target_linear(cpu, &s, X86_WRITE, &to);
			if (!r)
				r = x86_write(cpu, to,
					      &cpu->state.gpr[X86_RAX],
					      s.size);
			if (!r)
				advance(cpu, insn, &s, false, true, 1);
		}
		if (r)
			return r;
		if (cpu->mode & X86_MODE_TRACE)
			break;
		i += done ? 15 : 0;
	}
	return string_end(cpu, insn, &s, s.rep);
}

static enum x86_result lods(ARGS)
{
	enum x86_result r;
	uint64_t from, v, i;
	struct string s;

	string_begin(cpu, insn, &s);
	for (i = 0; s.count && i < STRING_SLICE; i++) {
		v = 0;
		r = source_linear(cpu, insn, &s, &from);
		if (!r)
			r = x86_read(cpu, from, &v, s.size);
		if (r)
			return r;
		if (s.size == 1)
			memcpy(&cpu->state.gpr[X86_RAX], &v, 1);
		else
			set_register(cpu, insn, X86_RAX, s.size, v);
		advance(cpu, insn, &s, true, false, 1);
		if (cpu->mode & X86_MODE_TRACE)
			break;
	}
	return string_end(cpu, insn, &s, s.rep);
}

/* CMPS compares [rSI] with [rDI], SCAS rAX with [rDI]. */
static enum x86_result compare(ARGS, bool source)
{
	bool want = insn->prefix & X86_PFX_REP, more = true;
	uint64_t linear, a, b, i;
	enum x86_result r;
	struct string s;

	string_begin(cpu, insn, &s);
	for (i = 0; more && s.count && i < STRING_SLICE; i++) {
		a = truncate(cpu->state.gpr[X86_RAX], s.size);
		b = 0;
		r = X86_NEXT;
		if (source) {
			a = 0;
			r = source_linear(cpu, insn, &s, &linear);
			if (!r)
				r = x86_read(cpu, linear, &a, s.size);
		}
		if (!r)
			r = target_linear(cpu, &s, X86_READ, &linear);
		if (!r)
			r = x86_read(cpu, linear, &b, s.size);
		if (r)
			return r;
		alu_compute(cpu, ALU_CMP, a, b, s.size);
		advance(cpu, insn, &s, source, true, 1);
		more = s.rep && x86_zf(cpu) == want;
		if (cpu->mode & X86_MODE_TRACE)
			break;
	}
	return string_end(cpu, insn, &s, more);
}

static enum x86_result cmps(ARGS)
{
	return compare(cpu, insn, true);
}

static enum x86_result scas(ARGS)
{
	return compare(cpu, insn, false);
}

x86_handler *x86_pick_string(const struct x86_insn *insn)
{
	switch (insn->opcode & 0xfe) {
	case 0xa4:
		return movs;
	case 0xa6:
		return cmps;
	case 0xaa:
		return stos;
	case 0xac:
		return lods;
	default:
		return scas;
	}
}

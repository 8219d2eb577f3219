/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving and restoring the extended state: FXSAVE, FXRSTOR, the XSAVE family
 * in standard and compacted format, LDMXCSR, STMXCSR, EMMS, VZEROUPPER,
 * FWAIT, and the fences and cache-line instructions that share their opcode
 * group. Intel SDM vol. 1, chapter 13 and 10.5; vol. 2 for each.
 *
 * XINUSE tells which components of AVX-512 are in use; all others count as in
 * use always. There is no modified optimisation. Supervisor components
 * (IA32_XSS) are not offered.
 */
#include "x86/handlers.h"

#include "x86/access.h"
#include "x86/cpuid.h"
#include "x86/fpu.h"

#define FXSAVE_SIZE	  512
#define FXSAVE_USED	  416 /* the rest stays as it is */
#define XSAVE_HEADER_SIZE 64
#define XSAVE_LEGACY	  (FXSAVE_SIZE + XSAVE_HEADER_SIZE)
#define XCOMP_COMPACT	  ((uint64_t)1 << 63)
#define XSAVEOPT_REG	  6 /* its ModRM.reg */

/* An image on its way between the guest's memory and the canonical area. */
struct xsave_image {
	_Alignas(64) uint8_t bytes[X86_XSAVE_SIZE + 64];
	uint64_t linear;
};

struct xsave_component {
	uint16_t offset;
	uint16_t size;
};

/* By component number; x87 and SSE (0, 1) lie in the legacy region. */
static const struct xsave_component components[] = {
	[2] = { X86_XSAVE_YMM, 256 },
	[5] = { X86_XSAVE_OPMASK, 64 },
	[6] = { X86_XSAVE_ZMM_HI256, 512 },
	[7] = { X86_XSAVE_HI16_ZMM, 1024 },
	[9] = { X86_XSAVE_PKRU, 8 },
};

#define COMPONENT_COUNT (sizeof(components) / sizeof(components[0]))

static enum x86_result gp0(struct x86_cpu *cpu)
{
	return x86_raise_error(cpu, X86_GP, 0);
}

/* True when the guest's CPUID has `bit` of register `reg` (0 = EAX ..). */
static bool has_feature(struct x86_cpu *cpu, uint32_t leaf, uint32_t subleaf,
			unsigned int reg, unsigned int bit)
{
	struct cpuid_regs r =
		cpuid_query(cpu->cpuid, &cpu->state, cpu->id, leaf, subleaf);
	const uint32_t v[] = { r.eax, r.ebx, r.ecx, r.edx };

	return v[reg] >> bit & 1;
}

/* --- memory images ----------------------------------------------------- */

/* As much as is in the page, if that is at hand. */
static unsigned int chunk_size(const struct x86_cpu *cpu, uint64_t linear,
			       unsigned int left, enum x86_tlb_access access)
{
	const struct x86_tlb_entry *e = x86_tlb_at(cpu, linear, access);
	unsigned int chunk = PAGE_SIZE - (unsigned int)(linear & 0xfff);

	if (chunk > left)
		chunk = left;
	return x86_tlb_hit(e->tag, linear, chunk) || chunk < 64 ? chunk : 64;
}

static enum x86_result copy_in(struct x86_cpu *cpu, uint64_t linear,
			       uint8_t *to, unsigned int size)
{
	while (size) {
		unsigned int chunk = chunk_size(cpu, linear, size,
						X86_TLB_READ);
		enum x86_result r = x86_read(cpu, linear, to, chunk);

		if (r != X86_NEXT)
			return r;
		linear += chunk;
		to += chunk;
		size -= chunk;
	}
	return X86_NEXT;
}

static enum x86_result copy_out(struct x86_cpu *cpu, uint64_t linear,
				const uint8_t *from, unsigned int size)
{
	while (size) {
		unsigned int chunk = chunk_size(cpu, linear, size,
						X86_TLB_WRITE);
		enum x86_result r = x86_write(cpu, linear, from, chunk);

		if (r != X86_NEXT)
			return r;
		linear += chunk;
		from += chunk;
		size -= chunk;
	}
	return X86_NEXT;
}

/* Probes page by page, so that a write of the image cannot fault half-way. */
static enum x86_result probe(struct x86_cpu *cpu, uint64_t linear,
			     unsigned int size, enum x86_access access)
{
	while (size) {
		unsigned int left = PAGE_SIZE - (unsigned int)(linear & 0xfff);
		unsigned int chunk = left < size ? left : size;
		enum x86_result r = x86_probe(cpu, linear, chunk, access);

		if (r != X86_NEXT)
			return r;
		linear += chunk;
		size -= chunk;
	}
	return X86_NEXT;
}

/* --- the legacy region ------------------------------------------------- */

/* Without REX.W the pointers have 32 bits and a selector, which reads 0. */
static void pack_x87(const struct x86_state *state, bool wide, uint8_t *image)
{
	unsigned int i;

	memcpy(image, state->xsave, FPU_MXCSR);
	if (!wide) {
		memset(image + FPU_FIP + 4, 0, 4);
		memset(image + FPU_FDP + 4, 0, 4);
	}
	for (i = 0; i < 8; i++) {
		memcpy(image + FPU_ST + 16 * i, state->xsave + FPU_ST + 16 * i,
		       10);
		memset(image + FPU_ST + 16 * i + 10, 0, 6);
	}
}

static void unpack_x87(struct x86_state *state, bool wide, const uint8_t *image)
{
	uint8_t *to = state->xsave;
	unsigned int i;

	memcpy(to, image, FPU_MXCSR);
	to[FPU_FTW + 1] = 0;
	fpu_set16(state, FPU_FOP, fpu_get16(state, FPU_FOP) & FPU_FOP_USED);
	if (!wide) {
		memset(to + FPU_FIP + 4, 0, 4);
		memset(to + FPU_FDP + 4, 0, 4);
	}
	for (i = 0; i < 8; i++) {
		memcpy(to + FPU_ST + 16 * i, image + FPU_ST + 16 * i, 10);
		memset(to + FPU_ST + 16 * i + 10, 0, 6);
	}
	fpu_normalise(state);
}

static void init_x87(struct x86_state *state)
{
	fpu_init(state);
	memset(state->xsave + FPU_ST, 0, 128);
}

/* XMM8 to XMM15 exist in 64-bit mode only. */
static unsigned int xmm_bytes(const struct x86_cpu *cpu)
{
	return cpu->mode & X86_MODE_CODE64 ? 256 : 128;
}

static void put32(uint8_t *to, uint32_t v)
{
	memcpy(to, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *from)
{
	uint64_t v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static void pack_mxcsr(const struct x86_state *state, uint8_t *image)
{
	put32(image + FPU_MXCSR, fpu_get32(state, FPU_MXCSR));
	put32(image + FPU_MXCSR_MASK, FPU_MXCSR_USED);
}

/* EFER.FFXSR: FXSAVE and FXRSTOR of the 64-bit kernel leave XMM out. */
static bool skips_xmm(const struct x86_cpu *cpu)
{
	return cpu->state.efer & X86_EFER_FFXSR && cpu->cpl == 0 &&
	       cpu->mode & X86_MODE_CODE64;
}

static enum x86_result fx_begin(struct x86_cpu *cpu,
				const struct x86_insn *insn,
				enum x86_access access, uint64_t *linear)
{
	enum x86_result r;

	if (cpu->state.cr0 & (X86_CR0_EM | X86_CR0_TS))
		return x86_raise(cpu, X86_NM);
	r = x86_operand(cpu, insn, FXSAVE_SIZE, access, linear);
	if (r != X86_NEXT)
		return r;
	return *linear & 15 ? gp0(cpu) : X86_NEXT;
}

static enum x86_result fxsave(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint8_t image[FXSAVE_USED];
	unsigned int size = FPU_XMM;
	uint64_t linear;
	enum x86_result r = fx_begin(cpu, insn, X86_WRITE, &linear);

	if (r == X86_NEXT)
		r = probe(cpu, linear, FXSAVE_SIZE, X86_WRITE);
	if (r != X86_NEXT)
		return r;
	pack_x87(&cpu->state, insn->prefix & X86_PFX_REXW, image);
	pack_mxcsr(&cpu->state, image);
	if (!skips_xmm(cpu)) {
		size += xmm_bytes(cpu);
		memcpy(image + FPU_XMM, cpu->state.xsave + FPU_XMM,
		       xmm_bytes(cpu));
	}
	return copy_out(cpu, linear, image, size);
}

static enum x86_result fxrstor(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint8_t image[FXSAVE_SIZE];
	uint64_t linear;
	uint32_t mxcsr;
	enum x86_result r = fx_begin(cpu, insn, X86_READ, &linear);

	if (r == X86_NEXT)
		r = copy_in(cpu, linear, image, FXSAVE_SIZE);
	if (r != X86_NEXT)
		return r;
	mxcsr = get32(image + FPU_MXCSR);
	if (mxcsr & ~FPU_MXCSR_USED)
		return gp0(cpu);
	unpack_x87(&cpu->state, insn->prefix & X86_PFX_REXW, image);
	fpu_set32(&cpu->state, FPU_MXCSR, mxcsr);
	if (!skips_xmm(cpu))
		memcpy(cpu->state.xsave + FPU_XMM, image + FPU_XMM,
		       xmm_bytes(cpu));
	return X86_NEXT;
}

/* --- the XSAVE family -------------------------------------------------- */

/*
 * Offsets of the components of a compacted image, and its size. Only those
 * behind the first extended one can need padding.
 */
static unsigned int compact_layout(struct x86_cpu *cpu, uint64_t mask,
				   uint16_t offset[COMPONENT_COUNT])
{
	unsigned int at = XSAVE_LEGACY;
	unsigned int i;

	for (i = 2; i < COMPONENT_COUNT; i++) {
		if (!(mask >> i & 1))
			continue;
		if (at & 63 && has_feature(cpu, 0xd, i, 2, 1))
			at = (at + 63) & ~63u;
		offset[i] = (uint16_t)at;
		at += components[i].size;
	}
	return at;
}

static unsigned int standard_layout(uint64_t mask,
				    uint16_t offset[COMPONENT_COUNT])
{
	unsigned int end = XSAVE_LEGACY;
	unsigned int i;

	for (i = 2; i < COMPONENT_COUNT; i++) {
		offset[i] = components[i].offset;
		if (mask >> i & 1)
			end = components[i].offset + components[i].size;
	}
	return end;
}

/* Bytes of component `i` that this mode reaches: YMM8 .. 15 need 64 bits. */
static unsigned int component_bytes(const struct x86_cpu *cpu, unsigned int i)
{
	if (cpu->mode & X86_MODE_CODE64)
		return components[i].size;
	if (i == 7)
		return 0;
	return i == 5 || i == 9 ? components[i].size : components[i].size / 2;
}

static bool is_zero(const uint8_t *p, unsigned int size)
{
	uint64_t any = 0, v;

	for (; size; size -= sizeof(v), p += sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		any |= v;
	}
	return !any;
}

uint64_t x86_in_use(struct x86_cpu *cpu)
{
	uint64_t in_use = ~(uint64_t)X86_XCR0_AVX512;
	unsigned int i;

	if (!cpu->upper)
		return in_use;
	for (i = 5; i <= 7; i++)
		if (!is_zero(cpu->state.xsave + components[i].offset,
			     components[i].size))
			in_use |= (uint64_t)1 << i;
	cpu->upper = in_use & X86_XCR0_AVX512;
	return in_use;
}

static uint64_t requested(const struct x86_cpu *cpu)
{
	return (cpu->state.gpr[X86_RDX] << 32 |
		(uint32_t)cpu->state.gpr[X86_RAX]) &
	       cpu->state.xcr0;
}

static enum x86_result xsave_begin(struct x86_cpu *cpu,
				   const struct x86_insn *insn,
				   enum x86_access access, uint64_t *linear)
{
	enum x86_result r;

	if (!(cpu->state.cr4 & X86_CR4_OSXSAVE))
		return x86_raise(cpu, X86_UD);
	if (cpu->state.cr0 & X86_CR0_TS)
		return x86_raise(cpu, X86_NM);
	r = x86_operand(cpu, insn, XSAVE_LEGACY, access, linear);
	if (r != X86_NEXT)
		return r;
	return *linear & 63 ? gp0(cpu) : X86_NEXT;
}

static void pack_legacy(struct x86_cpu *cpu, const struct x86_insn *insn,
			struct xsave_image *image, uint64_t mask)
{
	if (mask & X86_XCR0_X87)
		pack_x87(&cpu->state, insn->prefix & X86_PFX_REXW,
			 image->bytes);
	if (mask & X86_XCR0_SSE)
		memcpy(image->bytes + FPU_XMM, cpu->state.xsave + FPU_XMM,
		       xmm_bytes(cpu));
}

static enum x86_result write_part(struct x86_cpu *cpu,
				  const struct xsave_image *image,
				  unsigned int from, unsigned int size)
{
	return copy_out(cpu, image->linear + from, image->bytes + from, size);
}

/* Writes the parts of the image that `mask` names, and nothing else. */
static enum x86_result write_image(struct x86_cpu *cpu,
				   const struct xsave_image *image,
				   uint64_t mask, bool mxcsr,
				   const uint16_t offset[COMPONENT_COUNT],
				   unsigned int header)
{
	enum x86_result r = X86_NEXT;
	unsigned int i;

	if (mask & X86_XCR0_X87) {
		r = write_part(cpu, image, 0, FPU_MXCSR);
		if (r == X86_NEXT)
			r = write_part(cpu, image, FPU_ST, 128);
	}
	if (r == X86_NEXT && mxcsr)
		r = write_part(cpu, image, FPU_MXCSR, 8);
	if (r == X86_NEXT && mask & X86_XCR0_SSE)
		r = write_part(cpu, image, FPU_XMM, xmm_bytes(cpu));
	for (i = 2; r == X86_NEXT && i < COMPONENT_COUNT; i++)
		if (mask >> i & 1)
			r = write_part(cpu, image, offset[i],
				       component_bytes(cpu, i));
	if (r == X86_NEXT)
		r = write_part(cpu, image, X86_XSAVE_HEADER, header);
	return r;
}

static void pack_extended(struct x86_cpu *cpu, struct xsave_image *image,
			  uint64_t mask, const uint16_t offset[COMPONENT_COUNT])
{
	unsigned int i;

	for (i = 2; i < COMPONENT_COUNT; i++)
		if (mask >> i & 1)
			memcpy(image->bytes + offset[i],
			       cpu->state.xsave + components[i].offset,
			       components[i].size);
}

/* XSAVE and XSAVEOPT: the standard format. */
static enum x86_result xsave_standard(struct x86_cpu *cpu,
				      const struct x86_insn *insn)
{
	uint16_t offset[COMPONENT_COUNT] = { 0 };
	uint64_t mask = requested(cpu);
	unsigned int size = standard_layout(mask, offset);
	struct xsave_image image;
	uint64_t bv, in_use = x86_in_use(cpu);
	enum x86_result r = xsave_begin(cpu, insn, X86_WRITE, &image.linear);

	if (r == X86_NEXT)
		r = probe(cpu, image.linear, size, X86_WRITE);
	if (r == X86_NEXT)
		r = copy_in(cpu, image.linear + X86_XSAVE_HEADER,
			    image.bytes + X86_XSAVE_HEADER, 8);
	if (r != X86_NEXT)
		return r;
	bv = get64(image.bytes + X86_XSAVE_HEADER);
	bv = (bv & ~mask) | (mask & in_use);
	memcpy(image.bytes + X86_XSAVE_HEADER, &bv, sizeof(bv));
	if ((insn->modrm >> 3 & 7) == XSAVEOPT_REG)
		mask &= in_use;
	pack_legacy(cpu, insn, &image, mask);
	pack_mxcsr(&cpu->state, image.bytes);
	pack_extended(cpu, &image, mask, offset);
	return write_image(cpu, &image, mask,
			   mask & (X86_XCR0_SSE | X86_XCR0_AVX), offset, 8);
}

/* XSAVEC and XSAVES: the compacted format. */
static enum x86_result xsave_compact(struct x86_cpu *cpu,
				     const struct x86_insn *insn)
{
	uint16_t offset[COMPONENT_COUNT] = { 0 };
	uint64_t mask = requested(cpu);
	unsigned int size = compact_layout(cpu, mask, offset);
	uint64_t header[2] = { mask & x86_in_use(cpu), mask | XCOMP_COMPACT };
	struct xsave_image image;
	enum x86_result r = xsave_begin(cpu, insn, X86_WRITE, &image.linear);

	if (r == X86_NEXT)
		r = probe(cpu, image.linear, size, X86_WRITE);
	if (r != X86_NEXT)
		return r;
	mask = header[0];
	memcpy(image.bytes + X86_XSAVE_HEADER, header, sizeof(header));
	pack_legacy(cpu, insn, &image, mask);
	pack_mxcsr(&cpu->state, image.bytes);
	pack_extended(cpu, &image, mask, offset);
	return write_image(cpu, &image, mask, mask & X86_XCR0_SSE, offset, 16);
}

static bool header_ok(const struct x86_cpu *cpu, const uint8_t *header,
		      bool compact_only)
{
	uint64_t bv = get64(header);
	uint64_t comp = get64(header + 8);
	unsigned int i;

	if (!(comp & XCOMP_COMPACT))
		return !compact_only && !comp && !get64(header + 16) &&
		       !(bv & ~cpu->state.xcr0);
	if (comp & ~(cpu->state.xcr0 | XCOMP_COMPACT) || bv & ~comp)
		return false;
	for (i = 16; i < XSAVE_HEADER_SIZE; i += 8)
		if (get64(header + i))
			return false;
	return true;
}

static void restore_extended(struct x86_cpu *cpu, unsigned int i,
			     const uint8_t *from)
{
	uint8_t *to = cpu->state.xsave + components[i].offset;

	if (from && (uint64_t)1 << i & X86_XCR0_AVX512)
		cpu->upper = true;
	else if ((uint64_t)1 << i & X86_XCR0_AVX512 && !cpu->upper)
		return;
	if (i == 9)
		x86_set_pkru(cpu, from ? get32(from) : 0);
	else if (from)
		memcpy(to, from, component_bytes(cpu, i));
	else
		memset(to, 0, component_bytes(cpu, i));
}

static void restore_legacy(struct x86_cpu *cpu, const struct x86_insn *insn,
			   const uint8_t *bytes, uint64_t mask, uint64_t bv)
{
	uint8_t *xmm = cpu->state.xsave + FPU_XMM;

	if (mask & X86_XCR0_X87) {
		if (bv & X86_XCR0_X87)
			unpack_x87(&cpu->state, insn->prefix & X86_PFX_REXW,
				   bytes);
		else
			init_x87(&cpu->state);
	}
	if (mask & X86_XCR0_SSE) {
		if (bv & X86_XCR0_SSE)
			memcpy(xmm, bytes + FPU_XMM, xmm_bytes(cpu));
		else
			memset(xmm, 0, xmm_bytes(cpu));
	}
}

/*
 * Which MXCSR the image brings: the standard format loads it with SSE or AVX
 * even when those are in their initial state, the compacted one treats it as
 * a part of SSE. False: unchanged.
 */
static bool image_mxcsr(const uint8_t *bytes, uint64_t mask, uint64_t bv,
			bool compact, uint32_t *mxcsr)
{
	*mxcsr = get32(bytes + FPU_MXCSR);
	if (!compact)
		return mask & (X86_XCR0_SSE | X86_XCR0_AVX);
	if (!(bv & X86_XCR0_SSE))
		*mxcsr = FPU_MXCSR_INIT;
	return mask & X86_XCR0_SSE;
}

/* XRSTOR, and XRSTORS when `compact_only`. */
static enum x86_result xrstor(struct x86_cpu *cpu, const struct x86_insn *insn,
			      bool compact_only)
{
	uint16_t offset[COMPONENT_COUNT] = { 0 };
	uint64_t mask = requested(cpu);
	struct xsave_image image;
	uint64_t bv, comp;
	unsigned int i, size;
	uint32_t mxcsr;
	bool compact;
	enum x86_result r = xsave_begin(cpu, insn, X86_READ, &image.linear);

	if (r == X86_NEXT)
		r = copy_in(cpu, image.linear, image.bytes, XSAVE_LEGACY);
	if (r != X86_NEXT)
		return r;
	if (!header_ok(cpu, image.bytes + X86_XSAVE_HEADER, compact_only))
		return gp0(cpu);
	bv = get64(image.bytes + X86_XSAVE_HEADER);
	comp = get64(image.bytes + X86_XSAVE_HEADER + 8);
	compact = comp & XCOMP_COMPACT;
	if (compact && !compact_only && !has_feature(cpu, 0xd, 1, 0, 1))
		return gp0(cpu);
	size = compact ? compact_layout(cpu, comp, offset)
		       : standard_layout(mask & bv, offset);
	r = copy_in(cpu, image.linear + XSAVE_LEGACY,
		    image.bytes + XSAVE_LEGACY, size - XSAVE_LEGACY);
	if (r != X86_NEXT)
		return r;
	if (image_mxcsr(image.bytes, mask, bv, compact, &mxcsr)) {
		if (mxcsr & ~FPU_MXCSR_USED)
			return gp0(cpu);
		fpu_set32(&cpu->state, FPU_MXCSR, mxcsr);
	}
	restore_legacy(cpu, insn, image.bytes, mask, bv);
	for (i = 2; i < COMPONENT_COUNT; i++)
		if (mask >> i & 1)
			restore_extended(cpu, i,
					 bv >> i & 1 ? image.bytes + offset[i]
						     : NULL);
	if ((mask & ~bv & X86_XCR0_AVX512) == X86_XCR0_AVX512)
		cpu->upper = false;
	return X86_NEXT;
}

static enum x86_result xrstor_any(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	return xrstor(cpu, insn, false);
}

/* --- MXCSR and cache lines --------------------------------------------- */

static enum x86_result sse_check(struct x86_cpu *cpu)
{
	if (cpu->state.cr0 & X86_CR0_EM || !(cpu->state.cr4 & X86_CR4_OSFXSR))
		return x86_raise(cpu, X86_UD);
	if (cpu->state.cr0 & X86_CR0_TS)
		return x86_raise(cpu, X86_NM);
	return X86_NEXT;
}

static enum x86_result ldmxcsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t linear;
	uint32_t mxcsr;
	enum x86_result r = sse_check(cpu);

	if (r == X86_NEXT)
		r = x86_operand(cpu, insn, 4, X86_READ, &linear);
	if (r == X86_NEXT)
		r = x86_read(cpu, linear, &mxcsr, 4);
	if (r != X86_NEXT)
		return r;
	if (mxcsr & ~FPU_MXCSR_USED)
		return gp0(cpu);
	fpu_set32(&cpu->state, FPU_MXCSR, mxcsr);
	return X86_NEXT;
}

static enum x86_result stmxcsr(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint32_t mxcsr = fpu_get32(&cpu->state, FPU_MXCSR);
	uint64_t linear;
	enum x86_result r = sse_check(cpu);

	if (r == X86_NEXT)
		r = x86_operand(cpu, insn, 4, X86_WRITE, &linear);
	return r == X86_NEXT ? x86_write(cpu, linear, &mxcsr, 4) : r;
}

/* CLFLUSH, CLFLUSHOPT, CLWB: memory is coherent; only the address counts. */
static enum x86_result cache_line(struct x86_cpu *cpu,
				  const struct x86_insn *insn)
{
	uint64_t linear;
	enum x86_result r = x86_operand(cpu, insn, 1, X86_READ, &linear);

	return r == X86_NEXT ? x86_probe(cpu, linear, 1, X86_READ) : r;
}

/* --- dispatch ---------------------------------------------------------- */

struct xsave_form {
	x86_handler *run;
	uint8_t reg; /* of CPUID: 0 = EAX .. */
	uint8_t bit;
	uint32_t leaf, subleaf;
};

#define SIMD_PREFIXES (X86_PFX_OPSIZE | X86_PFX_REP | X86_PFX_REPNE)

/* 0F AE with a memory operand: without and with 66, by ModRM.reg. */
static const struct xsave_form forms_0fae[][8] = {
	{
		{ fxsave, 3, 24, 1, 0 },
		{ fxrstor, 3, 24, 1, 0 },
		{ ldmxcsr, 3, 25, 1, 0 },
		{ stmxcsr, 3, 25, 1, 0 },
		{ xsave_standard, 2, 26, 1, 0 },
		{ xrstor_any, 2, 26, 1, 0 },
		{ xsave_standard, 0, 0, 0xd, 1 }, /* XSAVEOPT */
		{ cache_line, 3, 19, 1, 0 },	  /* CLFLUSH */
	},
	{
		[6] = { cache_line, 1, 24, 7, 0 }, /* CLWB */
		[7] = { cache_line, 1, 23, 7, 0 }, /* CLFLUSHOPT */
	},
};

static enum x86_result run_form(struct x86_cpu *cpu,
				const struct x86_insn *insn,
				const struct xsave_form *form)
{
	if (!form->run || insn->prefix & X86_PFX_LOCK ||
	    !has_feature(cpu, form->leaf, form->subleaf, form->reg, form->bit))
		return x86_raise(cpu, X86_UD);
	return form->run(cpu, insn);
}

/* LFENCE, MFENCE, SFENCE: a handler's accesses are done when it returns. */
static enum x86_result fence(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int op = insn->modrm >> 3 & 7;

	if (op < 5 || insn->prefix & (SIMD_PREFIXES | X86_PFX_LOCK))
		return x86_raise(cpu, X86_UD);
	atomic_thread_fence(memory_order_seq_cst);
	return X86_NEXT;
}

enum x86_result x86_group_0fae(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	unsigned int simd = insn->prefix & SIMD_PREFIXES;

	if (!insn->mem)
		return fence(cpu, insn);
	if (simd & ~X86_PFX_OPSIZE)
		return x86_raise(cpu, X86_UD);
	return run_form(cpu, insn,
			&forms_0fae[simd != 0][insn->modrm >> 3 & 7]);
}

static enum x86_result xsaves(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (cpu->cpl != 0 && cpu->state.cr4 & X86_CR4_OSXSAVE)
		return gp0(cpu);
	return xsave_compact(cpu, insn);
}

static enum x86_result xrstors(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (cpu->cpl != 0 && cpu->state.cr4 & X86_CR4_OSXSAVE)
		return gp0(cpu);
	return xrstor(cpu, insn, true);
}

/* 0F C7 with a memory operand, by ModRM.reg. */
static const struct xsave_form forms_0fc7[8] = {
	[3] = { xrstors, 0, 3, 0xd, 1 },
	[4] = { xsave_compact, 0, 1, 0xd, 1 },
	[5] = { xsaves, 0, 3, 0xd, 1 },
};

enum x86_result x86_group_0fc7(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	if (!insn->mem || insn->prefix & SIMD_PREFIXES)
		return x86_raise(cpu, X86_UD);
	return run_form(cpu, insn, &forms_0fc7[insn->modrm >> 3 & 7]);
}

enum x86_result x86_fwait(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	const uint64_t both = X86_CR0_MP | X86_CR0_TS;

	if ((cpu->state.cr0 & both) == both)
		return x86_raise(cpu, X86_NM);
	return fpu_check_pending(cpu);
}

enum x86_result x86_emms(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	enum x86_result r;

	if (cpu->state.cr0 & X86_CR0_EM ||
	    insn->prefix & (X86_PFX_LOCK | SIMD_PREFIXES))
		return x86_raise(cpu, X86_UD);
	if (cpu->state.cr0 & X86_CR0_TS)
		return x86_raise(cpu, X86_NM);
	r = fpu_check_pending(cpu);
	if (r != X86_NEXT)
		return r;
	fpu_set_top(&cpu->state, 0);
	cpu->state.xsave[FPU_FTW] = 0;
	return X86_NEXT;
}

/* VZEROUPPER and VZEROALL cannot run now: why. */
static enum x86_result refuse_vzero(struct x86_cpu *cpu)
{
	const uint64_t avx = X86_XCR0_SSE | X86_XCR0_AVX;

	if (!(cpu->mode & X86_MODE_PROT) ||
	    !(cpu->state.cr4 & X86_CR4_OSXSAVE) ||
	    (cpu->state.xcr0 & avx) != avx)
		return x86_raise(cpu, X86_UD);
	return x86_raise(cpu, X86_NM);
}

enum x86_result x86_vzero(struct x86_cpu *cpu, const struct x86_insn *insn)
{
	const uint32_t need = X86_MODE_PROT | X86_MODE_AVX;
	uint8_t *area = cpu->state.xsave;

	if (insn->vvvv || insn->prefix & (X86_PFX_LOCK | SIMD_PREFIXES))
		return x86_raise(cpu, X86_UD);
	if ((cpu->mode & need) != need)
		return refuse_vzero(cpu);
	if (insn->vector_length)
		memset(area + FPU_XMM, 0, xmm_bytes(cpu));
	memset(area + X86_XSAVE_YMM, 0, xmm_bytes(cpu));
	if (cpu->upper)
		memset(area + X86_XSAVE_ZMM_HI256, 0, 2 * xmm_bytes(cpu));
	return X86_NEXT;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers for GDB: its standard features for i386:x86-64 (core, sse,
 * segments, avx, avx512, pkeys; "Debugging with GDB", appendix G.5.4), and one
 * of our own with the control registers.
 */
#include "vmm/gdb/regs.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "x86/fpu.h"
#include "x86/reg.h"

/* What the guest could set by POPF at CPL 0. */
#define FLAGS_WRITABLE                                                     \
	(X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_IF | X86_FLAG_DF |       \
	 X86_FLAG_IOPL | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID)

/* How a register is kept in struct x86_state. */
enum kind {
	PLAIN,	  /* as it is */
	READ_ONLY,
	FLAGS,
	ST,	  /* 80 bits */
	FPU,	  /* 16 bits of the XSAVE area, told as 32 */
	TAGS,	  /* the full tag word, of the abridged one */
	NOTHING,  /* reads as 0 */
	POINTER,  /* low half of an FPU pointer */
	MXCSR,
	CR3,
	FCW,
	FSW,
};

#define AT(member) offsetof(struct x86_state, member)
#define GPR(n)	   { PLAIN, 8, AT(gpr) + 8 * (n) }
#define SEG(n)	   { READ_ONLY, 4, AT(seg) + (n) * sizeof(struct x86_segment) }
#define BASE(n)                                                            \
	{ PLAIN, 8, AT(seg) + (n) * sizeof(struct x86_segment) +           \
			    offsetof(struct x86_segment, base) }
#define STN(n)	   { ST, 10, AT(xsave) + FPU_ST + 16 * (n) }
#define XMM(n)	   { PLAIN, 16, AT(xsave) + FPU_XMM + 16 * (n) }
#define XSAVE(kind, offset) { kind, 4, AT(xsave) + (offset) }

/* In the order of target.xml; what follows is there with its feature. */
static const struct gdb_reg base_regs[] = {
	GPR(X86_RAX), GPR(X86_RBX), GPR(X86_RCX), GPR(X86_RDX),
	GPR(X86_RSI), GPR(X86_RDI), GPR(X86_RBP), GPR(X86_RSP),
	GPR(X86_R8), GPR(X86_R9), GPR(X86_R10), GPR(X86_R11),
	GPR(X86_R12), GPR(X86_R13), GPR(X86_R14), GPR(X86_R15),
	{ PLAIN, 8, AT(rip) }, { FLAGS, 4, AT(rflags) },
	SEG(X86_CS), SEG(X86_SS), SEG(X86_DS), SEG(X86_ES),
	SEG(X86_FS), SEG(X86_GS),
	STN(0), STN(1), STN(2), STN(3), STN(4), STN(5), STN(6), STN(7),
	XSAVE(FCW, FPU_FCW), XSAVE(FSW, FPU_FSW), XSAVE(TAGS, FPU_FTW),
	XSAVE(NOTHING, 0), XSAVE(POINTER, FPU_FIP), XSAVE(NOTHING, 0),
	XSAVE(POINTER, FPU_FDP), XSAVE(FPU, FPU_FOP),
	XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
	XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
	XSAVE(MXCSR, FPU_MXCSR),
	BASE(X86_FS), BASE(X86_GS),
	{ PLAIN, 8, AT(kernel_gs_base) },
	{ READ_ONLY, 8, AT(cr0) }, { PLAIN, 8, AT(cr2) },
	{ CR3, 8, AT(cr3) }, { READ_ONLY, 8, AT(cr4) },
	{ READ_ONLY, 8, AT(efer) },
};

#define R(name, bits, type) \
	"<reg name=\"" name "\" bitsize=\"" #bits "\" type=\"" type "\"/>"
#define R64(name)  R(name, 64, "int64")
#define R32(name)  R(name, 32, "int32")
#define RST(name)  R(name, 80, "i387_ext")
#define RFPU(name) \
	"<reg name=\"" name "\" bitsize=\"32\" type=\"int\" group=\"float\"/>"
#define RXMM(name) R(name, 128, "vec128")
#define VECTOR(id, type, count) \
	"<vector id=\"" id "\" type=\"" type "\" count=\"" #count "\"/>"
#define MEMBER(name, type) \
	"<field name=\"" name "\" type=\"" type "\"/>"
/* Types belong to the feature that they are in. */
#define VEC128                                                             \
	VECTOR("v4f", "ieee_single", 4) VECTOR("v2d", "ieee_double", 2)    \
	VECTOR("v16i8", "int8", 16) VECTOR("v8i16", "int16", 8)            \
	VECTOR("v4i32", "int32", 4) VECTOR("v2i64", "int64", 2)            \
	"<union id=\"vec128\">"                                            \
	MEMBER("v4_float", "v4f") MEMBER("v2_double", "v2d")               \
	MEMBER("v16_int8", "v16i8") MEMBER("v8_int16", "v8i16")            \
	MEMBER("v4_int32", "v4i32") MEMBER("v2_int64", "v2i64")            \
	MEMBER("uint128", "uint128")                                       \
	"</union>"

/* Registers of which there are many: consecutive in the XSAVE area. */
static const struct run {
	const char *name, *tail; /* around a number, unless there is no tail */
	const char *type;
	struct gdb_reg first;
	uint8_t from, count;
	uint8_t stride; /* bytes */
	uint16_t xcr0;
	const char *feature; /* that begins here, or NULL; and its types */
	const char *types;
} runs[] = {
	{ "ymm", "h", "uint128", { PLAIN, 16, AT(xsave) + X86_XSAVE_YMM },
	  0, 16, 16, X86_XCR0_AVX, "avx", "" },
	{ "k", "", "uint64", { PLAIN, 8, AT(xsave) + X86_XSAVE_OPMASK },
	  0, 8, 8, X86_XCR0_AVX512, "avx512",
	  VEC128 VECTOR("v2ui128", "uint128", 2) },
	{ "zmm", "h", "v2ui128", { PLAIN, 32, AT(xsave) + X86_XSAVE_ZMM_HI256 },
	  0, 16, 32, X86_XCR0_AVX512, NULL, NULL },
	{ "xmm", "", "vec128", { PLAIN, 16, AT(xsave) + X86_XSAVE_HI16_ZMM },
	  16, 16, 64, X86_XCR0_AVX512, NULL, NULL },
	{ "ymm", "h", "uint128",
	  { PLAIN, 16, AT(xsave) + X86_XSAVE_HI16_ZMM + 16 },
	  16, 16, 64, X86_XCR0_AVX512, NULL, NULL },
	{ "zmm", "h", "v2ui128",
	  { PLAIN, 32, AT(xsave) + X86_XSAVE_HI16_ZMM + 32 },
	  16, 16, 64, X86_XCR0_AVX512, NULL, NULL },
	{ "pkru", NULL, "int32", { PLAIN, 4, AT(xsave) + X86_XSAVE_PKRU },
	  0, 1, 4, X86_XCR0_PKRU, "pkeys", "" },
};

/* Two bits a register: 0 valid, 1 zero, 2 special, 3 empty. */
static uint32_t full_tags(const struct x86_state *state)
{
	unsigned int used = fpu_get16(state, FPU_FTW) & 0xff;
	unsigned int top = fpu_get16(state, FPU_FSW) >> FPU_TOP_SHIFT & 7;
	uint32_t tags = 0;

	for (unsigned int i = 0; i < 8; i++) {
		const uint8_t *st =
			state->xsave + FPU_ST + 16 * ((i - top) & 7);
		unsigned int exponent = (st[8] | st[9] << 8) & 0x7fff;
		uint64_t fraction;
		uint32_t tag = 0;

		memcpy(&fraction, st, sizeof(fraction));
		if (!(used >> i & 1))
			tag = 3;
		else if (!exponent && !fraction)
			tag = 1;
		else if (!exponent || exponent == 0x7fff || !(fraction >> 63))
			tag = 2;
		tags |= tag << 2 * i;
	}
	return tags;
}

bool gdb_reg_find(uint64_t xcr0, unsigned int n, struct gdb_reg *reg)
{
	const unsigned int base = sizeof(base_regs) / sizeof(base_regs[0]);

	if (n < base) {
		*reg = base_regs[n];
		return true;
	}
	n -= base;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		if (!(xcr0 & runs[i].xcr0))
			continue;
		if (n < runs[i].count) {
			*reg = runs[i].first;
			reg->at += (uint16_t)(n * runs[i].stride);
			return true;
		}
		n -= runs[i].count;
	}
	return false;
}

void gdb_reg_get(const struct x86_state *state, const struct gdb_reg *r,
		 void *value)
{
	const uint8_t *from = (const uint8_t *)state + r->at;
	uint32_t tags = full_tags(state);

	memset(value, 0, r->size);
	switch (r->kind) {
	case NOTHING:
		break;
	case TAGS:
		memcpy(value, &tags, sizeof(tags));
		break;
	case FPU:
	case FCW:
	case FSW:
		memcpy(value, from, 2);
		break;
	default:
		if (r->at >= AT(seg) && r->kind == READ_ONLY && r->size == 4)
			memcpy(value,
			       from + offsetof(struct x86_segment, selector),
			       2);
		else
			memcpy(value, from, r->size);
	}
}

static void set_tags(struct x86_state *state, uint32_t tags)
{
	uint16_t used = 0;

	for (unsigned int i = 0; i < 8; i++)
		if ((tags >> 2 * i & 3) != 3)
			used |= (uint16_t)(1u << i);
	state->xsave[FPU_FTW] = (uint8_t)used;
}

/* The 16-bit words of the FPU, with no exception pending. */
static void set_fpu(struct x86_state *state, uint8_t kind, uint32_t v)
{
	if (kind == FCW)
		fpu_set16(state, FPU_FCW,
			  (v & FPU_FCW_USED) | FPU_FCW_ONE);
	else if (kind == FSW)
		fpu_set16(state, FPU_FSW, (uint16_t)v &
					  (uint16_t)~(FPU_EXCEPT |
						      FPU_FSW_ES | FPU_FSW_B));
	else
		fpu_set16(state, FPU_FOP, v & FPU_FOP_USED);
}

bool gdb_reg_set(struct x86_state *state, const struct gdb_reg *r,
		 const void *value)
{
	uint64_t v = 0;

	memcpy(&v, value, r->size < 8 ? r->size : 8);
	switch (r->kind) {
	case READ_ONLY:
		return false;
	case NOTHING:
		return true;
	case FLAGS:
		state->rflags = (state->rflags & ~(uint64_t)FLAGS_WRITABLE) |
				(v & FLAGS_WRITABLE);
		return true;
	case TAGS:
		set_tags(state, (uint32_t)v);
		return true;
	case FPU:
	case FCW:
	case FSW:
		set_fpu(state, r->kind, (uint32_t)v);
		return true;
	case MXCSR:
		fpu_set32(state, FPU_MXCSR, (uint32_t)v & FPU_MXCSR_USED);
		return true;
	case CR3:
		state->cr3 = v & 0xffffffffff018;
		return true;
	default:
		memcpy((uint8_t *)state + r->at, value, r->size);
		return true;
	}
}

static const char base_xml[] =
	"<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
	"<target><architecture>i386:x86-64</architecture>"
	"<feature name=\"org.gnu.gdb.i386.core\">"
	R64("rax") R64("rbx") R64("rcx") R64("rdx")
	R64("rsi") R64("rdi") R("rbp", 64, "data_ptr")
	R("rsp", 64, "data_ptr")
	R64("r8") R64("r9") R64("r10") R64("r11")
	R64("r12") R64("r13") R64("r14") R64("r15")
	R("rip", 64, "code_ptr") R32("eflags")
	R32("cs") R32("ss") R32("ds") R32("es") R32("fs") R32("gs")
	RST("st0") RST("st1") RST("st2") RST("st3")
	RST("st4") RST("st5") RST("st6") RST("st7")
	RFPU("fctrl") RFPU("fstat") RFPU("ftag") RFPU("fiseg")
	RFPU("fioff") RFPU("foseg") RFPU("fooff") RFPU("fop")
	"</feature><feature name=\"org.gnu.gdb.i386.sse\">"
	VEC128
	RXMM("xmm0") RXMM("xmm1") RXMM("xmm2") RXMM("xmm3")
	RXMM("xmm4") RXMM("xmm5") RXMM("xmm6") RXMM("xmm7")
	RXMM("xmm8") RXMM("xmm9") RXMM("xmm10") RXMM("xmm11")
	RXMM("xmm12") RXMM("xmm13") RXMM("xmm14") RXMM("xmm15")
	"<reg name=\"mxcsr\" bitsize=\"32\" type=\"int\" group=\"vector\"/>"
	"</feature><feature name=\"org.gnu.gdb.i386.segments\">"
	R64("fs_base") R64("gs_base")
	"</feature><feature name=\"org.lodge.x86.system\">"
	R64("k_gs_base") R64("cr0") R64("cr2") R64("cr3") R64("cr4")
	R64("efer");

__attribute__((format(printf, 2, 3)))
static void put_xml(char *text, const char *format, ...)
{
	size_t have = strlen(text);
	va_list list;

	va_start(list, format);
	vsnprintf(text + have, GDB_XML_MAX - have, format, list);
	va_end(list);
}

void gdb_target_xml(uint64_t xcr0, char *text)
{
	text[0] = 0;
	put_xml(text, "%s", base_xml);
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		const struct run *run = &runs[i];

		if (!(xcr0 & run->xcr0))
			continue;
		if (run->feature)
			put_xml(text, "</feature><feature name=\"org.gnu.gdb."
				"i386.%s\">%s", run->feature, run->types);
		for (unsigned int n = 0; n < run->count; n++) {
			put_xml(text, "<reg name=\"%s", run->name);
			if (run->tail)
				put_xml(text, "%u%s", run->from + n,
					run->tail);
			put_xml(text, "\" bitsize=\"%u\" type=\"%s\"/>",
				8u * run->first.size, run->type);
		}
	}
	put_xml(text, "</feature></target>");
}

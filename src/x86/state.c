/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical processor state: its values at power-on and INIT, its saved
 * fields, its print-out. Intel SDM vol. 3, table 9-1; AMD64 APM vol. 2,
 * table 14-1.
 */
#include "x86/state.h"

#include "vm/bytes.h"
#include "vm/error.h"
#include "x86/reg.h"

/* PA0-PA7: WB WT UC- UC WB WT UC- UC. */
#define PAT_RESET 0x0007040600070406u

#define MXCSR_RESET 0x1f80u

/* Offsets in the legacy part of the XSAVE area. */
#define XSAVE_FCW	0
#define XSAVE_FTW	4
#define XSAVE_MXCSR	24
#define XSAVE_MXCSR_MASK 28

static void reset_segments(struct x86_state *s)
{
	const struct x86_segment data = {
		.limit = 0xffff,
		.attr = X86_ATTR_P | X86_ATTR_S | X86_TYPE_WRITE |
			X86_TYPE_ACCESSED,
	};

	for (unsigned int i = 0; i < 6; i++)
		s->seg[i] = data;
	s->seg[X86_CS].selector = 0xf000;
	s->seg[X86_CS].base = 0xffff0000;
	s->seg[X86_CS].attr |= X86_TYPE_CODE;
	s->ldtr = (struct x86_segment){ .limit = 0xffff,
					.attr = X86_ATTR_P | 2 };
	s->tr = (struct x86_segment){ .limit = 0xffff,
				      .attr = X86_ATTR_P | 11 };
	s->gdtr = (struct x86_table){ .limit = 0xffff };
	s->idtr = (struct x86_table){ .limit = 0xffff };
}

/* What power-on and INIT have in common. */
static void reset_common(struct x86_state *s, bool bsp)
{
	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[X86_RDX] = 0x600;
	s->rip = 0xfff0;
	s->rflags = X86_FLAG_1;
	reset_segments(s);
	s->cr2 = s->cr3 = s->cr4 = s->efer = 0;
	memset(s->dr, 0, sizeof(s->dr));
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
	s->debugctl = 0;
	s->activity = bsp ? X86_RUNNING : X86_WAIT_SIPI;
	s->int_shadow = 0;
	s->nmi_blocked = 0;
	s->nmi_pending = 0;
	/* sipi_vector stays: the start-up IPI may have come already. */
	s->fault_pending = 0;
	s->fault_vector = 0;
	s->fault_has_error = 0;
	s->fault_error = 0;
}

static void reset_xsave(struct x86_state *s)
{
	const uint16_t fcw = 0x40; /* FNINIT makes it 0x37f */
	const uint32_t mxcsr = MXCSR_RESET, mask = 0xffff;
	const uint64_t in_use = X86_XCR0_X87 | X86_XCR0_SSE;

	memset(s->xsave, 0, sizeof(s->xsave));
	memcpy(s->xsave + XSAVE_FCW, &fcw, sizeof(fcw));
	s->xsave[XSAVE_FTW] = 0xff; /* all valid: ST0-7 are zero, not empty */
	memcpy(s->xsave + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(s->xsave + XSAVE_MXCSR_MASK, &mask, sizeof(mask));
	memcpy(s->xsave + X86_XSAVE_HEADER, &in_use, sizeof(in_use));
}

void x86_state_reset(struct x86_state *s, bool bsp)
{
	memset(s, 0, sizeof(*s));
	reset_common(s, bsp);
	s->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
	s->xcr0 = X86_XCR0_X87;
	s->pat = PAT_RESET;
	s->misc_enable = 1; /* fast strings */
	s->apic_base = X86_APIC_ADDRESS | X86_APIC_BASE_ENABLE |
		       (bsp ? X86_APIC_BASE_BSP : 0);
	reset_xsave(s);
}

void x86_state_init(struct x86_state *s, bool bsp)
{
	reset_common(s, bsp);
	s->cr0 = (s->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
}

/* --- saved fields --------------------------------------------------------- */

#define F64(member)	   FIELD(struct x86_state, FIELD_U64, member)
#define F32(member)	   FIELD(struct x86_state, FIELD_U32, member)
#define F16(member)	   FIELD(struct x86_state, FIELD_U16, member)
#define F8(member)	   FIELD(struct x86_state, FIELD_U8, member)
#define F64S(member, count) \
	FIELD_ARRAY(struct x86_state, FIELD_U64, member, count)
#define SEGMENT(member)                                                 \
	F64(member.base), F32(member.limit), F16(member.selector),      \
		F16(member.attr)
#define TABLE(member) F64(member.base), F32(member.limit)

static const struct field fields[] = {
	F64S(gpr, 16),
	F64(rip),
	F64(rflags),
	SEGMENT(seg[0]),
	SEGMENT(seg[1]),
	SEGMENT(seg[2]),
	SEGMENT(seg[3]),
	SEGMENT(seg[4]),
	SEGMENT(seg[5]),
	SEGMENT(ldtr),
	SEGMENT(tr),
	TABLE(gdtr),
	TABLE(idtr),
	F64(cr0),
	F64(cr2),
	F64(cr3),
	F64(cr4),
	F64(xcr0),
	F64(efer),
	F64S(dr, 8),
	F64(star),
	F64(lstar),
	F64(cstar),
	F64(sfmask),
	F64(kernel_gs_base),
	F64(sysenter_cs),
	F64(sysenter_esp),
	F64(sysenter_eip),
	F64(tsc_offset),
	F64(tsc_adjust),
	F64(tsc_aux),
	F64(apic_base),
	F64(pat),
	F64(misc_enable),
	F64(spec_ctrl),
	F64(xss),
	F64(debugctl),
	F64(pkrs),
	F64(mtrr_def_type),
	F64S(mtrr_fixed, 11),
	F64S(mtrr_base, X86_MTRR_VARIABLE),
	F64S(mtrr_mask, X86_MTRR_VARIABLE),
	F64(mcg_status),
	F64(syscfg),
	F64(kvmclock_system),
	F64(kvmclock_wall),
	F32(activity),
	F8(int_shadow),
	F8(nmi_blocked),
	F8(nmi_pending),
	F8(sipi_vector),
	F8(fault_pending),
	F8(fault_vector),
	F8(fault_has_error),
	F32(fault_error),
	FIELD_ARRAY(struct x86_state, FIELD_U8, xsave, X86_XSAVE_SIZE),
};

/* Refuses what no sequence of instructions can bring about. */
static int check(const void *object)
{
	const struct x86_state *s = object;
	const uint64_t long_mode = X86_EFER_LME | X86_EFER_LMA;
	uint32_t mxcsr;

	memcpy(&mxcsr, s->xsave + XSAVE_MXCSR, sizeof(mxcsr));
	if (s->activity > X86_SHUTDOWN || s->fault_vector > 31)
		return -VM_EBADMSG;
	if (s->cr0 >> 32 || s->cr4 >> 32 ||
	    (s->cr0 & X86_CR0_PG && !(s->cr0 & X86_CR0_PE)))
		return -VM_EBADMSG;
	if (s->efer & X86_EFER_LMA &&
	    ((s->efer & long_mode) != long_mode || !(s->cr0 & X86_CR0_PG) ||
	     !(s->cr4 & X86_CR4_PAE) || s->rflags & X86_FLAG_VM))
		return -VM_EBADMSG;
	if (!(s->xcr0 & X86_XCR0_X87) || !(s->rflags & X86_FLAG_1))
		return -VM_EBADMSG;
	return mxcsr >> 16 ? -VM_EBADMSG : 0;
}

const struct state_class x86_state_class = {
	.name = "x86",
	.version = 1,
	.size = sizeof(struct x86_state),
	.fields = fields,
	.field_count = sizeof(fields) / sizeof(fields[0]),
	.check = check,
};

/* --- print-out ------------------------------------------------------------ */

struct text {
	char buf[128];
	unsigned int size;
};

static void put_text(struct text *t, const char *s)
{
	while (*s && t->size < sizeof(t->buf) - 1)
		t->buf[t->size++] = *s++;
	t->buf[t->size] = 0;
}

static void put_hex(struct text *t, const char *name, uint64_t v,
		    unsigned int digits)
{
	char hex[17];

	for (unsigned int i = 0; i < digits; i++)
		hex[i] = "0123456789abcdef"[v >> (4 * (digits - 1 - i)) & 15];
	hex[digits] = 0;
	put_text(t, name);
	put_text(t, hex);
}

struct printer {
	void (*line)(void *ctx, const char *text);
	void *ctx;
};

/* A line of named 64-bit values. */
static void print_row(const struct printer *p, const char *const *names,
		      const uint64_t *values, unsigned int count)
{
	struct text t = { .size = 0 };

	for (unsigned int i = 0; i < count; i++)
		put_hex(&t, names[i], values[i], 16);
	p->line(p->ctx, t.buf);
}

static void print_segment(const struct printer *p, const char *name,
			  const struct x86_segment *s)
{
	struct text t = { .size = 0 };

	put_hex(&t, name, s->selector, 4);
	put_hex(&t, " base ", s->base, 16);
	put_hex(&t, " limit ", s->limit, 8);
	put_hex(&t, " attr ", s->attr, 4);
	p->line(p->ctx, t.buf);
}

static void print_table(const struct printer *p, const char *name,
			const struct x86_table *table)
{
	struct text t = { .size = 0 };

	put_hex(&t, name, table->base, 16);
	put_hex(&t, " limit ", table->limit, 8);
	p->line(p->ctx, t.buf);
}

static void print_events(const struct printer *p, const struct x86_state *s)
{
	static const char *const activity[] = {
		"running", "halted", "waiting for SIPI", "shut down",
	};
	struct text t = { .size = 0 };

	put_text(&t, activity[s->activity & 3]);
	if (s->int_shadow)
		put_text(&t, ", interrupt shadow");
	if (s->nmi_blocked)
		put_text(&t, ", NMI blocked");
	if (s->nmi_pending)
		put_text(&t, ", NMI pending");
	if (s->fault_pending)
		put_hex(&t, ", exception ", s->fault_vector, 2);
	p->line(p->ctx, t.buf);
}

void x86_state_print(const struct x86_state *s,
		     void (*line)(void *ctx, const char *text), void *ctx)
{
	static const char *const gpr[16] = {
		"rax ", " rcx ", " rdx ", " rbx ", "rsp ", " rbp ", " rsi ",
		" rdi ", "r8  ", " r9  ", " r10 ", " r11 ", "r12 ", " r13 ",
		" r14 ", " r15 ",
	};
	static const char *const seg[6] = { "es ", "cs ", "ss ",
					    "ds ", "fs ", "gs " };
	static const char *const flow[] = { "rip ", " rflags " };
	static const char *const cr[] = { "cr0 ", " cr2 ", " cr3 ", " cr4 " };
	static const char *const ext[] = { "efer ", " xcr0 ", " apic_base " };
	static const char *const dr[] = { "dr0 ", " dr1 ", " dr2 ", " dr3 " };
	static const char *const drx[] = { "dr6 ", " dr7 " };
	const struct printer p = { .line = line, .ctx = ctx };

	for (unsigned int i = 0; i < 16; i += 4)
		print_row(&p, gpr + i, s->gpr + i, 4);
	print_row(&p, flow, (uint64_t[]){ s->rip, s->rflags }, 2);
	for (unsigned int i = 0; i < 6; i++)
		print_segment(&p, seg[i], &s->seg[i]);
	print_segment(&p, "ldtr ", &s->ldtr);
	print_segment(&p, "tr ", &s->tr);
	print_table(&p, "gdtr ", &s->gdtr);
	print_table(&p, "idtr ", &s->idtr);
	print_row(&p, cr, (uint64_t[]){ s->cr0, s->cr2, s->cr3, s->cr4 }, 4);
	print_row(&p, ext, (uint64_t[]){ s->efer, s->xcr0, s->apic_base }, 3);
	print_row(&p, dr, s->dr, 4);
	print_row(&p, drx, s->dr + 6, 2);
	print_events(&p, s);
}

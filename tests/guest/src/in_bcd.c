/* SPDX-License-Identifier: Apache-2.0
 *
 * DAA, DAS, AAA, AAS, AAM, AAD: every AL and carry state against the
 * pseudo-code of the manual; AAM 0 gives #DE. Intel SDM vol. 2.
 */
#include "lib.h"

struct result {
	u16 ax;
	u16 flags;
};

#define RUN(name, insn)                                                   \
	static struct result run_##name(u16 ax, u32 flags)                \
	{                                                                 \
		ulong a = ax, f = flags;                                  \
		asm volatile("push %1; popf; " insn "; pushf; pop %1"     \
			     : "+a"(a), "+r"(f)::"cc");                   \
		return (struct result){ a, f };                           \
	}
RUN(daa, "daa")
RUN(das, "das")
RUN(aaa, "aaa")
RUN(aas, "aas")
RUN(aam, "aam")
RUN(aad, "aad")
RUN(aam7, "aam $7")

static u32 szp(u8 v)
{
	u32 f = v ? 0 : FL_ZF;

	if (v & 0x80)
		f |= FL_SF;
	if (!__builtin_parity(v))
		f |= FL_PF;
	return f;
}

static struct result want_da(u8 al, u32 flags, bool sub)
{
	u8 old = al;
	bool cf = flags & FL_CF, old_cf = cf, af = flags & FL_AF;

	cf = false;
	if ((al & 15) > 9 || af) {
		cf = old_cf || (sub ? al < 6 : al > 0xf9);
		al += sub ? -6 : 6;
		af = true;
	}
	if (old > 0x99 || old_cf) {
		al += sub ? -0x60 : 0x60;
		cf = true;
	} else if (!sub) {
		cf = false;
	}
	return (struct result){ al, szp(al) | (cf ? FL_CF : 0) |
				    (af ? FL_AF : 0) };
}

static struct result want_aa(u16 ax, u32 flags, bool sub)
{
	bool adjust = (ax & 15) > 9 || flags & FL_AF;

	if (adjust)
		ax += sub ? -0x106 : 0x106;
	return (struct result){ ax & 0xff0f, adjust ? FL_CF | FL_AF : 0 };
}

static void compare(const char *what, struct result seen, struct result want,
		    u32 mask, u16 ax_mask)
{
	check(what, seen.ax & ax_mask, want.ax & ax_mask);
	check(what, seen.flags & mask, want.flags & mask);
}

void guest_main(void)
{
	static const u32 states[] = { 0, FL_CF, FL_AF, FL_CF | FL_AF };
	u32 all = FL_CF | FL_AF | FL_ZF | FL_SF | FL_PF;

	for (u32 al = 0; al < 256; al++) {
		for (int s = 0; s < 4; s++) {
			u32 f = states[s] | 2;

			compare("DAA", run_daa(al, f), want_da(al, f, false),
				all, 0xff);
			compare("DAS", run_das(al, f), want_da(al, f, true),
				all, 0xff);
			compare("AAA", run_aaa(0x300 | al, f),
				want_aa(0x300 | al, f, false), FL_CF | FL_AF,
				0xffff);
			compare("AAS", run_aas(0x300 | al, f),
				want_aa(0x300 | al, f, true), FL_CF | FL_AF,
				0xffff);
		}
		compare("AAM", run_aam(al, 2),
			(struct result){ al / 10 << 8 | al % 10, szp(al % 10) },
			FL_ZF | FL_SF | FL_PF, 0xffff);
		compare("AAM 7", run_aam7(al, 2),
			(struct result){ al / 7 << 8 | al % 7, szp(al % 7) },
			FL_ZF | FL_SF | FL_PF, 0xffff);
		u8 v = al + 50;
		compare("AAD", run_aad(0x500 | al, 2),
			(struct result){ v, szp(v) }, FL_ZF | FL_SF | FL_PF,
			0xffff);
	}
	CATCH(".byte 0xd4, 0", ::"a"(0x55) : "memory");
	check_trap("AAM 0", DE, 0);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * LAR, LSL, VERR, VERW and ARPL: which descriptor types and levels they
 * accept, their results, ZF. Intel SDM vol. 3A section 5.10, vol. 2.
 */
#include "lib.h"

static bool lar(u16 sel, u32 *v)
{
	bool zf;

	asm volatile("lar %2, %0" : "=r"(*v), "=@ccz"(zf) : "r"((u32)sel),
		     "0"(*v));
	return zf;
}

static bool lsl(u16 sel, u32 *v)
{
	bool zf;

	asm volatile("lsl %2, %0" : "=r"(*v), "=@ccz"(zf) : "r"((u32)sel),
		     "0"(*v));
	return zf;
}

static bool verr(u16 sel)
{
	bool zf;

	asm volatile("verr %w1" : "=@ccz"(zf) : "r"(sel));
	return zf;
}

static bool verw(u16 sel)
{
	bool zf;

	asm volatile("verw %w1" : "=@ccz"(zf) : "r"(sel));
	return zf;
}

/* type byte -> LAR, LSL, VERR, VERW in ring 0 */
static const struct {
	u8 type;
	bool lar, lsl, verr, verw;
} rows[] = {
	{ 0x90, 1, 1, 1, 0 }, { 0x92, 1, 1, 1, 1 }, { 0x94, 1, 1, 1, 0 },
	{ 0x96, 1, 1, 1, 1 }, { 0x98, 1, 1, 0, 0 }, { 0x9a, 1, 1, 1, 0 },
	{ 0x9e, 1, 1, 1, 0 }, { 0xf2, 1, 1, 1, 1 }, { 0x12, 1, 1, 1, 1 },
	{ 0x80, 0, 0, 0, 0 }, { 0x81, 1, 1, 0, 0 }, { 0x82, 1, 1, 0, 0 },
	{ 0x83, 1, 1, 0, 0 }, { 0x84, 1, 0, 0, 0 }, { 0x85, 1, 0, 0, 0 },
	{ 0x86, 0, 0, 0, 0 }, { 0x87, 0, 0, 0, 0 }, { 0x88, 0, 0, 0, 0 },
	{ 0x89, 1, 1, 0, 0 }, { 0x8a, 0, 0, 0, 0 }, { 0x8b, 1, 1, 0, 0 },
	{ 0x8c, 1, 0, 0, 0 }, { 0x8d, 0, 0, 0, 0 }, { 0x8e, 0, 0, 0, 0 },
	{ 0x8f, 0, 0, 0, 0 },
};

static __user ulong user_verr(ulong sel)
{
	return verr(sel);
}

static void arpl(u16 dst, u16 src, u16 want, bool zf_want)
{
	bool zf;

	asm volatile("arpl %w2, %w0" : "+r"(dst), "=@ccz"(zf) : "r"(src));
	check("ARPL result", dst, want);
	check("ARPL ZF", zf, zf_want);
}

void guest_main(void)
{
	u32 v;

	for (u32 i = 0; i < array_size(rows); i++) {
		u64 d = seg_desc(0x12345678, 0xfedcb, rows[i].type, 0xd);

		put_hex(rows[i].type);
		put("\n");
		gdt[SEL_FREE / 8] = d;
		v = 0x55;
		check("LAR ZF", lar(SEL_FREE, &v), rows[i].lar);
		/* bits 19..16 are undefined */
		check("LAR", rows[i].lar ? v & 0xfff0ffff : v,
		      rows[i].lar ? (d >> 32) & 0xf0ff00 : 0x55);
		v = 0x55;
		check("LSL ZF", lsl(SEL_FREE, &v), rows[i].lsl);
		check("LSL", v, rows[i].lsl ? 0xfedcbfff : 0x55);
		check("VERR", verr(SEL_FREE), rows[i].verr);
		check("VERW", verw(SEL_FREE), rows[i].verw);
	}
	check("LAR null", lar(0, &v), 0);
	check("LAR beyond the GDT", lar(0x1000, &v), 0);
	check("VERR beyond the GDT", verr(0x1000), 0);
	check("VERR, RPL 3 of DPL 0", verr(SEL_DATA | 3), 0);
	gdt[SEL_FREE / 8] = seg_desc(0, 0xfff, 0x9e, 4);
	check("VERR, RPL 3 of conforming code", verr(SEL_FREE | 3), 1);
	check("VERR in ring 3, DPL 3", user_call(user_verr, SEL_USER_DATA), 1);
	check("VERR in ring 3, DPL 0", user_call(user_verr, SEL_DATA), 0);
	v = 0;
	gdt[SEL_FREE / 8] = seg_desc(0, 0x123, 0x92, 4);
	check("LSL, byte granular", lsl(SEL_FREE, &v) ? v : 0, 0x123);

	arpl(0x10, 0x23, 0x13, true);
	arpl(0x12, 0x21, 0x12, false);
	arpl(0x13, 0x23, 0x13, false);
}

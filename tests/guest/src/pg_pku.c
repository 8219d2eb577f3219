/* SPDX-License-Identifier: Apache-2.0
 *
 * Protection keys of user pages: RDPKRU and WRPKRU, what a key forbids to
 * user and supervisor, CR0.WP, fetches, the key of a large page, PKRU in the
 * XSAVE area; and of supervisor pages. Intel SDM vol. 3A section 4.6.2,
 * vol. 1 section 13.5.7.
 */
#include "map.h"

#define CR4_OSXSAVE (1UL << 18)
#define CR4_PKE	    (1UL << 22)
#define CR4_PKS	    (1UL << 24)
#define CR0_WP	    (1UL << 16)
#define MSR_PKRS    0x6e1
#define XCR0_PKRU   0x200u
#define PFE_PK	    0x20u
#define KEY(n)	    ((u64)(n) << 59)
#define AD(n)	    (1u << 2 * (n))
#define WD(n)	    (2u << 2 * (n))

static u8 target[4096] __page;
static u8 area[4096] __attribute__((aligned(64)));
static ulong va = MAP_BASE;

static void write_pkru(u32 v)
{
	asm volatile("wrpkru" ::"a"(v), "c"(0), "d"(0) : "memory");
}

static u32 read_pkru(void)
{
	u32 v;

	asm volatile("rdpkru" : "=a"(v) : "c"(0) : "rdx", "memory");
	return v;
}

static __user ulong user_read(ulong at)
{
	return *(volatile u8 *)at;
}

static __user ulong user_write(ulong at)
{
	*(volatile u8 *)at = 1;
	return 0;
}

static __user ulong user_wrpkru(ulong v)
{
	asm volatile("wrpkru" ::"a"((u32)v), "c"(0), "d"(0) : "memory");
	return 0;
}

/* An access from ring 0; `error` 0: it goes through. */
static void touch(const char *what, bool write, u64 error)
{
	if (write)
		CATCH("movb $1, (%0)", ::"r"(va) : "memory");
	else
		CATCH("movb (%0), %%al", ::"r"(va) : "rax", "memory");
	if (error)
		check_pf(what, error, va);
	else
		check_no_trap(what);
}

static void touch_user(const char *what, bool write, u64 error)
{
	caught.vector = NONE;
	user_call(write ? user_write : user_read, va);
	if (!error) {
		check(what, caught.vector, NONE);
		return;
	}
	check_vector(what, PF, error | PFE_U);
	check(what, caught.cr2, va);
}

/* The manual does not want this after a change of CR4.PKE or PKS. */
static void flush_on_tcg(void)
{
	if (tcg_differs("keeps its TLB when CR4.PKE or PKS is set"))
		invlpg((void *)va);
}

static void instructions(void)
{
	CATCH("rdpkru", ::"c"(0) : "rax", "rdx", "memory");
	check_trap("RDPKRU without PKE", UD, 0);
	CATCH("wrpkru", ::"a"(0), "c"(0), "d"(0) : "memory");
	check_trap("WRPKRU without PKE", UD, 0);
	check("OSPKE without PKE", cpuid(7, 0).c >> 4 & 1, 0);
	write_cr4(read_cr4() | CR4_PKE);
	check("OSPKE", cpuid(7, 0).c >> 4 & 1, 1);
	CATCH("rdpkru", ::"c"(1) : "rax", "rdx", "memory");
	check_trap("RDPKRU, ECX 1", GP, 0);
	CATCH("wrpkru", ::"a"(0), "c"(1), "d"(0) : "memory");
	check_trap("WRPKRU, ECX 1", GP, 0);
	CATCH("wrpkru", ::"a"(0), "c"(0), "d"(1) : "memory");
	check_trap("WRPKRU, EDX 1", GP, 0);
	write_pkru(0x55555554);
	check("PKRU", read_pkru(), 0x55555554);
	user_call(user_wrpkru, 0x5554);
	check("PKRU from ring 3", read_pkru(), 0x5554);
	write_pkru(0);
}

static void user_pages(int level)
{
	map_page(va, level, (level == 1 ? (ulong)target : 0) | PTE_P | PTE_W |
				    PTE_U | KEY(5) |
				    (level > 1 ? PTE_PS : 0));
	write_pkru(0);
	touch("no rights taken", true, 0);
	write_pkru(AD(5));
	touch("access disabled, read", false, PFE_P | PFE_PK);
	touch("access disabled, write", true, PFE_P | PFE_W | PFE_PK);
	touch_user("access disabled, user", false, PFE_P | PFE_PK);
	write_pkru(AD(4) | AD(6) | WD(4) | WD(6));
	touch("another key's rights", true, 0);
	touch_user("another key's rights, user", true, 0);
	write_pkru(WD(5));
	touch("write disabled, read", false, 0);
	touch_user("write disabled, user reads", false, 0);
	touch("write disabled, write", true, PFE_P | PFE_W | PFE_PK);
	touch_user("write disabled, user", true, PFE_P | PFE_W | PFE_PK);
	write_cr0(read_cr0() & ~CR0_WP);
	touch("write disabled, no WP", true, 0);
	touch_user("write disabled, user, no WP", true,
		   PFE_P | PFE_W | PFE_PK);
	write_cr0(read_cr0() | CR0_WP);
	touch("write disabled, WP again", true, PFE_P | PFE_W | PFE_PK);
	write_pkru(0);
	touch_user("all rights again", true, 0);
}

static void mixed(void)
{
	u64 page = (ulong)target | PTE_P | PTE_U | KEY(5);

	map_page(va, 1, page);
	write_pkru(WD(5));
	touch("read-only page too", true, PFE_P | PFE_W | PFE_PK);
	write_pkru(0);
	touch("read-only page alone", true, PFE_P | PFE_W);
	/* the key of a supervisor page is not PKRU's business */
	write_pkru(AD(5));
	map_page(va, 1, (page & ~(u64)PTE_U) | PTE_W);
	touch("supervisor page", true, 0);
	/* fetches: a RET in the page */
	map_page(va, 1, page);
	target[0] = 0xc3;
	CATCH("call *%0", ::"r"(va) : "memory");
	check_no_trap("fetch");
	touch("read behind the fetch", false, PFE_P | PFE_PK);
	/* without PKE nothing of this */
	write_cr4(read_cr4() & ~CR4_PKE);
	touch("PKE off", false, 0);
	write_cr4(read_cr4() | CR4_PKE);
	check("PKRU kept", read_pkru(), AD(5));
	flush_on_tcg();
	touch("PKE on", false, PFE_P | PFE_PK);
	write_pkru(0);
	/* key 0, and the way into and out of ring 3 with it */
	map_page(va, 1, page & ~KEY(5));
	touch("key 0", false, 0);
	write_pkru(AD(0));
	touch("key 0 disabled", false, PFE_P | PFE_PK);
	write_pkru(0);
	touch("key 0 enabled", false, 0);
}

static void xsave_area(void)
{
	struct cpuid sub = cpuid(13, 9);
	u32 *pkru = (u32 *)(area + sub.b);

	if (!cpu_has(1, 2, 26))
		return;
	check("XCR0's PKRU bit", cpuid(13, 0).a & XCR0_PKRU, XCR0_PKRU);
	check("size", sub.a, 8);
	check("user state", sub.c & 1, 0);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	asm volatile("xsetbv" ::"c"(0), "a"(XCR0_PKRU | 3), "d"(0));
	check("area", cpuid(13, 0).b, sub.b + 8);
	write_pkru(WD(5));
	asm volatile("xsave (%0)" ::"r"(area), "a"(XCR0_PKRU), "d"(0)
		     : "memory");
	check("XSTATE_BV", *(u64 *)(area + 512), XCR0_PKRU);
	check("saved PKRU", *pkru, WD(5));
	map_page(va, 1, (ulong)target | PTE_P | PTE_W | PTE_U | KEY(5));
	write_pkru(0);
	touch("before XRSTOR", true, 0);
	asm volatile("xrstor (%0)" ::"r"(area), "a"(XCR0_PKRU), "d"(0)
		     : "memory");
	check("restored PKRU", read_pkru(), WD(5));
	touch("after XRSTOR", true, PFE_P | PFE_W | PFE_PK);
	*(u64 *)(area + 512) = 0;
	asm volatile("xrstor (%0)" ::"r"(area), "a"(XCR0_PKRU), "d"(0)
		     : "memory");
	check("initial PKRU", read_pkru(), 0);
	touch("after XRSTOR of the initial state", true, 0);
	if (!(cpuid(13, 1).a & 2))
		return;
	write_pkru(AD(7));
	asm volatile("xsavec (%0)" ::"r"(area), "a"(XCR0_PKRU), "d"(0)
		     : "memory");
	check("XCOMP_BV", *(u64 *)(area + 520), 1ULL << 63 | XCR0_PKRU);
	check("compacted", *(u32 *)(area + 576), AD(7));
	write_pkru(0);
}

static void supervisor_pages(void)
{
	u64 page = (ulong)target | PTE_P | PTE_W | KEY(3);

	CATCH("wrmsr", ::"c"(MSR_PKRS), "a"(0), "d"(1) : "memory");
	check_trap("PKRS, upper half", GP, 0);
	wrmsr(MSR_PKRS, AD(3));
	map_page(va, 1, page);
	touch("PKS off", true, 0);
	write_cr4(read_cr4() | CR4_PKS);
	flush_on_tcg();
	touch("PKRS, access disabled", false, PFE_P | PFE_PK);
	wrmsr(MSR_PKRS, WD(3));
	check("PKRS", rdmsr(MSR_PKRS), WD(3));
	touch("PKRS, read", false, 0);
	touch("PKRS, write", true, PFE_P | PFE_W | PFE_PK);
	map_page(va, 1, page | PTE_U);
	touch("user page", true, 0);
	map_page(va, 1, page);
	wrmsr(MSR_PKRS, 0);
	touch("PKRS 0", true, 0);
	write_cr4(read_cr4() & ~CR4_PKS);
}

void guest_main(void)
{
	need(7, 2, 3, "PKU");
	write_cr0(read_cr0() | CR0_WP);
	instructions();
	user_pages(1);
	mixed();
	xsave_area();
	va += 1UL << 30;
	user_pages(2);
	if (cpu_has(7, 2, 31)) {
		va += 1UL << 30;
		supervisor_pages();
	}
}

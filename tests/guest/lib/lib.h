/* SPDX-License-Identifier: Apache-2.0
 *
 * What every test guest is written with: output and verdict, processor
 * registers, traps caught at one instruction, ring 3. The same header serves
 * 32-bit and 64-bit guests; a `ulong` is a general register of the mode.
 */
#ifndef GUEST_LIB_H
#define GUEST_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned long ulong;

#define __user	      __attribute__((section(".user.text"), noinline))
#define __user_data   __attribute__((section(".user.data")))
#define __page	      __attribute__((section(".bss.page,\"aw\",@nobits#"), \
				     aligned(4096)))
#define __packed      __attribute__((packed))
#define barrier()     asm volatile("" ::: "memory")
#define array_size(a) (sizeof(a) / sizeof((a)[0]))

/* --- Output and verdict (lib.c) --- */

/* The guest's own entry; returning prints the verdict and ends the run. */
void guest_main(void);

void put(const char *s);
void put_hex(u64 v);
/* Records a failure, printed with both values, when they differ. */
bool check(const char *what, u64 seen, u64 want);
/* As check(), for "low <= seen <= high". */
bool check_range(const char *what, u64 seen, u64 low, u64 high);
/* Ends the run: not a failure, the host lacks something. */
_Noreturn void skip(const char *why);
/* Ends the run with the verdict of the checks so far. */
_Noreturn void finish(void);
_Noreturn void fail(const char *why);
/* For guests whose run ends by reset or crash: all checks went well so far. */
void announce_end(void);
/* Physical address of the multiboot information block. */
extern u32 mb_info;

void *memset(void *p, int c, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* --- Traps (trap.c) --- */

enum {
	DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF,
	MF = 16, AC, MC, XM,
	NONE = 0xffff,
};

/* The stack as the trap entry leaves it, lowest address first. */
#ifdef __x86_64__
struct frame {
	ulong r15, r14, r13, r12, r11, r10, r9, r8;
	ulong di, si, bp, bx, dx, cx, ax;
	ulong vector, error, ip, cs, flags, sp, ss;
};
#else
struct frame {
	ulong gs, fs, es, ds;
	ulong di, si, bp, sp_here, bx, dx, cx, ax;
	ulong vector, error, ip, cs, flags, sp, ss;
	ulong v86_es, v86_ds, v86_fs, v86_gs;
};
#endif

/* The last trap that CATCH() or user code ran into; vector NONE if none. */
struct caught {
	ulong vector, error, ip, cs, flags, sp, ss;
	ulong cr2;
	/* linear address of the frame's end: where the stack pointer was */
	ulong frame_top;
	struct frame regs;
};
extern struct caught caught;
/* Where CATCH()'s instruction starts, and where to go on after a trap. */
extern ulong catch_ip, catch_next, catch_sp;

typedef void (*trap_hook)(struct frame *f);
/* Takes over a vector (an interrupt, or a trap to look into). */
void trap_hook_set(int vector, trap_hook fn);
/* Replaces the gate of one vector. */
void idt_set(int vector, ulong entry, u16 selector, u8 type_dpl, u8 ist);
void trap_stub_restore(int vector);
void trap_default_ist(int vector, u8 ist);
extern u8 trap_stubs[256][16];

/*
 * Runs one instruction (or a few, the caught ip is compared with the first)
 * and comes back behind it if it traps, with the stack pointer as it was; see
 * `caught`.
 */
#ifdef __x86_64__
#define CATCH(insn, ...)                                                \
	asm volatile("movl $772f, catch_next\n\tmovl $771f, catch_ip\n\t" \
		     "movl $0xffff, caught; mov %%rsp, catch_sp\n"      \
		     "771:\t" insn "\n772:\tmov catch_sp, %%rsp\n\t"    \
		     "movl $0, catch_next"                              \
		     __VA_ARGS__)
#else
#define CATCH(insn, ...)                                                \
	asm volatile("movl $772f, %%ss:catch_next\n\t"                  \
		     "movl $771f, %%ss:catch_ip\n\t"                    \
		     "movl $0xffff, %%ss:caught\n\t"                    \
		     "mov %%esp, %%ss:catch_sp\n"                       \
		     "771:\t" insn "\n772:\tmov %%ss:catch_sp, %%esp\n\t" \
		     "movl $0, %%ss:catch_next"                         \
		     __VA_ARGS__)
#endif

/* Checks that CATCH() trapped with this vector and error at its start. */
void check_trap(const char *what, u32 vector, u64 error);
/* Checks only vector and error. */
void check_vector(const char *what, u32 vector, u64 error);
/* Checks that CATCH() ran through. */
void check_no_trap(const char *what);
/* As check_trap() for a page fault, with the address. */
void check_pf(const char *what, u64 error, u64 address);

/* --- Descriptors (trap.c) --- */

enum {
	SEL_CODE = 0x08,	/* ring 0 code of the mode */
	SEL_DATA = 0x10,
	SEL_USER32 = 0x18 | 3,	/* 32-bit ring 3 code */
	SEL_USER_DATA = 0x20 | 3,
	SEL_USER64 = 0x28 | 3,	/* 64-bit ring 3 code */
	SEL_CODE32 = 0x30,
	SEL_CODE16 = 0x38,	/* base 0, limit 64 KiB */
	SEL_DATA16 = 0x40,
	SEL_FREE = 0x50,	/* 0x50..0x78 and 0xd0..0xf8: for the guest */
	SEL_FREE2 = 0xd0,
	SEL_TSS = 0x80,		/* 16 bytes for each processor */
#ifdef __x86_64__
	SEL_USER_CODE = SEL_USER64,
#else
	SEL_USER_CODE = SEL_USER32,
#endif
};

struct desc_ptr {
	u16 limit;
	ulong base;
} __packed;

extern u64 gdt[32];
extern struct desc_ptr gdt_ptr, idt_ptr;
extern u64 idt[512];

/* access: the byte of type, DPL, P; flags: G D L AVL in bits 3..0. */
u64 seg_desc(u32 base, u32 limit, u8 access, u8 flags);

#ifdef __x86_64__
struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 ist[8]; /* 1..7; 0 is reserved */
	u64 reserved2;
	u16 reserved3, iomap;
	u8 bitmap[1025];
} __packed;
#else
struct tss {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
	u8 bitmap[1025];
} __packed;
#endif
#define MAX_CPUS 4
extern struct tss tss[MAX_CPUS];
extern u8 ring0_stack[MAX_CPUS][4096], ist_stack[8][4096];

/* --- Ring 3 --- */

extern u8 user_exit[];
extern u8 user_stack[8192];
ulong user_enter(ulong ip, ulong arg, ulong sp, ulong flags, ulong cs,
		 ulong ss);
_Noreturn void user_leave(ulong value);
/*
 * Calls fn(arg) in ring 3; it must be __user, with __user_data for data.
 * Returns its result, or -1 when it trapped (see `caught`).
 */
ulong user_call(ulong (*fn)(ulong), ulong arg);
ulong user_call_flags(ulong (*fn)(ulong), ulong arg, ulong flags);

#ifndef __x86_64__
void real_call(u16 ip);
ulong vm86_enter(ulong ip, ulong cs, ulong sp, ulong ss, ulong flags);
#endif

/* --- The processor --- */

enum {
	FL_CF = 1, FL_PF = 4, FL_AF = 0x10, FL_ZF = 0x40, FL_SF = 0x80,
	FL_TF = 0x100, FL_IF = 0x200, FL_DF = 0x400, FL_OF = 0x800,
	FL_IOPL = 0x3000, FL_NT = 0x4000, FL_RF = 0x10000, FL_VM = 0x20000,
	FL_AC = 0x40000, FL_ID = 0x200000,
	FL_ARITH = 0x8d5,
};

enum {
	MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_MTRRCAP = 0xfe,
	MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	MSR_PAT = 0x277, MSR_MTRR_DEF = 0x2ff, MSR_TSC_DEADLINE = 0x6e0,
	MSR_XSS = 0xda0, MSR_EFER = 0xc0000080, MSR_STAR, MSR_LSTAR,
	MSR_CSTAR, MSR_SFMASK, MSR_FS_BASE = 0xc0000100, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE, MSR_TSC_AUX,
};

static inline void outb(u16 port, u8 v)
{
	asm volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void outw(u16 port, u16 v)
{
	asm volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline u16 inw(u16 port)
{
	u16 v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void outl(u16 port, u32 v)
{
	asm volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}

static inline u32 inl(u16 port)
{
	u32 v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (u64)hi << 32;
}

static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32))
		     : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return lo | (u64)hi << 32;
}

struct cpuid {
	u32 a, b, c, d;
};

static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
		     : "a"(leaf), "c"(sub)
		     : "memory");
	return r;
}

#define REG_ACCESS(name)                                                  \
	static inline ulong read_##name(void)                             \
	{                                                                 \
		ulong v;                                                  \
		asm volatile("mov %%" #name ", %0" : "=r"(v)::"memory");  \
		return v;                                                 \
	}                                                                 \
	static inline void write_##name(ulong v)                          \
	{                                                                 \
		asm volatile("mov %0, %%" #name ::"r"(v) : "memory");     \
	}
REG_ACCESS(cr0)
REG_ACCESS(cr2)
REG_ACCESS(cr3)
REG_ACCESS(cr4)
REG_ACCESS(dr0)
REG_ACCESS(dr1)
REG_ACCESS(dr2)
REG_ACCESS(dr3)
REG_ACCESS(dr6)
REG_ACCESS(dr7)
#ifdef __x86_64__
REG_ACCESS(cr8)
#endif

static inline void invlpg(const volatile void *p)
{
	asm volatile("invlpg (%0)" ::"r"(p) : "memory");
}

static inline ulong read_flags(void)
{
	ulong v;

	asm volatile("pushf; pop %0" : "=r"(v)::"memory");
	return v;
}

static inline void irq_on(void)
{
	asm volatile("sti" ::: "memory");
}

static inline void irq_off(void)
{
	asm volatile("cli" ::: "memory");
}

/* Features as (leaf, register 0..3 = a..d, bit), with the CPUID sub-leaf 0. */
bool cpu_has(u32 leaf, int reg, int bit);
/* Skips the guest when the feature is missing. */
void need(u32 leaf, int reg, int bit, const char *name);
bool cpu_is_amd(void);
/*
 * True on QEMU's TCG, which is known to do otherwise than the manual says:
 * leaves out a check there, and says so.
 */
bool tcg_differs(const char *how);

#endif

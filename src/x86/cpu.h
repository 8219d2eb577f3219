/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual processor at work: its canonical state, and what the software
 * CPU needs beside it (lazy flags, TLB, the fault being raised, the
 * processor's surroundings). Other engines use the canonical part and the
 * request bits, and borrow x86_step() for what they cannot execute.
 *
 * A processor belongs to the one thread that runs it; only `request` and what
 * lies behind `apic` may be touched from others.
 */
#ifndef LODGE_X86_CPU_H
#define LODGE_X86_CPU_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vm/addr.h"
#include "vm/host.h"
#include "vm/vm.h"
#include "x86/cpuid.h"
#include "x86/debug.h"
#include "x86/reg.h"
#include "x86/state.h"

/* Bits of x86_cpu.request: looked at before each block of instructions. */
#define X86_REQ_INTR 0x01u /* the LAPIC (or PIC) may have an interrupt */
#define X86_REQ_NMI  0x02u
#define X86_REQ_INIT 0x04u
#define X86_REQ_SIPI 0x08u
#define X86_REQ_KICK 0x10u /* leave run() */
#define X86_REQ_NMI2 0x40u /* another one came before the first was seen */
#define X86_REQ_CODE 0x20u /* engine/soft: pages became code pages */
#define X86_REQ_MEMORY 0x80u /* the same: views moved, pages are watched */

/* What an instruction handler returns. */
enum x86_result {
	X86_NEXT = 0,  /* done, go on with the following instruction */
	X86_BRANCH,    /* done, rip (or cpu->mode) changed: look up anew */
	X86_FAULT,     /* cpu->fault holds an exception; nothing was changed */
	X86_STOP,      /* done; look at activity, vm->request and requests */
};

/* The interrupt controller as the processor sees it (chip/lapic behind it). */
struct x86_apic_ops {
	/*
	 * Takes the interrupt to deliver now, PIC (ExtINT) included: its
	 * vector, acknowledged, or -1. Called with IF set and no shadow.
	 */
	int (*accept)(void *apic);
	/* True when accept() would give a vector (wakes HLT). */
	bool (*pending)(void *apic);
	uint8_t (*get_tpr)(void *apic); /* CR8 << 4 */
	void (*set_tpr)(void *apic, uint8_t tpr);
	/* x2APIC registers and TSC deadline; false: #GP. */
	bool (*read_msr)(void *apic, uint32_t index, uint64_t *value);
	bool (*write_msr)(void *apic, uint32_t index, uint64_t value);
	/* Registers at `offset` of the xAPIC page; always 32 bits. */
	uint32_t (*read)(void *apic, uint32_t offset);
	void (*write)(void *apic, uint32_t offset, uint32_t value);
	/* IA32_APIC_BASE was written (already checked). */
	void (*set_base)(void *apic, uint64_t base);
	/* INIT was taken: registers to their INIT state. */
	void (*init)(void *apic);
};

struct x86_apic {
	const struct x86_apic_ops *ops; /* NULL: no APIC */
	void *object;
};

/*
 * No vector: the instruction is to be executed once more, by x86_step(). Comes
 * out of handlers that an engine runs with `in_block` set.
 */
#define X86_AGAIN 0xff

/* An exception on its way. */
struct x86_fault {
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t address; /* #PF: goes to CR2. #DB: bits for DR6 */
};

/*
 * Software TLB, direct-mapped, with tables of their own for reads, writes and
 * fetches: a stream of loads and one of stores whose pages fall on the same
 * index leave each other alone. A tag is the negated linear page address, so
 * that tag + linear is the offset in the page and a single comparison with
 * PAGE_SIZE - size tells both that the page is the entry's and that the
 * access does not straddle. A set tag says that accesses of that kind go
 * straight to `addend + linear`. Everything unusual (MMIO, ROM writes, pages
 * with decoded code, clean pages under dirty log, watched pages, D bit to
 * set) has no tag and takes the slow path.
 */
#define X86_TLB_BITS 11
#define X86_TLB_SIZE (1u << X86_TLB_BITS)
struct x86_tlb_entry {
	uint64_t tag;
	uintptr_t addend; /* host address = addend + linear */
};

static inline unsigned int x86_tlb_index(uint64_t linear)
{
	return (unsigned int)(linear >> PAGE_SHIFT) & (X86_TLB_SIZE - 1);
}

/*
 * The tag that is not set: that of a page which belongs in another entry, so
 * that no address that comes here matches, canonical or not; nor in the next
 * entry, where the last byte of a straddling access belongs.
 */
static inline uint64_t x86_tlb_none(unsigned int index)
{
	return 0 - ((uint64_t)(index ^ 2) << PAGE_SHIFT);
}

/* The tag of the page that holds `linear`. */
static inline uint64_t x86_tlb_tag(uint64_t linear)
{
	return 0 - (linear & PAGE_MASK);
}

/* True when the tag is set for all of `size` bytes (1 .. PAGE_SIZE). */
static inline bool x86_tlb_hit(uint64_t tag, uint64_t linear,
			       unsigned int size)
{
	return tag + linear <= PAGE_SIZE - size;
}

/* One table per kind of access rights. */
enum x86_tlb_kind {
	X86_TLB_USER,	    /* CPL 3 */
	X86_TLB_SUPER,	    /* CPL 0-2, user data pages refused if SMAP */
	X86_TLB_SUPER_AC,   /* CPL 0-2 and EFLAGS.AC set */
	X86_TLB_KINDS,
};

/* And of those, one per access. What reads and writes goes by the second. */
enum x86_tlb_access {
	X86_TLB_READ,
	X86_TLB_WRITE,
	X86_TLB_EXEC,
	X86_TLB_ACCESSES,
};

struct x86_tlb_table {
	struct x86_tlb_entry entry[X86_TLB_SIZE];
	bool used; /* since the last flush */
	/* One bit an entry that may hold a tag: makes a flush cheap. */
	uint64_t filled[X86_TLB_SIZE / 64];
	/* And one that a CR3 write keeps, of those: its page is global. */
	uint64_t global[X86_TLB_SIZE / 64];
	/* And one whose rights a protection key other than 0 gave. */
	uint64_t keyed[X86_TLB_SIZE / 64];
};

struct x86_tlb {
	struct x86_tlb_table table[X86_TLB_ACCESSES];
};

/*
 * For generated code: a place that accesses memory may keep a copy of the entry
 * that it used last, in a place of its own here, and spare itself the index.
 * User code only. x86 takes the tags away (to `none`) whenever one of the TLB's is
 * taken away.
 */
#define X86_LAST_SIZE 128u
struct x86_last_entry {
	uint64_t tag;
	uintptr_t addend;
	uintptr_t page; /* host address of the page */
};

struct x86_last {
	struct x86_last_entry entry[2][X86_LAST_SIZE]; /* reads, writes */
	/* The negated address of a page that is not canonical and that no guest
	 * can know: else it would find what the entry held before. */
	uint64_t none;
	uint8_t used; /* since tags were taken away */
};

/* Where large pages may have left entries behind. size 0: nowhere. */
struct x86_large {
	uint64_t first, last;
	uint64_t size; /* of the largest */
	bool global;   /* one of them is */
};

/*
 * How far a segment's accesses reach outside 64-bit code: one past the last
 * offset that may be read or written with no more to check. 0: each access
 * looks at the descriptor (x86_linear_slow()).
 */
struct x86_reach {
	uint64_t read, write;
};

/* x86_cpu.mode: what decoding and execution depend on, besides rip. */
#define X86_MODE_CODE64	 0x01u /* CS.L in long mode */
#define X86_MODE_CODE32	 0x02u /* CS.D */
#define X86_MODE_STACK32 0x04u /* SS.B (not in 64-bit code) */
#define X86_MODE_PROT	 0x08u /* CR0.PE, not virtual-8086 */
#define X86_MODE_VM86	 0x10u
#define X86_MODE_USER	 0x20u /* CPL 3 */
#define X86_MODE_LONG	 0x40u /* EFER.LMA */
#define X86_MODE_FLAT	 0x80u /* CS, DS, ES, SS: base 0, limit 4 GiB */
#define X86_MODE_TRACE	 0x100u /* TF or a code breakpoint: one at a time */
#define X86_MODE_AC	 0x200u /* alignment is checked: CR0.AM, AC, CPL 3 */
#define X86_MODE_FPU_OFF 0x400u /* CR0.EM or TS: x87 raises #NM */
#define X86_MODE_SSE	 0x800u /* CR4.OSFXSR and not CR0.EM/TS */
#define X86_MODE_AVX	 0x1000u /* CR4.OSXSAVE and XCR0.AVX and not TS */
#define X86_MODE_AVX512	 0x2000u
#define X86_MODE_SUPER_AC 0x4000u /* SMAP suspended: X86_TLB_SUPER_AC */
#define X86_MODE_INNER	 0x10000u /* CPL 1 or 2 */
#define X86_MODE_BITS	 20 /* room for all of them */

/*
 * Room that an engine's generated code reaches relative to the processor.
 * x86 itself does not look at it.
 */
#define X86_FAST_WORDS 32
#define X86_FAST_JUMPS 4096u

struct x86_fast {
	_Atomic uint64_t word[X86_FAST_WORDS];
	uint64_t from[X86_FAST_JUMPS];
	uint64_t to[X86_FAST_JUMPS];
};

/* What a processor's thread is doing, for whoever samples it. */
enum x86_work {
	X86_WORK_RUN, /* guest code, this way or that */
	X86_WORK_DECODE,
	X86_WORK_REWRITE,
	X86_WORK_WALK, /* page tables */
	X86_WORK_DEVICE,
	X86_WORK_HALT,
	X86_WORKS,
};

struct x86_cpu {
	struct x86_state state; /* must be first */

	/* Derived: x86_update_mode() recomputes it from state. */
	uint32_t mode;
	uint8_t cpl;
	/* Real mode in which a selector stands for a base and nothing else:
	 * loading one leaves all of this as it is, see x86_mode_stays(). */
	bool steady;
	struct x86_tlb *tlb; /* &tlbs[...] for cpl and AC */
	struct x86_reach reach[6]; /* by enum x86_seg; not in 64-bit code */
	/* Opmasks, or bits beyond YMM, may be other than zero. Whoever writes
	 * such a register sets it. */
	bool upper;

	/*
	 * Lazy arithmetic flags, see flags.h. lazy_bits 0: state.rflags holds
	 * them. Slow handlers and everything outside the software CPU see
	 * state.rflags complete.
	 */
	uint8_t lazy_bits;
	int64_t lazy_result;
	uint64_t lazy_carry;

	/* rip of the first instruction of the block being run. */
	uint64_t block_rip;
	/* For slow handlers: where rip goes next; they may change it. */
	uint64_t next_rip;

	struct x86_fault fault;
	uint32_t pauses; /* executed */
	/* Data and I/O breakpoints just hit, as DR6 bits 0-3: #DB trap. */
	uint8_t debug_hits;

	/*
	 * Of a debugger outside: what it waits for (NULL: none is there), how
	 * to execute, and the watched range that x86_step() touched. While
	 * `in_block`, accesses to watched ranges raise X86_AGAIN instead.
	 */
	const struct x86_debug *debug;
	uint8_t debug_step; /* enum x86_debug_step */
	bool in_block;
	bool split; /* it holds vm.split_lock */
	const struct x86_watch *watch_hit;

	_Atomic uint32_t request; /* X86_REQ_* */
	struct host_event wake;	  /* waits here while halted */

	unsigned int id; /* vCPU index and APIC id */
	struct vm *vm;
	const struct cpuid_policy *cpuid;
	struct x86_apic apic;

	/* Executes what the interpreter has no handler for; may be NULL. */
	const struct x86_native_ops *native;
	void *native_ctx;

	/* An engine's own (engine/soft: block cache; engine/kvm: fd). */
	void *engine;
	/* Kicks the thread that runs this processor out of a wait. May be
	 * NULL: then setting `request` and `wake` is enough. */
	void (*kicked)(struct x86_cpu *cpu);
	/*
	 * Guest-physical page number of the code being run, and who is told
	 * when the processor itself writes there. UINT64_MAX: none.
	 */
	uint64_t block_page;
	void (*block_written)(struct x86_cpu *cpu);
	/* Where x86_pointer() noted a write that comes after the note, so
	 * that it is to be noted again; NULL: nowhere. */
	const uint8_t *noted_early;
	/* Told of a TLB flush, for caches keyed by linear address; `all`:
	 * global pages too. */
	void (*tlb_flushed)(struct x86_cpu *cpu, bool all);
	/* The same for `size` bytes (INVLPG); NULL: tlb_flushed is called. */
	void (*page_flushed)(struct x86_cpu *cpu, uint64_t first,
			     uint64_t size);

	/* Of processor 0, for all: the pair that every kvmclock page gets. */
	struct {
		uint64_t host_tsc, ns;
		int64_t offset; /* vm.clock.offset at that time */
		bool known;
	} kvmclock;

	uint64_t instructions; /* executed; approximate between blocks */
	uint64_t stat_fault, stat_interrupt, stat_mmio, stat_pio, stat_halt;
	/* Page walks, accesses to two pages, writes to pages with decoded
	 * code, and what of the TLB was dropped. */
	uint64_t stat_walk, stat_straddle, stat_code_write;
	uint64_t stat_tlb_flush, stat_page_flush;
	volatile uint8_t work; /* enum x86_work; read by signal handlers */

	/* mmu.c's own: PAE pointers as loaded with CR3; where the last
	 * look-up found memory; the page entered last for a read and for a
	 * write; what range of each half of the address space holds pages
	 * above 4 KiB. */
	uint64_t pdpte[4];
	unsigned int region_hint;
	uint64_t walked[2];
	struct x86_large large[2];

	struct x86_tlb tlbs[X86_TLB_KINDS];
	struct x86_last last;
	struct x86_fast fast;
};

/* A processor at power-on; memory from host_alloc(). NULL: no memory. */
struct x86_cpu *x86_cpu_create(struct vm *vm, unsigned int id,
			       const struct cpuid_policy *cpuid);
void x86_cpu_destroy(struct x86_cpu *cpu);

/* Power-on state, empty TLB, no requests. */
void x86_cpu_reset(struct x86_cpu *cpu);

/* To be called after a change of state from outside (restore, debugger). */
void x86_cpu_state_changed(struct x86_cpu *cpu);

/* Sets request bits and wakes the processor's thread. Any thread. */
void x86_cpu_request(struct x86_cpu *cpu, uint32_t bits);

/* Recomputes mode, cpl, tlb and reach after CRx, EFER, a segment register
 * or RFLAGS changed. */
void x86_update_mode(struct x86_cpu *cpu);

/* True when x86_update_mode() would change nothing, if nothing but RFLAGS and
 * the selectors and bases of real-mode segments changed since. */
static inline bool x86_mode_stays(const struct x86_cpu *cpu)
{
	return cpu->steady &&
	       !(cpu->state.rflags & (X86_FLAG_TF | X86_FLAG_AC));
}

/* XINUSE: a bit for each component of the XSAVE area that may be other than
 * in its initial state. Brings `upper` up to date. */
uint64_t x86_in_use(struct x86_cpu *cpu);

/* Raises an exception: fills cpu->fault and returns X86_FAULT. */
enum x86_result x86_raise(struct x86_cpu *cpu, uint8_t vector);
enum x86_result x86_raise_error(struct x86_cpu *cpu, uint8_t vector,
				uint32_t error);

/* #PF at `address`. */
enum x86_result x86_raise_page(struct x86_cpu *cpu, uint64_t address,
			       uint32_t error);

/*
 * Executes exactly one instruction (or one iteration of a REP one, or
 * delivers one pending event), for engines without decoded code. Exceptions
 * are delivered to the guest. X86_STOP as for handlers.
 */
enum x86_result x86_step(struct x86_cpu *cpu);

#endif

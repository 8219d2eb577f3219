/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the software CPU reaches memory and ports. Linear addresses go through
 * the TLB; what misses it takes the slow path in mmu.c (page walk, MMIO, code
 * pages, watchpoints, page-straddling). All return X86_NEXT, or X86_FAULT
 * with cpu->fault filled and nothing changed.
 */
#ifndef LODGE_X86_ACCESS_H
#define LODGE_X86_ACCESS_H

#include "vm/bytes.h"

#include "x86/cpu.h"
#include "x86/insn.h"

enum x86_access {
	X86_READ = 0,
	X86_WRITE = 1,
	X86_EXEC = 2,
	/* Flag: as CPL 0 whatever the CPL (descriptor tables, TSS, IDT). */
	X86_SYSTEM = 4,
};

/*
 * Slow paths (mmu.c). `size` 1 .. 64 bytes; may straddle pages; MMIO allowed
 * (bus accesses of up to 8 bytes each). #AC is checked here for 2, 4 and 8
 * bytes when X86_MODE_AC.
 */
enum x86_result x86_read_slow(struct x86_cpu *cpu, uint64_t linear,
			      void *buf, unsigned int size,
			      enum x86_access access);
enum x86_result x86_write_slow(struct x86_cpu *cpu, uint64_t linear,
			       const void *buf, unsigned int size,
			       enum x86_access access);

/*
 * Host pointer for a read-modify-write or a bulk access of `size` bytes at
 * `linear`, checked for `access`; notes the write. *host is NULL (with
 * X86_NEXT) when the range is permitted but is not plain RAM in one page:
 * MMIO, ROM or straddling.
 */
enum x86_result x86_pointer(struct x86_cpu *cpu, uint64_t linear,
			    unsigned int size, enum x86_access access,
			    void **host);

/*
 * Checks that [linear, linear+size) may be accessed, raising the fault that
 * the access would; sets A/D bits. For instructions that must not fault
 * half-way.
 */
enum x86_result x86_probe(struct x86_cpu *cpu, uint64_t linear,
			  unsigned int size, enum x86_access access);

/*
 * Translates for instruction fetch: *address is the guest-physical address
 * of `linear`; #PF/#GP otherwise.
 */
enum x86_result x86_fetch_translate(struct x86_cpu *cpu, uint64_t linear,
				    gpa_t *address);

/*
 * Page walk without side effects (debugger, tests): false when unmapped.
 */
bool x86_translate(struct x86_cpu *cpu, gva_t linear, gpa_t *address);

/*
 * Loads CR3 (MOV CR3, task switch): bits kept, PAE pointers, TLB flush.
 * False, and nothing is changed: #GP(0).
 */
bool x86_load_cr3(struct x86_cpu *cpu, uint64_t value);

/*
 * Reads the four PAE page-directory pointers at `cr3` where the present CR0,
 * CR4 and EFER say PAE paging; elsewhere does nothing. False: #GP(0).
 */
bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3);

/* TLB maintenance: fresh memory; everything; all but global pages (CR3
 * write); one page, global or not (INVLPG). */
void x86_tlb_init(struct x86_cpu *cpu);
void x86_tlb_flush(struct x86_cpu *cpu);
/* Of struct x86_last alone; all others do so, too. */
void x86_tlb_forget_last(struct x86_cpu *cpu);
void x86_tlb_flush_local(struct x86_cpu *cpu);
void x86_tlb_flush_page(struct x86_cpu *cpu, uint64_t linear);

/*
 * Protection-key rights, two bits a key (access, write disabled): of user
 * pages (PKRU, which lies in the XSAVE area) and of supervisor pages.
 * Setting them drops what the TLB holds by the old ones.
 */
static inline uint32_t x86_pkru(const struct x86_state *s)
{
	uint32_t v;

	memcpy(&v, s->xsave + X86_XSAVE_PKRU, sizeof(v));
	return v;
}

void x86_set_pkru(struct x86_cpu *cpu, uint32_t value);
void x86_set_pkrs(struct x86_cpu *cpu, uint32_t value);

/*
 * Withdraws write tags: of pages from that of `host` on, or all when `host`
 * is NULL (a page became a code page; dirty log started).
 */
void x86_tlb_protect(struct x86_cpu *cpu, const uint8_t *host, uint64_t size);

/*
 * Segment checks for `size` bytes at effective address `ea` in `seg`: gives
 * the linear address or raises #GP/#SS(0): limits, types, null selectors in
 * 16/32-bit modes; canonical form in 64-bit mode.
 */
enum x86_result x86_linear_slow(struct x86_cpu *cpu, unsigned int seg,
				uint64_t ea, unsigned int size,
				enum x86_access access, uint64_t *linear);

static inline const struct x86_tlb_entry *
x86_tlb_at(const struct x86_cpu *cpu, uint64_t linear,
	   enum x86_tlb_access access)
{
	return &cpu->tlb->table[access].entry[x86_tlb_index(linear)];
}

/* True when the TLB knows that instructions at `linear` are fetched from a
 * global page. */
static inline bool x86_fetches_global(const struct x86_cpu *cpu,
				      uint64_t linear)
{
	const struct x86_tlb_table *t = &cpu->tlb->table[X86_TLB_EXEC];
	unsigned int i = x86_tlb_index(linear);

	return x86_tlb_hit(t->entry[i].tag, linear, 1) &&
	       t->global[i / 64] >> (i % 64) & 1;
}

static inline __attribute__((always_inline)) enum x86_result
x86_read(struct x86_cpu *cpu, uint64_t linear, void *buf, unsigned int size)
{
	const struct x86_tlb_entry *e = x86_tlb_at(cpu, linear, X86_TLB_READ);

	if (__builtin_expect(x86_tlb_hit(e->tag, linear, size) &&
			     !(cpu->mode & X86_MODE_AC), 1)) {
		memcpy(buf, (const void *)(e->addend + linear), size);
		return X86_NEXT;
	}
	return x86_read_slow(cpu, linear, buf, size, X86_READ);
}

static inline __attribute__((always_inline)) enum x86_result
x86_write(struct x86_cpu *cpu, uint64_t linear, const void *buf,
	  unsigned int size)
{
	const struct x86_tlb_entry *e = x86_tlb_at(cpu, linear, X86_TLB_WRITE);

	if (__builtin_expect(x86_tlb_hit(e->tag, linear, size) &&
			     !(cpu->mode & X86_MODE_AC), 1)) {
		memcpy((void *)(e->addend + linear), buf, size);
		return X86_NEXT;
	}
	return x86_write_slow(cpu, linear, buf, size, X86_WRITE);
}

/* Effective address of the memory operand, without the segment's base. */
static inline __attribute__((always_inline)) uint64_t
x86_effective(const struct x86_cpu *cpu, const struct x86_insn *insn)
{
	uint64_t ea = (uint64_t)(int64_t)insn->disp;

	if (insn->base != X86_NO_REG)
		ea += cpu->state.gpr[insn->base];
	if (insn->index != X86_NO_REG)
		ea += cpu->state.gpr[insn->index] << insn->scale;
	if (insn->rip_relative)
		ea += cpu->block_rip + insn->offset + insn->length;
	if (insn->adsize == 8)
		return ea;
	return insn->adsize == 4 ? (uint32_t)ea : (uint16_t)ea;
}

/* Linear address of an access through a segment. */
static inline __attribute__((always_inline)) enum x86_result
x86_linear(struct x86_cpu *cpu, unsigned int seg, uint64_t ea,
	   unsigned int size, enum x86_access access, uint64_t *linear)
{
	if (__builtin_expect(cpu->mode & X86_MODE_CODE64, 1)) {
		/*
		 * A non-canonical address never has a TLB tag; the slow path
		 * raises #GP. The stack's raises #SS here.
		 */
		if (seg != X86_SS ||
		    ((uint64_t)((int64_t)(ea << 16) >> 16) == ea &&
		     (ea & 0xfff) <= PAGE_SIZE - size)) {
			*linear = seg >= X86_FS ?
					  ea + cpu->state.seg[seg].base :
					  ea;
			return X86_NEXT;
		}
	} else if ((cpu->mode & X86_MODE_FLAT) && seg < X86_FS &&
		   !(seg == X86_CS && access == X86_WRITE) &&
		   ea <= UINT32_MAX - (size - 1)) {
		*linear = ea;
		return X86_NEXT;
	} else if (ea + size <= (access == X86_WRITE ? cpu->reach[seg].write :
						       cpu->reach[seg].read) &&
		   access <= X86_WRITE) {
		*linear = (uint32_t)(cpu->state.seg[seg].base + ea);
		return X86_NEXT;
	}
	return x86_linear_slow(cpu, seg, ea, size, access, linear);
}

/* Memory operand of an instruction -> linear address. */
static inline __attribute__((always_inline)) enum x86_result
x86_operand(struct x86_cpu *cpu, const struct x86_insn *insn,
	    unsigned int size, enum x86_access access, uint64_t *linear)
{
	return x86_linear(cpu, insn->seg, x86_effective(cpu, insn), size,
			  access, linear);
}

/* System structures at CPL 0 (GDT, LDT, IDT, TSS, ...). */
static inline enum x86_result x86_read_system(struct x86_cpu *cpu,
					      uint64_t linear, void *buf,
					      unsigned int size)
{
	return x86_read_slow(cpu, linear, buf, size, X86_READ | X86_SYSTEM);
}

static inline enum x86_result x86_write_system(struct x86_cpu *cpu,
					       uint64_t linear,
					       const void *buf,
					       unsigned int size)
{
	return x86_write_slow(cpu, linear, buf, size, X86_WRITE | X86_SYSTEM);
}

#endif

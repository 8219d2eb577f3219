/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paging and the software TLB: page walks in every mode, access rights, page
 * faults, accessed and dirty bits. Intel SDM vol. 3, chapter 4; AMD64 APM
 * vol. 2, chapter 5. The accesses themselves are in access.c.
 *
 * A walk touches nothing until the access is known to be allowed; then it
 * sets A and D by compare-exchange, for other processors walk (and the guest
 * changes) the same tables meanwhile. Left out: 5-level paging, PCID
 * tags (every CR3 load flushes all but global pages).
 */
#include "x86/mmu.h"

#define PTE_P	    0x001u
#define PTE_W	    0x002u
#define PTE_U	    0x004u
#define PTE_A	    0x020u
#define PTE_D	    0x040u
#define PTE_PS	    0x080u
#define PTE_G	    0x100u
#define PTE_NX	    ((uint64_t)1 << 63)
#define PTE_KEY_SHIFT 59
#define PTE_ADDRESS 0x000ffffffffff000u

#define LEVELS 4

#define PAGES_AHEAD 16

/* One paging-structure entry on the way. */
struct step {
	uint8_t *host; /* NULL: not in RAM, cannot take A and D */
	gpa_t at;
	uint64_t value;
};

struct walk {
	struct step step[LEVELS];
	unsigned int count;
	bool narrow;   /* entries of 32 bits */
	uint64_t all;  /* AND of the entries: W, U and A */
	uint64_t any;  /* OR of the entries: NX */
	uint64_t gpa;  /* of the address that was walked for */
	uint64_t size; /* of the page; 0 without paging */
};

/* Why a walk ended early. */
enum walk_end {
	WALK_DONE,
	WALK_ABSENT,
	WALK_RESERVED,
};

const struct memory_region *mmu_region(struct x86_cpu *cpu, uint64_t addr)
{
	const struct memory *mem = &cpu->vm->memory;
	const struct memory_region *r = &mem->region[cpu->region_hint];

	if (__builtin_expect(addr - r->base < r->size, 1))
		return memory_seen(r);
	r = memory_find(mem, gpa(addr));
	if (r >= mem->region && r < mem->region + mem->region_count)
		cpu->region_hint = (unsigned int)(r - mem->region);
	return r;
}

uint8_t mmu_page_flags(struct x86_cpu *cpu, const struct memory_region *r,
		       uint64_t addr)
{
	uint64_t page = r->first_page + ((addr - r->base) >> PAGE_SHIFT);

	return atomic_load_explicit(&cpu->vm->memory.page_flags[page],
				    memory_order_relaxed);
}

/* Reads the entry at guest-physical `addr`; absent memory is all ones. */
static uint64_t read_entry(struct x86_cpu *cpu, struct walk *w, uint64_t addr)
{
	const struct memory_region *r = mmu_region(cpu, addr);
	struct step *s = &w->step[w->count++];

	s->at = gpa(addr);
	s->host = NULL;
	s->value = w->narrow ? UINT32_MAX : UINT64_MAX;
	if (!r)
		return s->value;
	s->host = r->host + (addr - r->base);
	if (w->narrow)
		s->value = __atomic_load_n((uint32_t *)s->host,
					   __ATOMIC_ACQUIRE);
	else
		s->value = __atomic_load_n((uint64_t *)s->host,
					   __ATOMIC_ACQUIRE);
	if (r->kind != MEMORY_RAM)
		s->host = NULL;
	return s->value;
}

/* Address bits that the processor does not have, up to `top`. */
static uint64_t beyond_physical(const struct x86_cpu *cpu, unsigned int top)
{
	return ((uint64_t)1 << top) -
	       ((uint64_t)1 << cpu->cpuid->physical_bits);
}

/* Walks tables of 64-bit entries: 4-level from CR3, PAE from a PDPTE. */
static enum walk_end walk_wide(struct x86_cpu *cpu, uint64_t linear,
			       unsigned int level, uint64_t table,
			       uint64_t reserved, struct walk *w)
{
	unsigned int shift = PAGE_SHIFT + 9 * (level - 1);
	uint64_t entry;

	if (!(cpu->state.efer & X86_EFER_NXE))
		reserved |= PTE_NX;
	for (;; level--, shift -= 9) {
		entry = read_entry(cpu, w, (table & PTE_ADDRESS) +
						   (linear >> shift & 511) * 8);
		if (!(entry & PTE_P))
			return WALK_ABSENT;
		if (entry & reserved)
			return WALK_RESERVED;
		w->all &= entry;
		w->any |= entry;
		if (level == 1)
			break;
		if (entry & PTE_PS) {
			if (level == 4 ||
			    (level == 3 && !cpu->cpuid->page_1g))
				return WALK_RESERVED;
			/* Bit 12 is PAT; the other bits below the frame. */
			if (entry & (((uint64_t)1 << shift) - 1) & ~0x1fffull)
				return WALK_RESERVED;
			break;
		}
		table = entry;
	}
	w->size = (uint64_t)1 << shift;
	w->gpa = (entry & PTE_ADDRESS & ~(w->size - 1)) |
		 (linear & (w->size - 1));
	return WALK_DONE;
}

/* Two levels of 32-bit entries, with 4 MiB pages of up to 40 bits. */
static enum walk_end walk_narrow(struct x86_cpu *cpu, uint64_t linear,
				 struct walk *w)
{
	uint64_t entry, frame;

	w->narrow = true;
	entry = read_entry(cpu, w, (cpu->state.cr3 & 0xfffff000u) +
					   (linear >> 22 & 1023) * 4);
	if (!(entry & PTE_P))
		return WALK_ABSENT;
	w->all &= entry;
	if (entry & PTE_PS && cpu->state.cr4 & X86_CR4_PSE) {
		/* PSE-36: bits 13-20 are address bits 32-39. */
		frame = (entry & 0xffc00000u) | (entry >> 13 & 0xff) << 32;
		if (entry & 0x200000 || frame & beyond_physical(cpu, 52))
			return WALK_RESERVED;
		w->size = 0x400000;
		w->gpa = frame | (linear & 0x3fffff);
		return WALK_DONE;
	}
	entry = read_entry(cpu, w, (entry & 0xfffff000u) +
					   (linear >> 12 & 1023) * 4);
	if (!(entry & PTE_P))
		return WALK_ABSENT;
	w->all &= entry;
	w->size = PAGE_SIZE;
	w->gpa = (entry & 0xfffff000u) | (linear & 0xfff);
	return WALK_DONE;
}

static enum walk_end walk(struct x86_cpu *cpu, uint64_t linear,
			  struct walk *w)
{
	const struct x86_state *s = &cpu->state;
	uint64_t pdpte;

	w->count = 0;
	w->narrow = false;
	w->all = PTE_W | PTE_U | PTE_A;
	w->any = 0;
	if (!(s->cr0 & X86_CR0_PG)) {
		w->gpa = linear;
		w->size = 0;
		return WALK_DONE;
	}
	if (s->efer & X86_EFER_LMA)
		return walk_wide(cpu, linear, 4, s->cr3,
				 beyond_physical(cpu, 52), w);
	if (!(s->cr4 & X86_CR4_PAE))
		return walk_narrow(cpu, linear, w);
	pdpte = cpu->pdpte[linear >> 30 & 3];
	if (!(pdpte & PTE_P))
		return WALK_ABSENT;
	return walk_wide(cpu, linear, 2, pdpte, beyond_physical(cpu, 63), w);
}

/*
 * Sets A on the way and, for writes, D in the last entry. False: an entry
 * changed under us, walk again.
 */
static bool mark(struct x86_cpu *cpu, struct walk *w, bool write)
{
	if (w->all & PTE_A && (!write || !w->count ||
			       w->step[w->count - 1].value & PTE_D))
		return true;
	for (unsigned int i = 0; i < w->count; i++) {
		struct step *s = &w->step[i];
		bool last = i + 1 == w->count;
		uint64_t want = s->value | PTE_A | (last && write ? PTE_D : 0);
		uint32_t old = (uint32_t)s->value;
		bool ok;

		if (want == s->value || !s->host)
			continue;
		if (w->narrow)
			ok = __atomic_compare_exchange_n(
				(uint32_t *)s->host, &old, (uint32_t)want,
				false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		else
			ok = __atomic_compare_exchange_n(
				(uint64_t *)s->host, &s->value, want, false,
				__ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		if (!ok)
			return false;
		s->value = want;
		memory_note_write(&cpu->vm->memory, s->at,
				  w->narrow ? 4 : 8);
	}
	return true;
}

/* The page's protection key; 0 as well where there are none. */
static unsigned int key_of(const struct x86_cpu *cpu, const struct walk *w)
{
	const struct x86_state *s = &cpu->state;

	if (!w->size || !(s->efer & X86_EFER_LMA) ||
	    !(s->cr4 & (w->all & PTE_U ? X86_CR4_PKE : X86_CR4_PKS)))
		return 0;
	return w->step[w->count - 1].value >> PTE_KEY_SHIFT & 15;
}

/*
 * What the page's protection key forbids (SDM vol. 3, 4.6.2). It binds user
 * and supervisor accesses alike, fetches never.
 */
static unsigned int key_denies(const struct x86_cpu *cpu,
			       enum x86_tlb_kind kind, const struct walk *w)
{
	const struct x86_state *s = &cpu->state;
	bool user = w->all & PTE_U;
	uint32_t keys = user ? x86_pkru(s) : (uint32_t)s->pkrs;

	if (!w->size || !(s->efer & X86_EFER_LMA) ||
	    !(s->cr4 & (user ? X86_CR4_PKE : X86_CR4_PKS)))
		return 0;
	keys >>= 2 * key_of(cpu, w);
	if (keys & 1)
		return MMU_READ | MMU_WRITE;
	if (keys & 2 && (kind == X86_TLB_USER || s->cr0 & X86_CR0_WP))
		return MMU_WRITE;
	return 0;
}

/* What a walk lets accesses through one of the TLB's tables do. */
static unsigned int rights(const struct x86_cpu *cpu, enum x86_tlb_kind kind,
			   const struct walk *w)
{
	const struct x86_state *s = &cpu->state;
	bool user = w->all & PTE_U;
	unsigned int r = 0;

	if (!w->size)
		return MMU_READ | MMU_WRITE | MMU_EXEC;
	if (kind == X86_TLB_USER) {
		if (!user)
			return 0;
		r = MMU_READ | MMU_EXEC;
		if (w->all & PTE_W)
			r |= MMU_WRITE;
	} else {
		if (!user || !(s->cr4 & X86_CR4_SMEP))
			r |= MMU_EXEC;
		if (!user || !(s->cr4 & X86_CR4_SMAP) ||
		    kind == X86_TLB_SUPER_AC) {
			r |= MMU_READ;
			if (w->all & PTE_W || !(s->cr0 & X86_CR0_WP))
				r |= MMU_WRITE;
		}
	}
	/* Without NXE a set bit 63 was found reserved before. */
	if (w->any & PTE_NX)
		r &= ~MMU_EXEC;
	return r & ~key_denies(cpu, kind, w);
}

static unsigned int wanted(enum x86_access access)
{
	if (access & X86_WRITE)
		return MMU_WRITE;
	return access & X86_EXEC ? MMU_EXEC : MMU_READ;
}

static enum x86_result page_fault(struct x86_cpu *cpu, uint64_t linear,
				  enum x86_access access,
				  enum x86_tlb_kind kind, enum walk_end why,
				  const struct walk *w)
{
	const struct x86_state *s = &cpu->state;
	uint32_t error = 0;

	/* No entry for the page outlives this. */
	x86_tlb_forget_last(cpu);
	if (why == WALK_DONE && key_denies(cpu, kind, w) & wanted(access))
		error |= X86_PF_PK;
	if (why != WALK_ABSENT)
		error |= X86_PF_P;
	if (why == WALK_RESERVED)
		error |= X86_PF_R;
	if (access & X86_WRITE)
		error |= X86_PF_W;
	if (kind == X86_TLB_USER)
		error |= X86_PF_U;
	if (access & X86_EXEC &&
	    (s->cr4 & X86_CR4_SMEP ||
	     (s->cr4 & X86_CR4_PAE && s->efer & X86_EFER_NXE)))
		error |= X86_PF_I;
	return x86_raise_page(cpu, linear, error);
}

/* True when DR7 or a debugger outside watches data in the page. */
static bool watched(const struct x86_cpu *cpu, uint64_t page)
{
	uint64_t dr7 = cpu->state.dr[7];

	if (cpu->debug && (x86_debug_watch(cpu->debug, page, PAGE_SIZE, true) ||
			   x86_debug_watch(cpu->debug, page, PAGE_SIZE, false)))
		return true;

	for (unsigned int i = 0; i < 4; i++)
		if (dr7 >> (2 * i) & 3 && dr7 >> (16 + 4 * i) & 1 &&
		    (cpu->state.dr[i] & PAGE_MASK) == page)
			return true;
	return false;
}

/* Remembers the range that large pages were seen in, for INVLPG. */
static void note_large(struct x86_cpu *cpu, uint64_t linear, uint64_t size,
		       bool global)
{
	uint64_t first = linear & ~(size - 1), last = first + (size - 1);
	struct x86_large *l = &cpu->large[linear >> 63];

	if (!l->size || first < l->first)
		l->first = first;
	if (!l->size || last > l->last)
		l->last = last;
	if (size > l->size)
		l->size = size;
	l->global |= global;
}

static bool is_global(const struct x86_cpu *cpu, const struct walk *w)
{
	return w->size && cpu->state.cr4 & X86_CR4_PGE &&
	       w->step[w->count - 1].value & PTE_G;
}

/*
 * Enters a page into one table. `evict`: in another page's place, too; what
 * is known of the page itself always changes.
 */
static void enter(struct x86_tlb_table *t, uint64_t linear, uintptr_t addend,
		  bool allowed, bool global, bool keyed, bool evict)
{
	unsigned int i = x86_tlb_index(linear);
	uint64_t tag = x86_tlb_tag(linear), none = x86_tlb_none(i);
	uint64_t bit = (uint64_t)1 << (i % 64);
	struct x86_tlb_entry *e = &t->entry[i];

	if (!allowed) {
		if (e->tag == tag)
			e->tag = none;
		return;
	}
	if (e->tag != tag && e->tag != none && !evict)
		return;
	e->tag = tag;
	e->addend = addend;
	t->filled[i / 64] |= bit;
	t->global[i / 64] = (t->global[i / 64] & ~bit) | (global ? bit : 0);
	t->keyed[i / 64] = (t->keyed[i / 64] & ~bit) | (keyed ? bit : 0);
	t->used = true;
}

static void fill(struct x86_cpu *cpu, enum x86_tlb_kind kind,
		 enum x86_access access, uint64_t linear, const struct walk *w,
		 unsigned int may, const struct memory_region *r)
{
	static const uint8_t right[X86_TLB_ACCESSES] = { MMU_READ, MMU_WRITE,
							 MMU_EXEC };
	uintptr_t addend = (uintptr_t)r->host + (w->gpa - r->base) - linear;
	uint64_t page = linear & PAGE_MASK;
	bool global = is_global(cpu, w), keyed = key_of(cpu, w);

	/* D still has to be set by a write; the last step tells. */
	if (w->size && !(w->step[w->count - 1].value & PTE_D))
		may &= ~MMU_WRITE;
	if (r->kind != MEMORY_RAM || mmu_page_flags(cpu, r, w->gpa))
		may &= ~MMU_WRITE;
	if ((cpu->state.dr[7] & 0xff || cpu->debug) && watched(cpu, page))
		may &= ~(MMU_READ | MMU_WRITE);

	for (unsigned int n = 0; n < X86_TLB_ACCESSES; n++)
		enter(&cpu->tlbs[kind].table[n], linear, addend,
		      may & right[n], global, keyed,
		      wanted(access) == right[n]);
	if (w->size > PAGE_SIZE)
		note_large(cpu, linear, w->size, global);
}

/* True for the page of the xAPIC's registers. */
static bool is_apic(const struct x86_cpu *cpu, uint64_t addr)
{
	uint64_t base = cpu->state.apic_base;

	return cpu->apic.ops &&
	       (base & (X86_APIC_BASE_ENABLE | X86_APIC_BASE_X2APIC)) ==
		       X86_APIC_BASE_ENABLE &&
	       ((addr ^ base) & PAGE_MASK) == 0;
}

/*
 * From the walk of a page to that of one beside it, within the same large
 * page or the same table. False: its rights or marks differ.
 */
static bool step_aside(struct walk *w, int64_t pages)
{
	const struct step *last = &w->step[w->count - 1];
	uint64_t value;

	if (w->size > PAGE_SIZE) {
		w->gpa += (uint64_t)pages << PAGE_SHIFT;
		return true;
	}
	if (w->narrow || !last->host)
		return false;
	value = __atomic_load_n((uint64_t *)last->host + pages,
				__ATOMIC_ACQUIRE);
	w->gpa = (value & PTE_ADDRESS) | (w->gpa & ~PAGE_MASK);
	return !((value ^ last->value) & ~PTE_ADDRESS);
}

/*
 * Who walks from page to page, up or down, has the next ones entered at once:
 * those whose entries are marked as this one's now is. A processor may know
 * any translation that is marked as accessed.
 */
static void fill_ahead(struct x86_cpu *cpu, enum x86_tlb_kind kind,
		       enum x86_access access, uint64_t linear,
		       const struct walk *w, unsigned int may)
{
	uint64_t page = linear >> PAGE_SHIFT;
	uint64_t *last = &cpu->walked[access & X86_WRITE ? 1 : 0];
	int64_t by = (int64_t)(page - *last);

	*last = page;
	if ((by != 1 && by != -1) || !w->size)
		return;
	for (int64_t n = by; n != by * (PAGES_AHEAD + 1); n += by) {
		uint64_t next = page + (uint64_t)n;
		const struct memory_region *r;
		struct walk beside = *w;

		if ((next ^ page) >> 9 || !step_aside(&beside, n) ||
		    is_apic(cpu, beside.gpa))
			break;
		r = mmu_region(cpu, beside.gpa);
		if (!r)
			break;
		fill(cpu, kind, access, next << PAGE_SHIFT |
		     (linear & ~PAGE_MASK), &beside, may, r);
		*last = next;
	}
}

static enum x86_result walk_page(struct x86_cpu *cpu, uint64_t linear,
				 enum x86_access access, struct mmu_page *page)
{
	enum x86_tlb_kind kind = access & X86_SYSTEM ?
					 X86_TLB_SUPER :
					 (enum x86_tlb_kind)(cpu->tlb -
							     cpu->tlbs);
	const struct memory_region *r;
	enum walk_end end;
	struct walk w;
	unsigned int may;

	if (cpu->mode & X86_MODE_LONG &&
	    (uint64_t)((int64_t)(linear << 16) >> 16) != linear)
		return x86_raise_error(cpu, X86_GP, 0);
	do {
		end = walk(cpu, linear, &w);
		if (end != WALK_DONE)
			return page_fault(cpu, linear, access, kind, end, &w);
		may = rights(cpu, kind, &w);
		if (!(may & wanted(access)))
			return page_fault(cpu, linear, access, kind, end, &w);
	} while (!mark(cpu, &w, access & X86_WRITE));

	page->gpa = w.gpa;
	page->host = NULL;
	page->region = NULL;
	page->apic = is_apic(cpu, w.gpa);
	if (page->apic)
		return X86_NEXT;
	r = mmu_region(cpu, w.gpa);
	if (!r)
		return X86_NEXT;
	page->region = r;
	if (r->kind == MEMORY_RAM || !(access & X86_WRITE))
		page->host = r->host + (w.gpa - r->base);
	fill(cpu, kind, access, linear, &w, may, r);
	if (!(access & (X86_EXEC | X86_SYSTEM)))
		fill_ahead(cpu, kind, access, linear, &w, may);
	return X86_NEXT;
}

enum x86_result mmu_walk(struct x86_cpu *cpu, uint64_t linear,
			 enum x86_access access, struct mmu_page *page)
{
	uint8_t work = cpu->work;
	enum x86_result r;

	cpu->work = X86_WORK_WALK;
	cpu->stat_walk++;
	r = walk_page(cpu, linear, access, page);
	cpu->work = work;
	return r;
}

bool x86_translate(struct x86_cpu *cpu, gva_t linear, gpa_t *address)
{
	struct walk w;

	if (walk(cpu, linear.v, &w) != WALK_DONE)
		return false;
	*address = gpa(w.gpa);
	return true;
}

bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3)
{
	const struct x86_state *s = &cpu->state;
	/* APM vol. 2, 5.2.3: bits 1, 2 and 5-8, and beyond the address. */
	uint64_t reserved = 0x1e6 | (0 - ((uint64_t)1
					  << cpu->cpuid->physical_bits));
	struct walk w = { .narrow = false };
	uint64_t pdpte[4];

	if (!(s->cr0 & X86_CR0_PG) || !(s->cr4 & X86_CR4_PAE) ||
	    s->efer & X86_EFER_LMA)
		return true;
	for (unsigned int i = 0; i < 4; i++) {
		pdpte[i] = read_entry(cpu, &w, (cr3 & 0xffffffe0u) + i * 8);
		if (pdpte[i] & PTE_P && pdpte[i] & reserved)
			return false;
	}
	memcpy(cpu->pdpte, pdpte, sizeof(pdpte));
	return true;
}

bool x86_load_cr3(struct x86_cpu *cpu, uint64_t value)
{
	struct x86_state *s = &cpu->state;
	bool keep = false;

	if (s->efer & X86_EFER_LMA) {
		if (s->cr4 & X86_CR4_PCIDE) {
			keep = value >> 63;
			value &= ~((uint64_t)1 << 63);
		}
		if (value & (0 - ((uint64_t)1 << cpu->cpuid->physical_bits)))
			return false;
	} else if (!x86_load_pdptes(cpu, value)) {
		return false;
	}
	keep = keep && value == s->cr3;
	s->cr3 = value;
	if (!keep)
		x86_tlb_flush_local(cpu);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory accesses that the inline TLB paths of access.h leave: TLB misses,
 * page-straddling, MMIO, ROM, the xAPIC's page, alignment checks, data
 * breakpoints, and translation for instruction fetch. Intel SDM vol. 3, 4,
 * 8.1, 17.2.
 */
#include "x86/access.h"

#include "vm/memory_view.h"
#include "x86/mmu.h"
#include "x86/segment.h"

/* An access cut at its page boundary. */
struct pieces {
	struct mmu_page page[2];
	unsigned int first; /* bytes in page[0]; the rest lies in page[1] */
};

/*
 * Outside 64-bit code linear addresses have 32 bits, but for system
 * structures in long mode.
 */
static uint64_t wrap(const struct x86_cpu *cpu, uint64_t linear,
		     enum x86_access access)
{
	if (cpu->mode & X86_MODE_CODE64 ||
	    (access & X86_SYSTEM && cpu->mode & X86_MODE_LONG))
		return linear;
	return (uint32_t)linear;
}

/* Both ends of an access; looked at before any paging. */
static bool canonical(const struct x86_cpu *cpu, uint64_t linear,
		      unsigned int size, enum x86_access access)
{
	return x86_is_canonical(wrap(cpu, linear, access)) &&
	       x86_is_canonical(wrap(cpu, linear + size - 1, access));
}

static bool misaligned(const struct x86_cpu *cpu, uint64_t linear,
		       unsigned int size, enum x86_access access)
{
	return cpu->mode & X86_MODE_AC && !(access & X86_SYSTEM) &&
	       (size == 2 || size == 4 || size == 8) && linear & (size - 1);
}

/* Finds the page of an access that does not straddle. */
static enum x86_result locate(struct x86_cpu *cpu, uint64_t linear,
			      enum x86_access access, struct mmu_page *page)
{
	const struct x86_tlb *tlb =
		access & X86_SYSTEM ? &cpu->tlbs[X86_TLB_SUPER] : cpu->tlb;
	const struct x86_tlb_entry *e =
		&tlb->table[access & X86_WRITE ? X86_TLB_WRITE : X86_TLB_READ]
			 .entry[x86_tlb_index(linear)];

	if (x86_tlb_hit(e->tag, linear, 1)) {
		page->host = (uint8_t *)(e->addend + linear);
		page->region = NULL;
		page->apic = false;
		return X86_NEXT;
	}
	return mmu_walk(cpu, linear, access, page);
}

static enum x86_result cut(struct x86_cpu *cpu, uint64_t linear,
			   unsigned int size, enum x86_access access,
			   struct pieces *p)
{
	unsigned int room = PAGE_SIZE - (unsigned int)(linear & 0xfff);
	enum x86_result r;

	if (__builtin_expect(cpu->debug && cpu->in_block, 0) &&
	    !(access & X86_SYSTEM) &&
	    x86_debug_watch(cpu->debug, linear, size, access & X86_WRITE))
		return x86_raise(cpu, X86_AGAIN);
	linear = wrap(cpu, linear, access);
	if (!canonical(cpu, linear, size, access))
		return x86_raise_error(cpu, X86_GP, 0);
	if (misaligned(cpu, linear, size, access))
		return x86_raise_error(cpu, X86_AC, 0);
	p->first = size < room ? size : room;
	r = locate(cpu, linear, access, &p->page[0]);
	if (r || p->first == size)
		return r;
	cpu->stat_straddle++;
	return locate(cpu, wrap(cpu, linear + room, access), access,
		      &p->page[1]);
}

/* True when somebody may watch data. */
static bool watching(const struct x86_cpu *cpu)
{
	return cpu->state.dr[7] & 0xff || cpu->debug;
}

/* Notes which data breakpoints the access hits (SDM vol. 3, 17.2.5). */
static void watch(struct x86_cpu *cpu, uint64_t linear, unsigned int size,
		  enum x86_access access)
{
	static const uint8_t length[4] = { 1, 2, 8, 4 };
	uint64_t dr7 = cpu->state.dr[7];

	if (access & X86_SYSTEM)
		return;
	if (cpu->debug && !cpu->watch_hit)
		cpu->watch_hit = x86_debug_watch(cpu->debug, linear, size,
						 access & X86_WRITE);
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int kind = dr7 >> (16 + 4 * i) & 3;
		uint64_t len = length[dr7 >> (18 + 4 * i) & 3];
		uint64_t at = cpu->state.dr[i] & ~(len - 1);

		if (!(dr7 >> (2 * i) & 3))
			continue;
		if (kind != 3 && !(kind == 1 && access & X86_WRITE))
			continue;
		if (linear < at + len && at < linear + size)
			cpu->debug_hits |= (uint8_t)(1u << i);
	}
}

/*
 * Copies that stay whole for other processors where the guest's would: one
 * host access for sizes 1, 2, 4 and 8.
 */
static void copy(void *to, const void *from, unsigned int size)
{
	switch (size) {
	case 1:
		__builtin_memcpy(to, from, 1);
		break;
	case 2:
		__builtin_memcpy(to, from, 2);
		break;
	case 4:
		__builtin_memcpy(to, from, 4);
		break;
	case 8:
		__builtin_memcpy(to, from, 8);
		break;
	default:
		memcpy(to, from, size);
		break;
	}
}

/* Size of the next bus access of an MMIO transfer with `left` bytes to go. */
static unsigned int bus_size(unsigned int left)
{
	return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static uint64_t apic_read(struct x86_cpu *cpu, uint32_t offset,
			  unsigned int size)
{
	unsigned int shift = (offset & 3) * 8;
	uint64_t v = cpu->apic.ops->read(cpu->apic.object, offset & ~3u);

	/* Only aligned 32-bit accesses are defined; nothing lies between. */
	v >>= shift;
	return size < 8 ? v & (((uint64_t)1 << (size * 8)) - 1) : v;
}

static void mmio_read(struct x86_cpu *cpu, const struct mmu_page *p,
		      uint8_t *buf, unsigned int size)
{
	unsigned int n;

	cpu->work = X86_WORK_DEVICE;
	for (unsigned int done = 0; done < size; done += n) {
		uint64_t at = p->gpa + done, v;

		n = bus_size(size - done);
		if (p->apic)
			v = apic_read(cpu, at & 0xfff, n);
		else
			v = bus_read(&cpu->vm->mmio, at, n);
		memcpy(buf + done, &v, n);
		cpu->stat_mmio++;
	}
	cpu->work = X86_WORK_RUN;
}

static void mmio_write_bus(struct x86_cpu *cpu, uint64_t at, unsigned int size,
			   uint64_t value)
{
	bus_write(&cpu->vm->mmio, at, size, value);
	if (!cpu->split)
		memory_settle(&cpu->vm->memory, cpu);
}

static void mmio_write(struct x86_cpu *cpu, const struct mmu_page *p,
		       const uint8_t *buf, unsigned int size)
{
	unsigned int n;

	cpu->work = X86_WORK_DEVICE;
	for (unsigned int done = 0; done < size; done += n) {
		uint64_t at = p->gpa + done, v = 0;

		n = bus_size(size - done);
		memcpy(&v, buf + done, n);
		if (!p->apic)
			mmio_write_bus(cpu, at, n, v);
		else if (n >= 4 && !(at & 3))
			cpu->apic.ops->write(cpu->apic.object, at & 0xfff,
					     (uint32_t)v);
		cpu->stat_mmio++;
	}
	cpu->work = X86_WORK_RUN;
}

static void take(struct x86_cpu *cpu, const struct mmu_page *p, uint8_t *buf,
		 unsigned int size)
{
	if (p->host)
		copy(buf, p->host, size);
	else
		mmio_read(cpu, p, buf, size);
}

/* Tells whoever wants to know of a write to memory. */
static void note(struct x86_cpu *cpu, const struct mmu_page *p,
		 unsigned int size)
{
	if (mmu_page_flags(cpu, p->region, p->gpa) & MEM_PAGE_CODE)
		cpu->stat_code_write++;
	/* By the region: a view may be elsewhere by now. */
	memory_note_pages(&cpu->vm->memory,
			  p->region->first_page +
				  ((p->gpa - p->region->base) >> PAGE_SHIFT),
			  1);
	if (p->gpa >> PAGE_SHIFT == cpu->block_page && cpu->block_written)
		cpu->block_written(cpu);
}

static void put(struct x86_cpu *cpu, const struct mmu_page *p,
		const uint8_t *buf, unsigned int size)
{
	if (p->host) {
		copy(p->host, buf, size);
		/* A TLB hit says that nobody wants to know. */
		if (p->region)
			note(cpu, p, size);
	} else if (!p->region) {
		mmio_write(cpu, p, buf, size);
	} else if (p->region->under) {
		memory_write(&cpu->vm->memory, gpa(p->gpa), buf, size);
	}
}

enum x86_result x86_read_slow(struct x86_cpu *cpu, uint64_t linear, void *buf,
			      unsigned int size, enum x86_access access)
{
	struct pieces p;
	enum x86_result r = cut(cpu, linear, size, access, &p);

	if (r)
		return r;
	take(cpu, &p.page[0], buf, p.first);
	if (p.first < size)
		take(cpu, &p.page[1], (uint8_t *)buf + p.first,
		     size - p.first);
	if (watching(cpu))
		watch(cpu, linear, size, access);
	return X86_NEXT;
}

enum x86_result x86_write_slow(struct x86_cpu *cpu, uint64_t linear,
			       const void *buf, unsigned int size,
			       enum x86_access access)
{
	struct pieces p;
	enum x86_result r = cut(cpu, linear, size, access, &p);

	if (r)
		return r;
	put(cpu, &p.page[0], buf, p.first);
	if (p.first < size)
		put(cpu, &p.page[1], (const uint8_t *)buf + p.first,
		    size - p.first);
	if (watching(cpu))
		watch(cpu, linear, size, access);
	return X86_NEXT;
}

enum x86_result x86_pointer(struct x86_cpu *cpu, uint64_t linear,
			    unsigned int size, enum x86_access access,
			    void **host)
{
	struct pieces p;
	enum x86_result r = cut(cpu, linear, size, access, &p);

	*host = NULL;
	if (r || p.first < size || !p.page[0].host)
		return r;
	*host = p.page[0].host;
	if (access & X86_WRITE && p.page[0].region) {
		/* The write that was noted before is done by now. */
		if (cpu->noted_early)
			memory_note_host(&cpu->vm->memory, cpu->noted_early,
					 1);
		note(cpu, &p.page[0], size);
		cpu->noted_early = p.page[0].host;
	}
	if (watching(cpu))
		watch(cpu, linear, size, access);
	return X86_NEXT;
}

enum x86_result x86_probe(struct x86_cpu *cpu, uint64_t linear,
			  unsigned int size, enum x86_access access)
{
	uint64_t end = linear + size;
	struct mmu_page page;
	enum x86_result r;

	if (size && !canonical(cpu, linear, size, access))
		return x86_raise_error(cpu, X86_GP, 0);
	if (misaligned(cpu, linear, size, access))
		return x86_raise_error(cpu, X86_AC, 0);
	while (linear != end) {
		uint64_t room = PAGE_SIZE - (linear & 0xfff);

		r = locate(cpu, wrap(cpu, linear, access), access, &page);
		if (r)
			return r;
		linear += room < end - linear ? room : end - linear;
	}
	return X86_NEXT;
}

/*
 * The guest-physical address behind a host pointer into guest memory. Of ROM
 * that is seen twice (memory_cover.h) that where it is itself.
 */
static bool host_to_gpa(struct x86_cpu *cpu, const uint8_t *host,
			gpa_t *address)
{
	const struct memory *mem = &cpu->vm->memory;

	for (unsigned int i = 0; i < mem->region_count; i++) {
		const struct memory_region *r = &mem->region[i];
		uint64_t offset = (uintptr_t)host - (uintptr_t)r->host;

		if (offset < r->size) {
			*address = gpa(r->base + offset);
			return true;
		}
	}
	for (unsigned int i = 0; i < mem->view_count; i++) {
		const struct memory_region *r = atomic_load(&mem->view[i]);

		if (r && (uintptr_t)host - (uintptr_t)r->host < r->size) {
			*address = gpa(r->base + ((uintptr_t)host -
						  (uintptr_t)r->host));
			return true;
		}
	}
	return false;
}

enum x86_result x86_fetch_translate(struct x86_cpu *cpu, uint64_t linear,
				    gpa_t *address)
{
	const struct x86_tlb_entry *e;
	struct mmu_page page;
	enum x86_result r;

	linear = wrap(cpu, linear, X86_EXEC);
	e = x86_tlb_at(cpu, linear, X86_TLB_EXEC);
	if (x86_tlb_hit(e->tag, linear, 1) &&
	    host_to_gpa(cpu, (const uint8_t *)(e->addend + linear), address))
		return X86_NEXT;
	r = mmu_walk(cpu, linear, X86_EXEC, &page);
	if (!r)
		*address = gpa(page.gpa);
	return r;
}

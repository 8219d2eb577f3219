/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upkeep of the software TLB: emptying it, dropping single pages, taking
 * write permission back. Each table keeps one bit an entry that may hold
 * tags, so that the cost follows what was filled since the last flush.
 */
#include "x86/access.h"

#define WORDS (X86_TLB_SIZE / 64)

#define TABLES (X86_TLB_KINDS * X86_TLB_ACCESSES)

static struct x86_tlb_table *table(struct x86_cpu *cpu, unsigned int n)
{
	return &cpu->tlbs[n / X86_TLB_ACCESSES].table[n % X86_TLB_ACCESSES];
}

static void clear_tag(struct x86_tlb_table *t, unsigned int i)
{
	t->entry[i].tag = x86_tlb_none(i);
}

void x86_tlb_forget_last(struct x86_cpu *cpu)
{
	struct x86_last_entry *e = &cpu->last.entry[0][0];

	if (!cpu->last.used)
		return;
	cpu->last.used = 0;
	for (unsigned int i = 0; i < 2 * X86_LAST_SIZE; i++)
		e[i].tag = cpu->last.none;
}

/* Bits 63 and 62 differ. */
static void init_last(struct x86_cpu *cpu)
{
	uint64_t page;

	host_random(&page, sizeof(page));
	page = ((page & PAGE_MASK) >> 2 | (uint64_t)1 << 62) & PAGE_MASK;
	cpu->last.none = 0 - page;
	cpu->last.used = 1;
	x86_tlb_forget_last(cpu);
}

void x86_tlb_init(struct x86_cpu *cpu)
{
	init_last(cpu);
	for (unsigned int n = 0; n < TABLES; n++) {
		struct x86_tlb_table *t = table(cpu, n);

		for (unsigned int i = 0; i < X86_TLB_SIZE; i++)
			clear_tag(t, i);
		memset(t->filled, 0, sizeof(t->filled));
		memset(t->global, 0, sizeof(t->global));
		memset(t->keyed, 0, sizeof(t->keyed));
		t->used = false;
	}
	memset(cpu->large, 0, sizeof(cpu->large));
}

/* Empties a table, but for entries with a bit in `global` when `keep`. */
static void empty(struct x86_tlb_table *t, bool keep)
{
	uint64_t left = 0;

	for (unsigned int w = 0; w < WORDS; w++) {
		uint64_t kept = keep ? t->global[w] & t->filled[w] : 0;
		uint64_t bits = t->filled[w] & ~kept;

		for (; bits; bits &= bits - 1)
			clear_tag(t, w * 64 + (unsigned int)
					       __builtin_ctzll(bits));
		t->filled[w] = t->global[w] = kept;
		left |= kept;
	}
	t->used = left;
}

static void flush(struct x86_cpu *cpu, bool all)
{
	x86_tlb_forget_last(cpu);
	for (unsigned int n = 0; n < TABLES; n++)
		if (table(cpu, n)->used)
			empty(table(cpu, n), !all);
	for (unsigned int half = 0; half < 2; half++)
		if (all || !cpu->large[half].global)
			cpu->large[half].size = 0;
	if (all)
		cpu->large[0].global = cpu->large[1].global = false;
	if (cpu->tlb_flushed)
		cpu->tlb_flushed(cpu, all);
}

void x86_tlb_flush(struct x86_cpu *cpu)
{
	flush(cpu, true);
}

void x86_tlb_flush_local(struct x86_cpu *cpu)
{
	flush(cpu, false);
}

/* The page lies in [first, first + size); any page may be dropped, so that
 * of a tag that is not set may too. */
static bool lies_in(uint64_t tag, uint64_t first, uint64_t size)
{
	return 0 - tag - first < size;
}

/* Clears the entry's tag when it maps a page of [first, first + size). */
static void drop(struct x86_tlb_table *t, unsigned int i, uint64_t first,
		 uint64_t size)
{
	if (lies_in(t->entry[i].tag, first, size))
		clear_tag(t, i);
}

/* Drops what a large page at `first` may have left behind. */
static void drop_large(struct x86_cpu *cpu, uint64_t first, uint64_t size)
{
	uint64_t slots = size >> PAGE_SHIFT;
	unsigned int word, words;

	if (slots > X86_TLB_SIZE)
		slots = X86_TLB_SIZE;
	words = (unsigned int)slots / 64;
	word = x86_tlb_index(first) / 64;
	for (unsigned int n = 0; n < TABLES; n++) {
		struct x86_tlb_table *t = table(cpu, n);

		if (!t->used)
			continue;
		for (unsigned int w = word; w < word + words; w++) {
			uint64_t bits = t->filled[w];

			for (; bits; bits &= bits - 1)
				drop(t, w * 64 + (unsigned int)
						__builtin_ctzll(bits),
				     first, size);
		}
	}
}

void x86_tlb_flush_page(struct x86_cpu *cpu, uint64_t linear)
{
	unsigned int i = x86_tlb_index(linear);
	const struct x86_large *l = &cpu->large[linear >> 63];
	bool large = l->size && linear >= l->first && linear <= l->last;
	uint64_t size = large ? l->size : PAGE_SIZE;
	uint64_t first = linear & ~(size - 1);

	x86_tlb_forget_last(cpu);
	if (large)
		drop_large(cpu, first, size);
	else
		for (unsigned int n = 0; n < TABLES; n++)
			drop(table(cpu, n), i, first, size);
	if (cpu->page_flushed)
		cpu->page_flushed(cpu, first, size);
	else if (cpu->tlb_flushed)
		cpu->tlb_flushed(cpu, true);
}

/*
 * Takes tags of reads and writes from entries with a key, whatever the key.
 * That is seldom: without keys in use there are none. Fetches obey no key.
 */
static void drop_keyed(struct x86_cpu *cpu)
{
	uint64_t any = 0;

	x86_tlb_forget_last(cpu);
	for (unsigned int n = 0; n < TABLES; n++) {
		struct x86_tlb_table *t = table(cpu, n);

		if (!t->used || n % X86_TLB_ACCESSES == X86_TLB_EXEC)
			continue;
		for (unsigned int w = 0; w < WORDS; w++) {
			uint64_t bits = t->keyed[w] & t->filled[w];

			any |= bits;
			t->keyed[w] = 0;
			for (; bits; bits &= bits - 1)
				clear_tag(t, w * 64 + (unsigned int)
						      __builtin_ctzll(bits));
		}
	}
	if (any && cpu->tlb_flushed)
		cpu->tlb_flushed(cpu, true);
}

/* Rights of keys changed; `changed` has two bits a key. */
static void keys_changed(struct x86_cpu *cpu, uint32_t changed)
{
	if (changed & 3)
		x86_tlb_flush(cpu);
	else if (changed)
		drop_keyed(cpu);
}

void x86_set_pkru(struct x86_cpu *cpu, uint32_t value)
{
	uint32_t changed = value ^ x86_pkru(&cpu->state);

	memcpy(cpu->state.xsave + X86_XSAVE_PKRU, &value, sizeof(value));
	if (cpu->state.cr4 & X86_CR4_PKE)
		keys_changed(cpu, changed);
}

void x86_set_pkrs(struct x86_cpu *cpu, uint32_t value)
{
	uint32_t changed = value ^ (uint32_t)cpu->state.pkrs;

	cpu->state.pkrs = value;
	if (cpu->state.cr4 & X86_CR4_PKS)
		keys_changed(cpu, changed);
}

void x86_tlb_protect(struct x86_cpu *cpu, const uint8_t *host, uint64_t size)
{
	uintptr_t first = (uintptr_t)host & PAGE_MASK;

	x86_tlb_forget_last(cpu);
	for (unsigned int kind = 0; kind < X86_TLB_KINDS; kind++) {
		struct x86_tlb_table *t = &cpu->tlbs[kind].table[X86_TLB_WRITE];

		if (!t->used)
			continue;
		for (unsigned int w = 0; w < WORDS; w++) {
			uint64_t bits = t->filled[w];

			for (; bits; bits &= bits - 1) {
				unsigned int n = w * 64 + (unsigned int)
						 __builtin_ctzll(bits);
				struct x86_tlb_entry *e = &t->entry[n];

				if (!host || e->addend - e->tag - first < size)
					clear_tag(t, n);
			}
		}
	}
}

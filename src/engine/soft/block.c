/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of decoded basic blocks; its rules are in block.h.
 */
#include "engine/soft/block.h"
#include "engine/soft/soft.h"
#include "vm/bytes.h"
#include "vm/error.h"
#include "x86/access.h"

int block_cache_init(struct block_cache *cache, size_t arena_size)
{
	cache->arena = host_alloc(arena_size);
	cache->arena_size = arena_size;
	cache->translation = 1;
	return cache->arena ? 0 : -VM_ENOMEM;
}

void block_cache_fini(struct block_cache *cache)
{
	host_free(cache->arena);
}

void block_forget_linear(struct block_cache *cache)
{
	cache->translation++;
}

void block_cache_flush(struct block_cache *cache)
{
	memset(cache->jump, 0, sizeof(cache->jump));
	memset(cache->hash, 0, sizeof(cache->hash));
	cache->arena_used = 0;
	cache->running = NULL;
	cache->flushes++;
}

/* The handler of a row's end: the next block begins here. */
static enum x86_result leave_block(struct x86_cpu *cpu,
				   const struct x86_insn *insn)
{
	uint64_t rip = cpu->block_rip + insn->offset;

	cpu->state.rip = cpu->mode & X86_MODE_CODE64 ? rip : (uint32_t)rip;
	return X86_BRANCH;
}

void block_cut(struct block_cache *cache)
{
	struct block *b = cache->running;

	if (!b)
		return;
	for (unsigned int i = 0; i < b->count; i++)
		b->insn[i].handler = leave_block;
	cache->running = NULL;
}

static unsigned int hash_of(uint64_t address, uint32_t mode)
{
	uint64_t h = (address ^ (uint64_t)mode << 20) * 0x9e3779b97f4a7c15u;

	return (unsigned int)(h >> 40) & (BLOCK_HASH_SIZE - 1);
}

static struct block *hash_find(struct block_cache *cache, uint64_t address,
			       uint64_t linear, uint32_t mode)
{
	struct block *b = cache->hash[hash_of(address, mode)];

	for (; b; b = b->next)
		if (b->address == address && b->linear == linear &&
		    b->mode == mode && block_is_current(b))
			return b;
	return NULL;
}

/* Room for one block of the largest size, flushing when there is none. */
static struct block *reserve(struct soft_cpu *soft)
{
	struct block_cache *cache = &soft->cache;
	size_t most = sizeof(struct block) +
		      (BLOCK_INSNS_MAX + 1) * sizeof(struct x86_insn);

	if (cache->arena_size - cache->arena_used < most)
		soft_flush(soft);
	return (struct block *)(cache->arena + cache->arena_used);
}

/* Decodes instructions from `bytes` (up to the page's end) into the row. */
static void decode_row(struct x86_cpu *cpu, struct block *b,
		       const uint8_t *bytes, unsigned int size)
{
	unsigned int at = 0;
	bool end = false;

	b->count = 0;
	while (!end && b->count < BLOCK_INSNS_MAX &&
	       at + X86_INSN_MAX < UINT8_MAX) {
		struct x86_insn *insn = &b->insn[b->count];

		if (x86_decode(insn, bytes + at, size - at, cpu->mode) <= 0)
			break;
		insn->offset = (uint8_t)at;
		x86_bind(cpu, insn);
		end = x86_ends_block(insn);
		at += insn->length;
		b->count++;
	}
	b->bytes = (uint16_t)at;
	b->insn[b->count] = (struct x86_insn){
		.handler = leave_block,
		.offset = (uint8_t)at,
	};
}

/* Decodes and keeps the block at `address`; NULL: it cannot be kept. */
static struct block *build(struct soft_cpu *soft, struct x86_cpu *cpu,
			   gpa_t address, uint64_t linear)
{
	struct block_cache *cache = &soft->cache;
	struct memory *mem = &cpu->vm->memory;
	unsigned int size = PAGE_SIZE - (unsigned int)(address.v & 0xfff);
	const uint8_t *host = memory_for_read(mem, address, size);
	int64_t page = memory_page_index(mem, address);
	struct block *b, **chain;

	if (!host || page < 0)
		return NULL;
	if (!(atomic_load(&mem->page_flags[page]) & MEM_PAGE_CODE))
		soft_share_code(soft, (uint64_t)page, host);
	b = reserve(soft);
	b->address = address.v;
	b->linear = linear;
	b->code = NULL;
	b->heat = 0;
	b->mode = cpu->mode;
	b->page_generation = &soft->soft->generation[page];
	b->generation = atomic_load_explicit(b->page_generation,
					     memory_order_acquire);
	decode_row(cpu, b, host, size);
	if (!b->count)
		return NULL;
	chain = &cache->hash[hash_of(address.v, cpu->mode)];
	b->next = *chain;
	*chain = b;
	cache->arena_used +=
		sizeof(*b) + (b->count + 1u) * sizeof(struct x86_insn);
	cache->decoded += b->count;
	return b;
}

/* Outside 64-bit code a segment may end, and linear addresses wrap. */
static bool beyond_limit(const struct x86_cpu *cpu, const struct block *b)
{
	return !(cpu->mode & (X86_MODE_CODE64 | X86_MODE_FLAT)) &&
	       cpu->state.rip + b->bytes - 1 >
		       cpu->state.seg[X86_CS].limit;
}

enum x86_result block_find(struct soft_cpu *soft, struct x86_cpu *cpu,
			   struct block **block)
{
	struct block_cache *cache = &soft->cache;
	uint64_t linear = block_linear(cpu);
	struct block_jump *j = &cache->jump[block_slot(linear)];
	enum x86_result r;
	struct block *b;
	gpa_t address;

	*block = NULL;
	if (beyond_limit(cpu, &(struct block){ .bytes = 1 }))
		return X86_NEXT; /* x86_step() raises the fault */
	r = x86_fetch_translate(cpu, linear, &address);
	if (r)
		return r;
	b = hash_find(cache, address.v, linear, cpu->mode);
	if (!b)
		b = build(soft, cpu, address, linear);
	if (!b || beyond_limit(cpu, b))
		return X86_NEXT;
	/* Segments with limits: another base may follow; look up each time. */
	if (cpu->mode & (X86_MODE_CODE64 | X86_MODE_FLAT)) {
		j->linear = linear;
		j->key = block_key(cache, cpu);
		j->block = b;
	}
	*block = b;
	return X86_NEXT;
}

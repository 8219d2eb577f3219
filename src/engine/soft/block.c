/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of decoded basic blocks; its rules are in block.h.
 */
#include "engine/soft/block.h"
#include "engine/soft/soft.h"
#include "vm/bytes.h"
#include "vm/error.h"
#include "x86/access.h"

int block_cache_init(struct block_cache *cache, size_t nursery, size_t kept,
		     size_t room)
{
	cache->nursery = (struct block_arena){
		.base = host_alloc(nursery),
		.size = nursery,
	};
	cache->kept = (struct block_arena){
		.base = host_alloc(kept),
		.size = kept,
	};
	block_forget_linear(cache);
	if (cache->nursery.base && cache->kept.base &&
	    !block_table_init(&cache->table, room))
		return 0;
	block_cache_fini(cache);
	return -VM_ENOMEM;
}

void block_cache_fini(struct block_cache *cache)
{
	host_free(cache->nursery.base);
	host_free(cache->kept.base);
	block_table_fini(&cache->table);
}

void block_cache_grow(struct block_cache *cache, size_t room)
{
	block_table_grow(&cache->table, room);
}

static void forget(struct block_cache *cache, enum block_side side)
{
	cache->translation[side] = ++cache->translations;
	memset(cache->pages[side], 0, sizeof(cache->pages[side]));
	if (side == BLOCK_SUPER)
		cache->local_super = false;
}

void block_forget_linear(struct block_cache *cache)
{
	forget(cache, BLOCK_SUPER);
	forget(cache, BLOCK_USER);
}

void block_forget_local(struct block_cache *cache)
{
	if (cache->local_super)
		forget(cache, BLOCK_SUPER);
	forget(cache, BLOCK_USER);
}

/* Which bit of `pages` stands for the page of a linear address. */
static unsigned int page_bit(uint64_t linear)
{
	uint64_t page = linear >> PAGE_SHIFT;

	return (unsigned int)(page ^ page >> 13) & (BLOCK_PAGES_SIZE - 1);
}

static bool speaks_of(const struct block_cache *cache, enum block_side side,
		      uint64_t first, uint64_t size)
{
	const uint64_t *pages = cache->pages[side][first >> 63];

	if (size > BLOCK_PAGES_SIZE / 64 * PAGE_SIZE)
		return true;
	for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
		unsigned int bit = page_bit(first + at);

		if (pages[bit / 64] >> (bit % 64) & 1)
			return true;
	}
	return false;
}

void block_forget_pages(struct block_cache *cache, uint64_t first,
			uint64_t size)
{
	for (unsigned int side = 0; side < BLOCK_SIDES; side++)
		if (speaks_of(cache, side, first, size))
			forget(cache, side);
}

/* Times interpreted, of which all but a few count once it was rewritten. */
static uint8_t *heat_of(struct block_cache *cache, uint64_t address)
{
	uint64_t h = address * 0x9e3779b97f4a7c15u;

	return &cache->heat[h >> 40 & (BLOCK_HEAT_SIZE - 1)];
}

/* Of a kept block in `table`. */
static uint32_t place_of(const struct block_cache *cache,
			 const struct block *b)
{
	return (uint32_t)(((uintptr_t)b - (uintptr_t)cache->kept.base) / 8 +
			  1);
}

static struct block *placed_at(const struct block_cache *cache,
			       uint32_t place)
{
	return (struct block *)(cache->kept.base + ((size_t)place - 1) * 8);
}

void block_cache_flush(struct block_cache *cache)
{
	memset(cache->jump, 0, sizeof(cache->jump));
	memset(cache->new, 0, sizeof(cache->new));
	block_table_empty(&cache->table);
	cache->nursery.used = 0;
	cache->kept.used = 0;
	cache->running = NULL;
	cache->flushes++;
}

/* Forgets the blocks of the nursery. What leads to them alone must go. */
static void empty_nursery(struct block_cache *cache)
{
	memset(cache->jump, 0, sizeof(cache->jump));
	memset(cache->new, 0, sizeof(cache->new));
	cache->nursery.used = 0;
	cache->nursery_flushes++;
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

	/* In a checked page every write ends its block anyway. */
	if (!b || b->source)
		return;
	for (unsigned int i = 0; i < b->count; i++)
		if (b->rows >> i & 1)
			block_insn(b, i)->handler = leave_block;
	cache->running = NULL;
}

static uint32_t hash_of(uint64_t address, uint64_t linear, uint32_t mode)
{
	uint64_t h = (address ^ (uint64_t)mode << 44) +
		     linear * 0xd1342543de82ef95u;

	h = (h ^ h >> 31) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

bool block_heats_up(struct block_cache *cache, const struct block *block)
{
	uint8_t *heat = heat_of(cache, block->address);

	if (++*heat < REWRITE_HEAT)
		return false;
	*heat = REWRITE_HEAT - REWRITE_HEAT_AGAIN;
	return true;
}

void block_drop(struct block_cache *cache, struct block *block)
{
	block->state--;
	*heat_of(cache, block->address) = REWRITE_HEAT - REWRITE_HEAT_AGAIN;
}

/* True unless the block's instruction ends in another page now. */
static bool ends_there(struct x86_cpu *cpu, const struct block *b)
{
	gpa_t address;

	return !b->crosses ||
	       (!x86_fetch_translate(cpu, (b->linear | (PAGE_SIZE - 1)) + 1,
				     &address) &&
		address.v == block_second(b)->address);
}

/* What is looked for. */
struct sought {
	uint64_t address, linear;
	uint32_t hash;
};

enum found {
	FOUND,
	FOUND_OTHER,
	FOUND_OLD, /* to be dropped */
};

static enum found judge(struct block_cache *cache, struct x86_cpu *cpu,
			const struct sought *sought, struct block *b)
{
	if (b->address != sought->address || b->linear != sought->linear ||
	    b->mode != cpu->mode || b->segment != block_segment(cpu))
		return FOUND_OTHER;
	if (block_is_current(b))
		return ends_there(cpu, b) ? FOUND : FOUND_OTHER;
	/* Code that changes all the time is not worth rewriting. */
	if (b->source)
		*heat_of(cache, b->address) = 0;
	return FOUND_OLD;
}

static struct block *find_kept(struct block_cache *cache, struct x86_cpu *cpu,
			       const struct sought *sought)
{
	uint32_t at = 0, place;

	while ((place = block_table_next(&cache->table, sought->hash, &at))) {
		struct block *b = placed_at(cache, place);
		enum found found = judge(cache, cpu, sought, b);

		if (found == FOUND)
			return b;
		if (found == FOUND_OLD)
			block_table_drop(&cache->table, sought->hash, at);
	}
	return NULL;
}

static struct block *find_new(struct block_cache *cache, struct x86_cpu *cpu,
			      const struct sought *sought)
{
	struct block **at = &cache->new[sought->hash % BLOCK_NEW_SIZE], *b;

	while ((b = *at)) {
		enum found found = judge(cache, cpu, sought, b);

		if (found == FOUND)
			return b;
		if (found == FOUND_OLD)
			*at = b->next;
		else
			at = &b->next;
	}
	return NULL;
}

/* Finds it, and drops what is out of date on the way. */
static struct block *hash_find(struct block_cache *cache,
			       struct x86_cpu *cpu, uint64_t address,
			       uint64_t linear)
{
	const struct sought sought = {
		.address = address,
		.linear = linear,
		.hash = hash_of(address, linear, cpu->mode),
	};
	struct block *b = find_kept(cache, cpu, &sought);

	return b ? b : find_new(cache, cpu, &sought);
}

/* Rounded up: the next one is aligned. */
static size_t size_of(unsigned int count, unsigned int bytes)
{
	return (sizeof(struct block) +
		(count + 1u) * sizeof(struct x86_insn) + bytes + 7) &
	       ~(size_t)7;
}

static size_t size_of_block(const struct block *b)
{
	if (b->crosses)
		return size_of(b->count, sizeof(struct block_second));
	return size_of(b->count, b->source ? b->bytes : 0u);
}

/* Room in the nursery for one block of the largest size. */
static struct block *reserve(struct block_cache *cache)
{
	struct block_arena *arena = &cache->nursery;

	if (arena->size - arena->used < BLOCK_SIZE_MAX)
		empty_nursery(cache);
	return (struct block *)(arena->base + arena->used);
}

static void enter_new(struct block_cache *cache, struct block *b)
{
	uint32_t hash = hash_of(b->address, b->linear, b->mode);
	struct block **chain = &cache->new[hash % BLOCK_NEW_SIZE];

	b->next = *chain;
	*chain = b;
}

/* Goes on decoding the row from `bytes`, where the block begins, which has
 * `size` up to the page's end. It is to have up to `count` instructions. */
static void decode_row(struct x86_cpu *cpu, struct block *b,
		       const uint8_t *bytes, unsigned int size,
		       unsigned int count)
{
	unsigned int at = b->bytes;
	bool end = false;

	while (!end && b->count < count &&
	       at + X86_INSN_MAX < UINT8_MAX) {
		struct x86_insn *insn = &b->insn[b->count];

		if (soft_is_cut(cpu, b->address + at))
			break;
		if (x86_decode(insn, bytes + at, size - at, cpu->mode) <= 0)
			break;
		insn->offset = (uint8_t)at;
		x86_bind(cpu, insn);
		end = x86_ends_block(insn) ||
		      (b->source && block_may_write(insn));
		at += insn->length;
		b->count++;
	}
	b->bytes = (uint8_t)at;
	b->insn[b->count] = (struct x86_insn){
		.handler = leave_block,
		.offset = (uint8_t)at,
	};
}

/* How often the code there runs, as far as that is known. */
static unsigned int warmth(struct block_cache *cache, struct x86_cpu *cpu,
			   const struct block *b, uint64_t away)
{
	uint64_t address = b->address + away;
	const struct block *other;

	if ((address ^ b->address) & PAGE_MASK)
		return 0;
	/* Whoever does not go there must not look at the page behind. */
	if (block_may_cross(address))
		return *heat_of(cache, address);
	other = hash_find(cache, cpu, address, b->linear + away);
	return other && other->code ? UINT8_MAX : *heat_of(cache, address);
}

/* True for a row that ends with a conditional jump forward that is seldom
 * taken. */
static bool falls_through(struct block_cache *cache, struct x86_cpu *cpu,
			  const struct block *b)
{
	const struct x86_insn *last = &b->insn[b->count - 1];

	return x86_is_jcc_64(last) && (int64_t)last->imm > 0 &&
	       warmth(cache, cpu, b, b->bytes) >=
		       warmth(cache, cpu, b, b->bytes + last->imm);
}

struct block *block_keep(struct block_cache *cache, struct x86_cpu *cpu,
			 struct block *block)
{
	unsigned int left = PAGE_SIZE - (unsigned int)(block->address & 0xfff);
	struct block_arena *arena = &cache->kept;
	size_t size = size_of_block(block);
	struct block *b = (struct block *)(arena->base + arena->used);
	const uint8_t *host = memory_for_read(&cpu->vm->memory,
					      gpa(block->address), left);
	unsigned int rows = 1;

	if (arena->size - arena->used < BLOCK_SIZE_MAX ||
	    block_table_is_full(&cache->table))
		return NULL;
	memcpy(b, block, size);
	while (host && !b->source && !b->crosses && rows++ < BLOCK_ROWS_MAX &&
	       falls_through(cache, cpu, b)) {
		unsigned int count = b->count;

		decode_row(cpu, b, host, left, BLOCK_INSNS_MAX);
		if (b->count == count)
			break;
	}
	arena->used += size_of_block(b);
	block->state--; /* out of date */
	block_table_add(&cache->table, hash_of(b->address, b->linear, b->mode),
			place_of(cache, b));
	return b;
}

void block_thin(struct block_cache *cache, struct block *b, uint32_t rows)
{
	struct block_arena *arena = &cache->kept;
	unsigned int kept = 0;

	bug_on((uint8_t *)b + size_of_block(b) != arena->base + arena->used);
	if (b->source || b->crosses || b->needs || rows == BLOCK_ROWS_ALL)
		return;
	for (unsigned int i = 0; i < b->count; i++)
		if (rows >> i & 1)
			b->insn[kept++] = b->insn[i];
	b->rows = rows;
	arena->used = (size_t)((uint8_t *)&b->insn[kept] - arena->base);
}

/*
 * Decodes the block's only instruction, of which `size` bytes at `host` are in
 * its page, as one that goes on in the page behind. Leaves the block empty
 * when it does not, or when it cannot be kept.
 */
static void decode_across(struct soft_cpu *soft, struct x86_cpu *cpu,
			  struct block *b, const uint8_t *host,
			  unsigned int size)
{
	uint64_t linear = b->linear + size;
	struct memory *mem = &cpu->vm->memory;
	struct block_second second;
	uint8_t bytes[X86_INSN_MAX];
	const uint8_t *behind;
	int64_t page;
	gpa_t address;

	/* 0: more bytes are wanted; only then the page behind is looked at. */
	if (b->source || size >= X86_INSN_MAX || !linear ||
	    (!(cpu->mode & X86_MODE_CODE64) && linear > UINT32_MAX) ||
	    x86_decode(b->insn, host, size, cpu->mode) ||
	    x86_fetch_translate(cpu, linear, &address))
		return;
	behind = memory_for_read(mem, address, X86_INSN_MAX);
	page = memory_page_index(mem, address);
	if (!behind || page < 0)
		return;
	second.address = address.v;
	second.page = &soft->soft->page[page];
	second.state = soft_open_page(soft, (uint64_t)page, behind);
	if (soft_page_is_checked(second.state))
		return;
	memcpy(bytes, host, size);
	memcpy(bytes + size, behind, X86_INSN_MAX - size);
	decode_row(cpu, b, bytes, X86_INSN_MAX, 1);
	b->crosses = true;
	memcpy(&b->insn[b->count + 1u], &second, sizeof(second));
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
	uint8_t copy[UINT8_MAX];
	struct block *b;

	if (!host || page < 0)
		return NULL;
	b = reserve(cache);
	b->address = address.v;
	b->linear = linear;
	b->rip = cpu->state.rip;
	b->segment = block_segment(cpu);
	b->code = NULL;
	b->far = 0;
	b->indirect = 0;
	b->failed = 0;
	b->away = false;
	b->mode = cpu->mode;
	b->page = &soft->soft->page[page];
	b->state = soft_open_page(soft, (uint64_t)page, host);
	b->source = soft_page_is_checked(b->state) ? host : NULL;
	if (b->source) {
		/* The bytes may change while they are decoded. */
		size = size < sizeof(copy) ? size : sizeof(copy);
		memcpy(copy, host, size);
		host = copy;
	}
	cpu->work = X86_WORK_DECODE;
	b->rows = BLOCK_ROWS_ALL;
	b->count = 0;
	b->bytes = 0;
	b->crosses = false;
	decode_row(cpu, b, host, size, BLOCK_INSNS_MAX);
	if (!b->count)
		decode_across(soft, cpu, b, host, size);
	cpu->work = X86_WORK_RUN;
	if (soft->profile)
		soft_profile_decoded(soft->profile, b);
	if (!b->count)
		return NULL;
	if (b->source)
		memcpy(block_bytes(b), copy, b->bytes);
	enter_new(cache, b);
	cache->nursery.used += size_of_block(b);
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

/* `jump` speaks of this page. */
static void note_page(struct block_cache *cache, const struct x86_cpu *cpu,
		      uint64_t linear)
{
	bool user = cpu->mode & X86_MODE_USER;
	unsigned int bit = page_bit(linear);

	cache->pages[user ? BLOCK_USER : BLOCK_SUPER][linear >> 63][bit / 64] |=
		(uint64_t)1 << (bit % 64);
	if (!user && !x86_fetches_global(cpu, linear))
		cache->local_super = true;
}

/* From now on `linear` leads to `b`, until the translation changes. */
static void note_jump(struct block_cache *cache, const struct x86_cpu *cpu,
		      uint64_t linear, struct block *b)
{
	struct block_jump *j = &cache->jump[block_slot(linear)];

	note_page(cache, cpu, linear);
	if (b->crosses)
		note_page(cache, cpu, (linear | (PAGE_SIZE - 1)) + 1);
	j->linear = linear;
	j->key = block_key(cache, cpu);
	j->block = b;
}

enum x86_result block_find(struct soft_cpu *soft, struct x86_cpu *cpu,
			   struct block **block)
{
	struct block_cache *cache = &soft->cache;
	uint64_t linear = block_linear(cpu);
	enum x86_result r;
	struct block *b;
	gpa_t address;

	*block = NULL;
	if (beyond_limit(cpu, &(struct block){ .bytes = 1 }))
		return X86_NEXT; /* x86_step() raises the fault */
	r = x86_fetch_translate(cpu, linear, &address);
	if (r)
		return r;
	b = hash_find(cache, cpu, address.v, linear);
	if (!b)
		b = build(soft, cpu, address, linear);
	if (!b || beyond_limit(cpu, b))
		return X86_NEXT;
	note_jump(cache, cpu, linear, b);
	*block = b;
	return X86_NEXT;
}

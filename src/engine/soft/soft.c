/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft engine: the software CPU of src/x86 driven from decoded blocks.
 * Needs nothing of the host but memory and threads.
 */
#include "engine/soft/soft.h"
#include "engine/soft/native.h"
#include "vm/error.h"
#include "x86/access.h"

/*
 * A vCPU's share of the cache: an eighth, but no more than NURSERY_MAX, for the
 * nursery; the rest is for rows that are kept and for host code, as they come.
 */
#define NURSERY_SHARE 8u
#define NURSERY_MAX   ((size_t)3 << 18)

static size_t nursery_of(size_t cache)
{
	size_t size = cache / NURSERY_SHARE;

	return size < NURSERY_MAX ? size : NURSERY_MAX;
}

static size_t kept_of(size_t cache)
{
	return cache - nursery_of(cache);
}

static int soft_probe(char *why, size_t size)
{
	if (size)
		why[0] = '\0';
	return 0;
}

/* A request is waiting: makes host code leave. Any thread. */
static void soft_kicked(struct x86_cpu *cpu)
{
	rewrite_ask(cpu);
}

void soft_flush(struct soft_cpu *soft)
{
	block_cache_flush(&soft->cache);
	if (soft->rewrites)
		rewrite_flush(&soft->rewriter, soft->cpu);
	if (soft->profile)
		soft_profile_flushed(soft->profile);
}

bool soft_has_room(const struct soft_cpu *soft)
{
	size_t used = soft->cache.kept.used + soft->rewriter.used;

	return kept_of(soft->room.size) >=
	       used + BLOCK_SIZE_MAX + REWRITE_CODE_MAX;
}

void soft_full(struct soft_cpu *soft)
{
	if (soft_room_full(&soft->room, host_monotonic_ns()))
		block_cache_grow(&soft->cache, soft->room.size);
	else
		soft_flush(soft);
}

static int soft_open(const struct engine_setup *setup, void **vm_engine)
{
	struct soft_vm *soft = host_alloc(sizeof(*soft));

	if (!soft)
		return -VM_ENOMEM;
	soft->vm = setup->vm;
	soft->cache = setup->cache ? setup->cache : ENGINE_CACHE_DEFAULT;
	*vm_engine = soft;
	return 0;
}

static void soft_close(void *vm_engine)
{
	struct soft_vm *soft = vm_engine;

	soft->vm->memory.code_written = NULL;
	soft->vm->memory.kind_changed = NULL;
	soft->vm->memory.hooks = NULL;
	host_ram_destroy(&soft->page_ram);
	host_free(soft);
}

static int soft_map_memory(void *vm_engine)
{
	struct soft_vm *soft = vm_engine;
	struct memory *mem = &soft->vm->memory;
	uint64_t size = mem->page_count * sizeof(*soft->page);
	int err;

	if (soft->pages == mem->page_count)
		return 0;
	host_ram_destroy(&soft->page_ram);
	soft->page_ram = (struct host_ram){ .fd = -1 };
	err = host_ram_create(&soft->page_ram,
			      (size + PAGE_SIZE - 1) & PAGE_MASK);
	if (err)
		return err;
	soft->page = (void *)soft->page_ram.base;
	soft->pages = mem->page_count;
	mem->code_written = soft_code_written;
	mem->code_written_ctx = soft;
	mem->kind_changed = soft_kind_changed;
	mem->kind_changed_ctx = soft;
	mem->hooks = &soft_memory_hooks;
	mem->hooks_ctx = soft;
	return 0;
}

static void tlb_flushed(struct x86_cpu *cpu, bool all)
{
	struct soft_cpu *soft = cpu->engine;

	cpu->stat_tlb_flush++;
	if (all)
		block_forget_linear(&soft->cache);
	else
		block_forget_local(&soft->cache);
}

static void page_flushed(struct x86_cpu *cpu, uint64_t first, uint64_t size)
{
	struct soft_cpu *soft = cpu->engine;

	cpu->stat_page_flush++;
	block_forget_pages(&soft->cache, first, size);
}

static void block_written(struct x86_cpu *cpu)
{
	struct soft_cpu *soft = cpu->engine;

	block_cut(&soft->cache);
}

static int soft_cpu_open(void *vm_engine, struct x86_cpu *cpu)
{
	struct soft_cpu *soft = host_alloc(sizeof(*soft));
	const struct soft_vm *shared = vm_engine;
	size_t kept = kept_of(shared->cache);
	int err;

	if (!soft)
		return -VM_ENOMEM;
	soft->soft = vm_engine;
	soft->cpu = cpu;
	soft_room_init(&soft->room, shared->cache);
	err = block_cache_init(&soft->cache, nursery_of(shared->cache), kept,
			       soft->room.size);
	if (err)
		goto free_soft;
	err = native_open(cpu);
	if (err)
		goto free_cache;
	err = rewrite_init(&soft->rewriter, cpu, kept);
	if (err && err != -VM_ENOTSUP)
		goto close_native;
	soft->rewrites = !err;
	cpu->engine = soft;
	cpu->kicked = soft_kicked;
	cpu->tlb_flushed = tlb_flushed;
	cpu->page_flushed = page_flushed;
	cpu->block_written = block_written;
	cpu->block_page = UINT64_MAX;
	return 0;

close_native:
	native_close(cpu);
free_cache:
	block_cache_fini(&soft->cache);
free_soft:
	host_free(soft);
	return err;
}

static void soft_cpu_close(struct x86_cpu *cpu)
{
	struct soft_cpu *soft = cpu->engine;

	if (!soft)
		return;
	soft_profile_free(soft->profile);
	rewrite_fini(&soft->rewriter);
	native_close(cpu);
	block_cache_fini(&soft->cache);
	host_free(soft);
	cpu->engine = NULL;
	cpu->kicked = NULL;
	cpu->tlb_flushed = NULL;
	cpu->page_flushed = NULL;
	cpu->block_written = NULL;
}

static void soft_kick(struct x86_cpu *cpu)
{
	x86_cpu_request(cpu, X86_REQ_KICK);
}

/* The state that the interpreter works on is the canonical one. */
static int soft_put_state(struct x86_cpu *cpu)
{
	x86_cpu_state_changed(cpu);
	return 0;
}

static int soft_get_state(struct x86_cpu *cpu)
{
	return 0;
}

static void soft_stats(struct x86_cpu *cpu, struct engine_stats *stats)
{
	struct soft_cpu *soft = cpu->engine;

	*stats = (struct engine_stats){
		/* Host code does not count. */
		.instructions = soft->rewrites ? 0 : cpu->instructions,
		.pio = cpu->stat_pio,
		.mmio = cpu->stat_mmio,
		.halt = cpu->stat_halt,
		.interrupt = cpu->stat_interrupt,
		.fault = cpu->stat_fault,
		.kick = soft->kicks,
	};
}

const struct engine engine_soft = {
	.name = "soft",
	.probe = soft_probe,
	.open = soft_open,
	.close = soft_close,
	.map_memory = soft_map_memory,
	.cpu_open = soft_cpu_open,
	.cpu_close = soft_cpu_close,
	.run = soft_run,
	.kick = soft_kick,
	.put_state = soft_put_state,
	.get_state = soft_get_state,
	.stats = soft_stats,
	.debug = soft_debug,
	.profile = &soft_profile_ops,
};

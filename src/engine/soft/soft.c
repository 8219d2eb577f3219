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
 * nursery; half of the rest for rows that are kept, half for host code. The two
 * grow alike.
 */
#define NURSERY_SHARE 8u
#define NURSERY_MAX   ((size_t)3 << 18)

static int soft_probe(char *why, size_t size)
{
	if (size)
		why[0] = '\0';
	return 0;
}

static void next_generation(struct soft_vm *soft, uint64_t page)
{
	atomic_fetch_add_explicit(&soft->generation[page], 1,
				  memory_order_release);
}

/* Any thread: what holds code of the page goes out of date, and no look-up
 * in host code finds it any more. */
static void code_written(void *ctx, uint64_t page)
{
	struct soft_vm *soft = ctx;

	next_generation(soft, page);
	for (unsigned int i = 0; i < soft->vm->cpu_count; i++)
		x86_cpu_request(soft->vm->cpu[i], X86_REQ_CODE);
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
	host_ram_destroy(&soft->generation_ram);
	host_free(soft);
}

static int soft_map_memory(void *vm_engine)
{
	struct soft_vm *soft = vm_engine;
	struct memory *mem = &soft->vm->memory;
	uint64_t size = mem->page_count * sizeof(*soft->generation);
	int err;

	if (soft->pages == mem->page_count)
		return 0;
	host_ram_destroy(&soft->generation_ram);
	soft->generation_ram = (struct host_ram){ .fd = -1 };
	err = host_ram_create(&soft->generation_ram,
			      (size + PAGE_SIZE - 1) & PAGE_MASK);
	if (err)
		return err;
	soft->generation = (void *)soft->generation_ram.base;
	soft->pages = mem->page_count;
	mem->code_written = code_written;
	mem->code_written_ctx = soft;
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
	size_t nursery = shared->cache / NURSERY_SHARE, kept;
	int err;

	if (!soft)
		return -VM_ENOMEM;
	if (nursery > NURSERY_MAX)
		nursery = NURSERY_MAX;
	kept = (shared->cache - nursery) / 2;
	soft->soft = vm_engine;
	soft->cpu = cpu;
	err = block_cache_init(&soft->cache, nursery, kept);
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

void soft_share_code(struct soft_cpu *soft, uint64_t index,
		     const uint8_t *host)
{
	struct soft_vm *shared = soft->soft;
	struct vm *vm = shared->vm;
	uint64_t head;

	atomic_fetch_or(&vm->memory.page_flags[index], MEM_PAGE_CODE);
	x86_tlb_protect(soft->cpu, host);
	if (vm->cpu_count < 2)
		return;
	host_lock(&shared->ring_lock);
	head = atomic_load(&shared->ring_head);
	shared->ring[head % SOFT_RING] = index;
	atomic_store(&shared->ring_head, head + 1);
	host_unlock(&shared->ring_lock);
	for (unsigned int i = 0; i < vm->cpu_count; i++)
		if (vm->cpu[i] != soft->cpu)
			x86_cpu_request(vm->cpu[i], X86_REQ_CODE);
}

void soft_notice_code(struct soft_cpu *soft)
{
	struct soft_vm *shared = soft->soft;
	uint64_t head, page;

	if (!(atomic_fetch_and(&soft->cpu->request, ~X86_REQ_CODE) &
	      X86_REQ_CODE))
		return;
	block_forget_linear(&soft->cache);
	/* Others may have decoded between the note and the write. */
	if (soft->cpu->noted_early) {
		memory_note_write(&shared->vm->memory,
				  gpa(soft->cpu->noted_early), 1);
		soft->cpu->noted_early = 0;
	}
	head = atomic_load(&shared->ring_head);
	if (head == soft->ring_seen)
		return;
	x86_tlb_protect(soft->cpu, NULL);
	host_lock(&shared->ring_lock);
	head = atomic_load(&shared->ring_head);
	/* Overrun: every page may be one of those missed. */
	if (head - soft->ring_seen > SOFT_RING) {
		for (page = 0; page < shared->pages; page++)
			if (atomic_load(&shared->vm->memory.page_flags[page]) &
			    MEM_PAGE_CODE)
				next_generation(shared, page);
	} else {
		for (; soft->ring_seen < head; soft->ring_seen++)
			next_generation(
				shared,
				shared->ring[soft->ring_seen % SOFT_RING]);
	}
	soft->ring_seen = head;
	host_unlock(&shared->ring_lock);
	/* Host code does not look at generations. */
	for (unsigned int i = 0; i < shared->vm->cpu_count; i++)
		if (shared->vm->cpu[i] != soft->cpu)
			x86_cpu_request(shared->vm->cpu[i], X86_REQ_CODE);
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
	.profile = &soft_profile_ops,
};

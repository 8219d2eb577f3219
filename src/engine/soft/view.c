/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views of device memory (vm/memory_view.h) and the software TLB. A view that
 * has moved, and pages whose next write is to be noted, concern what each
 * vCPU has in its TLB: each is asked, and answers by the number of the last
 * question that it has dealt with. A vCPU outside of its run loop deals with
 * it before it executes anything.
 */
#include "engine/soft/soft.h"
#include "vm/memory_view.h"
#include "x86/access.h"

static void ask(struct soft_vm *soft)
{
	atomic_fetch_add(&soft->memory_asked, 1);
	for (unsigned int i = 0; i < soft->vm->cpu_count; i++)
		x86_cpu_request(soft->vm->cpu[i], X86_REQ_MEMORY);
}

/* True when the vCPU uses nothing that was true before question `asked`. */
static bool has_answered(const struct x86_cpu *cpu, uint64_t asked)
{
	const struct soft_cpu *soft = cpu->engine;

	return !soft || !atomic_load(&soft->running) ||
	       atomic_load(&soft->memory_seen) >= asked;
}

void soft_notice_memory(struct soft_cpu *soft)
{
	struct soft_vm *shared = soft->soft;
	struct x86_cpu *cpu = soft->cpu;
	const struct memory *mem = &shared->vm->memory;
	uint64_t asked, moved, regions;

	if (!(atomic_fetch_and(&cpu->request, ~X86_REQ_MEMORY) &
	      X86_REQ_MEMORY))
		return;
	asked = atomic_load(&shared->memory_asked);
	regions = atomic_load(&shared->regions_changed);
	moved = atomic_load(&shared->views_moved);
	if (moved != soft->views_seen)
		x86_tlb_flush(cpu);
	else if (mem->device.base)
		x86_tlb_protect(cpu, mem->device.base, mem->device.size);
	soft_note_again(soft);
	if (regions != soft->regions_seen) {
		soft->stale = true;
		block_cut(&soft->cache);
	}
	/* This may be in the midst of a block; the run loop is next. */
	if (soft->stale)
		x86_cpu_request(cpu, X86_REQ_MEMORY);
	soft->regions_seen = regions;
	soft->views_seen = moved;
	atomic_store(&soft->memory_seen, asked);
}

void soft_enter(struct soft_cpu *soft)
{
	atomic_store(&soft->running, true);
	atomic_fetch_or(&soft->cpu->request, X86_REQ_MEMORY);
}

void soft_leave(struct soft_cpu *soft)
{
	soft_note_again(soft);
	atomic_store(&soft->running, false);
}

/* --- memory_hooks ------------------------------------------------------------ */

static void view_changed(void *ctx, unsigned int view,
			 const struct memory_region *before)
{
	struct soft_vm *soft = ctx;

	atomic_fetch_add(&soft->views_moved, 1);
	ask(soft);
}

/* Others may wait for our answer meanwhile. */
static void settle(void *ctx, struct x86_cpu *cpu)
{
	struct soft_vm *soft = ctx;
	uint64_t asked = atomic_load(&soft->memory_asked);

	soft_notice_memory(cpu->engine);
	for (unsigned int i = 0; i < soft->vm->cpu_count; i++)
		while (soft->vm->cpu[i] != cpu &&
		       !has_answered(soft->vm->cpu[i], asked)) {
			soft_notice_memory(cpu->engine);
			host_yield();
		}
}

/* Firmware does this, a few times and early: blocks are made anew. */
static void region_changed(void *ctx, unsigned int region)
{
	struct soft_vm *soft = ctx;

	atomic_fetch_add(&soft->regions_changed, 1);
	view_changed(ctx, 0, NULL);
}

static void protect(void *ctx)
{
	ask(ctx);
}

static bool protected(void *ctx)
{
	struct soft_vm *soft = ctx;
	uint64_t asked = atomic_load(&soft->memory_asked);

	for (unsigned int i = 0; i < soft->vm->cpu_count; i++)
		if (!has_answered(soft->vm->cpu[i], asked))
			return false;
	return true;
}

const struct memory_hooks soft_memory_hooks = {
	.view_changed = view_changed,
	.region_changed = region_changed,
	.settle = settle,
	.protect = protect,
	.protected = protected,
};

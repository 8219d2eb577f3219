/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop of the software CPU: events, then a block of decoded
 * instructions, and again.
 */
#include "engine/soft/soft.h"
#include "x86/event.h"
#include "x86/flags.h"
#include "x86/access.h"

/* An exception of the instruction at `insn`: its rip, then the IDT. */
static enum x86_result deliver(struct x86_cpu *cpu,
			       const struct x86_insn *insn)
{
	uint64_t rip = cpu->block_rip + insn->offset;

	cpu->state.rip = cpu->mode & X86_MODE_CODE64 ? rip : (uint32_t)rip;
	x86_flags(cpu);
	return soft_deliver(cpu);
}

static enum x86_result run_block(struct soft_cpu *soft, struct x86_cpu *cpu,
				 struct block *block)
{
	const struct x86_insn *insn = block->insn;
	enum x86_result r;

	cpu->block_rip = cpu->state.rip;
	cpu->block_page = block->address >> PAGE_SHIFT;
	soft->cache.running = block;
	cpu->in_block = true;
	do {
		r = insn->handler(cpu, insn);
		insn++;
	} while (r == X86_NEXT);
	cpu->in_block = false;
	soft->cache.running = NULL;
	cpu->instructions += (uint64_t)(insn - block->insn);
	if (__builtin_expect(r == X86_FAULT, 0))
		return deliver(cpu, insn - 1);
	return r;
}

/* An interrupt that waits for IF is no reason to look. */
static bool events_due(const struct x86_cpu *cpu)
{
	uint32_t request = atomic_load_explicit(&cpu->request,
						memory_order_acquire);

	if (__builtin_expect(request, 0) &&
	    ((request & ~X86_REQ_INTR) || (cpu->state.rflags & X86_FLAG_IF)))
		return true;
	return cpu->state.activity != X86_RUNNING || cpu->state.fault_pending ||
	       (cpu->state.nmi_pending && !cpu->state.nmi_blocked);
}

/* True when a block has been interpreted often enough to be rewritten. */
static bool is_hot(struct soft_cpu *soft, const struct block *block)
{
	return soft->rewrites && !(block->mode & X86_MODE_AC) &&
	       block_heats_up(&soft->cache, block);
}

/* True when instructions must be executed one at a time just now. */
static bool one_at_a_time(const struct x86_cpu *cpu)
{
	return (cpu->mode & X86_MODE_TRACE) || cpu->state.int_shadow ||
	       (cpu->state.dr[7] & 0xff) || cpu->debug_step;
}

static enum x86_result run_one(struct soft_cpu *soft, struct x86_cpu *cpu)
{
	return cpu->debug ? soft_debug_step(soft, cpu) : x86_step(cpu);
}

const uint8_t *soft_resume(struct soft_cpu *soft)
{
	struct x86_cpu *cpu = soft->cpu;
	uint64_t of = block_key(&soft->cache, cpu);
	struct block *block;

	if (events_due(cpu) || one_at_a_time(cpu))
		return NULL;
	block = block_known(&soft->cache, cpu);
	if (!block || !block->code)
		return NULL;
	rewrite_set_key(&soft->rewriter, cpu, of);
	if (events_due(cpu) ||
	    !rewrite_enter(&soft->rewriter, cpu, block, of))
		return NULL;
	return block->code;
}

static enum x86_result run_code(struct soft_cpu *soft, struct x86_cpu *cpu,
				struct block *block)
{
	uint64_t of = block_key(&soft->cache, cpu);

	rewrite_set_key(&soft->rewriter, cpu, of);
	/* A request that came before the key was set is served first. */
	if (events_due(cpu))
		return X86_BRANCH;
	return rewrite_run(&soft->rewriter, cpu, block, of);
}

static bool rewrite(struct soft_cpu *soft, struct x86_cpu *cpu,
		    struct block *block)
{
	uint64_t from = soft->rewriter.used;
	uint64_t start = soft->profile ? soft_profile_clock() : 0;
	bool done;

	cpu->work = X86_WORK_REWRITE;
	done = rewrite_block(&soft->rewriter, cpu, block);
	cpu->work = X86_WORK_RUN;
	if (soft->profile && done)
		soft_profile_rewritten(soft->profile, block, start, from);
	return done;
}

static enum x86_result run_some(struct soft_cpu *soft, struct x86_cpu *cpu)
{
	struct block *block;
	enum x86_result r;

	if (__builtin_expect(one_at_a_time(cpu), 0))
		return run_one(soft, cpu);
	block = block_known(&soft->cache, cpu);
	if (__builtin_expect(block == NULL, 0)) {
		r = block_find(soft, cpu, &block);
		if (r == X86_FAULT) {
			x86_flags(cpu);
			return x86_deliver_fault(cpu);
		}
		if (!block)
			return run_one(soft, cpu);
	}
	if (!block->code && is_hot(soft, block)) {
		if (block->source && soft_page_calms(soft, block))
			return X86_BRANCH;
		block = soft_has_room(soft) ?
				block_keep(&soft->cache, cpu, block) : NULL;
		if (!block || !rewrite(soft, cpu, block)) {
			soft_full(soft);
			return X86_BRANCH;
		}
		soft_page_is_hot(soft, block);
		if (!block_is_current(block))
			return X86_BRANCH;
	}
	if (block->code) {
		r = run_code(soft, cpu, block);
		if (r != X86_NEXT)
			return r;
	}
	return run_block(soft, cpu, block);
}

/* True when the vCPU must be given back. */
static bool must_leave(struct soft_cpu *soft, struct x86_cpu *cpu,
		       struct engine_exit *exit)
{
	exit->reason = ENGINE_KICKED;
	if (cpu->state.activity == X86_SHUTDOWN) {
		exit->reason = ENGINE_CRASHED;
		return true;
	}
	if (soft->stopped) {
		soft->stopped = false;
		exit->reason = ENGINE_DEBUG;
		exit->stop = soft->stop;
		exit->address = soft->stop_address;
		return true;
	}
	if (atomic_fetch_and(&cpu->request, ~X86_REQ_KICK) & X86_REQ_KICK) {
		soft->kicks++;
		return true;
	}
	return atomic_load(&cpu->vm->request) != VM_RUN;
}

/* No block is being executed. */
static void notice_memory(struct soft_cpu *soft)
{
	soft_notice_memory(soft);
	if (soft->stale)
		soft_flush(soft);
	soft->stale = false;
}

/* Until something concerns it; meanwhile it may serve a device. */
static void sleep_once(struct x86_cpu *cpu)
{
	struct host_idle *idle = cpu->vm->idle;
	struct host_watch watch;

	if (!idle || !idle->begin(idle, &watch)) {
		host_event_wait(&cpu->wake, UINT64_MAX);
		return;
	}
	while (!host_event_watch(&cpu->wake, &watch) && idle->work(idle))
		;
	idle->end(idle);
}

/* Sleeps while the processor is halted or waits for its start-up. */
static void wait_for_event(struct soft_cpu *soft, struct x86_cpu *cpu)
{
	cpu->stat_halt++;
	cpu->work = X86_WORK_HALT;
	cpu->wake.busy = (uint16_t)cpu->vm->cpu_count;
	vm_rest_begin(cpu->vm);
	while (!x86_can_wake(cpu) &&
	       !(atomic_load(&cpu->request) & X86_REQ_KICK) &&
	       atomic_load(&cpu->vm->request) == VM_RUN) {
		sleep_once(cpu);
		notice_memory(soft);
	}
	vm_rest_end(cpu->vm);
	cpu->work = X86_WORK_RUN;
}

/* A debugger's step is one of the program: interrupts wait. */
static bool holds_events(const struct x86_cpu *cpu)
{
	return cpu->debug_step == X86_DEBUG_STEP &&
	       cpu->state.activity == X86_RUNNING && !cpu->state.fault_pending;
}

void soft_run(struct x86_cpu *cpu, struct engine_exit *exit)
{
	struct soft_cpu *soft = cpu->engine;
	enum x86_result r = X86_STOP;

	*exit = (struct engine_exit){ 0 };
	soft->rewrites = soft->rewrites && host_code_base(cpu);
	soft_enter(soft);
	for (;;) {
		if (__builtin_expect(r == X86_STOP, 0)) {
			if (must_leave(soft, cpu, exit))
				break;
			if (cpu->state.activity != X86_RUNNING)
				wait_for_event(soft, cpu);
		}
		r = X86_NEXT;
		if (__builtin_expect(events_due(cpu), 0)) {
			x86_flags(cpu);
			soft_notice_code(soft);
			notice_memory(soft);
			if (!holds_events(cpu))
				r = x86_take_events(cpu);
		}
		if (r == X86_NEXT)
			r = run_some(soft, cpu);
	}
	x86_flags(cpu);
	cpu->block_page = UINT64_MAX;
	soft_leave(soft);
}

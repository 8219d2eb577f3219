/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger outside the guest, on the software CPU. Blocks end before each
 * breakpoint and never begin at one, so that its instruction comes to
 * soft_debug_step() alone; watched pages have no TLB tags, and an access that
 * finds a watched range is executed again by itself. Code that has neither
 * runs at full speed.
 */
#include "engine/soft/soft.h"
#include "vm/bytes.h"
#include "x86/access.h"
#include "x86/event.h"

/*
 * Marks where blocks have to end; true when those at hand may go across.
 * Marks stay when their breakpoint goes: a debugger takes its breakpoints
 * away at every stop and puts them back to go on.
 */
static bool mark_breaks(struct soft_cpu *soft, const struct x86_debug *debug)
{
	bool fresh = false;

	for (unsigned int i = 0; i < debug->breaks; i++) {
		unsigned int at = (unsigned int)(debug->at[i].linear & 0xfff);
		uint64_t bit = (uint64_t)1 << (at % 64);

		fresh |= !(soft->cut[at / 64] & bit);
		soft->cut[at / 64] |= bit;
	}
	return fresh;
}

void soft_debug(struct x86_cpu *cpu, const struct x86_debug *debug, bool step)
{
	struct soft_cpu *soft = cpu->engine;
	bool fresh = !debug != !cpu->debug;
	bool watches = debug && debug->watches;

	if (fresh)
		memset(soft->cut, 0, sizeof(soft->cut));
	if (debug)
		fresh |= mark_breaks(soft, debug);
	cpu->debug = debug;
	cpu->debug_step = step ? X86_DEBUG_STEP : X86_DEBUG_GO;
	soft->stopped = false;
	if (fresh)
		soft_flush(soft);
	if (watches || soft->watches)
		x86_tlb_flush(cpu);
	soft->watches = watches;
}

static bool breakpoint_here(const struct x86_cpu *cpu)
{
	const struct x86_debug *debug = cpu->debug;
	uint64_t linear = block_linear(cpu);

	for (unsigned int i = 0; i < debug->breaks; i++)
		if (debug->at[i].linear == linear)
			return true;
	return false;
}

static enum x86_result stop(struct soft_cpu *soft, enum engine_stop why,
			    uint64_t address)
{
	soft->stopped = true;
	soft->stop = why;
	soft->stop_address = address;
	soft->cpu->debug_step = X86_DEBUG_GO;
	return X86_STOP;
}

enum x86_result soft_debug_step(struct soft_cpu *soft, struct x86_cpu *cpu)
{
	uint8_t step = cpu->debug_step;
	enum x86_result r;

	if (step != X86_DEBUG_STEP && breakpoint_here(cpu))
		return stop(soft, ENGINE_STOP_BREAK, block_linear(cpu));
	cpu->watch_hit = NULL;
	cpu->debug_step = X86_DEBUG_GO;
	r = x86_step(cpu);
	if (cpu->watch_hit)
		return stop(soft, ENGINE_STOP_WATCH, cpu->watch_hit->first);
	if (step == X86_DEBUG_STEP)
		return stop(soft, ENGINE_STOP_STEP, cpu->state.rip);
	return r;
}

enum x86_result soft_deliver(struct x86_cpu *cpu)
{
	if (__builtin_expect(cpu->fault.vector != X86_AGAIN, 1))
		return x86_deliver_fault(cpu);
	if (cpu->debug_step == X86_DEBUG_GO)
		cpu->debug_step = X86_DEBUG_AGAIN;
	return X86_BRANCH;
}

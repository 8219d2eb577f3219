/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft engine's own structures: what a VM's processors share, and what
 * each has. The run loop is in run.c, decoded code in block.c, host
 * execution of data instructions in native.c.
 */
#ifndef LODGE_ENGINE_SOFT_SOFT_H
#define LODGE_ENGINE_SOFT_SOFT_H

#include "engine/engine.h"
#include "engine/soft/block.h"
#include "engine/soft/profile.h"
#include "engine/soft/rewrite.h"
#include "engine/soft/room.h"

/* Pages that became code pages, for the other vCPUs to notice. */
#define SOFT_RING 1024u

struct soft_vm {
	struct vm *vm;
	struct host_ram page_ram;
	_Atomic uint64_t *page; /* states, by index of memory.page_flags */
	_Atomic uint64_t code_writes; /* to pages with code */
	uint64_t pages;
	struct host_lock ring_lock;
	_Atomic uint64_t ring_head; /* pages ever posted */
	uint64_t ring[SOFT_RING];
	size_t cache; /* bytes of code that each vCPU keeps */
	/* view.c: questions about device memory, and moves of views. */
	_Atomic uint64_t memory_asked, views_moved;
	_Atomic uint64_t regions_changed;
};

struct soft_cpu {
	struct soft_vm *soft;
	struct x86_cpu *cpu;
	struct block_cache cache;
	struct rewriter rewriter;
	struct soft_room room;
	bool rewrites; /* the host can */
	uint64_t ring_seen;
	_Atomic bool running; /* in soft_run() */
	_Atomic uint64_t memory_seen; /* of soft_vm.memory_asked */
	uint64_t views_seen;	      /* of soft_vm.views_moved */
	uint64_t regions_seen;	      /* of soft_vm.regions_changed */
	bool stale; /* all blocks: what they are made of lies elsewhere */
	uint64_t kicks;
	struct soft_profile *profile; /* NULL: none is wanted */

	/* Of a debugger: offsets in pages that no block goes across, a bit
	 * each; whether TLB tags are withheld; what the run ended for. */
	uint64_t cut[PAGE_SIZE / 64];
	bool watches;
	bool stopped;
	enum engine_stop stop;
	uint64_t stop_address;
};

/*
 * change.c: the state that a block remembers whose bytes, at `host` in page
 * `page`, are read afterwards. Has the page's writers tell, unless it is a
 * checked one.
 */
uint64_t soft_open_page(struct soft_cpu *soft, uint64_t page,
			const uint8_t *host);
bool soft_page_is_checked(uint64_t state);

/*
 * A block of a checked page was run often without a change. True when the
 * page is an ordinary one again; the block is out of date then.
 */
bool soft_page_calms(struct soft_cpu *soft, const struct block *block);

/* Host code of the block was made. Whether the block is still current is to
 * be asked behind that, before the host code runs. */
void soft_page_is_hot(struct soft_cpu *soft, const struct block *block);

/* memory.code_written of a struct soft_vm. Any thread. */
void soft_code_written(void *ctx, uint64_t page);

/* memory.kind_changed of a struct soft_vm. Any thread. */
void soft_kind_changed(void *ctx, unsigned int region);

/* Does what other vCPUs' soft_open_page() and soft_code_written() asked for. */
void soft_notice_code(struct soft_cpu *soft);

/* The write that was noted before it was made is made: notes it again. */
void soft_note_again(struct soft_cpu *soft);

/* view.c: does what was asked about device memory. On the vCPU's thread. */
void soft_notice_memory(struct soft_cpu *soft);

/* The same when soft_run() begins and ends. */
void soft_enter(struct soft_cpu *soft);
void soft_leave(struct soft_cpu *soft);

extern const struct memory_hooks soft_memory_hooks;

/* Forgets every block and all host code. */
void soft_flush(struct soft_cpu *soft);

/* There is room for another block, kept and rewritten. */
bool soft_has_room(const struct soft_cpu *soft);

/* There is none: gives more, or forgets all blocks. */
void soft_full(struct soft_cpu *soft);

/*
 * Host code at cs:rip to go on with, prepared for; NULL when the run loop is
 * needed.
 */
const uint8_t *soft_resume(struct soft_cpu *soft);

/* debug.c: engine.debug of this engine. */
void soft_debug(struct x86_cpu *cpu, const struct x86_debug *debug, bool step);

/* One instruction alone; none, and X86_STOP, where a breakpoint is. */
enum x86_result soft_debug_step(struct soft_cpu *soft, struct x86_cpu *cpu);

/* Delivers cpu->fault, or has its instruction executed alone. */
enum x86_result soft_deliver(struct x86_cpu *cpu);

/* True when a block must not hold the instruction at linear `address`, but
 * soft_debug_step() executes it. */
static inline bool soft_is_cut(const struct x86_cpu *cpu, uint64_t address)
{
	const struct soft_cpu *soft = cpu->engine;
	unsigned int at = (unsigned int)(address & 0xfff);

	return cpu->debug && soft->cut[at / 64] >> (at % 64) & 1;
}

/* engine.run of this engine. */
void soft_run(struct x86_cpu *cpu, struct engine_exit *exit);

#endif

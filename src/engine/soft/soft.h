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

/* Pages that became code pages, for the other vCPUs to notice. */
#define SOFT_RING 1024u

struct soft_vm {
	struct vm *vm;
	struct host_ram generation_ram;
	_Atomic uint32_t *generation; /* by index of memory.page_flags */
	uint64_t pages;
	struct host_lock ring_lock;
	_Atomic uint64_t ring_head; /* pages ever posted */
	uint64_t ring[SOFT_RING];
	size_t cache; /* bytes of code that each vCPU keeps */
};

struct soft_cpu {
	struct soft_vm *soft;
	struct x86_cpu *cpu;
	struct block_cache cache;
	struct rewriter rewriter;
	bool rewrites; /* the host can */
	uint64_t ring_seen;
	uint64_t kicks;
	struct soft_profile *profile; /* NULL: none is wanted */
};

/*
 * Announces that this vCPU decoded code of page `index` for the first time,
 * and sets MEM_PAGE_CODE. To be called before the bytes are read.
 */
void soft_share_code(struct soft_cpu *soft, uint64_t index,
		     const uint8_t *host);

/* Does what other vCPUs' soft_share_code() asked for. */
void soft_notice_code(struct soft_cpu *soft);

/* Forgets every block and all host code. */
void soft_flush(struct soft_cpu *soft);

/*
 * Host code at cs:rip to go on with, prepared for; NULL when the run loop is
 * needed.
 */
const uint8_t *soft_resume(struct soft_cpu *soft);

/* engine.run of this engine. */
void soft_run(struct x86_cpu *cpu, struct engine_exit *exit);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The soft engine's profile. Each vCPU has one while `--profile` asks for it,
 * else soft_cpu.profile is NULL and nothing here is called: the hooks below
 * are one comparison each, in slow paths.
 */
#ifndef LODGE_ENGINE_SOFT_PROFILE_H
#define LODGE_ENGINE_SOFT_PROFILE_H

#include "engine/profile.h"
#include "x86/insn.h"

struct block;
struct soft_cpu;
struct soft_profile;

extern const struct engine_profile_ops soft_profile_ops;

void soft_profile_free(struct soft_profile *profile);

/* A block was decoded. */
void soft_profile_decoded(struct soft_profile *profile,
			  const struct block *block);

/* Time now, for soft_profile_rewritten(). */
uint64_t soft_profile_clock(void);

/*
 * A block was rewritten, since `start`, to code memory from offset `from`
 * on.
 */
void soft_profile_rewritten(struct soft_profile *profile,
			    const struct block *block, uint64_t start,
			    uint64_t from);

/* All rewritten code was forgotten. */
void soft_profile_flushed(struct soft_profile *profile);

/* Around the interpreter's execution of an instruction for rewritten code. */
void soft_profile_before(struct soft_profile *profile);
void soft_profile_after(struct soft_profile *profile,
			const struct block *block,
			const struct x86_insn *insn, enum x86_result result);

#endif

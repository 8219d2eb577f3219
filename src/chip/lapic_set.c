/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routing of interrupt messages to local APICs: IPIs, MSIs, the IOAPIC.
 * Intel SDM vol. 3, 11.6.2 (destinations), 11.11 (message format), 11.12.10
 * (x2APIC logical ids). Left out: SMI, remote read, ExtINT by message.
 *
 * Everything here may run on any thread: it looks only at the _Atomic
 * members of its targets.
 */
#include "chip/lapic_impl.h"

/* SDM 11.6.2.2: 8-bit logical destination against LDR, flat or cluster. */
static bool lapic_match_logical(const struct lapic *lapic, uint8_t dest)
{
	uint32_t ldr = lapic_get(&lapic->ldr) >> 24;

	if (lapic_get(&lapic->dfr) >> 28 == 0xf)
		return ldr & dest;
	if (dest >> 4 != 0xf && dest >> 4 != ldr >> 4)
		return false;
	return ldr & dest & 0xf;
}

static bool lapic_match(const struct lapic *lapic,
			const struct lapic_message *message)
{
	uint32_t dest = message->dest;
	uint32_t ldr = lapic_get(&lapic->ldr);

	if (dest == (message->wide ? UINT32_MAX : 0xff))
		return true;
	if (!message->logical)
		return dest == lapic->id;
	if (!lapic_x2apic(lapic))
		return dest <= 0xff && lapic_match_logical(lapic, (uint8_t)dest);
	return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
}

static bool lapic_is_target(const struct lapic *lapic,
			    const struct lapic *sender,
			    const struct lapic_message *message)
{
	if (!lapic_on(lapic))
		return false;
	switch (message->shorthand) {
	case LAPIC_TO_SELF:
		return lapic == sender;
	case LAPIC_TO_ALL:
		return true;
	case LAPIC_TO_OTHERS:
		return lapic != sender;
	case LAPIC_TO_DEST:
		break;
	}
	return lapic_match(lapic, message);
}

static bool lapic_enabled(const struct lapic *lapic)
{
	return lapic_get(&lapic->svr) & LAPIC_SVR_ENABLE;
}

static void lapic_deliver(struct lapic *lapic,
			  const struct lapic_message *message)
{
	switch (message->mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		if (lapic_enabled(lapic))
			lapic_inject(lapic, message->vector, message->level);
		break;
	case LAPIC_NMI:
		x86_cpu_request(lapic->cpu, X86_REQ_NMI);
		break;
	case LAPIC_INIT:
		x86_cpu_request(lapic->cpu, X86_REQ_INIT);
		break;
	case LAPIC_SIPI:
		/* The request orders the store before the target's look. */
		__atomic_store_n(&lapic->cpu->state.sipi_vector,
				 message->vector, __ATOMIC_RELAXED);
		x86_cpu_request(lapic->cpu, X86_REQ_SIPI);
		break;
	case LAPIC_SMI:
	case LAPIC_REMOTE_READ:
	case LAPIC_EXTINT:
		break;
	}
}

/*
 * The target with the lowest task priority; equals take turns, beginning
 * after the one chosen last (SDM 11.6.2.4).
 */
static struct lapic *lapic_pick_lowest(struct lapic_set *set,
				       const struct lapic *sender,
				       const struct lapic_message *message)
{
	unsigned int last = atomic_load_explicit(&set->last_lowest,
						 memory_order_relaxed);
	unsigned int best_at = last, i;
	struct lapic *best = NULL;

	for (i = 1; i <= set->count; i++) {
		unsigned int at = (last + i) % set->count;
		struct lapic *lapic = set->lapic[at];

		if (!lapic_is_target(lapic, sender, message) ||
		    !lapic_enabled(lapic))
			continue;
		if (best && lapic_get(&lapic->tpr) >= lapic_get(&best->tpr))
			continue;
		best = lapic;
		best_at = at;
	}
	atomic_store_explicit(&set->last_lowest, best_at,
			      memory_order_relaxed);
	return best;
}

void lapic_route(struct lapic_set *set, struct lapic *sender,
		 const struct lapic_message *message)
{
	struct lapic *lapic;
	unsigned int i;

	if (message->mode == LAPIC_LOWEST) {
		lapic = lapic_pick_lowest(set, sender, message);
		if (lapic)
			lapic_deliver(lapic, message);
		return;
	}
	for (i = 0; i < set->count; i++) {
		lapic = set->lapic[i];
		if (lapic_is_target(lapic, sender, message))
			lapic_deliver(lapic, message);
	}
}

void lapic_set_send(void *set, const struct msi *msi)
{
	struct lapic_message message = {
		.dest = (uint32_t)(msi->address >> 12) & 0xff,
		.logical = msi->address & 4,
		.level = msi->data & 0x8000,
		.mode = (msi->data >> 8) & 7,
		.vector = (uint8_t)msi->data,
		.shorthand = LAPIC_TO_DEST,
	};

	if (msi->address >> 20 != LAPIC_BASE >> 20)
		return; /* an ordinary memory address: not an interrupt */
	/* Redirection hint with a logical destination: one of them. */
	if ((msi->address & 0xc) == 0xc && message.mode == LAPIC_FIXED)
		message.mode = LAPIC_LOWEST;
	lapic_route(set, NULL, &message);
}

void lapic_set_extint(void *set, unsigned int line, bool level)
{
	const struct lapic_set *lapics = set;
	struct lapic *bsp;
	uint32_t lint0;
	bool was;

	if (!lapics->count)
		return;
	bsp = lapics->lapic[0];
	was = atomic_exchange(&bsp->extint, level);
	if (!level || was)
		return;
	lint0 = lapic_get(&bsp->lvt[LAPIC_LVT_LINT0]);
	if (lapic_on(bsp) && LAPIC_LVT_MODE(lint0) != LAPIC_EXTINT)
		lapic_raise_local(bsp, LAPIC_LVT_LINT0);
	else
		x86_cpu_request(bsp->cpu, X86_REQ_INTR);
}

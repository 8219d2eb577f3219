/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest code that changes: who is told when a page with decoded code is
 * written, and when its blocks are to look for themselves.
 *
 * A page whose code was decoded has MEM_PAGE_CODE, so that no vCPU has a write
 * tag for it. The first write takes the flag away, moves the page's state on
 * (which makes all its blocks out of date) and, when some vCPU has host code
 * of it (MEM_PAGE_HOT), calls all vCPUs out of host code. Further writes cost
 * nothing until code of the page is run, hence decoded, again.
 *
 * A page that has gone through that WRITES_MAX times becomes a checked one:
 * it stays writable, and its blocks compare the bytes that they were made
 * from each time before they run. There, a block ends behind every
 * instruction that may write memory, so that it cannot miss a change of
 * itself.
 *
 * A kernel patches itself while it starts and stays as it is for ever. So
 * when a block of a checked page has become hot without a change, its page is
 * an ordinary one again, until the next write; that is tried CALMS_MAX times.
 * Both counts start anew when the machine has seen EPOCH_WRITES writes.
 */
#include "engine/soft/soft.h"
#include "x86/access.h"

/* soft_vm.page[] */
#define STATE_ONE     1ull	   /* counts all changes of state */
#define STATE_EPOCH   (1ull << 40) /* when these were counted: */
#define STATE_EPOCHS  (0xffull << 40)
#define STATE_WRITE   (1ull << 48) /* times that it was written */
#define STATE_WRITES  (0xffull << 48)
#define STATE_CALM    (1ull << 56) /* times that it was ordinary again */
#define STATE_CALMS   (0xfull << 56)
#define STATE_CHECKED (1ull << 63)

#define WRITES_MAX   6u
#define CALMS_MAX    6u
#define EPOCH_WRITES 4096u

/* The counts of an earlier epoch are zero now. */
static uint64_t renew(const struct soft_vm *soft, uint64_t state)
{
	uint64_t epoch = atomic_load(&soft->code_writes) / EPOCH_WRITES *
				 STATE_EPOCH & STATE_EPOCHS;

	if ((state & STATE_EPOCHS) == epoch)
		return state;
	return (state & ~(STATE_EPOCHS | STATE_WRITES | STATE_CALMS)) | epoch;
}

static void next_state(struct soft_vm *soft, uint64_t page)
{
	atomic_fetch_add(&soft->page[page], STATE_ONE);
}

/* A write to a page that had code. */
static void count_write(struct soft_vm *soft, uint64_t page)
{
	uint64_t old = atomic_load(&soft->page[page]), new;

	atomic_fetch_add(&soft->code_writes, 1);
	do {
		new = renew(soft, old) + STATE_ONE;
		if ((new & STATE_WRITES) < WRITES_MAX * STATE_WRITE)
			new += STATE_WRITE;
		else
			new |= STATE_CHECKED;
	} while (!atomic_compare_exchange_weak(&soft->page[page], &old, new));
}

/*
 * The state moves on before and after the flags go: a vCPU that decodes
 * meanwhile finds its block out of date, or the flag taken away, and one that
 * makes host code finds its block out of date, or is called.
 */
void soft_code_written(void *ctx, uint64_t page)
{
	const uint8_t flags = MEM_PAGE_CODE | MEM_PAGE_HOT;
	struct soft_vm *soft = ctx;
	uint8_t old;

	count_write(soft, page);
	old = atomic_fetch_and(&soft->vm->memory.page_flags[page],
			       (uint8_t)~flags);
	next_state(soft, page);
	if (!(old & MEM_PAGE_HOT))
		return;
	for (unsigned int i = 0; i < soft->vm->cpu_count; i++)
		x86_cpu_request(soft->vm->cpu[i], X86_REQ_CODE);
}

/*
 * All processors withdraw their write tags, this one's too, behind what they
 * have begun: as for a page that became code. Which one is no matter.
 */
void soft_kind_changed(void *ctx, unsigned int region)
{
	struct soft_vm *soft = ctx;
	struct vm *vm = soft->vm;
	uint64_t head;

	host_lock(&soft->ring_lock);
	head = atomic_load(&soft->ring_head);
	soft->ring[head % SOFT_RING] = vm->memory.region[region].first_page;
	atomic_store(&soft->ring_head, head + 1);
	host_unlock(&soft->ring_lock);
	for (unsigned int i = 0; i < vm->cpu_count; i++)
		x86_cpu_request(vm->cpu[i], X86_REQ_CODE);
}

bool soft_page_is_checked(uint64_t state)
{
	return state & STATE_CHECKED;
}

/* Withdraws this vCPU's write tags, and has the others do the same. */
static void share(struct soft_cpu *soft, uint64_t page, const uint8_t *host)
{
	struct soft_vm *shared = soft->soft;
	struct vm *vm = shared->vm;
	uint64_t head;

	atomic_fetch_or(&vm->memory.page_flags[page], MEM_PAGE_CODE);
	x86_tlb_protect(soft->cpu, host, PAGE_SIZE);
	if (vm->cpu_count < 2)
		return;
	host_lock(&shared->ring_lock);
	head = atomic_load(&shared->ring_head);
	shared->ring[head % SOFT_RING] = page;
	atomic_store(&shared->ring_head, head + 1);
	host_unlock(&shared->ring_lock);
	for (unsigned int i = 0; i < vm->cpu_count; i++)
		if (vm->cpu[i] != soft->cpu)
			x86_cpu_request(vm->cpu[i], X86_REQ_CODE);
}

uint64_t soft_open_page(struct soft_cpu *soft, uint64_t page,
			const uint8_t *host)
{
	_Atomic uint64_t *state = &soft->soft->page[page];
	_Atomic uint8_t *flags = &soft->soft->vm->memory.page_flags[page];
	uint64_t now;

	for (;;) {
		now = atomic_load(state);
		if (now & STATE_CHECKED || atomic_load(flags) & MEM_PAGE_CODE)
			return now;
		share(soft, page, host);
	}
}

bool soft_page_calms(struct soft_cpu *soft, const struct block *block)
{
	struct soft_vm *shared = soft->soft;
	uint64_t old = block->state, new = renew(shared, old);

	if ((new & STATE_CALMS) >= CALMS_MAX * STATE_CALM)
		return false;
	new = ((new + STATE_ONE) & ~STATE_CHECKED) + STATE_CALM;
	/* Moved on meanwhile: the block is out of date as well. */
	atomic_compare_exchange_strong(&shared->page[block->page -
						     shared->page],
				       &old, new);
	return true;
}

static void make_hot(struct soft_vm *soft, const _Atomic uint64_t *page)
{
	_Atomic uint8_t *flags =
		&soft->vm->memory.page_flags[page - soft->page];

	if (!(atomic_load(flags) & MEM_PAGE_HOT))
		atomic_fetch_or(flags, MEM_PAGE_HOT);
}

void soft_page_is_hot(struct soft_cpu *soft, const struct block *block)
{
	if (!block->source)
		make_hot(soft->soft, block->page);
	if (block->crosses)
		make_hot(soft->soft, block_second(block)->page);
}

/* Of one-byte opcodes with a memory operand: it is read at most. */
static bool only_reads(unsigned int op, unsigned int reg)
{
	if (op < 0x40)
		return (op & 6) == 2 || op >= 0x38; /* into a register, CMP */
	switch (op) {
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x84 ... 0x85:
	case 0x8a ... 0x8b:
	case 0x8d:
		return true;
	case 0x80 ... 0x83:
		return reg == 7; /* CMP */
	case 0xf6 ... 0xf7:
		return reg < 2 || reg > 3; /* TEST, MUL ... IDIV */
	default:
		return false;
	}
}

bool block_may_write(const struct x86_insn *insn)
{
	unsigned int op = insn->opcode, reg = insn->modrm >> 3 & 7;

	/* MASKMOVQ, MASKMOVDQU name no memory operand. */
	if (insn->map != X86_MAP_ONE || insn->encoding != X86_LEGACY)
		return insn->mem || op == 0xf7 || op == 0xa0 || op == 0xa8;
	if (insn->mem)
		return !only_reads(op, reg);
	switch (op) {
	case 0x50 ... 0x57: /* PUSH */
	case 0x60:
	case 0x68:
	case 0x6a:
	case 0x6c ... 0x6d:
	case 0x9c:
	case 0xa2 ... 0xa5: /* MOV to an address, MOVS */
	case 0xaa ... 0xab:
	case 0xc8:
		return true;
	default:
		return op < 0x40 && (op & 7) >= 6; /* PUSH of a segment */
	}
}

void soft_note_again(struct soft_cpu *soft)
{
	struct x86_cpu *cpu = soft->cpu;

	if (cpu->noted_early)
		memory_note_host(&cpu->vm->memory, cpu->noted_early, 1);
	cpu->noted_early = NULL;
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
	soft_note_again(soft);
	head = atomic_load(&shared->ring_head);
	if (head == soft->ring_seen)
		return;
	x86_tlb_protect(soft->cpu, NULL, 0);
	host_lock(&shared->ring_lock);
	head = atomic_load(&shared->ring_head);
	/* Overrun: every page may be one of those missed. */
	if (head - soft->ring_seen > SOFT_RING) {
		for (page = 0; page < shared->pages; page++)
			if (atomic_load(&shared->vm->memory.page_flags[page]) &
			    MEM_PAGE_CODE)
				next_state(shared, page);
	} else {
		for (; soft->ring_seen < head; soft->ring_seen++)
			next_state(shared,
				   shared->ring[soft->ring_seen % SOFT_RING]);
	}
	soft->ring_seen = head;
	host_unlock(&shared->ring_lock);
	/* Host code does not look at states. */
	for (unsigned int i = 0; i < shared->vm->cpu_count; i++)
		if (shared->vm->cpu[i] != soft->cpu)
			x86_cpu_request(shared->vm->cpu[i], X86_REQ_CODE);
}

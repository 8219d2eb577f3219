/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What host code asks C code for. It calls one routine for everything unusual,
 * and where that would return to tells what it is about: the interpreter's
 * help for an instruction, an exit that leads nowhere yet, or a request seen
 * at the polling entry. Tables behind a block's code know. So code memory
 * spends five bytes and a row on each.
 *
 * A block in code memory:
 *   struct head
 *   the call for requests; polling entry, plain entry
 *   the instructions; what is not in their line
 *   a table of instructions for the interpreter, one of exits
 *
 * An exit is a call of that routine, or a jump to one, until it is known where
 * it leads. To another page it leads to the target's far entry. That and the
 * indirect entry lie apart, and are made when they are first wanted; the one
 * that the block itself is made because of stands in front of the others.
 */
#include "engine/soft/rewrite_impl.h"

#include "engine/soft/soft.h"
#include "vm/error.h"

struct head {
	uint32_t block; /* its distance from the first kept one, by 8 */
	uint16_t tables; /* their distance from here */
	uint8_t slow, exits; /* rows of the tables */
};

/* No call returns to before this but the one for requests. */
#define BACK_POLL (sizeof(struct head) + 8)

/*
 * A row of the first table: distances from the head of where the call returns
 * to and where to go on, and the instruction's index; its offset, and how many
 * more there are.
 */
#define BACK_BITS 13
#define BACK_MASK ((1u << BACK_BITS) - 1)
#define SLOW_SIZE 6u

_Static_assert(2 * BACK_BITS + 5 <= 32 && BLOCK_INSNS_MAX <= 32,
	       "32 bits of a row of the first table");

/* Checks for a whole share that may fail before there is a copy. */
#define FAILED_MAX 16u

/*
 * A row of the second, of 16-bit words: where the call returns to, with these
 * bits; what is live, and above that the target's distance from the block's
 * rip, when it is in the same page; else two words of distance; and the
 * distance of the displacement to patch, unless it is that call's; 0, when it
 * lies before the head, and two words of distance.
 */
#define EXIT_POLL 0x2000u
#define EXIT_FAR  0x4000u
#define EXIT_SITE 0x8000u
#define LIVE_BITS 3
#define LIVE_MASK ((1u << LIVE_BITS) - 1)

/* Distance of the key in a far entry. */
#define FAR_KEY 14

int rewrite_events_open(struct rewriter *rw)
{
	rw->start = host_alloc(rw->code.size / REWRITE_UNIT / 8 + 8);
	rw->call = host_alloc(REWRITE_CALLS * sizeof(*rw->call));
	return rw->start && rw->call ? 0 : -VM_ENOMEM;
}

void rewrite_events_close(struct rewriter *rw)
{
	host_free(rw->start);
	host_free(rw->call);
}

void rewrite_events_flush(struct rewriter *rw)
{
	memset(rw->start, 0, rw->used / REWRITE_UNIT / 8 + 8);
	memset(rw->call, 0, REWRITE_CALLS * sizeof(*rw->call));
}

void rewrite_events_mark(struct rewriter *rw, size_t offset)
{
	size_t unit = offset / REWRITE_UNIT;

	rw->start[unit / 64] |= (uint64_t)1 << (unit % 64);
}

/* --- tables --------------------------------------------------------------------- */

void rewrite_put_head(struct rewrite *t)
{
	const struct head none = { 0 };
	size_t offset = (size_t)(t->e.p - t->rw->code.write);

	t->front = t->e.p;
	t->place = (uint32_t)(offset / REWRITE_UNIT * REWRITE_PLACE);
	emit_bytes(&t->e, &none, sizeof(none));
}

struct rewrite_slow *rewrite_add_slow(struct rewrite *t, unsigned int index,
				      uint8_t *back)
{
	struct rewrite_slow *slow = &t->slow[t->slow_count++];

	slow->more = 0;
	slow->back = back;
	slow->index = (uint8_t)rewrite_in_block(t, index);
	return slow;
}

struct rewrite_slow *rewrite_put_slow(struct rewrite *t, unsigned int index)
{
	emit_call(&t->e, t->rw->event);
	return rewrite_add_slow(t, index, t->e.p);
}

static void put_16(struct emit *e, unsigned int v)
{
	emit_8(e, v & 0xff);
	emit_8(e, v >> 8 & 0xff);
}

/* From the block's head. */
static unsigned int distance(struct rewrite *t, const uint8_t *at)
{
	size_t away = (size_t)(at - t->front);

	if (away > BACK_MASK)
		t->unfit = true;
	return (unsigned int)away & BACK_MASK;
}

static void put_slow_row(struct rewrite *t, const struct rewrite_slow *slow)
{
	unsigned int back = distance(t, slow->back);
	unsigned int behind = distance(t, slow->behind);

	emit_32(&t->e, back | behind << BACK_BITS |
			       (uint32_t)slow->index << 2 * BACK_BITS);
	emit_8(&t->e, t->block->insn[slow->index].offset);
	emit_8(&t->e, slow->more);
}

static void put_exit_row(struct rewrite *t, const struct rewrite_exit *exit)
{
	uint32_t away = (uint32_t)(exit->target - t->block->rip);
	unsigned int flags = (exit->poll ? EXIT_POLL : 0) |
			     (exit->far ? EXIT_FAR : 0) |
			     (exit->in_line ? 0 : EXIT_SITE);

	/* From another instruction of the block it may be a little too far. */
	if (!rewrite_narrow(t) &&
	    exit->target - t->block->rip != (uint64_t)(int64_t)(int32_t)away)
		t->unfit = true;
	put_16(&t->e, distance(t, exit->back) | flags);
	if (exit->far) {
		put_16(&t->e, exit->live);
		emit_32(&t->e, away);
	} else {
		put_16(&t->e, exit->live | away << LIVE_BITS);
	}
	if (exit->in_line)
		return;
	if (exit->at > t->front) {
		put_16(&t->e, distance(t, exit->at));
	} else {
		put_16(&t->e, 0);
		emit_32(&t->e, (uint32_t)(exit->at - t->front));
	}
}

void rewrite_put_end(struct rewrite *t)
{
	const struct soft_cpu *soft = t->cpu->engine;
	const uint8_t *kept = soft->cache.kept.base;
	struct head head = {
		.block = (uint32_t)(((uint8_t *)t->block - kept) / 8),
		.slow = (uint8_t)t->slow_count,
		.exits = (uint8_t)t->exit_count,
	};
	struct emit *e = &t->e;

	for (unsigned int i = 0; i < t->exit_count; i++) {
		if (t->exit[i].in_line)
			continue;
		emit_land_32(e, t->exit[i].at);
		emit_call(e, t->rw->event);
		t->exit[i].back = e->p;
	}
	head.tables = (uint16_t)distance(t, e->p);
	for (unsigned int i = 0; i < t->slow_count; i++)
		put_slow_row(t, &t->slow[i]);
	for (unsigned int i = 0; i < t->exit_count; i++)
		put_exit_row(t, &t->exit[i]);
	if (!e->full)
		memcpy(t->front, &head, sizeof(head));
}

void rewrite_lead_away(struct rewrite *t)
{
	uint8_t *front = (uint8_t *)(uintptr_t)t->block->live_code -
			 t->e.to_exec;
	struct emit *e = &t->e;

	rewrite_put_head(t);
	while ((size_t)(e->p - t->front) < BACK_POLL)
		emit_8(e, 0x90);
	t->exit[t->exit_count++] = (struct rewrite_exit){
		.at = front + 1,
		.target = t->block->rip,
		.live = t->block->needs,
	};
	front[0] = 0xe9; /* jmp */
	rewrite_put_end(t);
}

/* --- events --------------------------------------------------------------------- */

struct event {
	struct block *block;
	uint8_t *front; /* of the block */
	struct head head;
	unsigned int back; /* from `front`: where the call returns to */
};

/* The last block that begins at or before `unit`. */
static size_t start_before(const uint64_t *start, size_t unit)
{
	size_t word = unit / 64;
	uint64_t bits = start[word] & UINT64_MAX >> (63 - unit % 64);

	while (!bits)
		bits = start[--word];
	return word * 64 + 63 - (unsigned int)__builtin_clzll(bits);
}

static struct block *block_at(const struct soft_cpu *soft, const uint8_t *front,
			      struct head *head)
{
	memcpy(head, front, sizeof(*head));
	return (struct block *)(soft->cache.kept.base +
				(size_t)head->block * 8);
}

static struct event find_event(const struct soft_cpu *soft, uint64_t back)
{
	const struct rewriter *rw = &soft->rewriter;
	size_t offset = back - (uintptr_t)rw->code.exec;
	size_t unit = start_before(rw->start, (offset - 1) / REWRITE_UNIT);
	struct event event = {
		.front = rw->code.write + unit * REWRITE_UNIT,
		.back = (unsigned int)(offset - unit * REWRITE_UNIT),
	};

	event.block = block_at(soft, event.front, &event.head);
	return event;
}

struct block *rewrite_placed(struct x86_cpu *cpu, uint64_t place)
{
	const struct soft_cpu *soft = cpu->engine;
	struct head head;

	return block_at(soft, soft->rewriter.code.write +
				      place / REWRITE_PLACE * REWRITE_UNIT,
			&head);
}

struct block *rewrite_called_by(const struct x86_cpu *cpu, uint64_t back)
{
	return find_event(cpu->engine, back).block;
}

/* Goes on at `rip`, which host code has led to. */
static uintptr_t go_on(struct soft_cpu *soft, uint64_t rip)
{
	const uint8_t *code;

	soft->cpu->state.rip = rip;
	code = soft_resume(soft);
	return code ? (uintptr_t)code : (uintptr_t)X86_BRANCH;
}

/* A row of the table of exits. */
struct exit_row {
	unsigned int flags, back;
	int32_t away, site;
	uint8_t live;
};

/* Reads the row at `at`; gives where the next one is. */
static const uint8_t *read_exit(const uint8_t *at, struct exit_row *row)
{
	uint16_t v[2];

	memcpy(v, at, sizeof(v));
	at += sizeof(v);
	row->flags = v[0];
	row->back = v[0] & BACK_MASK;
	row->live = v[1] & LIVE_MASK;
	row->away = (int16_t)v[1] >> LIVE_BITS;
	row->site = (int32_t)row->back - 4;
	if (v[0] & EXIT_FAR) {
		memcpy(&row->away, at, sizeof(row->away));
		at += sizeof(row->away);
	}
	if (v[0] & EXIT_SITE) {
		memcpy(v, at, sizeof(v[0]));
		row->site = v[0];
		at += sizeof(v[0]);
	}
	if (!row->site) {
		memcpy(&row->site, at, sizeof(row->site));
		at += sizeof(row->site);
	}
	return at;
}

static uintptr_t left_by(struct soft_cpu *soft, const struct event *event,
			 const struct exit_row *row)
{
	struct rewriter *rw = &soft->rewriter;
	uint64_t rip = event->block->rip + (uint64_t)(int64_t)row->away;

	if (!(event->block->mode & X86_MODE_CODE64))
		rip = (uint32_t)rip;
	rw->link_site = event->front + row->site;
	rw->link_flags = row->flags;
	rw->link_live = row->live;
	rw->link_target = rip;
	/* By itself host code changes the mode, but no translation. */
	rw->link_of = block_key(&soft->cache, soft->cpu);
	rw->link_segment = rw->segment;
	return go_on(soft, rip);
}

/* At the polling entry or an exit. */
static uintptr_t between_blocks(struct soft_cpu *soft,
				const struct event *event)
{
	const uint8_t *at = event->front + event->head.tables +
			    event->head.slow * SLOW_SIZE;
	struct exit_row row;

	rewrite_flags_out(soft->cpu);
	rewrite_tired(&soft->rewriter, soft->cpu);
	rewrite_heat_up(&soft->rewriter, soft->cpu);
	rewrite_x87_settle(&soft->rewriter, soft->cpu, NULL, 0);
	rewrite_forget_branch(soft->cpu);
	if (event->back <= BACK_POLL)
		return go_on(soft, event->block->rip);
	for (unsigned int i = 0; i < event->head.exits; i++) {
		at = read_exit(at, &row);
		if (row.back == event->back)
			return left_by(soft, event, &row);
	}
	bug_on(true);
	return X86_STOP;
}

static uintptr_t interpret(struct soft_cpu *soft, struct block *b,
			   const struct rewrite_span *span)
{
	struct rewriter *rw = &soft->rewriter;

	if (span->more && ++b->failed == FAILED_MAX) {
		rewrite_want_apart(rw, b);
		rewrite_renew(rw, soft->cpu, b);
	}
	return rewrite_interpret(soft->cpu, b, span);
}

/* Looks in the first table. False: it is about something else. */
static bool find_call(const struct soft_cpu *soft, const struct event *event,
		      struct rewrite_call *call)
{
	const struct host_code *code = &soft->rewriter.code;
	const uint8_t *at = event->front + event->head.tables;
	uint32_t row;

	for (unsigned int i = 0; i < event->head.slow; i++, at += SLOW_SIZE) {
		memcpy(&row, at, sizeof(row));
		if ((row & BACK_MASK) != event->back)
			continue;
		call->block = event->block;
		call->span.index = row >> 2 * BACK_BITS;
		call->span.offset = at[sizeof(row)];
		call->span.more = at[sizeof(row) + 1];
		at = event->front + (row >> BACK_BITS & BACK_MASK);
		call->behind = (uintptr_t)(at - code->write + code->exec);
		return true;
	}
	return false;
}

uintptr_t rewrite_event(struct x86_cpu *cpu)
{
	_Atomic uint64_t *word = &cpu->fast.word[WORD_BACK];
	uint64_t back = atomic_load_explicit(word, memory_order_relaxed);
	struct soft_cpu *soft = cpu->engine;
	struct rewrite_call *call =
		&soft->rewriter.call[(back ^ back >> 9) % REWRITE_CALLS];
	struct event event;
	uintptr_t result;

	if (call->back != back) {
		event = find_event(soft, back);
		if (!find_call(soft, &event, call))
			return between_blocks(soft, &event);
		call->back = back;
	}
	result = interpret(soft, call->block, &call->span);
	if (!result)
		atomic_store_explicit(word, call->behind,
				      memory_order_relaxed);
	return result;
}

/* --- links ------------------------------------------------------------------------ */

/* Where jumps from elsewhere lead: it polls. */
static uint64_t entry_of(const struct block *b)
{
	return (uint64_t)(uintptr_t)(b->needs ? b->code :
						b->live_code - b->poll);
}

/* The far entry: goes on if the key is the one under which the block was found
 * at its address. */
static void put_far(const struct rewriter *rw, struct emit *e, uint64_t rip)
{
	const struct emit_mem key = rewrite_word(WORD_KEY);
	const struct emit_mem sum = { .base = HOST_RCX, .index = HOST_R10 };
	uint8_t *start = e->p, *hit, *constant;

	emit_mov(e, HOST_R11, HOST_RCX);
	emit_load(e, HOST_RCX, &key);
	constant = emit_const_64(e, HOST_R10, 0);
	emit_lea(e, true, HOST_RCX, &sum);
	hit = emit_jrcxz(e);
	emit_const(e, HOST_R9, rip);
	emit_jmp(e, rw->far_miss);
	emit_land_8(e, hit);
	emit_mov(e, HOST_RCX, HOST_R11);
	bug_on(!e->full && constant != start + FAR_KEY);
}

/*
 * The indirect entry. r9: target, r10: index into the table. Goes on if this
 * is the target and the table's entry is valid: then the sum of key, target
 * and entry is zero.
 */
static void put_indirect(const struct rewriter *rw, struct emit *e)
{
	const struct emit_mem key = rewrite_word(WORD_KEY);
	const struct emit_mem from = emit_gs_index(
		HOST_R10, 3, offsetof(struct x86_cpu, fast) +
				     offsetof(struct x86_fast, from));
	const struct emit_mem plus_r9 = { .base = HOST_RCX,
					  .index = HOST_R9 };
	const struct emit_mem plus_r10 = { .base = HOST_RCX,
					   .index = HOST_R10 };
	uint8_t *hit;

	emit_mov(e, HOST_R11, HOST_RCX);
	emit_load(e, HOST_RCX, &key);
	emit_lea(e, true, HOST_RCX, &plus_r9);
	emit_load(e, HOST_R10, &from);
	emit_lea(e, true, HOST_RCX, &plus_r10);
	hit = emit_jrcxz(e);
	emit_jmp(e, rw->sought_r11);
	emit_land_8(e, hit);
	emit_mov(e, HOST_RCX, HOST_R11);
}

static uint32_t place_of(const struct rewrite *t)
{
	return (uint32_t)(t->e.p - t->rw->code.write);
}

void rewrite_put_entries(struct rewrite *t)
{
	const struct rewriter *rw = t->rw;
	struct block *b = t->block;
	bool far = rw->link_site && rw->link_flags & EXIT_FAR &&
		   rw->link_target == b->rip;
	bool sought = atomic_load_explicit(&t->cpu->fast.word[WORD_SOUGHT],
					   memory_order_relaxed) == b->rip;

	/* One at most: short jumps lead across it. */
	b->far = far ? place_of(t) : 0;
	b->indirect = sought && !far ? place_of(t) : 0;
	if (b->far)
		put_far(rw, &t->e, b->rip);
	else if (b->indirect)
		put_indirect(rw, &t->e);
}

/* An entry that lies apart from its block. */
static struct emit begin_entry(const struct rewriter *rw)
{
	return (struct emit){
		.p = rw->code.write + rw->used,
		.end = rw->code.write + rw->code.size,
		.to_exec = rw->code.exec - rw->code.write,
	};
}

/* Gives where in code memory it is, 0 when there is no room. */
static uint32_t end_entry(struct rewriter *rw, struct emit *e,
			  const struct block *block)
{
	uint32_t at = (uint32_t)rw->used;

	emit_jmp(e, entry_of(block));
	if (e->full)
		return 0;
	rw->used = rewrite_round((size_t)(e->p - rw->code.write));
	rw->bytes += rw->used - at;
	return at;
}

static bool make_far(struct rewriter *rw, struct block *block)
{
	struct emit e = begin_entry(rw);

	put_far(rw, &e, block->rip);
	block->far = end_entry(rw, &e, block);
	return block->far;
}

bool rewrite_make_indirect(struct rewriter *rw, struct block *block)
{
	struct emit e = begin_entry(rw);

	put_indirect(rw, &e);
	block->indirect = end_entry(rw, &e, block);
	return block->indirect;
}

void rewrite_link_far(struct rewriter *rw, const struct block *block,
		      uint64_t key)
{
	key = 0 - key;
	memcpy(rw->code.write + block->far + FAR_KEY, &key, sizeof(key));
}

void rewrite_link_exit(struct rewriter *rw, struct block *block)
{
	uint8_t *site = rw->link_site;
	const uint8_t *to = block->code;
	uint64_t next = (uint64_t)(uintptr_t)(site + 4 - rw->code.write +
					      rw->code.exec);
	int32_t away;

	if (rw->link_flags & EXIT_FAR) {
		if (!block->far && !make_far(rw, block))
			return;
		to = rw->code.exec + block->far;
	} else if (!(block->needs & ~(unsigned int)rw->link_live)) {
		to = block->live_code -
		     (rw->link_flags & EXIT_POLL ? block->poll : 0);
	}
	away = (int32_t)((uintptr_t)to - next);
	memcpy(site, &away, sizeof(away));
	if (!(rw->link_flags & EXIT_SITE))
		site[-1] = 0xe9; /* the call becomes a jump */
}

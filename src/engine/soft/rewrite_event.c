/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What host code asks C code for. It calls one routine for everything unusual,
 * and where that would return to tells what it is about: the interpreter's
 * help for an instruction, an exit that leads nowhere yet, or a request seen
 * at the polling entry. Tables behind a block's code know. So code memory
 * spends five bytes and a row on each.
 *
 * A block in code memory:
 *   the head
 *   the call for requests and the polling entry, if it is wanted at once
 *   the instructions; what is not in their line
 *   a table of instructions for the interpreter, one of exits
 *
 * An exit is a call of that routine, or a jump to one, until it is known where
 * it leads. To another page it leads to the target's far entry. That, the
 * indirect and the polling entry lie apart, and are made when they are first
 * wanted; the one that the block itself is made because of stands in front.
 */
#include "engine/soft/rewrite_impl.h"

#include "engine/soft/soft.h"
#include "vm/error.h"

/* Five bytes: 27 bits of the block's distance from the first kept one, by 8,
 * and 13 of that of the tables from here. */
#define HEAD_SIZE   5u
#define HEAD_BLOCKS 27

struct head {
	struct block *block;
	const uint8_t *tables;
};

/* The call for requests returns to before this; so may others. */
#define BACK_POLL (HEAD_SIZE + 8)

/* Distances from the head have so many bits. */
#define BACK_BITS 13
#define BACK_MASK ((1u << BACK_BITS) - 1)

/*
 * The tables begin with a byte that counts the rows of the first one, and one
 * that counts the exits which are not in line, and, by EXITS_IN_LINE, the
 * others.
 *
 * Rows of the first table are in the order of where the calls return to. One
 * has three bytes when its lowest bit is set. Those above are: how far behind
 * the last row's the call returns, 8; where to go on behind there, 5; the
 * instruction's index above the last one's, 3, and its offset, 7. When only the
 * next bit is set, it has four: 8, 8, 3 and 6 bits, and how many instructions
 * more there are, 5. Else six: distances from the head of where the call returns
 * to and where to go on, the offset, the index, and how many more.
 */
#define EXITS_IN_LINE 32u
#define SLOW_SHORT    3u
#define SLOW_MORE     4u
#define SLOW_LONG     6u

_Static_assert(2 + 2 * BACK_BITS + 8 + 5 + 5 <= 48 && BLOCK_INSNS_MAX <= 32 &&
	       REWRITE_EXITS_MAX < EXITS_IN_LINE,
	       "bits of tables");

/* Checks for a whole share that may fail before there is a copy. */
#define FAILED_MAX 16u

/*
 * A row of the second table: for an exit in line, 16 bits of where its call
 * returns to. For the others, whose calls stand one behind the other up to the
 * tables, a byte: how far the displacement to patch lies behind the last one's;
 * 0 when that is too far, and then two bytes of its distance from the head.
 * Behind that 16 bits: EXIT_POLL, EXIT_FAR, EXIT_LIVE, and the lowest ones of
 * the target's distance from the block's rip; to another page, three bytes with
 * the others; and a byte of what is live, if anything is.
 */
#define EXIT_POLL 0x1u
#define EXIT_FAR  0x2u
#define EXIT_LIVE 0x4u
#define EXIT_SITE 0x8u /* never in a row */
#define AWAY_SHIFT 3
#define AWAY_BITS  (16 - AWAY_SHIFT)

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
	static const uint8_t none[HEAD_SIZE];
	size_t offset = (size_t)(t->e.p - t->rw->code.write);

	t->front = t->e.p;
	t->place = (uint32_t)(offset / REWRITE_UNIT * REWRITE_PLACE);
	emit_bytes(&t->e, none, sizeof(none));
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

/* From the block's head. */
static unsigned int distance(struct rewrite *t, const uint8_t *at)
{
	size_t away = (size_t)(at - t->front);

	if (away > BACK_MASK)
		t->unfit = true;
	return (unsigned int)away & BACK_MASK;
}

/* What a row's distances are from: those of the row before it. */
struct last_row {
	unsigned int back, index, offset;
};

static void put_slow_row(struct rewrite *t, const struct rewrite_slow *slow,
			 struct last_row *last)
{
	unsigned int back = distance(t, slow->back);
	unsigned int behind = distance(t, slow->behind);
	uint64_t index = slow->index, more = slow->more;
	uint64_t offset = t->block->insn[index].offset;
	uint64_t back_on = back - last->back, behind_on = behind - back;
	uint64_t index_on = index - last->index;
	uint64_t offset_on = offset - last->offset;
	bool near = back_on < 1u << 8 && index_on < 1u << 3;
	uint64_t row;

	if (near && behind_on < 1u << 5 && offset_on < 1u << 7 && !more) {
		row = 1 | back_on << 1 | behind_on << 9 | index_on << 14 |
		      offset_on << 17;
		emit_bytes(&t->e, &row, SLOW_SHORT);
	} else if (near && behind_on < 1u << 8 && offset_on < 1u << 6) {
		row = 2 | back_on << 2 | behind_on << 10 | index_on << 18 |
		      offset_on << 21 | more << 27;
		emit_bytes(&t->e, &row, SLOW_MORE);
	} else {
		row = (uint64_t)back << 2 | (uint64_t)behind << 15 |
		      offset << 28 | index << 36 | more << 41;
		emit_bytes(&t->e, &row, SLOW_LONG);
	}
	*last = (struct last_row){ back, (unsigned int)index,
				   (unsigned int)offset };
}

/* The few that there are are nearly in order. */
static void sort_slow(struct rewrite *t)
{
	for (unsigned int i = 1; i < t->slow_count; i++) {
		const struct rewrite_slow slow = t->slow[i];
		unsigned int at = i;

		for (; at && t->slow[at - 1].back > slow.back; at--)
			t->slow[at] = t->slow[at - 1];
		t->slow[at] = slow;
	}
}

static void put_exit_row(struct rewrite *t, const struct rewrite_exit *exit,
			 const uint8_t **site)
{
	uint32_t away = (uint32_t)(exit->target - t->block->rip);
	unsigned int flags = (exit->poll ? EXIT_POLL : 0) |
			     (exit->far ? EXIT_FAR : 0) |
			     (exit->live ? EXIT_LIVE : 0);
	unsigned int back = exit->in_line ? distance(t, exit->back) : 0;
	uint32_t low = flags | away << AWAY_SHIFT;
	uint32_t high = away >> AWAY_BITS;
	unsigned int from_head = distance(t, exit->at);

	/* From another instruction of the block it may be a little too far. */
	if (!rewrite_narrow(t) &&
	    exit->target - t->block->rip != (uint64_t)(int64_t)(int32_t)away)
		t->unfit = true;
	if (exit->in_line) {
		emit_bytes(&t->e, &back, 2);
	} else if (exit->at > *site && exit->at - *site <= UINT8_MAX) {
		emit_8(&t->e, (uint8_t)(exit->at - *site));
	} else {
		emit_8(&t->e, 0);
		emit_bytes(&t->e, &from_head, 2);
	}
	if (!exit->in_line)
		*site = exit->at;
	emit_bytes(&t->e, &low, 2);
	if (exit->far)
		emit_bytes(&t->e, &high, 3);
	if (exit->live)
		emit_8(&t->e, exit->live);
}

static void put_tables(struct rewrite *t)
{
	struct last_row last = { 0 };
	const uint8_t *site = t->front;
	unsigned int apart = 0;

	for (unsigned int i = 0; i < t->exit_count; i++)
		apart += !t->exit[i].in_line;
	if ((t->exit_count - apart) * EXITS_IN_LINE > UINT8_MAX)
		t->unfit = true;
	sort_slow(t);
	emit_8(&t->e, t->slow_count);
	emit_8(&t->e, apart | (t->exit_count - apart) * EXITS_IN_LINE);
	for (unsigned int i = 0; i < t->slow_count; i++)
		put_slow_row(t, &t->slow[i], &last);
	for (unsigned int in_line = 2; in_line-- > 0;)
		for (unsigned int i = 0; i < t->exit_count; i++)
			if (t->exit[i].in_line == in_line)
				put_exit_row(t, &t->exit[i], &site);
}

void rewrite_put_end(struct rewrite *t)
{
	const struct soft_cpu *soft = t->cpu->engine;
	const uint8_t *kept = soft->cache.kept.base;
	struct emit *e = &t->e;
	uint64_t head;

	for (unsigned int i = 0; i < t->exit_count; i++) {
		if (t->exit[i].in_line)
			continue;
		emit_land_32(e, t->exit[i].at);
		emit_call(e, t->rw->event);
	}
	head = (uint64_t)((uint8_t *)t->block - kept) / 8 |
	       (uint64_t)distance(t, e->p) << HEAD_BLOCKS;
	put_tables(t);
	if (!e->full)
		memcpy(t->front, &head, HEAD_SIZE);
}

static struct rewrite_call *call_of(const struct rewriter *rw, uint64_t back)
{
	return &rw->call[(back ^ back >> 9) % REWRITE_CALLS];
}

void rewrite_lead_away(struct rewriter *rw, struct block *block)
{
	intptr_t to_exec = rw->code.exec - rw->code.write;
	uint8_t *front = (uint8_t *)(uintptr_t)block->live_code - to_exec;
	struct emit e = { .p = front, .end = front + 5, .to_exec = to_exec };
	struct rewrite_call *call;

	emit_call(&e, rw->event);
	call = call_of(rw, emit_here(&e));
	if (call->back == emit_here(&e))
		call->back = 0;
	block->away = true;
}

/* --- events --------------------------------------------------------------------- */

struct event {
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

static struct head head_at(const struct soft_cpu *soft, const uint8_t *front)
{
	uint64_t bits = 0;
	uint64_t block;

	memcpy(&bits, front, HEAD_SIZE);
	block = bits & (((uint64_t)1 << HEAD_BLOCKS) - 1);
	return (struct head){
		(struct block *)(soft->cache.kept.base + block * 8),
		front + (bits >> HEAD_BLOCKS),
	};
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

	event.head = head_at(soft, event.front);
	return event;
}

struct block *rewrite_placed(struct x86_cpu *cpu, uint64_t place)
{
	const struct soft_cpu *soft = cpu->engine;
	const uint8_t *front = soft->rewriter.code.write +
			       place / REWRITE_PLACE * REWRITE_UNIT;

	return head_at(soft, front).block;
}

struct block *rewrite_called_by(const struct x86_cpu *cpu, uint64_t back)
{
	return find_event(cpu->engine, back).head.block;
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
	unsigned int flags; /* EXIT_* */
	unsigned int back; /* if it is in line */
	int32_t away, site;
	uint8_t live;
};

/* Reads the row at `at`, behind another with that site; gives where the next
 * one is. */
static const uint8_t *read_exit(const uint8_t *at, bool in_line,
				struct exit_row *row)
{
	uint32_t low = 0, high = 0;

	if (in_line) {
		row->back = 0;
		memcpy(&row->back, at, 2);
		row->site = (int32_t)row->back - 4;
		at += 2;
	} else if (*at) {
		row->site += *at++;
	} else {
		row->site = 0;
		memcpy(&row->site, at + 1, 2);
		at += 3;
	}
	memcpy(&low, at, 2);
	at += 2;
	row->flags = low & ((1u << AWAY_SHIFT) - 1);
	row->away = (int16_t)low >> AWAY_SHIFT;
	if (row->flags & EXIT_FAR) {
		memcpy(&high, at, 3);
		at += 3;
		row->away = (int32_t)(low >> AWAY_SHIFT | high << AWAY_BITS);
	}
	row->live = row->flags & EXIT_LIVE ? *at++ : 0;
	row->flags |= in_line ? 0 : EXIT_SITE;
	return at;
}

static uintptr_t left_by(struct soft_cpu *soft, const struct event *event,
			 const struct exit_row *row)
{
	struct rewriter *rw = &soft->rewriter;
	uint64_t rip = event->head.block->rip + (uint64_t)(int64_t)row->away;

	if (!(event->head.block->mode & X86_MODE_CODE64))
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

/* A row of the first table, and what the next one's distances are from. */
struct slow_row {
	struct last_row last;
	unsigned int behind, more;
};

static const uint8_t *read_slow(const uint8_t *at, struct slow_row *row)
{
	struct last_row *last = &row->last;
	uint64_t bits = 0;

	if (*at & 1) {
		memcpy(&bits, at, SLOW_SHORT);
		last->back += bits >> 1 & 0xff;
		row->behind = last->back + (bits >> 9 & 0x1f);
		last->index += bits >> 14 & 7;
		last->offset += (unsigned int)(bits >> 17);
		row->more = 0;
		return at + SLOW_SHORT;
	}
	if (*at & 2) {
		memcpy(&bits, at, SLOW_MORE);
		last->back += bits >> 2 & 0xff;
		row->behind = last->back + (bits >> 10 & 0xff);
		last->index += bits >> 18 & 7;
		last->offset += bits >> 21 & 0x3f;
		row->more = (unsigned int)(bits >> 27);
		return at + SLOW_MORE;
	}
	memcpy(&bits, at, SLOW_LONG);
	last->back = bits >> 2 & BACK_MASK;
	row->behind = bits >> 15 & BACK_MASK;
	last->offset = bits >> 28 & 0xff;
	last->index = bits >> 36 & 0x1f;
	row->more = (unsigned int)(bits >> 41);
	return at + SLOW_LONG;
}

/* The call that rewrite_lead_away() has put, and what is in its place of a
 * row. */
static bool is_away(const struct soft_cpu *soft, const struct event *event)
{
	const struct host_code *code = &soft->rewriter.code;
	const uint8_t *front = event->head.block->live_code;

	return event->head.block->away &&
	       front - code->exec + 5 ==
		       event->front - code->write + (ptrdiff_t)event->back;
}

/* The row of the exit by which host code was left; false: there is none. */
static bool find_exit(const struct event *event, struct exit_row *row)
{
	const uint8_t *tables = event->head.tables;
	unsigned int before = (unsigned int)(tables - event->front) -
			      event->back;
	unsigned int in_line = tables[1] / EXITS_IN_LINE;
	unsigned int apart = tables[1] % EXITS_IN_LINE, slow = tables[0];
	struct slow_row skipped = { 0 };
	const uint8_t *at = tables + 2;

	while (slow--)
		at = read_slow(at, &skipped);
	while (in_line--) {
		at = read_exit(at, true, row);
		if (row->back == event->back)
			return true;
	}
	/* Their calls have five bytes each. */
	if (event->back > (unsigned int)(tables - event->front) ||
	    before >= apart * 5)
		return false;
	row->site = 0;
	for (unsigned int i = 0; i < apart - before / 5; i++)
		at = read_exit(at, false, row);
	return true;
}

/* At the polling entry or an exit. */
static uintptr_t between_blocks(struct soft_cpu *soft,
				const struct event *event)
{
	struct exit_row row;

	rewrite_flags_out(soft->cpu);
	rewrite_tired(&soft->rewriter, soft->cpu);
	rewrite_heat_up(&soft->rewriter, soft->cpu);
	rewrite_x87_settle(&soft->rewriter, soft->cpu, NULL, 0);
	rewrite_forget_branch(soft->cpu);
	if (is_away(soft, event)) {
		row = (struct exit_row){
			.site = (int32_t)event->back - 4,
			.live = event->head.block->needs,
		};
		return left_by(soft, event, &row);
	}
	if (find_exit(event, &row))
		return left_by(soft, event, &row);
	bug_on(event->back > BACK_POLL);
	return go_on(soft, event->head.block->rip);
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
	const uint8_t *at = event->head.tables + 2;
	struct slow_row row = { 0 };

	for (unsigned int i = 0; i < event->head.tables[0]; i++) {
		at = read_slow(at, &row);
		if (row.last.back != event->back)
			continue;
		call->block = event->head.block;
		call->span.index = row.last.index;
		call->span.offset = row.last.offset;
		call->span.more = row.more;
		at = event->front + row.behind;
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
	struct rewrite_call *call = call_of(&soft->rewriter, back);
	struct event event;
	uintptr_t result;

	if (call->back != back) {
		event = find_event(soft, back);
		if (is_away(soft, &event) || !find_call(soft, &event, call))
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
static uint64_t entry_of(const struct rewriter *rw, const struct block *b)
{
	return b->needs ? (uint64_t)(uintptr_t)b->code :
			  (uint64_t)(uintptr_t)rw->code.exec + b->poll;
}

/* The far entry: goes on if the key is the one under which the block was found
 * at its address. */
static uint8_t *put_far(const struct rewriter *rw, struct emit *e, uint64_t rip)
{
	const struct emit_mem key = rewrite_word(WORD_KEY);
	const struct emit_mem sum = { .base = HOST_RCX, .index = HOST_R10 };
	uint8_t *start = e->p, *hit, *constant, *out;

	emit_mov(e, HOST_R11, HOST_RCX);
	emit_load(e, HOST_RCX, &key);
	constant = emit_const_64(e, HOST_R10, 0);
	emit_lea(e, true, HOST_RCX, &sum);
	hit = emit_jrcxz(e);
	out = e->p;
	emit_const(e, HOST_R9, rip);
	emit_jmp(e, rw->far_miss);
	emit_land_8(e, hit);
	emit_mov(e, HOST_RCX, HOST_R11);
	bug_on(!e->full && constant != start + FAR_KEY);
	return out;
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

static bool is_far(const struct rewrite *t)
{
	const struct rewriter *rw = t->rw;

	return rw->link_site && rw->link_flags & EXIT_FAR &&
	       rw->link_target == t->block->rip;
}

bool rewrite_is_sought(const struct rewrite *t)
{
	return is_far(t) ||
	       atomic_load_explicit(&t->cpu->fast.word[WORD_SOUGHT],
				    memory_order_relaxed) == t->block->rip;
}

bool rewrite_link_polls(const struct rewriter *rw)
{
	return rw->link_flags & EXIT_POLL;
}

void rewrite_put_entries(struct rewrite *t)
{
	bool far = is_far(t), sought = rewrite_is_sought(t);
	struct block *b = t->block;

	/* One at most: short jumps lead across it. */
	b->far = far ? place_of(t) : 0;
	b->indirect = sought && !far ? place_of(t) : 0;
	if (b->far)
		put_far(t->rw, &t->e, b->rip);
	else if (b->indirect)
		put_indirect(t->rw, &t->e);
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

/* Its end, where there is no polling entry yet: that. `out`: where to leave
 * by, with rcx in r11, or NULL. */
static void put_poll_apart(const struct rewriter *rw, struct emit *e,
			   const struct block *block, const uint8_t *out)
{
	uint8_t *leaves;

	if (out && !block->flags)
		emit_mov(e, HOST_R11, HOST_RCX);
	leaves = rewrite_put_poll(e, block->flags);
	emit_jmp(e, (uint64_t)(uintptr_t)block->live_code);
	if (out) {
		bug_on(!e->full && leaves + 1 - out > 128);
		if (!e->full)
			*leaves = (uint8_t)(out - (leaves + 1));
		return;
	}
	emit_land_8(e, leaves);
	if (block->flags)
		emit_mov(e, HOST_RCX, HOST_R11);
	emit_const(e, HOST_R9, block->rip);
	emit_jmp(e, rw->leave);
}

/* Gives where in code memory it is, 0 when there is no room. */
static uint32_t end_entry(struct rewriter *rw, struct emit *e,
			  struct block *block, const uint8_t *out)
{
	uint32_t at = (uint32_t)rw->used;
	uint32_t poll = (uint32_t)(e->p - rw->code.write);

	if (block->poll)
		emit_jmp(e, entry_of(rw, block));
	else
		put_poll_apart(rw, e, block, out);
	if (e->full)
		return 0;
	if (!block->poll)
		block->poll = poll;
	rw->used = rewrite_round((size_t)(e->p - rw->code.write));
	rw->bytes += rw->used - at;
	return at;
}

static bool make_poll(struct rewriter *rw, struct block *block)
{
	struct emit e = begin_entry(rw);

	return end_entry(rw, &e, block, NULL);
}

static bool make_far(struct rewriter *rw, struct block *block)
{
	struct emit e = begin_entry(rw);

	block->far = end_entry(rw, &e, block, put_far(rw, &e, block->rip));
	return block->far;
}

bool rewrite_make_indirect(struct rewriter *rw, struct block *block)
{
	struct emit e = begin_entry(rw);

	put_indirect(rw, &e);
	block->indirect = end_entry(rw, &e, block, NULL);
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
		to = block->live_code;
		if (rw->link_flags & EXIT_POLL) {
			if (!block->poll && !make_poll(rw, block))
				return;
			to = rw->code.exec + block->poll;
		}
	}
	away = (int32_t)((uintptr_t)to - next);
	memcpy(site, &away, sizeof(away));
	if (!(rw->link_flags & EXIT_SITE))
		site[-1] = 0xe9; /* the call becomes a jump */
}

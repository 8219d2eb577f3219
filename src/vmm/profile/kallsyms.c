/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that a Linux kernel carries in its image (CONFIG_KALLSYMS; format:
 * Linux 6.1, scripts/kallsyms.c and kernel/kallsyms.c), found by their shape
 * since a stripped kernel does not tell where they are.
 *
 *   token_table   256 strings, each with its NUL
 *   token_index   u16[256]: where in the table each begins
 *   num_syms      u32, then padding to 8
 *   names         of each symbol: length, then so many bytes, each a token;
 *                 the first character that they give is the type
 *   markers       u32[]: where in names every 256th symbol begins
 *   offsets       i32[num_syms]
 *   relative_base u64
 *
 * Up to Linux 6.3 the last two stand before num_syms, later behind
 * token_index. Kernels without relative addresses are not read.
 */
#include "vmm/profile/symbols.h"

#include <stdbool.h>
#include <string.h>

#define SYMBOLS_MIN 1000u
#define SYMBOLS_MAX 4000000u
#define NAME_ROOM   1024u
#define BLOCK	    256u /* symbols to a marker */

struct kallsyms {
	const uint8_t *data;
	size_t size;
	size_t table; /* offset of token_table */
	size_t index; /* and of token_index */
	size_t names, count; /* of symbols */
	size_t offsets;
	uint64_t base;
};

static uint16_t get16(const struct kallsyms *k, size_t at)
{
	uint16_t v;

	memcpy(&v, k->data + at, sizeof(v));
	return v;
}

static uint32_t get32(const struct kallsyms *k, size_t at)
{
	uint32_t v;

	memcpy(&v, k->data + at, sizeof(v));
	return v;
}

static uint64_t get64(const struct kallsyms *k, size_t at)
{
	uint64_t v;

	memcpy(&v, k->data + at, sizeof(v));
	return v;
}

static size_t align8(size_t at)
{
	return (at + 7) & ~(size_t)7;
}

/* --- tokens ------------------------------------------------------------------ */

/* Whether 256 strings from `table` on are those that an index behind them
 * names. */
static bool check_tokens(struct kallsyms *k, size_t table)
{
	size_t start[256], at = table;

	for (unsigned int i = 0; i < 256; i++) {
		const uint8_t *end;

		if (at >= k->size)
			return false;
		start[i] = at - table;
		end = memchr(k->data + at, 0, k->size - at);
		if (!end)
			return false;
		at = (size_t)(end - k->data) + 1;
	}
	at = align8(at);
	if (k->size < 512 || at > k->size - 512)
		return false;
	for (unsigned int i = 0; i < 256; i++)
		if (get16(k, at + i * 2) != start[i])
			return false;
	k->table = table;
	k->index = at;
	return true;
}

/* Digits are in every kernel's names, so that their tokens stand for
 * themselves. */
static bool find_tokens(struct kallsyms *k)
{
	static const char digits[] = "0\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0"
				     "7\0" "8\0" "9";
	const uint8_t *at = k->data, *end = k->data + k->size;

	while (at && at < end) {
		size_t table, left = '0';

		at = memmem(at, (size_t)(end - at), digits, sizeof(digits));
		if (!at)
			return false;
		/* Back over the strings for the tokens below '0'. */
		table = (size_t)(at - k->data);
		while (table && left) {
			table--;
			while (table && k->data[table - 1])
				table--;
			left--;
		}
		if (!left && check_tokens(k, table))
			return true;
		at++;
	}
	return false;
}

/* --- names -------------------------------------------------------------------- */

/* Length of the name at `at`, and where its tokens begin; false at the end. */
static bool name_at(const struct kallsyms *k, size_t *at, size_t *length)
{
	if (*at + 2 > k->size)
		return false;
	*length = k->data[(*at)++];
	if (*length & 0x80)
		*length = (*length & 0x7f) | (size_t)k->data[(*at)++] << 7;
	return *length && *length < NAME_ROOM && *length < k->size - *at;
}

static const char *token(const struct kallsyms *k, uint8_t number)
{
	return (const char *)k->data + k->table +
	       get16(k, k->index + number * 2u);
}

/* Whether `count` names begin at `at`, with markers behind them. */
static bool check_names(struct kallsyms *k, size_t at, size_t count)
{
	static const char types[] = "aAbBdDiIrRtTuUvVwWnN?";
	size_t start = at, second = 0, length, markers;

	for (size_t i = 0; i < count; i++) {
		if (i == BLOCK)
			second = at - start;
		if (!name_at(k, &at, &length))
			return false;
		if (!strchr(types, token(k, k->data[at])[0]))
			return false;
		at += length;
	}
	markers = align8(at);
	if (k->size < 8 || markers > k->size - 8 || get32(k, markers) ||
	    get32(k, markers + 4) != second)
		return false;
	k->names = start;
	k->count = count;
	return true;
}

/* The names stand a few MiB before the tokens. */
static bool find_names(struct kallsyms *k)
{
	for (size_t at = k->table & ~(size_t)7; at >= 16; at -= 8) {
		size_t count = get32(k, at - 8);

		if (count >= SYMBOLS_MIN && count <= SYMBOLS_MAX &&
		    !get32(k, at - 4) && check_names(k, at, count))
			return true;
		if (k->table - at > (size_t)64 << 20)
			break;
	}
	return false;
}

/* --- addresses ---------------------------------------------------------------- */

static bool is_base(uint64_t base)
{
	return base >= 0xffffffff80000000u && !(base & 0xfff);
}

static bool find_offsets(struct kallsyms *k)
{
	size_t size = align8(k->count * 4), behind = k->index + 512;

	if (k->names >= size + 16 && is_base(get64(k, k->names - 16))) {
		k->base = get64(k, k->names - 16);
		k->offsets = k->names - 16 - size;
		return true;
	}
	if (behind + size + 8 <= k->size && is_base(get64(k, behind + size))) {
		k->base = get64(k, behind + size);
		k->offsets = behind;
		return true;
	}
	return false;
}

/*
 * Where per-processor symbols are absolute, they have positive offsets, and
 * the others are counted down from -1.
 */
static uint64_t address_of(const struct kallsyms *k, size_t i, bool down)
{
	int32_t offset = (int32_t)get32(k, k->offsets + i * 4);

	if (!down)
		return k->base + (uint32_t)offset;
	return offset >= 0 ? (uint64_t)offset :
			     k->base - 1 - (uint64_t)(int64_t)offset;
}

/* The name in `text`, its type first; its length. */
static size_t expand(const struct kallsyms *k, size_t at, size_t length,
		     char text[NAME_ROOM])
{
	size_t used = 0;

	for (; length--; at++)
		for (const char *p = token(k, k->data[at]);
		     *p && used < NAME_ROOM - 1; p++)
			text[used++] = *p;
	return used;
}

int kallsyms_read(const uint8_t *data, size_t size, struct symbols *symbols)
{
	struct kallsyms k = { .data = data, .size = size };
	size_t at, length, down = 0;
	char text[NAME_ROOM];

	if (!find_tokens(&k) || !find_names(&k) || !find_offsets(&k))
		return 0;
	for (size_t i = 0; i < k.count; i++)
		down += get32(&k, k.offsets + i * 4) >> 31;
	at = k.names;
	for (size_t i = 0; i < k.count && name_at(&k, &at, &length); i++) {
		size_t used = expand(&k, at, length, text);

		at += length;
		if (used > 1 && strchr("tTwW", text[0]) &&
		    symbols_add(symbols, address_of(&k, i, down > k.count / 2),
				text + 1, used - 1))
			return -1;
	}
	return (int)k.count;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/utf16.h"

#include "disk/wire.h"

static uint32_t get_unit(const uint8_t *from, bool big)
{
	return big ? get_be16(from) : get_le16(from);
}

/* The character at *at, which goes on behind it. */
static uint32_t next_utf16(const uint8_t *from, size_t bytes, size_t *at,
			   bool big)
{
	uint32_t unit = get_unit(from + *at, big), low;

	*at += 2;
	if (unit < 0xd800 || unit > 0xdfff)
		return unit;
	if (unit > 0xdbff || bytes - *at < 2)
		return '?';
	low = get_unit(from + *at, big);
	if (low < 0xdc00 || low > 0xdfff)
		return '?';
	*at += 2;
	return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

static size_t put_utf8(char *to, uint32_t c)
{
	size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };

	to[0] = (char)(lead[more] | c >> 6 * more);
	for (size_t i = 1; i <= more; i++)
		to[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
	return more + 1;
}

void utf16_decode(char *to, size_t size, const uint8_t *from, size_t bytes,
		  bool big)
{
	size_t at = 0, have = 0;

	while (bytes - at >= 2 && have + 4 < size) {
		uint32_t c = next_utf16(from, bytes, &at, big);

		if (!c)
			break;
		have += put_utf8(to + have, c);
	}
	to[have] = 0;
}

static uint32_t next_utf8(const char **from)
{
	const uint8_t *at = (const uint8_t *)*from;
	unsigned int more = *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : *at >= 0xc0;
	uint32_t c = more ? *at & (0x3fu >> more) : *at;

	for (at++; more && (*at & 0xc0) == 0x80; more--, at++)
		c = c << 6 | (*at & 0x3f);
	*from = (const char *)at;
	return more || c > 0x10ffff ? '?' : c;
}

size_t utf16_encode(uint8_t *to, size_t size, const char *from, bool big)
{
	size_t have = 0;

	while (*from) {
		uint32_t c = next_utf8(&from);
		uint16_t unit[2] = { (uint16_t)c };
		unsigned int units = 1;

		if (c >= 0x10000) {
			unit[0] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
			unit[1] = (uint16_t)(0xdc00 + (c & 0x3ff));
			units = 2;
		}
		if (size - have < 2 * units)
			break;
		for (unsigned int i = 0; i < units; i++, have += 2) {
			if (big)
				put_be16(to + have, unit[i]);
			else
				put_le16(to + have, unit[i]);
		}
	}
	return have;
}

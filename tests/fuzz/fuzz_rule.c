/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes rules of machines (net/rule.h): any text is a rule of sound numbers,
 * or is refused with a reason. Half of the inputs are put together of words,
 * so that they come far.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>

#include "net/rule.h"

#define TEXT 512

static const char *const words_of[] = {
	"in", "out", "allow", "deny", "any", "tcp", "udp", "icmp",
	"10.0.0.0/8", "10.0.0.1", "fd00::/64", "::1", "a.b-c.org", "80",
	"1-65535", "-", " ", ".", "/", "0",
};

#define WORDS (sizeof(words_of) / sizeof(words_of[0]))

static void make_text(char text[TEXT], const uint8_t *data, size_t size)
{
	size_t length = 0;

	for (size_t i = 0; i < size && length + 24 < TEXT; i++) {
		const char *word = words_of[data[i] % WORDS];

		if (data[i] >= 240) {
			text[length++] = (char)(data[i] - 239 + ' ');
			continue;
		}
		memcpy(text + length, word, strlen(word));
		length += strlen(word);
		text[length++] = data[i] & 128 ? '.' : ' ';
	}
	text[length] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_error error = { "" };
	char text[TEXT] = "";
	struct rule rule;

	if (size && data[0] & 1)
		make_text(text, data + 1, size - 1);
	else if (size)
		memcpy(text, data + 1, size - 1 < TEXT - 1 ? size - 1 :
							     TEXT - 1);
	if (rule_parse(&rule, text, &error)) {
		if (!error.text[0])
			abort();
		return 0;
	}
	if (rule.first > rule.last || (rule.last && !rule.first) ||
	    rule.bits > (rule.whom == RULE_NET6 ? 128u : 32u) ||
	    (rule.whom == RULE_NAME) != !!rule.name[0] ||
	    !memchr(rule.name, 0, sizeof(rule.name)) ||
	    (rule.first && rule.protocol != RULE_TCP &&
	     rule.protocol != RULE_UDP))
		abort();
	return 0;
}

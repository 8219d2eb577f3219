/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guest/facts.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/guest/agent.h"

#define REPEATS_MAX 64

const struct fact facts[] = {
	{ "agent", "agent", false, false },
	{ "name", "name", false, false },
	{ "system", "system", false, false },
	{ "kernel", "kernel", false, false },
	{ "uptime", "runs for s", false, false },
	{ "load", "load", false, false },
	{ "memory", "memory", true, false },
	{ "available", "available", true, false },
	{ "swap", "swap", true, false },
	{ "address", "address", false, true },
};
const size_t fact_count = sizeof(facts) / sizeof(facts[0]);

json_t *facts_new(void)
{
	return json_pack("{s[]}", "address");
}

static json_t *bytes_of(const char *text)
{
	return json_integer((json_int_t)(strtoull(text, NULL, 10) &
					 INT64_MAX));
}

void facts_keep(json_t *all, const struct frame *frame)
{
	char text[AGENT_TEXT_MAX], *value;

	agent_printable(text, sizeof(text), frame->data, frame->size);
	value = strchr(text, '=');
	if (!value)
		return;
	*value++ = '\0';
	for (size_t i = 0; i < fact_count; i++) {
		json_t *list = json_object_get(all, text);

		if (strcmp(facts[i].name, text))
			continue;
		if (!facts[i].repeats)
			json_object_set_new(all, text,
					    facts[i].bytes ?
						    bytes_of(value) :
						    json_string(value));
		else if (json_array_size(list) < REPEATS_MAX)
			json_array_append_new(list, json_string(value));
	}
}

bool facts_address(const char *text, char address[FACTS_ADDRESS])
{
	const char *begin = strchr(text, ' ');
	uint8_t bytes[16];
	size_t length;

	if (!begin)
		return false;
	begin++;
	length = strcspn(begin, "/");
	if (length >= FACTS_ADDRESS)
		return false;
	memcpy(address, begin, length);
	address[length] = '\0';
	if (inet_pton(AF_INET, address, bytes) == 1)
		return true;
	return inet_pton(AF_INET6, address, bytes) == 1 &&
	       !(bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net/fabric_words.h"

#include <arpa/inet.h>
#include <string.h>

json_t *words_payload(const char *protocol, const char *field)
{
	return json_pack("{s{ssss}}", "payload", "protocol", protocol, "field",
			 field);
}

json_t *words_meta(const char *key)
{
	return json_pack("{s{ss}}", "meta", "key", key);
}

json_t *words_test(const char *op, json_t *left, json_t *right)
{
	return json_pack("{s{sssoso}}", "match", "op", op, "left", left,
			 "right", right);
}

json_t *words_is(json_t *left, const char *right)
{
	return words_test("==", left, json_string(right));
}

json_t *words_is_number(json_t *left, int right)
{
	return words_test("==", left, json_integer(right));
}

json_t *words_address4(uint32_t address)
{
	struct in_addr in = { htonl(address) };
	char text[NET_ADDRESS];

	inet_ntop(AF_INET, &in, text, sizeof(text));
	return json_string(text);
}

json_t *words_address6(const struct in6_addr *address)
{
	char text[NET_ADDRESS];

	inet_ntop(AF_INET6, address, text, sizeof(text));
	return json_string(text);
}

json_t *words_net4(uint32_t address, unsigned int bits)
{
	return json_pack("{s{sosi}}", "prefix", "addr",
			 words_address4(address), "len", (int)bits);
}

json_t *words_net6(const struct in6_addr *address, unsigned int bits)
{
	return json_pack("{s{sosi}}", "prefix", "addr",
			 words_address6(address), "len", (int)bits);
}

void words_command(struct rules *r, const char *verb, const char *kind,
		   json_t *object)
{
	json_object_set_new(object, "family", json_string(r->family));
	json_object_set_new(object, strcmp(kind, "table") ? "table" : "name",
			    json_string(r->fabric->table));
	json_array_append_new(r->list, json_pack("{s{so}}", verb, kind,
						 object));
}

bool words_has_set(const struct rules *r, const char *name)
{
	const json_t *object;
	size_t i;

	json_array_foreach(json_object_get(r->present, "nftables"), i, object) {
		const json_t *set = json_object_get(object, "set");
		const char *there, *table, *family;

		if (!json_unpack((json_t *)set, "{ssssss}", "name", &there,
				 "table", &table, "family", &family) &&
		    !strcmp(there, name) && !strcmp(family, r->family) &&
		    !strcmp(table, r->fabric->table))
			return true;
	}
	return false;
}

void words_chain(struct rules *r, const char *name)
{
	words_command(r, "add", "chain", json_pack("{ss}", "name", name));
}

void words_hook(struct rules *r, const char *name, const char *type,
		const char *where, int priority)
{
	words_command(r, "add", "chain",
		      json_pack("{sssssssiss}", "name", name, "type", type,
				"hook", where, "prio", priority, "policy",
				"accept"));
}

void words_counter(struct rules *r, const char *owner, const char *why)
{
	words_command(r, "add", "counter",
		      json_pack("{ss++}", "name", owner, "-", why));
}

void words_rule(struct rules *r, const char *chain, json_t *parts)
{
	words_command(r, "add", "rule",
		      json_pack("{ssso}", "chain", chain, "expr", parts));
}

void words_rule_ends(struct rules *r, const char *chain, const char *verdict,
		     json_t *parts)
{
	json_array_append_new(parts, json_pack("{sn}", verdict));
	words_rule(r, chain, parts);
}

void words_drop(struct rules *r, const char *chain, const char *owner,
		const char *why, json_t *parts)
{
	json_array_append_new(parts, json_pack("{ss++}", "counter", owner, "-",
					       why));
	words_rule_ends(r, chain, "drop", parts);
}

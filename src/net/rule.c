/* SPDX-License-Identifier: Apache-2.0 */
#include "net/rule.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/linux/json_file.h"
#include "net/address.h"

#define FILE_NAME "rules.json"
#define WORDS	  5
#define TEXT_MAX  400

static int find(const char *word, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], word))
			return i;
	return -1;
}

static bool is_name(const char *text)
{
	size_t length = strlen(text), label = 0;
	bool letter = false;

	for (size_t i = 0; i < length; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (c == '.' ? !label : !isalnum(c) && c != '-')
			return false;
		letter = letter || isalpha(c);
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return letter && label && *text != '-' && length <= RULE_NAME_MAX;
}

static bool parse_whom(struct rule *rule, const char *word)
{
	char text[64];

	if (!strcmp(word, "any"))
		return true;
	snprintf(text, sizeof(text), "%.50s%s", word,
		 strchr(word, '/') ? "" : strchr(word, ':') ? "/128" : "/32");
	if (address_parse_net4(text, &rule->net4, &rule->bits)) {
		rule->whom = RULE_NET4;
	} else if (address_parse_net6(text, &rule->net6, &rule->bits)) {
		rule->whom = RULE_NET6;
	} else if (is_name(word)) {
		rule->whom = RULE_NAME;
		for (size_t i = 0; i <= strlen(word); i++)
			rule->name[i] = (char)tolower((unsigned char)word[i]);
	} else {
		return false;
	}
	return true;
}

/* "N" or "N-M"; what is behind the digits, NULL: no port. */
static const char *parse_number(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, "0123456789");
	int number = digits && digits <= 5 ? atoi(text) : 0;

	if (number < 1 || number > UINT16_MAX)
		return NULL;
	*port = (uint16_t)number;
	return text + digits;
}

static bool parse_ports(struct rule *rule, const char *word)
{
	const char *rest;

	if (!strcmp(word, "any"))
		return true;
	rest = parse_number(word, &rule->first);
	rule->last = rule->first;
	if (rest && *rest == '-')
		rest = parse_number(rest + 1, &rule->last);
	return rest && !*rest && rule->last >= rule->first &&
	       (rule->protocol == RULE_TCP || rule->protocol == RULE_UDP);
}

int rule_parse(struct rule *rule, const char *text, struct net_error *error)
{
	static const char *const protocols[] = { "any", "tcp", "udp", "icmp" };
	static const char *const directions[] = { "out", "in" };
	static const char *const actions[] = { "deny", "allow" };
	char copy[TEXT_MAX], *rest = copy, *word[WORDS + 1];
	int words = 0, direction, action, protocol;

	*rule = (struct rule){ 0 };
	snprintf(copy, sizeof(copy), "%s", text);
	while (words <= WORDS && (word[words] = strtok_r(rest, " ", &rest)))
		words++;
	if (strlen(text) >= sizeof(copy) || words < 2 || words > WORDS)
		return net_error_set(error, "rule \"%.100s\": give in or out, "
				     "allow or deny, then a protocol, an "
				     "address or name, a port", text);
	direction = find(word[0], directions, 2);
	action = find(word[1], actions, 2);
	protocol = words > 2 ? find(word[2], protocols, 4) : 0;
	if (direction < 0 || action < 0 || protocol < 0)
		return net_error_set(error, "rule \"%.100s\": %.40s: give %s",
				     text, word[direction < 0 ? 0 :
						action < 0 ? 1 : 2],
				     direction < 0 ? "in or out" :
				     action < 0 ? "allow or deny" :
						  "any, tcp, udp or icmp");
	rule->in = direction;
	rule->allow = action;
	rule->protocol = (enum rule_protocol)protocol;
	if (words > 3 && !parse_whom(rule, word[3]))
		return net_error_set(error, "rule \"%.100s\": %.40s: give an "
				     "address, a network, a name or any", text,
				     word[3]);
	if (words > 4 && !parse_ports(rule, word[4]))
		return net_error_set(error, "rule \"%.100s\": %.40s: give a "
				     "port or FIRST-LAST, of tcp or udp", text,
				     word[4]);
	return 0;
}

json_t *rules_load(int folder)
{
	json_t *all = folder < 0 ? NULL : json_file_read(folder, FILE_NAME);

	if (json_is_object(all))
		return all;
	json_decref(all);
	return json_object();
}

int rules_save(int folder, const char *machine, json_t *list)
{
	json_t *all = rules_load(folder);
	int err;

	if (json_array_size(list))
		json_object_set(all, machine, list);
	else
		json_object_del(all, machine);
	err = json_file_replace(all, folder, FILE_NAME);
	json_decref(all);
	return err;
}

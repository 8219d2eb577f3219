/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one machine of a network may reach, and who it: a list of rules, the
 * first that fits counts. A direction that has rules and none that fits is
 * closed; one without is open. Answers pass anyway.
 *
 *   DIRECTION ACTION [PROTOCOL [WHOM [PORT[-PORT]]]]
 *
 * in or out; allow or deny; any, tcp, udp or icmp; any, an address, a network
 * or a DNS name, which stands for those below it as well.
 */
#ifndef LODGE_NET_RULE_H
#define LODGE_NET_RULE_H

#include <jansson.h>
#include <netinet/in.h>

#include "net/net.h"

#define RULE_NAME_MAX 253
#define RULES_MAX     64 /* of a machine */

enum rule_protocol { RULE_ANY, RULE_TCP, RULE_UDP, RULE_ICMP };
enum rule_whom { RULE_ANYBODY, RULE_NET4, RULE_NET6, RULE_NAME };

struct rule {
	bool in, allow;
	enum rule_protocol protocol;
	enum rule_whom whom;
	uint32_t net4; /* the host's order */
	struct in6_addr net6;
	unsigned int bits;
	char name[RULE_NAME_MAX + 1];
	uint16_t first, last; /* ports; 0: all */
};

/* 0, or -1 with the error. */
int rule_parse(struct rule *rule, const char *text, struct net_error *error);

/*
 * The rules of all machines, as they are kept in a network's open folder:
 * {"MACHINE": ["RULE", ...]}. An empty object when there are none.
 */
json_t *rules_load(int folder);

/* Machine `machine` has these from now on; NULL or none: no rules. 0, -errno. */
int rules_save(int folder, const char *machine, json_t *list);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash with eight places for each address, of which the oldest gives way.
 */
#include "net/switch/table.h"

#include <string.h>

#define WAYS 8u

static unsigned int place_of(const uint8_t *mac)
{
	uint32_t hash = 0x811c9dc5u; /* FNV-1a */

	for (unsigned int i = 0; i < NIC_MAC; i++)
		hash = (hash ^ mac[i]) * 0x01000193u;
	return (hash ^ hash >> 16) % (TABLE_SIZE / WAYS) * WAYS;
}

static bool is_old(const struct table_entry *entry, uint64_t now)
{
	return now - entry->seen > TABLE_AGE;
}

static void drop(struct table *table, struct table_entry *entry)
{
	if (entry->used)
		table->of_port[entry->port]--;
	entry->used = false;
}

void table_learn(struct table *table, const uint8_t mac[NIC_MAC],
		 unsigned int port, uint64_t now)
{
	struct table_entry *entry = &table->entry[place_of(mac)];
	struct table_entry *to = entry;

	for (unsigned int i = 0; i < WAYS; i++, entry++) {
		if (entry->used && is_old(entry, now))
			drop(table, entry);
		if (entry->used && !memcmp(entry->mac, mac, NIC_MAC)) {
			to = entry;
			break;
		}
		if (!entry->used || (to->used && entry->seen < to->seen))
			to = entry;
	}
	if (to->used && to->port == port &&
	    !memcmp(to->mac, mac, NIC_MAC)) {
		to->seen = now;
		return;
	}
	if (table->of_port[port] >= TABLE_PORT_MAX)
		return;
	drop(table, to);
	memcpy(to->mac, mac, NIC_MAC);
	to->used = true;
	to->port = (uint8_t)port;
	to->seen = now;
	table->of_port[port]++;
}

unsigned int table_find(const struct table *table, const uint8_t mac[NIC_MAC],
			uint64_t now)
{
	const struct table_entry *entry = &table->entry[place_of(mac)];

	for (unsigned int i = 0; i < WAYS; i++, entry++)
		if (entry->used && !memcmp(entry->mac, mac, NIC_MAC))
			return is_old(entry, now) ? TABLE_NOWHERE
						  : entry->port;
	return TABLE_NOWHERE;
}

void table_forget(struct table *table, unsigned int port)
{
	for (unsigned int i = 0; i < TABLE_SIZE; i++)
		if (table->entry[i].used && table->entry[i].port == port)
			drop(table, &table->entry[i]);
}

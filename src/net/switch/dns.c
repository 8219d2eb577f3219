/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/dns.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/switch/packet.h"

#define HEADER	 12u
#define WHOLE_NAME 255u
#define LABEL	 63u
#define TTL	 5u /* seconds: a machine may end at any time */
#define REVERSE	 ".in-addr.arpa"
#define NAME_AT	 0xc000u /* the name is that in front of the message */

enum { /* where things are in a header */
	FLAGS = 2,
	QUESTIONS = 4,
	ANSWERS = 6,
};

enum {
	IS_ANSWER = 0x8000,
	OPERATION = 0x7800,
	OURS = 0x0400, /* an authority's answer */
	WANTS_MORE = 0x0100,
	GIVES_MORE = 0x0080,

	NO_SUCH_NAME = 3,
	REFUSED = 5,

	TYPE_A = 1,
	TYPE_PTR = 12,
	TYPE_AAAA = 28,
	TYPE_ANY = 255,
	CLASS_IN = 1,
};

struct question {
	char name[WHOLE_NAME + 1]; /* with dots, without the last */
	uint32_t type, end;	  /* end: behind the question */
};

/* --- the question ------------------------------------------------------------------ */

/* The one question behind the header. */
static bool read_name(const uint8_t *message, uint32_t size,
		      struct question *q)
{
	uint32_t at = HEADER, length = 0;

	for (; at < size && message[at]; at += 1 + message[at]) {
		uint32_t label = message[at];

		if (label > LABEL || at + 1 + label >= size ||
		    length + label + 1 > WHOLE_NAME ||
		    memchr(message + at + 1, 0, label))
			return false;
		if (length)
			q->name[length++] = '.';
		memcpy(q->name + length, message + at + 1, label);
		length += label;
	}
	q->name[length] = '\0';
	if (at + 5 > size || packet_get16(message + at + 3) != CLASS_IN)
		return false;
	q->type = packet_get16(message + at + 1);
	q->end = at + 5;
	return true;
}

static bool read_question(const uint8_t *message, uint32_t size,
			  struct question *q)
{
	return size >= HEADER && size <= DNS_MESSAGE_MAX &&
	       !(packet_get16(message + FLAGS) & (IS_ANSWER | OPERATION)) &&
	       packet_get16(message + QUESTIONS) == 1 &&
	       !packet_get16(message + ANSWERS) &&
	       read_name(message, size, q);
}

/* The machine's part of a name of ours; false: it is not ours. */
static bool machine_of(const struct network *network, const char *name,
		       char machine[WHOLE_NAME + 1])
{
	size_t length = strlen(name), domain = strlen(network->domain);

	strcpy(machine, name);
	if (!length)
		return false;
	if (!strchr(name, '.'))
		return true;
	if (length <= domain || name[length - domain - 1] != '.' ||
	    strcasecmp(name + length - domain, network->domain))
		return !strcasecmp(name, network->domain);
	machine[length - domain - 1] = '\0';
	return true;
}

/* D.C.B.A.in-addr.arpa, of our subnet. */
static bool address_of(const struct network *network, const char *name,
		       uint32_t *address)
{
	unsigned int part[4];
	int end = 0;

	if (!network->has4 ||
	    sscanf(name, "%3u.%3u.%3u.%3u%n", &part[0], &part[1], &part[2],
		   &part[3], &end) != 4 ||
	    strcasecmp(name + end, REVERSE))
		return false;
	*address = 0;
	for (unsigned int i = 4; i-- > 0;) {
		if (part[i] > 255)
			return false;
		*address = *address << 8 | part[i];
	}
	return !((*address ^ network->net4) >> (32 - network->bits4));
}

/* --- the answer -------------------------------------------------------------------- */

struct answer {
	uint8_t *bytes;
	uint32_t size;
	unsigned int count;
};

static void put(struct answer *a, uint32_t type, const void *data,
		uint32_t size)
{
	uint8_t *at = a->bytes + a->size;

	if (a->size + 12 + size > DNS_MESSAGE_MAX)
		return;
	packet_put16(at, NAME_AT | HEADER);
	packet_put16(at + 2, type);
	packet_put16(at + 4, CLASS_IN);
	packet_put32(at + 6, TTL);
	packet_put16(at + 10, size);
	memcpy(at + 12, data, size);
	a->size += 12 + size;
	a->count++;
}

static void put_hosts(struct answer *a, uint32_t type,
		      const struct dns_host *host, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint8_t address[4];

		packet_put32(address, host[i].address);
		if (host[i].address && (type == TYPE_A || type == TYPE_ANY))
			put(a, TYPE_A, address, sizeof(address));
		if (host[i].six && (type == TYPE_AAAA || type == TYPE_ANY))
			put(a, TYPE_AAAA, &host[i].address6,
			    sizeof(host[i].address6));
	}
}

static void put_name(struct answer *a, const char *machine, const char *domain)
{
	uint8_t data[WHOLE_NAME + 1];
	uint32_t size = 0;
	char name[2 * NETWORK_NAME_MAX + 4];

	snprintf(name, sizeof(name), "%s.%s", machine, domain);
	for (const char *at = name; *at;) {
		uint32_t label = (uint32_t)strcspn(at, ".");

		if (!label || label > LABEL)
			return;
		data[size++] = (uint8_t)label;
		memcpy(data + size, at, label);
		size += label;
		at += label + (at[label] == '.');
	}
	data[size++] = 0;
	put(a, TYPE_PTR, data, size);
}

/* What becomes of a question: an RCODE, or -1: it is another's. */
static int look_up(const struct dns_zone *zone, const struct question *q,
		   struct answer *a)
{
	struct dns_host host[DNS_ANSWERS_MAX];
	char machine[WHOLE_NAME + 1];
	unsigned int count;
	const char *name;
	uint32_t address;

	if (address_of(zone->network, q->name, &address)) {
		name = zone->name(zone->ctx, address);
		if (name && (q->type == TYPE_PTR || q->type == TYPE_ANY))
			put_name(a, name, zone->network->domain);
		return name ? 0 : NO_SUCH_NAME;
	}
	if (!machine_of(zone->network, q->name, machine))
		return zone->alone ? REFUSED : -1;
	if (!strcasecmp(machine, zone->network->domain))
		return 0;
	count = zone->find(zone->ctx, machine, host);
	put_hosts(a, q->type, host, count);
	return count ? 0 : NO_SUCH_NAME;
}

uint32_t dns_answer(const struct dns_zone *zone, const uint8_t *message,
		    uint32_t size, uint8_t bytes[DNS_MESSAGE_MAX])
{
	struct question q;
	struct answer a = { bytes, 0, 0 };
	uint32_t flags;
	int code;

	if (!read_question(message, size, &q))
		return 0;
	memcpy(bytes, message, q.end);
	memset(bytes + ANSWERS, 0, HEADER - ANSWERS);
	a.size = q.end;
	code = look_up(zone, &q, &a);
	if (code < 0)
		return 0;
	flags = packet_get16(message + FLAGS) & WANTS_MORE;
	packet_put16(bytes + FLAGS, IS_ANSWER | OURS | GIVES_MORE | flags |
				    (uint32_t)code);
	packet_put16(bytes + ANSWERS, a.count);
	return a.size;
}

/* --- others' answers -------------------------------------------------------------- */

/* Behind the name at `at`, whether or not it goes on elsewhere; 0: it is cut. */
static uint32_t skip_name(const uint8_t *message, uint32_t size, uint32_t at)
{
	while (at < size && message[at] && message[at] <= LABEL)
		at += 1 + message[at];
	if (at >= size)
		return 0;
	at += message[at] ? 2 : 1;
	return at <= size ? at : 0;
}

void dns_addresses(const uint8_t *message, uint32_t size,
		   void (*note)(void *ctx, const char *name,
				const struct in6_addr *address),
		   void *ctx)
{
	struct question q;
	uint32_t at, count;

	if (size < HEADER || !(packet_get16(message + FLAGS) & IS_ANSWER) ||
	    packet_get16(message + QUESTIONS) != 1 ||
	    !read_name(message, size, &q))
		return;
	at = q.end;
	for (count = packet_get16(message + ANSWERS); count; count--) {
		struct in6_addr address = { { { [10] = 0xff, 0xff } } };
		uint32_t type, length;

		at = skip_name(message, size, at);
		if (!at || size - at < 10)
			return;
		type = packet_get16(message + at);
		length = packet_get16(message + at + 8);
		at += 10;
		if (length > size - at)
			return;
		if (type == TYPE_A && length == 4)
			memcpy(address.s6_addr + 12, message + at, 4);
		else if (type == TYPE_AAAA && length == 16)
			memcpy(&address, message + at, 16);
		if ((type == TYPE_A && length == 4) ||
		    (type == TYPE_AAAA && length == 16))
			note(ctx, q.name, &address);
		at += length;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NBD handshake: options of a client until it takes the export
 * (doc/proto.md, "Fixed newstyle negotiation", "Option types").
 */
#include <stdlib.h>
#include <string.h>

#include "disk/nbd/impl.h"

#define OPTIONS_MAX 64 /* more are not answered: somebody plays */
#define BLOCK_MIN   1u
#define BLOCK_BEST  4096u

struct option {
	uint32_t type, size;
	uint8_t data[NBD_STRING_MAX * 2 + 1];
};

static bool reply(struct nbd_client *client, const struct option *option,
		  uint32_t type, const void *data, uint32_t size)
{
	uint8_t head[20];

	put_be64(head, NBD_REPLY_MAGIC);
	put_be32(head + 8, option->type);
	put_be32(head + 12, type);
	put_be32(head + 16, size);
	return nbd_send(client, head, sizeof(head), size) &&
	       nbd_send(client, data, size, false);
}

static bool refuse(struct nbd_client *client, const struct option *option,
		   uint32_t type, const char *why)
{
	return reply(client, option, type, why, (uint32_t)strlen(why));
}

static bool acknowledge(struct nbd_client *client, const struct option *option)
{
	return reply(client, option, NBD_REP_ACK, NULL, 0);
}

static uint16_t nbd_flags(const struct nbd_server *server)
{
	uint16_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH |
			 NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_DF |
			 NBD_FLAG_CAN_MULTI_CONN;

	if (server->export.readonly)
		return flags | NBD_FLAG_READ_ONLY;
	return flags | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES;
}

static bool is_export(const struct nbd_client *client, const void *name,
		      size_t size)
{
	const char *ours = client->server->export.name;

	return !size || (strlen(ours) == size && !memcmp(ours, name, size));
}

/* The old way to take the export: it cannot be refused but by hanging up. */
static bool take_by_name(struct nbd_client *client,
			 const struct option *option)
{
	uint8_t answer[134] = { 0 };

	if (!is_export(client, option->data, option->size))
		return false;
	put_be64(answer, client->server->export.node->size);
	put_be16(answer + 8, nbd_flags(client->server));
	return nbd_send(client, answer, client->no_zeroes ? 10 : 134, false);
}

static bool list(struct nbd_client *client, const struct option *option)
{
	const char *name = client->server->export.name;
	uint32_t length = (uint32_t)strlen(name);
	uint8_t entry[4 + NBD_STRING_MAX];

	if (option->size)
		return refuse(client, option, NBD_REP_ERR_INVALID,
			      "no data belongs to a list");
	put_be32(entry, length);
	memcpy(entry + 4, name, length);
	return reply(client, option, NBD_REP_SERVER, entry, 4 + length) &&
	       acknowledge(client, option);
}

/* Info and go: *taken when the client has the export then. */
static bool inform(struct nbd_client *client, const struct option *option,
		   bool *taken)
{
	const struct nbd_export *export = &client->server->export;
	uint32_t length = option->size < 6
				  ? UINT32_MAX
				  : get_be32(option->data);
	uint8_t info[12], block[14], about[2 + NBD_STRING_MAX];
	size_t words;

	if (length > option->size - 6 || option->size < 6)
		return refuse(client, option, NBD_REP_ERR_INVALID,
			      "lengths do not fit");
	if (!is_export(client, option->data + 4, length))
		return refuse(client, option, NBD_REP_ERR_UNKNOWN,
			      "no such export");
	put_be16(info, NBD_INFO_EXPORT);
	put_be64(info + 2, export->node->size);
	put_be16(info + 10, nbd_flags(client->server));
	put_be16(block, NBD_INFO_BLOCK_SIZE);
	put_be32(block + 2, BLOCK_MIN);
	put_be32(block + 6, BLOCK_BEST);
	put_be32(block + 10, NBD_PAYLOAD_MAX);
	if (export->description) {
		words = strnlen(export->description, NBD_STRING_MAX);
		put_be16(about, NBD_INFO_DESCRIPTION);
		memcpy(about + 2, export->description, words);
		if (!reply(client, option, NBD_REP_INFO, about,
			   (uint32_t)words + 2))
			return false;
	}
	*taken = option->type == NBD_OPT_GO;
	return reply(client, option, NBD_REP_INFO, info, sizeof(info)) &&
	       reply(client, option, NBD_REP_INFO, block, sizeof(block)) &&
	       acknowledge(client, option);
}

/* Whether a query of `size` bytes means our context. */
static bool is_context(const uint8_t *query, uint32_t size, bool listing)
{
	if (size == strlen(NBD_CONTEXT) && !memcmp(query, NBD_CONTEXT, size))
		return true;
	return listing && size == 5 && !memcmp(query, "base:", 5);
}

static bool choose_contexts(struct nbd_client *client,
			    const struct option *option)
{
	const bool listing = option->type == NBD_OPT_LIST_META_CONTEXT;
	uint8_t answer[4 + sizeof(NBD_CONTEXT) - 1];
	uint32_t at, count, length;
	bool found;

	if (!listing)
		client->allocation = false;
	if (!client->structured && !listing)
		goto invalid;
	length = option->size < 8 ? UINT32_MAX
				  : get_be32(option->data);
	if (option->size < 8 || length > option->size - 8)
		goto invalid;
	if (!is_export(client, option->data + 4, length))
		return refuse(client, option, NBD_REP_ERR_UNKNOWN,
			      "no such export");
	at = 4 + length;
	count = get_be32(option->data + at);
	found = listing && !count;
	for (at += 4; count; count--, at += length) {
		if (option->size - at < 4)
			goto invalid;
		length = get_be32(option->data + at);
		at += 4;
		if (length > option->size - at)
			goto invalid;
		found |= is_context(option->data + at, length, listing);
	}
	if (!listing)
		client->allocation = found;
	put_be32(answer, listing ? 0 : NBD_CONTEXT_ID);
	memcpy(answer + 4, NBD_CONTEXT, sizeof(NBD_CONTEXT) - 1);
	return (!found || reply(client, option, NBD_REP_META_CONTEXT, answer,
				sizeof(answer))) &&
	       acknowledge(client, option);
invalid:
	return refuse(client, option, NBD_REP_ERR_INVALID,
		      "not what this option looks like");
}

/* Answers one option; false: the connection is over. */
static bool answer_option(struct nbd_client *client,
			  const struct option *option, bool *taken)
{
	switch (option->type) {
	case NBD_OPT_EXPORT_NAME:
		*taken = true;
		return take_by_name(client, option);
	case NBD_OPT_ABORT:
		acknowledge(client, option);
		return false;
	case NBD_OPT_LIST:
		return list(client, option);
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		return inform(client, option, taken);
	case NBD_OPT_STRUCTURED_REPLY:
		if (option->size)
			return refuse(client, option, NBD_REP_ERR_INVALID,
				      "no data belongs to it");
		client->structured = true;
		return acknowledge(client, option);
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		return choose_contexts(client, option);
	}
	return refuse(client, option, NBD_REP_ERR_UNSUP, "unknown option");
}

/* Takes an option's data away that has more than there is room for. */
static bool skip(struct nbd_client *client, uint32_t size)
{
	uint8_t waste[4096];

	while (size) {
		uint32_t part = size < sizeof(waste) ? size : sizeof(waste);

		if (!nbd_receive(client, waste, part))
			return false;
		size -= part;
	}
	return true;
}

static bool next_option(struct nbd_client *client, struct option *option,
			bool *taken)
{
	uint8_t head[16];

	if (!nbd_receive(client, head, sizeof(head)) ||
	    get_be64(head) != NBD_OPTION_MAGIC)
		return false;
	option->type = get_be32(head + 8);
	option->size = get_be32(head + 12);
	if (option->size > NBD_PAYLOAD_MAX)
		return false;
	if (option->size > sizeof(option->data) - 1)
		return skip(client, option->size) &&
		       option->type != NBD_OPT_EXPORT_NAME &&
		       refuse(client, option, NBD_REP_ERR_TOO_BIG,
			      "too long");
	return nbd_receive(client, option->data, option->size) &&
	       answer_option(client, option, taken);
}

bool nbd_negotiate(struct nbd_client *client)
{
	struct option *option = malloc(sizeof(*option));
	uint8_t hello[18], flags[4];
	bool taken = false, on = option != NULL;

	put_be64(hello, NBD_MAGIC);
	put_be64(hello + 8, NBD_OPTION_MAGIC);
	put_be16(hello + 16, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	on = on && nbd_send(client, hello, sizeof(hello), false) &&
	     nbd_receive(client, flags, sizeof(flags));
	if (on) {
		client->no_zeroes = get_be32(flags) & NBD_NO_ZEROES;
		on = !(get_be32(flags) &
		       ~(uint64_t)(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES));
	}
	for (unsigned int i = 0; on && !taken && i < OPTIONS_MAX; i++)
		on = next_option(client, option, &taken);
	free(option);
	return on && taken;
}

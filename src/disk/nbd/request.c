/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD requests and their replies (doc/proto.md, "Transmission").
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/chain.h"
#include "disk/nbd/impl.h"

#define EXTENTS_MAX 512 /* of one block status */
#define KEEP	    (1u << 20) /* bytes of a buffer worth keeping */

struct request {
	uint16_t flags, type;
	uint8_t cookie[8]; /* the client's own */
	uint64_t offset;
	uint32_t length;
	uint32_t error; /* on the wire */
	uint8_t *buf;
	size_t room;
};

/* --- replies ---------------------------------------------------------------- */

static uint32_t wire_error(int error)
{
	switch (error) {
	case 0:
		return 0;
	case -EROFS:
	case -EPERM:
		return 1; /* EPERM */
	case -ENOMEM:
		return 12;
	case -EINVAL:
		return 22;
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return 28;
	case -ENOTSUP:
		return 95;
	}
	return 5; /* EIO */
}

/* Held: sending. */
static bool send_chunk(struct nbd_client *client, const struct request *r,
		       uint16_t flags, uint16_t type, uint32_t size)
{
	uint8_t head[20];

	put_be32(head, NBD_STRUCTURED_MAGIC);
	put_be16(head + 4, flags);
	put_be16(head + 6, type);
	memcpy(head + 8, r->cookie, 8);
	put_be32(head + 16, size);
	return nbd_send(client, head, sizeof(head), size);
}

static bool send_simple(struct nbd_client *client, const struct request *r,
			const void *data, size_t size)
{
	uint8_t head[16];

	put_be32(head, NBD_SIMPLE_MAGIC);
	put_be32(head + 4, r->error);
	memcpy(head + 8, r->cookie, 8);
	return nbd_send(client, head, sizeof(head), size) &&
	       nbd_send(client, data, size, false);
}

/* The end of a request that gives no data, or cannot. */
static bool send_status(struct nbd_client *client, const struct request *r)
{
	uint8_t error[6] = { 0 };
	bool sent;

	pthread_mutex_lock(&client->sending);
	if (!client->structured) {
		sent = send_simple(client, r, NULL, 0);
	} else if (r->error) {
		put_be32(error, r->error);
		sent = send_chunk(client, r, NBD_CHUNK_DONE, NBD_CHUNK_ERROR,
				  sizeof(error)) &&
		       nbd_send(client, error, sizeof(error), false);
	} else {
		sent = send_chunk(client, r, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 0);
	}
	pthread_mutex_unlock(&client->sending);
	return sent;
}

static bool send_data(struct nbd_client *client, const struct request *r)
{
	uint8_t offset[8];
	bool sent;

	put_be64(offset, r->offset);
	pthread_mutex_lock(&client->sending);
	if (!client->structured)
		sent = send_simple(client, r, r->buf, r->length);
	else
		sent = send_chunk(client, r, NBD_CHUNK_DONE, NBD_CHUNK_DATA,
				  8 + r->length) &&
		       nbd_send(client, offset, 8, true) &&
		       nbd_send(client, r->buf, r->length, false);
	pthread_mutex_unlock(&client->sending);
	return sent;
}

/* A read of nothing but zeros. */
static bool send_hole(struct nbd_client *client, const struct request *r)
{
	uint8_t hole[12];
	bool sent;

	put_be64(hole, r->offset);
	put_be32(hole + 8, r->length);
	pthread_mutex_lock(&client->sending);
	sent = send_chunk(client, r, NBD_CHUNK_DONE, NBD_CHUNK_HOLE,
			  sizeof(hole)) &&
	       nbd_send(client, hole, sizeof(hole), false);
	pthread_mutex_unlock(&client->sending);
	return sent;
}

/* --- commands --------------------------------------------------------------- */

static bool is_hole(struct nbd_client *client, const struct request *r)
{
	struct disk_piece piece;

	return client->structured && r->length &&
	       !disk_chain_map(client->server->export.node, NULL, r->offset,
			       r->length, &piece) &&
	       piece.extent.kind == DISK_ZERO &&
	       piece.extent.length == r->length;
}

static bool do_read(struct nbd_client *client, struct request *r)
{
	if (is_hole(client, r))
		return send_hole(client, r);
	r->error = wire_error(disk_read_bytes(client->server->export.node,
					      r->offset, r->buf, r->length));
	return r->error ? send_status(client, r) : send_data(client, r);
}

/* Fills `to` with descriptors; their number, or 0 with the error. */
static uint32_t collect_extents(struct nbd_client *client, struct request *r,
				uint8_t *to)
{
	struct disk_node *node = client->server->export.node;
	uint64_t offset = r->offset, end = offset + r->length;
	uint64_t from = offset;
	uint32_t count = 0, state = UINT32_MAX;

	while (offset < end) {
		struct disk_piece piece;
		int error = disk_chain_map(node, NULL, offset, end - offset,
					   &piece);
		uint32_t now = piece.extent.kind == DISK_ZERO
				       ? NBD_STATE_HOLE | NBD_STATE_ZERO
				       : 0;

		if (error) {
			r->error = wire_error(error);
			return 0;
		}
		if (now != state) {
			if (count == EXTENTS_MAX ||
			    (count && r->flags & NBD_CMD_FLAG_REQ_ONE))
				break;
			state = now;
			from = offset;
			count++;
		}
		offset += piece.extent.length;
		put_be32(to + (count - 1) * 8, offset - from);
		put_be32(to + (count - 1) * 8 + 4, state);
	}
	return count;
}

static bool do_status(struct nbd_client *client, struct request *r)
{
	uint8_t payload[4 + 8 * EXTENTS_MAX];
	uint32_t count = 0;
	bool sent;

	if (!client->allocation || !r->length)
		r->error = wire_error(-EINVAL);
	else
		count = collect_extents(client, r, payload + 4);
	if (!count)
		return send_status(client, r);
	put_be32(payload, NBD_CONTEXT_ID);
	pthread_mutex_lock(&client->sending);
	sent = send_chunk(client, r, NBD_CHUNK_DONE, NBD_CHUNK_STATUS,
			  4 + 8 * count) &&
	       nbd_send(client, payload, 4 + 8 * count, false);
	pthread_mutex_unlock(&client->sending);
	return sent;
}

static int change(struct disk_node *node, const struct request *r)
{
	int error = 0;

	switch (r->type) {
	case NBD_CMD_WRITE:
		error = disk_write_bytes(node, r->offset, r->buf, r->length);
		break;
	case NBD_CMD_TRIM:
		error = disk_discard(node, r->offset, r->length);
		break;
	case NBD_CMD_WRITE_ZEROES:
		error = disk_zero(node, r->offset, r->length,
				  r->flags & NBD_CMD_FLAG_NO_HOLE ? 0
								  : DISK_UNMAP);
		break;
	}
	if (!error && r->flags & NBD_CMD_FLAG_FUA)
		error = disk_flush(node);
	return error;
}

/* What is wrong with a request, on the wire. */
static uint32_t judge(const struct nbd_client *client, const struct request *r)
{
	const struct nbd_export *export = &client->server->export;
	uint64_t size = export->node->size;
	uint16_t known = NBD_CMD_FLAG_FUA;

	if (r->type == NBD_CMD_READ)
		known |= NBD_CMD_FLAG_DF;
	if (r->type == NBD_CMD_WRITE_ZEROES)
		known |= NBD_CMD_FLAG_NO_HOLE;
	if (r->type == NBD_CMD_BLOCK_STATUS)
		known |= NBD_CMD_FLAG_REQ_ONE;
	if (r->flags & ~known || r->type == NBD_CMD_DISC ||
	    r->type == 5 || r->type > NBD_CMD_BLOCK_STATUS)
		return wire_error(-EINVAL);
	if (r->type == NBD_CMD_FLUSH)
		return 0;
	if (export->readonly && (r->type == NBD_CMD_WRITE ||
				 r->type == NBD_CMD_TRIM ||
				 r->type == NBD_CMD_WRITE_ZEROES))
		return wire_error(-EPERM);
	if (r->offset > size || r->length > size - r->offset)
		return wire_error(r->type == NBD_CMD_WRITE ||
						  r->type == NBD_CMD_WRITE_ZEROES
					  ? -ENOSPC
					  : -EINVAL);
	return 0;
}

/* Does it and answers; false: the connection is over. */
static bool perform(struct nbd_client *client, struct request *r)
{
	struct disk_node *node = client->server->export.node;

	if (!r->error)
		r->error = judge(client, r);
	if (r->error)
		return send_status(client, r);
	switch (r->type) {
	case NBD_CMD_READ:
		return do_read(client, r);
	case NBD_CMD_BLOCK_STATUS:
		return do_status(client, r);
	case NBD_CMD_FLUSH:
		r->error = wire_error(disk_flush(node));
		break;
	default:
		r->error = wire_error(change(node, r));
	}
	return send_status(client, r);
}

/* --- receiving -------------------------------------------------------------- */

static bool make_room(struct request *r)
{
	if (r->length <= r->room)
		return true;
	free(r->buf);
	r->buf = malloc(r->length);
	r->room = r->buf ? r->length : 0;
	return r->buf;
}

/* The next request with its data. Held: receiving. */
static bool receive(struct nbd_client *client, struct request *r)
{
	uint8_t head[28];

	if (!nbd_receive(client, head, sizeof(head)) ||
	    get_be32(head) != NBD_REQUEST_MAGIC)
		return false;
	r->flags = get_be16(head + 4);
	r->type = get_be16(head + 6);
	memcpy(r->cookie, head + 8, 8);
	r->offset = get_be64(head + 16);
	r->length = get_be32(head + 24);
	r->error = 0;
	if (r->type == NBD_CMD_DISC)
		return false;
	if (r->type != NBD_CMD_READ && r->type != NBD_CMD_WRITE)
		return true;
	if (r->length > NBD_PAYLOAD_MAX) {
		/* What follows a write cannot be told from requests. */
		r->error = wire_error(-EINVAL);
		return r->type == NBD_CMD_READ;
	}
	if (!make_room(r))
		return false;
	return r->type == NBD_CMD_READ ||
	       nbd_receive(client, r->buf, r->length);
}

void nbd_serve(struct nbd_client *client)
{
	struct request r = { 0 };
	bool on = true;

	while (on) {
		pthread_mutex_lock(&client->receiving);
		on = !atomic_load(&client->dead) && receive(client, &r);
		if (!on)
			atomic_store(&client->dead, true);
		pthread_mutex_unlock(&client->receiving);
		if (!on)
			break;
		on = perform(client, &r);
		if (r.room > KEEP) {
			free(r.buf);
			r.buf = NULL;
			r.room = 0;
		}
	}
	free(r.buf);
}

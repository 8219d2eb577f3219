/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD exports as leaves, by libnbd. Its calls wait, and a connection does one
 * at a time, so there are several where the server says that they see each
 * other's writes. A connection that broke is made anew once; when that loses
 * writes that no flush had made safe, the next flush fails.
 */
#include "disk/nbd/client.h"

#include <errno.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "disk/driver.h"

#define CONNECTIONS 4
#define PART	    (4u << 20) /* bytes of one request, at most */

struct remote {
	struct disk_node node;
	bool can_zero, can_trim, can_flush, multi, only_reads;
	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t freed;
	struct nbd_handle *idle[CONNECTIONS]; /* NULL: to be connected */
	unsigned int idle_count;
	bool unflushed; /* something was written since the last flush */
	bool lost;	/* and a connection broke then */
};

static struct remote *remote_of(struct disk_node *node)
{
	return (struct remote *)node;
}

/* --- connections ------------------------------------------------------------ */

static struct nbd_handle *connect_to(const char *uri, struct disk_error *error)
{
	struct nbd_handle *nbd = nbd_create();

	/* An address from the user may name a file or a server, no command. */
	if (nbd && !nbd_set_uri_allow_local_file(nbd, true) &&
	    !nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) &&
	    !nbd_connect_uri(nbd, uri))
		return nbd;
	disk_error_set(error, -EIO, "%s", nbd_get_error());
	nbd_close(nbd);
	return NULL;
}

/* A connection for the caller alone; NULL: none can be had. */
static struct nbd_handle *take(struct remote *remote)
{
	struct nbd_handle *nbd;

	pthread_mutex_lock(&remote->mutex);
	while (!remote->idle_count)
		pthread_cond_wait(&remote->freed, &remote->mutex);
	nbd = remote->idle[--remote->idle_count];
	pthread_mutex_unlock(&remote->mutex);
	return nbd ? nbd : connect_to(remote->node.name, NULL);
}

static void give_back(struct remote *remote, struct nbd_handle *nbd)
{
	if (nbd && (nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd))) {
		nbd_close(nbd);
		nbd = NULL;
	}
	pthread_mutex_lock(&remote->mutex);
	if (!nbd && remote->unflushed)
		remote->lost = true;
	remote->idle[remote->idle_count++] = nbd;
	pthread_cond_signal(&remote->freed);
	pthread_mutex_unlock(&remote->mutex);
}

/* One request; `buf` as the operation has it. -1: nbd_get_errno(). */
typedef int (*operation)(struct nbd_handle *nbd, void *buf, uint64_t offset,
			 uint64_t length, unsigned int flags);

/* Once more on a new connection when the old one has ended. */
static int attempt(struct remote *remote, operation run, void *buf,
		   uint64_t offset, uint64_t length, unsigned int flags)
{
	int error = -EIO;

	for (int tries = 0; tries < 2; tries++) {
		struct nbd_handle *nbd = take(remote);
		bool gone;

		error = nbd && !run(nbd, buf, offset, length, flags)
				? 0
				: -EIO;
		gone = !nbd || nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd);
		if (error && nbd && !gone && nbd_get_errno())
			error = -nbd_get_errno();
		give_back(remote, nbd);
		if (!error || !gone)
			break;
	}
	return error;
}

/* --- operations ------------------------------------------------------------- */

static int run_read(struct nbd_handle *nbd, void *buf, uint64_t offset,
		    uint64_t length, unsigned int flags)
{
	return nbd_pread(nbd, buf, length, offset, 0);
}

static int run_write(struct nbd_handle *nbd, void *buf, uint64_t offset,
		     uint64_t length, unsigned int flags)
{
	return nbd_pwrite(nbd, buf, length, offset, 0);
}

static int run_zero(struct nbd_handle *nbd, void *buf, uint64_t offset,
		    uint64_t length, unsigned int flags)
{
	return nbd_zero(nbd, length, offset,
			flags & DISK_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE);
}

static int run_trim(struct nbd_handle *nbd, void *buf, uint64_t offset,
		    uint64_t length, unsigned int flags)
{
	return nbd_trim(nbd, length, offset, 0);
}

static int run_flush(struct nbd_handle *nbd, void *buf, uint64_t offset,
		     uint64_t length, unsigned int flags)
{
	return nbd_flush(nbd, 0);
}

static void note_write(struct remote *remote)
{
	pthread_mutex_lock(&remote->mutex);
	remote->unflushed = true;
	pthread_mutex_unlock(&remote->mutex);
}

static int remote_read(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec to)
{
	size_t room = length < PART ? length : PART;
	uint8_t *buf = malloc(room);
	int error = buf ? 0 : -ENOMEM;

	while (length && !error) {
		size_t part = length < room ? length : room;

		error = attempt(remote_of(node), run_read, buf, offset, part,
				0);
		if (!error)
			disk_vec_fill(to, buf, part);
		to = disk_vec_from(to, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
}

static int remote_write(struct disk_node *node, uint64_t offset,
			uint64_t length, struct disk_vec from)
{
	size_t room = length < PART ? length : PART;
	uint8_t *buf = malloc(room);
	int error = buf ? 0 : -ENOMEM;

	note_write(remote_of(node));
	while (length && !error) {
		size_t part = length < room ? length : room;

		disk_vec_gather(buf, from, part);
		error = attempt(remote_of(node), run_write, buf, offset, part,
				0);
		from = disk_vec_from(from, part);
		offset += part;
		length -= part;
	}
	free(buf);
	return error;
}

/* A range in requests of a length that every server takes. */
static int in_parts(struct disk_node *node, operation run, uint64_t offset,
		    uint64_t length, unsigned int flags)
{
	int error = 0;

	note_write(remote_of(node));
	while (length && !error) {
		uint64_t part = length < 1u << 30 ? length : 1u << 30;

		error = attempt(remote_of(node), run, NULL, offset, part,
				flags);
		offset += part;
		length -= part;
	}
	return error;
}

static int remote_zero(struct disk_node *node, uint64_t offset,
		       uint64_t length, unsigned int flags)
{
	if (!remote_of(node)->can_zero)
		return -ENOTSUP;
	return in_parts(node, run_zero, offset, length, flags);
}

static int remote_discard(struct disk_node *node, uint64_t offset,
			  uint64_t length)
{
	if (!remote_of(node)->can_trim)
		return 0;
	return in_parts(node, run_trim, offset, length, 0);
}

static int remote_flush(struct disk_node *node)
{
	struct remote *remote = remote_of(node);
	bool lost, unflushed;
	int error = 0;

	pthread_mutex_lock(&remote->mutex);
	unflushed = remote->unflushed;
	remote->unflushed = false;
	pthread_mutex_unlock(&remote->mutex);
	if (unflushed && remote->can_flush)
		error = attempt(remote, run_flush, NULL, 0, 0, 0);
	pthread_mutex_lock(&remote->mutex);
	lost = remote->lost;
	remote->lost = false;
	if (error)
		remote->unflushed = true;
	pthread_mutex_unlock(&remote->mutex);
	return lost ? -EIO : error;
}

/* --- what lies where -------------------------------------------------------- */

struct status {
	bool known, zero;
	uint64_t length;
};

static int note_extent(void *ctx, const char *context, uint64_t offset,
		       uint32_t *entries, size_t count, int *error)
{
	struct status *status = ctx;

	if (count < 2 || strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return 0;
	status->known = true;
	status->length = entries[0];
	status->zero = entries[1] & LIBNBD_STATE_ZERO;
	return 0;
}

static int run_status(struct nbd_handle *nbd, void *buf, uint64_t offset,
		      uint64_t length, unsigned int flags)
{
	const nbd_extent_callback callback = { .callback = note_extent,
					       .user_data = buf };

	if (nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
		return 0;
	return nbd_block_status(nbd, length, offset, callback,
				LIBNBD_CMD_FLAG_REQ_ONE);
}

static int remote_map(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags, struct disk_extent *extent)
{
	struct status status = { 0 };
	uint64_t asked = length < 1u << 30 ? length : 1u << 30;

	*extent = (struct disk_extent){ .kind = DISK_DATA, .in_place = true,
					.length = length, .at = offset };
	if (!(flags & DISK_SPARSE))
		return 0;
	if (attempt(remote_of(node), run_status, &status, offset, asked, 0) ||
	    !status.known || !status.length)
		return 0;
	if (status.zero)
		extent->kind = DISK_ZERO;
	extent->length = status.length < asked ? status.length : asked;
	return 0;
}

/* --- opening ---------------------------------------------------------------- */

static int remote_resize(struct disk_node *node, uint64_t size,
			 enum disk_preallocation prealloc,
			 struct disk_error *error)
{
	return disk_error_set(error, -ENOTSUP,
			      "is a server's, which has the size that it has");
}

/* As far as the server is concerned it always could. */
static int remote_make_writable(struct disk_node *node,
				struct disk_error *error)
{
	if (remote_of(node)->only_reads)
		return disk_error_set(error, -EROFS, "is for reading only");
	node->readonly = false;
	return 0;
}

static void remote_close(struct disk_node *node)
{
	struct remote *remote = remote_of(node);

	for (unsigned int i = 0; i < remote->idle_count; i++) {
		if (remote->idle[i])
			nbd_shutdown(remote->idle[i], 0);
		nbd_close(remote->idle[i]);
	}
	pthread_cond_destroy(&remote->freed);
	pthread_mutex_destroy(&remote->mutex);
}

static const struct disk_driver nbd_driver = {
	.name = "nbd",
	.title = "NBD",
	.leaf = true,
	.close = remote_close,
	.map = remote_map,
	.read = remote_read,
	.write = remote_write,
	.zero = remote_zero,
	.discard = remote_discard,
	.flush = remote_flush,
	.make_writable = remote_make_writable,
	.resize = remote_resize,
};

/* What the server offers, of the first connection. */
static int look(struct remote *remote, struct nbd_handle *nbd,
		const struct disk_open *how, struct disk_error *error)
{
	int64_t size = nbd_get_size(nbd);

	if (size < 0)
		return disk_error_set(error, -EIO, "%s", nbd_get_error());
	remote->only_reads = nbd_is_read_only(nbd);
	if (!how->readonly && remote->only_reads)
		return disk_error_set(error, -EROFS, "is for reading only; "
				      "give it with ,readonly");
	remote->node.size = (uint64_t)size;
	remote->can_zero = nbd_can_zero(nbd) == 1;
	remote->can_trim = nbd_can_trim(nbd) == 1;
	remote->can_flush = nbd_can_flush(nbd) == 1;
	remote->multi = nbd_can_multi_conn(nbd) == 1;
	return 0;
}

int disk_nbd_connect(struct disk_node **node, const struct disk_open *how,
		     struct disk_error *error)
{
	struct nbd_handle *nbd = connect_to(how->path, error);
	struct remote *remote;
	int result;

	*node = NULL;
	if (!nbd)
		return -EIO;
	remote = calloc(1, sizeof(*remote));
	if (!remote || disk_node_init(&remote->node, &nbd_driver, NULL, how)) {
		free(remote);
		nbd_close(nbd);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&remote->mutex, NULL);
	pthread_cond_init(&remote->freed, NULL);
	result = look(remote, nbd, how, error);
	if (!result && remote->multi) /* the others come when they are needed */
		remote->idle_count = CONNECTIONS - 1;
	remote->idle[remote->idle_count++] = nbd;
	if (result)
		disk_close(&remote->node);
	else
		*node = &remote->node;
	return result;
}

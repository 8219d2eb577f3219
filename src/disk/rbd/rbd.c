/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images of a Ceph cluster (RBD) as leaves, by librbd. What a guest asks for
 * goes to the cluster without a thread of ours waiting for it; the library
 * calls back. A writer has the image's exclusive lock, which the library gives
 * to nobody else meanwhile, and which the cluster takes back when we are gone.
 *
 * Left out: encryption by librbd (LUKS images do that), mirroring and groups.
 */
#include "disk/rbd/rbd.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "disk/driver.h"
#include "disk/rbd/address.h"

#define SPANS_AT_ONCE 256
#define PART	      (1u << 30) /* bytes of one request, at most */
#define LOOK_OBJECTS  256u	 /* that are asked for at once */
#define LOOK_ENOUGH   (-9000)	 /* ends that: no errno */
#define OWNERS	      4

_Static_assert(sizeof(struct span) == sizeof(struct iovec) &&
		       offsetof(struct span, size) ==
			       offsetof(struct iovec, iov_len),
	       "a span is an iovec");

struct remote {
	struct disk_node node;
	rados_t cluster; /* NULL: none */
	rados_ioctx_t pool;
	rbd_image_t image;
	uint64_t object; /* bytes of the objects that it consists of */
	bool unsafe;	 /* flushes are not heeded */
	bool counts;	 /* knows which objects there are */
	char *unwanted;	 /* its name, when it is to go when it is closed */
	pthread_mutex_t growing;
};

static struct remote *remote_of(struct disk_node *node)
{
	return (struct remote *)node;
}

/* --- bytes ------------------------------------------------------------------ */

/* The end of a transfer of `length` bytes: 0 or a negative errno. */
static int outcome(rbd_completion_t completion, bool write, uint64_t length)
{
	ssize_t result = rbd_aio_get_return_value(completion);

	rbd_aio_release(completion);
	if (result < 0)
		return (int)result;
	return write || (uint64_t)result == length ? 0 : -EIO;
}

/* The next of a vec's memory, `length` bytes at most, as iovecs; *bytes. */
static int take_iov(struct iovec *iov, struct disk_vec vec, uint64_t length,
		    uint64_t *bytes)
{
	int count = 0;

	*bytes = 0;
	for (unsigned int i = 0; i < vec.spans && *bytes < length &&
				 count < SPANS_AT_ONCE; i++) {
		size_t size = vec.span[i].size;

		if (vec.skip >= size) {
			vec.skip -= size;
			continue;
		}
		size -= vec.skip;
		if (size > length - *bytes)
			size = length - *bytes;
		iov[count].iov_base = (char *)vec.span[i].data + vec.skip;
		iov[count++].iov_len = size;
		vec.skip = 0;
		*bytes += size;
	}
	return count;
}

static int begin(struct remote *remote, const struct iovec *iov, int count,
		 uint64_t offset, bool write, rbd_completion_t completion)
{
	int result = write ? rbd_aio_writev(remote->image, iov, count, offset,
					    completion)
			   : rbd_aio_readv(remote->image, iov, count, offset,
					   completion);

	if (result < 0)
		rbd_aio_release(completion);
	return result;
}

/* All of it, one part after the other. */
static int transfer(struct remote *remote, uint64_t offset, uint64_t length,
		    struct disk_vec vec, bool write)
{
	int result = 0;

	while (length && !result) {
		struct iovec iov[SPANS_AT_ONCE];
		rbd_completion_t completion;
		uint64_t part;
		int count = take_iov(iov, vec, length < PART ? length : PART,
				     &part);

		result = rbd_aio_create_completion(NULL, NULL, &completion);
		if (!result)
			result = begin(remote, iov, count, offset, write,
				       completion);
		if (result < 0)
			return result;
		rbd_aio_wait_for_complete(completion);
		result = outcome(completion, write, part);
		offset += part;
		length -= part;
		vec = disk_vec_from(vec, part);
	}
	return result;
}

/* An image of a format gets longer as it is written. */
static int grow(struct remote *remote, uint64_t end)
{
	int result = 0;

	pthread_mutex_lock(&remote->growing);
	if (end > remote->node.size) {
		result = rbd_resize(remote->image, end);
		if (!result)
			remote->node.size = end;
	}
	pthread_mutex_unlock(&remote->growing);
	return result;
}

static int remote_read(struct disk_node *node, uint64_t offset,
		       uint64_t length, struct disk_vec to)
{
	return transfer(remote_of(node), offset, length, to, false);
}

static int remote_write(struct disk_node *node, uint64_t offset,
			uint64_t length, struct disk_vec from)
{
	int result = offset + length > node->size
			     ? grow(remote_of(node), offset + length)
			     : 0;

	return result ? result
		      : transfer(remote_of(node), offset, length, from, true);
}

static void io_done(rbd_completion_t completion, void *ctx)
{
	struct disk_io *io = ctx;

	io->error = outcome(completion, io->write, io->length);
	io->done(io);
}

static bool remote_submit(struct disk_node *node, struct disk_io *io)
{
	rbd_completion_t completion;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < io->vec.spans; i++)
		sum += io->vec.span[i].size;
	io->error = -EAGAIN;
	if (io->vec.skip || sum != io->length || io->length > PART ||
	    io->vec.spans > SPANS_AT_ONCE ||
	    rbd_aio_create_completion(io, io_done, &completion))
		return true;
	/* The spans stay until done(): the library keeps to them. */
	io->error = begin(remote_of(node), (const struct iovec *)io->vec.span,
			  (int)io->vec.spans, io->offset, io->write,
			  completion);
	return io->error < 0;
}

static int remote_zero(struct disk_node *node, uint64_t offset,
		       uint64_t length, unsigned int flags)
{
	struct remote *remote = remote_of(node);
	int thick = flags & DISK_UNMAP ? 0
				       : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION;
	ssize_t result = offset + length > node->size
				 ? grow(remote, offset + length)
				 : 0;

	while (length && result >= 0) {
		uint64_t part = length < PART ? length : PART;

		result = rbd_write_zeroes(remote->image, offset, part, thick,
					  0);
		offset += part;
		length -= part;
	}
	return result < 0 ? (int)result : 0;
}

static int remote_discard(struct disk_node *node, uint64_t offset,
			  uint64_t length)
{
	int result = 0;

	while (length && result >= 0) {
		uint64_t part = length < PART ? length : PART;

		result = rbd_discard(remote_of(node)->image, offset, part);
		offset += part;
		length -= part;
	}
	return result < 0 ? result : 0;
}

static int remote_flush(struct disk_node *node)
{
	return remote_of(node)->unsafe ? 0 : rbd_flush(remote_of(node)->image);
}

/* --- what lies where -------------------------------------------------------- */

struct look {
	uint64_t from;	    /* what is asked for */
	uint64_t data, end; /* the first data there; 0 `end`: none */
};

static int note_data(uint64_t offset, size_t length, int exists, void *ctx)
{
	struct look *look = ctx;

	if (!exists || offset + length <= look->from)
		return 0;
	if (!look->end) {
		look->data = offset;
		look->end = offset;
	}
	if (offset > look->end)
		return LOOK_ENOUGH;
	look->end = offset + length;
	return 0;
}

static int remote_map(struct disk_node *node, uint64_t offset, uint64_t length,
		      unsigned int flags, struct disk_extent *extent)
{
	struct remote *remote = remote_of(node);
	/* Older libraries give wrong places for what begins within an object. */
	uint64_t head = offset % remote->object;
	struct look look = { .from = offset };
	int result;

	*extent = (struct disk_extent){ .kind = DISK_DATA, .in_place = true,
					.length = length, .at = offset };
	if (!(flags & DISK_SPARSE))
		return 0;
	if (length > LOOK_OBJECTS * remote->object - head)
		extent->length = LOOK_OBJECTS * remote->object - head;
	result = rbd_diff_iterate2(remote->image, NULL, offset - head,
				   head + extent->length, 1, 0, note_data,
				   &look);
	if (result < 0 && result != LOOK_ENOUGH)
		return 0; /* data, for all that is known */
	if (look.end && look.data <= offset) {
		if (look.end - offset < extent->length)
			extent->length = look.end - offset;
		return 0;
	}
	extent->kind = DISK_ZERO;
	extent->in_place = false;
	if (look.end && look.data - offset < extent->length)
		extent->length = look.data - offset;
	return 0;
}

static int add_data(uint64_t offset, size_t length, int exists, void *ctx)
{
	if (exists)
		*(uint64_t *)ctx += length;
	return 0;
}

static uint64_t remote_allocated(struct disk_node *node)
{
	struct remote *remote = remote_of(node);
	uint64_t sum = 0;

	if (!remote->counts ||
	    rbd_diff_iterate2(remote->image, NULL, 0, node->size, 0, 1,
			      add_data, &sum) < 0)
		return node->size;
	return sum;
}

/* --- care ------------------------------------------------------------------- */

static int remote_resize(struct disk_node *node, uint64_t size,
			 enum disk_preallocation prealloc,
			 struct disk_error *error)
{
	struct remote *remote = remote_of(node);
	uint64_t old = node->size;
	int result;

	pthread_mutex_lock(&remote->growing);
	result = rbd_resize(remote->image, size);
	if (!result)
		node->size = size;
	pthread_mutex_unlock(&remote->growing);
	if (!result && size > old && prealloc == DISK_PREALLOC_FULL)
		result = disk_write_zeros(node, old, size - old);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

/* An image that is open is not removed. */
static void remote_remove(struct disk_node *node)
{
	struct rbd_address address;

	if (!rbd_address_parse(&address, node->name, NULL))
		remote_of(node)->unwanted = strdup(address.image);
	rbd_address_free(&address);
}

static void remote_close(struct disk_node *node)
{
	struct remote *remote = remote_of(node);

	if (remote->image)
		rbd_close(remote->image);
	if (remote->unwanted)
		rbd_remove(remote->pool, remote->unwanted);
	free(remote->unwanted);
	if (remote->pool)
		rados_ioctx_destroy(remote->pool);
	if (remote->cluster)
		rados_shutdown(remote->cluster);
	pthread_mutex_destroy(&remote->growing);
}

static int remote_make_writable(struct disk_node *node,
				struct disk_error *error);

static const struct disk_driver rbd_driver = {
	.name = "rbd",
	.title = "RBD",
	.leaf = true,
	.close = remote_close,
	.map = remote_map,
	.read = remote_read,
	.write = remote_write,
	.submit = remote_submit,
	.zero = remote_zero,
	.discard = remote_discard,
	.flush = remote_flush,
	.remove = remote_remove,
	.make_writable = remote_make_writable,
	.allocated = remote_allocated,
	.resize = remote_resize,
};

/* --- the cluster ------------------------------------------------------------ */

static int set(rados_t cluster, const char *name, const char *value,
	       struct disk_error *error)
{
	int result = rados_conf_set(cluster, name, value);

	if (result == -ENOENT)
		return disk_error_set(error, -EINVAL, "Ceph has no option "
				      "\"%s\"", name);
	return result ? disk_error_set(error, result, "%s=%s: %s", name, value,
				       strerror(-result))
		      : 0;
}

/* Where nobody says something else. */
static void set_ours(rados_t cluster, enum disk_cache cache)
{
	char timeout[24];

	/* Errors are told once, and by us. */
	rados_conf_set(cluster, "log_to_stderr", "false");
	rados_conf_set(cluster, "err_to_stderr", "false");
	if (cache == DISK_CACHE_NONE)
		rados_conf_set(cluster, "rbd_cache", "false");
	/* Half a minute for a cluster that does not answer, not five. */
	if (!rados_conf_get(cluster, "client_mount_timeout", timeout,
			    sizeof(timeout)) &&
	    !strcmp(timeout, "300"))
		rados_conf_set(cluster, "client_mount_timeout", "30");
}

static int cannot_connect(int result, const char *id, struct disk_error *error)
{
	switch (result) {
	case -ENOENT:
		return disk_error_set(error, result, "no Ceph cluster is "
				      "configured; give :conf=FILE or "
				      ":mon_host=ADDRESS");
	case -ETIMEDOUT:
		return disk_error_set(error, result, "the Ceph cluster does "
				      "not answer");
	case -EACCES:
	case -EPERM:
		return disk_error_set(error, result, "the Ceph cluster refuses "
				      "client.%s; give :id=USER and "
				      ":keyring=FILE", id ? id : "admin");
	}
	return disk_error_set(error, result, "Ceph: %s", strerror(-result));
}

static bool has_monitors(rados_t cluster)
{
	char monitors[8];

	return rados_conf_get(cluster, "mon_host", monitors,
			      sizeof(monitors)) || *monitors;
}

static int configure(rados_t cluster, const struct rbd_address *address,
		     enum disk_cache cache, struct disk_error *error)
{
	const char *conf = rbd_address_option(address, "conf");
	int result = rados_conf_read_file(cluster, conf);

	bool found = !result;

	if (result && conf)
		return disk_error_set(error, result, "conf=%s: %s", conf,
				      strerror(-result));
	set_ours(cluster, cache);
	result = 0;
	for (unsigned int i = 0; i < address->options && !result; i++) {
		const char *name = address->option[i].name;

		if (strcmp(name, "conf") && strcmp(name, "id"))
			result = set(cluster, name, address->option[i].value,
				     error);
	}
	/* The library would look for one in the DNS, and grumble. */
	if (!result && !found && !has_monitors(cluster))
		result = cannot_connect(-ENOENT, NULL, error);
	return result;
}

static int connect_to(struct remote *remote, const struct rbd_address *address,
		      enum disk_cache cache, struct disk_error *error)
{
	const char *id = rbd_address_option(address, "id");
	int result = rados_create(&remote->cluster, id);

	if (result) {
		remote->cluster = NULL;
		return disk_error_set(error, result, "Ceph: %s",
				      strerror(-result));
	}
	result = configure(remote->cluster, address, cache, error);
	if (result)
		return result;
	result = rados_connect(remote->cluster);
	if (result)
		return cannot_connect(result, id, error);
	result = rados_ioctx_create(remote->cluster, address->pool,
				    &remote->pool);
	if (result == -ENOENT)
		return disk_error_set(error, result, "there is no pool %s",
				      address->pool);
	if (result)
		return disk_error_set(error, result, "pool %s: %s",
				      address->pool, strerror(-result));
	if (address->space)
		rados_ioctx_set_namespace(remote->pool, address->space);
	return 0;
}

/* --- the image -------------------------------------------------------------- */

/* Who has the lock, as the cluster calls it; "another client". */
static void name_owner(struct remote *remote, char *name, size_t size)
{
	char *owner[OWNERS] = { NULL };
	size_t count = OWNERS;
	rbd_lock_mode_t mode;
	int result = rbd_lock_get_owners(remote->image, &mode, owner, &count);

	snprintf(name, size, "%s",
		 !result && count && owner[0] ? owner[0] : "another client");
	if (!result)
		rbd_lock_get_owners_cleanup(owner, count);
}

static int lock(struct remote *remote, uint64_t features,
		struct disk_error *error)
{
	int result, own = 1;
	char owner[80];

	if (!(features & RBD_FEATURE_EXCLUSIVE_LOCK))
		return disk_error_set(error, -ENOTSUP, "cannot be locked "
				      "against other writers; enable it: rbd "
				      "feature enable POOL/IMAGE "
				      "exclusive-lock");
	result = rbd_lock_acquire(remote->image, RBD_LOCK_MODE_EXCLUSIVE);
	if (!result)
		result = rbd_is_exclusive_lock_owner(remote->image, &own);
	if (!result && own)
		return 0;
	if (result && result != -EROFS && result != -EBUSY &&
	    result != -EAGAIN)
		return disk_error_set(error, result, "its lock: %s",
				      strerror(-result));
	name_owner(remote, owner, sizeof(owner));
	return disk_error_set(error, -EBUSY, "is in use by %s; stop that one, "
			      "or give both a copy", owner);
}

static int open_image(struct remote *remote, const struct rbd_address *address,
		      const struct disk_open *how, struct disk_error *error)
{
	rbd_image_info_t info;
	uint64_t features = 0;
	int result;

	if (address->snapshot && !how->readonly)
		return disk_error_set(error, -EROFS, "is a snapshot; give it "
				      "with ,readonly");
	result = how->readonly
			 ? rbd_open_read_only(remote->pool, address->image,
					      &remote->image,
					      address->snapshot)
			 : rbd_open(remote->pool, address->image,
				    &remote->image, NULL);
	if (result) {
		remote->image = NULL;
		return disk_error_set(error, result, "%s%s",
				      result == -ENOENT ? "there is no such "
							  "image"
							: strerror(-result),
				      result == -ENOENT && address->snapshot
					      ? ", or no such snapshot"
					      : "");
	}
	result = rbd_stat(remote->image, &info, sizeof(info));
	if (result)
		return disk_error_set(error, result, "%s", strerror(-result));
	remote->node.size = info.size;
	remote->node.physical = 4096;
	remote->object = info.obj_size ? info.obj_size : 4u << 20;
	remote->unsafe = how->cache == DISK_CACHE_UNSAFE;
	rbd_get_features(remote->image, &features);
	remote->counts = features & RBD_FEATURE_FAST_DIFF;
	return how->unlocked || how->readonly ? 0
					      : lock(remote, features, error);
}

/* A second time, with the lock; then the first goes. */
static int open_wide(struct remote *remote, const struct rbd_address *address,
		     struct disk_error *error)
{
	rbd_image_t narrow = remote->image;
	uint64_t features = 0;
	int result;

	if (address->snapshot)
		return disk_error_set(error, -EROFS, "is a snapshot, which "
				      "keeps what it has");
	result = rbd_open(remote->pool, address->image, &remote->image, NULL);
	if (result) {
		remote->image = narrow;
		return disk_error_set(error, result, "%s", strerror(-result));
	}
	rbd_get_features(remote->image, &features);
	result = lock(remote, features, error);
	rbd_close(result ? remote->image : narrow);
	if (result)
		remote->image = narrow;
	else
		remote->node.readonly = false;
	return result;
}

static int remote_make_writable(struct disk_node *node,
				struct disk_error *error)
{
	struct rbd_address address;
	int result = rbd_address_parse(&address, node->name, error);

	if (!result)
		result = open_wide(remote_of(node), &address, error);
	rbd_address_free(&address);
	return result;
}

static int make_image(struct remote *remote, const struct rbd_address *address,
		      struct disk_error *error)
{
	int order = 0, result;

	if (address->snapshot)
		return disk_error_set(error, -EINVAL, "names a snapshot");
	result = rbd_create(remote->pool, address->image, 0, &order);
	if (result == -EEXIST)
		return disk_error_set(error, result, "is there already; remove "
				      "it, or take another name");
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static int open_node(struct disk_node **node, const struct disk_open *how,
		     bool make, struct disk_error *error)
{
	struct remote *remote = calloc(1, sizeof(*remote));
	struct rbd_address address;
	int result;

	*node = NULL;
	if (!remote || disk_node_init(&remote->node, &rbd_driver, NULL, how)) {
		free(remote);
		return disk_error_set(error, -ENOMEM, "out of memory");
	}
	pthread_mutex_init(&remote->growing, NULL);
	result = rbd_address_parse(&address, how->path, error);
	if (!result)
		result = connect_to(remote, &address, how->cache, error);
	if (!result && make)
		result = make_image(remote, &address, error);
	if (!result)
		result = open_image(remote, &address, how, error);
	rbd_address_free(&address);
	if (result)
		disk_close(&remote->node);
	else
		*node = &remote->node;
	return result;
}

int disk_rbd_connect(struct disk_node **node, const struct disk_open *how,
		     struct disk_error *error)
{
	return open_node(node, how, false, error);
}

int disk_rbd_make(struct disk_node **node, const struct disk_open *how,
		  struct disk_error *error)
{
	int result = open_node(node, how, true, error);

	if (!result)
		(*node)->grows = true;
	return result;
}

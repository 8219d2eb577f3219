/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes that a guest knows; see node.h.
 */
#include "share/server/node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH_MAX   4096 /* of folders whose descriptors were all closed */
#define BUCKETS_MIN 256u
#define SETTLED_S   1 /* more than the clock of any file system */
#define WANTED	    (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* What a file is, whatever it is called. */
struct identity {
	uint64_t device, inode;
	int64_t birth;
	uint32_t birth_ns;
	uint32_t kind; /* S_IFMT */
};

struct node {
	uint64_t id;
	struct identity what;
	uint64_t lookups; /* of the guest */
	unsigned int children, users;
	int fd;	   /* O_PATH; -1: not open */
	bool held; /* stays open */
	bool settled; /* when it was opened last, and had changed then: */
	struct statx_timestamp changed;
	struct node *parent; /* NULL: the root */
	char *name;
	struct node *same;	    /* in the chain of its bucket */
	struct node *newer, *older; /* those whose descriptor may be closed */
};

/* --- what is there -------------------------------------------------------------- */

static struct identity identity_of(const struct statx *s)
{
	return (struct identity){
		.device = (uint64_t)s->stx_dev_major << 32 | s->stx_dev_minor,
		.inode = s->stx_ino,
		.birth = s->stx_mask & STATX_BTIME ? s->stx_btime.tv_sec : 0,
		.birth_ns = s->stx_mask & STATX_BTIME ? s->stx_btime.tv_nsec :
							0,
		.kind = s->stx_mode & S_IFMT,
	};
}

static bool same(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode &&
	       a->birth == b->birth && a->birth_ns == b->birth_ns &&
	       a->kind == b->kind;
}

/* Other file systems that are mounted in the folder are no part of it. */
int node_stat(const struct nodes *nodes, int fd, const char *name,
	      struct statx *status)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;

	if (!name)
		flags |= AT_EMPTY_PATH;
	if (statx(fd, name ? name : "", flags, WANTED, status))
		return -errno;
	if (name && (status->stx_mask & STATX_MNT_ID) &&
	    status->stx_mnt_id != nodes->mount)
		return -EXDEV;
	return 0;
}

/* One component, which is no link and on no other file system. */
static int open_entry(int folder, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, folder, name, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN);
	return fd < 0 ? -errno : (int)fd;
}

/* --- all of them ---------------------------------------------------------------- */

static struct node **bucket(struct nodes *n, const struct identity *what)
{
	uint64_t key = what->inode * 0x9e3779b97f4a7c15u ^ what->device ^
		       (uint64_t)what->birth;

	return &n->hash[(key ^ key >> 32) & (n->buckets - 1)];
}

static struct node *find(struct nodes *n, const struct identity *what)
{
	struct node *node = *bucket(n, what);

	while (node && !same(&node->what, what))
		node = node->same;
	return node;
}

static struct node *by_id(const struct nodes *n, uint64_t id)
{
	uint32_t at = (uint32_t)id;
	struct node *node = at < n->room ? n->node[at] : NULL;

	return node && node->id == id ? node : NULL;
}

/* As many buckets as nodes. Without memory, the chains get longer. */
static void grow_hash(struct nodes *n)
{
	uint32_t old = n->buckets;
	struct node **from = n->hash;
	struct node **to = calloc(2 * (size_t)old, sizeof(*to));

	if (!to)
		return;
	n->hash = to;
	n->buckets = 2 * old;
	for (uint32_t i = 0; i < old; i++)
		while (from[i]) {
			struct node *node = from[i];
			struct node **at = bucket(n, &node->what);

			from[i] = node->same;
			node->same = *at;
			*at = node;
		}
	free(from);
}

static int grow_table(struct nodes *n)
{
	uint32_t room = n->room ? 2 * n->room : BUCKETS_MIN;
	struct node **more = realloc(n->node, room * sizeof(struct node *));

	if (!more)
		return -ENOMEM;
	memset(more + n->room, 0, (room - n->room) * sizeof(struct node *));
	n->free = n->room;
	n->node = more;
	n->room = room;
	return 0;
}

/* Gives the node a number. */
static int add(struct nodes *n, struct node *node)
{
	struct node **at;
	int rc;

	if (n->count == NODES_MAX)
		return -ENFILE;
	if (2 * n->count + 2 > n->room) {
		rc = grow_table(n);
		if (rc)
			return rc;
	}
	/* Place 0 stays empty, so that place 1 of use 0 is the root. */
	while (!n->free || n->node[n->free])
		n->free = (n->free + 1) % n->room;
	node->id = (uint64_t)n->uses << 32 | n->free;
	n->node[n->free] = node;
	n->uses++;
	if (++n->count > n->buckets)
		grow_hash(n);
	at = bucket(n, &node->what);
	node->same = *at;
	*at = node;
	return 0;
}

/* --- descriptors ---------------------------------------------------------------- */

/* Those that nobody uses are in a list, the ones used last at its head. */
static void list(struct nodes *n, struct node *node)
{
	node->older = n->newest;
	node->newer = NULL;
	if (n->newest)
		n->newest->newer = node;
	else
		n->oldest = node;
	n->newest = node;
}

static void unlist(struct nodes *n, struct node *node)
{
	if (node->newer)
		node->newer->older = node->older;
	else
		n->newest = node->older;
	if (node->older)
		node->older->newer = node->newer;
	else
		n->oldest = node->newer;
}

static bool may_close(const struct node *node)
{
	return node->fd >= 0 && !node->users && !node->held && node->parent;
}

static void close_node(struct nodes *n, struct node *node)
{
	close(node->fd);
	node->fd = -1;
	n->open--;
}

static int make_room(struct nodes *n)
{
	while (n->open >= n->open_max) {
		struct node *node = n->oldest;

		if (!node)
			return -ENFILE;
		unlist(n, node);
		close_node(n, node);
	}
	return 0;
}

static void begin_use(struct nodes *n, struct node *node)
{
	if (may_close(node))
		unlist(n, node);
	node->users++;
}

static void free_unknown(struct nodes *n, struct node *node);

static void end_use(struct nodes *n, struct node *node)
{
	node->users--;
	if (may_close(node))
		list(n, node);
	free_unknown(n, node);
}

/* Opens the node by its name; its parent is open, and both are in use. */
static int open_node(struct nodes *n, struct node *node)
{
	struct identity what;
	struct statx status;
	int fd, rc = make_room(n);

	if (rc)
		return rc;
	fd = open_entry(node->parent->fd, node->name);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
	rc = node_stat(n, fd, NULL, &status);
	what = identity_of(&status);
	if (rc || !same(&what, &node->what)) {
		close(fd);
		return rc ? rc : -ESTALE;
	}
	node->fd = fd;
	n->open++;
	return 0;
}

/*
 * Uses the node, with its descriptor open: so its parents' have to be, from the
 * next one that is.
 */
static int use(struct nodes *n, struct node *node)
{
	unsigned int above = 0;
	struct node *at;
	int rc = 0;

	begin_use(n, node);
	while (node->fd < 0 && !rc) {
		at = node;
		for (above = 0; at->parent->fd < 0 && above < DEPTH_MAX; above++)
			at = at->parent;
		if (above == DEPTH_MAX) {
			rc = -ESTALE;
			break;
		}
		begin_use(n, at);
		begin_use(n, at->parent);
		rc = open_node(n, at);
		end_use(n, at->parent);
		end_use(n, at);
	}
	if (rc)
		end_use(n, node);
	return rc;
}

/* --- coming and going ------------------------------------------------------------- */

static void remove_node(struct nodes *n, struct node *node)
{
	struct node **at = bucket(n, &node->what);

	while (*at != node)
		at = &(*at)->same;
	*at = node->same;
	n->node[(uint32_t)node->id] = NULL;
	n->count--;
	if (may_close(node))
		unlist(n, node);
	if (node->fd >= 0)
		close_node(n, node);
	free(node->name);
	free(node);
}

/* Frees it when nobody knows it any more, and its parents likewise. */
static void free_unknown(struct nodes *n, struct node *node)
{
	while (node && node->parent && !node->lookups && !node->children &&
	       !node->users) {
		struct node *parent = node->parent;

		parent->children--;
		remove_node(n, node);
		node = parent;
	}
}

static bool is_above(const struct node *above, const struct node *node)
{
	while (node && node != above)
		node = node->parent;
	return node;
}

/* Where it was seen last. A folder is never below itself, whoever moves it. */
static void rename_node(struct nodes *n, struct node *node,
			struct node *parent, const char *name)
{
	struct node *old = node->parent;
	char *copy;

	if (!old || (old == parent && !strcmp(node->name, name)) ||
	    is_above(node, parent))
		return;
	copy = strdup(name);
	if (!copy)
		return; /* it will be stale */
	free(node->name);
	node->name = copy;
	node->parent = parent;
	parent->children++;
	old->children--;
	free_unknown(n, old);
}

static int make(struct nodes *n, struct node *parent, const char *name,
		const struct identity *what, struct node **out)
{
	struct node *node = calloc(1, sizeof(*node));
	int rc = -ENOMEM;

	if (node)
		node->name = strdup(name);
	if (node && node->name) {
		node->what = *what;
		node->fd = -1;
		node->parent = parent;
		rc = add(n, node);
	}
	if (rc) {
		free(node ? node->name : NULL);
		free(node);
		return rc;
	}
	parent->children++;
	*out = node;
	return 0;
}

int node_enter(struct nodes *n, struct node *parent, const char *name,
	       const struct statx *status, uint64_t *id)
{
	const struct identity what = identity_of(status);
	struct node *node;
	int rc = 0;

	pthread_mutex_lock(&n->mutex);
	node = find(n, &what);
	if (node)
		rename_node(n, node, parent, name);
	else
		rc = make(n, parent, name, &what, &node);
	if (!rc) {
		node->lookups++;
		*id = node->id;
	}
	pthread_mutex_unlock(&n->mutex);
	return rc;
}

void node_forget(struct nodes *n, uint64_t id, uint64_t count)
{
	struct node *node;

	pthread_mutex_lock(&n->mutex);
	node = by_id(n, id);
	if (node && node->parent) {
		node->lookups -= count < node->lookups ? count :
							 node->lookups;
		free_unknown(n, node);
	}
	pthread_mutex_unlock(&n->mutex);
}

int node_use(struct nodes *n, uint64_t id, struct node_use *out)
{
	int rc;

	pthread_mutex_lock(&n->mutex);
	out->node = by_id(n, id);
	rc = out->node ? use(n, out->node) : -ESTALE;
	out->fd = rc ? -1 : out->node->fd;
	pthread_mutex_unlock(&n->mutex);
	return rc;
}

void node_done(struct nodes *n, struct node_use *done)
{
	pthread_mutex_lock(&n->mutex);
	end_use(n, done->node);
	pthread_mutex_unlock(&n->mutex);
	done->node = NULL;
}

int node_hold(struct nodes *n, const struct node_use *parent, const char *name)
{
	struct identity what;
	struct statx status;
	struct node *node;
	int rc = node_stat(n, parent->fd, name, &status);

	if (rc)
		return rc;
	what = identity_of(&status);
	pthread_mutex_lock(&n->mutex);
	node = find(n, &what);
	if (node && node->parent && !node->held) {
		rename_node(n, node, parent->node, name);
		rc = use(n, node);
		if (!rc) {
			node->held = true;
			end_use(n, node);
		}
	}
	pthread_mutex_unlock(&n->mutex);
	return rc;
}

bool node_unchanged(struct nodes *n, struct node *node,
		    const struct statx_timestamp *changed, int64_t now)
{
	bool unchanged;

	pthread_mutex_lock(&n->mutex);
	unchanged = node->settled && node->changed.tv_sec == changed->tv_sec &&
		    node->changed.tv_nsec == changed->tv_nsec;
	node->changed = *changed;
	node->settled = now - changed->tv_sec > SETTLED_S;
	pthread_mutex_unlock(&n->mutex);
	return unchanged;
}

void node_renamed(struct nodes *n, const struct statx *status,
		  struct node *parent, const char *name)
{
	const struct identity what = identity_of(status);
	struct node *node;

	pthread_mutex_lock(&n->mutex);
	node = find(n, &what);
	if (node)
		rename_node(n, node, parent, name);
	pthread_mutex_unlock(&n->mutex);
}

void nodes_reset(struct nodes *n)
{
	pthread_mutex_lock(&n->mutex);
	for (uint32_t i = 0; i < n->room; i++)
		if (n->node[i] && n->node[i] != n->root)
			remove_node(n, n->node[i]);
	n->root->children = 0;
	pthread_mutex_unlock(&n->mutex);
}

int nodes_init(struct nodes *n, int fd, unsigned int open_max)
{
	struct statx status;
	int rc;

	*n = (struct nodes){
		.free = NODES_ROOT,
		.buckets = BUCKETS_MIN,
		.open_max = open_max,
		.open = 1,
	};
	pthread_mutex_init(&n->mutex, NULL);
	rc = node_stat(n, fd, NULL, &status);
	n->hash = calloc(n->buckets, sizeof(struct node *));
	n->root = calloc(1, sizeof(*n->root));
	if (!rc && (!n->hash || !n->root))
		rc = -ENOMEM;
	if (!rc) {
		n->mount = status.stx_mnt_id;
		*n->root = (struct node){ .what = identity_of(&status),
					  .fd = fd,
					  .lookups = 1 };
		rc = grow_table(n);
		n->free = NODES_ROOT;
	}
	if (!rc)
		rc = add(n, n->root);
	if (rc) {
		free(n->root);
		n->root = NULL;
		nodes_fini(n);
	}
	return rc;
}

void nodes_fini(struct nodes *n)
{
	if (n->root) {
		nodes_reset(n);
		free(n->root);
	}
	free(n->node);
	free(n->hash);
	pthread_mutex_destroy(&n->mutex);
}

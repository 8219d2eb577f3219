/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image format provides. A driver's own struct begins with its struct
 * disk_node. Operations may be called by several threads at once; NULL where
 * a driver has none. Ranges were checked: they lie in the node and are not
 * empty, and writing calls come to writable nodes only.
 *
 * node.c holds ranges for the drivers that are not leaves:
 *  - map, read: shared with others that read and write in place;
 *  - write, write_packed, zero, discard: alone, in whole clusters around the range, so two
 *    calls never meet in a cluster;
 *  - resize, snapshots, keys, set_backing, check: alone in the whole node.
 * A driver still locks what calls for different clusters share (tables,
 * caches, the search for free room).
 */
#ifndef LODGE_DISK_DRIVER_H
#define LODGE_DISK_DRIVER_H

#include "disk/node.h"

/* An option of disk_create(). */
struct disk_option {
	const char *name; /* NULL ends the table */
	const char *help; /* "BYTES: what it does (default: ...)" */
};

/* A transfer of a leaf that ends by a call. */
struct disk_io {
	bool write;
	uint64_t offset, length; /* within the leaf, not empty */
	struct disk_vec vec;
	int error; /* when it is over; -EAGAIN: read() or write() is to do it */
	void (*done)(struct disk_io *io);
	/* The leaf's, until it is over. */
	void (*begun)(struct disk_io *io);
	struct disk_io *next;
	struct disk_range range;
	void (*then)(struct disk_io *io);
	void *leaf;
};

/* See disk_bitmap_*(); they take what they need of the node themselves. */
struct disk_bitmap_ops {
	int (*list)(struct disk_node *node, struct disk_bitmap **list,
		    unsigned int *count);
	int (*create)(struct disk_node *node, const char *name,
		      uint64_t granularity, struct disk_error *error);
	int (*delete)(struct disk_node *node, const char *name,
		      struct disk_error *error);
	int (*clear)(struct disk_node *node, const char *name,
		     struct disk_error *error);
	int (*merge)(struct disk_node *node, const char *name,
		     const char *from, struct disk_error *error);
	int (*read)(struct disk_node *node, const char *name, uint8_t **bits,
		    uint64_t *granularity, struct disk_error *error);
};

struct disk_driver {
	const char *name;    /* as users write it: "qcow2" */
	const char *title;   /* for sentences: "VMDK" */
	const char *suffixes; /* of paths, a space between: ".vhd .vpc" */
	const struct disk_option *options;
	bool leaf;	/* not of disk_open(): others open it for themselves */
	bool filter;	/* between a VM's disk and its image, the node's file */
	bool backing;	/* knows backing files */
	bool footer;	/* may be known by the file's last bytes alone */
	bool encrypts;	/* new images may have a passphrase */
	bool noisy;	/* what was never written reads as anything */
	bool names_itself; /* an image has its own path in it, or is several
			    * files: cannot be made under another name */

	/* Whether a file's first bytes are this format's. */
	bool (*probe)(const uint8_t *head, size_t size);

	/*
	 * Makes a node on `file`, which it owns when it succeeds, name and
	 * ranges excepted: disk_node_init(). Opens the backing file by
	 * disk_open_backing(). Believes nothing that the file says.
	 */
	int (*open)(struct disk_node **node, struct disk_node *file,
		    const struct disk_open *how, struct disk_error *error);
	/* Writes an empty image of how->size to `file`, which is empty. */
	int (*create)(struct disk_node *file, const struct disk_create *how,
		      struct disk_error *error);
	/* Before its file and backing are closed; frees all but the node. */
	void (*close)(struct disk_node *node);

	/* See disk_map(); DISK_SPARSE is for leaves, which have `at` and
	 * `in` filled for them. */
	int (*map)(struct disk_node *node, uint64_t offset, uint64_t length,
		   unsigned int flags, struct disk_extent *extent);
	/* A leaf's bytes; of others what is DISK_PACKED, in one extent. */
	int (*read)(struct disk_node *node, uint64_t offset, uint64_t length,
		    struct disk_vec to);
	/* A leaf's bytes; of others what is not in place. */
	int (*write)(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec from);
	/* A whole cluster, or what the node ends with, compressed. It may keep
	 * the bytes as they are when they do not get fewer. */
	int (*write_packed)(struct disk_node *node, uint64_t offset,
			    uint64_t length, struct disk_vec from);
	/*
	 * Of a leaf: begins a transfer and never waits. True: it is over,
	 * io->error says how. False: done() comes, on any thread. NULL: as if
	 * always over with -EAGAIN.
	 */
	bool (*submit)(struct disk_node *node, struct disk_io *io);
	/* NULL, -ENOTSUP: zeros are written. */
	int (*zero)(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags);
	/* NULL: nothing is done. */
	int (*discard)(struct disk_node *node, uint64_t offset,
		       uint64_t length);
	/* Writes out what the driver holds back, in an order that every
	 * moment's file is sound, and flushes. NULL: the file's. */
	int (*flush)(struct disk_node *node);

	/* Removes the files besides the first; of a leaf: it goes when it is
	 * closed. NULL: there are none; a leaf is a file. */
	void (*remove)(struct disk_node *node);

	/* Of a node that nobody uses meanwhile: may be written from now on. A
	 * format without it is opened anew on its file. */
	int (*make_writable)(struct disk_node *node, struct disk_error *error);

	uint64_t (*allocated)(struct disk_node *node); /* a leaf's */
	int (*resize)(struct disk_node *node, uint64_t size,
		      enum disk_preallocation prealloc,
		      struct disk_error *error);
	json_t *(*info)(struct disk_node *node);
	int (*check)(struct disk_node *node, bool repair,
		     struct disk_check *check, struct disk_error *error);
	int (*snapshot_list)(struct disk_node *node,
			     struct disk_snapshot **list, unsigned int *count);
	int (*snapshot_create)(struct disk_node *node, const char *name,
			       struct disk_error *error);
	int (*snapshot_apply)(struct disk_node *node, const char *id_or_name,
			      struct disk_error *error);
	int (*snapshot_delete)(struct disk_node *node, const char *id_or_name,
			       struct disk_error *error);
	const struct disk_bitmap_ops *bitmap; /* NULL: there are none */
	int (*add_key)(struct disk_node *node,
		       const struct disk_secret *secret,
		       struct disk_error *error);
	int (*remove_key)(struct disk_node *node,
			  const struct disk_secret *secret,
			  struct disk_error *error);
	int (*set_backing)(struct disk_node *node, const char *path,
			   const char *format, struct disk_error *error);
};

extern const struct disk_driver disk_qcow2;

/*
 * Opens a file with bytes of the image `file`, which names it: found as a
 * backing file is, but opened and locked as the image. A leaf.
 */
int disk_open_data(struct disk_node **data, const struct disk_node *file,
		   const char *path, const struct disk_open *how,
		   struct disk_error *error);

/* disk_read() for a driver that is called with the range held. */
int disk_read_held(struct disk_node *node, uint64_t offset, uint64_t length,
		   struct disk_vec to);

/* The driver, file and name (the file's; a leaf sets its own). */
int disk_node_init(struct disk_node *node, const struct disk_driver *driver,
		   struct disk_node *file, const struct disk_open *how);

/* For drivers' make_writable(): the same for a leaf of theirs, which may grow
 * if `grows`. One that may be written already is left alone. */
int disk_leaf_make_writable(struct disk_node *leaf, bool grows,
			    struct disk_error *error);

/* For an open() that fails late: frees the node, but not its file. */
void disk_node_abandon(struct disk_node *node);

/*
 * Opens what `path`, found in the image `file`, names as backing: relative to
 * the image's folder, in that or an allowed one, read-only, at most 64 deep
 * and not in a circle. `format`: what the image says, NULL when it does not.
 * *backing is NULL when how->alone.
 */
int disk_open_backing(struct disk_node **backing, const struct disk_node *file,
		      const char *path, const char *format,
		      const struct disk_open *how, struct disk_error *error);

/*
 * The backing file of an image that is being made in `file`, of `format` when
 * that is not NULL, by the secrets that are for it.
 */
int disk_create_backing(struct disk_node **backing,
			const struct disk_node *file, const char *format,
			const struct disk_create *how,
			struct disk_error *error);

extern const struct disk_driver disk_raw, disk_luks;
extern const struct disk_driver disk_vdi, disk_vhd, disk_vmdk, disk_vhdx;

#endif

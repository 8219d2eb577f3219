/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMDK, VMware's disk images: which files an image has and what of the disk
 * lies in which. See vmdk.h; images of ESX (VMFS, SE sparse) are refused.
 *
 * An image has a number, the CID, that changes with its content: so that an
 * image on it sees when it is no longer what it stood on. It changes ahead of
 * the first write of each opening; until then no extent is to be written in
 * place.
 */
#include "disk/vmdk/vmdk.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "disk/file.h"

#define FLAT_CLUSTER (64u << 10)

/* --- bytes ------------------------------------------------------------------ */

static struct vmdk_extent *find_extent(struct vmdk *vmdk, uint64_t offset)
{
	unsigned int low = 0, high = vmdk->extents;

	while (high - low > 1) {
		unsigned int middle = (low + high) / 2;

		if (vmdk->extent[middle].first <= offset)
			low = middle;
		else
			high = middle;
	}
	return &vmdk->extent[low];
}

static uint64_t in_extent(const struct vmdk_extent *extent, uint64_t offset,
			  uint64_t length)
{
	uint64_t left = extent->first + extent->size - offset;

	return left < length ? left : length;
}

static int vmdk_map(struct disk_node *node, uint64_t offset, uint64_t length,
		    unsigned int flags, struct disk_extent *found)
{
	struct vmdk *vmdk = vmdk_of(node);
	struct vmdk_extent *extent = find_extent(vmdk, offset);
	int error = 0;

	length = in_extent(extent, offset, length);
	if (vmdk->stream)
		return vmdk_stream_map(vmdk, offset, length, found);
	if (extent->kind == VMDK_SPARSE)
		error = vmdk_sparse_map(extent, offset, length, flags, found);
	else if (extent->kind == VMDK_FLAT)
		*found = (struct disk_extent){
			.kind = DISK_DATA, .in = extent->file,
			.at = extent->at + offset - extent->first,
			.length = length,
		};
	else
		*found = (struct disk_extent){ .kind = DISK_ZERO,
					       .length = length };
	found->in_place = !error && found->kind == DISK_DATA && vmdk->changed;
	return error;
}

static int vmdk_read(struct disk_node *node, uint64_t offset, uint64_t length,
		     struct disk_vec to)
{
	struct vmdk *vmdk = vmdk_of(node);

	if (vmdk->stream)
		return vmdk_stream_read(vmdk, offset, length, to);
	return vmdk_sparse_read_packed(find_extent(vmdk, offset), offset,
				       length, to);
}

/* A new CID, ahead of the first change. */
int vmdk_note_change(struct vmdk *vmdk)
{
	uint32_t cid = 0, mask = vmdk->cid_digits < 8
					 ? (1u << 4 * vmdk->cid_digits) - 1
					 : UINT32_MAX;
	char digits[9];
	int error = 0;

	if (vmdk->changed)
		return 0;
	pthread_mutex_lock(&vmdk->change);
	if (!vmdk->changed && vmdk->cid_at) {
		do {
			if (getrandom(&cid, sizeof(cid), 0) < 0)
				continue;
			cid &= mask;
		} while (cid == vmdk->cid || cid == VMDK_NO_CID);
		snprintf(digits, sizeof(digits), "%0*x",
			 (int)vmdk->cid_digits, cid);
		error = disk_write_bytes(vmdk->node.file, vmdk->cid_at, digits,
					 vmdk->cid_digits);
		if (!error)
			error = disk_flush(vmdk->node.file);
		if (!error)
			vmdk->cid = cid;
	}
	if (!error)
		vmdk->changed = true;
	pthread_mutex_unlock(&vmdk->change);
	return error;
}

static int vmdk_write(struct disk_node *node, uint64_t offset, uint64_t length,
		      struct disk_vec from)
{
	struct vmdk *vmdk = vmdk_of(node);
	int error = vmdk_note_change(vmdk);

	if (vmdk->stream)
		return -ENOTSUP;
	while (!error && length) {
		struct vmdk_extent *extent = find_extent(vmdk, offset);
		uint64_t part = in_extent(extent, offset, length);

		if (extent->kind == VMDK_SPARSE)
			error = vmdk_sparse_write(extent, node, offset, part,
						  from);
		else if (extent->kind == VMDK_FLAT)
			error = disk_write(extent->file,
					   extent->at + offset - extent->first,
					   part, from);
		else
			error = -EROFS;
		offset += part;
		length -= part;
		from = disk_vec_from(from, part);
	}
	return error;
}

static int vmdk_zero(struct disk_node *node, uint64_t offset, uint64_t length,
		     unsigned int flags)
{
	int error = vmdk_note_change(vmdk_of(node));

	return error ? error
		     : disk_extents_zero(node, offset, length, flags);
}

static int vmdk_discard(struct disk_node *node, uint64_t offset,
			uint64_t length)
{
	int error = vmdk_note_change(vmdk_of(node));

	return error ? error : disk_extents_discard(node, offset, length);
}

static int vmdk_flush(struct disk_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);
	int error = 0;

	if (vmdk->stream)
		return vmdk_stream_finish(vmdk);
	for (unsigned int i = 0; !error && i < vmdk->extents; i++) {
		struct vmdk_extent *extent = &vmdk->extent[i];

		if (extent->kind == VMDK_SPARSE)
			error = disk_meta_flush(&extent->meta);
		else if (extent->kind == VMDK_FLAT)
			error = disk_flush(extent->file);
	}
	if (!error && vmdk->changed && vmdk->cid_at)
		error = disk_flush(node->file);
	return error;
}

/* --- opening ---------------------------------------------------------------- */

static bool vmdk_probe(const uint8_t *head, size_t size)
{
	char text[257];

	if (vmdk_is_sparse(head, size) ||
	    (size >= 4 && !memcmp(head, "COWD", 4)))
		return true;
	if (size >= sizeof(text))
		size = sizeof(text) - 1;
	memcpy(text, head, size);
	text[size] = 0;
	return *text == '#' && strcasestr(text, "disk descriptorfile");
}

static int no_memory(struct disk_error *error)
{
	return disk_error_set(error, -ENOMEM, "out of memory");
}

/* Where the text lies in the file: all of it, or what the header says. */
static int read_text(struct vmdk *vmdk, const struct vmdk_extent *sparse,
		     char **text, uint64_t *at, size_t *size,
		     struct disk_error *error)
{
	uint64_t file = vmdk->node.file->size, bytes = file;

	*at = 0;
	if (sparse) {
		*at = sparse->descriptor;
		bytes = sparse->descriptor_size;
	}
	if (!bytes || bytes > VMDK_DESCRIPTOR_MAX || *at > file ||
	    bytes > file - *at)
		return disk_error_set(error, -EINVAL, "has a VMDK descriptor "
				      "that makes no sense, or none");
	*size = bytes;
	*text = malloc(bytes);
	if (!*text)
		return no_memory(error);
	if (disk_read_bytes(vmdk->node.file, *at, *text, bytes))
		return disk_error_set(error, -EIO, "cannot be read");
	return 0;
}

/* The file of an extent: its folder is the image's, even behind links. */
static int extent_path(const struct vmdk *vmdk, const char *name,
		       char real[PATH_MAX], struct disk_error *error)
{
	const char *slash = strrchr(vmdk->node.file->name, '/');
	int folder = slash ? (int)(slash - vmdk->node.file->name) + 1 : 2;
	char path[PATH_MAX], home[PATH_MAX];
	char *end;

	if (strchr(name, '/') || strchr(name, '\\'))
		return disk_error_set(error, -EPERM, "has an extent outside of "
				      "its folder, %s; move it there", name);
	snprintf(path, sizeof(path), "%.*s", folder,
		 slash ? vmdk->node.file->name : "./");
	if (!realpath(path, home) ||
	    snprintf(path, sizeof(path), "%s/%s", home, name) >=
		    (int)sizeof(path) ||
	    !realpath(path, real))
		return disk_error_set(error, -ENOENT, "lacks its extent %s; "
				      "bring it back", name);
	end = strrchr(real, '/');
	if ((size_t)(end - real) != strlen(home) ||
	    strncmp(real, home, (size_t)(end - real)) != 0)
		return disk_error_set(error, -EPERM, "has an extent outside of "
				      "its folder, %s", real);
	return 0;
}

static int open_file(struct vmdk *vmdk, struct vmdk_extent *extent,
		     const struct vmdk_line *line,
		     const struct disk_open *how, struct disk_error *error)
{
	char path[PATH_MAX];
	struct disk_open below = *how;
	struct disk_error why;
	int result = extent_path(vmdk, line->name, path, error);

	if (result)
		return result;
	below.path = path;
	below.readonly = how->readonly || line->readonly;
	result = disk_file_open(&extent->file, &below, &why);
	if (result)
		return disk_error_set(error, result, "its extent %s: %s",
				      line->name, why.text);
	extent->file->grows = line->kind == VMDK_SPARSE && !below.readonly;
	return 0;
}

/* An extent in a file of its own. */
static int open_extent(struct vmdk *vmdk, struct vmdk_extent *extent,
		       const struct vmdk_line *line,
		       const struct disk_open *how, struct disk_error *error)
{
	int result;

	extent->kind = line->kind;
	extent->readonly = line->readonly;
	extent->at = line->at;
	extent->size = line->size;
	if (line->kind == VMDK_ZEROS)
		return 0;
	result = open_file(vmdk, extent, line, how, error);
	if (result)
		return result;
	if (line->kind == VMDK_SPARSE) {
		result = vmdk_sparse_open(extent, error);
		if (!result && extent->size < line->size)
			result = disk_error_set(error, -EINVAL, "its extent %s "
						"is shorter than the descriptor "
						"says", line->name);
	} else if (extent->file->size < line->at ||
		   extent->file->size - line->at < line->size) {
		result = disk_error_set(error, -EINVAL, "its extent %s is "
					"shorter than the descriptor says; a "
					"truncated copy?", line->name);
	}
	extent->size = line->size;
	return result;
}

static int open_extents(struct vmdk *vmdk,
			const struct vmdk_descriptor *descriptor,
			const struct disk_open *how, struct disk_error *error)
{
	if (!descriptor->lines)
		return disk_error_set(error, -EINVAL,
				      "has a VMDK descriptor without extents");
	vmdk->extent = calloc(descriptor->lines, sizeof(*vmdk->extent));
	if (!vmdk->extent)
		return no_memory(error);
	for (unsigned int i = 0; i < descriptor->lines; i++) {
		int result;

		vmdk->extents++;
		disk_meta_init(&vmdk->extent[i].meta, NULL);
		pthread_mutex_init(&vmdk->extent[i].mutex, NULL);
		result = open_extent(vmdk, &vmdk->extent[i],
				     &descriptor->line[i], how, error);
		if (result)
			return result;
	}
	return 0;
}

/* A sparse extent with the text in it: the only one. */
static int open_single(struct vmdk *vmdk, struct disk_error *error)
{
	vmdk->extent = calloc(1, sizeof(*vmdk->extent));
	if (!vmdk->extent)
		return no_memory(error);
	vmdk->extents = 1;
	disk_meta_init(&vmdk->extent->meta, NULL);
	pthread_mutex_init(&vmdk->extent->mutex, NULL);
	vmdk->extent->file = vmdk->node.file;
	return vmdk_sparse_open(vmdk->extent, error);
}

/* What the extents make together, and whether that can be. */
static int join_extents(struct vmdk *vmdk, struct disk_error *error)
{
	bool write = !vmdk->node.readonly;
	uint32_t cluster = 0;
	uint64_t size = 0;

	for (unsigned int i = 0; i < vmdk->extents; i++) {
		struct vmdk_extent *extent = &vmdk->extent[i];

		extent->first = size;
		if (extent->size > INT64_MAX - size)
			return disk_error_set(error, -EFBIG, "is too large");
		size += extent->size;
		extent->meta.file = extent->file;
		disk_meta_share(&extent->meta, vmdk->extents);
		if (extent->kind == VMDK_SPARSE && extent->grain > cluster)
			cluster = extent->grain;
		if (write && (extent->readonly || extent->kind == VMDK_ZEROS))
			return disk_error_set(error, -EROFS, "has an extent "
					      "that is read-only; open it "
					      "readonly, or convert it");
	}
	vmdk->node.size = size;
	vmdk->node.cluster = cluster ? cluster : FLAT_CLUSTER;
	for (unsigned int i = 0; write && cluster && i < vmdk->extents; i++)
		if (vmdk->extent[i].kind == VMDK_SPARSE &&
		    vmdk->extent[i].first % cluster)
			return disk_error_set(error, -ENOTSUP, "has extents "
					      "that do not begin with a grain; "
					      "open it readonly, or convert it");
	return 0;
}

static int open_stream(struct vmdk *vmdk, struct disk_error *error)
{
	const struct vmdk_extent *extent = &vmdk->extent[0];

	for (unsigned int i = 0; i < vmdk->extents; i++)
		if (vmdk->extent[i].packed && !vmdk->extent[i].fresh &&
		    !vmdk->node.readonly)
			return disk_error_set(error, -EROFS, "is compressed "
					      "(streamOptimized) and written "
					      "only once; open it readonly, or "
					      "convert it");
		else if (vmdk->extent[i].fresh &&
			 (vmdk->node.readonly || vmdk->extents > 1))
			return disk_error_set(error, -EINVAL, "was never "
					      "finished; make it again");
	if (!extent->fresh)
		return 0;
	vmdk->node.stream = true;
	vmdk->cid_at = 0;
	return vmdk_stream_open(vmdk) ? no_memory(error) : 0;
}

static int open_parent(struct vmdk *vmdk,
		       const struct vmdk_descriptor *descriptor,
		       const struct disk_open *how, struct disk_error *error)
{
	const char *path = descriptor->parent;
	int result;

	if (descriptor->parent_cid == VMDK_NO_CID)
		return 0;
	if (!*path)
		return disk_error_set(error, -EINVAL, "stands on a parent that "
				      "it does not name");
	if (strchr(path, '\\'))
		path = strrchr(path, '\\') + 1;
	vmdk->node.parent = strdup(path);
	result = disk_open_backing(&vmdk->node.backing, vmdk->node.file, path,
				   "vmdk", how, error);
	if (result || !vmdk->node.backing)
		return result;
	if (vmdk_of(vmdk->node.backing)->cid != descriptor->parent_cid)
		return disk_error_set(error, -EINVAL, "stands on %s, which was "
				      "changed since (another CID); bring back "
				      "what it was", path);
	return 0;
}

static int take_descriptor(struct vmdk *vmdk,
			   const struct vmdk_descriptor *descriptor,
			   uint64_t at, const struct disk_open *how,
			   struct disk_error *error)
{
	int result = 0;

	strcpy(vmdk->type, descriptor->type);
	vmdk->cid = descriptor->cid;
	vmdk->cid_digits = descriptor->cid_digits;
	vmdk->cid_at = descriptor->cid_at ? at + descriptor->cid_at : 0;
	if (!vmdk->extents)
		result = open_extents(vmdk, descriptor, how, error);
	if (!result)
		result = join_extents(vmdk, error);
	if (!result)
		result = open_stream(vmdk, error);
	return result ? result : open_parent(vmdk, descriptor, how, error);
}

static int take_image(struct vmdk *vmdk, const struct disk_open *how,
		      struct disk_error *error)
{
	uint8_t head[VMDK_SECTOR] = { 0 };
	struct vmdk_descriptor descriptor = { 0 };
	uint64_t size = vmdk->node.file->size, at = 0;
	char *text = NULL;
	size_t bytes = 0;
	int result = disk_read_bytes(vmdk->node.file, 0, head,
				     size < sizeof(head) ? size : sizeof(head));

	if (result)
		return disk_error_set(error, result, "cannot be read");
	if (!memcmp(head, "COWD", 4))
		return disk_error_set(error, -ENOTSUP, "is an extent of ESX "
				      "(vmfsSparse); convert the disk there "
				      "with vmkfstools");
	if (vmdk_is_sparse(head, sizeof(head)))
		result = open_single(vmdk, error);
	if (!result)
		result = read_text(vmdk, vmdk->extent, &text, &at, &bytes,
				   error);
	if (!result)
		result = vmdk_descriptor_read(&descriptor, text, bytes, error);
	if (!result)
		result = take_descriptor(vmdk, &descriptor, at, how, error);
	vmdk_descriptor_free(&descriptor);
	free(text);
	return result;
}

static int vmdk_open(struct disk_node **node, struct disk_node *file,
		     const struct disk_open *how, struct disk_error *error)
{
	struct vmdk *vmdk = calloc(1, sizeof(*vmdk));
	int result;

	if (!vmdk || disk_node_init(&vmdk->node, &disk_vmdk, file, how)) {
		free(vmdk);
		return no_memory(error);
	}
	pthread_mutex_init(&vmdk->change, NULL);
	result = take_image(vmdk, how, error);
	if (!result) {
		*node = &vmdk->node;
		return 0;
	}
	for (unsigned int i = 0; i < vmdk->extents; i++)
		if (vmdk->extent[i].file == file)
			vmdk->extent[i].file = NULL;
	disk_node_abandon(&vmdk->node);
	return result;
}

/* All its files; some of them may stay open for writing when one cannot. */
static int vmdk_make_writable(struct disk_node *node, struct disk_error *error)
{
	struct vmdk *vmdk = vmdk_of(node);
	int result = 0;

	for (unsigned int i = 0; !result && i < vmdk->extents; i++) {
		struct vmdk_extent *extent = &vmdk->extent[i];

		if (extent->readonly || extent->packed ||
		    extent->kind == VMDK_ZEROS)
			result = disk_error_set(error, -EROFS, "has parts that "
						"are not to be written");
		else
			result = disk_leaf_make_writable(
				extent->file, extent->kind == VMDK_SPARSE,
				error);
	}
	if (!result)
		result = disk_leaf_make_writable(node->file, false, error);
	if (!result)
		node->readonly = false;
	return result;
}

static void vmdk_close(struct disk_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);

	vmdk_stream_close(vmdk);
	for (unsigned int i = 0; i < vmdk->extents; i++) {
		disk_meta_fini(&vmdk->extent[i].meta);
		pthread_mutex_destroy(&vmdk->extent[i].mutex);
		if (vmdk->extent[i].file != node->file)
			disk_close(vmdk->extent[i].file);
	}
	free(vmdk->extent);
	pthread_mutex_destroy(&vmdk->change);
}

static void vmdk_remove(struct disk_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);

	for (unsigned int i = 0; i < vmdk->extents; i++)
		if (vmdk->extent[i].file &&
		    vmdk->extent[i].file != node->file)
			unlink(vmdk->extent[i].file->name);
}

/* --- care ------------------------------------------------------------------- */

static uint64_t vmdk_allocated(struct disk_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);
	uint64_t bytes = disk_allocated(node->file);

	for (unsigned int i = 0; i < vmdk->extents; i++)
		if (vmdk->extent[i].file &&
		    vmdk->extent[i].file != node->file)
			bytes += disk_allocated(vmdk->extent[i].file);
	return bytes;
}

static json_t *vmdk_info(struct disk_node *node)
{
	const struct vmdk *vmdk = vmdk_of(node);
	char cid[9];

	snprintf(cid, sizeof(cid), "%08x", vmdk->cid);
	return json_pack("{sssssI}", "subformat", vmdk->type, "cid", cid,
			 "extents", (json_int_t)vmdk->extents);
}

/* One whose header was ahead of the descriptor when a resize was cut short is
 * cut to what the disk has of it. */
static int check_extent(struct vmdk *vmdk, struct vmdk_extent *extent,
			bool repair, struct disk_check *check)
{
	bool last = extent == &vmdk->extent[vmdk->extents - 1];
	int error = 0;

	if (last && extent->whole > extent->size && !extent->packed) {
		disk_check_say(check, "the last extent is longer than the "
			       "descriptor says");
		check->leaks++;
		if (repair)
			error = vmdk_extent_trim(vmdk, extent);
		check->leaks_fixed += repair && !error;
	}
	return error ? error : vmdk_sparse_check(extent, repair, check);
}

static int vmdk_check(struct disk_node *node, bool repair,
		      struct disk_check *check, struct disk_error *error)
{
	struct vmdk *vmdk = vmdk_of(node);
	int result = 0;

	if (vmdk->stream)
		return disk_error_set(error, -ENOTSUP, "is being written");
	if (repair && vmdk->extent[0].packed)
		repair = false;
	for (unsigned int i = 0; !result && i < vmdk->extents; i++)
		if (vmdk->extent[i].kind == VMDK_SPARSE)
			result = check_extent(vmdk, &vmdk->extent[i], repair,
					      check);
	return result ? disk_error_set(error, result, "%s", strerror(-result))
		      : 0;
}

static const struct disk_option vmdk_options[] = {
	{ "subformat", "monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|"
		       "twoGbMaxExtentFlat|streamOptimized (default: "
		       "monolithicSparse)" },
	{ "extent_size", "BYTES: of a twoGbMaxExtent image's files, a multiple "
			 "of 64K (default: 2G)" },
	{ "adapter_type", "ide|lsilogic|buslogic|legacyESX: what the disk is "
			  "said to be attached to (default: ide)" },
	{ NULL, NULL },
};

const struct disk_driver disk_vmdk = {
	.name = "vmdk",
	.title = "VMDK",
	.suffixes = ".vmdk",
	.options = vmdk_options,
	.backing = true,
	.names_itself = true,
	.probe = vmdk_probe,
	.open = vmdk_open,
	.create = vmdk_create,
	.close = vmdk_close,
	.map = vmdk_map,
	.read = vmdk_read,
	.write = vmdk_write,
	.write_packed = vmdk_stream_write,
	.zero = vmdk_zero,
	.discard = vmdk_discard,
	.flush = vmdk_flush,
	.remove = vmdk_remove,
	.make_writable = vmdk_make_writable,
	.allocated = vmdk_allocated,
	.resize = vmdk_resize,
	.info = vmdk_info,
	.check = vmdk_check,
};

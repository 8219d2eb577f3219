/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making VMDK images: one file or several, with the text that says so. Files
 * besides the first come with their names before it does, and go when the
 * making fails.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "disk/file.h"
#include "disk/vmdk/vmdk.h"
#include "disk/wire.h"

#define TEXT_AT		1u /* sectors */
#define TEXT_SECTORS	20u
#define TEXT_ROOM	(TEXT_SECTORS * VMDK_SECTOR)
#define STREAM_OVERHEAD 128u /* sectors */
#define TABLE_SECTORS	(VMDK_TABLE * 4 / VMDK_SECTOR)
#define FLAGS		(VMDK_FLAG_LINE_ENDS | VMDK_FLAG_SPARE)
#define FLAGS_STREAM	(VMDK_FLAG_LINE_ENDS | VMDK_FLAG_PACKED | \
			 VMDK_FLAG_MARKERS)

struct plan {
	const char *type, *adapter;
	bool flat, split, stream;
	uint64_t size;
	const char *parent; /* or NULL */
	uint32_t parent_cid;
	uint64_t part; /* bytes of an extent of several */
	unsigned int extents;
	char stem[VMDK_STEM]; /* of the extents' names */
};

static const struct plan types[] = {
	{ .type = "monolithicSparse" },
	{ .type = "monolithicFlat", .flat = true },
	{ .type = "twoGbMaxExtentSparse", .split = true },
	{ .type = "twoGbMaxExtentFlat", .flat = true, .split = true },
	{ .type = "streamOptimized", .stream = true },
};

/* --- sparse extents --------------------------------------------------------- */

static uint64_t align(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

/* A directory for tables that lie side by side from `tables` on. */
static int write_directory(struct disk_node *file, uint64_t at,
			   uint64_t tables, uint64_t count)
{
	uint8_t *entries = calloc(count, 4);
	int error = entries ? 0 : -ENOMEM;

	for (uint64_t i = 0; !error && i < count; i++)
		put_le32(entries + i * 4,
			 (uint32_t)(tables + i * TABLE_SECTORS));
	if (!error)
		error = disk_write_bytes(file, at * VMDK_SECTOR, entries,
					 count * 4);
	free(entries);
	return error;
}

static void make_header(uint8_t *header, uint32_t version, uint32_t flags,
			uint64_t size, bool text)
{
	memset(header, 0, VMDK_SECTOR);
	memcpy(header + VMDK_AT_MAGIC, "KDMV", 4);
	put_le32(header + VMDK_AT_VERSION, version);
	put_le32(header + VMDK_AT_FLAGS, flags);
	put_le64(header + VMDK_AT_CAPACITY, size / VMDK_SECTOR);
	put_le64(header + VMDK_AT_GRAIN, VMDK_GRAIN / VMDK_SECTOR);
	put_le64(header + VMDK_AT_DESCRIPTOR, text ? TEXT_AT : 0);
	put_le64(header + VMDK_AT_DESCRIPTOR_SIZE, text ? TEXT_SECTORS : 0);
	put_le32(header + VMDK_AT_TABLE, VMDK_TABLE);
	memcpy(header + VMDK_AT_LINE_ENDS, "\n \r\n", 4);
}

/* An empty sparse extent: header, room for a text, two directories with their
 * tables. */
static int make_sparse(struct disk_node *file, uint64_t size)
{
	uint64_t grains = (size - 1) / VMDK_GRAIN + 1;
	uint64_t tables = (grains - 1) / VMDK_TABLE + 1;
	uint64_t directory = align(tables * 4, VMDK_SECTOR) / VMDK_SECTOR;
	uint64_t spare = TEXT_AT + TEXT_SECTORS;
	uint64_t main = spare + directory + tables * TABLE_SECTORS;
	uint64_t end = main + directory + tables * TABLE_SECTORS;
	uint8_t header[VMDK_SECTOR];
	int error;

	end = align(end, VMDK_GRAIN / VMDK_SECTOR);
	make_header(header, 1, FLAGS, size, true);
	put_le64(header + VMDK_AT_SPARE_DIRECTORY, spare);
	put_le64(header + VMDK_AT_DIRECTORY, main);
	put_le64(header + VMDK_AT_OVERHEAD, end);
	error = disk_resize(file, end * VMDK_SECTOR, DISK_PREALLOC_OFF, NULL);
	if (!error)
		error = disk_write_bytes(file, 0, header, sizeof(header));
	if (!error)
		error = write_directory(file, spare, spare + directory, tables);
	if (!error)
		error = write_directory(file, main, main + directory, tables);
	return error;
}

static int make_stream(struct disk_node *file, uint64_t size)
{
	uint8_t header[VMDK_SECTOR];
	int error;

	make_header(header, 3, FLAGS_STREAM, size, true);
	put_le64(header + VMDK_AT_DIRECTORY, VMDK_GD_AT_END);
	put_le64(header + VMDK_AT_OVERHEAD, STREAM_OVERHEAD);
	put_le16(header + VMDK_AT_COMPRESSION, 1);
	error = disk_resize(file, STREAM_OVERHEAD * VMDK_SECTOR,
			    DISK_PREALLOC_OFF, NULL);
	return error ? error
		     : disk_write_bytes(file, 0, header, sizeof(header));
}

/* --- files ------------------------------------------------------------------ */

static uint64_t extent_size(const struct plan *plan, unsigned int index)
{
	uint64_t left = plan->size - index * plan->part;

	return plan->split && left > plan->part ? plan->part : left;
}

void vmdk_extent_name(const char *stem, bool flat, unsigned int number,
		      char name[VMDK_NAME])
{
	snprintf(name, VMDK_NAME, "%s-%c%03u.vmdk", stem, flat ? 'f' : 's',
		 number);
}

static void extent_name(const struct plan *plan, unsigned int index,
			char name[VMDK_NAME])
{
	if (plan->split)
		vmdk_extent_name(plan->stem, plan->flat, index + 1, name);
	else
		snprintf(name, VMDK_NAME, "%s%s.vmdk", plan->stem,
			 plan->flat ? "-flat" : "");
}

/* The same in the image's folder. */
static void extent_path(const struct plan *plan, const struct disk_node *file,
			unsigned int index, char path[PATH_MAX])
{
	const char *slash = strrchr(file->name, '/');
	char name[VMDK_NAME];

	extent_name(plan, index, name);
	snprintf(path, PATH_MAX, "%.*s%s",
		 slash ? (int)(slash - file->name) + 1 : 0, file->name, name);
}

int vmdk_make_extent(struct disk_node **extent, const char *path, bool flat,
		     uint64_t size, struct disk_error *error)
{
	struct disk_error why;
	int result = disk_file_make(extent, path, &why);

	if (result)
		return disk_error_set(error, result, "its extent %s %s", path,
				      why.text);
	result = flat ? disk_resize(*extent, size, DISK_PREALLOC_OFF, NULL)
		      : make_sparse(*extent, size);
	if (result)
		disk_error_set(error, result, "its extent %s: %s", path,
			       strerror(-result));
	else
		result = disk_file_keep(*extent, error);
	if (result)
		disk_close(*extent);
	return result;
}

static int make_extent(const struct plan *plan, const struct disk_node *file,
		       unsigned int index, struct disk_error *error)
{
	struct disk_node *extent;
	char path[PATH_MAX];
	int result;

	extent_path(plan, file, index, path);
	result = vmdk_make_extent(&extent, path, plan->flat,
				  extent_size(plan, index), error);
	if (!result)
		disk_close(extent);
	return result;
}

static int make_extents(const struct plan *plan, const struct disk_node *file,
			struct disk_error *error)
{
	char path[PATH_MAX];

	for (unsigned int i = 0; i < plan->extents; i++) {
		int result = make_extent(plan, file, i, error);

		if (!result)
			continue;
		while (i--) {
			extent_path(plan, file, i, path);
			unlink(path);
		}
		return result;
	}
	return 0;
}

/* --- the text --------------------------------------------------------------- */

static void write_head(FILE *text, const struct plan *plan)
{
	uint32_t cid = 0;

	while (!cid || cid == VMDK_NO_CID)
		if (getrandom(&cid, sizeof(cid), 0) < 0)
			cid = 0;
	fprintf(text, "# Disk DescriptorFile\nversion=1\nCID=%08x\n"
		"parentCID=%08x\ncreateType=\"%s\"\n", cid,
		plan->parent ? plan->parent_cid : VMDK_NO_CID, plan->type);
	if (plan->parent)
		fprintf(text, "parentFileNameHint=\"%s\"\n", plan->parent);
	fprintf(text, "\n# Extent description\n");
}

static void write_tail(FILE *text, const struct plan *plan)
{
	unsigned int heads = strcmp(plan->adapter, "ide") ? 255 : 16;

	fprintf(text, "\n# The Disk Data Base\n#DDB\n\n"
		"ddb.virtualHWVersion = \"4\"\n"
		"ddb.geometry.cylinders = \"%llu\"\n"
		"ddb.geometry.heads = \"%u\"\n"
		"ddb.geometry.sectors = \"63\"\n"
		"ddb.adapterType = \"%s\"\n",
		(unsigned long long)(plan->size / VMDK_SECTOR / 63 / heads),
		heads, plan->adapter);
}

void vmdk_put_extent(FILE *text, bool flat, uint64_t size, const char *name)
{
	fprintf(text, "RW %llu %s \"%s\"%s\n",
		(unsigned long long)(size / VMDK_SECTOR),
		flat ? "FLAT" : "SPARSE", name, flat ? " 0" : "");
}

/* To *text, which the caller frees. */
static int make_text(const struct plan *plan, char **text, size_t *size)
{
	FILE *stream = open_memstream(text, size);

	if (!stream)
		return -ENOMEM;
	write_head(stream, plan);
	for (unsigned int i = 0; i < (plan->extents ? plan->extents : 1); i++) {
		char name[VMDK_NAME];

		extent_name(plan, i, name);
		vmdk_put_extent(stream, plan->flat, extent_size(plan, i), name);
	}
	write_tail(stream, plan);
	return fclose(stream) ? -ENOMEM : 0;
}

static int write_text(struct disk_node *file, const struct plan *plan)
{
	char *text = NULL;
	size_t size = 0;
	int error = make_text(plan, &text, &size);

	if (!error && !plan->extents && size > TEXT_ROOM)
		error = -ENAMETOOLONG;
	if (!error)
		error = disk_write_bytes(file,
					 plan->extents ? 0
						       : TEXT_AT * VMDK_SECTOR,
					 text, size);
	free(text);
	return error;
}

/* --- making ----------------------------------------------------------------- */

/* How large the extents are to be, and how many. */
static int take_parts(struct plan *plan, const struct disk_create *how,
		      struct disk_error *error)
{
	const char *part = disk_create_option(how, "extent_size");

	plan->part = disk_create_size(how, "extent_size", VMDK_PART);
	if (part && !plan->split)
		return disk_error_set(error, -EINVAL, "a %s image has one "
				      "extent; leave extent_size out, or take "
				      "twoGbMaxExtentSparse", plan->type);
	if (!plan->part || plan->part > VMDK_PART || plan->part % VMDK_GRAIN)
		return disk_error_set(error, -EINVAL, "extent_size=%s; give a "
				      "multiple of 64K, 2G at most", part);
	if (plan->split &&
	    (how->size - 1) / plan->part >= VMDK_EXTENTS_MAX)
		return disk_error_set(error, -EFBIG, "a %s image has at most "
				      "%u extents; take monolithicFlat, vhdx "
				      "or qcow2", plan->type, VMDK_EXTENTS_MAX);
	if (plan->split)
		plan->extents = (unsigned int)((how->size - 1) / plan->part) +
				1;
	else if (plan->flat)
		plan->extents = 1;
	return 0;
}

static int take_options(struct plan *plan, const struct disk_create *how,
			struct disk_error *error)
{
	static const char *const adapters[] = { "ide", "lsilogic", "buslogic",
						"legacyESX" };
	const char *type = disk_create_option(how, "subformat");
	const char *adapter = disk_create_option(how, "adapter_type");

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(type ? type : types[0].type, types[i].type))
			*plan = types[i];
	if (!plan->type)
		return disk_error_set(error, -EINVAL, "subformat=%s; there are "
				      "monolithicSparse, monolithicFlat, "
				      "twoGbMaxExtentSparse, "
				      "twoGbMaxExtentFlat, streamOptimized",
				      type);
	for (size_t i = 0; i < sizeof(adapters) / sizeof(adapters[0]); i++)
		if (!strcmp(adapter ? adapter : "ide", adapters[i]))
			plan->adapter = adapters[i];
	if (!plan->adapter)
		return disk_error_set(error, -EINVAL, "adapter_type=%s; there "
				      "are ide, lsilogic, buslogic, legacyESX",
				      adapter);
	plan->size = how->size;
	if ((plan->flat || plan->split) && how->secret)
		return disk_error_set(error, -EINVAL, "a %s image has files "
				      "that would be plain; take "
				      "monolithicSparse", plan->type);
	if (!plan->flat && how->size > VMDK_SPARSE_MAX)
		return disk_error_set(error, -EFBIG, "a %s image has at most "
				      "2 TiB; take monolithicFlat, vhdx or "
				      "qcow2", plan->type);
	return take_parts(plan, how, error);
}

int vmdk_stem(const char *path, char stem[VMDK_STEM], struct disk_error *error)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	size_t length = strlen(name);

	if (length > 5 && !strcasecmp(name + length - 5, ".vmdk"))
		length -= 5;
	if (length >= VMDK_STEM || strpbrk(name, "\"\n\r\\"))
		return disk_error_set(error, -EINVAL, "has a name that a VMDK "
				      "descriptor cannot have");
	memcpy(stem, name, length);
	stem[length] = 0;
	return 0;
}

static int take_parent(struct plan *plan, struct disk_node *file,
		       const struct disk_create *how, struct disk_error *error)
{
	struct disk_node *parent;
	int result;

	if (!how->backing)
		return 0;
	if (plan->flat || plan->stream)
		return disk_error_set(error, -EINVAL, "a %s image has no "
				      "backing file; take monolithicSparse",
				      plan->type);
	if (how->backing_format && strcmp(how->backing_format, "vmdk") != 0)
		return disk_error_set(error, -EINVAL, "a VMDK image stands on "
				      "VMDK images only, not on %s; take qcow2",
				      how->backing_format);
	if (strpbrk(how->backing, "\"\n\r\\"))
		return disk_error_set(error, -EINVAL, "has a backing file with "
				      "a name that a VMDK descriptor cannot "
				      "have");
	result = disk_create_backing(&parent, file, "vmdk", how, error);
	if (result)
		return result;
	plan->parent = how->backing;
	plan->parent_cid = vmdk_of(parent)->cid;
	disk_close(parent);
	return 0;
}

int vmdk_create(struct disk_node *file, const struct disk_create *how,
		struct disk_error *error)
{
	struct plan plan = { 0 };
	int result = take_options(&plan, how, error);

	if (!result)
		result = vmdk_stem(file->name, plan.stem, error);
	if (!result)
		result = take_parent(&plan, file, how, error);
	if (result)
		return result;
	if (plan.extents) {
		result = make_extents(&plan, file, error);
		if (result)
			return result;
	} else if (plan.stream) {
		result = make_stream(file, plan.size);
	} else {
		result = make_sparse(file, plan.size);
	}
	if (!result)
		result = write_text(file, &plan);
	if (!result)
		return 0;
	for (unsigned int i = 0; i < plan.extents; i++) {
		char path[PATH_MAX];

		extent_path(&plan, file, i, path);
		unlink(path);
	}
	return disk_error_set(error, result, "cannot be written: %s",
			      strerror(-result));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodge disk info, map: what an image is and where its bytes lie.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/disk/tool.h"
#include "disk/chain.h"
#include "disk/driver.h"
#include "vmm/machine.h"

/* --- info ------------------------------------------------------------------- */

static json_t *snapshots_of(struct disk_node *node)
{
	struct disk_snapshot *list;
	json_t *array = json_array();
	unsigned int count;

	disk_snapshot_list(node, &list, &count);
	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(
			array,
			json_pack("{sssssIsIsI}", "id", list[i].id, "name",
				  list[i].name, "date",
				  (json_int_t)(list[i].date_ns / 1000000000u),
				  "size", (json_int_t)list[i].size, "vm_state",
				  (json_int_t)list[i].vm_state));
	free(list);
	return array;
}

static json_t *info_of(struct disk_node *node)
{
	json_t *snapshots = snapshots_of(node);
	json_t *info = json_pack(
		"{sssssIsIsIso}", "path", node->name, "format",
		node->driver->name, "size", (json_int_t)node->size,
		"allocated", (json_int_t)disk_allocated(node), "cluster",
		(json_int_t)node->cluster, "details", json_object());

	json_object_set_new(info, "details", disk_info(node));
	if (json_array_size(snapshots))
		json_object_set(info, "snapshots", snapshots);
	json_decref(snapshots);
	return info;
}

static void print_detail(const char *name, const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY);

	printf("%-12s %s\n", name,
	       json_is_string(value) ? json_string_value(value) : text);
	free(text);
}

static void print_snapshots(const json_t *snapshots)
{
	const json_t *s;
	size_t i;

	json_array_foreach(snapshots, i, s) {
		time_t date = (time_t)json_integer_value(
			json_object_get(s, "date"));
		char when[32], size[CLI_BYTES];
		struct tm tm;

		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S",
			 localtime_r(&date, &tm));
		printf("%-12s %s  %s  %s  %s\n", i ? "" : "snapshots",
		       json_string_value(json_object_get(s, "id")), when,
		       cli_bytes(size, (uint64_t)json_integer_value(
					       json_object_get(s, "size"))),
		       json_string_value(json_object_get(s, "name")));
	}
}

static void print_info(struct disk_node *node, json_t *info)
{
	char size[CLI_BYTES], allocated[CLI_BYTES], cluster[CLI_BYTES];
	const char *name;
	json_t *value;

	printf("image        %s\nformat       %s\nsize         %s (%" PRIu64
	       " bytes)\non host      %s\n", node->name, node->driver->name,
	       cli_bytes(size, node->size), (uint64_t)node->size,
	       cli_bytes(allocated, disk_allocated(node)));
	if (node->cluster)
		printf("cluster      %s\n", cli_bytes(cluster, node->cluster));
	json_object_foreach(json_object_get(info, "details"), name, value)
		print_detail(name, value);
	print_snapshots(json_object_get(info, "snapshots"));
}

static int run_info(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *top;
	json_t *list = json_array();

	how.unlocked = how.sealed = true;
	how.alone = !tool->chain;
	top = tool_open(tool, &how);
	if (!top) {
		json_decref(list);
		return MACHINE_FAILED;
	}
	for (struct disk_node *n = top; n; n = n->backing) {
		json_t *info = info_of(n);

		if (!tool->json && n != top)
			printf("\n");
		if (!tool->json)
			print_info(n, info);
		json_array_append_new(list, info);
	}
	disk_close(top);
	if (tool->json)
		tool_print_json(tool->chain
					? json_incref(list)
					: json_incref(json_array_get(list, 0)));
	json_decref(list);
	return MACHINE_OK;
}

static int take_chain(void *config, const char *value)
{
	((struct tool *)config)->chain = true;
	return 0;
}

static const struct option_spec info_options[] = {
	TOOL_FORMAT,
	{ .name = "chain",
	  .help = "also of the images that it stands on",
	  .take = take_chain },
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_info = {
	.command = {
		.name = "info",
		.synopsis = "[OPTIONS] PATH",
		.summary = "tell about an image",
		.about = "Tells an image's format, size, room on the host and what its "
			 "format knows, also\nof one in use.",
		.examples = "lodge disk info disk.qcow2\n"
			    "lodge disk info --chain --json overlay.qcow2",
		.words = "file",
		.words_min = 1,
		.words_max = 1,
		.options = info_options,
		.option_count = OPTION_COUNT(info_options),
	},
	.run = run_info,
};

/* --- map -------------------------------------------------------------------- */

static const char *kind_name(const struct disk_piece *piece)
{
	switch (piece->extent.kind) {
	case DISK_DATA:
		return "data";
	case DISK_PACKED:
		return "packed";
	case DISK_ZERO:
		return "zero";
	case DISK_HOLE:
		break;
	}
	return "hole";
}

struct map_row {
	uint64_t offset, length;
	struct disk_piece piece;
};

/* Whether `next` goes on where `row` ends, as one extent. */
static bool joins(const struct map_row *row, const struct map_row *next)
{
	const struct disk_extent *a = &row->piece.extent;
	const struct disk_extent *b = &next->piece.extent;

	return row->length && a->kind == b->kind && a->kind != DISK_PACKED &&
	       row->piece.owner == next->piece.owner &&
	       (a->kind != DISK_DATA ||
		(a->in == b->in && a->at + row->length == b->at));
}

static void print_row(const struct map_row *row, json_t *list)
{
	const struct disk_extent *e = &row->piece.extent;
	const char *owner = row->piece.owner ? row->piece.owner->name : NULL;
	bool placed = e->kind == DISK_DATA || e->kind == DISK_PACKED;
	json_t *object;

	if (!row->length)
		return;
	if (!list) {
		printf("%#-14" PRIx64 " %#-14" PRIx64 " %-7s", row->offset,
		       row->length, kind_name(&row->piece));
		if (placed)
			printf(" %#-14" PRIx64 " %s", e->at, owner);
		printf("\n");
		return;
	}
	object = json_pack("{sIsIsssiss*}", "offset", (json_int_t)row->offset,
			   "length", (json_int_t)row->length, "kind",
			   kind_name(&row->piece), "depth",
			   (int)row->piece.depth, "path", owner);
	if (placed)
		json_object_set_new(object, "at",
				    json_integer((json_int_t)e->at));
	json_array_append_new(list, object);
}

static int map_all(struct tool *tool, struct disk_node *node, json_t *list)
{
	struct map_row row = { 0 };
	uint64_t size = node->size;

	if (!list)
		printf("%-14s %-14s %-7s %-14s %s\n", "OFFSET", "LENGTH",
		       "KIND", "AT", "IN");
	for (uint64_t offset = 0; offset < size;) {
		struct map_row next = { .offset = offset };
		struct disk_error error;
		int result = disk_chain_map(node, NULL, offset, size - offset,
					    &next.piece);

		if (result) {
			disk_error_set(&error, result, "at byte %" PRIu64
				       ": %s", offset, strerror(-result));
			return tool_fail(tool, node->name, &error);
		}
		next.length = next.piece.extent.length;
		offset += next.length;
		if (joins(&row, &next)) {
			row.length += next.length;
			continue;
		}
		print_row(&row, list);
		row = next;
	}
	print_row(&row, list);
	return MACHINE_OK;
}

static int run_map(struct tool *tool)
{
	struct disk_open how = tool_open_how(tool, tool->word[0]);
	struct disk_node *node = tool_open(tool, &how);
	json_t *list = tool->json ? json_array() : NULL;
	int status = MACHINE_FAILED;

	if (node)
		status = map_all(tool, node, list);
	if (status == MACHINE_OK && list)
		tool_print_json(json_incref(list));
	json_decref(list);
	disk_close(node);
	return status;
}

static const struct option_spec map_options[] = {
	TOOL_FORMAT,
	TOOL_FOLDER,
	TOOL_JSON,
	TOOL_SECRET,
};

const struct disk_command disk_command_map = {
	.command = {
		.name = "map",
		.synopsis = "[OPTIONS] PATH",
		.summary = "tell which parts have data, and where it lies",
		.about = "Lists the parts of a disk: data, packed (compressed or "
			 "encrypted) or zero, the\nfile of the chain that has it, and "
			 "the place in that.",
		.examples = "lodge disk map disk.qcow2",
		.words = "file",
		.words_min = 1,
		.words_max = 1,
		.options = map_options,
		.option_count = OPTION_COUNT(map_options),
	},
	.run = run_map,
};

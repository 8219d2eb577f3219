/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/moves.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk/driver.h"
#include "disk/moved.h"
#include "disk/node.h"
#include "host/linux/json_file.h"
#include "vmm/machine.h"

/* Whole and on the disk, or as it was. */
static int write_list(const struct moves *moves)
{
	char aside[PATH_MAX];
	int err;

	if (snprintf(aside, sizeof(aside), "%s" MOVED_ASIDE, moves->file) >=
	    (int)sizeof(aside))
		return -ENAMETOOLONG;
	err = json_file_write(moves->list, AT_FDCWD, aside);
	if (!err && (rename(aside, moves->file) || fsync(moves->folder)))
		err = -errno;
	if (err)
		unlink(aside);
	return err;
}

bool moves_can_name(const struct disk_node *to)
{
	const struct disk_driver *driver = disk_driver_by_path(to->name);

	return *to->name == '/' &&
	       to->driver == (driver ? driver : &disk_raw);
}

static int note(void *ctx, const struct disk_node *to)
{
	struct moves_disk *disk = ctx;
	struct moves *moves = disk->moves;
	char *path = strdup(to->name);
	size_t last = json_array_size(moves->list);
	int err = -ENOMEM;

	if (path && !json_array_append_new(
			    moves->list,
			    json_pack("{ss ss ss ss*}", "from", disk->path,
				      "path", path, "format", to->driver->name,
				      "base", to->backing ? to->backing->name :
							    NULL)))
		err = write_list(moves);
	if (err) {
		json_array_remove(moves->list, last);
		free(path);
		return err;
	}
	free(disk->path);
	disk->path = path;
	return 0;
}

void moves_open(struct moves *moves, const struct machine_config *config,
		struct machine_disk *disk)
{
	char folder[PATH_MAX];

	moves->file = config->moves;
	snprintf(folder, sizeof(folder), "%s", config->moves);
	moves->folder = open(dirname(folder),
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	moves->list = json_array();
	for (unsigned int i = 0; i < config->disk_count && i < MOVES_MAX; i++) {
		if (disk[i].moved || disk[i].readonly || !disk[i].path)
			continue;
		moves->disk[i].moves = moves;
		moves->disk[i].path = strdup(disk[i].path);
		disk[i].moved = note;
		disk[i].moved_ctx = &moves->disk[i];
	}
}

void moves_close(struct moves *moves)
{
	if (moves->file && moves->folder >= 0)
		close(moves->folder);
	json_decref(moves->list);
	for (unsigned int i = 0; i < MOVES_MAX; i++)
		free(moves->disk[i].path);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/disk/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

/*
 * What is written but not flushed survives everything but the host's own
 * crash: a record counts only within the same boot.
 */
static void this_boot(char id[64])
{
	FILE *file = fopen(BOOT_ID, "re");

	*id = '\0';
	if (file && !fgets(id, 64, file))
		*id = '\0';
	if (file)
		fclose(file);
}

bool part_init(struct part *part, const char *target, json_t *source)
{
	char boot[64];

	this_boot(boot);
	json_object_set_new(source, "boot", json_string(boot));
	part->source = source;
	return snprintf(part->path, PATH_MAX, "%s.part", target) < PATH_MAX &&
	       snprintf(part->record, PATH_MAX, "%s.part.json", target) <
		       PATH_MAX;
}

void part_done(struct part *part)
{
	json_decref(part->source);
}

uint64_t part_settled(const struct part *part)
{
	json_t *record = json_load_file(part->record, 0, NULL);
	json_int_t settled = 0;

	if (record &&
	    json_equal(json_object_get(record, "source"), part->source) &&
	    !access(part->path, R_OK | W_OK))
		settled = json_integer_value(json_object_get(record,
							     "settled"));
	json_decref(record);
	return settled > 0 ? (uint64_t)settled : 0;
}

int part_note(const struct part *part, uint64_t settled)
{
	json_t *record = json_pack("{sOsI}", "source", part->source, "settled",
				   (json_int_t)settled);
	char fresh[PATH_MAX + 4];
	int result;

	snprintf(fresh, sizeof(fresh), "%s.new", part->record);
	result = record ? json_dump_file(record, fresh, 0) : -1;
	json_decref(record);
	if (!result)
		result = rename(fresh, part->record);
	if (result)
		unlink(fresh);
	return result ? -EIO : 0;
}

void part_remove(const struct part *part)
{
	unlink(part->record);
	unlink(part->path);
}

int part_keep(const struct part *part, const char *target)
{
	if (renameat2(AT_FDCWD, part->path, AT_FDCWD, target,
		      RENAME_NOREPLACE) &&
	    (errno != EINVAL || access(target, F_OK) == 0 ||
	     rename(part->path, target)))
		return -errno;
	unlink(part->record);
	return 0;
}

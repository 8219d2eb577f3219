/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file that a conversion writes to before it is whole, PATH.part, and the
 * record beside it, PATH.part.json, of what it is made from and how far that
 * is: the same command goes on there after an interruption.
 */
#ifndef LODGE_CLI_DISK_PART_H
#define LODGE_CLI_DISK_PART_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct part {
	char path[PATH_MAX], record[PATH_MAX];
	json_t *source; /* what it is made from and how; owned */
};

/* `source`: its reference is taken. False: the path is too long. */
bool part_init(struct part *part, const char *target, json_t *source);
void part_done(struct part *part);

/* How far an earlier run came with the same source; 0: there is none. */
uint64_t part_settled(const struct part *part);

/* Records that all before byte `settled` is in the file. */
int part_note(const struct part *part, uint64_t settled);

/* Forgets both files; or gives the whole one its name, if that is free:
 * negative errno. */
void part_remove(const struct part *part);
int part_keep(const struct part *part, const char *target);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON in files of an open folder. What is read may be anything.
 */
#ifndef LODGE_HOST_LINUX_JSON_FILE_H
#define LODGE_HOST_LINUX_JSON_FILE_H

#include <jansson.h>

/* To file `name`, on the disk when this returns. 0 or -errno. */
int json_file_write(const json_t *json, int folder, const char *name);

/*
 * The same in one step for all who read it, whenever this process is killed:
 * the file is the old one or the new one. Callers take turns.
 */
int json_file_replace(const json_t *json, int folder, const char *name);

/* NULL: it is not there, or is no JSON, or is larger than 1 MiB. */
json_t *json_file_read(int folder, const char *name);

#endif

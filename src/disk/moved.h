/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the disks of a running machine have gone (lodge mirror, commit), for
 * whoever starts it the next time: a file with a list, in JSON, of {"from",
 * "path", "format", "base"} in the order in which it happened; "base", if any: what
 * it stands on. The machine's process writes it, and may have been
 * taken over: only what users have named is believed, of a commit what disks
 * stood on, which its broker writes to a file of the same name with MOVED_NAMED,
 * out of its reach, before it hears of it. A line there is "FORMAT PATH", or
 * "- PATH" of an image whose format goes by its name.
 */
#ifndef LODGE_DISK_MOVED_H
#define LODGE_DISK_MOVED_H

#include <jansson.h>

#define MOVED_NAMED ".named"
#define MOVED_ASIDE ".new" /* the list is written there, then renamed */

/* A user has named that target, whose `format` may be NULL, for the list `file`. */
void moved_note(const char *file, const char *path, const char *format);

/*
 * What is believed of the list `file` in `folder`, of the machine `name`; the
 * log says what is not. NULL: there is none, or no memory.
 */
json_t *moved_read(int folder, const char *file, const char *name);

/* Both files go. */
void moved_forget(int folder, const char *file);

#endif

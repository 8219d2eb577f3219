/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the user's own things are kept: $XDG_DATA_HOME/lodge, without that
 * variable ~/.local/share/lodge (XDG Base Directory Specification). Root's are
 * the host's: /var/lib/lodge.
 */
#ifndef LODGE_HOST_LINUX_DATA_H
#define LODGE_HOST_LINUX_DATA_H

#include <stdbool.h>

#define DATA_PATH_MAX 1024

/*
 * Whether we are the host's root, and not one of a user namespace or of a
 * file system that cannot be written to.
 */
bool data_of_host(void);

/*
 * The folder's path; an XDG variable counts only when absolute. 0; -ENOENT:
 * neither it nor HOME is set; -ENAMETOOLONG.
 */
int data_path(char path[DATA_PATH_MAX]);

/* In words, for the user. */
const char *data_path_error(int err);

/* Makes `path` with the folders above it, for this user alone. 0 or -errno. */
int data_make(const char *path);

/*
 * Opens the folder `name` in `path`, made when missing: its descriptor or
 * -errno.
 */
int data_open(const char *path, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool data_of_host(void)
{
	return !geteuid() && !access("/run", W_OK) && !access("/var/lib", W_OK);
}

int data_path(char path[DATA_PATH_MAX])
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	int length;

	if (data && *data == '/')
		length = snprintf(path, DATA_PATH_MAX, "%s/lodge", data);
	else if (data_of_host())
		length = snprintf(path, DATA_PATH_MAX, "/var/lib/lodge");
	else if (home && *home == '/')
		length = snprintf(path, DATA_PATH_MAX, "%s/.local/share/lodge",
				  home);
	else
		return -ENOENT;
	return length >= 0 && length < DATA_PATH_MAX ? 0 : -ENAMETOOLONG;
}

const char *data_path_error(int err)
{
	if (err == -ENOENT)
		return "neither XDG_DATA_HOME nor HOME is set; set one of "
		       "them to an absolute path";
	if (err == -ENAMETOOLONG)
		return "the path of lodge's data folder is too long; set "
		       "XDG_DATA_HOME to a shorter one";
	return strerror(-err);
}

int data_make(const char *path)
{
	char part[DATA_PATH_MAX];
	size_t length = strlen(path);

	if (length >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, length + 1);
	for (char *slash = part + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(part, 0700) && errno != EEXIST ? -errno : 0;
}

int data_open(const char *path, const char *name)
{
	char full[DATA_PATH_MAX + 128];
	int err, fd;

	snprintf(full, sizeof(full), "%s/%s", path, name);
	err = data_make(full);
	if (err)
		return err;
	fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

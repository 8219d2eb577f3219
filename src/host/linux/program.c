/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool program_path(char *path, size_t size, const char *folder,
		  const char *name)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (length < 0)
		return false;
	self[length] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	slash[1] = '\0';
	return (size_t)snprintf(path, size, "%s%s%s%s",
				folder[0] == '/' ? "" : self, folder,
				*folder ? "/" : "", name) < size;
}

bool program_beside(char path[PATH_MAX], const char *name)
{
	return program_path(path, PATH_MAX, "", name) && !access(path, X_OK);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool program_folder(char folder[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
	char *slash;

	if (length <= 0)
		return false;
	folder[length] = '\0';
	slash = strrchr(folder, '/');
	if (!slash)
		return false;
	*slash = '\0';
	return true;
}

bool program_beside(char path[PATH_MAX], const char *name)
{
	char folder[PATH_MAX];

	return program_folder(folder) &&
	       snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX &&
	       !access(path, X_OK);
}

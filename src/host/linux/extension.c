/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/extension.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From the program's folder: as built, as installed. */
static const char *const folders[] = { ".", LODGE_LIBDIR };

/* The folder that the program is in, with a slash; "" when that is unknown. */
static void program_folder(char folder[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
	char *slash;

	folder[length > 0 ? length : 0] = '\0';
	slash = strrchr(folder, '/');
	if (slash)
		slash[1] = '\0';
}

/* Where it is; false: nowhere. */
static bool find(const char *name, const char *ending, int access_mode,
		 char *path, size_t size)
{
	char program[PATH_MAX];

	program_folder(program);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, size, "%s%s/lodge-%s%s",
			 folders[i][0] == '/' ? "" : program, folders[i], name,
			 ending);
		if (!access(path, access_mode))
			return true;
	}
	return false;
}

bool extension_present(const char *name)
{
	char path[2 * PATH_MAX];

	return find(name, ".so", R_OK, path, sizeof(path));
}

bool extension_program(const char *name, char *path, size_t size)
{
	return find(name, "", X_OK, path, size);
}

bool extension_place(unsigned int index, char path[PATH_MAX])
{
	char program[PATH_MAX], folder[2 * PATH_MAX];

	path[0] = '\0';
	if (index >= sizeof(folders) / sizeof(folders[0]))
		return false;
	program_folder(program);
	snprintf(folder, sizeof(folder), "%s%s",
		 folders[index][0] == '/' ? "" : program, folders[index]);
	if (realpath(folder, path))
		strncat(path, "/lodge-", PATH_MAX - 1 - strlen(path));
	return true;
}

void extension_lodge(char path[PATH_MAX])
{
	program_folder(path);
	strncat(path, "lodge", PATH_MAX - 1 - strlen(path));
}

void *extension_symbol(const char *name, const char *symbol, char *error,
		       size_t size)
{
	char path[2 * PATH_MAX];
	void *handle, *found;

	if (!find(name, ".so", R_OK, path, sizeof(path))) {
		snprintf(error, size, "needs lodge-%s.so, which is not "
			 "installed: this lodge was built without it", name);
		return NULL;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	found = handle ? dlsym(handle, symbol) : NULL;
	if (!found)
		snprintf(error, size, "%s", dlerror());
	return found;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/extension.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/linux/program.h"

/* From the program's folder: as built, as installed. */
static const char *const folders[] = { ".", LODGE_LIBDIR };

/* Where it is; false: nowhere. */
static bool find(const char *name, const char *ending, int access_mode,
		 char *path, size_t size)
{
	char file[NAME_MAX];

	snprintf(file, sizeof(file), "lodge-%s%s", name, ending);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (program_path(path, size, folders[i], file) &&
		    !access(path, access_mode))
			return true;
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
	char folder[2 * PATH_MAX];

	path[0] = '\0';
	if (index >= sizeof(folders) / sizeof(folders[0]))
		return false;
	if (program_path(folder, sizeof(folder), folders[index], "") &&
	    realpath(folder, path))
		strncat(path, "/lodge-", PATH_MAX - 1 - strlen(path));
	return true;
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

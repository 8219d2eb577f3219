/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/data.h"

#include <unistd.h>

#include "host/linux/program.h"

bool data_find(char path[PATH_MAX], const char *name)
{
	/* From the program's folder: as built, as installed. */
	static const char *const folders[] = { ".", LODGE_DATADIR };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (program_path(path, PATH_MAX, folders[i], name) &&
		    !access(path, R_OK))
			return true;
	return false;
}

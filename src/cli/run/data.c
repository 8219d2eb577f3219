/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run/data.h"

#include <stdio.h>
#include <unistd.h>

#include "host/linux/program.h"

bool data_find(char path[PATH_MAX], const char *name)
{
	/* From the program's folder: as built, as installed. */
	static const char *const folders[] = { ".", LODGE_DATADIR };
	char program[PATH_MAX];

	if (!program_folder(program))
		return false;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		bool absolute = folders[i][0] == '/';
		int length = snprintf(path, PATH_MAX, "%s%s%s/%s",
				      absolute ? "" : program,
				      absolute ? "" : "/", folders[i], name);

		if (length < PATH_MAX && !access(path, R_OK))
			return true;
	}
	return false;
}

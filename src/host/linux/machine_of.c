/* SPDX-License-Identifier: Apache-2.0 */
#include "host/linux/machine_of.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "lodge-vm"
#define NAME	"--name="

bool machine_of_process(const char *pid, char *name, size_t size)
{
	char path[64], text[1024];
	const char *at = text;
	size_t count;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	file = fopen(path, "re");
	count = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	text[count] = '\0';
	if (strcmp(text, PROGRAM))
		return false;
	for (; at < text + count; at += strlen(at) + 1) {
		if (strncmp(at, NAME, strlen(NAME)))
			continue;
		snprintf(name, size, "%s", at + strlen(NAME));
		return true;
	}
	return false;
}

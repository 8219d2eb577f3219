/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "module.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MODULES_MAX 64

static struct {
	char name[64];
	double began;
} modules[MODULES_MAX];

static unsigned int count;

static void load(const char *name)
{
	struct timespec t;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/lib/modules/%s.ko", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* built into this kernel */
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (count < MODULES_MAX) {
		strcpy(modules[count].name, name);
		modules[count++].began =
			(double)t.tv_sec + (double)t.tv_nsec * 1e-9;
	}
	syscall(SYS_finit_module, fd, "", 0);
	close(fd);
}

void module_load_all(void)
{
	FILE *order = count ? NULL : fopen("/lib/modules/order", "re");
	char name[64];

	while (order && fscanf(order, "%63s", name) == 1)
		load(name);
	if (order)
		fclose(order);
}

double module_began(const char *name)
{
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(modules[i].name, name))
			return modules[i].began;
	return 0;
}

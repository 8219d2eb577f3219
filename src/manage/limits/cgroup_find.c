/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where groups can be made: the mounted hierarchies, and in each the outermost
 * group that this user may write, from the mount's root down to lodged's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manage/limits/cgroup.h"

static const struct {
	const char *name, *v1;
} names[CGROUP_CONTROLLERS] = {
	[CGROUP_CPU] = { "cpu", "cpu" },
	[CGROUP_CPUACCT] = { "cpuacct", "cpuacct" },
	[CGROUP_CPUSET] = { "cpuset", "cpuset" },
	[CGROUP_MEMORY] = { "memory", "memory" },
	[CGROUP_IO] = { "io", "blkio" },
	[CGROUP_PIDS] = { "pids", "pids" },
};

const char *cgroup_name(enum cgroup_controller controller)
{
	return names[controller].name;
}

/* Whether `word` is one of those between commas or blanks. */
static bool has_word(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list) {
		size_t n = strcspn(list, ", \n");

		if (n == length && !strncmp(list, word, n))
			return true;
		list += n + (list[n] != '\0');
	}
	return false;
}

/* --- lodged's own groups ---------------------------------------------------------- */

/* Of "4:memory:/a/b": the path; `controller` NULL: version 2. False: none. */
static bool own_group(const char *self, const char *controller, char *group,
		      size_t size)
{
	FILE *file = fopen(self, "re");
	char line[CGROUP_PATH_MAX + 128];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;

		if (!path)
			continue;
		*list++ = *path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		found = controller ? has_word(list, controller) : !*list;
		if (found)
			snprintf(group, size, "%s", path);
	}
	if (file)
		fclose(file);
	return found;
}

/* --- the group that may be written -------------------------------------------------- */

static bool may_write(const char *group)
{
	char path[CGROUP_PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	return !access(group, W_OK) && !access(path, W_OK);
}

/*
 * From the mount point along `own`, lodged's group below it: the first that
 * may be written.
 */
static bool find_top(const char *mount, const char *own, char *top, size_t size)
{
	size_t length = 0, whole = strlen(own);

	for (;;) {
		if (snprintf(top, size, "%s%.*s", mount, (int)length, own) >=
		    (int)size)
			return false;
		if (may_write(top))
			return true;
		if (length == whole)
			return false;
		length += 1 + strcspn(own + length + 1, "/");
	}
}

/* A mount that was found: the controller's place, when it is one for us. */
static void take(struct cgroup_place *place, int version, const char *root,
		 const char *mount, const char *self, const char *controller)
{
	char own[CGROUP_PATH_MAX] = "/";
	const char *below = own;
	size_t length = strlen(root);

	if (!own_group(self, version == 1 ? controller : NULL, own,
		       sizeof(own)))
		return;
	/* A mount shows what is below its root. */
	if (strcmp(root, "/") && !strncmp(own, root, length) &&
	    (own[length] == '/' || !own[length]))
		below += length;
	if (!strcmp(below, "/"))
		below = "";
	/* Outside of what is seen here. */
	if (!strncmp(below, "/..", 3))
		return;
	if (!find_top(mount, below, place->top, sizeof(place->top)))
		return;
	place->version = version;
	place->outermost = !*below;
}

/* Version 2: the controller is one of the top group's. */
static bool offers(const char *top, enum cgroup_controller controller)
{
	char path[CGROUP_PATH_MAX + 32], text[256];

	if (controller == CGROUP_CPUACCT)
		return true;
	snprintf(path, sizeof(path), "%s/cgroup.controllers", top);
	cgroup_read(path, text, sizeof(text));
	return has_word(text, names[controller].name);
}

static void take_mount(struct cgroups *groups, const char *root,
		       const char *mount, const char *type,
		       const char *options, const char *self)
{
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		struct cgroup_place *place = &groups->place[i];
		struct cgroup_place found = { 0 };

		if (!strcmp(type, "cgroup") && has_word(options, names[i].v1))
			take(&found, 1, root, mount, self, names[i].v1);
		else if (!strcmp(type, "cgroup2"))
			take(&found, 2, root, mount, self, NULL);
		if (found.version == 2 && !offers(found.top, i))
			continue;
		/* A controller is in one hierarchy alone; cpuacct in both. */
		if (found.version && (!place->version || found.version == 1))
			*place = found;
	}
}

void cgroups_find(struct cgroups *groups, const char *owner,
		  const char *mounts, const char *self)
{
	FILE *file = fopen(mounts, "re");
	unsigned int number = 5381;
	char line[2048];

	*groups = (struct cgroups){ 0 };
	for (const char *c = owner; *c; c++)
		number = number * 33 + (unsigned char)*c;
	snprintf(groups->name, sizeof(groups->name), "lodge/%u-%08x",
		 (unsigned int)getuid(), number);
	while (file && fgets(line, sizeof(line), file)) {
		char root[CGROUP_PATH_MAX], mount[CGROUP_PATH_MAX];
		char type[16], options[256];
		char *rest = strstr(line, " - ");

		if (rest &&
		    sscanf(line, "%*s %*s %*s %511s %511s", root, mount) == 2 &&
		    sscanf(rest, " - %15s %*s %255s", type, options) == 2)
			take_mount(groups, root, mount, type, options, self);
	}
	if (file)
		fclose(file);
	/* Version 2 without any controller is for figures of one that has. */
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (i != CGROUP_CPUACCT && groups->place[i].version)
			return;
	*groups = (struct cgroups){ 0 };
}

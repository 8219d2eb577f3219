/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/settings.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/nearest.h"

#define RATIO_MIN 0.1
#define RATIO_MAX 1000.0
#define BLANKS	  " \t\r\n"

static const struct {
	const char *name;
	size_t offset; /* of a ratio */
	double otherwise;
} ratios[] = {
	{ "cpu-overcommit", offsetof(struct settings, cpu_overcommit), 32 },
	{ "memory-overcommit", offsetof(struct settings, memory_overcommit),
	  1.5 },
};

#define RATIOS (sizeof(ratios) / sizeof(ratios[0]))

static double *ratio_of(struct settings *settings, size_t i)
{
	return (double *)((char *)settings + ratios[i].offset);
}

static void find_path(char path[SETTINGS_PATH_MAX])
{
	const char *own = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (own && *own == '/')
		snprintf(path, SETTINGS_PATH_MAX, "%s/lodge/lodged.conf", own);
	else if (!getuid() || !home || *home != '/')
		snprintf(path, SETTINGS_PATH_MAX, "/etc/lodge/lodged.conf");
	else
		snprintf(path, SETTINGS_PATH_MAX,
			 "%s/.config/lodge/lodged.conf", home);
}

static int bad(const struct settings *settings, unsigned int line,
	       struct problem *problem, const char *what, const char *mend)
{
	return problem_set(problem, 500, "bad-settings", "%.150s, line %u: "
			   "%.60s%s", settings->path, line, what, mend);
}

static int take(struct settings *settings, unsigned int line,
		const char *name, const char *value, struct problem *problem)
{
	const char *like;
	char mend[120], *end;
	double ratio;

	for (size_t i = 0; i < RATIOS; i++) {
		if (strcmp(ratios[i].name, name))
			continue;
		ratio = strcmp(value, "none") ? strtod(value, &end) : 0;
		if (strcmp(value, "none") &&
		    (*end || !(ratio >= RATIO_MIN && ratio <= RATIO_MAX)))
			return bad(settings, line, problem, name,
				   ": give a number from 0.1 to 1000, or none");
		*ratio_of(settings, i) = ratio;
		return 0;
	}
	like = nearest_word(name, &ratios[0].name, RATIOS, sizeof(ratios[0]));
	snprintf(mend, sizeof(mend), ": there is no such setting%s%s%s",
		 like ? "; did you mean " : "", like ? like : "",
		 like ? "?" : "");
	return bad(settings, line, problem, name, mend);
}

/* Blanks at the end go. */
static char *trim(char *text)
{
	size_t length = strlen(text);

	while (length && strchr(BLANKS, text[length - 1]))
		text[--length] = '\0';
	return text + strspn(text, BLANKS);
}

static int take_line(struct settings *settings, unsigned int number,
		     char *line, struct problem *problem)
{
	char *name, *value;

	line[strcspn(line, "#")] = '\0';
	name = trim(line);
	if (!*name)
		return 0;
	value = strchr(name, '=');
	if (!value)
		return bad(settings, number, problem, name,
			   ": give NAME = VALUE");
	*value++ = '\0';
	return take(settings, number, trim(name), trim(value), problem);
}

int settings_load(struct settings *settings, struct problem *problem)
{
	unsigned int number = 0;
	char line[256];
	FILE *file;
	int rc = 0;

	for (size_t i = 0; i < RATIOS; i++)
		*ratio_of(settings, i) = ratios[i].otherwise;
	find_path(settings->path);
	file = fopen(settings->path, "re");
	if (!file && errno != ENOENT && errno != ENOTDIR)
		return problem_set(problem, 500, "bad-settings", "%.200s: %s",
				   settings->path, strerror(errno));
	while (!rc && file && fgets(line, sizeof(line), file))
		rc = take_line(settings, ++number, line, problem);
	if (file)
		fclose(file);
	return rc;
}

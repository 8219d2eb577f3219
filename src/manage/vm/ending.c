/* SPDX-License-Identifier: Apache-2.0 */
#include "manage/vm/ending.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL 2048 /* bytes of the log that are looked at */

static json_t *read_report(int folder, const char *run)
{
	json_t *report;
	char name[80];
	int fd;

	snprintf(name, sizeof(name), ENDING_REPORT, run);
	fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	report = json_loadfd(fd, 0, NULL);
	close(fd);
	return report;
}

/* The last line of the log that lodge wrote, without "lodge: ". */
static void last_words(int folder, char *line, size_t size)
{
	static const char greeting[] = "lodge: log in as ";
	static const char by_options[] = "run: "; /* which nobody typed */
	char text[TAIL + 1], *at, *end;
	int fd = openat(folder, "log", O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	off_t length;

	line[0] = '\0';
	if (fd < 0)
		return;
	length = lseek(fd, 0, SEEK_END);
	n = pread(fd, text, TAIL, length > TAIL ? length - TAIL : 0);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (at = text; (at = strstr(at, "lodge: ")); at++) {
		end = strchr(at, '\n');
		if (!strncmp(at, greeting, strlen(greeting)))
			continue;
		at += 7;
		if (!strncmp(at, by_options, strlen(by_options)))
			at += strlen(by_options);
		snprintf(line, size, "%.*s",
			 (int)(end ? end - at : (long)strlen(at)), at);
	}
}

static const struct {
	const char *reason, *kind;
	bool failed, asked;
} reasons[] = {
	{ "power-off", "stopped", false, false },
	{ "debug-exit", "stopped", false, false },
	{ "reset", "stopped", false, false },
	{ "stopped", "stopped", false, true },
	{ "crash", "crashed", true, false },
	{ "failed", "failed", true, false },
};

static bool by_report(struct ending *ending, const json_t *report)
{
	const char *reason = json_string_value(
		json_object_get(report, "exit_reason"));

	for (size_t i = 0; reason && i < sizeof(reasons) / sizeof(reasons[0]);
	     i++) {
		if (strcmp(reasons[i].reason, reason))
			continue;
		*ending = (struct ending){
			.kind = reasons[i].kind,
			.failed = reasons[i].failed,
			.asked = reasons[i].asked,
			.ran = true,
		};
		snprintf(ending->text, sizeof(ending->text), "%s", reason);
		return true;
	}
	return false;
}

void ending_find(struct ending *ending, int folder, const char *run,
		 int status)
{
	json_t *report = read_report(folder, run);
	bool told = by_report(ending, report);
	char words[240];

	json_decref(report);
	last_words(folder, words, sizeof(words));
	if (told && ending->failed && *words)
		snprintf(ending->text, sizeof(ending->text), "%s", words);
	if (told)
		return;
	*ending = (struct ending){ .kind = "failed", .failed = true };
	if (status >= 0 && WIFSIGNALED(status))
		snprintf(ending->text, sizeof(ending->text),
			 "its process was killed by signal %d",
			 WTERMSIG(status));
	else if (status < 0) /* its last words may be of long before */
		snprintf(ending->text, sizeof(ending->text),
			 "its process was killed, or ended unseen%s%s",
			 *words ? "; it said last: " : "", words);
	else if (*words)
		snprintf(ending->text, sizeof(ending->text), "%s", words);
	else
		snprintf(ending->text, sizeof(ending->text),
			 "its process ended without a word");
}

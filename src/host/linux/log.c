/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines, bugs and random bytes; see log.h. A process has one standard
 * error, so the level and the rate are the process's own.
 */
#include "host/linux/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX	   "lodge: "
#define LINE_MAX_  1024
#define BURST	   30 /* lines in one go */
#define PER_SECOND 10
#define NS_PER_S   1000000000u

static struct {
	_Atomic int level;
	struct host_lock lock; /* all below */
	uint64_t since; /* monotonic ns up to which lines were credited */
	unsigned int credit;
	unsigned int left_out;
	bool full;
} logger = { .level = HOST_LOG_WARN, .credit = BURST };

void log_set_level(enum host_log_level level)
{
	atomic_store(&logger.level, (int)level);
}

/* One write(2) a line, so that lines of several processes stay whole. */
static void put_line(char *line, size_t length)
{
	ssize_t n;

	line[length] = '\n';
	n = write(STDERR_FILENO, line, length + 1);
	(void)n; /* nobody to tell */
}

/* Whether standard error is a file with as much as a log may have. */
static bool is_full(void)
{
	static const char last[] = PREFIX "the log is full: nothing more is "
					  "said here\n";
	struct stat status;
	ssize_t n;

	if (logger.full || fstat(STDERR_FILENO, &status) ||
	    !S_ISREG(status.st_mode) || status.st_size < LOG_FILE_MAX)
		return logger.full;
	n = write(STDERR_FILENO, last, sizeof(last) - 1);
	(void)n;
	logger.full = true;
	return true;
}

/* Whether a line may go out now. Held: logger.lock. */
static bool take_credit(unsigned int *left_out)
{
	uint64_t now = host_monotonic_ns();
	uint64_t lines;

	if (!logger.since)
		logger.since = now;
	lines = (now - logger.since) / (NS_PER_S / PER_SECOND);
	if (lines) {
		logger.since += lines * (NS_PER_S / PER_SECOND);
		logger.credit = lines > BURST - logger.credit
					? BURST
					: logger.credit + (unsigned int)lines;
	}
	if (!logger.credit) {
		logger.left_out++;
		return false;
	}
	logger.credit--;
	*left_out = logger.left_out;
	logger.left_out = 0;
	return true;
}

void host_log(enum host_log_level level, const char *format, ...)
{
	char line[LINE_MAX_ + 1] = PREFIX;
	unsigned int left_out = 0;
	va_list args;
	bool go;
	int n;

	if ((int)level > atomic_load(&logger.level))
		return;
	host_lock(&logger.lock);
	go = take_credit(&left_out) && !is_full();
	host_unlock(&logger.lock);
	if (!go)
		return;
	if (left_out) {
		n = snprintf(line, LINE_MAX_, PREFIX "(%u lines left out)",
			     left_out);
		put_line(line, (size_t)n);
	}
	va_start(args, format);
	n = vsnprintf(line + strlen(PREFIX), LINE_MAX_ - strlen(PREFIX), format,
		      args);
	va_end(args);
	if (n < 0)
		return;
	put_line(line, strnlen(line, LINE_MAX_));
}

void host_bug(const char *file, int line, const char *what)
{
	char text[LINE_MAX_ + 1];
	int n;

	n = snprintf(text, LINE_MAX_,
		     PREFIX "a bug in lodge stopped this machine: %s:%d: %s",
		     file, line, what);
	if (n > 0)
		put_line(text, strnlen(text, LINE_MAX_));
	abort();
}

void host_random(void *buf, size_t size)
{
	uint8_t *to = buf;

	while (size) {
		ssize_t n = getrandom(to, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		/* Linux has it since 3.17 and never fails once it is seeded. */
		bug_on(n <= 0);
		to += n;
		size -= (size_t)n;
	}
}

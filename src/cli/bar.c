/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/option.h"

#define BAR_WIDTH 24
#define BAR_LEAST 6 /* a narrower one says nothing */
#define COLUMNS	  80
#define PART	  96

bool bar_wanted(void)
{
	const char *terminal = getenv("TERM");

	return isatty(STDERR_FILENO) &&
	       !(terminal && !strcmp(terminal, "dumb"));
}

static uint64_t rate_of(uint64_t done, double seconds)
{
	double rate = (double)done / seconds;

	return rate < (double)UINT64_MAX ? (uint64_t)rate : UINT64_MAX;
}

/* What stands behind the bar, from the longest to the shortest. */
static void make_tails(char tail[3][PART], uint64_t done, uint64_t total,
		       double seconds)
{
	char have[CLI_BYTES], all[CLI_BYTES], rate[CLI_BYTES];

	snprintf(tail[2], PART, " %3u%%",
		 (unsigned int)((double)done * 100 / (double)total));
	if (seconds <= 0) {
		snprintf(tail[0], PART, " %llu of %llu",
			 (unsigned long long)done, (unsigned long long)total);
		strcpy(tail[1], tail[0]);
		return;
	}
	snprintf(tail[1], PART, "%s  %s of %s", tail[2],
		 cli_bytes(have, done), cli_bytes(all, total));
	snprintf(tail[0], PART, "%s  %s/s", tail[1],
		 cli_bytes(rate, rate_of(done, seconds)));
}

void bar_line(char line[BAR_MAX], unsigned int columns, const char *what,
	      uint64_t done, uint64_t total, double seconds)
{
	char tail[3][PART], bar[BAR_WIDTH + 1];
	unsigned int room, width, used = (unsigned int)strlen(what) + 3;
	int i = 0;

	make_tails(tail, done, total, seconds);
	if (columns >= BAR_MAX)
		columns = BAR_MAX - 1;
	while (i < 2 && used + BAR_LEAST + strlen(tail[i]) > columns)
		i++;
	used += (unsigned int)strlen(tail[i]);
	room = columns > used ? columns - used : 0;
	width = room < BAR_WIDTH ? room : BAR_WIDTH;
	if (width < BAR_LEAST) {
		snprintf(line, columns + 1, "%s %s", tail[i] + 1, what);
		return;
	}
	memset(bar, ' ', width);
	memset(bar, '#', (size_t)((double)done * width / (double)total));
	bar[width] = '\0';
	snprintf(line, columns + 1, "%s [%s]%.95s", what, bar,
		 tail[i]);
}

void bar_draw(const char *what, uint64_t done, uint64_t total,
	      double seconds)
{
	struct winsize size = { 0 };
	char line[BAR_MAX];

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		size.ws_col = COLUMNS;
	/* A line that is as wide as the terminal wraps on some. */
	bar_line(line, size.ws_col - 1u, what, done, total, seconds);
	fprintf(stderr, "\r%s\033[K", line);
}

void bar_clear(void)
{
	fputs("\r\033[K", stderr);
}

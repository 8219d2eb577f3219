/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of disks and network cards, as users write them.
 */
#include "cli/run/limits.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/option.h"

#define BURST_MAX 60000 /* ms */

static bool take_number(const char *value, uint64_t *number, char **end)
{
	errno = 0;
	*number = strtoull(value, end, 10);
	return isdigit((unsigned char)*value) && !errno &&
	       *number <= INT64_MAX;
}

static int take_count(const char *what, const char *name, const char *value,
		      const char *unit, uint64_t *count)
{
	char *end;

	if (take_number(value, count, &end) && !*end)
		return 0;
	cli_error("%s: %s%s: give a number of %s a second", what, name, value,
		  unit);
	return -1;
}

static int take_size(const char *what, const char *name, const char *value,
		     uint64_t *size)
{
	*size = 0;
	if (!strcmp(value, "0") || cli_parse_bytes(value, true, size))
		return 0;
	cli_error("%s: %s%s: give a number of bytes a second, as 100M", what,
		  name, value);
	return -1;
}

static int take_time(const char *what, const char *value, uint32_t *ms)
{
	uint64_t number;
	char *end;

	if (take_number(value, &number, &end) && number <= BURST_MAX) {
		if (!strcmp(end, "s"))
			number *= 1000;
		if ((!strcmp(end, "s") || !strcmp(end, "ms")) && number &&
		    number <= BURST_MAX) {
			*ms = (uint32_t)number;
			return 0;
		}
	}
	cli_error("%s: burst=%s: give a time such as 500ms or 2s, %ds at most",
		  what, value, BURST_MAX / 1000);
	return -1;
}

static int take_iops(const char *what, struct disk_limits *limits,
		     const char *value)
{
	return take_count(what, "iops=", value, "requests", &limits->iops);
}

static int take_bps(const char *what, struct disk_limits *limits,
		    const char *value)
{
	return take_size(what, "bps=", value, &limits->bps);
}

static int take_burst(const char *what, struct disk_limits *limits,
		      const char *value)
{
	return take_time(what, value, &limits->burst_ms);
}

static const struct {
	const char *name; /* with = behind */
	int (*take)(const char *what, struct disk_limits *limits,
		    const char *value);
} words[] = {
	{ "iops=", take_iops },
	{ "bps=", take_bps },
	{ "burst=", take_burst },
};

int limits_take(const char *what, struct disk_limits *limits,
		const char *word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].name);

		if (!strncmp(word, words[i].name, length))
			return words[i].take(what, limits, word + length);
	}
	return 1;
}

static const struct {
	const char *name;
	enum net_way way;
	bool bytes;
} net_words[] = {
	{ "pps-out=", NET_OUT, false },
	{ "bps-out=", NET_OUT, true },
	{ "pps-in=", NET_IN, false },
	{ "bps-in=", NET_IN, true },
};

int limits_take_net(const char *what, struct net_limits *limits,
		    const char *word)
{
	if (!strncmp(word, "burst=", 6))
		return take_time(what, word + 6, &limits->burst_ms);
	for (size_t i = 0; i < sizeof(net_words) / sizeof(net_words[0]); i++) {
		const char *name = net_words[i].name;
		struct net_rate *rate = &limits->rate[net_words[i].way];

		if (strncmp(word, name, strlen(name)))
			continue;
		if (net_words[i].bytes)
			return take_size(what, name, word + strlen(name),
					 &rate->bps);
		return take_count(what, name, word + strlen(name), "frames",
				  &rate->pps);
	}
	return 1;
}

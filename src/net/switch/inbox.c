/* SPDX-License-Identifier: Apache-2.0 */
#include "net/switch/inbox.h"

void inbox_add(struct inbox *inbox, struct lane *lane)
{
	inbox->lane[inbox->count] = lane;
	inbox->word[inbox->count++] = &lane->shared->asleep;
}

void inbox_remove(struct inbox *inbox, const struct lane *lane)
{
	for (unsigned int i = 0; i < inbox->count; i++) {
		if (inbox->lane[i] != lane)
			continue;
		inbox->count--;
		inbox->lane[i] = inbox->lane[inbox->count];
		inbox->word[i] = inbox->word[inbox->count];
		return;
	}
}

bool inbox_more(const struct inbox *inbox)
{
	for (unsigned int i = 0; i < inbox->count; i++)
		if (lane_seems_more(inbox->lane[i]))
			return true;
	return false;
}

bool inbox_sleep(struct inbox *inbox)
{
	bool more = false;

	for (unsigned int i = 0; i < inbox->count; i++)
		more |= lane_sleep(inbox->lane[i]);
	return more;
}

void inbox_awake(struct inbox *inbox)
{
	for (unsigned int i = 0; i < inbox->count; i++)
		lane_awake(inbox->lane[i]);
}

/* Of the first `count`. */
static bool unwatch(struct inbox *inbox, unsigned int count)
{
	bool wake = false;

	for (unsigned int i = 0; i < count; i++)
		wake |= lane_unwatch(inbox->lane[i]);
	return wake;
}

bool inbox_watch(struct inbox *inbox, bool *wake)
{
	unsigned int i = 0;

	*wake = false;
	while (i < inbox->count && lane_watch(inbox->lane[i]))
		i++;
	if (i < inbox->count)
		*wake = unwatch(inbox, i);
	return i == inbox->count;
}

struct host_watch inbox_news(struct inbox *inbox)
{
	return (struct host_watch){ .word = inbox->word,
				    .words = inbox->count,
				    .value = LANE_WATCHED };
}

bool inbox_watch_again(struct inbox *inbox)
{
	bool empty = true;

	for (unsigned int i = 0; i < inbox->count; i++)
		empty &= lane_watch_again(inbox->lane[i]);
	return empty;
}

bool inbox_unwatch(struct inbox *inbox)
{
	return unwatch(inbox, inbox->count);
}

void inbox_hush(struct inbox *inbox)
{
	for (unsigned int i = 0; i < inbox->count; i++)
		lane_hush(inbox->lane[i]);
}

void inbox_disturb(struct inbox *inbox)
{
	if (inbox->count)
		lane_disturb(inbox->lane[0]);
}

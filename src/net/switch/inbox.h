/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings from which one side takes frames, slept on together. The calls are
 * those of lane.h for one ring. inbox_more(), inbox_awake() and inbox_disturb()
 * are for whoever changes the set too, the others for who takes now; the set
 * is changed when nobody does.
 */
#ifndef LODGE_NET_SWITCH_INBOX_H
#define LODGE_NET_SWITCH_INBOX_H

#include "net/switch/lane.h"
#include "vm/host.h"

#define INBOX_MAX 16u

_Static_assert(INBOX_MAX <= HOST_WATCH_WORDS, "a word for each");

/* Zero-initialised. */
struct inbox {
	unsigned int count;
	struct lane *lane[INBOX_MAX];
	_Atomic uint32_t *word[INBOX_MAX]; /* each one's `asleep` */
};

/* Not more than INBOX_MAX. */
void inbox_add(struct inbox *inbox, struct lane *lane);
/* Nothing to do when it is not there. */
void inbox_remove(struct inbox *inbox, const struct lane *lane);

/* Whether there seems to be a frame. */
bool inbox_more(const struct inbox *inbox);

/* About to sleep (true: there is a frame by now, do not), and not any more. */
bool inbox_sleep(struct inbox *inbox);
void inbox_awake(struct inbox *inbox);

/*
 * In the place of one who sleeps: inbox_news() is to be watched. False: nobody
 * sleeps; with *wake, who did is to look.
 */
bool inbox_watch(struct inbox *inbox, bool *wake);
struct host_watch inbox_news(struct inbox *inbox);

/* After lane_take(): the same again. False: there is a frame by now. */
bool inbox_watch_again(struct inbox *inbox);

/* The one who sleeps does so itself. True: it is to look. */
bool inbox_unwatch(struct inbox *inbox);

/* Nobody is to be told: who takes looks of its own accord. */
void inbox_hush(struct inbox *inbox);

/* Wakes who watches on this side. */
void inbox_disturb(struct inbox *inbox);

#endif

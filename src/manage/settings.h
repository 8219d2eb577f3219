/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lodged's own configuration: a file of lines NAME = VALUE, and # before
 * words for people. It is $XDG_CONFIG_HOME/lodge/lodged.conf; without that
 * variable root's is /etc/lodge/lodged.conf, another user's
 * ~/.config/lodge/lodged.conf. Without the file everything is as here.
 */
#ifndef LODGE_MANAGE_SETTINGS_H
#define LODGE_MANAGE_SETTINGS_H

#include "manage/api/problem.h"

#define SETTINGS_PATH_MAX 1024

struct settings {
	char path[SETTINGS_PATH_MAX]; /* of the file, also when it is missing */
	/* How often the host's may be given to machines that run; 0: any. */
	double cpu_overcommit;	  /* 32 */
	double memory_overcommit; /* 1.5 */
};

/* 0, or -1 with `problem`, which names the line. */
int settings_load(struct settings *settings, struct problem *problem);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder that a benchmark guest shares with the host; natively any folder.
 */
#ifndef LODGE_BENCH_SHARE_H
#define LODGE_BENCH_SHARE_H

#include "work.h"

#define SHARE_FILES 200 /* that there are to look at */

work_fn share_read;   /* 1 MiB each, past the guest's page cache */
work_fn share_write;
work_fn share_stat;   /* files in turn */
work_fn share_open;   /* a file opened, read and closed */
work_fn share_create; /* a file made, written, closed and removed */
work_fn share_list;   /* all of them, listed with their attributes */

/*
 * Whether `test` can be: it is one of these, and there is `folder`, which is a
 * guest's after its drivers were loaded and it was mounted by its tag.
 */
int share_there(const char *test, const char *folder);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What qemu-img says of an image after a loss.
 */
#ifndef LODGE_DISK_QEMU_H
#define LODGE_DISK_QEMU_H

#include "trial.h"

/* Whether there is a qemu-img, and it knows the format. */
bool qemu_knows(const struct trial_kind *kind);

/*
 * The files in `folder` are sound and have what they must after a loss. They
 * may be changed. False: tells stderr.
 */
bool qemu_accepts(const struct trial *trial, const char *folder);

#endif

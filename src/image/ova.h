/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OVA files: a tar archive (POSIX.1-1988, ustar) of an OVF description and the
 * disks that it names, VMDK as a rule (DMTF DSP0243, 5.1). Only the disk is
 * taken; what the description says of the machine is not read.
 */
#ifndef LODGE_IMAGE_OVA_H
#define LODGE_IMAGE_OVA_H

#include "disk/error.h"

/*
 * Copies the archive's one VMDK disk into the new file `name` of a folder. 0,
 * or -1 with `error`: no archive, no disk in it, several.
 */
int ova_extract(const char *path, int folder, const char *name,
		struct disk_error *error);

#endif

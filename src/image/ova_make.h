/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OVA files being written, for VirtualBox, VMware and others: an OVF 1.0
 * description of one machine (DMTF DSP0243 1.1 and DSP8023), a manifest, one
 * streamOptimized VMDK disk, in a ustar archive, in this order (5.1, 5.3).
 */
#ifndef LODGE_IMAGE_OVA_MAKE_H
#define LODGE_IMAGE_OVA_MAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/error.h"

struct ova_machine {
	const char *name; /* letters, digits and - _ . */
	unsigned int cpus;
	uint64_t memory; /* bytes */
	uint64_t disk;	 /* bytes that its guest sees */
	bool uefi;
};

/*
 * Writes the new file `path`, which is there when it is whole, with the disk in
 * the file `vmdk`. 0, or -1 with `error`; what was made is gone then.
 */
int ova_make(const char *path, const struct ova_machine *machine,
	     const char *vmdk, struct disk_error *error);

#endif

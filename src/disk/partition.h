/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a disk its partition table speaks for: MBR (with extended
 * partitions taken as wholes) and GPT (UEFI 2.10, section 5.3).
 */
#ifndef LODGE_DISK_PARTITION_H
#define LODGE_DISK_PARTITION_H

#include "disk/node.h"

/* The byte behind the last partition; 0: there is none, or no table. */
uint64_t disk_partitions_end(struct disk_node *node);

/* An error that says so when the disk ends well before its partitions do, as
 * one that was cut does. */
int disk_partitions_fit(struct disk_node *node, struct disk_error *error);

#endif

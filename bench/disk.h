/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a benchmark guest that are read and written past its page cache: a
 * virtio, a SATA and an NVMe disk.
 */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include <stdint.h>

/*
 * Whether there is a disk for a test; `test` is its name. The first call loads
 * the modules that /lib/modules/order names, in that order.
 */
int disk_there(const char *test);

/* The tests: `n` accesses. 4 KiB at random, one or 32 at a time: reads. */
void disk_virtio_4k_1(uint64_t n);
void disk_virtio_4k_32(uint64_t n);
void disk_ahci_4k_1(uint64_t n);
void disk_ahci_4k_32(uint64_t n);
void disk_nvme_4k_1(uint64_t n);
void disk_nvme_4k_32(uint64_t n);

/* 1 MiB each, one after the other. */
void disk_virtio_read(uint64_t n);
void disk_virtio_write(uint64_t n);
void disk_ahci_read(uint64_t n);
void disk_ahci_write(uint64_t n);
void disk_nvme_read(uint64_t n);
void disk_nvme_write(uint64_t n);

#endif

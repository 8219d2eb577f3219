/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a benchmark guest: a virtio, a SATA and an NVMe disk that are read
 * and written past the page cache.
 */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include <stdint.h>

/*
 * Loads the modules that /lib/modules/order names, in that order, and waits
 * for the disks. As process 1, before the first test of a disk.
 */
void disk_setup(void);

/* Whether there is a disk for a test; `test` is its name. */
int disk_there(const char *test);

/* The tests: `n` accesses. Reads of 4 KiB at random, one or 32 at a time. */
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

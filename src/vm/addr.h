/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address types. One-member structs, so that mixing a guest-physical, a
 * guest-linear and a host address does not compile.
 */
#ifndef LODGE_VM_ADDR_H
#define LODGE_VM_ADDR_H

#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096u
#define PAGE_MASK  (~(uint64_t)0xfff)

/* Guest-physical address. */
typedef struct {
	uint64_t v;
} gpa_t;

/* Guest-linear ("virtual") address: after segmentation, before paging. */
typedef struct {
	uint64_t v;
} gva_t;

static inline gpa_t gpa(uint64_t v)
{
	return (gpa_t){ v };
}

static inline gva_t gva(uint64_t v)
{
	return (gva_t){ v };
}

#endif

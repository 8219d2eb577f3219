/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended state (x87, SSE, AVX ...) to and from a KVM vCPU. KVM's area has
 * the layout of the host's processor (CPUID leaf 0xd), ours is fixed
 * (x86/state.h): components are moved one by one. Linux, api.rst,
 * KVM_GET_XSAVE.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "x86/reg.h"

/* Offsets in the legacy part: FCW, MXCSR_MASK, ST0-7, XMM0-15, and where
 * what the processor leaves to software begins. */
#define FCW	   0
#define MXCSR	   24
#define MXCSR_MASK 28
#define ST0	   32
#define XMM0	   160
#define LEGACY_END 416

/* Components behind the legacy part and the header, by their number. */
static const struct {
	unsigned int number;
	uint32_t offset, size; /* in x86_state.xsave */
} components[] = {
	{ 2, X86_XSAVE_YMM, 256 },
	{ 5, X86_XSAVE_OPMASK, 64 },
	{ 6, X86_XSAVE_ZMM_HI256, 512 },
	{ 7, X86_XSAVE_HI16_ZMM, 1024 },
	{ 9, X86_XSAVE_PKRU, 8 },
};

#define COMPONENTS (sizeof(components) / sizeof(components[0]))

static void move_components(const struct kvm_cpu *own, uint8_t *ours,
			    uint8_t *theirs, bool to_kvm)
{
	for (unsigned int i = 0; i < COMPONENTS; i++) {
		uint32_t at = cpuid_host(0xd, components[i].number).ebx;
		uint32_t size = components[i].size;
		uint8_t *mine = ours + components[i].offset;

		if (!(own->xcr0 >> components[i].number & 1) ||
		    at + size > sizeof(struct kvm_xsave))
			continue;
		if (to_kvm)
			memcpy(theirs + at, mine, size);
		else
			memcpy(mine, theirs + at, size);
	}
}

int kvm_put_xsave(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_xcrs xcrs = { .nr_xcrs = 1,
				 .xcrs[0] = { .xcr = 0, .value = s->xcr0 } };
	uint64_t in_use = own->xcr0;
	struct kvm_xsave area = { 0 };
	uint8_t *to = (uint8_t *)&area;

	memcpy(to, s->xsave, LEGACY_END);
	memcpy(to + X86_XSAVE_HEADER, &in_use, sizeof(in_use));
	move_components(own, s->xsave, to, true);
	if (ioctl(own->fd, KVM_SET_XSAVE, &area) ||
	    ioctl(own->fd, KVM_SET_XCRS, &xcrs))
		return -errno;
	return 0;
}

/* What the processor reports as not in use is in its initial state. */
static void clear_unused(struct x86_state *s, uint64_t in_use)
{
	for (unsigned int i = 0; i < COMPONENTS; i++)
		if (!(in_use >> components[i].number & 1))
			memset(s->xsave + components[i].offset, 0,
			       components[i].size);
	if (!(in_use & X86_XCR0_SSE))
		memset(s->xsave + XMM0, 0, 256);
	if (!(in_use & X86_XCR0_X87)) {
		const uint16_t fcw = 0x37f;

		memset(s->xsave, 0, MXCSR);
		memcpy(s->xsave + FCW, &fcw, sizeof(fcw));
		memset(s->xsave + ST0, 0, XMM0 - ST0);
	}
}

int kvm_get_xsave(struct kvm_cpu *own)
{
	struct x86_state *s = &own->cpu->state;
	struct kvm_xcrs xcrs = { 0 };
	struct kvm_xsave area;
	uint8_t *from = (uint8_t *)&area;
	uint32_t mask;
	uint64_t in_use;

	if (ioctl(own->fd, KVM_GET_XSAVE, &area) ||
	    ioctl(own->fd, KVM_GET_XCRS, &xcrs))
		return -errno;
	memcpy(&in_use, from + X86_XSAVE_HEADER, sizeof(in_use));
	/* The mask tells of the host's processor: ours stays. */
	memcpy(&mask, s->xsave + MXCSR_MASK, sizeof(mask));
	memcpy(s->xsave, from, LEGACY_END);
	memcpy(s->xsave + MXCSR_MASK, &mask, sizeof(mask));
	move_components(own, s->xsave, from, false);
	clear_unused(s, in_use);
	for (uint32_t i = 0; i < xcrs.nr_xcrs; i++)
		if (!xcrs.xcrs[i].xcr)
			s->xcr0 = xcrs.xcrs[i].value;
	return 0;
}

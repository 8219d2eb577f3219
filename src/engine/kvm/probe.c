/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether /dev/kvm is there, may be opened, has what we need, and runs guest
 * kernel code in hardware. Some hosts without virtualization hardware offer
 * one that emulates guest ring 0 an instruction at a time: a short loop in
 * ring 0, timed, tells them apart by a factor of a hundred.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOPS	     1000u
#define SLOWEST_NS   250000u /* hardware: 20 us; emulated: 500 us and more */
#define TRIES	     3
#define CODE_ADDRESS 0x1000u
#define WATCHED	     (CODE_ADDRESS + 0x800u)

static const struct {
	int capability;
	const char *name;
} needed[] = {
	{ KVM_CAP_IRQCHIP, "an in-kernel irqchip" },
	{ KVM_CAP_PIT2, "an in-kernel PIT" },
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_XSAVE, "XSAVE state" },
	{ KVM_CAP_XCRS, "XCR0 state" },
	{ KVM_CAP_VCPU_EVENTS, "vCPU events" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
	{ KVM_CAP_READONLY_MEM, "read-only memory" },
};

/*
 * A machine of one page and one processor, in protected mode: old Intel
 * processors leave real mode to KVM's emulator.
 */
struct probe {
	int vm, cpu;
	uint8_t *page;
	struct kvm_run *run;
	int run_size;
};

/* mov ecx, LOOPS; loop $; hlt */
static const uint8_t probe_code[] = { 0xb9, LOOPS & 0xff, LOOPS >> 8, 0, 0,
				      0xe2, 0xfe,	  0xf4 };
/* mov [WATCHED], eax; hlt */
static const uint8_t watch_code[] = { 0xa3, WATCHED & 0xff, WATCHED >> 8,
				      0,    0,		    0xf4 };
/* int3; hlt */
static const uint8_t mark_code[] = { 0xcc, 0xf4 };

static int probe_memory(struct probe *p, const uint8_t *code, size_t size)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = CODE_ADDRESS,
		.memory_size = 4096,
	};

	p->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->page == MAP_FAILED)
		return -1;
	memcpy(p->page, code, size);
	region.userspace_addr = (uintptr_t)p->page;
	return ioctl(p->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_create(int system)
{
	int fd;

	do
		fd = ioctl(system, KVM_CREATE_VM, 0);
	while (fd < 0 && errno == EINTR);
	return fd;
}

static int probe_open(struct probe *p, int system, const uint8_t *code,
		      size_t size)
{
	*p = (struct probe){ .vm = -1, .cpu = -1, .page = MAP_FAILED,
			     .run = MAP_FAILED };
	p->vm = kvm_create(system);
	if (p->vm < 0 || probe_memory(p, code, size))
		return -1;
	p->cpu = ioctl(p->vm, KVM_CREATE_VCPU, 0);
	p->run_size = ioctl(system, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (p->cpu < 0 || p->run_size <= 0)
		return -1;
	p->run = mmap(NULL, (size_t)p->run_size, PROT_READ | PROT_WRITE,
		      MAP_SHARED, p->cpu, 0);
	return p->run == MAP_FAILED ? -1 : 0;
}

static void *close_later(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

static void probe_close(struct probe *p)
{
	pthread_attr_t detached;
	pthread_t thread;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&detached, 65536);
	if (p->run != MAP_FAILED)
		munmap(p->run, (size_t)p->run_size);
	if (p->page != MAP_FAILED)
		munmap(p->page, 4096);
	/* The kernel takes its time (RCU) for the last reference to a VM,
	 * which is `vm` when the processor's is gone. */
	if (p->cpu >= 0)
		close(p->cpu);
	if (p->vm >= 0 && pthread_create(&thread, &detached, close_later,
					 (void *)(intptr_t)p->vm))
		close(p->vm);
	pthread_attr_destroy(&detached);
}

static struct kvm_segment flat_segment(uint8_t type)
{
	return (struct kvm_segment){
		.limit = UINT32_MAX,
		.selector = 8,
		.type = type,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
	};
}

static int probe_start(struct probe *p)
{
	struct kvm_regs regs = { .rip = CODE_ADDRESS, .rflags = 2 };
	struct kvm_sregs sregs;

	if (ioctl(p->cpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cr0 |= 1; /* PE */
	sregs.idt.limit = 0; /* any exception ends it */
	sregs.cs = flat_segment(0xb);
	sregs.ds = sregs.es = sregs.ss = flat_segment(3);
	return ioctl(p->cpu, KVM_SET_SREGS, &sregs) ||
	       ioctl(p->cpu, KVM_SET_REGS, &regs) ? -1 : 0;
}

/* Runs to an exit, of the reason that is given; else false. */
static bool probe_run(struct probe *p, uint32_t reason)
{
	int err;

	do
		err = ioctl(p->cpu, KVM_RUN, 0);
	while (err && errno == EINTR);
	if (err || p->run->exit_reason != reason)
		return false;
	return reason != KVM_EXIT_INTERNAL_ERROR ||
	       p->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION;
}

/* Nanoseconds that the loop takes; 0 when it cannot be run. */
static uint64_t probe_time(struct probe *p)
{
	uint64_t start;

	if (probe_start(p))
		return 0;
	start = host_monotonic_ns();
	if (!probe_run(p, KVM_EXIT_HLT))
		return 0;
	return host_monotonic_ns() - start + 1;
}

/* Runs `code` with debug register 0 as DR7 says, to the exit. */
static bool probe_stop(int system, const uint8_t *code, size_t size,
		       uint32_t control, uint64_t dr0, uint64_t dr7,
		       uint32_t reason)
{
	const struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | control,
		.arch.debugreg = { [0] = dr0, [7] = dr7 },
	};
	struct probe p;
	bool stops;

	stops = !probe_open(&p, system, code, size) && !probe_start(&p) &&
		!ioctl(p.cpu, KVM_SET_GUEST_DEBUG, &debug) &&
		probe_run(&p, reason);
	probe_close(&p);
	return stops;
}

unsigned int kvm_probe_debug(int system)
{
	unsigned int can = 0;

	/* Where KVM emulates, it cannot emulate INT3 and hands it over. */
	if (probe_stop(system, mark_code, sizeof(mark_code),
		       KVM_GUESTDBG_USE_SW_BP, 0, 0, KVM_EXIT_DEBUG) ||
	    probe_stop(system, mark_code, sizeof(mark_code),
		       KVM_GUESTDBG_USE_SW_BP, 0, 0, KVM_EXIT_INTERNAL_ERROR))
		can |= KVM_CAN_MARK;
	/* Register 0; writes of 4 bytes. SDM vol. 3, 17.2.4. */
	if (probe_stop(system, watch_code, sizeof(watch_code),
		       KVM_GUESTDBG_USE_HW_BP, CODE_ADDRESS, 0x202,
		       KVM_EXIT_DEBUG))
		can |= KVM_CAN_BREAK;
	if (probe_stop(system, watch_code, sizeof(watch_code),
		       KVM_GUESTDBG_USE_HW_BP, WATCHED, 0xd0202,
		       KVM_EXIT_DEBUG))
		can |= KVM_CAN_WATCH;
	return can;
}

static int probe_speed(int system, char *why, size_t size)
{
	uint64_t best = UINT64_MAX, took;
	struct probe p;
	int err = probe_open(&p, system, probe_code, sizeof(probe_code));

	/* An emulated KVM fails now and then for once. */
	for (int i = 0; !err && i < TRIES && best > SLOWEST_NS; i++) {
		took = probe_time(&p);
		best = took && took < best ? took : best;
	}
	probe_close(&p);
	if (best == UINT64_MAX) {
		snprintf(why, size, "/dev/kvm cannot run guest code here");
		return -EIO;
	}
	if (best > SLOWEST_NS) {
		snprintf(why, size,
			 "/dev/kvm emulates guest kernel code (%llu ns an "
			 "instruction): this host has no virtualization "
			 "hardware to give",
			 (unsigned long long)(best / LOOPS));
		return 1;
	}
	return 0;
}

static int probe_capabilities(int system, char *why, size_t size)
{
	int version = ioctl(system, KVM_GET_API_VERSION, 0);

	if (version < 0) {
		snprintf(why, size, "/dev/kvm is not KVM's device: load "
			 "kvm_amd or kvm_intel");
		return -ENOTSUP;
	}
	if (version != KVM_API_VERSION) {
		snprintf(why, size, "/dev/kvm speaks API version %d, not %d",
			 version, KVM_API_VERSION);
		return -ENOTSUP;
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (ioctl(system, KVM_CHECK_EXTENSION,
			  needed[i].capability) > 0)
			continue;
		snprintf(why, size, "/dev/kvm lacks %s: a newer kernel may "
			 "have it", needed[i].name);
		return -ENOTSUP;
	}
	return 0;
}

static void explain_open(int err, char *why, size_t size)
{
	if (err == ENOENT)
		snprintf(why, size,
			 "no /dev/kvm: load kvm_amd or kvm_intel, or enable "
			 "virtualization in the firmware");
	else if (err == EACCES || err == EPERM)
		snprintf(why, size, "no permission to open /dev/kvm: add "
			 "yourself to the group kvm");
	else
		snprintf(why, size, "cannot open /dev/kvm: %s", strerror(err));
}

int kvm_probe_device(const char *path, char *why, size_t size)
{
	int system = open(path, O_RDWR | O_CLOEXEC);
	int err;

	if (system < 0) {
		err = errno;
		explain_open(err, why, size);
		return -err;
	}
	err = probe_capabilities(system, why, size);
	if (!err)
		err = probe_speed(system, why, size);
	close(system);
	return err;
}

int kvm_probe(char *why, size_t size)
{
	return kvm_probe_device("/dev/kvm", why, size);
}

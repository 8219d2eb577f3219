/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's paravirtual clock, so that a guest needs to calibrate nothing:
 * Documentation/virt/kvm/x86/msr.rst and cpuid.rst of Linux, MSRs 0x4b564d00
 * and 0x4b564d01. One rate for the VM's life, so the page is written when the
 * guest asks and after VM time stood still, and is the same on every
 * processor.
 */
#include "x86/msr.h"

#include "vm/bytes.h"

#define SYSTEM_ENABLE 1u
#define FLAG_STABLE   1u /* processors' readings never go back */

#define NS_PER_SECOND 1000000000u

/* The guest's view of a processor's clock. */
struct pvclock_time {
	uint32_t version; /* odd while being written */
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad[2];
};

struct pvclock_wall {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
};

/* ns = (tsc << shift) * mul >> 32 */
static void scale(uint64_t tsc_hz, int8_t *shift, uint32_t *mul)
{
	*shift = 0;
	while (tsc_hz > 2 * (uint64_t)NS_PER_SECOND) {
		tsc_hz >>= 1;
		(*shift)--;
	}
	while (tsc_hz <= NS_PER_SECOND) {
		tsc_hz <<= 1;
		(*shift)++;
	}
	*mul = (uint32_t)(((uint64_t)NS_PER_SECOND << 32) / tsc_hz);
}

/*
 * TSC and VM time of one moment, the same one for every processor: taken at
 * two, their clocks would differ by what it takes to read both.
 */
static void same_moment(struct x86_cpu *cpu, struct pvclock_time *t)
{
	struct x86_cpu *keeper = cpu->vm->cpu[0];
	int64_t offset = atomic_load(&cpu->vm->clock.offset);

	host_lock(&cpu->vm->device_lock);
	if (!keeper->kvmclock.known || keeper->kvmclock.offset != offset) {
		keeper->kvmclock.host_tsc =
			x86_tsc(cpu) - cpu->state.tsc_offset;
		keeper->kvmclock.ns = clock_now(&cpu->vm->clock);
		keeper->kvmclock.offset = offset;
		keeper->kvmclock.known = true;
	}
	t->tsc_timestamp = keeper->kvmclock.host_tsc + cpu->state.tsc_offset;
	t->system_time = keeper->kvmclock.ns;
	host_unlock(&cpu->vm->device_lock);
}

void x86_kvmclock_update(struct x86_cpu *cpu)
{
	uint64_t msr = cpu->state.kvmclock_system;
	struct memory *mem = &cpu->vm->memory;
	struct pvclock_time t = { .flags = FLAG_STABLE };
	gpa_t at = gpa(msr & ~(uint64_t)SYSTEM_ENABLE);

	if (!(msr & SYSTEM_ENABLE) ||
	    memory_read(mem, at, &t.version, sizeof(t.version)))
		return;
	t.version |= 1;
	memory_write(mem, at, &t.version, sizeof(t.version));
	scale(cpu->cpuid->tsc_hz, &t.tsc_shift, &t.tsc_to_system_mul);
	same_moment(cpu, &t);
	memory_write(mem, at, &t, sizeof(t));
	t.version++;
	memory_write(mem, at, &t.version, sizeof(t.version));
}

void x86_kvmclock_wall(struct x86_cpu *cpu, uint64_t at)
{
	struct memory *mem = &cpu->vm->memory;
	uint64_t ns = host_realtime_ns() - clock_now(&cpu->vm->clock);
	struct pvclock_wall w = { 0 };

	if (memory_read(mem, gpa(at), &w.version, sizeof(w.version)))
		return;
	w.version = (w.version | 1) + 1;
	w.sec = (uint32_t)(ns / NS_PER_SECOND);
	w.nsec = (uint32_t)(ns % NS_PER_SECOND);
	memory_write(mem, gpa(at), &w, sizeof(w));
}

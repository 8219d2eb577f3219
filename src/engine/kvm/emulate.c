/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The odd instruction that KVM cannot emulate, executed by the software CPU:
 * registers and MSRs out, one step, registers back. The interrupt controllers
 * stay in the kernel, where devices and other processors go on using them; a
 * step that touches this processor's own LAPIC reaches it there, too.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "chip/lapic.h"
#include "x86/msr.h"

/* --- the LAPIC as the step sees it ---------------------------------------- */

/* Interrupts are KVM's to deliver. */
static int accept_none(void *apic)
{
	return -1;
}

static bool never_pending(void *apic)
{
	return false;
}

static uint8_t get_tpr(void *apic)
{
	const struct kvm_cpu *own = apic;

	return (uint8_t)(own->cr8 << 4);
}

static void set_tpr(void *apic, uint8_t tpr)
{
	struct kvm_cpu *own = apic;

	own->cr8 = tpr >> 4;
}

static bool read_msr(void *apic, uint32_t index, uint64_t *value)
{
	return kvm_get_msr(apic, index, value);
}

static bool write_msr(void *apic, uint32_t index, uint64_t value)
{
	return kvm_put_msr(apic, index, value);
}

static uint32_t read_register(void *apic, uint32_t offset)
{
	struct kvm_cpu *own = apic;
	struct kvm_lapic_state k;
	uint32_t v = 0;

	if (offset + sizeof(v) <= sizeof(k.regs) &&
	    !ioctl(own->fd, KVM_GET_LAPIC, &k))
		memcpy(&v, k.regs + offset, sizeof(v));
	return v;
}

/* Registers whose writes act (EOI, ICR) are only reached by plain moves,
 * which KVM emulates itself. */
static void write_register(void *apic, uint32_t offset, uint32_t value)
{
	struct kvm_cpu *own = apic;
	struct kvm_lapic_state k;

	if (offset + sizeof(value) > sizeof(k.regs) ||
	    ioctl(own->fd, KVM_GET_LAPIC, &k))
		return;
	memcpy(k.regs + offset, &value, sizeof(value));
	ioctl(own->fd, KVM_SET_LAPIC, &k);
}

/* IA32_APIC_BASE travels with the registers. */
static void set_base(void *apic, uint64_t base)
{
}

static void take_init(void *apic)
{
}

static const struct x86_apic_ops kernel_lapic = {
	.accept = accept_none,
	.pending = never_pending,
	.get_tpr = get_tpr,
	.set_tpr = set_tpr,
	.read_msr = read_msr,
	.write_msr = write_msr,
	.read = read_register,
	.write = write_register,
	.set_base = set_base,
	.init = take_init,
};

/* --- one step ------------------------------------------------------------- */

static void read_msrs(struct kvm_cpu *own, uint64_t *value)
{
	for (unsigned int i = 0; i < own->kvm->msr_count; i++)
		if (!x86_msr_read(own->cpu, own->kvm->msr[i], &value[i]))
			value[i] = 0;
}

/* Only what the step changed: the rest may hold more than we know of. */
static void write_changed_msrs(struct kvm_cpu *own, const uint64_t *before)
{
	uint64_t after[KVM_MSRS_MAX];

	read_msrs(own, after);
	for (unsigned int i = 0; i < own->kvm->msr_count; i++)
		if (after[i] != before[i])
			kvm_put_msr(own, own->kvm->msr[i], after[i]);
}

static void step(struct kvm_cpu *own)
{
	struct x86_cpu *cpu = own->cpu;
	const struct x86_apic apic = cpu->apic;
	uint64_t msrs[KVM_MSRS_MAX];

	cpu->apic = (struct x86_apic){ &kernel_lapic, own };
	x86_cpu_state_changed(cpu);
	read_msrs(own, msrs);
	x86_step(cpu);
	write_changed_msrs(own, msrs);
	cpu->apic = apic;
}

static bool fail(struct engine_exit *exit, int error, const char *what)
{
	exit->reason = ENGINE_FAILED;
	exit->error = error;
	exit->what = what;
	return false;
}

bool kvm_emulate(struct kvm_cpu *own, struct engine_exit *exit)
{
	struct x86_cpu *cpu = own->cpu;
	int err = kvm_get_registers(own);

	if (!err)
		err = kvm_get_msrs(own);
	if (err)
		return fail(exit, err, "KVM does not give the vCPU's state");
	own->stats.emulated++;
	/* KVM has a #UD ready, for monitors that would just go on. */
	cpu->state.fault_pending = 0;
	if (cpu->debug && !kvm_debug_before(own, exit))
		return false;
	step(own);
	if (cpu->state.activity == X86_SHUTDOWN) {
		exit->reason = ENGINE_CRASHED;
		return false;
	}
	err = kvm_put_registers(own);
	if (err)
		return fail(exit, err, "KVM refuses the vCPU's state");
	return !cpu->debug || kvm_debug_after(own, exit);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bench for local APICs; see lapic_rig.h.
 */
#include "lapic_rig.h"

#include "x86/msr.h"

struct lapic_rig bench;

void x86_cpu_request(struct x86_cpu *cpu, uint32_t bits)
{
	atomic_fetch_or(&cpu->request, bits);
}

uint64_t x86_tsc(const struct x86_cpu *cpu)
{
	return clock_now(&cpu->vm->clock) * (TSC_HZ / SECOND);
}

int lapic_rig_setup(void **state)
{
	struct irq intr = { lapic_set_extint, &bench.set, 0 };
	unsigned int i;

	memset(&bench, 0, sizeof(bench));
	rig_init(&bench.rig);
	fake_tsc_hz_set(TSC_HZ);
	bench.rig.vm.msi = (struct msi_sink){ lapic_set_send, &bench.set };
	bench.set.pic = &bench.pic;
	bench.set.ioapic = &bench.ioapic;
	for (i = 0; i < LAPIC_CPUS; i++) {
		bench.cpu[i] = calloc(1, sizeof(*bench.cpu[i]));
		assert_non_null(bench.cpu[i]);
		bench.cpu[i]->vm = &bench.rig.vm;
		bench.cpu[i]->id = i;
		assert_int_equal(lapic_init(&bench.lapic[i], &bench.rig.vm,
					    bench.cpu[i], &bench.set), 0);
	}
	assert_int_equal(ioapic_init(&bench.ioapic, &bench.rig.vm), 0);
	assert_int_equal(pic_init(&bench.pic, &bench.rig.vm, &intr), 0);
	return 0;
}

int lapic_rig_teardown(void **state)
{
	unsigned int i;

	for (i = 0; i < LAPIC_CPUS; i++)
		free(bench.cpu[i]);
	return 0;
}

uint32_t xget(unsigned int n, unsigned int reg)
{
	return lapic_ops.read(&bench.lapic[n], reg << 4);
}

void xput(unsigned int n, unsigned int reg, uint32_t value)
{
	lapic_ops.write(&bench.lapic[n], reg << 4, value);
}

bool mget(unsigned int n, uint32_t msr, uint64_t *value)
{
	return lapic_ops.read_msr(&bench.lapic[n], msr, value);
}

bool mput(unsigned int n, uint32_t msr, uint64_t value)
{
	return lapic_ops.write_msr(&bench.lapic[n], msr, value);
}

uint32_t requests(unsigned int n)
{
	return atomic_exchange(&bench.cpu[n]->request, 0);
}

int accept_vector(unsigned int n)
{
	return lapic_ops.accept(&bench.lapic[n]);
}

bool is_pending(unsigned int n)
{
	return lapic_ops.pending(&bench.lapic[n]);
}

void use_x2apic(unsigned int n)
{
	lapic_ops.set_base(&bench.lapic[n],
			   bench.lapic[n].base | LAPIC_BASE_X2APIC);
}

void enable(unsigned int n)
{
	if (bench.lapic[n].base & LAPIC_BASE_X2APIC)
		assert_true(mput(n, 0x80f, 0x1ff));
	else
		xput(n, LAPIC_SVR, 0x1ff);
	requests(n);
}

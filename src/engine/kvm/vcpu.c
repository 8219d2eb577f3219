/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU over KVM: the run loop and its exits.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/soft/native.h"

/* Interrupts KVM_RUN; its handler does nothing. */
#define KICK_SIGNAL SIGUSR1

static void on_kick(int number)
{
}

/* Interrupts the thread that runs the processor, now or as it begins. */
static void interrupt(struct kvm_cpu *own)
{
	pid_t thread;

	__atomic_store_n(&own->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	/* By number: the thread may have left, and ended, by now. */
	thread = atomic_load(&own->thread);
	if (thread)
		tgkill(getpid(), thread, KICK_SIGNAL);
}

void kvm_cpu_kick(struct x86_cpu *cpu)
{
	atomic_fetch_or(&cpu->request, X86_REQ_KICK);
	interrupt(cpu->engine);
}

/* The chips' requests for interrupts are KVM's business. */
static void requested(struct x86_cpu *cpu)
{
	if (atomic_load(&cpu->request) & X86_REQ_KICK)
		interrupt(cpu->engine);
}

int kvm_cpu_open(void *vm_engine, struct x86_cpu *cpu)
{
	struct sigaction action = { .sa_handler = on_kick };
	struct kvm_cpu *own = calloc(1, sizeof(*own));
	int err;

	if (!own)
		return -ENOMEM;
	own->kvm = vm_engine;
	own->cpu = cpu;
	own->taken = -1;
	kvm_find_chips(own->kvm);
	own->fd = ioctl(own->kvm->fd, KVM_CREATE_VCPU, cpu->id);
	if (own->fd < 0) {
		err = -errno;
		goto free_own;
	}
	own->run = mmap(NULL, (size_t)own->kvm->run_size,
			PROT_READ | PROT_WRITE, MAP_SHARED, own->fd, 0);
	if (own->run == MAP_FAILED) {
		err = -errno;
		goto close_fd;
	}
	cpu->engine = own;
	cpu->kicked = requested;
	sigaction(KICK_SIGNAL, &action, NULL);
	err = kvm_set_cpuid(own);
	if (!err) {
		/* Now: later nothing can be made executable (a sandbox). What
		 * is not touched takes no memory. */
		err = native_open(cpu);
		own->native = !err;
	}
	if (!err)
		return 0;

	cpu->engine = NULL;
	cpu->kicked = NULL;
	munmap(own->run, (size_t)own->kvm->run_size);
close_fd:
	close(own->fd);
free_own:
	free(own);
	return err;
}

void kvm_cpu_close(struct x86_cpu *cpu)
{
	struct kvm_cpu *own = cpu->engine;

	if (!own)
		return;
	if (own->native)
		native_close(cpu);
	munmap(own->run, (size_t)own->kvm->run_size);
	close(own->fd);
	free(own);
	cpu->engine = NULL;
	cpu->kicked = NULL;
}

/* --- exits ---------------------------------------------------------------- */

/* True: go on running. */
typedef bool exit_handler(struct kvm_cpu *own, struct engine_exit *exit);

static bool fail(struct engine_exit *exit, int error, const char *what)
{
	exit->reason = ENGINE_FAILED;
	exit->error = error;
	exit->what = what;
	return false;
}

static bool handle_exit(struct kvm_cpu *own, struct engine_exit *exit);

/* Of a debugger's step: KVM does not stop behind each kind of access. */
static bool end_access(struct kvm_cpu *own, struct engine_exit *exit)
{
	own->run->immediate_exit = 1;
	if (!ioctl(own->fd, KVM_RUN, 0))
		return handle_exit(own, exit);
	return kvm_debug_moved(own, exit);
}

static bool exit_io(struct kvm_cpu *own, struct engine_exit *exit)
{
	struct kvm_run *run = own->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	struct bus *bus = &own->kvm->vm->pio;

	own->stats.pio++;
	for (uint32_t i = 0; i < run->io.count; i++) {
		uint64_t v = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&v, data, run->io.size);
			bus_write(bus, run->io.port, run->io.size, v);
		} else {
			v = bus_read(bus, run->io.port, run->io.size);
			memcpy(data, &v, run->io.size);
		}
		data += run->io.size;
	}
	return !own->step || end_access(own, exit);
}

/* A write that KVM keeps out of ROM may be for what is under it. */
static bool write_rom(struct memory *mem, uint64_t addr, const void *data,
		      uint32_t size)
{
	const struct memory_region *r = memory_find(mem, gpa(addr));

	return r && r->under && !memory_write(mem, gpa(addr), data, size);
}

static bool exit_mmio(struct kvm_cpu *own, struct engine_exit *exit)
{
	struct kvm_run *run = own->run;
	struct bus *bus = &own->kvm->vm->mmio;
	uint32_t left = run->mmio.len, at = 0;

	own->stats.mmio++;
	while (left) {
		uint32_t n = 1u << (31 - __builtin_clz(left));
		uint64_t v = 0;

		if (run->mmio.is_write) {
			memcpy(&v, run->mmio.data + at, n);
			if (!write_rom(&own->kvm->vm->memory,
				       run->mmio.phys_addr + at, &v, n))
				bus_write(bus, run->mmio.phys_addr + at, n, v);
		} else {
			v = bus_read(bus, run->mmio.phys_addr + at, n);
			memcpy(run->mmio.data + at, &v, n);
		}
		at += n;
		left -= n;
	}
	return !own->step || end_access(own, exit);
}

/* AMD's KVM has reset the processor by now: its state at the fault is gone. */
static bool exit_shutdown(struct kvm_cpu *own, struct engine_exit *exit)
{
	exit->reason = ENGINE_CRASHED;
	return false;
}

static bool exit_internal(struct kvm_cpu *own, struct engine_exit *exit)
{
	if (own->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		return kvm_emulate(own, exit);
	return fail(exit, -EIO, "KVM reports an internal error");
}

static bool exit_entry(struct kvm_cpu *own, struct engine_exit *exit)
{
	return fail(exit, -EIO, "KVM cannot enter the guest");
}

static bool exit_again(struct kvm_cpu *own, struct engine_exit *exit)
{
	return true;
}

static bool exit_halt(struct kvm_cpu *own, struct engine_exit *exit)
{
	own->stats.halt++;
	return true;
}

static exit_handler *const exit_handlers[] = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_HLT] = exit_halt,
	[KVM_EXIT_DEBUG] = kvm_debug_exit,
	[KVM_EXIT_INTR] = exit_again,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_again,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_entry,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal,
};

static bool handle_exit(struct kvm_cpu *own, struct engine_exit *exit)
{
	uint32_t reason = own->run->exit_reason;

	if (reason >= sizeof(exit_handlers) / sizeof(exit_handlers[0]) ||
	    !exit_handlers[reason])
		return fail(exit, -EIO, "KVM exits for an unknown reason");
	return exit_handlers[reason](own, exit);
}

/* True when the vCPU must be given back; the kick is used up. */
static bool kicked(struct kvm_cpu *own)
{
	struct x86_cpu *cpu = own->cpu;

	if (atomic_fetch_and(&cpu->request, ~X86_REQ_KICK) & X86_REQ_KICK) {
		own->stats.kick++;
		return true;
	}
	return atomic_load(&cpu->vm->request) != VM_RUN;
}

static void begin_run(struct kvm_cpu *own)
{
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	kvm_release_interrupts(own->kvm);
	atomic_store(&own->thread, gettid());
}

/*
 * An exit's answer (port or memory reads) is taken over by the next KVM_RUN;
 * with immediate_exit set that is all it does. It may be an access in more
 * than one piece, and the end of a debugger's step.
 */
static void end_run(struct kvm_cpu *own, struct engine_exit *exit)
{
	own->run->immediate_exit = 1;
	while (!ioctl(own->fd, KVM_RUN, 0) && handle_exit(own, exit))
		;
	own->run->immediate_exit = 0;
	kvm_debug_leave(own);
	atomic_store(&own->thread, 0);
}

void kvm_cpu_run(struct x86_cpu *cpu, struct engine_exit *exit)
{
	struct kvm_cpu *own = cpu->engine;

	*exit = (struct engine_exit){ 0 };
	begin_run(own);
	if (!kvm_debug_enter(own, exit))
		goto out;
	do {
		__atomic_store_n(&own->run->immediate_exit, 0,
				 __ATOMIC_SEQ_CST);
		if (kicked(own)) {
			exit->reason = ENGINE_KICKED;
			break;
		}
		if (!ioctl(own->fd, KVM_RUN, 0))
			continue;
		if (errno != EINTR && errno != EAGAIN) {
			fail(exit, -errno, "KVM_RUN fails");
			break;
		}
		own->run->exit_reason = KVM_EXIT_INTR;
	} while (handle_exit(own, exit));
out:
	end_run(own, exit);
}

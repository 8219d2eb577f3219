/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A debugger outside the guest, on KVM. Linux, api.rst, KVM_SET_GUEST_DEBUG.
 * Breakpoints that may mark code are INT3 in the guest's memory, there only
 * while a processor runs; others, and watched data, take the processor's four
 * debug registers, and the guest's own do nothing meanwhile. A step is KVM's,
 * but for instructions that show TF to the guest or change it: those are
 * executed by the software CPU (emulate.c). Exceptions that are the guest's
 * own are handed back to it.
 */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "x86/access.h"
#include "x86/reg.h"

#define INT3 0xcc

/* SDM vol. 3, 17.2.3 and 17.2.4. */
#define DR6_HITS 0xfu
#define DR6_BD	 (1u << 13)
#define DR6_BS	 (1u << 14)
#define DR6_BT	 (1u << 15)
#define DR7_GE	 (1u << 9)
#define DR7_GD	 ((uint64_t)1 << 13)

/* --- breakpoints in memory ------------------------------------------------ */

/* Held: the lock. Puts the byte where it has to be by now. */
static void settle(struct kvm_vm *kvm, struct kvm_mark *mark)
{
	bool wanted = kvm->debug.inside && !mark->lifted;
	uint8_t *byte;

	if (mark->set == wanted)
		return;
	byte = memory_for_write(&kvm->vm->memory, mark->at, 1);
	if (!byte)
		return;
	if (wanted) {
		mark->byte = *byte;
		__atomic_store_n(byte, INT3, __ATOMIC_SEQ_CST);
	} else if (*byte == INT3) {
		/* Else the guest has put other code there. */
		__atomic_store_n(byte, mark->byte, __ATOMIC_SEQ_CST);
	}
	mark->set = wanted;
}

static struct kvm_mark *find_mark(struct kvm_vm *kvm, gpa_t at)
{
	for (unsigned int i = 0; i < kvm->debug.marks; i++)
		if (kvm->debug.mark[i].at.v == at.v)
			return &kvm->debug.mark[i];
	return NULL;
}

static bool is_marked(const struct kvm_vm *kvm, const struct x86_break *b)
{
	return b->mark && kvm->debug.can & KVM_CAN_MARK;
}

/* The first processor is about to run: one mark for each byte. */
static void list_marks(struct kvm_vm *kvm, const struct x86_debug *debug)
{
	kvm->debug.marks = 0;
	for (unsigned int i = 0; i < debug->breaks; i++)
		if (is_marked(kvm, &debug->at[i]) &&
		    !find_mark(kvm, debug->at[i].memory))
			kvm->debug.mark[kvm->debug.marks++] =
				(struct kvm_mark){
					.at = debug->at[i].memory,
				};
}

static void settle_all(struct kvm_vm *kvm)
{
	for (unsigned int i = 0; i < kvm->debug.marks; i++)
		settle(kvm, &kvm->debug.mark[i]);
}

/* The mark that the guest would execute at `linear`, or NULL. */
static struct kvm_mark *mark_at(struct kvm_cpu *own, uint64_t linear)
{
	gpa_t at;

	if (!own->kvm->debug.marks ||
	    !x86_translate(own->cpu, (gva_t){ linear }, &at))
		return NULL;
	return find_mark(own->kvm, at);
}

static void drop(struct kvm_cpu *own)
{
	struct kvm_debug *d = &own->kvm->debug;

	if (!own->lifted)
		return;
	pthread_mutex_lock(&d->lock);
	own->lifted->lifted--;
	settle(own->kvm, own->lifted);
	own->lifted = NULL;
	pthread_mutex_unlock(&d->lock);
}

static void lift(struct kvm_cpu *own, struct kvm_mark *mark)
{
	struct kvm_debug *d = &own->kvm->debug;

	if (!mark || own->lifted == mark)
		return;
	drop(own);
	pthread_mutex_lock(&d->lock);
	own->lifted = mark;
	mark->lifted++;
	settle(own->kvm, mark);
	pthread_mutex_unlock(&d->lock);
}

/* --- debug registers ------------------------------------------------------ */

static bool add_slot(struct kvm_slots *slots, uint64_t linear,
		     unsigned int access, unsigned int size,
		     const struct x86_watch *watch)
{
	static const uint8_t length[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
	unsigned int n = slots->count;

	if (n == KVM_SLOTS)
		return false;
	slots->count++;
	slots->at[n] = linear;
	slots->watch[n] = watch;
	slots->dr7 |= DR7_GE | 2ull << 2 * n |
		      (uint64_t)(access | length[size] << 2) << (16 + 4 * n);
	return true;
}

/* A register watches 1, 2, 4 or 8 bytes, aligned. */
static bool add_watch(struct kvm_slots *slots, const struct x86_watch *watch)
{
	uint64_t at = watch->first, left = watch->size;
	bool fits = true;

	while (left && fits) {
		unsigned int size = 8;

		while (at & (size - 1) || size > left)
			size /= 2;
		/* There is none for reads alone. */
		fits = add_slot(slots, at, watch->read ? 3 : 1, size, watch);
		at += size;
		left -= size;
	}
	return fits;
}

/* False: there are too many. `but` is left out when `skip`. */
static bool fill_slots(const struct kvm_vm *kvm, struct kvm_slots *slots,
		       const struct x86_debug *debug, bool skip, uint64_t but)
{
	bool fits = true;

	*slots = (struct kvm_slots){ 0 };
	for (unsigned int i = 0; i < debug->breaks && fits; i++)
		if (!is_marked(kvm, &debug->at[i]) &&
		    !(skip && debug->at[i].linear == but))
			fits = add_slot(slots, debug->at[i].linear, 0, 1,
					NULL);
	for (unsigned int i = 0; i < debug->watches && fits; i++)
		fits = add_watch(slots, &debug->watch[i]);
	return fits;
}

static void look_what_works(struct kvm_vm *kvm)
{
	if (!kvm->debug.known)
		kvm->debug.can = kvm_probe_debug(kvm->system);
	kvm->debug.known = true;
}

int kvm_debug_check(struct x86_cpu *cpu, const struct x86_debug *debug,
		    char *why, size_t size)
{
	struct kvm_vm *kvm = ((struct kvm_cpu *)cpu->engine)->kvm;
	struct kvm_slots slots;

	if (ioctl(kvm->system, KVM_CHECK_EXTENSION,
		  KVM_CAP_SET_GUEST_DEBUG) <= 0) {
		snprintf(why, size, "this host's KVM cannot debug guests");
		return -ENOTSUP;
	}
	look_what_works(kvm);
	if (!fill_slots(kvm, &slots, debug, false, 0)) {
		snprintf(why, size, "hardware breakpoints, and watchpoints of "
			 "8 aligned bytes: KVM has %u in all", KVM_SLOTS);
		return -ENOSPC;
	}
	for (unsigned int i = 0; i < slots.count; i++) {
		if (kvm->debug.can &
		    (slots.watch[i] ? KVM_CAN_WATCH : KVM_CAN_BREAK))
			continue;
		snprintf(why, size, "this host's KVM is an emulation that "
			 "has no such %s; --engine soft has them",
			 slots.watch[i] ? "watchpoints" : "breakpoints");
		return -ENOTSUP;
	}
	return 0;
}

/* --- what KVM is asked for ------------------------------------------------ */

static int set_guest_debug(struct kvm_cpu *own, uint32_t more)
{
	struct kvm_guest_debug k = { 0 };
	int flags = ioctl(own->kvm->system, KVM_CHECK_EXTENSION,
			  KVM_CAP_SET_GUEST_DEBUG2);

	if (own->cpu->debug)
		k.control = KVM_GUESTDBG_ENABLE | more;
	if (own->cpu->debug && own->kvm->debug.marks)
		k.control |= KVM_GUESTDBG_USE_SW_BP;
	if (more & KVM_GUESTDBG_SINGLESTEP && flags > 0)
		k.control |= (uint32_t)flags & KVM_GUESTDBG_BLOCKIRQ;
	if (own->slots.count)
		k.control |= KVM_GUESTDBG_USE_HW_BP;
	memcpy(k.arch.debugreg, own->slots.at, sizeof(own->slots.at));
	k.arch.debugreg[7] = own->slots.dr7;
	return ioctl(own->fd, KVM_SET_GUEST_DEBUG, &k) ? -errno : 0;
}

void kvm_debug(struct x86_cpu *cpu, const struct x86_debug *debug, bool step)
{
	struct kvm_cpu *own = cpu->engine;

	look_what_works(own->kvm);
	cpu->debug = debug;
	own->step = step;
	own->slots = (struct kvm_slots){ 0 };
	if (!debug)
		set_guest_debug(own, 0);
}

/* --- instructions that a step leaves to the software CPU ------------------ */

static bool is_prefix(uint8_t byte, bool code64)
{
	return (byte & 0xe7) == 0x26 || (byte & 0xfc) == 0x64 ||
	       byte == 0xf0 || byte == 0xf2 || byte == 0xf3 ||
	       (code64 && (byte & 0xf0) == 0x40);
}

/*
 * PUSHF, POPF, IRET, INT n, INT3, INTO, INT1, SYSCALL, SYSRET, SYSENTER,
 * SYSEXIT; and loads of SS, behind which no trap comes.
 */
static bool shows_tf(const uint8_t *code, unsigned int size, bool code64)
{
	static const uint8_t one[] = { 0x9c, 0x9d, 0xcf, 0xcd, 0xcc, 0xce,
				       0xf1, 0x8e, 0x17 };
	static const uint8_t two[] = { 0x05, 0x07, 0x34, 0x35, 0xb2 };
	unsigned int i = 0;

	while (i < size && is_prefix(code[i], code64))
		i++;
	if (i + 1 < size && code[i] == 0x0f)
		return memchr(two, code[i + 1], sizeof(two));
	return i < size && memchr(one, code[i], sizeof(one));
}

static uint64_t linear_rip(const struct x86_cpu *cpu)
{
	if (cpu->mode & X86_MODE_CODE64)
		return cpu->state.rip;
	return (uint32_t)(cpu->state.rip + cpu->state.seg[X86_CS].base);
}

/* The instruction at `linear`; what cannot be read is left out. */
static unsigned int fetch(struct x86_cpu *cpu, uint64_t linear, uint8_t *code)
{
	unsigned int n = 0;
	gpa_t at;

	while (n < 15 && x86_translate(cpu, (gva_t){ linear + n }, &at) &&
	       !memory_read(&cpu->vm->memory, at, code + n, 1))
		n++;
	return n;
}

static bool needs_software(struct kvm_cpu *own, uint64_t linear)
{
	struct x86_cpu *cpu = own->cpu;
	uint8_t code[15];
	unsigned int size;

	if (cpu->state.activity != X86_RUNNING || cpu->state.fault_pending ||
	    own->taken >= 0)
		return false;
	if (cpu->state.rflags & X86_FLAG_TF)
		return true;
	size = fetch(cpu, linear, code);
	return shows_tf(code, size, cpu->mode & X86_MODE_CODE64);
}

/* --- around run() --------------------------------------------------------- */

static bool fail(struct engine_exit *exit, int error, const char *what)
{
	exit->reason = ENGINE_FAILED;
	exit->error = error;
	exit->what = what;
	return false;
}

static bool stop(struct kvm_cpu *own, struct engine_exit *exit,
		 enum engine_stop why, uint64_t address)
{
	own->step = false;
	exit->reason = ENGINE_DEBUG;
	exit->stop = why;
	exit->address = address;
	return false;
}

static int look_at_registers(struct kvm_cpu *own)
{
	int err = kvm_get_registers(own);

	if (!err)
		x86_cpu_state_changed(own->cpu);
	return err;
}

static void enter(struct kvm_cpu *own)
{
	struct kvm_debug *d = &own->kvm->debug;

	pthread_mutex_lock(&d->lock);
	if (!d->inside++)
		list_marks(own->kvm, own->cpu->debug);
	settle_all(own->kvm);
	own->inside = true;
	pthread_mutex_unlock(&d->lock);
}

bool kvm_debug_enter(struct kvm_cpu *own, struct engine_exit *exit)
{
	struct x86_cpu *cpu = own->cpu;
	uint64_t linear = 0;
	int err = 0;

	if (!cpu->debug)
		return true;
	enter(own);
	if (own->step) {
		err = look_at_registers(own);
		if (err)
			return fail(exit, err, "KVM does not give the vCPU's "
				    "state");
		linear = own->step_from = linear_rip(cpu);
		lift(own, mark_at(own, linear));
		if (needs_software(own, linear))
			return kvm_emulate(own, exit);
	}
	if (!fill_slots(own->kvm, &own->slots, cpu->debug, own->step,
			linear))
		return fail(exit, -ENOSPC, "too many hardware breakpoints");
	own->traps = own->step ? KVM_GUESTDBG_SINGLESTEP : 0;
	err = set_guest_debug(own, own->traps);
	return err ? fail(exit, err, "KVM_SET_GUEST_DEBUG fails") : true;
}

void kvm_debug_leave(struct kvm_cpu *own)
{
	struct kvm_debug *d = &own->kvm->debug;

	if (!own->inside)
		return;
	/* While KVM steps it does not tell TF. */
	if (own->traps)
		set_guest_debug(own, 0);
	own->traps = 0;
	drop(own);
	pthread_mutex_lock(&d->lock);
	own->inside = false;
	if (!--d->inside)
		settle_all(own->kvm);
	pthread_mutex_unlock(&d->lock);
}

/* --- around an instruction of the software CPU ---------------------------- */

static bool breakpoint_at(const struct x86_debug *debug, uint64_t linear)
{
	for (unsigned int i = 0; i < debug->breaks; i++)
		if (debug->at[i].linear == linear)
			return true;
	return false;
}

bool kvm_debug_before(struct kvm_cpu *own, struct engine_exit *exit)
{
	struct x86_cpu *cpu = own->cpu;
	uint64_t linear = linear_rip(cpu);
	struct kvm_mark *mark = mark_at(own, linear);

	cpu->watch_hit = NULL;
	/* A lifted one was stopped at before. */
	if (mark && mark != own->lifted && breakpoint_at(cpu->debug, linear))
		return stop(own, exit, ENGINE_STOP_BREAK, linear);
	lift(own, mark);
	return true;
}

bool kvm_debug_after(struct kvm_cpu *own, struct engine_exit *exit)
{
	struct x86_cpu *cpu = own->cpu;

	if (!own->step)
		drop(own);
	if (cpu->watch_hit)
		return stop(own, exit, ENGINE_STOP_WATCH,
			    cpu->watch_hit->first);
	return own->step ? stop(own, exit, ENGINE_STOP_STEP, linear_rip(cpu)) :
			   true;
}

/* --- KVM_EXIT_DEBUG ------------------------------------------------------- */

bool kvm_debug_moved(struct kvm_cpu *own, struct engine_exit *exit)
{
	int err = look_at_registers(own);
	uint64_t linear = linear_rip(own->cpu);

	if (err)
		return fail(exit, err, "KVM does not give the vCPU's state");
	return linear == own->step_from ||
	       stop(own, exit, ENGINE_STOP_STEP, linear);
}

/* The guest's own exception, for which KVM came out. */
static bool hand_back(struct kvm_cpu *own, struct engine_exit *exit,
		      uint32_t inject)
{
	int err = set_guest_debug(own, inject | own->traps);

	return err ? fail(exit, err, "KVM does not take an exception back") :
		     true;
}

/* DR6 as the processor would leave it. */
static bool hand_back_trap(struct kvm_cpu *own, struct engine_exit *exit,
			   uint32_t bits)
{
	struct kvm_debugregs k;

	if (ioctl(own->fd, KVM_GET_DEBUGREGS, &k))
		return fail(exit, -errno, "KVM_GET_DEBUGREGS fails");
	k.dr6 = (k.dr6 & ~(uint64_t)DR6_HITS) | bits;
	k.dr7 &= ~DR7_GD;
	if (ioctl(own->fd, KVM_SET_DEBUGREGS, &k))
		return fail(exit, -errno, "KVM_SET_DEBUGREGS fails");
	return hand_back(own, exit, KVM_GUESTDBG_INJECT_DB);
}

static bool exit_break(struct kvm_cpu *own, struct engine_exit *exit,
		       uint64_t linear)
{
	int err = look_at_registers(own);

	if (err)
		return fail(exit, err, "KVM does not give the vCPU's state");
	if (!mark_at(own, linear))
		return hand_back(own, exit, KVM_GUESTDBG_INJECT_BP);
	/* The marked code may be at other addresses, too, for others. */
	return kvm_emulate(own, exit);
}

bool kvm_debug_exit(struct kvm_cpu *own, struct engine_exit *exit)
{
	const struct kvm_debug_exit_arch *d = &own->run->debug.arch;
	const struct kvm_slots *slots = &own->slots;
	uint32_t bits = (uint32_t)d->dr6 &
			(DR6_HITS | DR6_BD | DR6_BS | DR6_BT);
	uint32_t ours = slots->count ? bits & DR6_HITS : 0;

	if (d->exception == X86_BP)
		return exit_break(own, exit, d->pc);
	if (own->step)
		ours |= bits & DR6_BS;
	if ((!bits || bits != ours) && !hand_back_trap(own, exit, bits & ~ours))
		return false;
	for (unsigned int i = 0; i < slots->count; i++)
		if (ours >> i & 1 && slots->watch[i])
			return stop(own, exit, ENGINE_STOP_WATCH,
				    slots->watch[i]->first);
	if (ours & DR6_BS)
		return stop(own, exit, ENGINE_STOP_STEP, d->pc);
	return ours ? stop(own, exit, ENGINE_STOP_BREAK, d->pc) : true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * USB controller (xHCI 1.2): its registers (5), start, stop and reset (4.2,
 * 4.23), its PCI function. Left out: events when MFINDEX wraps, debug
 * capability, virtual functions, streams, isochronous endpoints, hubs, PCI
 * power states.
 */
#include "device/xhci.h"

#include "device/xhci_impl.h"
#include "vm/bytes.h"
#include "vm/error.h"

#define BAR_REGS 0
#define BAR_MSIX 2

#define PCI_SBRN 0x60 /* revision, then frame length adjustment (5.2) */
#define PCI_FREE 0x64

#define FRAME_NS 125000u

/* --- errors, memory ----------------------------------------------------------------- */

static void halt(struct xhci *x)
{
	x->usbcmd &= ~XHCI_CMD_RUN;
	x->usbsts |= XHCI_STS_HALTED;
	x->command_running = x->command_active = false;
}

void xhci_host_error(struct xhci *x, const char *why)
{
	if (x->usbsts & XHCI_STS_HSE)
		return;
	host_log(HOST_LOG_INFO, "xhci: the driver is wrong: %s", why);
	x->usbsts |= XHCI_STS_HSE;
	halt(x);
}

void xhci_controller_error(struct xhci *x, const char *why)
{
	if (x->usbsts & XHCI_STS_HCE)
		return;
	host_log(HOST_LOG_INFO, "xhci: the driver is wrong: %s", why);
	x->usbsts |= XHCI_STS_HCE;
	halt(x);
}

bool xhci_read(struct xhci *x, uint64_t at, void *to, uint64_t size)
{
	if (!pci_dma_read(&x->pci, at, to, size))
		return true;
	xhci_host_error(x, "a read outside of memory");
	return false;
}

bool xhci_write(struct xhci *x, uint64_t at, const void *from, uint64_t size)
{
	if (!pci_dma_write(&x->pci, at, from, size))
		return true;
	xhci_host_error(x, "a write outside of memory");
	return false;
}

/* --- running, reset ------------------------------------------------------------------ */

void xhci_go_on(struct xhci *x)
{
	if (!xhci_runs(x))
		return;
	xhci_ports_tell(x);
	if (x->command_active)
		xhci_command_run(x);
	for (unsigned int ep = 0; ep < XHCI_EPS; ep++)
		if (x->ep_active[ep])
			xhci_endpoint_run(x, ep);
}

static void later(void *ctx)
{
	xhci_go_on(ctx);
}

void xhci_later(struct xhci *x)
{
	if (!x->later.armed)
		timer_arm(&x->vm->clock, &x->later,
			  clock_now(&x->vm->clock) + XHCI_LATER_NS);
}

static void reset(struct xhci *x)
{
	timer_cancel(&x->vm->clock, &x->later);
	x->usbcmd = x->dnctrl = x->config = 0;
	x->usbsts = XHCI_STS_HALTED;
	x->dcbaap = x->started = 0;
	x->command = (struct xhci_ring){ 0 };
	x->command_running = x->command_active = false;
	x->command_ignored = false;
	xhci_events_reset(x);
	xhci_slots_reset(x);
	xhci_ports_reset(x);
	xhci_interrupt(x);
}

/* The machine's reset, or the function's: what HCRST leaves as well. */
static void reset_all(struct xhci *x)
{
	x->legacy = x->legacy_control = 0;
	reset(x);
}

static void write_command(struct xhci *x, uint32_t value)
{
	const uint32_t broken = XHCI_STS_HSE | XHCI_STS_HCE;

	if (value & XHCI_CMD_RESET) {
		reset(x);
		return;
	}
	if (!xhci_runs(x) && (value & XHCI_CMD_SAVE))
		xhci_events_save(x);
	if (!xhci_runs(x) && (value & XHCI_CMD_RESTORE))
		xhci_events_restore(x);
	x->usbcmd = value & XHCI_CMD_KEPT;
	if (!(value & XHCI_CMD_RUN) || (x->usbsts & broken)) {
		halt(x);
	} else if (!xhci_runs(x)) {
		x->usbsts &= ~XHCI_STS_HALTED;
		x->started = clock_now(&x->vm->clock);
		xhci_go_on(x);
	}
	xhci_interrupt(x);
}

/* --- registers ------------------------------------------------------------------------ */

static uint32_t half(uint64_t value, uint64_t at)
{
	return (uint32_t)(at & 4 ? value >> 32 : value);
}

static void set_half(uint64_t *to, uint64_t at, uint32_t value)
{
	unsigned int shift = at & 4 ? 32 : 0;

	*to = (*to & ~((uint64_t)UINT32_MAX << shift)) |
	      (uint64_t)value << shift;
}

/* Capabilities of 32 bytes each: hand-over from firmware, protocols. */
static uint32_t read_extended(const struct xhci *x, uint32_t at)
{
	const uint32_t values[] = {
		XHCI_CAP_LEGACY | 8u << 8 | x->legacy,
		x->legacy_control,
		0, 0, 0, 0, 0, 0,
		XHCI_CAP_PROTOCOL | 8u << 8 | 2u << 24,
		XHCI_NAME_USB,
		XHCI_USB2_PORTS << 8 | 1u,
		0, 0, 0, 0, 0,
		XHCI_CAP_PROTOCOL | 3u << 24,
		XHCI_NAME_USB,
		XHCI_USB3_PORTS << 8 | (XHCI_USB2_PORTS + 1),
		0,
	};

	return at / 4 < sizeof(values) / sizeof(values[0]) ? values[at / 4]
							   : 0;
}

static uint32_t read_capability(uint32_t at)
{
	switch (at) {
	case XHCI_CAPLENGTH:
		return XHCI_VERSION << 16 | XHCI_OPER;
	case XHCI_HCSPARAMS1:
		return XHCI_PORTS << 24 | XHCI_INTERRUPTERS << 8 | XHCI_SLOTS;
	case XHCI_HCCPARAMS1:
		return XHCI_HCC_AC64 | XHCI_HCC_PAE |
		       XHCI_HCC_XECP(XHCI_EXTENDED);
	case XHCI_DBOFF:
		return XHCI_DOORBELLS;
	case XHCI_RTSOFF:
		return XHCI_RUNTIME;
	default:
		return 0;
	}
}

static uint32_t read_operational(const struct xhci *x, uint32_t at)
{
	switch (at) {
	case XHCI_USBCMD:
		return x->usbcmd;
	case XHCI_USBSTS:
		return x->usbsts;
	case XHCI_PAGESIZE:
		return 1; /* 4 KiB */
	case XHCI_DNCTRL:
		return x->dnctrl;
	case XHCI_CRCR:
		return x->command_running ? XHCI_CRCR_RUNNING : 0;
	case XHCI_DCBAAP:
	case XHCI_DCBAAP + 4:
		return half(x->dcbaap, at);
	case XHCI_CONFIG:
		return x->config;
	default:
		return 0;
	}
}

static void write_operational(struct xhci *x, uint32_t at, uint32_t value)
{
	switch (at) {
	case XHCI_USBCMD:
		write_command(x, value);
		break;
	case XHCI_USBSTS:
		x->usbsts &= ~(value & XHCI_STS_CLEAR);
		break;
	case XHCI_DNCTRL:
		x->dnctrl = value & 0xffff;
		break;
	case XHCI_CRCR:
		x->command_ignored = x->command_running;
		xhci_command_control(x, value);
		break;
	case XHCI_CRCR + 4:
		if (!x->command_running && !x->command_ignored)
			set_half(&x->command.dequeue, 4, value);
		x->command_ignored = false;
		break;
	case XHCI_DCBAAP:
		set_half(&x->dcbaap, at, value & ~0x3fu);
		break;
	case XHCI_DCBAAP + 4:
		set_half(&x->dcbaap, at, value);
		break;
	case XHCI_CONFIG:
		x->config = value & XHCI_CONFIG_KEPT;
		break;
	default:
		break;
	}
}

static uint32_t microframe(const struct xhci *x)
{
	uint64_t ns = clock_now(&x->vm->clock) - x->started;

	return xhci_runs(x) ? (uint32_t)(ns / FRAME_NS) & 0x3fff : 0;
}

/* Nobody else wants it: what the system asks for it gets at once. */
static void write_legacy(struct xhci *x, uint32_t at, uint32_t value)
{
	if (at == 4) {
		x->legacy_control = value & 0x0000e011;
		return;
	}
	if (at)
		return;
	x->legacy = value & (XHCI_LEGACY_BIOS | XHCI_LEGACY_OS);
	if (x->legacy & XHCI_LEGACY_OS)
		x->legacy &= ~XHCI_LEGACY_BIOS;
}

static void ring_doorbell(struct xhci *x, uint32_t slot, uint32_t value)
{
	unsigned int index = value & 0xff;

	if (!xhci_runs(x) || slot > XHCI_SLOTS)
		return;
	if (!slot && !index) {
		x->command_running = x->command_active = true;
		xhci_command_run(x);
	} else if (slot && index && index < XHCI_CONTEXTS &&
		   x->slot_enabled[slot]) {
		unsigned int ep = XHCI_EP(slot, index);

		if (x->ep_state[ep] == XHCI_EP_STOPPED)
			xhci_endpoint_set(x, ep, XHCI_EP_RUNNING);
		if (x->ep_state[ep] != XHCI_EP_RUNNING)
			return;
		x->ep_active[ep] = true;
		xhci_endpoint_run(x, ep);
	}
}

static uint64_t mmio_read(void *device, uint64_t offset, unsigned int size)
{
	const struct xhci *x = device;
	uint32_t at = (uint32_t)offset;

	if (at < XHCI_OPER)
		return read_capability(at);
	if (at < XHCI_PORT0)
		return read_operational(x, at - XHCI_OPER);
	if (at < XHCI_PORT0 + XHCI_PORTS * XHCI_PORT_SIZE)
		return xhci_port_read(x, (at - XHCI_PORT0) / XHCI_PORT_SIZE,
				      at % XHCI_PORT_SIZE);
	if (at >= XHCI_EXTENDED && at < XHCI_RUNTIME)
		return read_extended(x, at - XHCI_EXTENDED);
	if (at == XHCI_RUNTIME + XHCI_MFINDEX)
		return microframe(x);
	if (at >= XHCI_INTERRUPTER0 &&
	    at < XHCI_INTERRUPTER0 + XHCI_INTERRUPTERS * XHCI_INTERRUPTER_SIZE)
		return xhci_interrupter_read(
			x, (at - XHCI_INTERRUPTER0) / XHCI_INTERRUPTER_SIZE,
			at % XHCI_INTERRUPTER_SIZE);
	return 0;
}

static void mmio_write(void *device, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct xhci *x = device;
	uint32_t at = (uint32_t)offset, v = (uint32_t)value;

	if (at < XHCI_OPER)
		return;
	if (at < XHCI_PORT0)
		write_operational(x, at - XHCI_OPER, v);
	else if (at < XHCI_PORT0 + XHCI_PORTS * XHCI_PORT_SIZE)
		xhci_port_write(x, (at - XHCI_PORT0) / XHCI_PORT_SIZE,
				at % XHCI_PORT_SIZE, v);
	else if (at >= XHCI_EXTENDED && at < XHCI_RUNTIME)
		write_legacy(x, at - XHCI_EXTENDED, v);
	else if (at >= XHCI_INTERRUPTER0 &&
		 at < XHCI_INTERRUPTER0 +
			      XHCI_INTERRUPTERS * XHCI_INTERRUPTER_SIZE)
		xhci_interrupter_write(
			x, (at - XHCI_INTERRUPTER0) / XHCI_INTERRUPTER_SIZE,
			at % XHCI_INTERRUPTER_SIZE, v);
	else if (at >= XHCI_DOORBELLS)
		ring_doorbell(x, (at - XHCI_DOORBELLS) / 4, v);
}

static const struct bus_ops mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
	.min_size = 4,
	.max_size = 4,
};

/* --- PCI ------------------------------------------------------------------------------- */

static void pci_reset(struct pci_device *pci)
{
	reset_all(pci->owner);
}

/* MSI-X may have been turned on or off: the pin follows. */
static void config_written(struct pci_device *pci, unsigned int at,
			   unsigned int size)
{
	xhci_interrupt(pci->owner);
}

static const struct pci_ops xhci_pci_ops = {
	.reset = pci_reset,
	.config_written = config_written,
};

struct pci_device *xhci_pci(struct xhci *x)
{
	return &x->pci;
}

static int init_pci(struct xhci *x)
{
	/* A number that its owner leaves to anybody; drivers go by class. */
	static const struct pci_ident ident = {
		.name = "xhci",
		.vendor = 0x1af4,
		.device = 0x10f1,
		.class = 0x0c0330,
		.revision = 1,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.pin = 1,
	};
	static const struct pci_reg regs[] = {
		{ 0, 1, 0x31, 0, 0, 0 },
		{ 1, 1, 0x20, 0x3f, 0, 0 },
		{ 2, 1, 0, 0xff, 0, 0 },
	};
	int err = pci_device_init(&x->pci, x->vm, &ident, &xhci_pci_ops, x);

	if (err)
		return err;
	pci_bar_add(&x->pci, BAR_REGS, PCI_MEM64, XHCI_BAR_SIZE, &mmio_ops, x);
	err = pci_msix_add(&x->pci, &x->msix, XHCI_INTERRUPTERS, BAR_MSIX);
	if (err)
		return err;
	pci_regs_add(&x->pci, PCI_SBRN, regs, sizeof(regs) / sizeof(regs[0]));
	x->pci.cap_free = PCI_FREE; /* capabilities lie around them */
	pci_express_add(&x->pci);
	return 0;
}

/* --- making one -------------------------------------------------------------------------- */

static void fini(void *object)
{
	struct xhci *x = object;

	timer_cancel(&x->vm->clock, &x->later);
	host_free(x);
}

int xhci_create(struct xhci **out, struct vm *vm)
{
	struct xhci *x = host_alloc(sizeof(*x));
	int err;

	if (!x)
		return -VM_ENOMEM;
	x->vm = vm;
	timer_init(&x->later, later, x);
	err = vm_add_device(vm, &xhci_class, x);
	if (err) {
		host_free(x);
		return err;
	}
	err = init_pci(x);
	if (err)
		return err;
	reset_all(x);
	*out = x;
	return 0;
}

void xhci_plug(struct xhci *x, unsigned int port, struct usb_device *usb)
{
	bug_on(port >= XHCI_USB2_PORTS || x->device[port]);
	x->device[port] = usb;
	usb->wake = xhci_port_wake;
	usb->wake_ctx = x;
	usb->port = port;
	xhci_ports_reset(x);
}

bool xhci_listens(const struct xhci *x, unsigned int port)
{
	const struct usb_device *usb = x->device[port];
	bool suspended = (x->portsc[port] & XHCI_PORT_PLS) !=
			 XHCI_PORT_LINK(XHCI_LINK_U0);

	if (!usb || !xhci_runs(x) || !(x->portsc[port] & XHCI_PORT_PED) ||
	    (suspended && !usb->remote_wakeup))
		return false;
	for (unsigned int ep = 0; ep < XHCI_EPS; ep++)
		if (x->ep_type[ep] == XHCI_EP_INTERRUPT_IN &&
		    x->slot_port[ep / XHCI_CONTEXTS] == port &&
		    (x->ep_state[ep] == XHCI_EP_RUNNING ||
		     (suspended && x->ep_state[ep] == XHCI_EP_STOPPED)))
			return true;
	return false;
}

/* --- saved state --------------------------------------------------------------------------- */

static bool endpoint_fits(const struct xhci *x, unsigned int ep)
{
	return x->ep_state[ep] <= XHCI_EP_ERROR &&
	       x->ep_type[ep] <= XHCI_EP_INTERRUPT_IN;
}

static bool ring_fits(uint32_t size, uint32_t at)
{
	return size ? size <= XHCI_EVENTS_MAX && at < size : !at;
}

static int check(const void *object)
{
	const struct xhci *x = object;
	bool fits = true;

	for (unsigned int i = 0; i < XHCI_INTERRUPTERS; i++)
		fits = fits && ring_fits(x->event_size[i], x->event_at[i]) &&
		       ring_fits(x->kept_size[i], x->kept_at[i]);
	for (unsigned int i = 0; i <= XHCI_SLOTS; i++)
		fits = fits && x->slot_state[i] <= XHCI_SLOT_CONFIGURED &&
		       x->slot_port[i] < XHCI_PORTS &&
		       x->slot_stage[i] <= XHCI_STAGE_DONE;
	for (unsigned int i = 0; i < XHCI_EPS; i++)
		fits = fits && endpoint_fits(x, i);
	return fits ? 0 : -VM_EBADMSG;
}

#define ALL(kind_, member_, count_) \
	FIELD_ARRAY(struct xhci, kind_, member_, count_)

static const struct field xhci_fields[] = {
	FIELD(struct xhci, FIELD_U32, usbcmd),
	FIELD(struct xhci, FIELD_U32, usbsts),
	FIELD(struct xhci, FIELD_U32, dnctrl),
	FIELD(struct xhci, FIELD_U32, config),
	FIELD(struct xhci, FIELD_U32, legacy),
	FIELD(struct xhci, FIELD_U32, legacy_control),
	FIELD(struct xhci, FIELD_U64, dcbaap),
	FIELD(struct xhci, FIELD_U64, command.dequeue),
	FIELD(struct xhci, FIELD_BOOL, command.cycle),
	FIELD(struct xhci, FIELD_BOOL, command_running),
	FIELD(struct xhci, FIELD_BOOL, command_active),
	FIELD(struct xhci, FIELD_BOOL, command_ignored),
	FIELD(struct xhci, FIELD_U64, started),
	FIELD(struct xhci, FIELD_TIMER, later),
	ALL(FIELD_U32, portsc, XHCI_PORTS),
	ALL(FIELD_BOOL, port_news, XHCI_PORTS),
	ALL(FIELD_U32, iman, XHCI_INTERRUPTERS),
	ALL(FIELD_U32, imod, XHCI_INTERRUPTERS),
	ALL(FIELD_U32, erstsz, XHCI_INTERRUPTERS),
	ALL(FIELD_U64, erstba, XHCI_INTERRUPTERS),
	ALL(FIELD_U64, erdp, XHCI_INTERRUPTERS),
	ALL(FIELD_BOOL, event_new, XHCI_INTERRUPTERS),
	ALL(FIELD_U64, event_base, XHCI_INTERRUPTERS),
	ALL(FIELD_U32, event_size, XHCI_INTERRUPTERS),
	ALL(FIELD_U32, event_at, XHCI_INTERRUPTERS),
	ALL(FIELD_BOOL, event_cycle, XHCI_INTERRUPTERS),
	FIELD(struct xhci, FIELD_BOOL, kept),
	ALL(FIELD_U64, kept_base, XHCI_INTERRUPTERS),
	ALL(FIELD_U32, kept_size, XHCI_INTERRUPTERS),
	ALL(FIELD_U32, kept_at, XHCI_INTERRUPTERS),
	ALL(FIELD_BOOL, kept_cycle, XHCI_INTERRUPTERS),
	ALL(FIELD_BOOL, slot_enabled, XHCI_SLOTS + 1),
	ALL(FIELD_U8, slot_state, XHCI_SLOTS + 1),
	ALL(FIELD_U8, slot_port, XHCI_SLOTS + 1),
	ALL(FIELD_U64, slot_context, XHCI_SLOTS + 1),
	ALL(FIELD_U64, slot_setup, XHCI_SLOTS + 1),
	ALL(FIELD_U8, slot_stage, XHCI_SLOTS + 1),
	ALL(FIELD_U8, ep_state, XHCI_EPS),
	ALL(FIELD_U8, ep_type, XHCI_EPS),
	ALL(FIELD_U16, ep_packet, XHCI_EPS),
	ALL(FIELD_BOOL, ep_active, XHCI_EPS),
	ALL(FIELD_U64, ep_dequeue, XHCI_EPS),
	ALL(FIELD_BOOL, ep_cycle, XHCI_EPS),
	ALL(FIELD_U32, ep_done, XHCI_EPS),
};

static const struct state_class xhci_state = {
	.name = "xhci",
	.version = 1,
	.size = sizeof(struct xhci),
	.fields = xhci_fields,
	.field_count = sizeof(xhci_fields) / sizeof(xhci_fields[0]),
	.check = check,
};

const struct device_class xhci_class = {
	.name = "xhci",
	.fini = fini,
	.state = &xhci_state,
};

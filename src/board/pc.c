/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a PC together: memory, engine, processors, chips and their wires. The
 * guest's view of it is docs/guest-hardware.md.
 */
#include "board/pc.h"

#include "board/layout.h"
#include "board/loader.h"
#include "device/ahci.h"
#include "device/nvme.h"
#include "virtio/blk.h"
#include "virtio/fs.h"
#include "virtio/vsock.h"
#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/memory_view.h"

#define MIB ((uint64_t)1 << 20)

/* --- saved record --------------------------------------------------------- */

static const struct field board_record_fields[] = {
	FIELD(struct board_record, FIELD_U64, memory),
	FIELD(struct board_record, FIELD_U32, cpus),
	FIELD(struct board_record, FIELD_U64, time),
};

static void record_saving(void *object)
{
	struct board_record *record = object;

	record->memory = record->memory_here;
	record->cpus = record->cpus_here;
	record->time = clock_now(record->clock);
}

static int record_check(const void *object)
{
	const struct board_record *record = object;

	return record->memory == record->memory_here &&
			       record->cpus == record->cpus_here
		       ? 0
		       : -VM_EBADMSG;
}

static void record_loaded(void *object)
{
	struct board_record *record = object;

	clock_set(record->clock, record->time);
}

const struct state_class board_record_class = {
	.name = "board",
	.version = 1,
	.size = sizeof(struct board_record),
	.fields = board_record_fields,
	.field_count =
		sizeof(board_record_fields) / sizeof(board_record_fields[0]),
	.check = record_check,
	.saving = record_saving,
	.loaded = record_loaded,
};

/* --- memory --------------------------------------------------------------- */

/*
 * Below 1 MiB firmware works in copies of itself: RAM, a part for each segment
 * that the host bridge protects.
 */
static int add_shadow(struct memory *mem)
{
	int err = 0;

	for (unsigned int i = 0; i < PCI_HOST_SEGMENTS && !err; i++) {
		uint32_t size, base = pci_host_segment(i, &size);

		err = memory_add(mem, MEMORY_RAM, gpa(base), size,
				 "shadow RAM");
	}
	return err;
}

static int add_rom(struct board *board)
{
	const struct board_firmware *firmware = board->firmware;
	struct memory *mem = &board->vm.memory;
	int err;

	if (!firmware)
		return memory_add(mem, MEMORY_ROM, gpa(LAYOUT_ROM),
				  LAYOUT_ROM_END - LAYOUT_ROM, "ROM");
	err = add_shadow(mem);
	if (!err)
		err = memory_add(mem, MEMORY_ROM,
				 gpa(LAYOUT_4G - firmware->size),
				 firmware->size, "firmware");
	return err;
}

static int add_memory(struct board *board)
{
	struct memory *mem = &board->vm.memory;
	uint64_t low =
		board->memory < MEMORY_LOW_MAX ? board->memory : MEMORY_LOW_MAX;
	uint64_t rom = board->firmware ? board->firmware->size :
					 LAYOUT_ROM_END - LAYOUT_ROM;
	int err = memory_init(mem, board->memory, rom);

	if (!err)
		err = memory_add(mem, MEMORY_RAM, gpa(0), LAYOUT_LOW_END,
				 "low RAM");
	if (!err)
		err = add_rom(board);
	if (!err && low > LAYOUT_HIGH)
		err = memory_add(mem, MEMORY_RAM, gpa(LAYOUT_HIGH),
				 low - LAYOUT_HIGH, "RAM");
	if (!err && board->memory > low)
		err = memory_add(mem, MEMORY_RAM, gpa(LAYOUT_4G),
				 board->memory - low, "RAM above 4 GiB");
	return err;
}

/* --- chips ---------------------------------------------------------------- */

struct irq board_irq(struct board *board, unsigned int line)
{
	if (board->engine->own_irqchip)
		return (struct irq){ board->engine->irq_line, board->engine_vm,
				     line };
	return gsi_router_irq(&board->router, line);
}

/*
 * The engine answers at these addresses itself: our chips keep only the
 * state that is saved and loaded.
 */
static int leave_irqchip_to_engine(struct board *board)
{
	static const uint16_t ports[] = { 0x20, 0xa0, 0x4d0, 0x40, 0x61 };
	int err = bus_remove(&board->vm.mmio, IOAPIC_BASE);

	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (!err)
			err = bus_remove(&board->vm.pio, ports[i]);
	return err;
}

static int add_irqchip(struct board *board)
{
	const struct irq intr = { lapic_set_extint, &board->lapics, 0 };
	const bool own = board->engine->own_irqchip;
	const struct irq nowhere = { 0 };
	const struct irq irq0 = own ? nowhere : board_irq(board, IRQ_PIT);
	const struct irq pit = hpet_pit_irq(&board->hpet, &irq0);
	struct vm *vm = &board->vm;
	int err = 0;

	board->router.pic = &board->pic;
	board->router.ioapic = &board->ioapic;
	board->lapics.pic = &board->pic;
	board->lapics.ioapic = &board->ioapic;
	vm->msi = (struct msi_sink){ lapic_set_send, &board->lapics };
	if (own)
		vm->msi = (struct msi_sink){ board->engine->send_msi,
					     board->engine_vm };
	for (unsigned int i = 0; i < board->cpus && !err; i++)
		err = lapic_init(&board->lapic[i], vm, vm->cpu[i],
				 &board->lapics);
	if (!err)
		err = ioapic_init(&board->ioapic, vm);
	if (!err)
		err = pic_init(&board->pic, vm, own ? &nowhere : &intr);
	if (!err)
		err = pit_init(&board->pit, vm, &pit);
	if (!err && own)
		err = leave_irqchip_to_engine(board);
	return err;
}

/* An engine with a PIT of its own cannot have it replaced. */
static int add_hpet(struct board *board)
{
	struct irq line[HPET_LINES];

	for (unsigned int i = 0; i < HPET_LINES; i++)
		line[i] = board_irq(board, i == IRQ_PIT_GSI ? IRQ_PIT : i);
	return hpet_init(&board->hpet, &board->vm, line,
			 !board->engine->own_irqchip);
}

static int add_keyboard(struct board *board)
{
	const struct irq keyboard = board_irq(board, I8042_IRQ_KEYBOARD);
	const struct irq mouse = board_irq(board, I8042_IRQ_MOUSE);
	struct vm *vm = &board->vm;
	int err = i8042_init(&board->i8042, vm, &keyboard, &mouse);

	if (!err)
		err = ps2_keyboard_init(&board->keyboard, vm);
	if (!err)
		err = ps2_mouse_init(&board->mouse, vm);
	if (err)
		return err;
	i8042_connect_keyboard(&board->i8042, &board->keyboard.device);
	i8042_connect_mouse(&board->i8042, &board->mouse.device);
	return 0;
}

static int add_pci(struct board *board)
{
	const struct irq pirq = { ich9_lpc_set_pirq, &board->lpc, 0 };
	const struct irq lines = board_irq(board, 0);
	int err = pci_host_init(&board->pci, &board->vm, &pirq, &board->reset);

	pci_layout_init(&board->pci_layout, board->memory,
			board->cpuid.physical_bits);
	if (!err && board->firmware)
		err = pci_host_shadow(&board->pci);
	if (!err)
		err = ich9_lpc_init(&board->lpc, &board->pci, &lines);
	return err;
}

static int create_nvme(struct board *board, const struct board_disk *disk,
		       struct pci_device **pci)
{
	const struct nvme_config config = {
		.block = disk->block,
		.queues = disk->queues,
		.serial = disk->serial,
		.index = board->nvmes++,
	};
	struct nvme *nvme;
	int err = nvme_create(&nvme, &board->vm, &config);

	if (!err)
		*pci = nvme_pci(nvme);
	return err;
}

int board_disk_create(struct board *board, const struct board_disk *disk,
		      struct pci_device **pci)
{
	const struct virtio_blk_config config = {
		.block = disk->block,
		.queues = disk->queues ? disk->queues : board->cpus,
		.serial = disk->serial,
	};
	struct virtio_blk *blk;
	int err;

	if (disk->bus == BOARD_NVME)
		return create_nvme(board, disk, pci);
	err = virtio_blk_create(&blk, &board->vm, &config);
	if (!err)
		*pci = virtio_blk_pci(blk);
	return err;
}

static int add_disk(struct board *board, const struct board_disk *disk,
		    unsigned int slot)
{
	struct pci_device *pci;
	int err = board_disk_create(board, disk, &pci);

	return err ? err : pci_attach(&board->pci.root, pci,
				      PCI_DEVFN(slot, 0));
}

/* A controller for the disks that want one; with none there is none. */
static int add_sata(struct board *board, const struct board_config *config)
{
	unsigned int ports = 0;
	int err;

	for (unsigned int i = 0; i < config->disks; i++)
		ports += config->disk[i].bus == BOARD_AHCI;
	if (!ports)
		return 0;
	if (ports > BOARD_SATA_MAX)
		return -VM_EINVAL;
	err = ahci_create(&board->ahci, &board->vm);
	if (err)
		return err;
	ports = 0;
	for (unsigned int i = 0; i < config->disks; i++) {
		const struct board_disk *disk = &config->disk[i];
		const struct ahci_drive drive = {
			.block = disk->block,
			.serial = disk->serial,
			.cd = disk->cd,
		};

		if (disk->bus == BOARD_AHCI)
			ahci_add(board->ahci, ports++, &drive);
	}
	return pci_attach(&board->pci.root, ahci_pci(board->ahci),
			  PCI_DEVFN(LAYOUT_SLOT_SATA, 2));
}

static int add_console(struct board *board,
		       const struct virtio_console_config *config)
{
	int err = config ? virtio_console_create(&board->console, &board->vm,
						 config) :
			   0;

	if (err || !config)
		return err;
	return pci_attach(&board->pci.root, virtio_console_pci(board->console),
			  PCI_DEVFN(LAYOUT_SLOT_CONSOLE, 0));
}

static int add_vsock(struct board *board, const struct board_config *config)
{
	int err = virtio_vsock_create(&board->vsock, &board->vm,
				      config->vsock, config->vsock_cid);

	return err ? err : pci_attach(&board->pci.root,
				      virtio_vsock_pci(board->vsock),
				      PCI_DEVFN(LAYOUT_SLOT_VSOCK, 0));
}

int board_share_create(struct board *board, const struct board_share *share,
		       struct pci_device **pci)
{
	const struct virtio_fs_config config = {
		.share = share->share,
		.tag = share->tag,
		.queues = board->cpus < VIRTIO_FS_QUEUES_MAX ?
				  board->cpus :
				  VIRTIO_FS_QUEUES_MAX,
	};
	struct virtio_fs *fs;
	int err = virtio_fs_create(&fs, &board->vm, &config);

	if (!err)
		*pci = virtio_fs_pci(fs);
	return err;
}

static int add_share(struct board *board, const struct board_share *share,
		     unsigned int index)
{
	struct pci_device *pci;
	int err = board_share_create(board, share, &pci);

	return err ? err : pci_attach(&board->pci.root, pci,
				      PCI_DEVFN(LAYOUT_SLOT_SHARES, index));
}

static int add_devices(struct board *board, const struct board_config *config)
{
	int err = virtio_rng_init(&board->rng, &board->vm);

	if (!err && config->display)
		err = vga_pci_init(&board->vga, &board->vm, &board->pci.root,
				   PCI_DEVFN(LAYOUT_SLOT_VGA, 0),
				   config->vga_rom, config->vga_rom_size);
	if (!err)
		err = pci_attach(&board->pci.root, &board->rng.pci.pci,
				 PCI_DEVFN(LAYOUT_SLOT_RNG, 0));
	if (!err)
		err = virtio_balloon_init(&board->balloon, &board->vm);
	if (!err)
		err = pci_attach(&board->pci.root, &board->balloon.pci.pci,
				 PCI_DEVFN(LAYOUT_SLOT_BALLOON, 0));
	if (!err && config->usb)
		err = input_add_usb(board);
	if (!err && config->watchdog)
		err = i6300esb_init(&board->dog, &board->vm, config->watchdog,
				    config->watchdog_ctx);
	if (!err && config->watchdog)
		err = pci_attach(&board->pci.root, &board->dog.pci,
				 PCI_DEVFN(LAYOUT_SLOT_WATCHDOG, 0));
	if (!err)
		err = add_console(board, config->console);
	if (!err && config->vsock)
		err = add_vsock(board, config);
	if (!err)
		err = nic_add_all(board, config);
	for (unsigned int i = 0; i < config->shares && !err; i++)
		err = add_share(board, &config->share[i], i);
	for (unsigned int i = 0; i < config->disks && !err; i++)
		if (config->disk[i].bus == BOARD_VIRTIO ||
		    config->disk[i].bus == BOARD_NVME)
			err = add_disk(board, &config->disk[i],
				       LAYOUT_SLOT_DISKS + i);
	for (unsigned int i = 0; i < config->ports && !err; i++)
		err = slot_add(board);
	if (!err)
		err = legacy_add_ide(board, config);
	if (!err)
		err = add_sata(board, config);
	if (!err)
		drive_list(board, config);
	return err;
}

static int add_chips(struct board *board, const struct board_config *config)
{
	const struct irq irq8 = board_irq(board, IRQ_RTC);
	const struct irq rtc = hpet_rtc_irq(&board->hpet, &irq8);
	const struct irq sci = board_irq(board, IRQ_SCI);
	const struct irq com1 = board_irq(board, IRQ_COM1);
	const struct irq com2 = board_irq(board, LAYOUT_IRQ_COM2);
	const struct irq any = board_irq(board, 0);
	struct vm *vm = &board->vm;
	int err = add_irqchip(board);

	if (!err)
		err = rtc_init(&board->rtc, vm, &rtc);
	if (!err)
		err = acpi_pm_init(&board->pm, vm, &sci, 32);
	if (!err)
		err = add_hpet(board);
	if (!err)
		err = add_keyboard(board);
	if (!err)
		err = reset_init(&board->reset, vm);
	if (!err)
		err = legacy_add(board, config);
	if (!err)
		err = add_pci(board);
	if (!err)
		err = add_devices(board, config);
	if (!err)
		err = uart_init(&board->com1, vm, LAYOUT_COM1, &com1,
				config->serial);
	if (!err)
		err = uart_init(&board->com2, vm, LAYOUT_COM2, &com2, NULL);
	if (!err && config->firmware)
		err = rom_init(&board->rom, board);
	if (!err && config->testdev)
		err = testdev_init(&board->testdev, vm, &any);
	return err;
}

/* --- processors ----------------------------------------------------------- */

static int add_processors(struct board *board)
{
	struct vm *vm = &board->vm;

	for (unsigned int i = 0; i < board->cpus; i++) {
		vm->cpu[i] = x86_cpu_create(vm, i, &board->cpuid);
		if (!vm->cpu[i])
			return -VM_ENOMEM;
		vm->cpu_count = i + 1;
	}
	return 0;
}

static int open_engine(struct board *board, uint64_t cache)
{
	const struct engine_setup setup = {
		.vm = &board->vm,
		.cpuid = &board->cpuid,
		.cache = cache,
	};
	int err = board->engine->open(&setup, &board->engine_vm);

	board->engine_open = !err;
	return err;
}

static int open_processors(struct board *board)
{
	int err = board->engine->map_memory(board->engine_vm);

	while (!err && board->cpus_open < board->cpus) {
		err = board->engine->cpu_open(board->engine_vm,
					      board->vm.cpu[board->cpus_open]);
		if (!err)
			board->cpus_open++;
	}
	return err;
}

/* --- the whole ------------------------------------------------------------ */

static void copy_name(struct board *board, const char *name)
{
	unsigned int i = 0;

	while (name && name[i] && i < BOARD_NAME_MAX - 1) {
		board->name[i] = name[i];
		i++;
	}
}

int board_build(const struct board_config *config, struct board **out)
{
	struct board *board;
	int err;

	if (!config->engine || !config->cpus || config->cpus > VM_CPUS_MAX ||
	    config->memory < MIB || config->memory % MIB ||
	    config->memory > MEMORY_SIZE_MAX ||
	    config->disks > BOARD_DISKS_MAX ||
	    config->ports > BOARD_PORTS_MAX ||
	    config->nics > BOARD_NICS_MAX ||
	    config->shares > BOARD_SHARES_MAX ||
	    config->word_count > BOARD_WORDS_MAX ||
	    (config->firmware && rom_check(config->firmware)))
		return -VM_EINVAL;
	board = host_alloc(sizeof(*board));
	if (!board)
		return -VM_ENOMEM;
	copy_name(board, config->name);
	board->engine = config->engine;
	board->cpus = config->cpus;
	board->memory = config->memory;
	board->firmware = config->firmware;
	board->words = config->words;
	board->word_count = config->word_count;
	board->display = config->display;
	board->let_go = config->let_go;
	board->let_go_ctx = config->let_go_ctx;
	vm_init(&board->vm, board->name);
	board->record.clock = &board->vm.clock;
	board->record.memory_here = config->memory;
	board->record.cpus_here = config->cpus;
	cpuid_policy_init(&board->cpuid, config->cpus, config->memory);
	err = host_worker_create(&board->vm.worker, "devices");
	if (!err)
		err = add_memory(board);
	if (!err)
		err = open_engine(board, config->engine_cache);
	if (!err)
		err = add_processors(board);
	if (!err)
		err = add_chips(board, config);
	if (!err)
		err = open_processors(board);
	if (err) {
		board_destroy(board);
		return err;
	}
	firmware_set_nvram(board);
	*out = board;
	return 0;
}

void board_destroy(struct board *board)
{
	struct x86_cpu *cpu[VM_CPUS_MAX];
	unsigned int count;

	if (!board)
		return;
	count = board->vm.cpu_count;
	memcpy(cpu, board->vm.cpu, sizeof(cpu));
	vm_part_devices(&board->vm);
	while (board->cpus_open)
		board->engine->cpu_close(cpu[--board->cpus_open]);
	if (board->engine_open)
		board->engine->close(board->engine_vm);
	vm_fini(&board->vm);
	while (count)
		x86_cpu_destroy(cpu[--count]);
	host_free(board);
}

struct vm *board_vm(struct board *board)
{
	return &board->vm;
}

void *board_engine_vm(struct board *board)
{
	return board->engine_vm;
}

struct virtio_vsock *board_vsock(struct board *board)
{
	return board->vsock;
}

unsigned int board_serial_receive(struct board *board, const uint8_t *data,
				  unsigned int count)
{
	unsigned int taken;

	host_lock(&board->vm.device_lock);
	taken = uart_receive(&board->com1, data, count);
	host_unlock(&board->vm.device_lock);
	return taken;
}

struct virtio_balloon *board_balloon(struct board *board)
{
	return &board->balloon;
}

struct virtio_console *board_console(struct board *board)
{
	return board->console;
}

bool board_draw(struct board *board,
		void (*use)(void *ctx, const struct frame *frame), void *ctx)
{
	const struct frame *frame;

	if (!board->display)
		return false;
	host_lock(&board->vm.device_lock);
	frame = vga_draw(&board->vga.vga);
	if (frame)
		use(ctx, frame);
	host_unlock(&board->vm.device_lock);
	return frame;
}

bool board_text(struct board *board, struct frame_text *text)
{
	if (!board->display)
		return false;
	host_lock(&board->vm.device_lock);
	vga_text(&board->vga.vga, text);
	host_unlock(&board->vm.device_lock);
	return true;
}

void board_power_button(struct board *board)
{
	host_lock(&board->vm.device_lock);
	acpi_pm_power_button(&board->pm);
	host_unlock(&board->vm.device_lock);
}

int board_load(struct board *board, const struct board_boot *boot,
	       struct boot_error *error)
{
	struct loader loader = {
		.memory = &board->vm.memory,
		.boot = boot,
		.state = &board->vm.cpu[0]->state,
		.error = error,
	};
	int err;

	error->text[0] = 0;
	if (board->firmware) {
		err = rom_load(&board->rom);
		for (unsigned int i = 0; i < board->cpus; i++)
			x86_cpu_state_changed(board->vm.cpu[i]);
		return err;
	}
	e820_build(&loader.map, board->memory);
	host_lock(&board->vm.device_lock);
	pci_layout_assign(&board->pci_layout, &board->pci);
	board->pic.half[1].elcr |= 1 << (10 - 8) | 1 << (11 - 8); /* PCI */
	host_unlock(&board->vm.device_lock);
	err = firmware_write(board, &loader.rsdp);
	if (!err)
		err = loader_run(&loader);
	for (unsigned int i = 0; i < board->cpus; i++)
		x86_cpu_state_changed(board->vm.cpu[i]);
	return err;
}

void board_reset(struct board *board)
{
	vm_quiesce_devices(&board->vm);
	host_lock(&board->vm.device_lock);
	memory_views_reset(&board->vm.memory);
	vm_reset_devices(&board->vm);
	host_unlock(&board->vm.device_lock);
	for (unsigned int i = 0; i < board->cpus; i++)
		x86_cpu_reset(board->vm.cpu[i]);
}

unsigned int board_state_items(struct board *board, struct state_item *items,
			       unsigned int max)
{
	unsigned int count = 0;

	if (count < max)
		items[count++] = (struct state_item){ &board_record_class,
						      &board->record, 0 };
	for (unsigned int i = 0; i < board->cpus && count < max; i++)
		items[count++] =
			(struct state_item){ &x86_state_class,
					     &board->vm.cpu[i]->state, i };
	for (unsigned int i = 0; i < board->vm.device_count && count < max;
	     i++) {
		const struct device *d = &board->vm.device[i];

		if (d->class->state)
			items[count++] =
				(struct state_item){ d->class->state, d->object,
						     d->instance };
	}
	return count;
}

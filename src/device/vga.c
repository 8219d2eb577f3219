/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VGA registers (IBM VGA technical reference: miscellaneous, sequencer,
 * CRT controller, graphics controller, attribute controller, DAC) and those
 * of the Bochs display interface. Left out: light pen, vertical interrupt,
 * the feature connector.
 */
#include "device/vga.h"

#include "vm/bytes.h"
#include "vm/error.h"
#include "vm/memory_view.h"

/* Legacy ports, as offsets from VGA_PORTS; CRTC and status have two homes. */
#define PORT_CRTC_MONO	0x04 /* 0x3b4 */
#define PORT_STATUS_MONO 0x0a
#define PORT_ATTRIBUTE	0x10
#define PORT_ATTRIBUTE_READ 0x11
#define PORT_MISC_WRITE 0x12
#define PORT_SEQUENCER	0x14
#define PORT_DAC_MASK	0x16
#define PORT_DAC_READ	0x17
#define PORT_DAC_WRITE	0x18
#define PORT_DAC_DATA	0x19
#define PORT_MISC_READ	0x1c
#define PORT_GRAPHICS	0x1e
#define PORT_CRTC	0x24 /* 0x3d4 */
#define PORT_STATUS	0x2a

#define MISC_COLOUR 0x01u /* CRTC and status at 0x3dx */
#define ATTRIBUTE_PALETTE_ON 0x20u
#define CRTC_PROTECT 0x80u /* of register 17: 0 to 7 are read-only */
#define CRTC_OVERFLOW 7
#define CRTC_CURSOR_START 10
#define CRTC_CURSOR_END 11
#define CRTC_CURSOR_HIGH 14
#define CRTC_CURSOR_LOW 15
#define CRTC_SYNC_END 17
#define DAC_STATE_WRITE 0x03

/* A picture takes 1/60 s: 525 lines, 480 of them visible. */
#define FRAME_NS   16666667u
#define FRAME_LINES 525u
#define SEEN_LINES 480u
#define STATUS_BLANK	0x01u
#define STATUS_RETRACE	0x08u

#define DISPI_VERSION 0xb0c5u
#define DISPI_VERSION_FIRST 0xb0c0u

/* --- Bochs display interface ----------------------------------------------- */

static unsigned int bytes_per_line(unsigned int width, unsigned int depth)
{
	return width * (depth == 15 ? 2 : (depth + 7) / 8);
}

static bool is_depth(unsigned int depth)
{
	return depth == 8 || depth == 15 || depth == 16 || depth == 24 ||
	       depth == 32;
}

/* Lines that memory has room for. */
static uint16_t lines_of(unsigned int width, unsigned int depth)
{
	unsigned int lines = VGA_MEMORY_SIZE / bytes_per_line(width, depth);

	return (uint16_t)(lines > UINT16_MAX ? UINT16_MAX : lines);
}

static void enable(struct vga *vga, uint16_t value)
{
	uint16_t *r = vga->dispi;
	bool on = value & DISPI_ENABLED;

	if (on && (!is_depth(r[DISPI_DEPTH]) || !r[DISPI_X] || !r[DISPI_Y] ||
		   r[DISPI_Y] > lines_of(r[DISPI_X], r[DISPI_DEPTH])))
		return;
	if (on && !(r[DISPI_ENABLE] & DISPI_ENABLED)) {
		r[DISPI_VIRTUAL_X] = r[DISPI_X];
		r[DISPI_VIRTUAL_Y] = lines_of(r[DISPI_X], r[DISPI_DEPTH]);
		r[DISPI_OFFSET_X] = 0;
		r[DISPI_OFFSET_Y] = 0;
		if (!(value & DISPI_KEEP))
			memset(vga->memory, 0,
			       (size_t)r[DISPI_Y] *
				       bytes_per_line(r[DISPI_X],
						      r[DISPI_DEPTH]));
	}
	if (!on)
		r[DISPI_BANK] = 0;
	r[DISPI_ENABLE] = value;
	vga->stale = true;
	vga_window_show(vga);
}

/* The size of a mode is fixed while it is on. */
static void set_mode(struct vga *vga, unsigned int index, uint16_t value)
{
	if (vga->dispi[DISPI_ENABLE] & DISPI_ENABLED)
		return;
	if ((index == DISPI_X && value > FRAME_WIDTH_MAX) ||
	    (index == DISPI_Y && value > FRAME_HEIGHT_MAX) ||
	    (index == DISPI_DEPTH && !is_depth(value)))
		return;
	vga->dispi[index] = value;
}

static void set_virtual_width(struct vga *vga, uint16_t value)
{
	uint16_t *r = vga->dispi;

	if (!is_depth(r[DISPI_DEPTH]) || value < r[DISPI_X] || !value ||
	    lines_of(value, r[DISPI_DEPTH]) < r[DISPI_Y])
		return;
	r[DISPI_VIRTUAL_X] = value;
	r[DISPI_VIRTUAL_Y] = lines_of(value, r[DISPI_DEPTH]);
	r[DISPI_OFFSET_X] = 0;
	r[DISPI_OFFSET_Y] = 0;
	vga->stale = true;
}

void vga_dispi_write(struct vga *vga, unsigned int index, uint16_t value)
{
	uint16_t *r = vga->dispi;

	switch (index) {
	case DISPI_ID:
		if (value >= DISPI_VERSION_FIRST && value <= DISPI_VERSION)
			r[DISPI_ID] = value;
		break;
	case DISPI_X:
	case DISPI_Y:
	case DISPI_DEPTH:
		set_mode(vga, index, value);
		break;
	case DISPI_ENABLE:
		enable(vga, value);
		break;
	case DISPI_BANK:
		if (value < VGA_MEMORY_SIZE >> 16)
			r[DISPI_BANK] = value;
		vga_window_show(vga);
		break;
	case DISPI_VIRTUAL_X:
		set_virtual_width(vga, value);
		break;
	case DISPI_OFFSET_X:
	case DISPI_OFFSET_Y:
		r[index] = value;
		vga->stale = true;
		break;
	}
}

uint16_t vga_dispi_read(const struct vga *vga, unsigned int index)
{
	if (index >= DISPI_COUNT)
		return 0;
	if (!(vga->dispi[DISPI_ENABLE] & DISPI_GET_LIMITS))
		return vga->dispi[index];
	switch (index) {
	case DISPI_X:
		return FRAME_WIDTH_MAX;
	case DISPI_Y:
		return FRAME_HEIGHT_MAX;
	case DISPI_DEPTH:
		return 32;
	default:
		return vga->dispi[index];
	}
}

/* --- legacy registers ------------------------------------------------------- */

/* Blank and retrace come and go with VM time, as loops expect that poll. */
static uint8_t read_status(struct vga *vga)
{
	uint64_t t = clock_now(&vga->vm->clock) % FRAME_NS * FRAME_LINES;
	uint64_t line = t / FRAME_NS, within = t % FRAME_NS;
	uint8_t status = 0;

	if (line >= SEEN_LINES || within > FRAME_NS / 5 * 4)
		status |= STATUS_BLANK;
	if (line >= SEEN_LINES + 10 && line < SEEN_LINES + 12)
		status |= STATUS_RETRACE;
	vga->attribute_data = false;
	return status;
}

static uint8_t read_dac(struct vga *vga)
{
	uint8_t value = vga->dac[vga->dac_read * 3 + vga->dac_part];

	if (++vga->dac_part == 3) {
		vga->dac_part = 0;
		vga->dac_read++;
	}
	return value;
}

static void write_dac(struct vga *vga, uint8_t value)
{
	if (!(vga->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC))
		value &= 0x3f;
	vga->dac[vga->dac_write * 3 + vga->dac_part] = value;
	if (++vga->dac_part == 3) {
		vga->dac_part = 0;
		vga->dac_write++;
	}
	vga->stale = true;
}

static void set_dac_index(struct vga *vga, uint8_t value, bool reading)
{
	if (reading)
		vga->dac_read = value;
	else
		vga->dac_write = value;
	vga->dac_part = 0;
	vga->dac_reading = reading;
}

static void write_attribute(struct vga *vga, uint8_t value)
{
	unsigned int index = vga->attribute_index & 0x1f;

	vga->attribute_data = !vga->attribute_data;
	vga->stale = true;
	if (vga->attribute_data)
		vga->attribute_index = value & 0x3f;
	else if (index < VGA_ATTRIBUTES)
		vga->attribute[index] = value;
}

static uint8_t read_crtc(const struct vga *vga)
{
	return vga->crtc_index < VGA_CRTC ? vga->crtc[vga->crtc_index] : 0;
}

static bool is_cursor(unsigned int index)
{
	return index == CRTC_CURSOR_START || index == CRTC_CURSOR_END ||
	       index == CRTC_CURSOR_HIGH || index == CRTC_CURSOR_LOW;
}

static void write_crtc(struct vga *vga, uint8_t value)
{
	unsigned int index = vga->crtc_index;

	if (index >= VGA_CRTC)
		return;
	if (index <= CRTC_OVERFLOW &&
	    (vga->crtc[CRTC_SYNC_END] & CRTC_PROTECT)) {
		/* Only bit 8 of the line compare gets through. */
		if (index == CRTC_OVERFLOW)
			vga->crtc[index] = (vga->crtc[index] & 0xefu) |
					   (value & 0x10u);
		return;
	}
	if (vga->crtc[index] == value)
		return;
	vga->crtc[index] = value;
	if (is_cursor(index))
		vga->moved = true;
	else
		vga->stale = true;
}

/* Port of the CRT controller in use, for one in either home. */
static unsigned int home(const struct vga *vga, unsigned int port)
{
	bool colour = vga->misc & MISC_COLOUR;

	if (port == PORT_CRTC || port == PORT_CRTC + 1 || port == PORT_STATUS)
		return colour ? port : VGA_PORT_COUNT;
	if (port == PORT_CRTC_MONO || port == PORT_CRTC_MONO + 1 ||
	    port == PORT_STATUS_MONO)
		return colour ? VGA_PORT_COUNT :
				port + PORT_CRTC - PORT_CRTC_MONO;
	return port;
}

uint8_t vga_port_read(struct vga *vga, unsigned int port)
{
	switch (home(vga, port - VGA_PORTS)) {
	case PORT_ATTRIBUTE:
		return vga->attribute_data ? 0 : vga->attribute_index;
	case PORT_ATTRIBUTE_READ:
		return (vga->attribute_index & 0x1f) < VGA_ATTRIBUTES ?
			       vga->attribute[vga->attribute_index & 0x1f] :
			       0;
	case PORT_MISC_WRITE: /* input status 0: the switch sense */
		return 0x10;
	case PORT_SEQUENCER:
		return vga->sequencer_index;
	case PORT_SEQUENCER + 1:
		return vga->sequencer_index < VGA_SEQUENCER ?
			       vga->sequencer[vga->sequencer_index] :
			       0;
	case PORT_DAC_MASK:
		return vga->dac_mask;
	case PORT_DAC_READ:
		return vga->dac_reading ? DAC_STATE_WRITE : 0;
	case PORT_DAC_WRITE:
		return vga->dac_write;
	case PORT_DAC_DATA:
		return read_dac(vga);
	case PORT_MISC_READ:
		return vga->misc;
	case PORT_GRAPHICS:
		return vga->graphics_index;
	case PORT_GRAPHICS + 1:
		return vga->graphics_index < VGA_GRAPHICS ?
			       vga->graphics[vga->graphics_index] :
			       0;
	case PORT_CRTC:
		return vga->crtc_index;
	case PORT_CRTC + 1:
		return read_crtc(vga);
	case PORT_STATUS:
		return read_status(vga);
	default:
		return 0xff;
	}
}

void vga_port_write(struct vga *vga, unsigned int port, uint8_t value)
{
	static const uint8_t sequencer_bits[VGA_SEQUENCER] = {
		0x03, 0x3d, 0x0f, 0x3f, 0x0e,
	};
	static const uint8_t graphics_bits[VGA_GRAPHICS] = {
		0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff,
	};

	switch (home(vga, port - VGA_PORTS)) {
	case PORT_ATTRIBUTE:
		write_attribute(vga, value);
		break;
	case PORT_MISC_WRITE:
		vga->misc = value & 0xefu;
		break;
	case PORT_SEQUENCER:
		vga->sequencer_index = value & 7;
		break;
	case PORT_SEQUENCER + 1:
		if (vga->sequencer_index >= VGA_SEQUENCER)
			break;
		vga->sequencer[vga->sequencer_index] =
			value & sequencer_bits[vga->sequencer_index];
		vga->stale = true;
		vga_window_show(vga);
		break;
	case PORT_DAC_MASK:
		vga->dac_mask = value;
		vga->stale = true;
		break;
	case PORT_DAC_READ:
		set_dac_index(vga, value, true);
		break;
	case PORT_DAC_WRITE:
		set_dac_index(vga, value, false);
		break;
	case PORT_DAC_DATA:
		write_dac(vga, value);
		break;
	case PORT_GRAPHICS:
		vga->graphics_index = value & 15;
		break;
	case PORT_GRAPHICS + 1:
		if (vga->graphics_index >= VGA_GRAPHICS)
			break;
		vga->graphics[vga->graphics_index] =
			value & graphics_bits[vga->graphics_index];
		vga->stale = true;
		vga_window_show(vga);
		break;
	case PORT_CRTC:
		vga->crtc_index = value & 0x3f;
		break;
	case PORT_CRTC + 1:
		write_crtc(vga, value);
		break;
	}
}

/* --- bus -------------------------------------------------------------------- */

static uint64_t ports_read(void *device, uint64_t offset, unsigned int size)
{
	return vga_port_read(device, VGA_PORTS + (unsigned int)offset);
}

static void ports_write(void *device, uint64_t offset, unsigned int size,
			uint64_t value)
{
	vga_port_write(device, VGA_PORTS + (unsigned int)offset,
		       (uint8_t)value);
}

static uint64_t window_read(void *device, uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)vga_window_read(device,
						   (uint32_t)offset + i)
			 << (8 * i);
	return value;
}

static void window_write(void *device, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	for (unsigned int i = 0; i < size; i++)
		vga_window_write(device, (uint32_t)offset + i,
				 (uint8_t)(value >> (8 * i)));
}

/* Index at the first port, data at the second; words both. */
static uint64_t dispi_read(void *device, uint64_t offset, unsigned int size)
{
	const struct vga *vga = device;

	if (size != 2)
		return UINT64_MAX;
	return offset ? vga_dispi_read(vga, vga->dispi_index) :
			vga->dispi_index;
}

static void dispi_write(void *device, uint64_t offset, unsigned int size,
			uint64_t value)
{
	struct vga *vga = device;

	if (size != 2)
		return;
	if (offset)
		vga_dispi_write(vga, vga->dispi_index, (uint16_t)value);
	else
		vga->dispi_index = (uint16_t)value;
}

static const struct bus_ops ports_ops = {
	.read = ports_read,
	.write = ports_write,
	.max_size = 1,
};

static const struct bus_ops window_ops = {
	.read = window_read,
	.write = window_write,
	.max_size = 8,
};

static const struct bus_ops dispi_ops = {
	.read = dispi_read,
	.write = dispi_write,
	.max_size = 2,
};

/* --- the device ------------------------------------------------------------- */

static void vga_reset(void *device)
{
	struct vga *vga = device;

	vga->misc = MISC_COLOUR;
	vga->sequencer_index = 0;
	vga->graphics_index = 0;
	vga->attribute_index = 0;
	vga->attribute_data = false;
	vga->crtc_index = 0;
	memset(vga->sequencer, 0, sizeof(vga->sequencer));
	memset(vga->graphics, 0, sizeof(vga->graphics));
	memset(vga->attribute, 0, sizeof(vga->attribute));
	memset(vga->crtc, 0, sizeof(vga->crtc));
	memset(vga->dac, 0, sizeof(vga->dac));
	vga->dac_mask = 0xff;
	vga->dac_read = 0;
	vga->dac_write = 0;
	vga->dac_part = 0;
	vga->dac_reading = false;
	vga->latch = 0;
	vga->dispi_index = 0;
	memset(vga->dispi, 0, sizeof(vga->dispi));
	vga->dispi[DISPI_ID] = DISPI_VERSION;
	vga->dispi[DISPI_MEMORY] = VGA_MEMORY_SIZE >> 16;
	vga->stale = true;
	vga_window_show(vga);
}

static void vga_fini(void *device)
{
	struct vga *vga = device;

	host_free(vga->frame.pixels);
	vga->frame.pixels = NULL;
}

static int vga_check(const void *object)
{
	const struct vga *vga = object;
	const uint16_t *r = vga->dispi;
	bool on = r[DISPI_ENABLE] & DISPI_ENABLED;

	if (vga->dac_part > 2 || vga->sequencer_index > 7 ||
	    vga->graphics_index > 15 || vga->attribute_index > 0x3f ||
	    vga->crtc_index > 0x3f || r[DISPI_X] > FRAME_WIDTH_MAX ||
	    r[DISPI_Y] > FRAME_HEIGHT_MAX ||
	    r[DISPI_BANK] >= VGA_MEMORY_SIZE >> 16)
		return -VM_EBADMSG;
	if (on && (!is_depth(r[DISPI_DEPTH]) || !r[DISPI_X] || !r[DISPI_Y] ||
		   r[DISPI_VIRTUAL_X] < r[DISPI_X] ||
		   lines_of(r[DISPI_VIRTUAL_X], r[DISPI_DEPTH]) < r[DISPI_Y]))
		return -VM_EBADMSG;
	return 0;
}

static void vga_loaded(void *object)
{
	struct vga *vga = object;

	vga->stale = true;
	vga_window_show(vga);
}

static const struct field vga_fields[] = {
	FIELD(struct vga, FIELD_U8, misc),
	FIELD(struct vga, FIELD_U8, sequencer_index),
	FIELD_ARRAY(struct vga, FIELD_U8, sequencer, VGA_SEQUENCER),
	FIELD(struct vga, FIELD_U8, graphics_index),
	FIELD_ARRAY(struct vga, FIELD_U8, graphics, VGA_GRAPHICS),
	FIELD(struct vga, FIELD_U8, attribute_index),
	FIELD_ARRAY(struct vga, FIELD_U8, attribute, VGA_ATTRIBUTES),
	FIELD(struct vga, FIELD_BOOL, attribute_data),
	FIELD(struct vga, FIELD_U8, crtc_index),
	FIELD_ARRAY(struct vga, FIELD_U8, crtc, VGA_CRTC),
	FIELD(struct vga, FIELD_U8, dac_mask),
	FIELD(struct vga, FIELD_U8, dac_read),
	FIELD(struct vga, FIELD_U8, dac_write),
	FIELD(struct vga, FIELD_U8, dac_part),
	FIELD(struct vga, FIELD_BOOL, dac_reading),
	FIELD_ARRAY(struct vga, FIELD_U8, dac, 256 * 3),
	FIELD(struct vga, FIELD_U32, latch),
	FIELD(struct vga, FIELD_U16, dispi_index),
	FIELD_ARRAY(struct vga, FIELD_U16, dispi, DISPI_COUNT),
};

static const struct state_class vga_state = {
	.name = "vga",
	.version = 1,
	.size = sizeof(struct vga),
	.fields = vga_fields,
	.field_count = sizeof(vga_fields) / sizeof(vga_fields[0]),
	.check = vga_check,
	.loaded = vga_loaded,
};

const struct device_class vga_class = {
	.name = "vga",
	.reset = vga_reset,
	.fini = vga_fini,
	.state = &vga_state,
};

int vga_init(struct vga *vga, struct vm *vm)
{
	int err, view;

	memset(vga, 0, sizeof(*vga));
	vga->vm = vm;
	err = memory_device_alloc(&vm->memory, VGA_MEMORY_SIZE, &vga->memory);
	view = err ? err : memory_view_add(&vm->memory, "vga window");
	if (view < 0)
		return view;
	vga->window = (unsigned int)view;
	vga_reset(vga);
	err = vm_add_device(vm, &vga_class, vga);
	if (err) {
		vga_fini(vga);
		return err;
	}
	err = bus_add(&vm->pio, VGA_PORTS, VGA_PORT_COUNT, "vga", &ports_ops,
		      vga);
	if (!err)
		err = bus_add(&vm->pio, VGA_DISPI_PORT, 3, "vga-dispi",
			      &dispi_ops, vga);
	if (!err)
		err = bus_add(&vm->mmio, VGA_WINDOW, VGA_WINDOW_SIZE, "vga",
			      &window_ops, vga);
	return err;
}

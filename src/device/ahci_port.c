/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's registers and what it receives (AHCI 1.3.1, 3.3, 4.2.1, 10.4):
 * start and stop, COMRESET, frames in guest memory, interrupts. Power states
 * of the link are left out: it is up whenever a drive is plugged in.
 */
#include "device/ahci_impl.h"

#include "vm/bytes.h"

/* Held until the drive's first frame is taken. */
#define TFD_NOTHING 0x7fu
#define TFD_READY   0x0150u /* as the first frame has it */

#define SCTL_DET 0xfu

static uint64_t received_at(const struct ahci_port *port)
{
	return (uint64_t)port->fbu << 32 | port->fb;
}

/* Frames are lost, as on a machine, while the guest does not take them. */
static void receive(struct ahci_port *port, unsigned int at,
		    const uint8_t *frame, unsigned int size)
{
	if (!(port->cmd & AHCI_CMD_FRE))
		return;
	if (pci_dma_write(&port->ahci->pci, received_at(port) + at, frame,
			  size))
		ahci_port_raise(port, AHCI_IS_HBFS);
}

void ahci_port_raise(struct ahci_port *port, uint32_t bits)
{
	port->is |= bits;
	if (bits & (AHCI_IS_HBFS | AHCI_IS_OFS | AHCI_IS_TFES))
		port->stopped = true;
	ahci_update(port->ahci, bits & port->ie);
}

void ahci_port_register_frame(struct ahci_port *port, const uint8_t *command,
			      uint8_t status, uint8_t error, bool interrupt)
{
	uint8_t frame[ATA_FIS];

	memcpy(frame, command, sizeof(frame));
	frame[0] = FIS_D2H;
	frame[1] = interrupt ? FIS_INTERRUPT : 0;
	frame[2] = status;
	frame[3] = error;
	memset(frame + 14, 0, 6);
	port->tfd = (uint32_t)error << 8 | status;
	receive(port, AHCI_FIS_D2H, frame, sizeof(frame));
	if (status & ATA_ERR)
		ahci_port_raise(port, AHCI_IS_TFES | AHCI_IS_DHRS);
	else if (interrupt)
		ahci_port_raise(port, AHCI_IS_DHRS);
}

void ahci_port_pio_frame(struct ahci_port *port, const uint8_t *command,
			 uint32_t size, bool interrupt)
{
	uint8_t frame[ATA_FIS];

	memcpy(frame, command, sizeof(frame));
	frame[0] = FIS_PIO;
	frame[1] = FIS_TO_HOST | (interrupt ? FIS_INTERRUPT : 0);
	frame[2] = ATA_DRDY | ATA_DSC | ATA_DRQ;
	frame[3] = 0;
	memset(frame + 14, 0, 6);
	frame[15] = ATA_DRDY | ATA_DSC; /* status when the data is through */
	frame[16] = (uint8_t)size;
	frame[17] = (uint8_t)(size >> 8);
	port->tfd = ATA_DRDY | ATA_DSC;
	receive(port, AHCI_FIS_PIO, frame, sizeof(frame));
	if (interrupt)
		ahci_port_raise(port, AHCI_IS_PSS);
}

void ahci_port_bits_frame(struct ahci_port *port, uint32_t done,
			  uint8_t status, uint8_t error)
{
	uint8_t frame[8] = { FIS_SDB, FIS_INTERRUPT, status, error };

	for (unsigned int i = 0; i < 4; i++)
		frame[4 + i] = (uint8_t)(done >> 8 * i);
	port->sact &= ~done;
	port->tfd = (port->tfd & (ATA_BSY | ATA_DRQ)) | status |
		    (uint32_t)error << 8;
	receive(port, AHCI_FIS_SDB, frame, sizeof(frame));
	ahci_port_raise(port, status & ATA_ERR ? AHCI_IS_SDBS | AHCI_IS_TFES
					       : AHCI_IS_SDBS);
}

void ahci_port_signature(struct ahci_port *port)
{
	uint8_t frame[ATA_FIS] = { 0 };

	port->signature = !(port->cmd & AHCI_CMD_FRE);
	if (port->signature)
		return;
	port->sig = port->drive.cd ? AHCI_SIG_CD : AHCI_SIG_DISK;
	frame[12] = (uint8_t)port->sig;
	frame[4] = (uint8_t)(port->sig >> 8);
	frame[5] = (uint8_t)(port->sig >> 16);
	frame[6] = (uint8_t)(port->sig >> 24);
	/* A packet device is not ready until it was asked (ACS-2, 9.12). */
	ahci_port_register_frame(port, frame,
				 port->drive.cd ? ATA_DSC : ATA_DRDY | ATA_DSC, 1,
				 false);
}

/* --- start, stop, reset -------------------------------------------------------- */

/* Drops what is under way and what is issued. */
static void ahci_port_stop(struct ahci_port *port)
{
	port->generation++;
	port->started = 0;
	port->queued_now = false;
	port->ci = port->sact = 0;
	port->stopped = false;
}

/* What the drive forgets; and its signature comes. */
static void reset_drive(struct ahci_port *port)
{
	port->generation++;
	port->started = 0;
	port->queued_now = false;
	port->srst = false;
	ata_drive_reset(&port->drive);
	port->sig = AHCI_SIG_NONE;
	port->tfd = TFD_NOTHING;
	port->signature = false;
	port->ssts = 0;
	if (!port->drive.present)
		return;
	port->ssts = AHCI_SSTS_UP;
	port->serr |= AHCI_SERR_X;
	port->tfd = ATA_BSY;
	ahci_port_signature(port);
}

void ahci_port_reset(struct ahci_port *port)
{
	ahci_port_stop(port);
	port->clb = port->clbu = port->fb = port->fbu = 0;
	port->is = port->ie = 0;
	port->cmd = AHCI_CMD_SUD | AHCI_CMD_POD;
	port->sctl = port->serr = 0;
	reset_drive(port);
}

void ahci_port_changed(struct ahci_port *port)
{
	/* A port that software holds in reset or offline looks later. */
	if (!(port->sctl & SCTL_DET)) {
		reset_drive(port);
		port->serr |= AHCI_SERR_N;
	}
	ahci_update(port->ahci, true);
}

/* --- registers -------------------------------------------------------------------- */

static uint32_t command_now(const struct ahci_port *port)
{
	uint32_t value = port->cmd;

	if (port->cmd & AHCI_CMD_FRE)
		value |= AHCI_CMD_FR;
	/* Stopped is only what uses no memory any more. */
	if ((port->cmd & AHCI_CMD_ST) || port->under_way)
		value |= AHCI_CMD_CR;
	if (port->started)
		value |= (uint32_t)__builtin_ctz(port->started)
			 << AHCI_CMD_CCS;
	if (port->drive.cd)
		value |= AHCI_CMD_ATAPI;
	return value;
}

uint32_t ahci_port_read(struct ahci_port *port, unsigned int at)
{
	switch (at) {
	case AHCI_CLB:
		return port->clb;
	case AHCI_CLBU:
		return port->clbu;
	case AHCI_FB:
		return port->fb;
	case AHCI_FBU:
		return port->fbu;
	case AHCI_PIS:
		return port->is |
		       (port->serr & AHCI_SERR_X ? AHCI_IS_PCS : 0) |
		       (port->serr & AHCI_SERR_N ? AHCI_IS_PRCS : 0);
	case AHCI_PIE:
		return port->ie;
	case AHCI_CMD:
		return command_now(port);
	case AHCI_TFD:
		return port->tfd;
	case AHCI_SIG:
		return port->sig;
	case AHCI_SSTS:
		return port->ssts;
	case AHCI_SCTL:
		return port->sctl;
	case AHCI_SERR:
		return port->serr;
	case AHCI_SACT:
		return port->sact;
	case AHCI_CI:
		return port->ci;
	default:
		return 0;
	}
}

static void write_command(struct ahci_port *port, uint32_t value)
{
	const uint32_t own = AHCI_CMD_ST | AHCI_CMD_FRE | AHCI_CMD_ATAPI;
	uint32_t before = port->cmd;

	port->cmd = (before & ~own) |
		    (value & (AHCI_CMD_ST | AHCI_CMD_FRE));
	if ((before & AHCI_CMD_ST) && !(value & AHCI_CMD_ST))
		ahci_port_stop(port);
	if (value & AHCI_CMD_CLO && !(before & AHCI_CMD_ST))
		port->tfd &= ~(uint32_t)(ATA_BSY | ATA_DRQ);
	if ((port->cmd & AHCI_CMD_FRE) && port->signature)
		ahci_port_signature(port);
}

/* 10.4.2: DET 1 holds the reset, its end lets the drive report again. */
static void write_control(struct ahci_port *port, uint32_t value)
{
	uint32_t before = port->sctl & SCTL_DET, now = value & SCTL_DET;

	port->sctl = value & 0xfff;
	if (now == before)
		return;
	if (now == 0) {
		reset_drive(port);
	} else {
		port->generation++;
		port->started = 0;
		port->signature = false;
		port->ssts = now == 4 ? AHCI_SSTS_OFFLINE : 0;
		port->tfd = TFD_NOTHING;
	}
	ahci_update(port->ahci, true);
}

static void issue(struct ahci_port *port, uint32_t slots)
{
	if (!(port->cmd & AHCI_CMD_ST))
		return;
	port->ci |= slots;
	if (port->ci && !ahci_quick(port))
		host_work_queue(port->ahci->vm->worker, &port->ahci->work);
}

void ahci_port_write(struct ahci_port *port, unsigned int at, uint32_t value)
{
	switch (at) {
	case AHCI_CLB:
		port->clb = value & ~0x3ffu;
		break;
	case AHCI_CLBU:
		port->clbu = value;
		break;
	case AHCI_FB:
		port->fb = value & ~0xffu;
		break;
	case AHCI_FBU:
		port->fbu = value;
		break;
	case AHCI_PIS:
		port->is &= ~value;
		ahci_update(port->ahci, false);
		break;
	case AHCI_PIE:
		port->ie = value & AHCI_IS_ALL;
		ahci_update(port->ahci, true);
		break;
	case AHCI_CMD:
		write_command(port, value);
		break;
	case AHCI_SCTL:
		write_control(port, value);
		break;
	case AHCI_SERR:
		port->serr &= ~value;
		break;
	case AHCI_SACT:
		if (port->cmd & AHCI_CMD_ST)
			port->sact |= value;
		break;
	case AHCI_CI:
		issue(port, value);
		break;
	default:
		break;
	}
}

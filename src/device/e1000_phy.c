/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 82540EM's PHY, behind MDIC, and its EEPROM: a 93C46 of 64 words, read
 * through EERD or bit by bit. Negotiation is over at once, always with 1000
 * Mb/s and full duplex. Left out: writes to the EEPROM, the PHY's interrupt.
 */
#include "device/e1000_impl.h"

#include "vm/bytes.h"

/* --- PHY --------------------------------------------------------------------- */

/* Bits that software may write. */
static const uint16_t phy_write[PHY_REGS] = {
	[PHY_CONTROL] = 0x7dc0,
	[PHY_ADVERTISE] = 0xffff,
	[PHY_1000_CONTROL] = 0xff00,
	[PHY_SPECIFIC] = 0xffff,
	[PHY_SPECIFIC_MORE] = 0xffff,
	[18] = 0xffff, /* interrupt enable */
	[24] = 0xffff, /* LED control */
	[29] = 0xffff, /* page, and what is there */
	[30] = 0xffff,
};

static void show_link(struct e1000 *e)
{
	bool up = e->status & E1000_STATUS_LU;

	e->phy[PHY_STATUS] = 0x7949;
	e->phy[PHY_SPECIFIC_STATUS] = 0xa800;
	e->phy[PHY_PARTNER] = up ? 0x45e1 : 0;
	e->phy[PHY_1000_STATUS] = up ? 0x3c00 : 0;
	if (!up)
		return;
	e->phy[PHY_STATUS] |= PHY_STATUS_LINK | PHY_STATUS_DONE;
	e->phy[PHY_SPECIFIC_STATUS] |= PHY_SPECIFIC_LINK;
}

void e1000_phy_reset(struct e1000 *e)
{
	memset(e->phy, 0, sizeof(e->phy));
	e->phy[PHY_CONTROL] = 0x1140;
	e->phy[PHY_ID1] = 0x0141; /* M88E1011 */
	e->phy[PHY_ID2] = 0x0c20;
	e->phy[PHY_ADVERTISE] = 0x0de1;
	e->phy[PHY_EXPANSION] = 0x0005;
	e->phy[PHY_1000_CONTROL] = 0x0e00;
	e->phy[PHY_EXTENDED] = 0x3000;
	e->phy[PHY_SPECIFIC] = 0x0360;
	e->phy[PHY_SPECIFIC_MORE] = 0x0d60;
	show_link(e);
}

void e1000_set_link(struct e1000 *e, bool up)
{
	if (up == !!(e->status & E1000_STATUS_LU))
		return;
	e->status ^= E1000_STATUS_LU;
	show_link(e);
	e1000_raise(e, E1000_INT_LSC);
}

static void phy_set(struct e1000 *e, unsigned int reg, uint16_t value)
{
	if (reg == PHY_CONTROL && (value & PHY_CONTROL_RESET)) {
		e1000_phy_reset(e);
		return;
	}
	e->phy[reg] = (uint16_t)((e->phy[reg] & ~phy_write[reg]) |
				 (value & phy_write[reg]));
	/* Negotiation ends with what it was before. */
	if (reg == PHY_CONTROL && (value & PHY_CONTROL_RESTART))
		e1000_raise(e, E1000_INT_LSC);
}

void e1000_write_mdic(struct e1000 *e, uint32_t value)
{
	unsigned int reg = value >> 16 & 31;

	e->mdic = (value & ~(E1000_MDIC_ERROR | 0x80000000u)) |
		  E1000_MDIC_READY;
	if ((value >> 21 & 31) != PHY_ADDRESS)
		e->mdic |= E1000_MDIC_ERROR;
	else if (value & E1000_MDIC_READ)
		e->mdic = (e->mdic & 0xffff0000u) | e->phy[reg];
	else if (value & E1000_MDIC_WRITE)
		phy_set(e, reg, (uint16_t)value);
	if (value & E1000_MDIC_INT)
		e1000_raise(e, E1000_INT_MDAC);
}

/* --- EEPROM ------------------------------------------------------------------ */

void e1000_eeprom_init(struct e1000 *e, const uint8_t mac[NIC_MAC])
{
	uint16_t *word = e->eeprom, sum = 0;

	memset(word, 0, sizeof(e->eeprom));
	for (unsigned int i = 0; i < NIC_MAC / 2; i++)
		word[i] = (uint16_t)(mac[2 * i] | mac[2 * i + 1] << 8);
	/* 317453, table 5-2 */
	word[0x08] = 0xffff; /* no part number */
	word[0x09] = 0xffff;
	word[0x0a] = 0x4408; /* identities from here */
	word[0x0b] = 0x001e;
	word[0x0c] = 0x8086;
	word[0x0d] = 0x100e;
	word[0x0e] = 0x8086;
	word[0x0f] = 0x3040;
	word[0x21] = 0x7061;
	for (unsigned int i = 0; i < E1000_EEPROM_WORDS - 1; i++)
		sum = (uint16_t)(sum + word[i]);
	word[E1000_EEPROM_WORDS - 1] = (uint16_t)(0xbaba - sum);
}

void e1000_write_eerd(struct e1000 *e, uint32_t value)
{
	uint32_t at = value >> 8 & 0xff;

	e->eerd = value & 0xff00;
	if (!(value & E1000_EERD_START))
		return;
	e->eerd |= E1000_EERD_DONE;
	if (at < E1000_EEPROM_WORDS)
		e->eerd |= (uint32_t)e->eeprom[at] << 16;
}

uint32_t e1000_read_eecd(const struct e1000 *e)
{
	const struct e1000_wires *w = &e->wires;
	uint32_t value = w->pins | E1000_EECD_PRES;
	bool out = true; /* ready */

	if (value & E1000_EECD_REQ)
		value |= E1000_EECD_GNT;
	if (w->reading)
		out = w->out_count && e->eeprom[w->address] >>
					      (16 - w->out_count) & 1;
	return value | (out ? E1000_EECD_DO : 0);
}

/* A rising clock: a bit of the instruction comes, or one of the word goes. */
static void clock_rises(struct e1000_wires *w, bool in)
{
	if (w->reading) {
		if (w->out_count == 16) {
			w->address = (w->address + 1) % E1000_EEPROM_WORDS;
			w->out_count = 0;
		}
		w->out_count++;
		return;
	}
	/* A start bit comes first, then 2 of the code and 6 of the address. */
	if (!w->in_count && !in)
		return;
	if (w->in_count > 8)
		return;
	w->in = (uint16_t)(w->in << 1 | in);
	if (++w->in_count == 9 && w->in >> 6 == 6) {
		w->reading = true;
		w->address = w->in & (E1000_EEPROM_WORDS - 1);
	}
}

void e1000_write_eecd(struct e1000 *e, uint32_t value)
{
	struct e1000_wires *w = &e->wires;
	uint32_t before = w->pins;

	w->pins = value & (E1000_EECD_SK | E1000_EECD_CS | E1000_EECD_DI |
			   E1000_EECD_FWE | E1000_EECD_REQ);
	if (!(w->pins & E1000_EECD_CS)) {
		w->in = 0;
		w->in_count = 0;
		w->out_count = 0;
		w->reading = false;
		return;
	}
	if (w->pins & ~before & E1000_EECD_SK)
		clock_rises(w, w->pins & E1000_EECD_DI);
}

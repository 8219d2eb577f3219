/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of the PC16550D (datasheet, section 8, table II).
 */
#ifndef LODGE_CHIP_UART_REG_H
#define LODGE_CHIP_UART_REG_H

enum uart_reg {
	UART_DATA, /* RBR, THR; DLL with DLAB */
	UART_IER,  /* DLM with DLAB */
	UART_IIR,  /* FCR for writing */
	UART_LCR,
	UART_MCR,
	UART_LSR,
	UART_MSR,
	UART_SCR,
};

#define UART_IER_RDA  0x01
#define UART_IER_THRE 0x02
#define UART_IER_RLS  0x04
#define UART_IER_MSR  0x08
#define UART_IER_BITS 0x0f

/* IIR, highest priority first */
#define UART_IIR_RLS	 0x06
#define UART_IIR_RDA	 0x04
#define UART_IIR_TIMEOUT 0x0c
#define UART_IIR_THRE	 0x02
#define UART_IIR_MSR	 0x00
#define UART_IIR_NONE	 0x01
#define UART_IIR_FIFO	 0xc0

#define UART_FCR_ENABLE	 0x01
#define UART_FCR_CLEAR_RX 0x02
#define UART_FCR_KEEP	 0xc9 /* enable, DMA mode, trigger level */

#define UART_LCR_BREAK 0x40
#define UART_LCR_DLAB  0x80

#define UART_MCR_OUT2	  0x08 /* lets the interrupt out on a PC */
#define UART_MCR_LOOPBACK 0x10
#define UART_MCR_BITS	  0x1f

#define UART_LSR_DR	0x01
#define UART_LSR_OE	0x02
#define UART_LSR_BI	0x10
#define UART_LSR_ERRORS 0x1e
#define UART_LSR_THRE	0x20
#define UART_LSR_TEMT	0x40

#define UART_MSR_TERI	0x04
#define UART_MSR_DELTAS 0x0f
#define UART_MSR_CTS	0x10
#define UART_MSR_DSR	0x20
#define UART_MSR_RI	0x40
#define UART_MSR_DCD	0x80

#endif

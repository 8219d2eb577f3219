/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xHCI 1.2: registers (5.3 to 5.6), extended capabilities (7.1, 7.2), contexts
 * (6.2) and transfer request blocks (6.4).
 */
#ifndef LODGE_DEVICE_XHCI_REG_H
#define LODGE_DEVICE_XHCI_REG_H

/* Where things lie in BAR 0 */
#define XHCI_BAR_SIZE 0x4000u
#define XHCI_OPER     0x40u
#define XHCI_PORT0    (XHCI_OPER + 0x400u)
#define XHCI_PORT_SIZE 0x10u
#define XHCI_EXTENDED 0x800u
#define XHCI_RUNTIME  0x1000u
#define XHCI_INTERRUPTER0 (XHCI_RUNTIME + 0x20u)
#define XHCI_INTERRUPTER_SIZE 0x20u
#define XHCI_DOORBELLS 0x2000u

/* Capability registers */
#define XHCI_CAPLENGTH	0x00 /* and the version, in the upper half */
#define XHCI_HCSPARAMS1 0x04
#define XHCI_HCSPARAMS2 0x08
#define XHCI_HCSPARAMS3 0x0c
#define XHCI_HCCPARAMS1 0x10
#define XHCI_DBOFF	0x14
#define XHCI_RTSOFF	0x18
#define XHCI_HCCPARAMS2 0x1c

#define XHCI_VERSION	   0x0120u
#define XHCI_HCC_AC64	   (1u << 0)
#define XHCI_HCC_PAE	   (1u << 8) /* event data after a short packet */
#define XHCI_HCC_XECP(at)  ((at) / 4 << 16)

/* Operational registers, from XHCI_OPER on */
#define XHCI_USBCMD   0x00
#define XHCI_USBSTS   0x04
#define XHCI_PAGESIZE 0x08
#define XHCI_DNCTRL   0x14
#define XHCI_CRCR     0x18
#define XHCI_DCBAAP   0x30
#define XHCI_CONFIG   0x38

#define XHCI_CMD_RUN   (1u << 0)
#define XHCI_CMD_RESET (1u << 1)
#define XHCI_CMD_INTE  (1u << 2)
#define XHCI_CMD_HSEE  (1u << 3)
#define XHCI_CMD_SAVE  (1u << 8)
#define XHCI_CMD_RESTORE (1u << 9)
#define XHCI_CMD_KEPT  (XHCI_CMD_RUN | XHCI_CMD_INTE | XHCI_CMD_HSEE)

#define XHCI_STS_HALTED (1u << 0)
#define XHCI_STS_HSE	(1u << 2)
#define XHCI_STS_EINT	(1u << 3)
#define XHCI_STS_PCD	(1u << 4)
#define XHCI_STS_SRE	(1u << 10) /* nothing was restored */
#define XHCI_STS_HCE	(1u << 12)
#define XHCI_STS_CLEAR \
	(XHCI_STS_HSE | XHCI_STS_EINT | XHCI_STS_PCD | XHCI_STS_SRE)

#define XHCI_CRCR_CYCLE	  (1u << 0)
#define XHCI_CRCR_STOP	  (1u << 1)
#define XHCI_CRCR_ABORT	  (1u << 2)
#define XHCI_CRCR_RUNNING (1u << 3)

#define XHCI_CONFIG_SLOTS 0xffu
#define XHCI_CONFIG_KEPT  0x3ffu

/* Ports */
#define XHCI_PORTSC    0x0
#define XHCI_PORTPMSC  0x4
#define XHCI_PORTLI    0x8
#define XHCI_PORTHLPMC 0xc

#define XHCI_PORT_CCS	(1u << 0)
#define XHCI_PORT_PED	(1u << 1)
#define XHCI_PORT_PR	(1u << 4)
#define XHCI_PORT_PLS	(0xfu << 5)
#define XHCI_PORT_LINK(state) ((state) << 5)
#define XHCI_PORT_PP	(1u << 9)
#define XHCI_PORT_SPEED(speed) ((uint32_t)(speed) << 10)
#define XHCI_PORT_LWS	(1u << 16) /* take the link state that is written */
#define XHCI_PORT_CSC	(1u << 17)
#define XHCI_PORT_PRC	(1u << 21)
#define XHCI_PORT_PLC	(1u << 22)
#define XHCI_PORT_CHANGES 0x00fe0000u
#define XHCI_PORT_WAKE	0x0e000000u /* what wakes the system: kept */

#define XHCI_LINK_U0	 0u
#define XHCI_LINK_U3	 3u
#define XHCI_LINK_RXDET	 5u
#define XHCI_LINK_RESUME 15u

/* Runtime registers */
#define XHCI_MFINDEX 0x00
#define XHCI_IMAN    0x00 /* of an interrupter */
#define XHCI_IMOD    0x04
#define XHCI_ERSTSZ  0x08
#define XHCI_ERSTBA  0x10
#define XHCI_ERDP    0x18

#define XHCI_IMAN_IP (1u << 0)
#define XHCI_IMAN_IE (1u << 1)
#define XHCI_ERDP_EHB (1u << 3)

/* Extended capabilities */
#define XHCI_CAP_LEGACY	  1u
#define XHCI_CAP_PROTOCOL 2u
#define XHCI_LEGACY_BIOS  (1u << 16)
#define XHCI_LEGACY_OS	  (1u << 24)
#define XHCI_NAME_USB	  0x20425355u /* "USB " */

/* Contexts of 32 bytes: slot, then endpoints 1 to 31 */
#define XHCI_CONTEXT	   32u
#define XHCI_CONTEXTS	   32u
#define XHCI_INPUT_DROP	   0u /* dwords of the input control context */
#define XHCI_INPUT_ADD	   1u

#define XHCI_SLOT_ROUTE	   0x000fffffu /* dword 0 */
#define XHCI_SLOT_SPEED(dw)   ((dw) >> 20 & 0xf)
#define XHCI_SLOT_ENTRIES  0xf8000000u
#define XHCI_SLOT_ENTRIES_OF(dw) ((dw) >> 27)
#define XHCI_SLOT_PORT(dw) ((dw) >> 16 & 0xff) /* dword 1 */
#define XHCI_SLOT_LATENCY  0x0000ffffu
#define XHCI_SLOT_TARGET   0xffc00000u /* dword 2 */
#define XHCI_SLOT_STATE(state) ((uint32_t)(state) << 27) /* dword 3 */

enum xhci_slot_state {
	XHCI_SLOT_ENABLED, /* or disabled */
	XHCI_SLOT_DEFAULT,
	XHCI_SLOT_ADDRESSED,
	XHCI_SLOT_CONFIGURED,
};

#define XHCI_EP_STATE	    0x7u /* dword 0 */
#define XHCI_EP_STREAMS(dw) ((dw) >> 10 & 0x1f)
#define XHCI_EP_TYPE(dw)    ((dw) >> 3 & 7) /* dword 1 */
#define XHCI_EP_PACKET(dw)  ((dw) >> 16)
#define XHCI_EP_PACKET_MASK 0xffff0000u
#define XHCI_EP_CYCLE	    1u /* dword 2, beside the dequeue pointer */
#define XHCI_EP_POINTER	    (~(uint64_t)0xf)

enum xhci_ep_state {
	XHCI_EP_DISABLED,
	XHCI_EP_RUNNING,
	XHCI_EP_HALTED,
	XHCI_EP_STOPPED,
	XHCI_EP_ERROR,
};

enum xhci_ep_type {
	XHCI_EP_NONE,
	XHCI_EP_ISOCH_OUT,
	XHCI_EP_BULK_OUT,
	XHCI_EP_INTERRUPT_OUT,
	XHCI_EP_CONTROL,
	XHCI_EP_ISOCH_IN,
	XHCI_EP_BULK_IN,
	XHCI_EP_INTERRUPT_IN,
};

/* Transfer request blocks */
#define XHCI_TRB	  16u
#define XHCI_TRB_LENGTH	  0x1ffffu /* dword 2 */
#define XHCI_TRB_TARGET(dw) ((dw) >> 22)
#define XHCI_TRB_CYCLE	  (1u << 0) /* dword 3 */
#define XHCI_TRB_TOGGLE	  (1u << 1) /* of a link */
#define XHCI_TRB_ISP	  (1u << 2)
#define XHCI_TRB_CHAIN	  (1u << 4)
#define XHCI_TRB_IOC	  (1u << 5)
#define XHCI_TRB_IDT	  (1u << 6)
#define XHCI_TRB_IN	  (1u << 16) /* of data and status stages */
#define XHCI_TRB_BEI	  (1u << 9) /* of transfers: no interrupt */
#define XHCI_TRB_BSR	  (1u << 9) /* address device: no SET_ADDRESS */
#define XHCI_TRB_DC	  (1u << 9) /* configure endpoint: deconfigure */
#define XHCI_TRB_TYPE(dw) ((dw) >> 10 & 0x3f)
#define XHCI_TRB_IS(type) ((uint32_t)(type) << 10)
#define XHCI_TRB_ENDPOINT(dw) ((dw) >> 16 & 0x1f)
#define XHCI_TRB_SLOT(dw) ((dw) >> 24)
#define XHCI_EVENT_DATA	  (1u << 2) /* an event of an event data TRB */

enum xhci_trb_type {
	XHCI_NORMAL = 1,
	XHCI_SETUP,
	XHCI_DATA,
	XHCI_STATUS,
	XHCI_ISOCH,
	XHCI_LINK,
	XHCI_EVENT_TRB,
	XHCI_NOOP,
	XHCI_ENABLE_SLOT,
	XHCI_DISABLE_SLOT,
	XHCI_ADDRESS_DEVICE,
	XHCI_CONFIGURE,
	XHCI_EVALUATE,
	XHCI_RESET_ENDPOINT,
	XHCI_STOP_ENDPOINT,
	XHCI_SET_DEQUEUE,
	XHCI_RESET_DEVICE,
	XHCI_PORT_BANDWIDTH = 21,
	XHCI_NOOP_COMMAND = 23,
	XHCI_TRANSFER_EVENT = 32,
	XHCI_COMMAND_EVENT,
	XHCI_PORT_EVENT,
};

/* Completion codes (table 6-90) */
enum xhci_code {
	XHCI_SUCCESS = 1,
	XHCI_TRANSACTION_ERROR = 4,
	XHCI_TRB_ERROR = 5,
	XHCI_STALL = 6,
	XHCI_NO_SLOTS = 9,
	XHCI_SLOT_NOT_ENABLED = 11,
	XHCI_SHORT_PACKET = 13,
	XHCI_PARAMETER_ERROR = 17,
	XHCI_CONTEXT_STATE = 19,
	XHCI_RING_STOPPED = 24, /* the command ring */
	XHCI_STOPPED = 26,
};

#endif

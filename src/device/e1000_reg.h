/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of the 82540EM (317453, chapter 13), its descriptors (chapter 3),
 * EEPROM (chapter 5) and PHY (chapter 8, IEEE 802.3 clause 22).
 */
#ifndef LODGE_DEVICE_E1000_REG_H
#define LODGE_DEVICE_E1000_REG_H

#define E1000_BAR_SIZE	0x20000u
#define E1000_IO_SIZE	64u
#define E1000_IO_ADDR	0u
#define E1000_IO_DATA	4u

/* Registers, bytes from the BAR's start. */
#define E1000_CTRL     0x0000u
#define E1000_CTRL_DUP 0x0004u
#define E1000_STATUS   0x0008u
#define E1000_EECD     0x0010u
#define E1000_EERD     0x0014u
#define E1000_CTRL_EXT 0x0018u
#define E1000_MDIC     0x0020u
#define E1000_FCAL     0x0028u
#define E1000_FCAH     0x002cu
#define E1000_FCT      0x0030u
#define E1000_VET      0x0038u
#define E1000_ICR      0x00c0u
#define E1000_ITR      0x00c4u
#define E1000_ICS      0x00c8u
#define E1000_IMS      0x00d0u
#define E1000_IMC      0x00d8u
#define E1000_RCTL     0x0100u
#define E1000_FCTTV    0x0170u
#define E1000_TXCW     0x0178u
#define E1000_TCTL     0x0400u
#define E1000_TIPG     0x0410u
#define E1000_AIT      0x0458u
#define E1000_LEDCTL   0x0e00u
#define E1000_PBA      0x1000u
#define E1000_FCRTL    0x2160u
#define E1000_FCRTH    0x2168u
#define E1000_RDBAL    0x2800u
#define E1000_RDBAH    0x2804u
#define E1000_RDLEN    0x2808u
#define E1000_RDH      0x2810u
#define E1000_RDT      0x2818u
#define E1000_RDTR     0x2820u
#define E1000_RXDCTL   0x2828u
#define E1000_RADV     0x282cu
#define E1000_RSRPD    0x2c00u
#define E1000_TDBAL    0x3800u
#define E1000_TDBAH    0x3804u
#define E1000_TDLEN    0x3808u
#define E1000_TDH      0x3810u
#define E1000_TDT      0x3818u
#define E1000_TIDV     0x3820u
#define E1000_TXDCTL   0x3828u
#define E1000_TADV     0x382cu
#define E1000_TSPMT    0x3830u
#define E1000_STATS    0x4000u /* 64 of them */
#define E1000_RXCSUM   0x5000u
#define E1000_MTA      0x5200u /* 128 words */
#define E1000_RA       0x5400u /* 16 pairs */
#define E1000_VFTA     0x5600u /* 128 words */
#define E1000_WUC      0x5800u
#define E1000_WUFC     0x5808u
#define E1000_MANC     0x5820u

/* CTRL */
#define E1000_CTRL_FD	   0x00000001u
#define E1000_CTRL_SLU	   0x00000040u
#define E1000_CTRL_1000	   0x00000200u
#define E1000_CTRL_RST	   0x04000000u
#define E1000_CTRL_VME	   0x40000000u
#define E1000_CTRL_PHY_RST 0x80000000u

/* STATUS: full duplex, link, 1000 Mb/s, a 32-bit bus of 33 MHz */
#define E1000_STATUS_FD	  0x01u
#define E1000_STATUS_LU	  0x02u
#define E1000_STATUS_1000 0x80u

/* EECD: four wires of a 93C46, and who may use them */
#define E1000_EECD_SK	0x001u
#define E1000_EECD_CS	0x002u
#define E1000_EECD_DI	0x004u
#define E1000_EECD_DO	0x008u
#define E1000_EECD_FWE	0x030u
#define E1000_EECD_REQ	0x040u
#define E1000_EECD_GNT	0x080u
#define E1000_EECD_PRES 0x100u

#define E1000_EERD_START 0x01u
#define E1000_EERD_DONE	 0x10u

/* MDIC */
#define E1000_MDIC_WRITE 0x04000000u
#define E1000_MDIC_READ	 0x08000000u
#define E1000_MDIC_READY 0x10000000u
#define E1000_MDIC_INT	 0x20000000u
#define E1000_MDIC_ERROR 0x40000000u

/* ICR, ICS, IMS, IMC */
#define E1000_INT_TXDW	 0x00001u /* a descriptor was written back */
#define E1000_INT_TXQE	 0x00002u /* the transmit queue is empty */
#define E1000_INT_LSC	 0x00004u /* the link changed */
#define E1000_INT_RXDMT0 0x00010u /* few receive buffers are left */
#define E1000_INT_RXO	 0x00040u
#define E1000_INT_RXT0	 0x00080u /* something was received */
#define E1000_INT_MDAC	 0x00200u
#define E1000_INT_ALL	 0x1ffffu

/* RCTL */
#define E1000_RCTL_EN	 0x00000002u
#define E1000_RCTL_UPE	 0x00000008u
#define E1000_RCTL_MPE	 0x00000010u
#define E1000_RCTL_LPE	 0x00000020u
#define E1000_RCTL_RDMTS(v) ((v) >> 8 & 3)
#define E1000_RCTL_MO(v)    ((v) >> 12 & 3)
#define E1000_RCTL_BAM	 0x00008000u
#define E1000_RCTL_BSIZE(v) ((v) >> 16 & 3)
#define E1000_RCTL_VFE	 0x00040000u
#define E1000_RCTL_BSEX	 0x02000000u
#define E1000_RCTL_SECRC 0x04000000u

#define E1000_TCTL_EN  0x2u
#define E1000_TCTL_PSP 0x8u

#define E1000_RAH_VALID 0x80000000u

#define E1000_RXCSUM_IP	 0x100u
#define E1000_RXCSUM_TCP 0x200u

/* Descriptors are 16 bytes. */
#define E1000_DESC 16u

/* Of reception: status */
#define E1000_RX_DD    0x01u
#define E1000_RX_EOP   0x02u
#define E1000_RX_IXSM  0x04u /* checksums were not looked at */
#define E1000_RX_VP    0x08u
#define E1000_RX_TCPCS 0x20u
#define E1000_RX_IPCS  0x40u

/* Of transmission: the second half's lower word */
#define E1000_TX_EOP	0x01000000u
#define E1000_TX_IC	0x04000000u /* legacy: insert a checksum */
#define E1000_TX_TSE	0x04000000u /* data: segmentation */
#define E1000_TX_RS	0x08000000u
#define E1000_TX_EXT	0x20000000u /* not a legacy descriptor */
#define E1000_TX_VLE	0x40000000u
#define E1000_TX_DATA	0x00100000u /* extended: data, else context */
#define E1000_TX_TCP	0x01000000u /* context: TCP, else UDP */
#define E1000_TX_IPV4	0x02000000u /* context: IPv4, else IPv6 */
/* and its upper word */
#define E1000_TX_DD	0x00000001u
#define E1000_TX_IXSM	0x00000100u
#define E1000_TX_TXSM	0x00000200u

/* Statistics, by word; 64-bit ones are a low word and a high one. */
enum {
	E1000_PRC64 = 23, /* to PRC1522 */
	E1000_GPRC = 29,
	E1000_BPRC,
	E1000_MPRC,
	E1000_GPTC,
	E1000_GORC = 34,
	E1000_GOTC = 36,
	E1000_RNBC = 40,
	E1000_ROC = 43,
	E1000_TORC = 48,
	E1000_TOTC = 50,
	E1000_TPR = 52,
	E1000_TPT,
	E1000_PTC64, /* to PTC1522 */
	E1000_MPTC = 60,
	E1000_BPTC,
	E1000_TSCTC,
	E1000_STATS_COUNT = 64,
};

/* PHY registers */
#define PHY_CONTROL   0
#define PHY_STATUS    1
#define PHY_ID1	      2
#define PHY_ID2	      3
#define PHY_ADVERTISE 4
#define PHY_PARTNER   5
#define PHY_EXPANSION 6
#define PHY_1000_CONTROL 9
#define PHY_1000_STATUS	 10
#define PHY_EXTENDED	 15
#define PHY_SPECIFIC	 16
#define PHY_SPECIFIC_STATUS 17
#define PHY_SPECIFIC_MORE   20
#define PHY_REGS	    32

#define PHY_ADDRESS 1

#define PHY_CONTROL_RESET   0x8000u
#define PHY_CONTROL_RESTART 0x0200u
#define PHY_STATUS_LINK	    0x0004u
#define PHY_STATUS_DONE	    0x0020u /* negotiation */
#define PHY_SPECIFIC_LINK   0x0400u

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of register bits, exceptions and MSRs. Intel SDM vol. 3, 2.5, 6.3,
 * vol. 4; AMD64 APM vol. 2, 3.1, appendix A.
 */
#ifndef LODGE_X86_REG_H
#define LODGE_X86_REG_H

#define X86_FLAG_CF   0x000001u
#define X86_FLAG_1    0x000002u
#define X86_FLAG_PF   0x000004u
#define X86_FLAG_AF   0x000010u
#define X86_FLAG_ZF   0x000040u
#define X86_FLAG_SF   0x000080u
#define X86_FLAG_TF   0x000100u
#define X86_FLAG_IF   0x000200u
#define X86_FLAG_DF   0x000400u
#define X86_FLAG_OF   0x000800u
#define X86_FLAG_IOPL 0x003000u
#define X86_FLAG_NT   0x004000u
#define X86_FLAG_RF   0x010000u
#define X86_FLAG_VM   0x020000u
#define X86_FLAG_AC   0x040000u
#define X86_FLAG_VIF  0x080000u
#define X86_FLAG_VIP  0x100000u
#define X86_FLAG_ID   0x200000u
#define X86_FLAGS_ARITH                                                \
	(X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF |       \
	 X86_FLAG_SF | X86_FLAG_OF)

#define X86_CR0_PE 0x00000001u
#define X86_CR0_MP 0x00000002u
#define X86_CR0_EM 0x00000004u
#define X86_CR0_TS 0x00000008u
#define X86_CR0_ET 0x00000010u
#define X86_CR0_NE 0x00000020u
#define X86_CR0_WP 0x00010000u
#define X86_CR0_AM 0x00040000u
#define X86_CR0_NW 0x20000000u
#define X86_CR0_CD 0x40000000u
#define X86_CR0_PG 0x80000000u

#define X86_CR4_VME	   0x000001u
#define X86_CR4_PVI	   0x000002u
#define X86_CR4_TSD	   0x000004u
#define X86_CR4_DE	   0x000008u
#define X86_CR4_PSE	   0x000010u
#define X86_CR4_PAE	   0x000020u
#define X86_CR4_MCE	   0x000040u
#define X86_CR4_PGE	   0x000080u
#define X86_CR4_PCE	   0x000100u
#define X86_CR4_OSFXSR	   0x000200u
#define X86_CR4_OSXMMEXCPT 0x000400u
#define X86_CR4_UMIP	   0x000800u
#define X86_CR4_FSGSBASE   0x010000u
#define X86_CR4_PCIDE	   0x020000u
#define X86_CR4_OSXSAVE	   0x040000u
#define X86_CR4_SMEP	   0x100000u
#define X86_CR4_SMAP	   0x200000u
#define X86_CR4_PKE	   0x400000u
#define X86_CR4_PKS	   0x1000000u

#define X86_EFER_SCE   0x0001u
#define X86_EFER_LME   0x0100u
#define X86_EFER_LMA   0x0400u
#define X86_EFER_NXE   0x0800u
#define X86_EFER_FFXSR 0x4000u
#define X86_EFER_AIBRSE 0x200000u /* automatic IBRS */

#define X86_XCR0_X87	 0x01u
#define X86_XCR0_SSE	 0x02u
#define X86_XCR0_AVX	 0x04u
#define X86_XCR0_AVX512	 0xe0u
#define X86_XCR0_PKRU	 0x200u

#define X86_DE	0  /* divide error */
#define X86_DB	1  /* debug */
#define X86_NMI 2
#define X86_BP	3  /* breakpoint */
#define X86_OF	4  /* overflow */
#define X86_BR	5  /* bound range */
#define X86_UD	6  /* invalid opcode */
#define X86_NM	7  /* device not available */
#define X86_DF	8  /* double fault */
#define X86_TS	10 /* invalid TSS */
#define X86_NP	11 /* segment not present */
#define X86_SSF 12 /* stack fault (#SS) */
#define X86_GP	13 /* general protection */
#define X86_PF	14 /* page fault */
#define X86_MF	16 /* x87 */
#define X86_AC	17 /* alignment check */
#define X86_MC	18 /* machine check */
#define X86_XM	19 /* SIMD floating point */

/* Page-fault error code. */
#define X86_PF_P  0x01u
#define X86_PF_W  0x02u
#define X86_PF_U  0x04u
#define X86_PF_R  0x08u /* reserved bit */
#define X86_PF_I  0x10u /* instruction fetch */
#define X86_PF_PK 0x20u /* protection key */

#define X86_MSR_TSC		0x00000010u
#define X86_MSR_APIC_BASE	0x0000001bu
#define X86_MSR_TSC_ADJUST	0x0000003bu
#define X86_MSR_SPEC_CTRL	0x00000048u
#define X86_MSR_PRED_CMD	0x00000049u
#define X86_MSR_MTRR_CAP	0x000000feu
#define X86_MSR_ARCH_CAPS	0x0000010au
#define X86_MSR_SYSENTER_CS	0x00000174u
#define X86_MSR_SYSENTER_ESP	0x00000175u
#define X86_MSR_SYSENTER_EIP	0x00000176u
#define X86_MSR_MCG_CAP		0x00000179u
#define X86_MSR_MCG_STATUS	0x0000017au
#define X86_MSR_MISC_ENABLE	0x000001a0u
#define X86_MSR_DEBUGCTL	0x000001d9u
#define X86_MSR_MTRR_BASE0	0x00000200u
#define X86_MSR_MTRR_FIX64K	0x00000250u
#define X86_MSR_MTRR_FIX16K_8	0x00000258u
#define X86_MSR_MTRR_FIX16K_A	0x00000259u
#define X86_MSR_MTRR_FIX4K_C0	0x00000268u
#define X86_MSR_PAT		0x00000277u
#define X86_MSR_MTRR_DEF_TYPE	0x000002ffu
#define X86_MSR_TSC_DEADLINE	0x000006e0u
#define X86_MSR_PKRS		0x000006e1u
#define X86_MSR_X2APIC		0x00000800u /* .. 0x8ff */
#define X86_MSR_XSS		0x00000da0u
#define X86_MSR_KVM_WALL	0x4b564d00u
#define X86_MSR_KVM_SYSTEM	0x4b564d01u
#define X86_MSR_EFER		0xc0000080u
#define X86_MSR_STAR		0xc0000081u
#define X86_MSR_LSTAR		0xc0000082u
#define X86_MSR_CSTAR		0xc0000083u
#define X86_MSR_SFMASK		0xc0000084u
#define X86_MSR_FS_BASE		0xc0000100u
#define X86_MSR_GS_BASE		0xc0000101u
#define X86_MSR_KERNEL_GS_BASE	0xc0000102u
#define X86_MSR_TSC_AUX		0xc0000103u

#define X86_APIC_BASE_BSP    0x100u
#define X86_APIC_BASE_X2APIC 0x400u
#define X86_APIC_BASE_ENABLE 0x800u
#define X86_APIC_ADDRESS     0xfee00000u

#endif

; SPDX-License-Identifier: Apache-2.0
;
; Start of a 64-bit guest: 32-bit protected mode as multiboot hands it over,
; then long mode on an identity map of 4 GiB, the trap entries, the way into
; and out of ring 3, and the start of further processors (Intel SDM vol. 3A,
; sections 9.8.5 and 8.4).

%include "multiboot.inc"

global start, boot_pml4, trap_stubs, user_enter, user_leave, user_exit
global ap_gdt_ptr, boot_pt0, ap_gate
extern lib_main, ap_main, trap, boot_stack_top, gdt, gdt_ptr, mb_info

section .start
bits 32
start:
	cli
	mov esp, boot_stack_top
	mov [mb_info], ebx
	copy_low

	; PML4 -> PDPT -> four PDs of 2 MiB pages, the first one in 4 KiB pages
	mov dword [boot_pml4], boot_pdpt + 7
	mov ecx, 4
	mov eax, boot_pd + 7
	mov edi, boot_pdpt
.pdpt:	mov [edi], eax
	add eax, 4096
	add edi, 8
	loop .pdpt
	mov ecx, 2048
	mov eax, 0x83
	mov edi, boot_pd
.pd:	mov [edi], eax
	add eax, 0x200000
	add edi, 8
	loop .pd
	mov ecx, 512
	mov eax, 3
	mov edi, boot_pt0
.pt:	mov [edi], eax
	add eax, 4096
	add edi, 8
	loop .pt
	mov dword [boot_pd], boot_pt0 + 7

	call enter_long
	jmp 0x08:long_start

; Turns long mode on; the caller jumps to 64-bit code. Changes eax, ecx, edx.
enter_long:
	mov eax, 0x620		; CR4: PAE, OSFXSR, OSXMMEXCPT
	mov cr4, eax
	mov eax, boot_pml4
	mov cr3, eax
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x901		; EFER: SCE, LME, NXE
	wrmsr
	mov eax, 0x80010033	; CR0: PG, WP, NE, ET, MP, PE
	mov cr0, eax
	lgdt [gdt_ptr]
	ret

ap_prot:
	mov ax, 0x10
	mov ds, ax
	mov es, ax
	mov ss, ax
	; a stack for the call: one processor at a time
.wait:	mov eax, 1
	xchg eax, [ap_gate]
	test eax, eax
	jz .mine
	pause
	jmp .wait
.mine:	mov esp, ap_tmp_top
	call enter_long
	jmp 0x08:ap_long

bits 64
long_start:
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov rsp, boot_stack_top
	xor ebp, ebp
	call lib_main
.stop:	hlt
	jmp .stop

ap_long:
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov edi, 1
	lock xadd [ap_next], edi
	mov eax, edi
	shl eax, 13		; 8 KiB of stack each
	lea rsp, [ap_stacks + rax]
	mov dword [ap_gate], 0
	xor ebp, ebp
	call ap_main		; edi: this processor's number
.stop:	cli
	hlt
	jmp .stop

section .low16.ap
bits 16
ap_start:
	cli
	xor ax, ax
	mov ds, ax
	o32 lgdt [ap_gdt_ptr]
	mov eax, 0x11
	mov cr0, eax
	jmp dword 0x30:ap_prot
align 4
ap_gdt_ptr:
	dw 0xffff
	dd gdt

section .text
bits 64
trap_stubs:
%assign i 0
%rep 256
	align 16
%if i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21
%else
	push 0
%endif
	push i
	jmp trap_entry
%assign i i+1
%endrep

%macro regs 1-*
%rep %0
	push %1
%rotate 1
%endrep
%endmacro

trap_entry:
	regs rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	cld
	mov rdi, rsp
	mov rbx, rsp
	and rsp, -16
	call trap
	mov rsp, rbx
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rbp
	pop rbx
	pop rdx
	pop rcx
	pop rax
	add rsp, 16
	iretq

; ulong user_enter(ip, arg, sp, flags, cs, ss): returns through user_leave()
user_enter:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	pushfq
	mov [user_sp], rsp
	push r9			; ss
	push rdx		; sp
	push rcx		; flags
	push r8			; cs
	push rdi		; ip
	mov rdi, rsi
	iretq

; void user_leave(ulong value): back to the caller of user_enter()
user_leave:
	mov rsp, [user_sp]
	mov eax, 0x10
	mov ss, eax
	mov ds, eax
	mov es, eax
	mov rax, rdi
	popfq
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
	ret

section .user.text
user_exit:
	int 0x80

section .data
ap_next:	dd 1
ap_gate:	dd 0
user_sp:	dq 0

section .bss.page nobits alloc write align=4096
boot_pml4:	resb 4096
boot_pdpt:	resb 4096
boot_pd:	resb 4 * 4096
boot_pt0:	resb 4096

section .bss
alignb 16
ap_stacks:	resb 8192 * 5
		resb 64
ap_tmp_top:

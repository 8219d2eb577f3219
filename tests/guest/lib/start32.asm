; SPDX-License-Identifier: Apache-2.0
;
; Start of a 32-bit guest: flat protected mode without paging as multiboot
; hands it over, the trap entries, the way into and out of ring 3 and
; virtual-8086 mode, and calls of real mode code (Intel SDM vol. 3A,
; sections 9.9 and 21.2).

%include "multiboot.inc"

global start, trap_stubs, user_enter, user_leave, user_exit, real_call
global vm86_enter
extern lib_main, trap, boot_stack_top, gdt_ptr, idt_ptr, mb_info

section .start
bits 32
start:
	cli
	mov esp, boot_stack_top
	mov [mb_info], ebx
	copy_low
	lgdt [gdt_ptr]
	jmp 0x08:.cs
.cs:	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov eax, 0x33		; CR0: NE, ET, MP, PE
	mov cr0, eax
	mov eax, 0x600		; CR4: OSFXSR, OSXMMEXCPT
	mov cr4, eax
	xor ebp, ebp
	call lib_main
.stop:	hlt
	jmp .stop

section .text
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

trap_entry:
	pusha
	push ds
	push es
	push fs
	push gs
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	cld
	push esp
	call trap
	add esp, 4
	pop gs
	pop fs
	pop es
	pop ds
	popa
	add esp, 8
	iret

; ulong user_enter(ip, arg, sp, flags, cs, ss): returns through user_leave()
user_enter:
	push ebp
	push ebx
	push esi
	push edi
	pushf
	mov [user_sp], esp
	mov ebx, esp
	mov ecx, [ebx + 28]	; arg
	mov eax, [ebx + 44]	; ss
	mov ds, eax
	mov es, eax
	push eax
	push dword [ss:ebx + 32]
	push dword [ss:ebx + 36]
	push dword [ss:ebx + 40]
	push dword [ss:ebx + 24]
	iret

; ulong vm86_enter(ip, cs, sp, ss, flags): ds = es = ss there; returns
; through user_leave()
vm86_enter:
	push ebp
	push ebx
	push esi
	push edi
	pushf
	mov [user_sp], esp
	mov ebx, esp
	mov eax, [ebx + 36]
	push eax		; gs, fs, ds, es
	push eax
	push eax
	push eax
	push eax		; ss
	push dword [ebx + 32]
	push dword [ebx + 40]
	push dword [ebx + 28]
	push dword [ebx + 24]
	iret

; void user_leave(ulong value): back to the caller of user_enter()
user_leave:
	mov eax, [esp + 4]
	mov edx, 0x10
	mov ds, edx
	mov es, edx
	mov ss, edx
	mov esp, [user_sp]
	popf
	pop edi
	pop esi
	pop ebx
	pop ebp
	ret

; void real_call(u16 ip): calls 0:ip in real mode, segments 0, stack 0x7c00.
; The code returns with a near ret and may change every register but CS.
real_call:
	pusha
	pushf
	cli
	mov eax, [esp + 40]
	mov [real_ip], ax
	mov [real_esp], esp
	lidt [real_idt]
	jmp 0x38:real_prot16
real_back:
	mov eax, 0x10
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	mov esp, [real_esp]
	lidt [idt_ptr]
	popf
	popa
	ret

section .low16
bits 16
real_prot16:
	mov ax, 0x40
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov gs, ax
	mov eax, cr0
	and eax, ~1
	mov cr0, eax
	jmp 0:.real
.real:	xor ax, ax
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov fs, ax
	mov gs, ax
	mov esp, 0x7c00
	call [real_ip]
	cli
	xor ax, ax
	mov ds, ax
	o32 lgdt [real_gdt]
	mov eax, cr0
	or eax, 1
	mov cr0, eax
	jmp dword 0x08:real_back
align 4
real_gdt:	dw 0xff
		dd gdt
real_idt:	dw 0x3ff
		dd 0
real_ip:	dw 0
extern gdt

section .user.text
bits 32
user_exit:
	int 0x80

section .data
user_sp:	dd 0
real_esp:	dd 0

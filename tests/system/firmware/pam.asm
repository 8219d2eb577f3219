; SPDX-License-Identifier: Apache-2.0
; Firmware of 64 KiB that tries the PAM registers of the host bridge (Q35 MCH,
; 316966: reads from memory or ROM, writes to memory or nowhere) and copies
; itself to memory, as firmware does. A line for each step on the first serial
; port, "wrong" when it is.

	bits	16
	cpu	386
	org	0

SERIAL	equ	0x3f8
STACK	equ	0x7000
AGAIN	equ	0x600			; set before the reset
NOTHING	equ	0xd000			; a segment without ROM
PAM_D	equ	0x93			; low half: that segment
PAM_F	equ	0x90

%macro step 1
	mov	si, %%name
	call	print
	jmp	%%on
%%name	db	%1, 0
%%on:
%endmacro

; A byte at ES:DI is a value, else it is wrong.
%macro is 2
	cmp	byte [es:%1], %2
	jne	wrong
%endmacro

; Value to a PAM register.
%macro pam 2
	mov	cl, %1
	mov	al, %2
	call	set_pam
%endmacro

start:	cli
	cld
	xor	ax, ax
	mov	ss, ax
	mov	sp, STACK
	mov	ax, cs
	mov	ds, ax			; what is read beside code is ROM, too
	cmp	byte [ss:AGAIN], 0x77
	je	again

	step	"mirror"
	mov	ax, 0xf000
	mov	es, ax
	cmp	dword [es:marker], "ROM!"
	jne	wrong
	mov	ax, 0xe000		; the image is smaller than that
	mov	es, ax
	is	0, 0xff
	is	0xffff, 0xff
	mov	ax, 0xc000
	mov	es, ax
	is	0, 0xff
	call	good

	step	"none"
	mov	ax, NOTHING
	mov	es, ax
	mov	byte [es:0x10], 0x11
	is	0x10, 0xff
	pam	PAM_D, 0x03
	mov	byte [es:0x10], 0x22	; memory keeps what it had
	pam	PAM_D, 0x00
	mov	byte [es:0x10], 0x33
	is	0x10, 0xff
	pam	PAM_D, 0x03
	is	0x10, 0x22
	call	good

	step	"write only"
	pam	PAM_D, 0x02
	mov	byte [es:0x10], 0x5a
	is	0x10, 0xff
	inc	byte [es:0x20]		; of ones
	inc	byte [es:0x20]
	is	0x20, 0xff
	mov	dword [es:0x3ffe], 0x12345678 ; half of it in the next one
	mov	di, 0x1000
	mov	al, 0x77
	mov	cx, 0x1000
	rep	stosb
	is	0x1fff, 0xff
	call	good

	step	"read only"
	pam	PAM_D, 0x01
	is	0x10, 0x5a
	is	0x20, 0
	is	0x0fff, 0
	is	0x1000, 0x77
	is	0x1fff, 0x77
	is	0x2000, 0
	is	0x3ffe, 0x78
	is	0x3fff, 0x56
	is	0x4000, 0xff
	mov	byte [es:0x10], 0xa5
	is	0x10, 0x5a
	call	good

	step	"both"
	pam	PAM_D, 0x03
	mov	byte [es:0x10], 0xa5
	is	0x10, 0xa5
	pam	PAM_D, 0x30		; the next segment alone
	is	0x10, 0xff
	is	0x4000, 0
	call	good

	step	"copy"
	mov	ax, 0xf000
	mov	es, ax
	mov	ds, ax
	pam	PAM_F, 0x20
	xor	si, si
	xor	di, di
	mov	cx, 0x4000
	rep	movsd
	mov	dword [marker], "RAM!"
	mov	byte [which + 1], 'm'
	cmp	dword [marker], "ROM!"
	jne	wrong
	pam	PAM_F, 0x10
	cmp	dword [marker], "RAM!"
	jne	wrong
	call	good

	; Code that was run before is the other's at once, cold and hot.
	step	"code"
	mov	dx, 12
.turn:	push	dx
	pam	PAM_F, 0x00
	mov	ah, 'o'
	call	check
	pam	PAM_F, 0x10
	mov	ah, 'm'
	call	check
	pop	dx
	dec	dx
	jnz	.turn
	call	good

	step	"reset"
	mov	byte [ss:AGAIN], 0x77
	mov	dx, 0xcf9
	mov	al, 6
	out	dx, al
	jmp	$

again:	mov	byte [ss:AGAIN], 0
	mov	cl, PAM_F
	call	get_pam
	test	al, al
	jnz	wrong
	mov	ax, 0xf000
	mov	es, ax
	cmp	dword [es:marker], "ROM!"
	jne	wrong
	call	good
	step	"over"
	call	good
stop:	hlt
	jmp	stop

; What runs says AH, 300 times.
check:	mov	cx, 300
.more:	call	which
	cmp	al, ah
	jne	wrong
	loop	.more
	ret

which:	mov	al, 'o'
	ret

; AL to register CL of function 00:00.0
set_pam:
	call	address
	out	dx, al
	ret

get_pam:
	call	address
	in	al, dx
	ret

address:
	push	eax
	mov	eax, 0x80000000
	mov	al, cl
	and	al, 0xfc
	mov	dx, 0xcf8
	out	dx, eax
	pop	eax
	mov	dl, cl
	and	dx, 3
	add	dx, 0xcfc
	ret

wrong:	mov	si, bad
	call	print
	jmp	stop

good:	mov	si, ok
print:	mov	al, [cs:si]
	inc	si
	test	al, al
	jz	.end
	mov	dx, SERIAL
	out	dx, al
	jmp	print
.end:	ret

marker	db	"ROM!"
ok	db	" ok", 13, 10, 0
bad	db	" wrong", 13, 10, 0

	times 0xfff0-($-$$) db 0
	jmp	0xf000:start
	times 0x10000-($-$$) db 0

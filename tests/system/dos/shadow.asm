; SPDX-License-Identifier: Apache-2.0
; A boot sector that writes to the BIOS's memory: below 1 MiB it is protected
; once the BIOS has started, until PAM0 of the host bridge (Q35 MCH, 5.1.17)
; opens it. A line for each step, "wrong" when it is.

	bits	16
	cpu	386
	org	0x7c00

BIOS	equ	0xf000			; the date is there: offset 0xfff5
VGA	equ	0xc000			; an option ROM begins at offset 0

	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	ax, BIOS
	mov	es, ax
	mov	di, 0xfff5

	mov	si, protected
	call	change
	je	fail
	call	good

	mov	si, opened
	mov	al, 0x30
	call	pam0
	call	change
	jne	fail
	call	good

	mov	si, again
	mov	al, 0x10
	call	pam0
	call	change
	je	fail
	call	good

	mov	ax, VGA
	mov	es, ax
	xor	di, di
	mov	si, option
	call	change
	je	fail
	call	good
	mov	si, over
	call	print
stop:	hlt
	jmp	stop

fail:	call	print
	mov	si, bad
	call	print
	jmp	stop

good:	call	print
	mov	si, ok
	; falls through
print:	lodsb
	test	al, al
	jz	.end
	mov	ah, 0x0e
	xor	bx, bx
	int	0x10
	jmp	print
.end:	ret

; Equal when [ES:DI] takes another value; it has its own again then.
change:	cli
	mov	ah, [es:di]
	mov	al, ah
	not	al
	mov	[es:di], al
	cmp	[es:di], al
	mov	[es:di], ah
	sti
	ret

; AL to register 0x90 of function 00:00.0
pam0:	push	ax
	mov	dx, 0xcf8
	mov	eax, 0x80000090
	out	dx, eax
	mov	dx, 0xcfc
	pop	ax
	out	dx, al
	ret

protected	db "protected", 0
opened		db "opened", 0
again		db "protected again", 0
option		db "option rom", 0
over		db "over", 13, 10, 0
ok		db " ok", 13, 10, 0
bad		db " wrong", 13, 10, 0

	times 510-($-$$) db 0
	dw	0xaa55

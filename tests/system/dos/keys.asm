; SPDX-License-Identifier: Apache-2.0
;
; A boot sector that tells on COM1 what is typed: characters by the BIOS
; ("bios x"), after "q" scan codes that it reads from the 8042 by itself
; ("code 1e"), with interrupts off, as systems do that know nothing of the
; BIOS's drivers.
	org 0x7c00
	bits 16

start:	xor	ax, ax
	mov	ds, ax
	mov	ss, ax
	mov	sp, 0x7c00
	mov	si, ready
	call	print

bios:	xor	ah, ah
	int	0x16
	push	ax
	mov	si, by_bios
	call	print
	pop	ax
	push	ax
	call	put
	call	line
	pop	ax
	cmp	al, 'q'
	jne	bios

	cli
	mov	si, alone
	call	print
codes:	in	al, 0x64
	test	al, 1
	jz	codes
	in	al, 0x60
	push	ax
	mov	si, by_code
	call	print
	pop	ax
	push	ax
	shr	al, 4
	call	digit
	pop	ax
	and	al, 15
	call	digit
	call	line
	jmp	codes

digit:	add	al, '0'
	cmp	al, '9'
	jbe	put
	add	al, 'a' - '9' - 1
put:	mov	dx, 0x3fd
	mov	ah, al
.wait:	in	al, dx
	test	al, 0x20
	jz	.wait
	mov	al, ah
	mov	dx, 0x3f8
	out	dx, al
	ret

line:	mov	si, end
print:	lodsb
	test	al, al
	jz	.done
	call	put
	jmp	print
.done:	ret

ready	db	"ready", 13, 10, 0
alone	db	"alone", 13, 10, 0
by_bios	db	"bios ", 0
by_code	db	"code ", 0
end	db	".", 13, 10, 0

	times	510 - ($ - $$) db 0
	dw 0xaa55

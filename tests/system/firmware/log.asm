; SPDX-License-Identifier: Apache-2.0
; A boot sector that keeps a log in the disk's sector 8: each boot appends the
; first word of the hypervisor's signature (CPUID leaf 0x40000000), writes the
; sector by the BIOS (extended INT 0x13), reads it again and prints it.

	bits	16
	cpu	586
	org	0x7c00

LOG	equ	0x8000
PORT	equ	0x3f8

	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00

	mov	ah, 0x42
	call	disk
	mov	di, LOG			; where the log ends
	mov	cx, 508
	xor	al, al
	cld
	repne	scasb
	jne	fail
	dec	di
	push	dx
	mov	eax, 0x40000000
	cpuid
	pop	dx
	mov	[di], ebx
	mov	byte [di+4], 0
	mov	ax, 0x4300
	call	disk
	mov	di, LOG			; what is on the disk counts
	mov	cx, 256
	xor	ax, ax
	rep	stosw
	mov	ah, 0x42
	call	disk

	mov	si, begin
	call	print
	mov	si, LOG
	call	print
	mov	si, end
	call	print
stop:	hlt
	jmp	stop

; Function AH of INT 0x13 on the packet; DL is the drive that was booted.
disk:	mov	si, packet
	int	0x13
	jc	fail
	ret

fail:	mov	si, wrong
	call	print
	jmp	stop

print:	lodsb
	test	al, al
	jz	printed
	mov	ah, al
	mov	dx, PORT+5
ready:	in	al, dx
	test	al, 0x20
	jz	ready
	mov	dx, PORT
	mov	al, ah
	out	dx, al
	jmp	print
printed:
	ret

packet:	db	16, 0
	dw	1			; sectors
	dw	LOG, 0			; offset, segment
	dq	8			; from this one on

begin:	db	"log ", 0
end:	db	" end", 13, 10, 0
wrong:	db	"wrong", 13, 10, 0

	times 510-($-$$) db 0
	dw	0xaa55

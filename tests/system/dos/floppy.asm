; SPDX-License-Identifier: Apache-2.0
; A program of the DOS kind on a floppy disk of 1440 KiB: its first sector is
; booted by a BIOS and loads the rest. It reads, writes, verifies and formats
; by INT 13h, then takes the controller itself, by DMA and without. A line on
; the screen for each step; the first that goes wrong says "wrong" and is the
; last. Keys come by INT 16h. It ends by ACPI power-off.
;
; Assembled with -DBOOT (the first sector), or as the rest, loaded at 0x8000.

	bits	16
	cpu	386

%ifdef BOOT
	org	0x7c00
	jmp	start
	times 3-($-$$) nop
	times 0x3e-($-$$) db 0		; no file system
start:
	cli
	xor	ax, ax
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, 0x7c00
	sti
	mov	[0x7b00], dl
	mov	ax, 0x0200 + 12		; sectors 2 to 13 of the first track
	mov	bx, 0x8000
	mov	cx, 0x0002
	xor	dh, dh
	int	0x13
	jc	.stop
	jmp	0:0x8000
.stop:
	hlt
	jmp	.stop
	times 510-($-$$) db 0
	dw	0xaa55
%else

	org	0x8000

DRIVE	equ	0x7b00
WROTE	equ	0x4000			; segments of the buffers; a page of DMA
GOT	equ	0x5000

DOR	equ	0x3f2
MSR	equ	0x3f4
FIFO	equ	0x3f5
DIR	equ	0x3f7

%macro step 1
	mov	si, %%text
	call	print
	jmp	%%go
%%text	db	%1, 0
%%go:
%endmacro
%macro passed 0
	mov	si, ok
	call	print
%endmacro
%macro disk 4				; ax, cylinder, head, sector
	mov	ax, %1
	mov	ch, %2
	mov	cl, %4
	mov	dh, %3
	mov	dl, [DRIVE]
	xor	bx, bx
	int	0x13
%endmacro

	step	"int 13h geometry"
	mov	ah, 8
	mov	dl, [DRIVE]
	xor	di, di
	int	0x13
	jc	wrong
	cmp	ch, 79
	jne	wrong
	cmp	dh, 1
	jne	wrong
	cmp	cl, 18
	jne	wrong
	cmp	bl, 4			; 1440 KiB
	jne	wrong
	push	cs
	pop	es
	passed

	step	"int 13h write"
	call	fill
	mov	ax, WROTE
	mov	es, ax
	disk	0x0303, 40, 1, 5
	jc	refused
	passed
	step	"int 13h read"
	mov	ax, GOT
	mov	es, ax
	disk	0x0203, 40, 1, 5
	jc	wrong
	mov	cx, 3 * 256
	call	compare
	jne	wrong
	passed
	step	"int 13h track"
	mov	ax, WROTE
	mov	es, ax
	disk	0x0312, 42, 0, 1
	jc	wrong
	mov	ax, GOT
	mov	es, ax
	disk	0x0212, 42, 0, 1
	jc	wrong
	mov	cx, 18 * 256
	call	compare
	jne	wrong
	passed
	step	"int 13h verify"
	disk	0x0412, 42, 0, 1
	jc	wrong
	passed
	step	"int 13h beyond"
	disk	0x0201, 3, 0, 19
	jnc	wrong
	passed

	step	"int 13h format"
	mov	ax, WROTE
	mov	es, ax
	xor	di, di
	mov	cl, 1
.id:	mov	al, 42			; C, H, R, N
	stosb
	xor	al, al
	stosb
	mov	al, cl
	stosb
	mov	al, 2
	stosb
	inc	cl
	cmp	cl, 19
	jne	.id
	disk	0x0512, 42, 0, 1
	jc	wrong
	mov	ax, GOT
	mov	es, ax
	disk	0x0212, 42, 0, 1
	jc	wrong
	mov	al, 0xf6
	xor	di, di
	mov	cx, 18 * 512
	repe	scasb
	jne	wrong
	passed

; --- the controller itself ---

	step	"reset"
	in	al, 0x21
	or	al, 0x40		; the BIOS does not hear of it
	out	0x21, al
	mov	dx, DOR
	mov	al, 0x18
	out	dx, al
	mov	al, 0x1c
	out	dx, al
	mov	bl, 0xc0		; four units report
.sense:	mov	al, 8
	call	send
	call	receive
	cmp	al, bl
	jne	wrong
	call	receive
	inc	bl
	cmp	bl, 0xc4
	jne	.sense
	passed
	step	"version"
	mov	al, 0x10
	call	send
	call	receive
	cmp	al, 0x90
	jne	wrong
	passed
	step	"seek"
	mov	dx, DIR
	xor	al, al
	out	dx, al			; 500 kbit/s
	mov	si, specify
	call	command
	mov	si, recalibrate
	call	command
	mov	bx, 0x0020
	call	sense
	mov	si, seek
	call	command
	mov	bx, 0x2820
	call	sense
	mov	dx, DIR
	in	al, dx
	test	al, 0x80		; the same disk since
	jnz	wrong
	passed
	step	"read id"
	mov	si, read_id
	call	command
	call	receive
	and	al, 0xf8
	jnz	wrong
	mov	cx, 3
.id3:	call	receive
	loop	.id3
	cmp	al, 40			; C
	jne	wrong
	call	receive
	call	receive
	call	receive
	passed

	step	"read by dma"
	mov	al, 0x46		; to memory, single, channel 2
	call	program
	mov	si, read
	call	command
	call	result
	call	fill
	mov	cx, 256
	call	compare
	jne	wrong
	passed
	step	"write by dma"
	not	word [es:0]
	mov	al, 0x4a
	call	program
	mov	si, write
	call	command
	call	result
	passed
	step	"read without dma"
	mov	si, no_dma
	call	command
	mov	si, read
	call	command
	mov	ax, WROTE
	mov	es, ax
	xor	di, di
	mov	cx, 512
.byte:	mov	dx, MSR
	in	al, dx
	and	al, 0xe0
	cmp	al, 0xe0
	jne	.byte
	mov	dx, FIFO
	in	al, dx
	stosb
	loop	.byte
	call	receive			; the command ended at its last sector
	and	al, 0xc0
	cmp	al, 0x40
	jne	wrong
	call	receive
	cmp	al, 0x80
	jne	wrong
	mov	cx, 5
.rest:	call	receive
	loop	.rest
	mov	cx, 256
	call	compare
	jne	wrong
	passed

	step	"key? "
	xor	ah, ah
	int	0x16
	mov	ah, 0x0e
	int	0x10
	passed
	mov	dx, 0x604
	mov	ax, 0x2000
	out	dx, ax
	jmp	$

refused:				; AH: the BIOS's reason
	cmp	ah, 3
	jne	wrong
	mov	si, protected
	call	print
	jmp	stop
wrong:	mov	si, bad
	call	print
stop:	hlt
	jmp	stop

; DS:SI, NUL-terminated
print:	lodsb
	test	al, al
	jz	.end
	mov	ah, 0x0e
	xor	bx, bx
	int	0x10
	jmp	print
.end:	ret

; WROTE: 18 sectors that differ
fill:	mov	ax, WROTE
	mov	es, ax
	xor	di, di
	mov	ax, 0x1234
.next:	stosw
	imul	ax, 25173
	add	ax, 13849
	cmp	di, 18 * 512
	jne	.next
	ret

; CX words of WROTE and GOT
compare:
	push	ds
	mov	ax, WROTE
	mov	ds, ax
	mov	ax, GOT
	mov	es, ax
	xor	si, si
	xor	di, di
	repe	cmpsw
	pop	ds
	ret

; AL to the FIFO
send:	push	ax
.wait:	mov	dx, MSR
	in	al, dx
	and	al, 0xc0
	cmp	al, 0x80
	jne	.wait
	pop	ax
	mov	dx, FIFO
	out	dx, al
	ret

; AL from it
receive:
	mov	dx, MSR
	in	al, dx
	and	al, 0xd0
	cmp	al, 0xd0
	jne	receive
	mov	dx, FIFO
	in	al, dx
	ret

; [SI]: how many bytes, the bytes
command:
	lodsb
	movzx	cx, al
.next:	lodsb
	call	send
	loop	.next
	ret

; Waits for the end of a seek: ST0 in BL, cylinder in BH
sense:	mov	al, 8
	call	send
	call	receive
	cmp	al, bl
	jne	wrong
	call	receive
	cmp	al, bh
	jne	wrong
	ret

; Seven bytes that say that all is well
result:	call	receive
	and	al, 0xc0
	jnz	wrong
	mov	cx, 6
.next:	call	receive
	loop	.next
	ret

; Channel 2: mode AL, a sector at GOT
program:
	mov	ah, al
	mov	al, 6
	out	0x0a, al
	out	0x0c, al
	mov	al, ah
	out	0x0b, al
	xor	al, al
	out	0x04, al
	out	0x04, al
	mov	al, GOT >> 12
	out	0x81, al
	mov	al, 0xff
	out	0x05, al
	mov	al, 1
	out	0x05, al
	mov	al, 2
	out	0x0a, al
	mov	ax, GOT
	mov	es, ax
	ret

specify		db 3, 0x03, 0xaf, 0x02
no_dma		db 3, 0x03, 0xaf, 0x03
recalibrate	db 2, 0x07, 0
seek		db 3, 0x0f, 0, 40
read_id		db 2, 0x4a, 4
read		db 9, 0x46, 4, 40, 1, 5, 2, 5, 0x1b, 0xff
write		db 9, 0x45, 4, 40, 1, 5, 2, 5, 0x1b, 0xff

ok		db " ok", 13, 10, 0
bad		db " wrong", 13, 10, 0
protected	db " protected", 13, 10, 0

	times 12*512-($-$$) db 0
%endif

; SPDX-License-Identifier: Apache-2.0
; The smallest UEFI program (PE/COFF specification 3 and 4; UEFI 2.10, 2.1.1):
; says where it was found, which -DWORDS tells, and stops.

	bits	64
	org	0

ALIGN_TO equ	0x200

	db	"MZ"
	times 0x3c-($-$$) db 0
	dd	pe
pe:	db	"PE", 0, 0
	dw	0x8664, 1		; x64, one section
	dd	0, 0, 0
	dw	options_end-options, 0x0022
options:
	dw	0x20b
	db	1, 0
	dd	ALIGN_TO, 0, 0		; sizes of code and data
	dd	entry, code
	dq	0			; loaded anywhere: no fix-ups are needed
	dd	ALIGN_TO, ALIGN_TO
	dw	0, 0, 0, 0, 0, 0
	dd	0
	dd	code+ALIGN_TO, ALIGN_TO	; of the image, of its headers
	dd	0
	dw	10, 0			; an EFI application
	dq	0, 0, 0, 0
	dd	0, 6
	times 6 dq 0			; directories: none
options_end:
	db	".text", 0, 0, 0
	dd	ALIGN_TO, code, ALIGN_TO, code, 0, 0
	dw	0, 0
	dd	0x60000020
	times ALIGN_TO-($-$$) db 0

code:
entry:	sub	rsp, 40
	mov	rcx, [rdx+64]		; ConOut
	lea	rdx, [rel words]
	call	[rcx+8]			; OutputString
stop:	hlt
	jmp	stop

words:	dw	__?utf16?__(WORDS), 13, 10, 0
	times 2*ALIGN_TO-($-$$) db 0

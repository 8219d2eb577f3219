/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyboards and pointers: PS/2 always, USB where it is wanted. What somebody
 * types or points at goes to the USB device when a driver of the guest's takes
 * it, so firmware, boot loaders and systems without such a driver have the
 * PS/2 ones.
 */
#include "board/layout.h"
#include "board/pc.h"
#include "device/usb_keyboard.h"
#include "device/usb_tablet.h"
#include "device/xhci.h"

#define PORT_TABLET   0
#define PORT_KEYBOARD 1

_Static_assert(PS2_MOUSE_LEFT == USB_TABLET_LEFT &&
		       PS2_MOUSE_RIGHT == USB_TABLET_RIGHT &&
		       PS2_MOUSE_MIDDLE == USB_TABLET_MIDDLE,
	       "buttons have the same numbers");

int input_add_usb(struct board *board)
{
	struct vm *vm = &board->vm;
	int err = usb_tablet_create(&board->usb_tablet, vm);

	if (!err)
		err = usb_keyboard_create(&board->usb_keyboard, vm);
	if (!err)
		err = xhci_create(&board->xhci, vm);
	if (err)
		return err;
	xhci_plug(board->xhci, PORT_TABLET, &board->usb_tablet->hid.usb);
	xhci_plug(board->xhci, PORT_KEYBOARD, &board->usb_keyboard->hid.usb);
	return pci_attach(&board->pci.root, xhci_pci(board->xhci),
			  PCI_DEVFN(LAYOUT_SLOT_USB, 0));
}

/* Held, for both: the device lock. */
static bool has_usb_keyboard(struct board *board)
{
	return board->xhci && usb_hid_is_read(&board->usb_keyboard->hid) &&
	       xhci_listens(board->xhci, PORT_KEYBOARD);
}

static bool has_tablet(struct board *board)
{
	return board->xhci && usb_hid_is_read(&board->usb_tablet->hid) &&
	       xhci_listens(board->xhci, PORT_TABLET);
}

void board_key(struct board *board, unsigned int key, bool down)
{
	bool usb;

	host_lock(&board->vm.device_lock);
	usb = has_usb_keyboard(board);
	/* A release concerns whichever the key was pressed on. */
	if (usb || (board->xhci && !down))
		usb_keyboard_key(board->usb_keyboard, key, down);
	if (!usb || !down)
		ps2_keyboard_key(&board->keyboard, key, down);
	host_unlock(&board->vm.device_lock);
}

unsigned int board_keys_unread(struct board *board)
{
	unsigned int count;

	host_lock(&board->vm.device_lock);
	if (has_usb_keyboard(board))
		count = usb_keyboard_unread(board->usb_keyboard);
	else
		count = board->keyboard.queue.count;
	host_unlock(&board->vm.device_lock);
	return count;
}

bool board_points(struct board *board)
{
	bool can;

	host_lock(&board->vm.device_lock);
	can = has_tablet(board);
	host_unlock(&board->vm.device_lock);
	return can;
}

/* The first pixel is one edge, the last one the other. */
static unsigned int scale(uint32_t at, uint32_t size)
{
	if (size < 2 || at >= size)
		return at ? USB_TABLET_MAX : 0;
	return (unsigned int)((uint64_t)at * USB_TABLET_MAX / (size - 1));
}

bool board_point(struct board *board, uint32_t x, uint32_t y, uint32_t width,
		 uint32_t height, int wheel, unsigned int buttons)
{
	bool can;

	host_lock(&board->vm.device_lock);
	can = has_tablet(board);
	if (can)
		usb_tablet_move(board->usb_tablet, scale(x, width),
				scale(y, height), wheel, buttons);
	host_unlock(&board->vm.device_lock);
	return can;
}

void board_mouse(struct board *board, int x, int y, int wheel,
		 unsigned int buttons)
{
	host_lock(&board->vm.device_lock);
	ps2_mouse_move(&board->mouse, x, y, wheel, buttons);
	host_unlock(&board->vm.device_lock);
}

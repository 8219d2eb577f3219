/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of the remote framebuffer protocol (RFC 6143) and of the extensions
 * that its registry at IANA and the community's rfbproto text describe. All
 * fields are big-endian.
 */
#ifndef LODGE_VNC_PROTOCOL_H
#define LODGE_VNC_PROTOCOL_H

#define RFB_VERSION_SIZE 12u
#define RFB_VERSION	 "RFB 003.008\n"

/* Security types (7.1.2) and their result (7.1.3) */
#define RFB_SECURITY_NONE 1u
#define RFB_SECURITY_VNC  2u
#define RFB_CHALLENGE_SIZE 16u
#define RFB_RESULT_OK	  0u
#define RFB_RESULT_FAILED 1u

/* From the client (7.5), with the size of what is always there */
enum rfb_client_message {
	RFB_SET_PIXEL_FORMAT = 0,
	RFB_SET_ENCODINGS = 2,
	RFB_UPDATE_REQUEST = 3,
	RFB_KEY_EVENT = 4,
	RFB_POINTER_EVENT = 5,
	RFB_CUT_TEXT = 6,
	RFB_QEMU = 255,
};

#define RFB_SET_PIXEL_FORMAT_SIZE 20u
#define RFB_SET_ENCODINGS_SIZE	  4u
#define RFB_UPDATE_REQUEST_SIZE	  10u
#define RFB_KEY_EVENT_SIZE	  8u
#define RFB_POINTER_EVENT_SIZE	  6u
#define RFB_CUT_TEXT_SIZE	  8u
#define RFB_QEMU_KEY_SIZE	  12u
#define RFB_QEMU_KEY		  0u /* the second byte */

/* From the server (7.6) */
#define RFB_UPDATE 0u

/* Encodings (7.7) and pseudo-encodings (7.8) */
#define RFB_RAW		   0
#define RFB_ZRLE	   16
#define RFB_DESKTOP_SIZE   (-223)
#define RFB_CURSOR	   (-239)
#define RFB_POINTER_CHANGE (-257) /* QEMU: absolute (x is 1) or not */
#define RFB_KEY_CODES	   (-258) /* QEMU: key events with codes */

/* Where a pointer that moves relatively always stands. */
#define RFB_POINTER_MIDDLE 0x7fff

/* Bits of a pointer event's buttons */
#define RFB_BUTTON_LEFT	  0x01u
#define RFB_BUTTON_MIDDLE 0x02u
#define RFB_BUTTON_RIGHT  0x04u
#define RFB_WHEEL_UP	  0x08u
#define RFB_WHEEL_DOWN	  0x10u

#endif

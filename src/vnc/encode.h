/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rectangles of a screen as bytes for a client: Raw and ZRLE (RFC 6143,
 * 7.7.1 and 7.7.6). Pixels outside of the screen are black.
 */
#ifndef LODGE_VNC_ENCODE_H
#define LODGE_VNC_ENCODE_H

#include "vnc/bytes.h"
#include "vnc/pixel.h"
#include "vnc/screen.h"

/* A stream of ZRLE, one for each client. */
struct vnc_zrle;

/* `to` is broken when memory is short. */
void vnc_encode_raw(struct vnc_bytes *to, const struct vnc_format *format,
		    const struct vnc_screen *screen,
		    const struct vnc_rect *rect);

/* NULL: no memory. */
struct vnc_zrle *vnc_zrle_create(void);
void vnc_zrle_destroy(struct vnc_zrle *zrle);

void vnc_encode_zrle(struct vnc_zrle *zrle, struct vnc_bytes *to,
		     const struct vnc_format *format,
		     const struct vnc_screen *screen,
		     const struct vnc_rect *rect);

#endif

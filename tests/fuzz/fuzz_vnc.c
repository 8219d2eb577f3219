/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a viewer may send, from its first byte on. The input's first
 * byte chooses how far the handshake has come already, and how much of what
 * is sent to it the viewer reads.
 */
#include "fuzz_device.h"

#include <stdlib.h>
#include <string.h>

#include "vnc/session.h"

#define WIDTH  200u
#define HEIGHT 70u
#define PIECE  29u /* bytes at a time */

static struct vnc_screen screen;

static void take_key(void *ctx, unsigned int key, bool down)
{
	if (key > 0xe7)
		abort();
}

static void take_pointer(void *ctx, const struct vnc_pointer *pointer)
{
	if (pointer->x >= pointer->width || pointer->y >= pointer->height)
		abort();
}

static bool admit(void *ctx, bool right)
{
	return right;
}

static void make_screen(void)
{
	static struct frame frame;
	struct vnc_tiles changed;

	frame.pixels = calloc(WIDTH * HEIGHT, sizeof(uint32_t));
	frame.width = WIDTH;
	frame.height = HEIGHT;
	frame.serial = 1;
	if (!frame.pixels)
		abort();
	for (uint32_t i = 0; i < WIDTH * HEIGHT; i++)
		frame.pixels[i] = i % 61 * i % 0xffffff;
	vnc_screen_take(&screen, &frame, &changed);
	free(frame.pixels);
}

static void take_output(struct vnc_session *session, size_t most)
{
	size_t size;

	if (vnc_session_output(session, &size))
		vnc_session_sent(session, size < most ? size : most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char begin[] = "RFB 003.008\n\1\1";
	struct vnc_shared shared = {
		.name = "fuzz",
		.screen = &screen,
		.key = take_key,
		.pointer = take_pointer,
		.admit = admit,
	};
	struct vnc_session *session;
	struct vnc_tiles all;
	uint8_t how = size ? data[0] : 0;

	if (!screen.pixels)
		make_screen();
	memset(&all, 0xff, sizeof(all));
	shared.password = how & 1 ? "word" : NULL;
	shared.absolute = how & 2;
	session = vnc_session_create(&shared);
	if (!session)
		return 0;
	if (!(how & 5))
		vnc_session_receive(session, (const uint8_t *)begin, 14);
	for (size_t at = 1; at < size; at += PIECE) {
		size_t n = size - at < PIECE ? size - at : PIECE;

		if (!vnc_session_receive(session, data + at, n))
			break;
		vnc_session_changed(session, &all);
		take_output(session, how & 8 ? 7 : SIZE_MAX);
	}
	vnc_session_destroy(session);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The remote framebuffer protocol without sockets: tiles, pixels, keys, the
 * handshake of each version, updates, and clients that do as they like. What
 * a real client makes of it is in tests/system/test_vnc.py.
 */
#include "fake/test.h"

#include <stdlib.h>
#include <string.h>

#include "chip/key.h"
#include "fake/random.h"
#include "vnc/auth.h"
#include "vnc/keys.h"
#include "vnc/pixel.h"
#include "vnc/protocol.h"
#include "vnc/session.h"

/* --- tiles ------------------------------------------------------------------- */

static struct frame frame;

static void set_frame(uint32_t width, uint32_t height)
{
	free(frame.pixels);
	memset(&frame, 0, sizeof(frame));
	frame.pixels = calloc((size_t)width * height, sizeof(uint32_t));
	frame.width = width;
	frame.height = height;
	frame.serial = 1;
}

static void draw(uint32_t x, uint32_t y, uint32_t colour)
{
	frame.pixels[y * frame.width + x] = colour;
	frame.changed[y] = ++frame.serial;
}

static void screen_finds_what_changed(void **state)
{
	struct vnc_screen screen = { 0 };
	struct vnc_tiles changed;
	struct vnc_rect rect;

	set_frame(200, 100);
	assert_true(vnc_screen_take(&screen, &frame, &changed));
	assert_int_equal(screen.width, 200);
	assert_false(vnc_screen_take(&screen, &frame, &changed));
	draw(130, 17, 0xff);
	assert_true(vnc_screen_take(&screen, &frame, &changed));
	assert_true(vnc_tiles_take(&changed, 200, 100, &rect));
	assert_int_equal(rect.x, 128);
	assert_int_equal(rect.y, 16);
	assert_int_equal(rect.width, 64);
	assert_int_equal(rect.height, 16);
	assert_false(vnc_tiles_take(&changed, 200, 100, &rect));
	assert_int_equal(screen.pixels[17 * 200 + 130], 0xff);
	/* Drawn again as it was. */
	draw(130, 17, 0xff);
	assert_false(vnc_screen_take(&screen, &frame, &changed));
	/* At the edge: cut to the screen. */
	draw(199, 99, 1);
	assert_true(vnc_screen_take(&screen, &frame, &changed));
	assert_true(vnc_tiles_take(&changed, 200, 100, &rect));
	assert_int_equal(rect.x + rect.width, 200);
	assert_int_equal(rect.y + rect.height, 100);
	vnc_screen_free(&screen);
}

/* Rectangles taken out cover each tile of the set once, and no other. */
static void tiles_are_taken_once(void **state)
{
	static uint8_t want[VNC_TILE_ROWS][64], got[VNC_TILE_ROWS][64];

	for (unsigned int turn = 0; turn < 200; turn++) {
		struct vnc_tiles set = { 0 };
		struct vnc_rect rect;

		memset(want, 0, sizeof(want));
		memset(got, 0, sizeof(got));
		for (unsigned int n = random_below(200); n; n--) {
			uint32_t y = random_below(VNC_TILE_ROWS);
			uint32_t x = random_below(64);
			uint32_t w = 1 + random_below(64 - x);

			for (; w; w--, x++) {
				set.row[y] |= 1ull << x;
				want[y][x] = 1;
			}
		}
		while (vnc_tiles_take(&set, FRAME_WIDTH_MAX, FRAME_HEIGHT_MAX,
				      &rect))
			for (uint32_t y = 0; y < rect.height; y += 16)
				for (uint32_t x = 0; x < rect.width; x += 64)
					got[(rect.y + y) / 16]
					   [(rect.x + x) / 64]++;
		assert_memory_equal(want, got, sizeof(want));
	}
}

static void tiles_cover_any_rectangle(void **state)
{
	static const struct vnc_rect rects[] = {
		{ 0, 0, 0, 0 }, { 65535, 65535, 65535, 65535 },
		{ 0, 0, 65535, 65535 }, { 4095, 2399, 1, 1 },
		{ 4096, 0, 1, 1 }, { 63, 15, 2, 2 },
	};
	static const uint64_t first[] = { 0, 0, UINT64_MAX, 0, 0, 3 };
	struct vnc_tiles tiles;

	for (size_t i = 0; i < sizeof(rects) / sizeof(rects[0]); i++) {
		vnc_tiles_cover(&tiles, &rects[i]);
		assert_int_equal(tiles.row[0], first[i]);
		assert_int_equal(vnc_tiles_empty(&tiles),
				 i == 0 || i == 1 || i == 4);
	}
	vnc_tiles_cover(&tiles, &rects[3]);
	assert_int_equal(tiles.row[VNC_TILE_ROWS - 1], 1ull << 63);
	vnc_tiles_cover(&tiles, &rects[5]);
	assert_int_equal(tiles.row[1], 3);
	assert_int_equal(tiles.row[2], 0);
}

/* --- pixels -------------------------------------------------------------------- */

static void pixels_in_all_formats(void **state)
{
	static const struct {
		uint8_t wire[VNC_FORMAT_SIZE], plain[4], packed[4];
		unsigned int size, packed_size;
	} cases[] = {
		{ { 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0 },
		  { 0x00, 0x80, 0xff, 0 }, { 0x00, 0x80, 0xff }, 4, 3 },
		{ { 32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0 },
		  { 0, 0xff, 0x80, 0x00 }, { 0xff, 0x80, 0x00 }, 4, 3 },
		{ { 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 24, 16, 8 },
		  { 0, 0x00, 0x80, 0xff }, { 0x00, 0x80, 0xff }, 4, 3 },
		{ { 16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0 },
		  { 0x00, 0xfc }, { 0x00, 0xfc }, 2, 2 },
		{ { 16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0 },
		  { 0xfc, 0x00 }, { 0xfc, 0x00 }, 2, 2 },
		{ { 8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6 },
		  { 0x27 }, { 0x27 }, 1, 1 },
	};
	static const uint32_t pixel = 0xff8000;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vnc_format format;
		uint8_t out[4];

		assert_true(vnc_format_parse(&format, cases[i].wire));
		assert_ptr_equal(vnc_pixels_put(&format, out, &pixel, 1),
				 out + cases[i].size);
		assert_memory_equal(out, cases[i].plain, cases[i].size);
		assert_ptr_equal(vnc_pixels_pack(&format, out, &pixel, 1),
				 out + cases[i].packed_size);
		assert_memory_equal(out, cases[i].packed,
				    cases[i].packed_size);
	}
}

static void formats_that_are_refused(void **state)
{
	uint8_t wire[VNC_FORMAT_SIZE];
	struct vnc_format format;

	for (unsigned int bits = 0; bits < 256; bits++) {
		memcpy(wire, vnc_format_default, sizeof(wire));
		wire[0] = (uint8_t)bits;
		wire[10] = wire[11] = wire[12] = 0;
		assert_int_equal(vnc_format_parse(&format, wire),
				 bits == 8 || bits == 16 || bits == 32);
	}
	memcpy(wire, vnc_format_default, sizeof(wire));
	wire[10] = 32; /* shift */
	assert_false(vnc_format_parse(&format, wire));
	memcpy(wire, vnc_format_default, sizeof(wire));
	wire[3] = 0; /* colour map */
	assert_false(vnc_format_parse(&format, wire));
}

/* --- keys and passwords --------------------------------------------------------- */

static void keys_of_codes(void **state)
{
	unsigned int found = 0;

	for (uint32_t code = 0; code < 0x10000; code++)
		found += vnc_key_of_code(code) != KEY_NONE;
	assert_int_equal(found, 87 + 19); /* plain and behind 0xe0 */
	assert_int_equal(vnc_key_of_code(0x1e), KEY_A);
	assert_int_equal(vnc_key_of_code(0xc8), KEY_UP);
	assert_int_equal(vnc_key_of_code(0x48), KEY_KP_1 + 7);
	assert_int_equal(vnc_key_of_code(UINT32_MAX), KEY_NONE);
	assert_int_equal(vnc_key_of_code(0x80000000), KEY_NONE);
}

static void keys_of_keysyms(void **state)
{
	enum vnc_shift shift;

	assert_int_equal(vnc_key_of_keysym('a', &shift), KEY_A);
	assert_int_equal(shift, VNC_SHIFT_ANY);
	assert_int_equal(vnc_key_of_keysym('A', &shift), KEY_A);
	assert_int_equal(shift, VNC_SHIFT_CASE);
	assert_int_equal(vnc_key_of_keysym('?', &shift), KEY_SLASH);
	assert_int_equal(shift, VNC_SHIFT_DOWN);
	assert_int_equal(vnc_key_of_keysym('/', &shift), KEY_SLASH);
	assert_int_equal(shift, VNC_SHIFT_UP);
	assert_int_equal(vnc_key_of_keysym(' ', &shift), KEY_SPACE);
	assert_int_equal(shift, VNC_SHIFT_ANY);
	assert_int_equal(vnc_key_of_keysym(0xffc9, &shift), KEY_F12);
	assert_int_equal(vnc_key_of_keysym(0xffb9, &shift), KEY_KP_1 + 8);
	assert_int_equal(vnc_key_of_keysym(0xffff, &shift), KEY_DELETE);
	for (uint32_t c = 0x20; c < 0x7f; c++)
		assert_int_not_equal(vnc_key_of_keysym(c, &shift), KEY_NONE);
	assert_int_equal(vnc_key_of_keysym(0xe9, &shift), KEY_NONE);
	assert_int_equal(vnc_key_of_keysym(UINT32_MAX, &shift), KEY_NONE);
}

/* What openssl's DES makes of the key with its bits in reverse. */
static void answers_a_challenge(void **state)
{
	static const uint8_t challenge[16] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	};
	static const uint8_t eight[16] = {
		0xad, 0xcd, 0x99, 0x7f, 0x8e, 0x16, 0xfe, 0xe5,
		0x75, 0xe9, 0x73, 0xf9, 0x3c, 0x2b, 0x62, 0xb4,
	};
	static const uint8_t three[16] = {
		0x9c, 0x22, 0xb4, 0xf2, 0x08, 0x8c, 0x34, 0x65,
		0xa1, 0x56, 0x2c, 0x4b, 0x9d, 0x6e, 0xdb, 0x04,
	};
	uint8_t out[16];

	vnc_auth_answer("secret12", challenge, out);
	assert_memory_equal(out, eight, 16);
	vnc_auth_answer("abc", challenge, out);
	assert_memory_equal(out, three, 16);
	assert_true(vnc_auth_same(out, three));
	out[15] ^= 0x80;
	assert_false(vnc_auth_same(out, three));
}

/* --- sessions ------------------------------------------------------------------- */

static struct vnc_screen screen;
static struct vnc_shared shared;
static struct vnc_session *session;

static struct {
	unsigned int key[64];
	bool down[64];
	unsigned int count;
	struct vnc_pointer pointer;
	unsigned int pointers;
	bool closed_to_all;
} told;

static void take_key(void *ctx, unsigned int key, bool down)
{
	told.key[told.count % 64] = key;
	told.down[told.count++ % 64] = down;
}

static void take_pointer(void *ctx, const struct vnc_pointer *pointer)
{
	told.pointer = *pointer;
	told.pointers++;
}

static bool admit(void *ctx, bool right)
{
	return right && !told.closed_to_all;
}

/* A viewer of a screen of that size, before a word is said. */
static void open_session(const char *password, uint32_t width, uint32_t height)
{
	struct vnc_tiles changed;

	memset(&told, 0, sizeof(told));
	set_frame(width, height);
	vnc_screen_free(&screen);
	vnc_screen_take(&screen, &frame, &changed);
	shared = (struct vnc_shared){
		.name = "m",
		.password = password,
		.screen = &screen,
		.key = take_key,
		.pointer = take_pointer,
		.admit = admit,
	};
	vnc_session_destroy(session);
	session = vnc_session_create(&shared);
	assert_non_null(session);
}

static bool say(const void *data, size_t size)
{
	return vnc_session_receive(session, data, size);
}

#define SAY(...) \
	say((const uint8_t[]){ __VA_ARGS__ }, \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* Takes all output that there is; gives its size and its beginning. */
static size_t hear(uint8_t *head, size_t room)
{
	const uint8_t *data;
	size_t size, all = 0;

	while ((data = vnc_session_output(session, &size))) {
		if (all < room)
			memcpy(head + all, data,
			       size < room - all ? size : room - all);
		all += size;
		vnc_session_sent(session, size);
	}
	assert_int_equal(size, 0);
	return all;
}

static void expect(const void *data, size_t size)
{
	uint8_t head[256];

	assert_int_equal(hear(head, sizeof(head)), size);
	assert_memory_equal(head, data, size);
}

#define EXPECT(...) \
	expect((const uint8_t[]){ __VA_ARGS__ }, \
	       sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void shake_hands(void)
{
	uint8_t rest[64];

	expect("RFB 003.008\n", 12);
	assert_true(say("RFB 003.008\n", 12));
	EXPECT(1, 1);
	assert_true(SAY(1));
	EXPECT(0, 0, 0, 0);
	assert_false(vnc_session_is_open(session));
	assert_true(SAY(0));
	assert_int_equal(hear(rest, sizeof(rest)), 4 + 16 + 4 + 1);
	assert_true(vnc_session_is_open(session));
}

static void handshakes_of_all_versions(void **state)
{
	uint8_t head[64];

	open_session(NULL, 300, 200);
	shake_hands();
	open_session(NULL, 300, 200);
	expect("RFB 003.008\n", 12);
	assert_true(say("RFB 003.003\n", 12));
	EXPECT(0, 0, 0, 1);
	assert_true(SAY(1));
	assert_int_equal(hear(head, 64), 25);
	assert_int_equal(head[0] << 8 | head[1], 300);
	assert_int_equal(head[2] << 8 | head[3], 200);
	open_session(NULL, 300, 200);
	expect("RFB 003.008\n", 12);
	assert_true(say("RFB 003.007\n", 12));
	EXPECT(1, 1);
	assert_true(SAY(1, 1));
	assert_int_equal(hear(head, 64), 25);
	for (unsigned int i = 0; i < 4; i++) {
		static const char *const bad[] = {
			"RFB 004.000\n", "RFB 003.008 ", "GET / HTTP/1",
			"\0\0\0\0\0\0\0\0\0\0\0\0",
		};

		open_session(NULL, 300, 200);
		assert_false(say(bad[i], 12));
	}
}

static void passwords(void **state)
{
	static const unsigned int minors[] = { 3, 7, 8 };
	uint8_t head[64], answer[16];

	for (unsigned int i = 0; i < 9; i++) {
		unsigned int minor = minors[i % 3];
		bool right = i < 3, shut = i >= 6;
		char version[] = "RFB 003.00x\n";

		open_session("secret12", 64, 64);
		told.closed_to_all = shut;
		version[10] = (char)('0' + minor);
		hear(head, 12);
		assert_true(say(version, 12));
		if (minor > 3) {
			EXPECT(1, 2);
			assert_true(SAY(2));
			assert_int_equal(hear(head, 64), 16);
		} else {
			assert_int_equal(hear(head, 64), 20);
			memmove(head, head + 4, 16);
		}
		vnc_auth_answer(right || shut ? "secret12" : "secret1", head,
				answer);
		assert_int_equal(say(answer, 16), right);
		hear(head, 64);
		assert_int_equal(head[3], !right);
		assert_false(vnc_session_is_open(session));
	}
	/* The kind that was not offered lets nobody in. */
	open_session("secret12", 64, 64);
	assert_true(say("RFB 003.008\n", 12));
	assert_false(SAY(1));
}

static void request_all(bool incremental)
{
	assert_true(SAY(3, incremental, 0, 0, 0, 0, 0x0f, 0xff, 0x0f, 0xff));
}

static void updates(void **state)
{
	uint8_t head[64];
	struct vnc_tiles changed;

	open_session(NULL, 64, 16);
	shake_hands();
	request_all(false);
	assert_int_equal(hear(head, 64), 4 + 12 + 64 * 16 * 4);
	assert_int_equal(head[3], 1);
	request_all(true);
	assert_true(vnc_session_waits(session));
	assert_int_equal(hear(head, 64), 0);
	draw(5, 5, 0x010203);
	vnc_screen_take(&screen, &frame, &changed);
	vnc_session_changed(session, &changed);
	assert_int_equal(hear(head, 64), 4 + 12 + 64 * 16 * 4);
	assert_false(vnc_session_waits(session));
	/* Not asked for: nothing is sent. */
	vnc_session_changed(session, &changed);
	assert_int_equal(hear(head, 64), 0);
}

/* Another size is told to clients that know how; the others get the corner. */
static void sizes(void **state)
{
	struct vnc_tiles changed;
	uint8_t head[64];

	for (unsigned int can = 0; can < 2; can++) {
		open_session(NULL, 128, 16);
		shake_hands();
		if (can)
			assert_true(SAY(2, 0, 0, 1, 0xff, 0xff, 0xff, 0x21));
		request_all(false);
		hear(head, 64);
		set_frame(64, 32);
		frame.serial = 9;
		vnc_screen_take(&screen, &frame, &changed);
		request_all(true);
		vnc_session_changed(session, &changed);
		if (!can) {
			assert_int_equal(hear(head, 64),
					 4 + 12 + 128 * 16 * 4);
			continue;
		}
		EXPECT(0, 0, 0, 1, 0, 0, 0, 0, 0, 64, 0, 32, 0xff, 0xff, 0xff,
		       0x21);
		request_all(true);
		assert_int_equal(hear(head, 64), 4 + 12 + 64 * 32 * 4);
	}
}

/* However much is asked for, what waits for a client stays bounded. */
static void output_is_bounded(void **state)
{
	size_t size;

	open_session(NULL, FRAME_WIDTH_MAX, FRAME_HEIGHT_MAX);
	shake_hands();
	for (unsigned int i = 0; i < 1000; i++) {
		request_all(false);
		assert_non_null(vnc_session_output(session, &size));
		assert_true(size < 2 << 20);
	}
}

static void key(uint32_t keysym, bool down)
{
	assert_true(SAY(4, down, 0, 0, (uint8_t)(keysym >> 24),
			(uint8_t)(keysym >> 16), (uint8_t)(keysym >> 8),
			(uint8_t)keysym));
}

static void expect_keys(unsigned int count, const unsigned int *keys)
{
	assert_int_equal(told.count, count);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(told.key[i] | (told.down[i] ? 0x100u : 0),
				 keys[i]);
	told.count = 0;
}

#define DOWN 0x100u
#define EXPECT_KEYS(...) \
	expect_keys(sizeof((unsigned int[]){ __VA_ARGS__ }) / \
			    sizeof(unsigned int), \
		    (const unsigned int[]){ __VA_ARGS__ })

static void shifts_follow_the_character(void **state)
{
	open_session(NULL, 64, 64);
	shake_hands();
	key('a', true);
	key('a', false);
	EXPECT_KEYS(KEY_A | DOWN, KEY_A);
	key('A', true); /* a client that sends no shift */
	key('A', false);
	EXPECT_KEYS(KEY_LEFT_SHIFT | DOWN, KEY_A | DOWN, KEY_LEFT_SHIFT, KEY_A);
	key(0xffe1, true);
	key('A', true);
	key('A', false);
	EXPECT_KEYS(KEY_LEFT_SHIFT | DOWN, KEY_A | DOWN, KEY_A);
	key('/', true); /* with shift on the client's keyboard */
	key('/', false);
	EXPECT_KEYS(KEY_LEFT_SHIFT, KEY_SLASH | DOWN, KEY_LEFT_SHIFT | DOWN,
		    KEY_SLASH);
	key(0xffe1, false);
	EXPECT_KEYS(KEY_LEFT_SHIFT);
	key(0xffe5, true);
	key(0xffe5, false);
	key('A', true); /* caps lock does it */
	EXPECT_KEYS(KEY_CAPS_LOCK | DOWN, KEY_CAPS_LOCK, KEY_A | DOWN);
	key('b', false); /* was not held */
	assert_int_equal(told.count, 0);
	/* A key by its code; what is held is let go at the end. */
	assert_true(SAY(255, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xc8));
	EXPECT_KEYS(KEY_UP | DOWN);
	vnc_session_destroy(session);
	session = NULL;
	EXPECT_KEYS(KEY_A, KEY_UP);
}

static void pointers(void **state)
{
	uint8_t head[256];

	open_session(NULL, 100, 50);
	shake_hands();
	assert_true(SAY(5, 1, 0, 10, 0, 20));
	assert_int_equal(told.pointer.dx, 0); /* it was nowhere before */
	assert_int_equal(told.pointer.x, 10);
	assert_int_equal(told.pointer.buttons, RFB_BUTTON_LEFT);
	assert_true(SAY(5, 0, 0, 7, 0xff, 0xff));
	assert_int_equal(told.pointer.dx, -3);
	assert_int_equal(told.pointer.dy, 29);
	assert_int_equal(told.pointer.y, 49);
	assert_true(SAY(5, 0x10, 0, 7, 0, 49));
	assert_int_equal(told.pointer.wheel, 1);
	assert_true(SAY(5, 0x08, 0, 7, 0, 49));
	assert_int_equal(told.pointer.wheel, -1);
	/* A client that is told that the pointer moves relatively. */
	assert_true(SAY(2, 0, 0, 1, 0xff, 0xff, 0xfe, 0xff));
	request_all(true);
	assert_true(hear(head, sizeof(head)) >= 16);
	assert_true(SAY(5, 0, 0x80, 0x01, 0x7f, 0xfa));
	assert_int_equal(told.pointer.dx, 2);
	assert_int_equal(told.pointer.dy, -5);
	assert_int_equal(told.pointer.x, 9);
	assert_int_equal(told.pointer.y, 44);
	/* The guest gets a tablet: until the client hears, all is as it was. */
	shared.absolute = true;
	assert_true(SAY(5, 0, 0, 0, 0x7f, 0xff));
	assert_int_equal(told.pointer.x, 0);
	request_all(true);
	assert_int_equal(hear(head, sizeof(head)), 16);
	assert_int_equal(head[5], 1);
	assert_true(SAY(5, 0, 0, 30, 0, 40));
	assert_int_equal(told.pointer.x, 30);
	assert_int_equal(told.pointer.y, 40);
	/* And loses it. */
	shared.absolute = false;
	request_all(true);
	assert_int_equal(hear(head, sizeof(head)), 16);
	assert_int_equal(head[5], 0);
	request_all(true);
	assert_int_equal(hear(head, sizeof(head)), 0);
}

static void hostile(void **state)
{
	uint8_t junk[64], head[64];

	/* Messages that there are not. */
	for (unsigned int type = 0; type < 256; type++) {
		bool known = type == 0 || (type >= 2 && type <= 6) ||
			     type == 255;

		open_session(NULL, 64, 64);
		shake_hands();
		assert_int_equal(SAY((uint8_t)type), known);
	}
	/* A long text is thrown away, a long list is read to its end. */
	open_session(NULL, 64, 64);
	shake_hands();
	assert_true(SAY(6, 0, 0, 0, 0, 0, 1, 0));
	for (unsigned int i = 0; i < 4; i++)
		assert_true(say(junk, 64));
	assert_true(SAY(2, 0, 0xff, 0xff));
	for (unsigned int i = 0; i < 0xffff; i++)
		assert_true(SAY(0x12, 0x34, 0x56, 0x78));
	request_all(false);
	assert_int_equal(hear(head, 64), 4 + 12 + 64 * 64 * 4);
	assert_false(SAY(255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	/* Bytes at random after the handshake. */
	for (unsigned int turn = 0; turn < 3000; turn++) {
		bool on = true;

		open_session(NULL, 100, 70);
		shake_hands();
		for (unsigned int i = 0; on && i < 40; i++) {
			for (unsigned int k = 0; k < sizeof(junk); k++)
				junk[k] = (uint8_t)random_below(
					k % 8 ? 256 : 7);
			on = say(junk, sizeof(junk));
			hear(head, sizeof(head));
		}
	}
}

static int end(void **state)
{
	vnc_session_destroy(session);
	vnc_screen_free(&screen);
	free(frame.pixels);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(screen_finds_what_changed),
		cmocka_unit_test(tiles_are_taken_once),
		cmocka_unit_test(tiles_cover_any_rectangle),
		cmocka_unit_test(pixels_in_all_formats),
		cmocka_unit_test(formats_that_are_refused),
		cmocka_unit_test(keys_of_codes),
		cmocka_unit_test(keys_of_keysyms),
		cmocka_unit_test(answers_a_challenge),
		cmocka_unit_test(handshakes_of_all_versions),
		cmocka_unit_test(passwords),
		cmocka_unit_test(updates),
		cmocka_unit_test(sizes),
		cmocka_unit_test(output_is_bounded),
		cmocka_unit_test(shifts_follow_the_character),
		cmocka_unit_test(pointers),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}

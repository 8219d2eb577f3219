# SPDX-License-Identifier: Apache-2.0
"""A viewer of a machine's display by the remote framebuffer protocol
(RFC 6143), as plain as it can be: Raw and ZRLE, one thread.

    viewer = rfb.Viewer(rfb.connect("unix:/path"))
    viewer.refresh()
    viewer.pixels  # bytes, four a pixel: blue, green, red, 0
"""
import select
import socket
import struct
import zlib

RAW, ZRLE = 0, 16
DESKTOP_SIZE, CURSOR, POINTER_CHANGE, KEY_CODES = -223, -239, -257, -258
ALL = (ZRLE, RAW, DESKTOP_SIZE, CURSOR, POINTER_CHANGE, KEY_CODES)
TILE = 64


class Refused(Exception):
    """The server's words."""


def connect(where, timeout=30):
    if where.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        address = where[5:]
    else:
        host, port = where.rsplit(":", 1)
        sock = socket.socket()
        address = (host, int(port))
    sock.connect(address)
    sock.settimeout(timeout)
    return sock


def reversed_bits(key):
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)


class Viewer:
    def __init__(self, sock, password=None, version=8, encodings=ALL,
                 encrypt=None):
        """`encrypt` (key, data) is DES-ECB, for a password."""
        self.socket = sock
        self.buffer = bytearray()  # received, not read yet
        self.encodings = ()
        self.inflate = zlib.decompressobj()
        self.pixels = bytearray()
        self.width = self.height = 0
        self.cursor = self.absolute = None
        self.codes = False
        self.updates = 0  # rectangles of pixels so far
        self.handshake(password, version, encrypt)
        self.set_encodings(encodings)

    def close(self):
        self.socket.close()

    # --- bytes ----------------------------------------------------------

    def read(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.buffer += more
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def comes(self, seconds):
        """Whether there is something to read before that time."""
        return bool(self.buffer) or bool(
            select.select([self.socket], [], [], seconds)[0])

    def take(self, layout):
        layout = ">" + layout
        values = struct.unpack(layout, self.read(struct.calcsize(layout)))
        return values if len(values) > 1 else values[0]

    def send(self, layout, *values):
        self.socket.sendall(struct.pack(">" + layout, *values))

    # --- handshake ------------------------------------------------------

    def handshake(self, password, version, encrypt):
        assert self.read(12) == b"RFB 003.008\n"
        self.socket.sendall(f"RFB 003.{version:03}\n".encode())
        if version == 3:
            kind = self.take("I")
        else:
            kind, = self.read(self.read(1)[0])
            self.send("B", kind)
        if kind == 2:
            challenge = self.read(16)
            key = reversed_bits(password.encode().ljust(8, b"\0"))
            self.socket.sendall(encrypt(key, challenge))
        else:
            assert kind == 1
        if kind == 2 or version >= 8:
            if self.take("I"):
                raise Refused(self.read(self.take("I")).decode()
                              if version >= 8 else "")
        self.send("B", 1)
        width, height = self.take("HH")
        self.format = self.read(16)
        self.name = self.read(self.take("I")).decode()
        assert self.format[:4] == b"\x20\x18\0\1"
        self.resize(width, height)

    def resize(self, width, height):
        self.width, self.height = width, height
        self.pixels = bytearray(4 * width * height)

    # --- messages -------------------------------------------------------

    def set_encodings(self, encodings):
        self.encodings = encodings
        self.send(f"BxH{len(encodings)}i", 2, len(encodings), *encodings)

    def request(self, incremental=True):
        self.send("BBHHHH", 3, incremental, 0, 0, self.width, self.height)

    def key(self, keysym, down):
        self.send("BBxxI", 4, down, keysym)

    def key_code(self, code, down, keysym=0):
        self.send("BBHII", 255, 0, down, keysym, code)

    def pointer(self, x, y, buttons=0):
        self.send("BBHH", 5, buttons, x, y)

    def refresh(self):
        """The whole picture, as it is now."""
        while True:
            self.request(False)
            before = self.width, self.height
            pixels = self.updates
            self.update()
            if self.updates > pixels and before == (self.width, self.height):
                return

    def update(self):
        """Takes one update; sets what it tells of."""
        assert self.take("Bx") == 0
        for _ in range(self.take("H")):
            x, y, width, height, encoding = self.take("HHHHi")
            assert encoding == RAW or encoding in self.encodings
            if encoding == RAW:
                self.updates += 1
                self.put(x, y, width, height, self.read(4 * width * height))
            elif encoding == ZRLE:
                self.updates += 1
                self.zrle(x, y, width, height)
            elif encoding == DESKTOP_SIZE:
                self.resize(width, height)
            elif encoding == CURSOR:
                self.cursor = (width, height, self.read(
                    4 * width * height + (width + 7) // 8 * height))
            elif encoding == POINTER_CHANGE:
                self.absolute = bool(x)
            elif encoding == KEY_CODES:
                self.codes = True

    def put(self, x, y, width, height, data):
        assert x + width <= self.width and y + height <= self.height
        for line in range(height):
            at = 4 * ((y + line) * self.width + x)
            self.pixels[at:at + 4 * width] = \
                data[4 * width * line:4 * width * (line + 1)]

    # --- ZRLE (7.7.6), the tile types that have no run lengths ------------

    def zrle(self, x, y, width, height):
        data = self.inflate.decompress(self.read(self.take("I")))
        at = 0
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                size = (min(TILE, width - left), min(TILE, height - top))
                pixels, at = self.tile(data, at, *size)
                self.put(x + left, y + top, *size, pixels)
        assert at == len(data)

    @staticmethod
    def tile(data, at, width, height):
        def colours(count):
            return [data[at + 3 * i:at + 3 * i + 3] + b"\0"
                    for i in range(count)]

        kind = data[at]
        at += 1
        if kind == 0:
            pixels = colours(width * height)
            return b"".join(pixels), at + 3 * width * height
        assert kind <= 16
        palette = colours(kind)
        at += 3 * kind
        if kind == 1:
            return palette[0] * (width * height), at
        bits = 1 if kind == 2 else 2 if kind <= 4 else 4
        line = (width * bits + 7) // 8
        out = []
        for _ in range(height):
            row = data[at:at + line]
            at += line
            out += [palette[row[i * bits // 8] >> (8 - bits - i * bits % 8)
                            & ((1 << bits) - 1)] for i in range(width)]
        return b"".join(out), at


def rgb(viewer):
    """Three bytes a pixel: red, green, blue."""
    out = bytearray(3 * viewer.width * viewer.height)
    out[0::3] = viewer.pixels[2::4]
    out[1::3] = viewer.pixels[1::4]
    out[2::3] = viewer.pixels[0::4]
    return bytes(out)


def write_png(viewer, path):
    """The picture as a file, to look at."""
    def chunk(kind, body):
        return (struct.pack(">I", len(body)) + kind + body +
                struct.pack(">I", zlib.crc32(kind + body)))
    row = 3 * viewer.width
    data = rgb(viewer)
    lines = b"".join(b"\0" + data[at:at + row]
                     for at in range(0, len(data), row))
    header = struct.pack(">IIBBBBB", viewer.width, viewer.height, 8, 2, 0, 0,
                         0)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                  chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))

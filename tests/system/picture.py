# SPDX-License-Identifier: Apache-2.0
"""Pictures as `lodge screenshot` writes them: PNG of three bytes a pixel."""
import dataclasses
import struct
import zlib


@dataclasses.dataclass
class Picture:
    width: int
    height: int
    pixels: bytes  # red, green, blue; rows without gaps

    def at(self, x, y):
        n = 3 * (y * self.width + x)
        return tuple(self.pixels[n:n + 3])


def unfilter(kind, line, above):
    """PNG (ISO 15948), 9.2: none, sub, up, average, Paeth."""
    for i, value in enumerate(line):
        left = line[i - 3] if i >= 3 else 0
        up = above[i]
        corner = above[i - 3] if i >= 3 else 0
        if kind == 4:
            guess = left + up - corner
            guess = min((left, up, corner), key=lambda v, g=guess: abs(g - v))
        else:
            guess = (0, left, up, (left + up) // 2)[kind]
        line[i] = (value + guess) & 0xFF


def read_png(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        check, = struct.unpack(">I", data[at + 8 + size:at + 12 + size])
        assert check == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 2)
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    raw = zlib.decompress(packed)
    row = 3 * width
    assert len(raw) == height * (1 + row)
    pixels, above = bytearray(), bytes(row)
    for at in range(0, len(raw), row + 1):
        line = bytearray(raw[at + 1:at + 1 + row])
        if raw[at]:
            unfilter(raw[at], line, above)
        pixels += line
        above = line
    return Picture(width, height, bytes(pixels))

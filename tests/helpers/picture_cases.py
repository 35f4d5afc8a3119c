"""Pictures as people have them: kinds, names and damage, each as the content of a file."""

import os
import struct
import zlib

import numpy as np
from PIL import Image
from slow_helpers import encoded, noise

SIDE = 32

# Name and content of what is packed; each is 32 pixels at its short side unless it is about size.
KINDS = {
    "ramp.png": lambda: encoded(Image.fromarray(RAMP)),
    "flat.png": lambda: encoded(Image.fromarray(np.full((SIDE, SIDE), 40000, np.uint16))),
    "grey.png": lambda: encoded(noise(1).convert("L")),
    "black and white.png": lambda: encoded(noise(2).convert("1")),
    "ink.jpg": lambda: encoded(Image.new("CMYK", (SIDE, SIDE), (255, 0, 0, 0)), "JPEG", quality=100),
    "palette.png": lambda: encoded(noise(3).quantize(16)),
    "alpha.png": lambda: encoded(Image.new("RGBA", (SIDE, SIDE), (255, 0, 0, 0))),
    "grey alpha.png": lambda: encoded(Image.new("LA", (SIDE, SIDE), (0, 0))),
    "whole.jpg": lambda: PHOTO,
    "unended.jpg": lambda: PHOTO[:-2],
    "profile.png": lambda: encoded(noise(4), icc_profile=os.urandom(2 * 2**20)),
    "96 megapixels.png": lambda: encoded(Image.new("L", (12000, 8000), 90), compress_level=1),
    "dot.png": lambda: encoded(Image.new("RGB", (1, 1), (9, 99, 199))),
} | {f"turned{n}.jpg": lambda n=n: turned(n) for n in range(2, 9)}

RAMP = np.linspace(0, 65535, 2 * SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, 2 * SIDE)
PHOTO = encoded(noise(5), "JPEG", quality=95)

# Bytes, since not every name is text.
NAMES = [b"caf\xe9.jpg", b" blank.jpg", b"a\ttab.jpg", b"#1.jpg", b"two\nlines.jpg"]

BROKEN = {
    "half.jpg": (lambda: PHOTO[: len(PHOTO) // 2], "truncated"),
    "empty.jpg": (lambda: b"", "no picture"),
    "text.png": (lambda: b"no picture at all", "no picture"),
    "claims.png": (lambda: claimed(14094), "198640836 pixels"),
    "long.png": (lambda: encoded(Image.new("RGB", (1, 1000))), "aspect ratio 1000:1"),
}


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(noise(orientation, SIDE, 2 * SIDE), "JPEG", quality=95, exif=exif)


def claimed(side: int) -> bytes:
    """A PNG whose header tells of more pixels than there are."""
    content = bytearray(encoded(Image.new("L", (1, 1))))
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)

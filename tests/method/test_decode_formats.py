"""stages/method/decode.py: what a file holds comes out as upright 8-bit RGB."""

import io

import numpy as np
import pytest
from decode_helpers import MOST_ASPECT, decoded, encoded, noise, reason
from PIL import Image
from stage_helpers import picture

from stages.method.decode import decode


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_keep_every_pixel(kind):
    pixels = noise()
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decoded(Image.fromarray(pixels), kind, **options), pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiff_keeps_every_pixel(compression):
    pixels = noise()
    assert np.array_equal(decoded(Image.fromarray(pixels), "TIFF", compression=compression), pixels)


def test_grey_is_the_same_on_three_channels():
    grey = noise()[..., 0]
    assert np.array_equal(decoded(Image.fromarray(grey)), np.repeat(grey[..., None], 3, axis=2))


def test_black_and_white_is_0_and_255():
    bits = noise()[..., 0] > 127
    assert np.array_equal(decoded(Image.fromarray(bits)), np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


def test_a_16_bit_ramp_spans_0_to_255():
    ramp = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    out = decoded(Image.fromarray(ramp)).astype(int)
    assert out.min() == 0
    assert out.max() == 255
    assert np.abs(out - (ramp / 257)[..., None]).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_flat_16_bit_picture_of_40000_is_156(kind):
    # 40000 / 257 = 155.64; PIL's own conversion clips it to 255.
    out = decoded(Image.fromarray(np.full((20, 20), 40000, np.uint16)), kind).astype(int)
    assert np.abs(out - 156).max() <= 1


def test_a_big_endian_16_bit_tiff_is_scaled_too():
    image = Image.frombytes("I;16B", (20, 20), np.full((20, 20), 40000, ">u2").tobytes())
    assert np.abs(decoded(image, "TIFF").astype(int) - 156).max() <= 1


def test_32_bit_and_floating_point_pixels_are_refused_with_their_reason():
    deep = Image.fromarray(np.full((20, 20), 70000, np.int32))
    assert "32-bit" in reason(encoded(deep, "TIFF"))
    assert "floating-point" in reason(encoded(Image.fromarray(np.ones((20, 20), np.float32)), "TIFF"))


def test_cmyk_ink_darkens():
    """Cyan ink takes red away, black ink everything: by hand, 255 - ink where there is no black."""
    ink = np.zeros((20, 40, 4), np.uint8)
    ink[:, :10, 0] = 255
    ink[:, 10:20, 1] = 100
    ink[:, 20:30, 3] = 255
    out = decoded(Image.frombytes("CMYK", (40, 20), ink.tobytes()), "TIFF")
    assert out[0, 0].tolist() == [0, 255, 255]
    assert out[0, 10].tolist() == [255, 155, 255]
    assert out[0, 20].tolist() == [0, 0, 0]
    assert out[0, 30].tolist() == [255, 255, 255]


def test_an_adobe_cmyk_jpeg_is_not_a_negative():
    """Adobe stores CMYK JPEG inverted; a decoder that misses this shows white as black."""
    white = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    assert decoded(white, "JPEG", quality=95).min() > 245


def test_palette_colours_are_looked_up():
    image = Image.new("P", (20, 20), 7)
    image.putpalette(bytes(value for i in range(256) for value in (i, 255 - i, i // 2)))
    assert np.array_equal(decoded(image), np.broadcast_to(np.uint8([7, 248, 3]), (20, 20, 3)))


def test_transparency_lies_over_white():
    """By hand: alpha 0 is white whatever colour is hidden below, alpha 1/2 is halfway."""
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[:, :10] = (200, 0, 0, 255)
    pixels[:, 10:20] = (200, 0, 0, 0)
    pixels[:, 20:] = (0, 0, 0, 128)
    out = decoded(Image.fromarray(pixels)).astype(int)
    assert out[0, 0].tolist() == [200, 0, 0]
    assert out[0, 10].tolist() == [255, 255, 255]
    assert np.abs(out[0, 20] - 127).max() <= 1


def test_grey_with_alpha_and_a_transparent_palette_entry_lie_over_white():
    pixels = np.zeros((20, 20, 2), np.uint8)
    assert decoded(Image.fromarray(pixels)).min() == 255
    image = Image.new("P", (20, 20), 0)
    image.putpalette([10, 20, 30])
    assert decoded(image, transparency=0).min() == 255


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""What a viewer shows for each EXIF orientation, from the standard's table of where row 0 and column 0 lie."""


@pytest.mark.parametrize("orientation", TURNED)
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture(20, 40), "JPEG", quality=95, exif=exif)
    with Image.open(io.BytesIO(content)) as stored:
        plain = np.asarray(stored)
    assert np.array_equal(decode(content, 20, MOST_ASPECT), TURNED[orientation](plain))

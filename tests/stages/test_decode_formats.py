"""stages/method/decode.py: what a file holds comes out as upright 8-bit RGB, or as a reason."""

import io
import struct
import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile
from stage_helpers import ROOT, picture

from stages.method.decode import Unreadable, decode

MOST_ASPECT = 16


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image, kind="PNG", size=None, **options):
    """Decoded at the picture's own size, so that nothing is resized."""
    return decode(encoded(image, kind, **options), size or min(image.size), MOST_ASPECT)


def reason(content, size=20):
    with pytest.raises(Unreadable) as caught:
        decode(content, size, MOST_ASPECT)
    return str(caught.value)


def noise(height=24, width=30, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


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


def test_a_broken_exif_block_costs_only_the_orientation():
    """Cameras write such blocks; the pixels are fine."""
    good = encoded(picture(20, 40), "JPEG")
    block = b"Exif\0\0II*\0\xff\xff\xff\xff"
    content = good[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + good[2:]
    assert np.array_equal(decode(content, 20, MOST_ASPECT), decode(good, 20, MOST_ASPECT))


def test_half_a_jpeg_is_truncated():
    content = encoded(picture(200, 300), "JPEG")
    assert "truncated" in reason(content[: len(content) // 2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_jpeg_without_its_last_two_bytes_is_whole_or_rejected():
    content = encoded(picture(200, 300), "JPEG")
    try:
        cut = decode(content[:-2], 200, MOST_ASPECT)
    except Unreadable:
        return
    assert np.array_equal(cut, decode(content, 200, MOST_ASPECT))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_half_of_any_other_format_is_rejected(kind):
    content = encoded(Image.fromarray(noise(100, 100)), kind)
    assert reason(content[: len(content) // 2])


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"<svg></svg>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_has_a_reason(content):
    assert reason(content)


def png_with_header(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [14094, 60000])
def test_a_header_that_claims_too_many_pixels_is_rejected_with_their_count(side):
    """198,640,836 pixels warn in PIL, twice its limit raises an error of its own, which is no OSError."""
    line = reason(png_with_header(side, side))
    assert "pixels" in line
    assert f"{side * side:,}" in line or str(side * side) in line


def test_a_colour_profile_of_2_mib_is_packed_or_named():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(picture(20, 40), icc_profile=profile + bytes(2 * 2**20))
    try:
        out = decode(content, 20, MOST_ASPECT)
    except Unreadable as error:
        assert "profile" in str(error).lower()
    else:
        assert np.array_equal(out, decode(encoded(picture(20, 40)), 20, MOST_ASPECT))


@pytest.mark.parametrize(("height", "width", "fits"), [(20, 320, True), (320, 20, True), (20, 321, False)])
def test_pictures_longer_than_sixteen_times_their_short_side_are_rejected(height, width, fits):
    content = encoded(picture(height, width))
    if fits:
        assert decode(content, 20, MOST_ASPECT).shape == (height, width, 3)
    else:
        assert "aspect ratio 16.05:1" in reason(content)


def test_the_ratio_in_the_reason_is_that_of_the_picture():
    assert "aspect ratio 1000:1" in reason(encoded(Image.new("L", (1000, 1))))


def test_a_large_but_honest_picture_warns_nobody(monkeypatch):
    """PIL warns above MAX_IMAGE_PIXELS: 100 here, so that the picture need not be large."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    content = encoded(picture(12, 15))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert decode(content, 12, MOST_ASPECT).shape == (12, 15, 3)
    assert caught == []


def test_decoding_in_threads_leaves_the_warning_filters_alone(monkeypatch):
    """catch_warnings swaps a global list: two threads that overlap put back each other's."""
    before = list(warnings.filters)
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
    opened = Image.open

    def overlapping(*args, **options):
        if threading.current_thread().name == "first":
            first_is_in.set()
            second_is_in.wait(5)
        else:
            second_is_in.set()
            first_is_out.wait(5)
        return opened(*args, **options)

    monkeypatch.setattr(Image, "open", overlapping)
    content = encoded(picture(20, 20))

    def first():
        decode(content, 20, MOST_ASPECT)
        first_is_out.set()

    def second():
        first_is_in.wait(5)
        decode(content, 20, MOST_ASPECT)

    threads = [threading.Thread(target=first, name="first"), threading.Thread(target=second, name="second")]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    finally:
        warnings.filters[:] = before


@pytest.mark.slow
def test_96_megapixels_are_decoded_in_less_than_a_gigabyte_without_warning_text(tmp_path):
    file = tmp_path / "large.jpg"
    picture(8000, 12000).save(file, quality=80)
    program = (
        "import sys, resource\n"
        "from pathlib import Path\n"
        "from stages.method.decode import decode\n"
        "small, large = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]).read_bytes()\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "decode(small, 72, 16)\n"
        "before = peak()\n"
        "print(decode(large, 72, 16).shape, peak() - before)\n"
    )
    picture(80, 120).save(tmp_path / "small.jpg")
    command = [sys.executable, "-c", program, tmp_path / "small.jpg", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    shape, grown = done.stdout.rsplit(" ", 1)
    assert shape == "(72, 108, 3)"
    assert int(grown) < 1000
    assert done.stderr == ""

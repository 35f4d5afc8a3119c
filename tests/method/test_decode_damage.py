"""stages/method/decode.py: what is damaged, too large or too long has a reason; threads, warnings and memory."""

import struct
import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from decode_helpers import MOST_ASPECT, encoded, noise, reason
from PIL import Image, ImageCms, ImageFile
from projects import ROOT
from stage_helpers import picture

from stages.method.decode import Unreadable, decode


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

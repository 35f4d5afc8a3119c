"""stages/method/decode.py: the promised formats and no others, and a bound on the pixels in flight."""

import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from decode_helpers import MOST_ASPECT, encoded, noise, reason
from PIL import Image, ImageFile
from projects import ROOT

from stages.method import decode as module
from stages.method.decode import decode

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"


def test_postscript_under_a_pictures_name_starts_no_program(monkeypatch):
    started = []
    for name in ("check_call", "run", "Popen"):
        monkeypatch.setattr(subprocess, name, lambda *words, **_: started.append(words))
    assert "PostScript, and no picture in a format that is read" in reason(POSTSCRIPT)
    assert started == []


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "PPM", "TGA", "ICO", "JPEG2000", "PSD"])
def test_a_format_that_is_not_promised_is_rejected_whatever_pillow_can_read(kind):
    if kind == "PSD":
        content = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 20, 20, 8, 3) + bytes(12 + 2 + 1200)
    else:
        content = encoded(Image.fromarray(noise(20, 20)), kind)
    assert "no picture in a format that is read (JPEG, PNG, WebP, BMP, TIFF)" in reason(content)


def test_several_pictures_in_one_jpeg_give_the_first():
    first, second = (Image.fromarray(noise(20, 20, seed=seed)) for seed in range(2))
    several = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.array_equal(decode(several, 20, MOST_ASPECT), decode(encoded(first, "JPEG", quality=95), 20, MOST_ASPECT))


def with_exif(content, block):
    """A PNG with an EXIF block of any content before its pixels."""
    body = b"eXIf" + block
    chunk = struct.pack(">I", len(block)) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + chunk + content[33:]


@pytest.mark.parametrize("block", [b"", b"no header", b"II*\0", b"Exif\0\0", b"Exif\0\0MM", b"MM\0*\0\0\0\x08\xff\xff"])
def test_a_png_with_a_broken_exif_block_keeps_its_pixels(block):
    pixels = noise(20, 30)
    assert np.array_equal(decode(with_exif(encoded(Image.fromarray(pixels)), block), 20, MOST_ASPECT), pixels)


def test_pixels_in_flight_are_bounded_whatever_the_number_of_threads(monkeypatch):
    """Eight threads, room for three pictures of 40 by 40: never more than three are being decoded."""
    monkeypatch.setattr(module, "_room", module._Room(3 * 1600 + 100))
    inside, most, counted = [0], [0], threading.Lock()
    load = ImageFile.ImageFile.load

    def slow(self):
        with counted:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        threading.Event().wait(0.02)
        result = load(self)
        with counted:
            inside[0] -= 1
        return result

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", slow)
    content = encoded(Image.fromarray(noise(40, 40)))
    threads = [threading.Thread(target=decode, args=(content, 20, MOST_ASPECT)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 <= most[0] <= 3


def test_a_picture_larger_than_all_the_room_is_decoded_alone(monkeypatch):
    monkeypatch.setattr(module, "_room", module._Room(10))
    content = encoded(Image.fromarray(noise(20, 20)))
    assert decode(content, 20, MOST_ASPECT).shape == (20, 20, 3)
    assert decode(content, 20, MOST_ASPECT).shape == (20, 20, 3)


def test_with_pillow_heif_installed_heic_is_a_picture(tmp_path):
    """A stand-in for the package, which is no requirement."""
    (tmp_path / "pillow_heif.py").write_text(
        "from PIL import Image, PpmImagePlugin\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', PpmImagePlugin.PpmImageFile, lambda start: start[:2] == b'P6')\n"
    )
    (tmp_path / "photos").mkdir()
    Image.fromarray(noise(20, 20)).save(tmp_path / "photos/IMG_1.ppm")
    (tmp_path / "photos/IMG_1.ppm").rename(tmp_path / "photos/IMG_1.HEIC")
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from stages.method.decode import decode\nfrom stages.sources.listing import list_source\n"
        "(entry,) = list_source(Path(sys.argv[1])).entries\n"
        "print(decode(open(entry.path, 'rb').read(), 20, 16).shape)\n"
    )
    words = [sys.executable, "-c", program, tmp_path / "photos"]
    done = subprocess.run(words, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "(20, 20, 3)\n"), done.stderr

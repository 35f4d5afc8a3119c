"""Any picture file as upright 8-bit RGB, resized as torchvision's antialiased Resize does."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stages.method.formats import FORMATS, reads_heif

MOST_PIXELS = 150_000_000
"""Larger headers are refused before their pixels are decoded; and no more pixels are decoded at a time."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright."""


class _Silence:
    """No warnings while any thread is inside.

    catch_warnings swaps a global list: threads that overlap in it would put back each other's.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


silence = _Silence()


class _Room:
    """Lets threads in while all together decode no more than `most` pixels; a larger picture waits to be alone."""

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._changed = most, 0, threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + pixels <= self._most)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


_room = _Room(MOST_PIXELS)

Room = Callable[[int], AbstractContextManager[None]]
"""A context in which that many pixels may be decoded; entering it waits until they may."""


def room(pixels: int) -> AbstractContextManager[None]:
    """The room of this process: `MOST_PIXELS` for all its threads together."""
    return _room.of(pixels)


@cache
def _formats() -> tuple[str, ...]:
    if not reads_heif():
        return FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def open_picture(file: io.BytesIO | str) -> Image.Image:
    """The header of a picture in one of the formats that are promised.

    Raises:
        Exception: of whatever kind another or a damaged file provokes.
    """
    return Image.open(file, formats=_formats())


class Unreadable(Exception):
    """Why a file cannot be used as a picture."""


def decode(content: bytes, size: int | None, most_aspect: int, room: Room = room) -> NDArray[np.uint8]:
    """The whole picture as (height, width, 3) uint8, its short side `size` pixels; None: at its own size.

    Orientation tags are applied; 16-bit grey is scaled to 8 bits; transparency is laid over white,
    as viewers show it.

    Args:
        room: in which its pixels are decoded; another is for a process that shares one with others.

    Raises:
        Unreadable: with the reason, for whatever a file may hold.
        MemoryError: this machine has too little for a picture that another could read.
    """
    try:
        with silence:
            with open_picture(io.BytesIO(content)) as header:
                _check(header, most_aspect)
            with room(header.width * header.height):
                return _resized(content, size)
    except (Unreadable, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable(f"too many pixels: {error}") from None
    except Exception as error:
        # Decoders raise whatever they like on damaged input: OSError, SyntaxError, struct.error, ...
        raise Unreadable(_reason(error, content)) from None


def _resized(content: bytes, size: int | None) -> NDArray[np.uint8]:
    """A function of its own, at whose end its pixels are free: room must not be given away before."""
    with open_picture(io.BytesIO(content)) as picture:
        picture.load()
        upright = _rgb(_upright(picture))
        return np.asarray(upright if size is None else resize_short(upright, size))


def _reason(error: Exception, content: bytes) -> str:
    if isinstance(error, UnidentifiedImageError):
        kinds = {b"GIF8": "GIF", b"%!PS": "PostScript", b"ftypavif": "AVIF", b"ftypheic": "HEIC", b"ftypmif1": "HEIC"}
        # Those of the last three follow four bytes of length.
        found = next((kind for mark, kind in kinds.items() if mark in (content[:4], content[4:12])), None)
        what = f"{found}, and no picture" if found else "no picture"
        return f"{what} in a format that is read (JPEG, PNG, WebP, BMP, TIFF)"
    if "MAX_TEXT_CHUNK" in str(error):
        return "a colour profile or text of more than 1 MiB"
    # An address in memory would differ each time, and with it rejected.parquet.
    return re.sub(r" at 0x[0-9a-f]+", "", f"{type(error).__name__}: {error}")[:300]


def _check(picture: Image.Image, most_aspect: int) -> None:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise Unreadable(f"too many pixels: {width}x{height} is {width * height:,}, over {MOST_PIXELS:,}")
    if min(width, height) < 1:
        raise Unreadable(f"no pixels: {width}x{height}")
    if max(width, height) > most_aspect * min(width, height):
        raise Unreadable(f"aspect ratio {max(width, height) / min(width, height):.4g}:1, over {most_aspect}:1")


def _upright(picture: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:
        # A damaged block costs its picture the orientation alone.
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise Unreadable("floating-point pixels have no known range")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    # Converting makes a copy also where nothing is to be converted.
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _from_16_bits(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable("32-bit pixels have no known range")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def resize_short(picture: Image.Image, size: int) -> Image.Image:
    """torchvision.transforms.Resize(size) on a PIL image: bilinear with antialiasing."""
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    if short == size:
        return picture
    long = int(size * long / short)
    target = (size, long) if width <= height else (long, size)
    return picture.resize(target, Image.Resampling.BILINEAR)


def centre_crop(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The (size, size, 3) square in the middle of an (H, W, 3) picture.

    It starts where torchvision's CenterCrop starts: at half the margin, halves rounded to even.
    """
    top, left = (round((side - size) / 2) for side in picture.shape[:2])
    return picture[top : top + size, left : left + size]

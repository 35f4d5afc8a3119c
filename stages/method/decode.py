"""Any picture file as upright 8-bit RGB, resized as torchvision's antialiased Resize does."""

from __future__ import annotations

import io
import re
import threading
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 150_000_000
"""Larger headers are refused before their pixels are decoded."""


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


class Unreadable(Exception):
    """Why a file cannot be used as a picture."""


def decode(content: bytes, size: int, most_aspect: int) -> NDArray[np.uint8]:
    """The whole picture as (height, width, 3) uint8, its short side `size` pixels.

    Orientation tags are applied; 16-bit grey is scaled to 8 bits; transparency is laid over white,
    as viewers show it.

    Raises:
        Unreadable: with the reason, for whatever a file may hold.
    """
    try:
        with silence, Image.open(io.BytesIO(content)) as picture:
            _check(picture, most_aspect)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            rgb = _rgb(upright)
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("too large for memory") from None
    except Image.DecompressionBombError as error:
        raise Unreadable(f"too many pixels: {error}") from None
    except Exception as error:
        # Decoders raise whatever they like on damaged input: OSError, SyntaxError, struct.error, ...
        raise Unreadable(_reason(error)) from None
    return np.asarray(resize_short(rgb, size))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no picture in a known format"
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


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return _from_16_bits(picture)
    if picture.mode == "F":
        raise Unreadable("floating-point pixels have no known range")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


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

"""Which formats and shapes of pictures are read, without loading what reads them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF")
"""Whatever a file is called, nothing else is tried: others start programs, and not every machine has all."""

MOST_ASPECT = 16
"""A picture longer than this many times its short side is rejected by `pack`."""


@cache
def reads_heif() -> bool:
    """Whether the package pillow-heif is installed, with which iPhone's HEIC is read."""
    return find_spec("pillow_heif") is not None

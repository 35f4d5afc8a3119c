"""A contact sheet: strips of thumbnails, each beside the lines of text that say what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

TILE, GAP, COLUMNS = 64, 4, 12
"""Side of a thumbnail, the white around it, both in pixels, and how many stand side by side."""

FONT_SIZE, LINE, MOST_TEXT = 12, 17, 220
"""Height of letters and of lines, and the width at which a line is cut, in pixels."""


@dataclass(frozen=True)
class Strip:
    """Thumbnails (TILE, TILE, 3) uint8, over several rows where they are many, and the lines beside them."""

    lines: Sequence[str]
    tiles: Sequence[NDArray[np.uint8]]


def draw(strips: Sequence[Strip]) -> NDArray[np.uint8]:
    """The sheet, (H, W, 3) uint8 on white: strips from top to bottom, text at the left, its first line bold."""
    from PIL import Image, ImageDraw

    texts = [[_fitted(line, bold=not i) for i, line in enumerate(strip.lines)] for strip in strips]
    widths = [_font(not i).getlength(line) for lines in texts for i, line in enumerate(lines)]
    left = int(max(widths, default=0)) + 5 * GAP
    step = TILE + GAP
    columns = max((min(COLUMNS, len(strip.tiles)) for strip in strips), default=0)
    heights = [
        max(-(-len(strip.tiles) // COLUMNS) * step, len(lines) * LINE + 2 * GAP)
        for strip, lines in zip(strips, texts, strict=True)
    ]
    sheet = np.full((sum(heights) + GAP, left + columns * step + GAP, 3), 255, np.uint8)
    tops = [GAP, *(GAP + np.cumsum(heights, dtype=int))]
    for top, strip in zip(tops, strips, strict=False):
        for i, tile in enumerate(strip.tiles):
            y, x = top + i // COLUMNS * step, left + i % COLUMNS * step
            sheet[y : y + TILE, x : x + TILE] = tile
    picture = Image.fromarray(sheet)
    canvas = ImageDraw.Draw(picture)
    for top, lines in zip(tops, texts, strict=False):
        for i, line in enumerate(lines):
            fill = (0, 0, 0) if not i else (80, 80, 80)
            canvas.text((2 * GAP, top + GAP + i * LINE), line, fill, _font(not i))
    return np.asarray(picture)


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle square of a picture (H, W, 3), as (TILE, TILE, 3)."""
    from PIL import Image

    from stages.method.decode import centre_crop

    square = Image.fromarray(centre_crop(picture, min(picture.shape[:2])))
    return np.asarray(square.resize((TILE, TILE), Image.Resampling.BILINEAR))


def _fitted(line: str, bold: bool) -> str:
    # A folder's name may hold what no font can draw.
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
    font = _font(bold)
    if font.getlength(line) <= MOST_TEXT:
        return line
    while line and font.getlength(line + "…") > MOST_TEXT:
        line = line[:-1]
    return line + "…"


@cache
def _font(bold: bool) -> FreeTypeFont:
    # matplotlib's own, which is the same on every machine and knows more alphabets than Pillow's.
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf" / name), FONT_SIZE)

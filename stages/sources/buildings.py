"""Buildings, each photographed several times: what a retrieval set such as Oxford5k is made of.

A building is a front with a roof and a tower, each of one of the demo's textures. A picture of it changes place, size,
turn, colours, light, ground and what stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.sources.drawings import CENTRED, OVERSAMPLING, TEXTURES, draw_ground, turned

SIDES = (96, 128)  # in pixels, of one picture; the other way round as often

SHARES = {"good": (0.6, 2.0), "ok": (0.25, 0.85), "junk": (0.03, 0.25)}
"""How much of a building is seen, from and to; Oxford5k's rule has ok pictures show more than a quarter, junk less."""

_SURFACES = tuple(name for name in TEXTURES if name not in CENTRED)


@dataclass(frozen=True)
class Part:
    """A surface of a building, in its own unit: x from -1 to 1, y down from -1 to 1.

    Attributes:
        shape: box, gable (a triangle) or dome (half an oval).
        window: sides of a window, and its distance to the next; none where it is 0.
        tones: grey levels of the texture where it is on and off, and of the windows.
    """

    shape: str
    left: float
    right: float
    top: float
    bottom: float
    texture: str
    period: float
    window: float
    tones: tuple[float, float, float]


def draw_building(rng: np.random.Generator) -> list[Part]:
    """A building: parts from the back to the front, all within the square of its unit."""
    eaves = rng.uniform(-0.35, 0.15)
    half = rng.uniform(0.6, 0.95)
    ridge = rng.uniform(-0.8, eaves - 0.2)
    shapes = ("gable", "dome", "box")
    parts = [_part(str(rng.choice(shapes)), -half, half, ridge, eaves, rng)]
    middle = rng.uniform(-half + 0.2, half - 0.2)
    wide = rng.uniform(0.12, 0.3)
    summit = rng.uniform(-0.75, eaves - 0.1)
    parts.append(_part("box", -half, half, eaves, 0.95, rng))
    parts.append(_part("box", middle - wide, middle + wide, summit, 0.95, rng))
    parts.append(_part(str(rng.choice(shapes[:2])), middle - wide, middle + wide, -0.98, summit, rng))
    return parts


def _part(shape: str, left: float, right: float, top: float, bottom: float, rng: np.random.Generator) -> Part:
    light, dark = rng.uniform(160, 215), rng.uniform(50, 105)
    tones = (light, dark) if rng.random() < 0.5 else (dark, light)
    window = rng.uniform(0.1, 0.2) if shape == "box" and rng.random() < 0.7 else 0.0
    texture = str(rng.choice(_SURFACES))
    return Part(shape, left, right, top, bottom, texture, rng.uniform(0.12, 0.3), window, (*tones, rng.uniform(20, 60)))


@dataclass(frozen=True)
class View:
    """A picture of a building.

    Attributes:
        picture: (H, W, 3) uint8.
        box: x1 y1 x2 y2 in pixels, of what is seen of it; None where nothing is.
        share: of the building that is in the picture and not hidden.
    """

    picture: NDArray[np.uint8]
    box: tuple[float, float, float, float] | None
    share: float


def draw_view(parts: list[Part], rng: np.random.Generator, difficulty: float, kind: str) -> View:
    """A picture of a building.

    Args:
        difficulty: from the same place and light (0) to others (1).
        kind: good, ok or junk, by the share of the building that is seen (SHARES).
    """
    low, high = SHARES[kind]
    while True:
        view = _try_view(parts, rng, difficulty, kind)
        if low <= view.share < high:
            return view


def _try_view(parts: list[Part], rng: np.random.Generator, difficulty: float, kind: str) -> View:
    height, width = SIDES if rng.random() < 0.5 else SIDES[::-1]
    large = (height * OVERSAMPLING, width * OVERSAMPLING)
    picture = draw_ground(*large, rng).astype(np.float32)
    radius = min(large) * rng.uniform(0.44 - 0.16 * difficulty, 0.47)
    middle = np.array(large) / 2 + rng.uniform(-1, 1, 2) * (np.array(large) / 2 - radius)
    if kind != "good":
        # Moved out of the picture, to a side or upwards: a half or a tenth is left.
        left = rng.uniform(0.4, 0.7) if kind == "ok" else rng.uniform(0.2, 0.3)
        radius *= 1.3
        along = 0 if rng.random() < 0.3 else 1
        sign = -1 if along == 0 else rng.choice([-1, 1])
        middle[along] = large[along] / 2 + sign * (large[along] / 2 + radius * (1 - 2 * left))
    turn = rng.uniform(-0.22, 0.22) * difficulty
    rows, columns = np.ogrid[: large[0], : large[1]]
    x, y = turned((rows - middle[0]) / radius, (columns - middle[1]) / radius, turn)
    # Seen from a side a building is narrower.
    narrowed = 1 + float(rng.uniform(0, 0.3)) * difficulty
    owner, grey = _front(parts, x * narrowed, y)
    light = 128 + (grey - 128) * rng.uniform(1 - 0.5 * difficulty, 1) + rng.uniform(-30, 30) * difficulty
    tint = rng.uniform(-25, 25, (len(parts) + 1, 3)).astype(np.float32)
    inside = owner > 0
    picture[inside] = light[inside, None] + tint[owner[inside]]
    hidden = _hide(picture, rng, difficulty)
    seen = inside & ~hidden
    whole = _area(parts) * radius**2 / narrowed
    shrunk = np.asarray(Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).reduce(OVERSAMPLING), np.float32)
    shrunk = shrunk + (4 + 8 * difficulty) * rng.standard_normal((height, width, 1), np.float32)
    return View(np.clip(shrunk, 0, 255).astype(np.uint8), _box(seen), float(seen.sum() / whole))


def _front(
    parts: list[Part], x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Which part is seen at each place, 0 none, and its grey level."""
    owner, grey = np.zeros(x.shape, np.uint8), np.zeros(x.shape, np.float32)
    for number, part in enumerate(parts, start=1):
        inside = _within(part, x, y)
        on = TEXTURES[part.texture](x[inside] / part.period, y[inside] / part.period)
        level = np.where(on, part.tones[0], part.tones[1])
        if part.window:
            across, down = x[inside] - part.left, y[inside] - part.top
            pane = (across % (2 * part.window) > part.window) & (down % (2.4 * part.window) > part.window)
            level = np.where(pane, part.tones[2], level)
        owner[inside], grey[inside] = number, level
    return owner, grey


def _within(part: Part, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    inside = (x >= part.left) & (x <= part.right) & (y >= part.top) & (y <= part.bottom)
    middle, half = (part.left + part.right) / 2, (part.right - part.left) / 2
    # 0 at the top, 1 at the bottom.
    fallen = (y - part.top) / (part.bottom - part.top)
    if part.shape == "gable":
        inside &= abs(x - middle) <= half * fallen
    elif part.shape == "dome":
        inside &= ((x - middle) / half) ** 2 + (1 - fallen) ** 2 <= 1
    return inside


def _area(parts: list[Part]) -> float:
    """Of the whole building, in squares of its unit."""
    places = (np.arange(100, dtype=np.float32) + 0.5) / 50 - 1
    y, x = np.meshgrid(places, places, indexing="ij")
    return float((_front(parts, x, y)[0] > 0).mean()) * 4


def _hide(picture: NDArray[np.float32], rng: np.random.Generator, difficulty: float) -> NDArray[np.bool_]:
    """Puts flat things before the building; where they are."""
    height, width = picture.shape[:2]
    hidden = np.zeros((height, width), bool)
    rows, columns = np.ogrid[:height, :width]
    for _ in range(int(rng.integers(0, 2 + round(4 * difficulty)))):
        down, right = rng.uniform(0.3, 1.1) * height, rng.uniform(0, 1) * width
        tall, wide = rng.uniform(0.06, 0.2, 2) * min(height, width)
        thing = ((rows - down) / tall) ** 2 + ((columns - right) / wide) ** 2 < 1
        picture[thing] = rng.uniform(40, 200, 3)
        hidden |= thing
    return hidden


def _box(seen: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
    if not len(rows):
        return None
    x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return (x1 / OVERSAMPLING, y1 / OVERSAMPLING, x2 / OVERSAMPLING, y2 / OVERSAMPLING)

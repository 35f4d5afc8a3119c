"""Labelled demo pictures: one textured shape on a cluttered ground.

The class is the shape with its texture and nothing else. Colours, place, size, turn and the
picture's own format are drawn alike for each class, and the shapes cover about the same area,
half of it light and half dark. So neither mean colour nor raw pixels give the class away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pattern = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]

# Everything is drawn this many times too large and shrunk, which smooths all edges at once.
OVERSAMPLING = 2

SHORT_SIDE = (80, 111)  # in pixels, the end excluded
ASPECT = (1.0, 1.4)  # long side over short side
SHAPE_RADIUS = (0.34, 0.52)  # of the short side
SHAPE_OFFSET = 0.18  # of each side, away from the centre
TEXTURE_PERIOD = (0.115, 0.165)  # of the short side
MAX_TURN = np.deg2rad(14)
CLUTTER_COUNT = (10, 22)
CLUTTER_RADIUS = (0.04, 0.16)  # of the short side
NOISE = 7.0  # standard deviation in grey levels

# u points right and v down, float arrays (H, W) in periods; each gives a bool array (H, W).
TEXTURES: dict[str, Pattern] = {
    "barred": lambda u, v: u % 1 < 0.5,
    "planked": lambda u, v: v % 1 < 0.5,
    "checked": lambda u, v: (u * 0.8 % 1 < 0.5) ^ (v * 0.8 % 1 < 0.5),
    "dotted": lambda u, v: np.hypot((u + np.floor(v) / 2) % 1 - 0.5, v % 1 - 0.5) < 0.39,
    "ringed": lambda u, v: np.hypot(u, v) % 1 < 0.5,
    "spoked": lambda u, v: np.arctan2(v, u) * 7 / np.pi % 2 < 1,
    "zigzag": lambda u, v: (v + abs(u * 0.6 % 1 - 0.5) * 2) % 1 < 0.5,
    "latticed": lambda u, v: ((u + v) * 0.6 % 1 < 0.3) | ((u - v) * 0.6 % 1 < 0.3),
    "bricked": lambda u, v: (v % 1 > 0.32) & ((u * 0.5 + np.floor(v) / 2) % 1 > 0.18),
    # Waves in three unlike directions never line up twice, so the patches look irregular.
    "mottled": lambda u, v: np.sin(2.9 * u + 1.3 * v) + np.sin(3.1 * v - 1.7 * u) + np.sin(2.3 * u - 3.7 * v) > 0,
}
# Rings and spokes have a middle, which belongs in the middle of the shape.
CENTRED = {"ringed", "spoked"}

# x points right and y down, float arrays (H, W) in radii; each gives a bool array (H, W).
SHAPES: dict[str, Pattern] = {
    "disc": lambda x, y: np.hypot(x, y) < 0.93,
    "diamond": lambda x, y: abs(x) + abs(y) < 1.16,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.82,
    "hexagon": lambda x, y: np.maximum(abs(x) * 0.866 + abs(y) * 0.5, abs(y)) < 0.88,
    "flower": lambda x, y: np.hypot(x, y) < 0.91 + 0.16 * np.cos(6 * np.arctan2(y, x)),
    "oval": lambda x, y: np.hypot(x * 0.85, y * 1.2) < 0.94,
    "plus": lambda x, y: (np.minimum(abs(x), abs(y)) < 0.45) & (np.maximum(abs(x), abs(y)) < 0.98),
    "triangle": lambda x, y: (y < 0.85) & (abs(x) * 1.6 - y < 1.2),
    "house": lambda x, y: (y < 0.86) & (abs(x) < 0.85) & (abs(x) - y < 1.15),
    "star": lambda x, y: np.hypot(x, y) < 0.9 + 0.24 * np.cos(5 * np.arctan2(x, -y)),
}

# One texture to each shape, so that either of the two is enough to tell a class.
CLASSES = tuple(f"{texture} {shape}" for texture, shape in zip(TEXTURES, SHAPES, strict=True))


def draw_picture(label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture of class CLASSES[label], uint8 array (H, W, 3), determined by rng alone."""
    height, width = _draw_size(rng)
    picture = draw_ground(height * OVERSAMPLING, width * OVERSAMPLING, rng)
    inside, figure = _draw_masks(label, picture.shape[0], picture.shape[1], rng)
    # Which of the two tones is the light one must say nothing about the class.
    figure_is_light = rng.random() < 0.5
    picture[inside & figure] = draw_tone(figure_is_light, rng)
    picture[inside & ~figure] = draw_tone(not figure_is_light, rng)
    small = np.asarray(Image.fromarray(picture).reduce(OVERSAMPLING), np.float32)
    grain = NOISE * rng.standard_normal((height, width, 1), np.float32)
    return np.clip(small + grain, 0, 255).astype(np.uint8)


def _draw_size(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width in pixels, landscape as often as portrait."""
    short = int(rng.integers(*SHORT_SIDE))
    long = int(short * rng.uniform(*ASPECT))
    return (short, long) if rng.random() < 0.5 else (long, short)


def draw_ground(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A blend of four colours strewn with flat clutter, uint8 array (height, width, 3)."""
    corners = rng.integers(80, 176, (2, 2, 3), dtype=np.uint8)
    ground = Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(ground)
    short = min(height, width)
    for _ in range(rng.integers(*CLUTTER_COUNT)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        radius = short * rng.uniform(*CLUTTER_RADIUS)
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(n := rng.integers(2, 7)) / n
        points = list(zip(x + radius * np.cos(angles), y + radius * np.sin(angles), strict=True))
        red, green, blue = rng.integers(50, 206, 3).tolist()
        if n == 2:
            pen.line(points, fill=(red, green, blue), width=short // 32)
        else:
            pen.polygon(points, fill=(red, green, blue))
    return np.array(ground)


def _draw_masks(
    label: int, height: int, width: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the shape lies and where its texture is on, bool arrays (height, width) both."""
    texture, _ = CLASSES[label].split()
    short = min(height, width)
    down, right = (0.5 + rng.uniform(-SHAPE_OFFSET, SHAPE_OFFSET, 2)) * (height, width)
    turn = rng.uniform(-MAX_TURN, MAX_TURN)
    rows, columns = np.ogrid[:height, :width]
    x, y = turned((rows - down) / short, (columns - right) / short, turn)
    radius, period = rng.uniform(*SHAPE_RADIUS), rng.uniform(*TEXTURE_PERIOD)
    u, v = rng.uniform(0, 0 if texture in CENTRED else 20, 2).tolist()
    return shape_and_texture(label, x, y, radius, period, (u, v))


def turned(rows: NDArray[Any], columns: NDArray[Any], turn: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x and y, float32 arrays (height, width), of rows (height, 1) and columns (1, width) turned by radians."""
    x = (np.cos(turn) * columns + np.sin(turn) * rows).astype(np.float32)
    y = (np.cos(turn) * rows - np.sin(turn) * columns).astype(np.float32)
    return x, y


def shape_and_texture(
    label: int, x: NDArray[Any], y: NDArray[Any], radius: float, period: float, offset: tuple[float, float]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the shape of a class lies and where its texture is on, bool arrays like `x` and `y` both.

    Args:
        x, y: places from the middle of the shape, in the unit of `radius` and `period`.
        offset: of the texture, in periods.
    """
    texture, shape = CLASSES[label].split()
    inside = SHAPES[shape](x / radius, y / radius)
    figure = TEXTURES[texture](x / period + offset[0], y / period + offset[1])
    return inside, figure


def draw_tone(light: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random light or dark colour, float array (3,) of grey levels."""
    # The network sees the mean of the channels only: light and dark have to differ in it.
    mean = rng.uniform(165, 200) if light else rng.uniform(55, 90)
    tint = rng.uniform(-1, 1, 3)
    tint -= tint.mean()
    return mean + 55 * tint / np.abs(tint).max()

"""Generated JPEGs with the size, detail and file size of ImageNet's photographs.

A picture is a mixture of a few 1/f fields (photographs have such a spectrum), cut at another place,
turned and scaled for each picture, with two regions of their own colour and a sharp border between
them, a gradient of light, and grain. The same seed gives the same files.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.method.decode import resize_short

FIELDS = 8
SIDE = 1024
CLASSES = 10
QUALITY = 90
"""At which a picture of 500 x 375 takes about 110 KB."""


def fields(seed: int) -> list[NDArray[np.float32]]:
    """Periodic (SIDE, SIDE) fields whose amplitude falls as 1/f, of mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = np.inf
    made = []
    for _ in range(FIELDS):
        phases = np.exp(2j * np.pi * rng.random(frequency.shape))
        field = np.fft.irfft2(phases / frequency, s=(SIDE, SIDE))
        made.append((field / field.std()).astype(np.float32))
    return made


def picture(i: int, seed: int, base: list[NDArray[np.float32]]) -> Image.Image:
    """Picture `i`: about 500 x 375, one in four upright."""
    rng = np.random.default_rng([seed, i])
    width, height = 500 + int(rng.integers(-30, 31)), 375 + int(rng.integers(-40, 41))
    if rng.random() < 0.25:
        width, height = height, width

    def cut() -> NDArray[np.float32]:
        top, left = rng.integers(0, SIDE - height), rng.integers(0, SIDE - width)
        part = base[rng.integers(FIELDS)][top : top + height, left : left + width]
        return part[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]

    light = cut() * rng.uniform(25, 45)
    light += np.linspace(0, rng.uniform(-40, 40), width, dtype=np.float32)
    light += np.linspace(0, rng.uniform(-40, 40), height, dtype=np.float32)[:, None]
    light += rng.standard_normal((height, width), np.float32) * rng.uniform(2, 7)
    border = cut() + np.linspace(-1, 1, height, dtype=np.float32)[:, None] > rng.normal(0, 0.5)
    light += cut() * rng.uniform(5, 25) * border
    tint = cut()
    out = np.empty((height, width, 3), np.float32)
    colours = rng.uniform(70, 180, (2, 3)).astype(np.float32)
    for channel in range(3):
        ground = np.where(border, colours[0, channel], colours[1, channel])
        out[:, :, channel] = ground + light + tint * np.float32(rng.uniform(-12, 12))
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8))


def photographs(folder: Path, count: int, seed: int = 0, workers: int = 2) -> Path:
    """`count` JPEGs below `folder`, spread over class folders."""
    base = fields(seed)
    for label in range(CLASSES):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)

    def make(i: int) -> None:
        path = folder / f"class-{i % CLASSES}" / f"{i:06d}.jpg"
        picture(i, seed, base).save(path, quality=QUALITY)

    _each(make, range(count), workers)
    return folder


def resized(folder: Path, target: Path, side: int = 256, workers: int = 2) -> Path:
    """The same tree of JPEGs, each with `side` pixels on its short side."""

    def make(path: Path) -> None:
        out = target / path.relative_to(folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as opened:
            resize_short(opened.convert("RGB"), side).save(out, quality=QUALITY)

    _each(make, sorted(folder.rglob("*.jpg")), workers)
    return target


def _each(make, items: Iterable, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(make, items):
            pass

"""Labelled scenes in VOC's layout: several of the demo's shapes in one picture, with boxes, flags, masks and proposals.

The classes are those of `stages.sources.drawings`, under the names of their shapes, so that a network that was trained
on the demo's pictures has something to say.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.parameters.sets import DrawParams
from stages.sources import drawings
from stages.sources.drawings import CENTRED, CLASSES, MAX_TURN, OVERSAMPLING
from stages.sources.masks import VOID

SIDE = (96, 129)  # in pixels, the end excluded
PERIOD = (0.29, 0.36)  # of the texture, in radii
NAMES = tuple(sorted(name.split()[1] for name in CLASSES))
"""The classes in the order of VOC's class files, which is that of their names."""

_DRAWN = tuple(NAMES.index(name.split()[1]) for name in CLASSES)
"""Where each class of the drawings stands in NAMES."""


@dataclass(frozen=True)
class Thing:
    """An object of a scene.

    Attributes:
        box: x1 y1 x2 y2 in pixels from 0, the last row and column included, of what is seen of it.
        label: place in NAMES.
        difficult: hardly seen, or small.
        truncated: a part of it lies outside of the picture, or behind another.
    """

    box: tuple[int, int, int, int]
    label: int
    difficult: bool
    truncated: bool


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) uint8, its objects, and its mask (H, W) uint8: class + 1, 0 ground, 255 void."""

    picture: NDArray[np.uint8]
    things: list[Thing]
    mask: NDArray[np.uint8]


def draw_scene(rng: np.random.Generator, difficulty: float) -> Scene:
    """A scene determined by `rng`, from clean (0) to noisy, crowded and small (1)."""
    height, width = rng.integers(*SIDE, 2).tolist()
    large = (height * OVERSAMPLING, width * OVERSAMPLING)
    picture = drawings.draw_ground(*large, rng)
    # Which object is seen at each pixel: 0 the ground.
    seen = np.zeros(large, np.uint8)
    labels, areas, small = [], [], []
    for number in range(1, int(rng.integers(1, 3 + round(2 * difficulty))) + 1):
        label = int(rng.integers(len(CLASSES)))
        radius = min(large) * rng.uniform(0.26 - 0.12 * difficulty, 0.38 - 0.04 * difficulty)
        area = _draw_thing(picture, seen, number, label, radius, rng, difficulty)
        labels.append(label)
        areas.append(area)
        small.append(radius < 0.15 * min(large))
    noise = 4 + 10 * difficulty
    shrunk = np.asarray(Image.fromarray(picture).reduce(OVERSAMPLING), np.float32)
    shrunk = shrunk + noise * rng.standard_normal((height, width, 1), np.float32)
    owner = seen[::OVERSAMPLING, ::OVERSAMPLING]
    shares = np.bincount(seen.ravel(), minlength=len(labels) + 1)[1:] / areas
    things, mask = _described(owner, labels, shares, small)
    return Scene(np.clip(shrunk, 0, 255).astype(np.uint8), things, mask)


def _draw_thing(
    picture: NDArray[np.uint8],
    seen: NDArray[np.uint8],
    number: int,
    label: int,
    radius: float,
    rng: np.random.Generator,
    difficulty: float,
) -> int:
    """Draws one object over what is there; the pixels that it would cover were the picture endless."""
    height, width = seen.shape
    # The middle of an object lies in the picture, so that at least a part of it is seen.
    down, right = rng.uniform(0.12, 0.88, 2) * (height, width)
    turn, period = rng.uniform(-MAX_TURN, MAX_TURN), radius * rng.uniform(*PERIOD)
    u, v = rng.uniform(0, 0 if CLASSES[label].split()[0] in CENTRED else 20, 2).tolist()
    reach = 1.25 * radius
    top, left = int(down - reach), int(right - reach)
    side = int(2 * reach) + 1
    rows, columns = np.ogrid[top : top + side, left : left + side]
    x, y = drawings.turned(rows - down, columns - right, turn)
    inside, figure = drawings.shape_and_texture(label, x, y, radius, period, (u, v))
    first, last = (max(top, 0), max(left, 0)), (min(top + side, height), min(left + side, width))
    place = (slice(first[0], last[0]), slice(first[1], last[1]))
    cut = (slice(first[0] - top, last[0] - top), slice(first[1] - left, last[1] - left))
    # Which of the two tones is the light one must say nothing about the class.
    light = rng.random() < 0.5
    tones = [_faded(drawings.draw_tone(on, rng), difficulty) for on in (light, not light)]
    for part, tone in ((inside & figure, tones[0]), (inside & ~figure, tones[1])):
        picture[place][part[cut]] = tone
    seen[place][inside[cut]] = number
    return int(inside.sum())


def _faded(tone: NDArray[np.float64], difficulty: float) -> NDArray[np.float64]:
    """A tone nearer to the ground's, the more so the harder."""
    return 128 + (tone - 128) * (1 - 0.45 * difficulty)


def _described(
    owner: NDArray[np.uint8], labels: list[int], shares: NDArray[np.float64], small: list[bool]
) -> tuple[list[Thing], NDArray[np.uint8]]:
    """The objects that are seen, and the mask; objects of which less than an eighth is seen are void and no objects."""
    things = []
    of_owner = np.full(len(labels) + 1, VOID, np.uint8)
    of_owner[0] = 0
    for number, label in enumerate(labels, start=1):
        rows, columns = np.nonzero(owner == number)
        if shares[number - 1] < 0.125 or len(rows) < 36:
            continue
        box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
        difficult = bool(shares[number - 1] < 0.4 or small[number - 1])
        things.append(Thing(box, _DRAWN[label], difficult, bool(shares[number - 1] < 0.85)))
        # As in VOC, what is difficult counts neither way.
        of_owner[number] = VOID if difficult else _DRAWN[label] + 1
    mask = of_owner[owner]
    mask[_borders(owner)] = VOID
    return things, mask


def _borders(owner: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a neighbour, across or diagonal, belongs to another object."""
    padded = np.pad(owner, 1, mode="edge")
    height, width = owner.shape
    found = np.zeros(owner.shape, bool)
    for down in range(3):
        for right in range(3):
            found |= padded[down : down + height, right : right + width] != owner
    return found


def propose(scene: Scene, rng: np.random.Generator) -> NDArray[np.float64]:
    """Boxes as selective search would find them: near the objects, on a grid, and anywhere: (n, 4), each once."""
    height, width = scene.mask.shape
    most = np.array([width - 1, height - 1, width - 1, height - 1])
    near = np.array([thing.box for thing in scene.things], float).reshape(-1, 4).repeat(6, axis=0)
    sides = (near[:, 2:] - near[:, :2]).repeat(2, axis=0).reshape(-1, 4)
    near += sides * rng.normal(0, 0.12, near.shape)
    anywhere = np.sort(rng.uniform(0, 1, (48, 2, 2)), axis=1).reshape(-1, 4) * most
    boxes = [near, anywhere, most[None] * [0, 0, 1, 1]]
    for parts in (2, 3):
        step = np.arange(2 * parts - 1) / (2 * parts)
        y, x = (axis.ravel() for axis in np.meshgrid(step, step, indexing="ij"))
        boxes.append(np.stack([x, y, x + 1 / parts, y + 1 / parts], axis=1) * most)
    every = np.clip(np.round(np.concatenate(boxes)), 0, most)
    every = np.unique(every[(every[:, 2:] - every[:, :2] >= 4).all(axis=1)], axis=0)
    return rng.permutation(every)


def scenes_of(params: DrawParams) -> Iterator[tuple[str, str, Scene, NDArray[np.float64]]]:
    """Split, name, scene and proposals of each picture; more pictures of a split leave the first as they are."""
    for split, first, count in (("train", 0, params.train), ("val", 1, params.val), ("test", 2, params.test)):
        for number in range(count):
            rng = np.random.default_rng([params.seed, 1, first, number])
            scene = draw_scene(rng, params.difficulty)
            yield split, f"{first * 300000 + number:06d}", scene, propose(scene, rng)


def as_jpeg(picture: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()

"""Linear classifiers on the maps of convolutional layers (section 4.3, Table 1), by either of two protocols.

`released-code` is the authors': averages of a layer's map over a grid, then a linear layer. `zhang` is that of Zhang,
Isola and Efros (2016, 2017), from whom the paper quotes the other rows: the grid's values are normalised over the batch
first, and the step size falls in jumps. Their network saw 227 pixels and resized its maps by tent-shaped weights; here
a run's own input is kept, and the maps are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, Shape
from stages.method.named_layers import dimension, map_shape, places
from stages.protocols.heads import HeadLearner, linear
from stages.protocols.sgd import Group, ScheduledSGD

Protocol = Literal["released-code", "zhang"]

MOST_VALUES = 9600
"""Most values of an image that a linear classifier sees: those of AlexNet's conv1, conv3 and conv4."""

KERNELS = {"conv1": (6, 6, 3), "conv2": (4, 4, 0), "conv3": (3, 3, 1), "conv4": (3, 3, 1), "conv5": (2, 2, 0)}
"""Kernel, stride and padding in pixels of the released code's average pooling, for AlexNet at 224 pixels."""

ZHANG_DROP_EVERY = 40_000
"""Steps of 256 images, of 140,000 in all, after which Zhang's step size is divided by 10."""

ZHANG_BIAS_RATE = 2
"""Step size of a bias divided by that of its weights, as usual in Caffe; its weight decay is 0."""


@dataclass(frozen=True)
class Rates:
    """SGD of one layer's classifier. The paper chose both per layer by cross-validation, and published neither.

    Attributes:
        lr: step size of the first step.
        weight_decay: factor of the l2 penalty.
    """

    lr: float = 0.01
    weight_decay: float = 1e-4


RELEASED_RATES = {f"conv{n}": Rates(weight_decay=1e-7 if n == 3 else 1e-4) for n in range(1, 6)}
"""What the released code has: its one script is conv3's; 1e-4 is its default."""

ZHANG_RATES = Rates(weight_decay=5e-4)


def linear_probe(
    architecture: str,
    rates: Mapping[str, Rates],
    classes: int,
    *,
    sobel: bool,
    input: int,
    width: float = 1.0,
    protocol: Protocol = "released-code",
    drop_every: int = ZHANG_DROP_EVERY,
    seed: int,
    device: torch.device,
) -> HeadLearner:
    """An untrained classifier for each layer, and the SGD that trains them all.

    Args:
        architecture: a name of `ARCHITECTURES`.
        rates: by name of each layer to classify; a name of `stages.method.named_layers.names`.
        classes: number of classes.
        sobel, input, width: of the network.
        drop_every: steps until Zhang's step size falls; the released code's falls with every step.
        seed: of the initial weights, the same for a layer whichever others there are.
    """
    plan = ARCHITECTURES[architecture]
    size = partial(dimension, plan, sobel=sobel, input=input, width=width)
    heads, groups = dict[str, nn.Module](), list[Group]()
    for name, rate in rates.items():
        pool: nn.Module = nn.Identity()
        values = channels = size(name)
        if name in places(plan):
            shape = map_shape(plan, name, sobel=sobel, input=input, width=width)
            published = protocol == "released-code" and (architecture, input, width) == ("alexnet", 224, 1)
            pool = nn.AvgPool2d(*KERNELS[name]) if published else adaptive_pool(shape)
            with torch.device("meta"):
                values = pool(torch.empty(1, shape.channels, shape.side, shape.side)).numel()
            channels = shape.channels
        classifier = linear(values, classes, torch.Generator().manual_seed(seed))
        parts = [pool, nn.Flatten(), classifier]
        if protocol == "zhang":
            # The network is frozen, so the mean over all batches is a better statistic than that of the last few.
            kind = nn.BatchNorm2d if name in places(plan) else nn.BatchNorm1d
            parts.insert(1, kind(channels, affine=False, momentum=None))
        heads[name] = nn.Sequential(*parts).to(device)
        groups += _groups(classifier, rate, protocol, drop_every)
    return HeadLearner(nn.ModuleDict(heads), ScheduledSGD(groups))


def _groups(classifier: nn.Linear, rate: Rates, protocol: Protocol, drop_every: int) -> list[Group]:
    if protocol == "released-code":
        schedule = partial(released_schedule, rate.lr * rate.weight_decay)
        return [Group([*classifier.parameters()], rate.lr, rate.weight_decay, schedule)]
    drop = partial(zhang_schedule, drop_every)
    weight, bias = classifier.parameters()
    return [Group([weight], rate.lr, rate.weight_decay, drop), Group([bias], ZHANG_BIAS_RATE * rate.lr, 0, drop)]


def released_schedule(fall: float, step: int) -> float:
    """(1 + fall * step)^-1/2, the released code's step size divided by its first, nearly flat.

    Args:
        fall: first step size times weight decay.
        step: counted from 0.
    """
    return 1 / math.sqrt(1 + fall * step)


def zhang_schedule(drop_every: int, step: int) -> float:
    """A tenth for each `drop_every` steps."""
    return 0.1 ** (step // drop_every)


def adaptive_pool(shape: Shape) -> nn.Module:
    """Averages over the largest square grid with at most `MOST_VALUES` values; none where the map has no more.

    On AlexNet's maps at width 1 the grids have sides of 10, 6, 5, 5 and 6, as in both protocols.
    """
    side = max(1, math.isqrt(MOST_VALUES // shape.channels))
    return nn.AdaptiveAvgPool2d(side) if side < shape.side else nn.Identity()


def labelled_subset(labels: NDArray[np.int64], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Sorted indices of `per_class` images of each class, drawn without replacement.

    Args:
        labels: (N,) classes; -1 where unknown.

    Raises:
        Refusal: a class has fewer images.
    """
    chosen = []
    for label in range(int(labels.max()) + 1):
        images = np.flatnonzero(labels == label)
        if len(images) < per_class:
            raise Refusal(f"per_class: class {label} has {len(images)} images, fewer than {per_class}")
        chosen.append(rng.choice(images, per_class, replace=False))
    return np.sort(np.concatenate(chosen))

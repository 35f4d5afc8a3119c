"""Networks as small as the demo's, and pictures with one bright square each, for detection and segmentation."""

import numpy as np
import torch
from network_helpers import small

from stages.protocols.fast_rcnn import FastRCNN
from stages.protocols.fcn import FCN
from stages.protocols.plain_network import train_only
from stages.protocols.roi_sampling import RoISampling, candidates, draw_regions, training_scale
from stages.protocols.solver import Learner, Solver

CPU = torch.device("cpu")
SAMPLING = RoISampling(regions=16)
CLASSES = 2


def network(architecture="alexnet", **options):
    """As if it had learnt: batch statistics that are not those of a new network, and large hidden weights."""
    made = small(architecture, **({"input": 64, "width": 1 / 8} | options))
    generator = torch.Generator().manual_seed(1)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, generator=generator)
    return made


def squares(side=64):
    """Two pictures with a bright square of 24 pixels, their boxes, labels 1 and 2, and the labels of all pixels."""
    rng = np.random.default_rng(0)
    pictures, masks = rng.integers(0, 60, (2, side, side, 3), dtype=np.uint8), np.zeros((2, side, side), np.uint8)
    boxes = np.array([[6, 8, 29, 31], [30, 26, 53, 49]])
    for number, (left, top, right, bottom) in enumerate(boxes):
        inside = (number, slice(top, bottom + 1), slice(left, right + 1))
        # Stripes of two directions, which the gradients of the network's input tell apart.
        stripes = np.indices((24, 24))[number] % 8 < 4
        pictures[inside] = np.where(stripes, 255, 90)[..., None]
        masks[inside] = number + 1
    return pictures, boxes, np.array([1, 2]), masks


def proposals(n=60, side=64, seed=0):
    """Boxes of at least 4 pixels, and some that lie near the squares."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, side - 20, (n, 2))
    anywhere = np.hstack([corners, corners + rng.integers(4, 20, (n, 2))])
    near = squares()[1].repeat(10, 0) + rng.integers(-6, 7, (20, 4))
    return np.vstack([anywhere, near]).clip(0, side - 1)


def squares_candidates():
    _, boxes, labels, _ = squares()
    return [candidates(proposals(), boxes[i : i + 1], labels[i : i + 1], np.zeros(1, bool)) for i in range(2)]


def detector(trained="all", frozen=(), architecture="alexnet", lr=0.001, dropout=0.5, fc="run", scale=None, **options):
    scale = scale or training_scale(squares_candidates(), CLASSES, SAMPLING, flips=True)
    generator = torch.Generator().manual_seed(0)
    made = network(architecture, **options)
    model = FastRCNN(made, CLASSES, fc=fc, scale=scale, generator=generator, dropout=dropout)
    train_only(model.convolutions, trained, frozen)
    return Learner(model, Solver(lr=lr), CPU)


def regions(learner, rng, flips=(False, False)):
    pictures, *_ = squares()
    shown = [picture[:, ::-1] if flip else picture for picture, flip in zip(pictures, flips, strict=True)]
    drawn = [c.flip(64) if flip else c for c, flip in zip(squares_candidates(), flips, strict=True)]
    return shown, draw_regions(drawn, [1.0, 1.0], learner.model.scale, SAMPLING, rng)


def segmenter(
    trained="all", frozen=(), architecture="alexnet", lr=0.0001, dropout=0.5, padding=40, fc="run", **options
):
    generator = torch.Generator().manual_seed(0)
    model = FCN(
        network(architecture, **options),
        CLASSES + 1,
        fc=fc,
        generator=generator,
        padding=padding,
        dropout=dropout,
    )
    train_only(model.convolutions, trained, frozen)
    return Learner(model, Solver(lr=lr), CPU)


def state_of(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}

"""Networks narrow enough for a test, and pictures to put through them."""

import numpy as np
import torch

from stages.method.architectures import ARCHITECTURES
from stages.method.networks import Backbone, initialise


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def pictures(n, side, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8))


def small(architecture, sobel=True, **options):
    options = {"input": ARCHITECTURES[architecture].least_input, "width": 1 / 16} | options
    network = Backbone(architecture, sobel=sobel, **options)
    initialise(network, torch.Generator().manual_seed(0))
    return network

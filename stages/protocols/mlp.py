"""An MLP on frozen features (the paper's supplement, quoted in section 4.3).

The supplement's protocol is not published; this is the nonlinear classifier of Gidaris, Singh and Komodakis (RotNet,
2018), which other work reports too: two hidden layers without biases, each with batch normalisation and a ReLU, trained
for 40 epochs of batches of 192. Theirs sees the layer that is called `pool` here, on random crops at training time and
on the centre crop at test time.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

from stages.protocols.heads import HeadLearner
from stages.protocols.sgd import Group, ScheduledSGD

HIDDEN = 4096
"""Units of each hidden layer."""

LR, WEIGHT_DECAY = 0.01, 5e-4
"""Step size of the first quarter of the epochs, and factor of the l2 penalty."""


def mlp(
    layer: str,
    inputs: int,
    classes: int,
    *,
    steps: int,
    hidden: int = HIDDEN,
    lr: float = LR,
    weight_decay: float = WEIGHT_DECAY,
    seed: int,
    device: torch.device,
) -> HeadLearner:
    """An untrained MLP, and its SGD with Nesterov's momentum of 0.9.

    Args:
        layer: name of the layer that it sees.
        inputs: number of values of an image in that layer.
        steps: of the whole training, by which the step size falls.
        seed: of the initial weights.
    """
    generator = torch.Generator().manual_seed(seed)
    head = nn.Sequential(
        nn.Flatten(),
        *_hidden_layer(inputs, hidden, generator),
        *_hidden_layer(hidden, hidden, generator),
        _linear(hidden, classes, generator, bias=True),
    ).to(device)
    group = Group([*head.parameters()], lr, weight_decay, partial(schedule, steps))
    return HeadLearner(nn.ModuleDict({layer: head}), ScheduledSGD([group], nesterov=True))


def schedule(steps: int, step: int) -> float:
    """A fifth for each quarter of the steps that is done: 0.01, 0.002, 0.0004, 0.00008."""
    return 0.2 ** min(3, 4 * step // steps)


def _hidden_layer(inputs: int, outputs: int, generator: torch.Generator) -> list[nn.Module]:
    return [_linear(inputs, outputs, generator, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]


def _linear(inputs: int, outputs: int, generator: torch.Generator, *, bias: bool) -> nn.Linear:
    """A linear layer with weights from a normal distribution of variance 2 / outputs, as RotNet's, and biases of 0."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    with torch.no_grad():
        layer.weight.normal_(0, math.sqrt(2 / outputs), generator=generator)
        if bias:
            layer.bias.zero_()
    return layer

"""One step of SGD on Eq. 1 (section 3.4), and its step size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.method.networks import Backbone, autocast, place, top_layer, trainable
from stages.method.shards import Shards


@dataclass
class Learner:
    """Everything that a training step changes: backbone and top layer, each with an SGD of its own."""

    network: Backbone
    top: nn.Linear
    optimizer: torch.optim.SGD
    top_optimizer: torch.optim.SGD
    shards: Shards

    def state(self) -> dict[str, Any]:
        """The `state_dict` of each part, by its name."""
        parts = ("network", "top", "optimizer", "top_optimizer")
        return {part: getattr(self, part).state_dict() for part in parts}

    def load(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave.

        Raises:
            RuntimeError: weights of another shape, or missing ones.
        """
        for part, value in state.items():
            getattr(self, part).load_state_dict(value)


def new_learner(
    network: Backbone,
    labels: int,
    momenta: dict[int, Any],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    top_momentum: float = 0.0,
    nesterov: bool = False,
    shards: int = 1,
    device: torch.device,
) -> Learner:
    """The backbone with its momentum of the epoch before, and a new top layer, on `device`.

    The top layer is new in each epoch because cluster numbers mean nothing from one clustering to the next. Its SGD
    has the same weight decay.

    Args:
        labels: number of pseudo-labels.
        momenta: `state` of the SGD at the end of the epoch before, by number of the parameter; {} in the first.
        lr: step size.
        momentum: of the backbone's SGD.
        weight_decay: factor of the l2 penalty on all weights.
        top_momentum: of the top layer's SGD.
        nesterov: Nesterov's momentum in place of the plain one.
        shards: parts of each batch whose gradients are computed side by side.
    """
    top = top_layer(network.dim, labels)
    network = place(network.train(), device)
    top = top.to(device)

    def sgd(parameters: Iterable[nn.Parameter], momentum: float) -> torch.optim.SGD:
        ahead = nesterov and momentum > 0
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=ahead)

    optimizer = sgd(trainable(network), momentum)
    if momenta:
        # The momentum alone is carried over; step size and weight decay are this epoch's.
        optimizer.load_state_dict({"state": momenta, "param_groups": optimizer.state_dict()["param_groups"]})
    return Learner(network, top, optimizer, sgd(top.parameters(), top_momentum), Shards(network, top, shards))


def train_step(
    learner: Learner,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    lr: float,
    precision: str,
    change: Callable[[Tensor], Tensor] | None = None,
    top_lr: float | None = None,
) -> tuple[Tensor, Tensor]:
    """One step of SGD on Eq. 1 for one batch.

    Args:
        pictures: (B, H, W, 3) uint8.
        labels: (B,) pseudo-labels.
        lr: step size of the backbone's SGD.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.
        change: from the batch as (B, 3, H, W) uint8 on the device to what the network sees, alike.
        top_lr: step size of the top layer's SGD; None: `lr`.

    Returns:
        The mean loss of the batch and its number of right predictions, as scalars on the device.
    """
    device = learner.top.weight.device
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device, non_blocking=True)
    target = torch.from_numpy(labels).to(device, non_blocking=True)
    if change is not None:
        batch = change(batch)
    for optimizer, rate in ((learner.optimizer, lr), (learner.top_optimizer, top_lr or lr)):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=True)

    def differentiate(network: Backbone, top: nn.Linear, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(device, precision):
            logits = top(network(images))
        loss = nn.functional.cross_entropy(logits.float(), wanted) * (len(images) / len(batch))
        loss.backward()
        return loss.detach(), (logits.detach().argmax(1) == wanted).sum()

    losses, right = zip(*learner.shards.map(differentiate, batch, target), strict=True)
    learner.optimizer.step()
    learner.top_optimizer.step()
    return torch.stack(losses).sum(), torch.stack(right).sum()


def learning_rate(lr: float, epoch: int, step: int, steps: int, horizon: int | None = None) -> float:
    """Step size of one step: always `lr` as in the paper, or half a cosine from `lr` to 0 over `horizon` epochs.

    Args:
        epoch: counted from 1.
        step: counted from 0 within the epoch.
        steps: number of steps in an epoch.
        horizon: epochs until the step size is 0; None for the constant one.
    """
    if horizon is None:
        return lr
    progress = min(1.0, (epoch - 1 + step / steps) / horizon)
    return lr * (1 + math.cos(math.pi * progress)) / 2

"""One step of SGD on Eq. 1 (sections 3.3 and 3.4), and its step size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.method.networks import Backbone, autocast, place, top_layer, trainable


@dataclass
class Learner:
    """What one step changes: the backbone with its SGD, the top layer with its own."""

    network: Backbone
    top: nn.Linear
    optimizer: torch.optim.SGD
    top_optimizer: torch.optim.SGD

    def state(self) -> dict[str, Any]:
        parts = ("network", "top", "optimizer", "top_optimizer")
        return {part: getattr(self, part).state_dict() for part in parts}

    def load(self, state: dict[str, Any]) -> None:
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
    device: torch.device,
) -> Learner:
    """The backbone with the momentum that it had, and a new top layer without any, on `device`.

    The top layer is made anew each epoch since cluster numbers mean nothing from one epoch to
    the next; its SGD has the same step size and weight decay.

    Args:
        labels: number of pseudo-labels.
        momenta: state of the SGD that the epoch before ended with, by parameter; {} at the start.
    """
    top = top_layer(network.dim, labels)
    network = place(network.train(), device)
    top = top.to(device)
    optimizer = torch.optim.SGD(trainable(network), lr=lr, momentum=momentum, weight_decay=weight_decay)
    if momenta:
        # Only the momentum is carried over: the step size and weight decay are this epoch's.
        optimizer.load_state_dict({"state": momenta, "param_groups": optimizer.state_dict()["param_groups"]})
    top_optimizer = torch.optim.SGD(top.parameters(), lr=lr, weight_decay=weight_decay)
    return Learner(network, top, optimizer, top_optimizer)


def train_step(
    learner: Learner,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    lr: float,
    precision: str,
) -> tuple[Tensor, Tensor]:
    """One step of SGD on Eq. 1.

    Args:
        pictures: (B, H, W, 3) uint8.
        labels: (B,) pseudo-labels.

    Returns:
        The mean loss of the batch and the number of right predictions, on the device.
    """
    device = learner.top.weight.device
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device, non_blocking=True)
    target = torch.from_numpy(labels).to(device, non_blocking=True)
    for optimizer in (learner.optimizer, learner.top_optimizer):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
    with autocast(device, precision):
        logits = learner.top(learner.network(batch))
    loss = nn.functional.cross_entropy(logits.float(), target)
    loss.backward()
    learner.optimizer.step()
    learner.top_optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == target).sum()


def learning_rate(lr: float, epoch: int, step: int, steps: int, horizon: int | None = None) -> float:
    """The step size of a step: `lr` throughout as in the paper, or half a cosine over `horizon` epochs.

    Args:
        epoch, step: from 1, and from 0 to `steps` within the epoch.
    """
    if horizon is None:
        return lr
    progress = min(1.0, (epoch - 1 + step / steps) / horizon)
    return lr * (1 + math.cos(math.pi * progress)) / 2

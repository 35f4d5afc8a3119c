"""One step of SGD on Eq. 1 (section 3.4), or on that of DeepCluster-v2, and its step size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stages.method.networks import Backbone, Centroids, autocast, place, top_layer, trainable
from stages.method.shards import Shards


@dataclass
class Learner:
    """Everything that a training step changes: backbone and top layer, each with an SGD of its own.

    Attributes:
        top_optimizer: None where the top layer is fixed.
    """

    network: Backbone
    top: nn.Linear | Centroids
    optimizer: torch.optim.SGD
    top_optimizer: torch.optim.SGD | None
    shards: Shards

    def state(self) -> dict[str, Any]:
        """The `state_dict` of each part, by its name."""
        parts = ("network", "top", "optimizer", "top_optimizer")
        return {part: getattr(self, part).state_dict() for part in parts if getattr(self, part) is not None}

    def load(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave.

        Raises:
            RuntimeError: weights of another shape, or missing ones.
        """
        for part, value in state.items():
            getattr(self, part).load_state_dict(value)
        for optimizer in (self.optimizer, self.top_optimizer):
            if optimizer is not None:
                _lay_out(optimizer)


@dataclass(frozen=True)
class Batch:
    """Views of one size, on the device of the network.

    Attributes:
        pictures: (B, 3, H, W) uint8.
        labels: (B, heads) int64 pseudo-labels, a column a clustering.
    """

    pictures: Tensor
    labels: Tensor


def new_learner(
    network: Backbone,
    labels: int | Sequence[Tensor],
    momenta: dict[int, Any],
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    top_momentum: float = 0.0,
    nesterov: bool = False,
    shards: int = 1,
    temperature: float | None = None,
    kept: Mapping[str, Tensor] | None = None,
    device: torch.device,
) -> Learner:
    """The backbone with its momentum of the epoch before, and a top layer, on `device`.

    The top layer is new in each epoch, unless `kept`, because cluster numbers mean nothing from one clustering to the
    next. Its SGD has the same weight decay, and always begins anew.

    Args:
        labels: number of pseudo-labels; or, for a fixed top layer, their (k, dim) centroids in each clustering.
        momenta: `state` of the SGD at the end of the epoch before, by number of the parameter; {} in the first.
        lr: step size.
        momentum: of the backbone's SGD.
        weight_decay: factor of the l2 penalty on all weights.
        top_momentum: of the top layer's SGD.
        nesterov: Nesterov's momentum in place of the plain one.
        shards: parts of each batch whose gradients are computed side by side.
        temperature: of the softmax over centroids.
        kept: `state_dict` of the top layer of the epoch before, to go on with where it has as many pseudo-labels.
    """
    top: nn.Linear | Centroids
    if isinstance(labels, int):
        top = top_layer(network.dim, labels)
        if kept is not None and kept["weight"].shape == top.weight.shape:
            top.load_state_dict(kept)
    else:
        assert temperature is not None
        top = Centroids(labels, temperature)
    network = place(network.train(), device)
    top = top.to(device)

    def sgd(parameters: Iterable[nn.Parameter], momentum: float) -> torch.optim.SGD:
        ahead = nesterov and momentum > 0
        return torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=ahead,
            # One pass over the weights in place of several, which take a tenth of a step of AlexNet on a CPU.
            fused=True,
        )

    optimizer = sgd(trainable(network), momentum)
    if momenta:
        # The momentum alone is carried over; step size and weight decay are this epoch's.
        optimizer.load_state_dict({"state": momenta, "param_groups": optimizer.state_dict()["param_groups"]})
        _lay_out(optimizer)
    top_optimizer = sgd(top.parameters(), top_momentum) if isinstance(top, nn.Linear) else None
    return Learner(network, top, optimizer, top_optimizer, Shards(network, top, shards))


def _lay_out(optimizer: torch.optim.SGD) -> None:
    """Gives each momentum the layout in memory of its weights, which files do not keep and the fused step needs."""
    for weights, state in optimizer.state.items():
        if (momentum := state.get("momentum_buffer")) is not None:
            state["momentum_buffer"] = torch.empty_like(weights).copy_(momentum)


def train_step(
    learner: Learner, batches: Sequence[Batch], lr: float, precision: str, top_lr: float | None = None
) -> tuple[Tensor, Tensor]:
    """One step of SGD on Eq. 1 for one batch, which may have views of several sizes.

    The loss is the mean over all views and clusterings.

    Args:
        lr: step size of the backbone's SGD.
        precision: of the arithmetic; `float32`, `tf32` or `bf16`.
        top_lr: step size of the top layer's SGD; None: `lr`.

    Returns:
        The loss, and how many views of the first size have their label of the first clustering predicted, as scalars
        on the device.
    """
    for optimizer, rate in ((learner.optimizer, lr), (learner.top_optimizer, top_lr or lr)):
        if optimizer is not None:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
    total = sum(len(batch.labels) for batch in batches)
    losses, right = zip(*(_differentiate(learner, batch, total, precision) for batch in batches), strict=True)
    learner.optimizer.step()
    if learner.top_optimizer is not None:
        learner.top_optimizer.step()
    return torch.stack(losses).sum(), right[0]


def _differentiate(learner: Learner, batch: Batch, total: int, precision: str) -> tuple[Tensor, Tensor]:
    """Adds a batch's part of the gradients of a step that has `total` views; see `train_step` for what it returns."""

    def differentiate(network: Backbone, top: nn.Module, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(images.device, precision):
            found = top(network(images))
        logits = found if isinstance(found, list) else [found]
        heads = [nn.functional.cross_entropy(each.float(), wanted[:, head]) for head, each in enumerate(logits)]
        loss = torch.stack(heads).mean() * (len(images) / total)
        loss.backward()
        return loss.detach(), (logits[0].detach().argmax(1) == wanted[:, 0]).sum()

    losses, right = zip(*learner.shards.map(differentiate, batch.pictures, batch.labels), strict=True)
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

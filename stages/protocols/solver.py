"""SGD as the released detector and segmentation are trained with it: biases have rules of their own, as in Caffe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.protocols.sgd import Group, ScheduledSGD


@dataclass(frozen=True)
class Solver:
    """Parameters of SGD.

    Attributes:
        lr: step size of the first updates.
        step: updates after which the step size is multiplied by `gamma`, again and again; None: it stays.
        weight_decay: factor of the l2 penalty on all weights but biases.
        bias_lr: factor on the step size of biases, the shift of batch normalisation among them.
    """

    lr: float
    step: int | None = None
    gamma: float = 0.1
    weight_decay: float = 5e-4
    bias_lr: float = 2.0

    def factor(self, update: int) -> float:
        """Step size of an update, counted from 0, divided by `lr`."""
        return 1.0 if self.step is None else self.gamma ** (update // self.step)


class Learner:
    """A model in training, its SGD, and how far it is.

    Args:
        model: goes to `device`, in the layout channels_last; those of its parameters that require a gradient are
            trained.

    """

    def __init__(self, model: nn.Module, solver: Solver, device: torch.device) -> None:
        self.model = model.to(device).to(memory_format=torch.channels_last)
        self.device = device
        weights: list[nn.Parameter] = []
        biases: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                (biases if name.endswith("bias") else weights).append(parameter)
        groups = [
            Group(weights, solver.lr, solver.weight_decay, solver.factor),
            Group(biases, solver.bias_lr * solver.lr, 0.0, solver.factor),
        ]
        self.sgd = ScheduledSGD(groups)

    @property
    def updates(self) -> int:
        """Number of updates that were made."""
        return self.sgd.steps

    def update(self) -> None:
        """Moves the parameters along the gradients that were summed up since the last update."""
        self.sgd.update()

    def state(self) -> dict[str, Any]:
        """All that a later `load` needs to go on as if nothing had been between."""
        return {"model": self.model.state_dict(), "sgd": self.sgd.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave.

        Raises:
            RuntimeError: weights of another shape, or missing ones.
        """
        self.model.load_state_dict(state["model"])
        self.sgd.load_state_dict(state["sgd"])


@contextmanager
def seeded(rng: np.random.Generator, device: torch.device) -> Iterator[None]:
    """torch's random state, which dropout draws from, set by a draw of `rng`; restored at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(1 << 63)))
        yield

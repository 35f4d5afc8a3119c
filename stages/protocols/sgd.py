"""SGD whose step sizes follow from the number of the step, saved and restored as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    """Parameters that share a step size.

    Attributes:
        parameters: what SGD changes.
        lr: step size of the first step.
        weight_decay: factor of the l2 penalty.
        schedule: the step size of a step, counted from 0, divided by `lr`.
    """

    parameters: Sequence[nn.Parameter]
    lr: float
    weight_decay: float
    schedule: Callable[[int], float]


class ScheduledSGD:
    """PyTorch's SGD with a momentum of 0.9 over groups of parameters, each with its own schedule.

    Args:
        groups: all parameters that are trained.
        nesterov: whether the momentum is Nesterov's.
        most_norm: norm of all gradients together to which longer ones are scaled, before the l2 penalty is added;
            infinity scales none.

    Attributes:
        optimizer: PyTorch's; its groups are in the order of `groups`.
    """

    def __init__(self, groups: Sequence[Group], *, nesterov: bool = False, most_norm: float = float("inf")) -> None:
        options = [{"params": [*each.parameters], "lr": each.lr, "weight_decay": each.weight_decay} for each in groups]
        self.optimizer = torch.optim.SGD(options, momentum=0.9, nesterov=nesterov, fused=True)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, [each.schedule for each in groups])
        self._parameters = [parameter for each in groups for parameter in each.parameters]
        self._most_norm = most_norm

    @property
    def steps(self) -> int:
        """Number of steps that are done."""
        return self._scheduler.last_epoch

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a scalar loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._move()

    def update(self) -> None:
        """One step down the gradients that were summed up since the last one."""
        self._move()
        self.optimizer.zero_grad(set_to_none=True)

    def _move(self) -> None:
        if self._most_norm < float("inf"):
            nn.utils.clip_grad_norm_(self._parameters, self._most_norm)
        self.optimizer.step()
        self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Momenta and the number of the step: tensors and plain values."""
        return {"optimizer": self.optimizer.state_dict(), "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            ValueError: other groups of parameters.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])

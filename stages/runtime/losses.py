"""What the steps of an epoch gave, read from the device a check later, so that no step waits for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stages.errors import Refusal
from stages.runtime.transfer import Download


class Done:
    """The losses and right predictions of an epoch's steps.

    Args:
        epoch: its number.
        rates: step size of each step.
        losses, correct: of steps that are done already.
    """

    def __init__(
        self, epoch: int, rates: Sequence[float], losses: Sequence[float] = (), correct: Sequence[int] = ()
    ) -> None:
        self._epoch, self._rates = epoch, rates
        self._losses, self._correct = list(losses), list(correct)
        self._found: list[Tensor] = []
        self._sent: list[Download] = []
        self.steps = len(self._losses)

    def add(self, loss: Tensor, correct: Tensor) -> None:
        """A further step's, scalars on a device."""
        self._found.append(torch.stack([loss.double(), correct.double()]))
        self.steps += 1

    def check(self) -> None:
        """Has the numbers of the steps since the last check sent, and looks at those that were sent then.

        Raises:
            Refusal: a loss is not finite.
        """
        self._look()
        if self._found:
            numbers = torch.stack(self._found)
            sent = Download(tuple(numbers.shape), numbers.dtype, numbers.device)
            sent.put(0, numbers)
            self._sent, self._found = [sent], []

    def all(self) -> tuple[list[float], list[int]]:
        """Losses and numbers of right predictions of all steps.

        Raises:
            Refusal: a loss is not finite.
        """
        self.check()
        self._look()
        return self._losses, self._correct

    def _look(self) -> None:
        for sent in self._sent:
            for loss, right in sent.read().tolist():
                if not math.isfinite(loss):
                    step = len(self._losses)
                    raise Refusal(
                        f"epoch {self._epoch}, iteration {step}: the loss is {loss} at lr {self._rates[step]:g}; "
                        "nothing was published; lower it with --set train.lr=…"
                    )
                self._losses.append(loss)
                self._correct.append(int(right))
        self._sent = []

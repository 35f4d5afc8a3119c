"""Classifiers on the layers of a frozen network: one head a layer, all trained from one forward pass a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.protocols.accuracy import crop_probabilities
from stages.protocols.sgd import ScheduledSGD


@dataclass
class HeadLearner:
    """Heads by the name of their layer, with one SGD. No head's training depends on which others there are."""

    heads: nn.ModuleDict
    sgd: ScheduledSGD

    def train_step(self, layers: Mapping[str, Tensor], labels: NDArray[np.int64]) -> dict[str, tuple[Tensor, Tensor]]:
        """One step of SGD on the cross entropy of every head, for one batch.

        Args:
            layers: (B, ...) values of the layers by name, as `FrozenLayers` gives them; more may be there.
            labels: (B,) classes.

        Returns:
            By layer, the mean loss of the batch and its number of right predictions, as scalars on the device.
        """
        self.heads.train()
        results, losses = {}, []
        target = torch.from_numpy(labels).to(next(self.heads.parameters()).device, non_blocking=True)
        for name, head in self.heads.items():
            logits = head(layers[name])
            losses.append(nn.functional.cross_entropy(logits, target))
            results[name] = losses[-1].detach(), (logits.detach().argmax(1) == target).sum()
        self.sgd.step(torch.stack(losses).sum())
        return results

    def probabilities(self, layers: Mapping[str, Tensor], crops: int = 1) -> dict[str, Tensor]:
        """By layer, (B, classes) float32 probabilities of images of which (B * crops, ...) crops are given.

        Args:
            crops: crops of each image, which lie one after the other; the softmax is averaged over them.
        """
        self.heads.eval()
        with torch.inference_mode():
            return {name: crop_probabilities(head(layers[name]), crops) for name, head in self.heads.items()}

    def state(self) -> dict[str, Any]:
        """The `state_dict` of each part, by its name."""
        return {"heads": self.heads.state_dict(), "sgd": self.sgd.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Restores what `state` gave, so that training goes on as if it had not stopped.

        Raises:
            RuntimeError: weights of another shape, or missing ones.
        """
        self.heads.load_state_dict(state["heads"])
        self.sgd.load_state_dict(state["sgd"])


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with the weights that PyTorch's own have by default, drawn from `generator` alone.

    The released code leaves its classifiers as PyTorch makes them: all weights and biases are uniform between plus
    and minus inputs^-1/2.
    """
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer

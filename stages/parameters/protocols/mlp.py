"""`mlp`: an MLP on the last layer of a frozen network (the paper's supplement, quoted in section 4.3)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import OfPackedParams
from stages.parameters.types import Float, Int, Text


class MlpParams(OfPackedParams):
    """Two hidden layers with batch normalisation, trained as the nonlinear classifier of RotNet."""

    protocol: Literal["mlp"]
    layer: Text = "pool"
    """What it sees: the flat map after the last pooling, or another layer's name."""
    hidden: Annotated[Int, Field(ge=1)] = 4096
    """Units of each hidden layer."""
    lr: Annotated[Float, Field(gt=0)] = 0.01
    """Step size of the first quarter; a fifth of it in each next one."""
    weight_decay: Annotated[Float, Field(ge=0)] = 5e-4
    """Factor of the l2 penalty."""
    epochs: Annotated[Int, Field(ge=1)] = 40
    """Passes over the training pictures."""
    batch: Annotated[Int, Field(ge=2)] = 192
    """Pictures a step."""
    test_every: Annotated[Int, Field(ge=1)] = 1
    """Epochs between two tests; the last is tested in any case."""

    def named_layers(self) -> dict[str, tuple[str, ...]]:
        return {"layer": (self.layer,)}

    def work(self, train: int, test: int) -> tuple[int, int]:
        tests = math.ceil(self.epochs / self.test_every)
        return self.epochs * math.ceil(train / self.batch), self.epochs * train + tests * test

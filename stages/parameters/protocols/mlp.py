"""`mlp`: an MLP on the last layer of a frozen network (the paper's supplement, quoted in section 4.3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import Pictures, ProtocolParams
from stages.parameters.types import Float, Int, Text


class MlpParams(ProtocolParams):
    """Two hidden layers with batch normalisation, trained as the nonlinear classifier of RotNet."""

    protocol: Literal["mlp"]
    train: Pictures
    """Data set that the MLP is trained on."""
    test: Pictures
    """Data set of the same classes that it is tested on."""
    layer: Text = "pool"
    """What it sees: the flat map after the last pooling, or another layer's name."""
    hidden: Annotated[Int, Field(ge=1)] = 4096
    """Units of each hidden layer."""
    lr: Annotated[Float, Field(gt=0)] = 0.01
    """Step size of the first quarter; a fifth of it in each next one."""
    weight_decay: Annotated[Float, Field(ge=0)] = 5e-4
    """Factor of the l2 penalty."""
    per_class: Annotated[Int, Field(ge=1)] | None = None
    """Labelled pictures of each class; null: all."""
    epochs: Annotated[Int, Field(ge=1)] = 40
    """Passes over the training pictures."""
    batch: Annotated[Int, Field(ge=2)] = 192
    """Pictures a step."""
    test_every: Annotated[Int, Field(ge=1)] = 1
    """Epochs between two tests; the last is tested in any case."""

"""`voc_classification`: multi-label classification on PASCAL VOC 2007 with a fine-tuned network (Tables 2 and 3)."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from stages.parameters.protocols import FineTunedParams
from stages.parameters.types import Float, Int


class Schedule(NamedTuple):
    """Step size of the first step, iterations until it is halved, and iterations in all."""

    lr: float
    halve_every: int
    iterations: int


PUBLISHED = {
    ("pytorch", "fc6-8"): Schedule(0.003, 5_000, 80_000),
    ("pytorch", "all"): Schedule(0.003, 5_000, 80_000),
    ("caffe", "fc6-8"): Schedule(0.003, 5_000, 150_000),
    ("caffe", "all"): Schedule(0.001, 20_000, 150_000),
}
"""By `follow` and `layers`: the defaults of the authors' port, which does not tell the layers apart, and what the Caffe
code was run with."""


class VocClassificationParams(FineTunedParams):
    """The network with new linear layers, trained on pictures that show several classes."""

    protocol: Literal["voc_classification"]
    follow: Literal["pytorch", "caffe"] = "pytorch"
    """The authors' own port, or the Caffe code that the paper names; they differ in what is drawn anew, in crops, in
    the step size and in the number of iterations."""
    batchnorm: Literal["affine", "frozen"] = "affine"
    """Whether scale and shift of batch normalisation are trained (72.0 in the released README) or not (70.4)."""
    lr: Annotated[Float, Field(gt=0)] | None = None
    """Step size of the first step; null: that of `follow`."""
    halve_every: Annotated[Int, Field(ge=1)] | None = None
    """Iterations after which the step size is halved; null: that of `follow`."""
    weight_decay: Annotated[Float, Field(ge=0)] = 1e-6
    """Factor of the l2 penalty."""
    iterations: Annotated[Int, Field(ge=1)] | None = None
    """Steps of SGD; null: those of `follow`, 80,000 or 150,000."""
    batch: Annotated[Int, Field(ge=2)] = 16
    """Pictures a step."""
    crops: Annotated[Int, Field(ge=1)] = 10
    """Crops of a test picture, drawn as for training, whose logits are added."""

    @property
    def schedule(self) -> Schedule:
        """What is given, and for the rest what `follow` has."""
        published = PUBLISHED[self.follow, self.layers]
        return Schedule(
            self.lr or published.lr,
            self.halve_every or published.halve_every,
            self.iterations or published.iterations,
        )

    def work(self, train: int, test: int) -> tuple[int, int]:
        return self.schedule.iterations, self.schedule.iterations * self.batch + self.crops * test

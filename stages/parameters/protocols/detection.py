"""`detection`: Fast R-CNN on PASCAL VOC 2007 (section 4.4, Tables 2 to 4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.parameters.protocols import FineTunedParams
from stages.parameters.sets import EvaluationSet
from stages.parameters.types import Bool, Float, Int, Text

Side = Annotated[Int, Field(ge=16)]


class DetectionParams(FineTunedParams):
    """A detector on given proposals; the paper names Fast R-CNN alone, so its released settings are the defaults."""

    needs_hidden = True
    needs_maps = True
    reads_proposals = True

    protocol: Literal["detection"]
    frozen: tuple[Text, ...] | None = None
    """Convolutions that are not trained under `all`; null: conv1 of AlexNet, conv1 and conv2 of VGG-16."""
    fc: Literal["run", "random"] = "run"
    """Whether fc6 and fc7 start from the run's or are drawn anew."""
    short: Annotated[tuple[Side, ...], Field(min_length=1)] = (600,)
    """Short sides in pixels to which pictures are resized; with several, training draws one and a proposal is tested
    on the one that suits its area."""
    longest: Side = 1000
    """Most pixels of the other side."""
    flips: Bool = True
    """Whether mirrored pictures are trained on too."""
    images: Annotated[Int, Field(ge=1)] = 2
    """Pictures a step."""
    regions: Annotated[Int, Field(ge=1)] = 64
    """Regions of each of them, a quarter of them foreground at most."""
    lr: Annotated[Float, Field(gt=0)] = 0.001
    """Step size of the first steps."""
    drop_every: Annotated[Int, Field(ge=1)] = 30_000
    """Steps after which it is divided by 10."""
    iterations: Annotated[Int, Field(ge=1)] = 40_000
    """Steps of SGD."""
    weight_decay: Annotated[Float, Field(ge=0)] = 5e-4
    """Factor of the l2 penalty on all weights but biases."""
    dropout: Annotated[Float, Field(ge=0, lt=1)] = 0.5
    """Share of units of fc6 and fc7 that are dropped in training."""
    most_proposals: Annotated[Int, Field(ge=1)] | None = None
    """Proposals of a picture that are used, the first ones; null: all."""

    def named_layers(self) -> dict[str, tuple[str, ...]]:
        return {"frozen": self.frozen or ()}

    def unfit(self, of: EvaluationSet) -> str | None:
        if not of.proposed:
            return (
                f": evaluation_sets.{of.name} has no proposals: name selective search's files under proposals, or set "
                "search: fast (3 to 5 s a picture)"
            )
        if self.most_proposals is not None and of.search is not None:
            return (
                f".most_proposals: takes the first ones, and those that OpenCV finds (evaluation_sets.{of.name}."
                "search) are sorted by their place: null takes all"
            )
        return super().unfit(of)

    def work(self, train: int, test: int) -> tuple[int, int]:
        return self.iterations, self.iterations * self.images + test

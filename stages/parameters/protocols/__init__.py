"""The parameters of each protocol of section 4: NAME.py holds NameParams, for the stage of the same name.

A new protocol brings its parameters by a new module here; no list has to be extended.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field

from stages.parameters.sets import EvaluationSet, Layout
from stages.parameters.types import Int, Section, Text

DATA_SET, EVALUATION_SET = "data set", "evaluation set"

Pictures = Annotated[str, Field(strict=True), DATA_SET]
"""Name of one of `datasets`: pictures that are packed, with labels."""

SetName = Annotated[str, Field(strict=True), EVALUATION_SET]
"""Name of one of `evaluation_sets`: pictures at their own size, with what is known of them."""


class ProtocolParams(Section):
    """One entry of `evaluations`: a protocol, what it is trained and tested on, and its settings.

    Attributes:
        layouts: of the evaluation sets that it reads.
        lists: which of a VOC set's lists name the pictures of a split.
        needs_hidden: whether it goes on from fc6 and fc7, which networks that end in an average lack.
        needs_maps: whether the layers that it names must have pixels.
        reads_proposals: whether it reads the proposals of its sets, which may take hours to make.
    """

    layouts: ClassVar[tuple[Layout, ...]] = ()
    lists: ClassVar[Literal["Main", "Segmentation"]] = "Main"
    needs_hidden: ClassVar[bool] = False
    needs_maps: ClassVar[bool] = False
    reads_proposals: ClassVar[bool] = False

    name: Text
    """Its key below `evaluations`, and the folder below a run's evaluations/."""
    protocol: Text
    """Which stage computes it."""

    def named_layers(self) -> dict[str, tuple[str, ...]]:
        """The layers of the network that it names, by key."""
        return {}

    def contradiction(self) -> str | None:
        """A key and what it contradicts, where the entry cannot be meant as it is; else None."""
        return None

    def unfit(self, of: EvaluationSet) -> str | None:
        """What of the entry, which reads this set, the set does not fit; None where it does."""
        if of.layout not in self.layouts:
            return f": {self.protocol} reads no set of layout {of.layout}, as {of.name} is"
        return None

    def work(self, train: int, test: int) -> tuple[int, int]:
        """Steps of training, and pictures or crops that go through the network.

        Args:
            train: number of pictures to learn from.
            test: of those to test on.
        """
        raise NotImplementedError


class Split(Section):
    """A part of an evaluation set."""

    set: SetName
    """One of `evaluation_sets`."""
    split: Text
    """Name of one of its lists of pictures, such as trainval."""


class OfPackedParams(ProtocolParams):
    """A protocol whose network is frozen, on packed pictures with classes."""

    train: Pictures
    """Data set to learn from."""
    test: Pictures
    """Data set of the same classes to test on."""
    per_class: Annotated[Int, Field(ge=1)] | None = None
    """Labelled pictures of each class to learn from; null: all."""

    def contradiction(self) -> str | None:
        if self.train == self.test:
            return f".test: {self.test} is what it learns from: name a data set of other pictures of the same classes"
        return None


class FineTunedParams(ProtocolParams):
    """A protocol that goes on training the network, on pictures at their own size."""

    layouts = ("voc", "sbd")

    train: Split
    """Pictures to train on."""
    test: Split
    """Pictures to test on."""
    layers: Literal["fc6-8", "all"]
    """What is trained: the linear layers alone, or the convolutions too."""

    def contradiction(self) -> str | None:
        if self.train == self.test:
            return f".test: {self.test.split} of {self.test.set} is what it trains on: name another split, or set"
        return None


@cache
def protocols() -> Mapping[str, type[ProtocolParams]]:
    """The class of parameters of each protocol by its name, in alphabetical order."""
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        found[name] = getattr(module, class_name(name))
    return found


def class_name(protocol: str) -> str:
    """Name of the class of a protocol's parameters, such as LinearProbeParams of linear_probe."""
    return protocol.title().replace("_", "") + "Params"


def names_of(params: BaseModel, kind: str) -> Iterator[str]:
    """The names of the data sets, or of the evaluation sets, that an entry reads.

    Args:
        kind: `DATA_SET` or `EVALUATION_SET`.
    """
    for name, info in type(params).model_fields.items():
        value: Any = getattr(params, name)
        if isinstance(value, BaseModel):
            yield from names_of(value, kind)
        elif kind in info.metadata and value is not None:
            yield value

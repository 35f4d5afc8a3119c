"""What the stages of section 4 share: the network that is measured, its layers over packed pictures, the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.index import EvaluationIndex
from stages.artifacts.pictures import PackedImages
from stages.artifacts.results import Result, write_result
from stages.artifacts.weights import load_backbone
from stages.errors import Refusal
from stages.method.networks import fold, place
from stages.method.sampling import batches
from stages.parameters.checks import same_classes
from stages.parameters.protocols import FineTunedParams
from stages.protocols.layers import FrozenLayers
from stages.protocols.linear_probe import labelled_subset
from stages.protocols.measured import SHARED
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch


class Evaluated:
    """The network of an evaluation's run, and the result of the evaluation.

    Args:
        job: of a stage whose declaration has the role "network", and whose parameters are `EvaluationKeys`.

    Attributes:
        trained: the network, on the CPU, in evaluation mode.

    Raises:
        Refusal: the network cannot be read, or this machine lacks the device.
    """

    def __init__(self, job: Job[Any]) -> None:
        self.job = job
        self.device = device_of(job.params.device)
        self.trained = load_backbone(job.input("network"))

    def frozen(self, layers: Sequence[str]) -> FrozenLayers:
        """The network with these layers to look at; it can no longer be trained."""
        network = place(fold(self.trained.network), self.device)
        return FrozenLayers(network, self.trained.model.architecture, layers, self.job.params.precision)

    def features(self, images: PackedImages, chosen: NDArray[np.int64], batch: int) -> NDArray[np.float32]:
        """(n, d) float32 features of the centre crops of the pictures `chosen`, (n,)."""
        network, side = self.frozen(["features"]), self.trained.model.input

        def crops(span: tuple[int, int]) -> NDArray[np.uint8]:
            return np.stack([images.centre_crop(int(i), side) for i in chosen[slice(*span)]])

        # One array from the start: those of ImageNet take 21 GB, and no copy of them should.
        rows = np.empty((len(chosen), self.trained.network.dim), np.float32)
        spans = batches(len(chosen), batch)
        loaded = prefetch(crops, spans, self.job.workers)
        for span, pictures in zip(spans, self.job.progress(loaded, len(chosen), len), strict=True):
            rows[slice(*span)] = network(pictures)["features"].cpu().numpy()
        self.job.images += len(chosen)
        return rows

    def write(self, found: Result) -> None:
        """Writes result.json and numbers.json."""
        job = self.job
        assert job.node.run is not None
        entry = job.params.evaluation
        result, numbers = job.output("result"), job.output("numbers")
        write_result(result, numbers, run=job.node.run, entry=entry, trained=self.trained, found=found)


def trained_on_too(
    params: FineTunedParams,
    train: EvaluationIndex,
    rows: NDArray[np.int64],
    test: EvaluationIndex,
    tested: NDArray[np.int64],
) -> dict[str, int]:
    """What a result says of pictures to test on that are trained on as well, as those of SBD are that VOC has too.

    Args:
        rows, tested: of the pictures in `train` and in `test`.

    Raises:
        Refusal: there are some in one set, where a name can be nothing else than that picture.
    """
    shared = {train.names[row] for row in rows} & {test.names[row] for row in tested}
    if shared and params.train.set == params.test.set:
        raise Refusal(
            f"evaluations.{params.name}: {len(shared):,} of the pictures of {params.test.split} are in "
            f"{params.train.split} too, such as {min(shared)}: test on others than it trains on"
        )
    return {SHARED: len(shared)} if shared else {}


class Labelled:
    """Packed pictures with classes: those of the role "train" that are learnt from, and those of "test".

    Attributes:
        chosen: (n,) rows of `train` to learn from, in order: `per_class` of each class, drawn, or all.

    Raises:
        Refusal: the classes of the two differ, a picture has none, or a class has fewer than `per_class`.
    """

    def __init__(self, job: Job[Any]) -> None:
        entry = job.params.evaluation
        self.train, self.test = job.packed("train"), job.packed("test")
        names = entry.train, entry.test
        for name, images in zip(names, (self.train, self.test), strict=True):
            if missing := int((images.label < 0).sum()):
                raise Refusal(
                    f"datasets.{name}: {missing:,} of {len(images):,} pictures have no class to be measured by"
                )
        same_classes(self.train.classes, self.test.classes, *(f"datasets.{name}" for name in names))
        self.chosen = np.arange(len(self.train))
        if entry.per_class is not None:
            self.chosen = labelled_subset(self.train.label, entry.per_class, job.rng)

    @property
    def measured_on(self) -> dict[str, int]:
        """What a result says of them."""
        return {
            "train_images": len(self.chosen),
            "test_images": len(self.test),
            "classes": len(self.train.classes),
        }

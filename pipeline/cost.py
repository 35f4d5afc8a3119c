"""What an evaluation takes, before it is run: steps of training, pictures through the network, disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pipeline.drift import Source, image_count
from pipeline.retention.space import COLOUR_BYTES, MEAN_ASPECT
from stages.artifacts.documents import load_json
from stages.dag.folders import dataset_folder, set_folder
from stages.dag.names import INDEX_SUMMARY, PACK
from stages.parameters.dataset import DatasetParams
from stages.parameters.evaluation import Evaluation
from stages.parameters.protocols import Split
from stages.parameters.protocols.detection import DetectionParams
from stages.parameters.protocols.knn import KnnParams
from stages.parameters.protocols.linear_probe import LinearProbeParams
from stages.parameters.protocols.mlp import MlpParams
from stages.parameters.protocols.retrieval import RetrievalParams
from stages.parameters.protocols.segmentation import SegmentationParams
from stages.parameters.protocols.voc_classification import VocClassificationParams
from stages.sources.sets import survey

TEN_CROPS = 10
"""Of a test picture of a linear probe."""


@dataclass(frozen=True)
class Cost:
    """What an evaluation takes.

    Attributes:
        steps: of training.
        images: pictures, or crops of them, that go through the network, tests included.
        gigabytes: of data that is not packed yet (1e9 bytes, at most).
    """

    steps: int
    images: int
    gigabytes: float


def cost(root: Path, evaluation: Evaluation) -> Cost:
    """The cost of an evaluation whose data is there, from the numbers of pictures alone.

    Raises:
        Refusal: the data cannot be listed.
    """
    steps, images = _work(root, evaluation)
    return Cost(steps, images, sum(_to_pack(root, dataset) for dataset in evaluation.datasets) / 1e9)


def _work(root: Path, evaluation: Evaluation) -> tuple[int, int]:
    params = evaluation.params
    if isinstance(params, KnnParams | LinearProbeParams | MlpParams):
        labelled = _pictures(root, evaluation, params.train)
        if params.per_class is not None:
            labelled = min(labelled, params.per_class * _classes(root, params.train) or labelled)
        if isinstance(params, KnnParams):
            return 0, labelled + _pictures(root, evaluation, params.test)
        tests = math.ceil(params.epochs / params.test_every)
        crops = TEN_CROPS if isinstance(params, LinearProbeParams) else 1
        tested = tests * crops * _pictures(root, evaluation, params.test)
        return params.epochs * math.ceil(labelled / params.batch), params.epochs * labelled + tested
    if isinstance(params, RetrievalParams):
        return 0, sum(_split(root, evaluation, Split(set=name, split="all")) for name in (params.test, params.whiten))
    if isinstance(params, VocClassificationParams):
        from stages.protocols.classification import PUBLISHED

        steps = params.iterations or PUBLISHED[params.follow, params.layers].iterations
        return steps, steps * params.batch + params.crops * _split(root, evaluation, params.test)
    assert isinstance(params, DetectionParams | SegmentationParams)
    each = params.images if isinstance(params, DetectionParams) else params.pictures
    return params.iterations, params.iterations * each + _split(root, evaluation, params.test)


def _pictures(root: Path, evaluation: Evaluation, name: str) -> int:
    return image_count(Source(root, next(dataset for dataset in evaluation.datasets if dataset.name == name)))


def _classes(root: Path, name: str) -> int:
    """Number of classes of a data set that is packed; else 0."""
    pack = root / dataset_folder(name) / PACK
    return len(load_json(pack)["classes"]) if pack.exists() else 0


def _split(root: Path, evaluation: Evaluation, split: Split) -> int:
    """Number of pictures of a split; that of the whole set where it has no such list."""
    entry = next(one for one in evaluation.sets if one.name == split.set)
    index = root / set_folder(entry.name) / INDEX_SUMMARY
    if index.exists():
        info = load_json(index)
        splits, every = info["splits"], info["images"]
    elif entry.draw is not None:
        drawn = entry.draw
        splits = {"train": drawn.train, "val": drawn.val, "trainval": drawn.train + drawn.val, "test": drawn.test}
        every = drawn.landmarks * drawn.views + drawn.distractors
        splits = splits if entry.layout == "voc" else {}
    else:
        found = survey(root, entry)
        splits, every = found.splits, len(found.wanted)
    named = [count for name, count in splits.items() if name.rpartition("/")[2] == split.split]
    return int(max(named, default=every))


def _to_pack(root: Path, dataset: DatasetParams) -> float:
    """Bytes of a data set that is not packed yet."""
    if (root / dataset_folder(dataset.name) / PACK).exists():
        return 0.0
    return image_count(Source(root, dataset)) * dataset.size**2 * MEAN_ASPECT * COLOUR_BYTES

"""What an evaluation takes, before it is run: steps of training, pictures through the network, disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.drift import Source, image_count
from pipeline.retention.space import COLOUR_BYTES, MEAN_ASPECT
from stages.artifacts.documents import load_json
from stages.dag.folders import dataset_folder, set_folder
from stages.dag.names import INDEX_SUMMARY, PACK
from stages.parameters.dataset import DatasetParams
from stages.parameters.evaluation import Evaluation
from stages.parameters.protocols import OfPackedParams, Split
from stages.sources.sets import survey


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
    count = {role: _count(root, evaluation, getattr(params, role, None)) for role in ("train", "test", "whiten")}
    if isinstance(params, OfPackedParams) and params.per_class is not None:
        pack = root / dataset_folder(params.train) / PACK
        if pack.exists():
            count["train"] = min(count["train"], params.per_class * len(load_json(pack)["classes"]))
    return params.work(count["train"] + count["whiten"], count["test"])


def _count(root: Path, evaluation: Evaluation, named: str | Split | None) -> int:
    """Number of pictures of a data set, an evaluation set, or a split of one; 0 where none is named."""
    if named is None:
        return 0
    if isinstance(named, Split):
        return _split(root, evaluation, named)
    own = [dataset for dataset in evaluation.datasets if dataset.name == named]
    return image_count(Source(root, own[0])) if own else _split(root, evaluation, Split(set=named, split="all"))


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

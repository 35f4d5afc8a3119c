"""Whether the data that a run's evaluations read is there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from stages.artifacts.documents import load_json
from stages.dag.folders import dataset_folder, set_folder
from stages.dag.names import INDEX_SUMMARY, PACK, PROPOSALS
from stages.errors import Refusal
from stages.parameters.checks import same_classes
from stages.parameters.evaluation import Evaluation
from stages.parameters.protocols import FineTunedParams, Split
from stages.parameters.run import RunParams


def with_data(root: Path, params: RunParams) -> tuple[RunParams, dict[str, str]]:
    """A run with those of its evaluations alone whose data is there, and for each of the others what is missing."""
    missing = {evaluation.name: why for evaluation in params.evaluations if (why := lacking(root, evaluation))}
    present = tuple(evaluation for evaluation in params.evaluations if evaluation.name not in missing)
    return params.model_copy(update={"evaluations": present}), missing


def lacking(root: Path, evaluation: Evaluation) -> str | None:
    """What of the data of an evaluation is not there, in words; None where nothing lacks.

    Whether a folder that is there is whole is for `pack` and `index` to find.
    """
    for dataset in evaluation.datasets:
        made = dataset.generate is not None or (root / dataset_folder(dataset.name) / PACK).exists()
        if not made and not (root / dataset.path).exists():
            return f"datasets.{dataset.name}: there is no {dataset.path}"
    for one in evaluation.sets:
        # Its pictures are not packed: what was looked through is read again to be measured on.
        if one.draw is None and not (root / one.path).exists():
            return f"evaluation_sets.{one.name}: there is no {one.path}"
        if evaluation.params.reads_proposals and not (root / set_folder(one.name) / PROPOSALS).exists():
            for split, path in one.proposals.items():
                if one.draw is None and not (root / path).exists():
                    return f"evaluation_sets.{one.name}.proposals.{split}: there is no {path}"
    return None


def refuse_unfit(root: Path, params: RunParams) -> None:
    """Refuses evaluations that their data, which is packed and looked through by now, does not fit.

    Each stage looks again; here it is told before a run is trained for days.

    Raises:
        Refusal: a split is in no set, pictures have no class, or those to test on have other classes.
    """
    for evaluation in params.evaluations:
        entry, where = evaluation.params, f"evaluations.{evaluation.name}"
        classes: dict[str, list[str]] = {}
        for role in ("train", "test"):
            read = getattr(entry, role, None)
            if isinstance(read, Split):
                info = load_json(root / set_folder(read.set) / INDEX_SUMMARY)
                if {f"{entry.lists}/{read.split}", read.split}.isdisjoint(info["splits"]):
                    known = ", ".join(info["splits"]) or "none"
                    raise Refusal(
                        f"{where}.{role}: set {read.set} has no split {read.split} in {entry.lists} ({known}): name "
                        f"one of these, or a list of pictures under evaluation_sets.{read.set}.lists"
                    )
                classes[f"set {read.set}"] = info["classes"]
            elif read is not None and evaluation.datasets:
                info = load_json(root / dataset_folder(read) / PACK)
                if missing := info["images"] - info["labelled"]:
                    raise Refusal(f"{where}.{role}: {missing:,} pictures of datasets.{read} have no class")
                classes[f"datasets.{read}"] = info["classes"]
        for (one, these), (other, those) in pairwise(classes.items()):
            same_classes(these, those, one, other)
        if isinstance(entry, FineTunedParams) and entry.train.set == entry.test.set:
            # They import torch, which what is refused before need not wait for.
            from stages.artifacts.index import EvaluationIndex
            from stages.runtime.evaluating import trained_on_too

            index = EvaluationIndex(root / set_folder(entry.train.set), root)
            rows, tested = (index.rows(part.split, entry.lists) for part in (entry.train, entry.test))
            trained_on_too(entry, index, rows, index, tested)

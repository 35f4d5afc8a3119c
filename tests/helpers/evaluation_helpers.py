"""The small project measured by every protocol, as few pictures, steps and scenes as there can be."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from projects import Project
from stage_helpers import Stopping, remove

from stages.artifacts.run_params import load_run_params, with_evaluations
from stages.dag.graph import evaluation_nodes
from stages.dag.nodes import Node
from stages.parameters.run import RunParams
from stages.runtime.job import run_job
from stages.runtime.report import Reporter
from stages.runtime.runner import execute

SCENES, TRAINED_SCENES = 30, 20
"""Pictures of demo-voc, and those of its trainval: the fewest that it is drawn with."""
TEST_PICTURES, PER_CLASS = 60, 4
BUILDINGS, VIEWS, OTHERS = 2, 6, 3

VOC = {"train": {"set": "demo-voc", "split": "trainval"}, "test": {"set": "demo-voc", "split": "test"}}
PACKED = {"train": "demo", "test": "demo-test", "per_class": PER_CLASS}
ENTRIES: dict[str, dict[str, Any]] = {
    "linear": PACKED | {"protocol": "linear_probe", "layers": ["conv1", "conv5"], "epochs": 2, "batch": 20},
    "mlp": PACKED | {"protocol": "mlp", "hidden": 16, "epochs": 2, "batch": 20},
    "knn": PACKED | {"protocol": "knn", "k": [1, 5]},
    "classification": VOC
    | {"protocol": "voc_classification", "layers": "all", "iterations": 4, "batch": 4, "crops": 2},
    "caffe": VOC
    | {"protocol": "voc_classification", "layers": "fc6-8", "follow": "caffe", "iterations": 2, "batch": 4, "crops": 1},
    "detection": VOC
    | {"protocol": "detection", "layers": "all", "short": [80], "longest": 120, "iterations": 4, "lr": 0.01}
    | {"images": 1, "regions": 16, "most_proposals": 20},
    "segmentation": VOC
    | {"protocol": "segmentation", "layers": "fc6-8", "padding": 16, "pictures": 1, "iterations": 4, "lr": 0.01},
    "oxford": {"protocol": "retrieval", "test": "demo-oxford", "whiten": "demo-paris", "longest": 96, "dimensions": 8},
}
"""Entries of `evaluations`, one of each protocol and one more."""

EVALUATED: dict[str, Any] = {
    "datasets": {"demo-test": {"generate": {"images": TEST_PICTURES}}},
    "evaluation_sets": {
        "demo-voc": {"draw": {"train": 10, "val": 10, "test": 10}},
        "demo-oxford": {"draw": {"landmarks": BUILDINGS, "views": VIEWS, "distractors": OTHERS}},
        "demo-paris": {"draw": {"landmarks": BUILDINGS, "views": VIEWS, "distractors": OTHERS}},
    },
    "evaluations": ENTRIES,
    "runs": {run: {"evaluations": list(ENTRIES)} for run in ("demo", "demo-random")},
}


def measured(finished: Project, target: Path, change: dict[str, Any] = EVALUATED) -> Project:
    """A copy of the finished project, whose demo and its baseline are measured then."""
    shutil.copytree(finished.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    project = Project(target)
    project.edit(change)
    project.run()
    return project


def folder(project: Project, name: str, run: str = "demo") -> Path:
    return project.run_path(f"evaluations/{name}", run)


def result(project: Project, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder(project, name) / "result.json").read_text())
    return content


def table(project: Project, name: str, file: str = "predictions") -> pd.DataFrame:
    return pd.read_parquet(folder(project, name) / f"{file}.parquet")


def params_with(project: Project, run: str = "demo") -> RunParams:
    """A run's own parameters, with its evaluations."""
    return with_evaluations(project.root, load_run_params(project.run_path("", run)))


def node_of(project: Project, name: str, run: str = "demo") -> Node:
    (node,) = (node for node in evaluation_nodes(params_with(project, run)) if Path(node.folder).name == name)
    return node


def evaluate_again(project: Project, name: str, report: Reporter | None = None, **context: Any) -> str:
    """Runs one evaluation of the demo in this process, its old outputs removed as DVC does; what it told.

    Args:
        context: keys of the run under which it is executed, such as workers.
    """
    report = report or Stopping()
    params = params_with(project).model_copy(update=context)
    node = node_of(project, name)
    for out in node.outs.values():
        remove(project.root / out.path)
    function = getattr(importlib.import_module(f"stages.{node.stage}"), node.stage)
    execute(function, run_job(project.root, node, params, report), params)
    return report.stream.getvalue()  # type: ignore[attr-defined]


def edited(project: Project, name: str, **keys: Any) -> None:
    """Edits one entry of `evaluations`."""
    project.edit({"evaluations": {name: keys}})

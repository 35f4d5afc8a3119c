"""stages/dag/: which stages each parameter and each REVISION reaches."""

from __future__ import annotations

import importlib
import typing
from typing import Any

import pytest
import yaml
from pipeline_helpers import changed, content_of, node_of, params_of, stale, states_of

from pipeline.recording import inspector as status
from pipeline.recording.recorder import Recorder
from stages.dag.declared import declared, of_runs
from stages.dag.graph import keys_of
from stages.dag.revisions import revised_stages, revision_of, revisions
from stages.parameters.differences import as_values
from stages.parameters.keys import flat, lookup, pick
from stages.parameters.resolution import known_keys, resolve_run

EVERY_EPOCH = ("0001", "0002", "final")
TRAINED = ("0001", "0002")


def reaching(stage: str, *folders: str) -> set[str]:
    return {f"data/runs/demo/epochs/{name}:{stage}".replace("epochs/final", "final") for name in folders}


EXTRACT = reaching("extract", *EVERY_EPOCH)
WHITEN = reaching("whiten", *EVERY_EPOCH)
CLUSTER = reaching("cluster", *EVERY_EPOCH)
PSEUDOLABEL = reaching("pseudolabel", *TRAINED)
TRAIN = reaching("train", *TRAINED)
CHECKPOINT = reaching("checkpoint", *TRAINED)
INIT = {"data/runs/demo:init"}
BASELINE = {"data/runs/demo:baseline"}
EXPORT = {"data/runs/demo:export"}
WEIGHTS = {"data/runs/demo:weights"}
MODEL = INIT | EXTRACT | TRAIN | CHECKPOINT | WEIGHTS
NONE: set[str] = set()

REACHES: dict[str, tuple[Any, set[str]]] = {
    # seed goes wherever anything is drawn
    "seed": (1, INIT | CLUSTER | PSEUDOLABEL | TRAIN | BASELINE),
    "device": ("cuda", EXTRACT | WHITEN | CLUSTER | TRAIN),
    "precision": ("bf16", EXTRACT | TRAIN),
    # a change of structure, which planning refuses for epochs that are recorded; what a recipe alone uses changes too
    "recipe": ("deepcluster-v2", MODEL | CLUSTER),
    "epochs": (3, EXPORT | WEIGHTS),
    # a larger machine changes no result there is
    "threads": (1, NONE),
    "workers": (0, NONE),
    "device_memory": (0.25, NONE),
    "model.architecture": ("vgg16", MODEL),
    "model.sobel": (False, MODEL),
    "model.input": (70, MODEL),
    "model.width": (0.125, MODEL),
    # what a network started from stands in its file, for the tables
    "init.weights": ("weights.pth", INIT | WEIGHTS),
    "init.sha256": ("0" * 64, INIT | WEIGHTS),
    "init.source": ("torchvision", WEIGHTS),
    "extract.batch": (16, EXTRACT),
    "extract.dtype": ("float16", EXTRACT),
    "extract.chunk_rows": (32, EXTRACT),
    "extract.view": ("whole", EXTRACT),
    "extract.input": (64, EXTRACT),
    "whiten.dim": (16, WHITEN),
    "whiten.scale": (False, WHITEN),
    # where k is null, k-means on pixels takes the number of classes
    "cluster.method": ("labels", CLUSTER | WEIGHTS | BASELINE),
    "cluster.k": (5, CLUSTER | BASELINE),
    "cluster.iterations": (3, CLUSTER | BASELINE),
    "cluster.spherical": (True, CLUSTER),
    # a change of structure, which planning refuses for epochs that are recorded
    "cluster.every": (2, NONE),
    # groups of the finished network alone; those of pixels are as many
    "final.extract.view": ("whole", reaching("extract", "final")),
    "final.extract.input": (64, reaching("extract", "final")),
    "final.whiten.dim": (16, reaching("whiten", "final")),
    "final.whiten.scale": (False, reaching("whiten", "final")),
    "final.cluster.k": (5, reaching("cluster", "final") | BASELINE),
    # what is kept changes no result
    "retain.last": (1, NONE),
    "retain.every": (3, NONE),
    # without effect under k-means and a constant schedule
    "cluster.pic.neighbours": (7, NONE),
    "cluster.pic.sigma": (0.3, NONE),
    "cluster.pic.alpha": (0.01, NONE),
    "cluster.pic.iterations": (10, NONE),
    "train.horizon": (40, NONE),
    # of deepcluster-v2 alone: tests/dag/test_reaches_of_recipes.py
    "model.projection.hidden": (7, NONE),
    "model.projection.dim": (7, NONE),
    "extract.views": (3, NONE),
    "cluster.heads": (2, NONE),
    "train.temperature": (0.2, NONE),
    "pseudolabel.permuted": (True, PSEUDOLABEL | WEIGHTS),
    "train.batch": (16, TRAIN),
    "train.lr": (0.1, TRAIN),
    "train.momentum": (0.8, TRAIN),
    "train.weight_decay": (1e-4, TRAIN),
    "train.dropout": (0.4, TRAIN),
    "train.top_dropout": (0.1, TRAIN),
    "train.top_lr": (0.1, TRAIN),
    "train.top_momentum": (0.9, TRAIN),
    "train.top_kept": (True, TRAIN),
    "train.nesterov": (True, TRAIN),
    "train.shards": (2, TRAIN),
    "train.input": (64, TRAIN),
    "train.augment.area": (0.3, TRAIN),
    "train.augment.flip": (0.0, TRAIN),
    "train.augment.jitter": (0.4, TRAIN),
    "train.augment.hue": (0.1, TRAIN),
    "train.augment.grey": (0.2, TRAIN),
    "train.augment.blur": (0.5, TRAIN),
    "train.views": (2, TRAIN),
    "train.small.views": (1, TRAIN),
    "train.small.input": (32, TRAIN),
    "train.small.area": (0.1, TRAIN),
    "train.small.area_most": (0.3, TRAIN),
    "train.passes": (2, TRAIN),
    "train.sampling": ("released-code", TRAIN),
    "train.schedule": ("cosine", TRAIN),
}
"""Key: a new value, and the stages that must run again for it. Written by hand from section 3 of the paper."""

BESIDE = {
    "train.schedule": ("train.horizon", 30),
    # of AlexNet, which takes no smaller ones
    "train.small.views": ("train.small.input", 64),
    "init.weights": ("init.sha256", "0" * 64),
    "init.sha256": ("init.weights", "weights.pth"),
}
"""Keys that are refused alone, with another that they need."""


def leaves(section: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in section.items():
        found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


def test_the_table_holds_every_key_of_params_yaml(finished):
    content = content_of(finished.root)
    own = leaves(
        {
            key: value
            for key, value in content.items()
            if key not in ("runs", "datasets", "dataset", "evaluations", "evaluation_sets")
        }
    )
    assert own == set(REACHES)
    of_a_run = {key for key in known_keys() if not key.startswith("dataset.")} - {"branch", "cluster.counted_from"}
    # Filled in from train.augment.
    assert {key for key in of_a_run if not key.startswith("extract.augment.")} == set(REACHES)


def test_an_unchanged_params_yaml_reaches_no_stage(finished):
    params = params_of(finished.root)
    assert {state for state, _ in states_of(finished.root, params).values()} == {"done"}


@pytest.mark.parametrize("key", REACHES)
def test_a_parameter_reaches_the_stages_that_it_should_and_no_other(finished, key):
    value, expected = REACHES[key]
    content = content_of(finished.root)
    if key in BESIDE:
        content = changed(content, *BESIDE[key])
    assert stale(finished.root, changed(content, key, value)) == expected


def test_a_file_of_weights_that_moves_reaches_no_stage():
    assert "init.sha256" in keys_of("init")
    assert [name for name in ALONE if "init.weights" in keys_of(name)] == []


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("path", "data/images/demo/./pictures", {"pack"}),
        ("size", 80, {"pack"}),
        ("labels", False, {"pack"}),
        ("chunk_mib", 2, {"pack"}),
        ("generate.images", 180, {"generate", "pack"}),
        ("generate.seed", 1, {"generate", "pack"}),
    ],
)
def test_a_key_of_a_data_set_reaches_its_own_stages(finished_copy, key, value, expected):
    content = changed(content_of(finished_copy.root), f"datasets.demo.{key}", value)
    finished_copy.path("params.yaml").write_text(yaml.safe_dump(content))
    names = {f"data/images/demo:{stage}" for stage in expected}
    assert stale(finished_copy.root, content) == names


def test_another_data_set_is_a_new_input_of_what_reads_pictures(finished):
    content = content_of(finished.root)
    content["datasets"]["other"] = content["datasets"]["demo"] | {"size": 80}
    params = resolve_run(changed(content, "dataset", "other"), "demo", revisions())
    states = states_of(finished.root, params)
    ours = {name for name, (state, _) in states.items() if state != "done" and "runs/demo/" in name}
    assert ours == EXTRACT | CLUSTER | TRAIN


def test_another_runs_override_reaches_no_stage(finished):
    content = content_of(finished.root)
    content["runs"]["yfcc-alexnet"] = {"epochs": 7, "train": {"lr": 1.0}}
    states = states_of(finished.root, resolve_run(content, "demo", revisions()))
    assert {state for state, _ in states.values()} == {"done"}


ALONE = {
    "init": INIT,
    "extract": EXTRACT,
    "whiten": WHITEN,
    "cluster": CLUSTER,
    "pseudolabel": PSEUDOLABEL,
    "train": TRAIN,
    "checkpoint": CHECKPOINT,
    "weights": WEIGHTS,
    "baseline": BASELINE,
    "export": EXPORT,
    "figures": {"data/runs/demo:figures"},
}


def test_every_stage_of_an_epoch_has_a_revision():
    assert set(revisions()) == set(ALONE)
    assert all(isinstance(revision_of(stage), int) for stage in [*revisions(), "generate", "pack"])


def test_every_stage_of_a_run_has_a_revision():
    assert set(revised_stages()) == set(ALONE)


@pytest.mark.parametrize("stage", ALONE)
def test_a_raised_revision_reaches_its_stage_alone(finished, stage):
    raised = revisions() | {stage: revisions()[stage] + 1}
    assert stale(finished.root, content_of(finished.root), raised) == ALONE[stage]


@pytest.mark.parametrize("stage", ["generate", "pack"])
def test_a_raised_revision_of_a_data_sets_stage_reaches_it_alone(finished, stage, monkeypatch):
    monkeypatch.setattr(status, "revision_of", lambda name: revision_of(name) + (name == stage))
    assert stale(finished.root, content_of(finished.root), revisions()) == {f"data/images/demo:{stage}"}


def test_dvc_sees_a_raised_revision_and_no_edited_docstring(finished_copy):
    recorder = Recorder(finished_copy.root)
    node = node_of(params_of(finished_copy.root), "demo:resolve")
    module = finished_copy.path("stages/train.py")
    source = module.read_text()
    module.write_text(source.replace('"""', '"""Edited. ', 1))
    docstring = recorder.changed(node)
    module.write_text(source.replace("REVISION = ", "REVISION = 1"))
    revision = recorder.changed(node)
    recorder.close()
    assert (docstring, revision) == (False, True)


@pytest.mark.parametrize("name", sorted(declared()))
def test_a_stage_is_handed_the_parameters_that_it_declares_and_no_others(finished, name):
    stage = declared()[name]
    function = getattr(importlib.import_module(f"stages.{name}"), name)
    keys = typing.get_type_hints(function).get("job")
    if stage.place in ("guard", "project"):
        return
    assert typing.get_args(keys) == (stage.keys,), "mypy then holds the stage to them"
    if stage in of_runs():
        params = params_of(finished.root)
        picked = pick(params, stage.keys).model_dump()
        own = [key for key in keys_of(name) if not key.startswith("revision.")]
        assert sorted(flat(picked)) == sorted([*own, *stage.untracked])
        assert {key: lookup(picked, key) for key in own} == {key: lookup(as_values(params), key) for key in own}

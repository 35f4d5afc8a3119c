"""stages/parameters/resolution.py and keys.py: keys, runs and data sets that there are, and those that are not."""

import copy
from typing import get_args

import pytest
from params_helpers import BASE, resolved, with_key
from stage_helpers import refused

from stages.method.architectures import ARCHITECTURES
from stages.parameters.model import ModelParams
from stages.parameters.resolution import known_keys, resolve_run


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.lrr", "train.lr"),
        ("train.learning_rte", None),
        ("train.weightdecay", "train.weight_decay"),
        ("cluster.K", "cluster.k"),
        ("cluster.pic.sigm", "cluster.pic.sigma"),
        ("model.archtecture", "model.architecture"),
        ("datasets.demo.labls", "datasets.demo.labels"),
        ("datasets.demo.chunk_mb", "datasets.demo.chunk_mib"),
        ("epoch", "epochs"),
        ("sed", "seed"),
    ],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant(key, meant):
    content = with_key(key, 1)
    if key.startswith("cluster.pic"):
        content["cluster"]["method"] = "pic"
    line = refused(lambda: resolve_run(content, "demo"))
    assert f"{key}: no such key" in line
    assert meant is None or f"did you mean {meant}?" in line


def test_no_suggestion_is_a_key_that_would_be_refused():
    # Filled in from train.augment.
    for key in (key for key in known_keys() if not key.startswith("extract.augment.")):
        place = BASE
        for part in key.replace("dataset.", "datasets.demo.").split("."):
            if key in ("branch", "dataset.name", "dataset.classes", "cluster.counted_from"):
                break
            assert part in place, f"{key}: add it to params.yaml and to tests/helpers/params.yaml"
            place = place[part]


def test_a_missing_key_is_refused_by_name():
    content = copy.deepcopy(BASE)
    del content["train"]["lr"]
    assert "train.lr is missing" in refused(lambda: resolve_run(content, "demo"))


def test_a_run_overrides_single_keys_and_leaves_the_rest():
    params = resolve_run(with_key("runs.demo.train.lr", 0.5), "demo")
    assert params.train.lr == 0.5
    assert params.train.momentum == BASE["train"]["momentum"]


def test_a_run_cannot_change_the_packing_of_its_data_set():
    """Other runs share the packed pictures: their size is the data set's, and `size` no key of a run."""
    refused(lambda: resolve_run(with_key("runs.demo.datasets", {"demo": {"size": 100}}), "demo"))


@pytest.mark.parametrize("run", ["demoo", "datasets"])
def test_an_unknown_run_is_refused_with_those_there_are(run):
    line = refused(lambda: resolve_run(BASE, run))
    assert "demo" in line
    assert "--images FOLDER" in line


def test_an_unknown_data_set_is_refused_with_those_there_are():
    line = refused(lambda: resolved("dataset", "dmo"))
    assert "'dmo'" in line
    assert "demo" in line


def test_keys_without_effect_resolve_to_null():
    """Editing a key of a method that is not chosen must rerun nothing."""
    params = resolve_run(BASE, "demo")
    assert set(params.cluster.pic.model_dump().values()) == {None}
    assert params.train.horizon is None
    pic = resolved("cluster.method", "pic")
    assert (pic.cluster.k, pic.cluster.iterations) == (None, None)
    assert pic.cluster.pic.neighbours == 5
    labels = resolved("cluster.method", "labels")
    assert (labels.cluster.k, labels.cluster.pic.sigma) == (None, None)


def test_each_architecture_may_stand_in_params_and_no_other():
    assert get_args(ModelParams.model_fields["architecture"].annotation) == tuple(ARCHITECTURES)


def test_every_run_of_params_yaml_resolves():
    for run in BASE["runs"]:
        assert resolve_run(BASE, run).run == run

"""stages/dag/: which stages a parameter reaches under each method of `cluster` and under `recipe: deepcluster-v2`."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline_helpers import changed, content_of, stale
from v2_helpers import NAMES

from stages.dag.declared import declared, of_runs
from stages.dag.epochs import epochs_with
from stages.dag.graph import epoch_nodes, final_nodes
from stages.dag.revisions import revisions
from stages.parameters.differences import as_values, unrecorded
from stages.parameters.keys import leaves, pick
from stages.parameters.resolution import known_keys, resolve_run

PIC = {"neighbours": 7, "sigma": 0.3, "alpha": 0.01, "iterations": 10}
KMEANS = {"cluster.k": 5, "cluster.iterations": 3, "cluster.spherical": True}


def differing(before: Any, after: Any) -> set[str]:
    """Stages whose parameters differ between two resolved runs."""
    return {stage.name for stage in of_runs() if pick(before, stage.keys) != pick(after, stage.keys)}


@pytest.mark.parametrize("key", PIC)
def test_keys_of_pic_reach_cluster_when_the_method_is_pic(finished, key):
    content = changed(content_of(finished.root), "cluster.method", "pic")
    before = resolve_run(content, "demo", revisions())
    after = resolve_run(changed(content, f"cluster.pic.{key}", PIC[key]), "demo", revisions())
    assert differing(before, after) == {"cluster"}


@pytest.mark.parametrize("key", KMEANS)
def test_keys_of_kmeans_reach_nothing_when_the_method_is_pic(finished, key):
    content = changed(content_of(finished.root), "cluster.method", "pic")
    before = resolve_run(content, "demo", revisions())
    after = resolve_run(changed(content, key, KMEANS[key]), "demo", revisions())
    assert differing(before, after) == set()


def test_the_horizon_reaches_train_when_the_schedule_is_cosine(finished):
    content = changed(content_of(finished.root), "train.schedule", "cosine")
    before = resolve_run(content, "demo", revisions())
    assert differing(before, resolve_run(changed(content, "train.horizon", 31), "demo", revisions())) == {"train"}


LATER = [
    "recipe",
    "device",
    "model.projection.hidden",
    "model.projection.dim",
    "extract.view",
    "extract.views",
    "extract.augment.blur",
    "whiten.scale",
    "cluster.spherical",
    "cluster.heads",
    "train.shards",
    "train.input",
    "train.augment.hue",
    "train.views",
    "train.temperature",
    "train.small.views",
    "train.small.input",
    "train.small.area",
    "train.small.area_most",
]


@pytest.mark.parametrize("method", ["kmeans", "pic", "labels"])
def test_a_record_from_before_a_key_was_known_stays_true(finished, method):
    """By what the keys resolve to under each method: one that came later has its default."""
    values = as_values(resolve_run(changed(content_of(finished.root), "cluster.method", method), "demo", revisions()))
    assert set(LATER) <= set(known_keys())
    assert unrecorded(LATER, [], values) == []


# Under recipe: deepcluster-v2


def of_stages(*names: str) -> set[str]:
    """The ids of these stages wherever they stand in a run of two epochs."""
    ids = set()
    for name in names:
        place = declared()[name].place
        folders = {
            "clustering": ["/epochs/0001", "/epochs/0002", "/final"],
            "start": [""],
            "network": [""],
            "end": [""],
        }
        ids |= {f"data/runs/demo{folder}:{name}" for folder in folders.get(place, ["/epochs/0001", "/epochs/0002"])}
    return ids


MODEL = ("init", "extract", "train", "checkpoint", "weights")

REACHES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "model.projection.hidden": (17, MODEL),
    "model.projection.dim": (9, MODEL),
    "extract.views": (3, ("extract",)),
    # so are the crops that are clustered
    "train.augment.area": (0.3, ("extract", "train")),
    "train.augment.flip": (0.0, ("extract", "train")),
    "train.augment.jitter": (0.1, ("extract", "train")),
    "train.augment.hue": (0.2, ("extract", "train")),
    "train.augment.grey": (0.5, ("extract", "train")),
    "train.augment.blur": (0.5, ("extract", "train")),
    "cluster.heads": (2, ("cluster",)),
    "cluster.k": (4, ("cluster", "baseline")),
    "train.temperature": (0.2, ("train",)),
    "train.views": (1, ("train",)),
    "train.small.views": (2, ("train",)),
    "train.small.input": (12, ("train",)),
    "train.small.area": (0.1, ("train",)),
    "train.small.area_most": (0.3, ("train",)),
    "train.sampling": ("uniform", ("train",)),
    # without whitening; centroids have unit length, and do not learn
    "whiten.dim": (16, ()),
    "whiten.scale": (False, ()),
    "cluster.spherical": (False, ()),
    "train.top_lr": (0.1, ()),
    "train.top_momentum": (0.9, ()),
    "train.top_kept": (True, ()),
}
"""Key: a new value, and the stages that must run again for it. Written by hand from Caron et al. 2020."""


@pytest.mark.parametrize("key", REACHES)
def test_a_parameter_reaches_the_stages_of_deepcluster_v2_that_it_should_and_no_other(finished_v2, key):
    value, stages = REACHES[key]
    content = content_of(finished_v2.root)
    before = resolve_run(content, "demo", revisions())
    found = resolve_run(changed(content, key, value), "demo", revisions())
    assert stale(finished_v2.root, changed(content, key, value)) == of_stages(*stages)
    # Nothing else may depend on it either: whiten, which such a run has not, is left out.
    assert differing(before, found) - {"whiten"} == set(stages)


def test_an_unchanged_params_yaml_reaches_no_stage_of_deepcluster_v2(finished_v2):
    assert stale(finished_v2.root, content_of(finished_v2.root)) == set()


def test_a_run_of_deepcluster_v2_has_no_stage_that_depends_on_a_key_of_whitening(finished_v2):
    params = resolve_run(content_of(finished_v2.root), "demo", revisions())
    nodes = [*epoch_nodes(params, 1), *epoch_nodes(params, 2), *final_nodes(params)]
    assert [node.stage for node in epoch_nodes(params, 2)] == NAMES["stages"]
    assert [node.stage for node in final_nodes(params)] == ["extract", "cluster"]
    assert [key for node in nodes for key in node.keys if "whiten" in key] == []
    planned = [finished_v2.path(f"{node.folder}/dvc.yaml").read_text() for node in nodes]
    assert len(epochs_with(finished_v2.run_path(""), "dvc.yaml")) == 2
    assert not any("whiten" in text or "pca" in text for text in planned)


def test_only_the_recipe_that_has_a_stage_or_a_file_declares_it(finished, finished_v2):
    """What each stage reads, by its role."""
    found = {}
    for project in (finished, finished_v2):
        params = resolve_run(content_of(project.root), "demo", revisions())
        found[params.recipe] = {node.stage: set(node.deps) for node in epoch_nodes(params, 2)}
    paper, v2 = found["deepcluster"], found["deepcluster-v2"]
    assert set(paper) - set(v2) == {"whiten"} and set(v2) < set(paper)
    assert {name for name in v2 if paper[name] != v2[name]} == {"cluster", "train"}
    assert (paper["cluster"] - v2["cluster"], v2["cluster"] - paper["cluster"]) == ({"whitened", "pca"}, {"features"})
    assert (paper["train"] - v2["train"], v2["train"] - paper["train"]) == (set(), {"assignments", "centroids"})


def test_the_recipe_changes_which_stages_there_are_and_its_name_stands_in_the_weights_alone():
    read = {key for stage in of_runs() if stage.keys for key in leaves(stage.keys)}
    assert [stage.name for stage in of_runs() if stage.keys and "recipe" in leaves(stage.keys)] == ["weights"]
    assert "recipe" in known_keys()
    assert set(REACHES) <= read

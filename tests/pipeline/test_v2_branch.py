"""pipeline/branch.py by `recipe: deepcluster-v2`: a branch that changes nothing equals its parent, centroids too."""

from __future__ import annotations

import pytest
from pipeline_helpers import comparable, content_of, params_of, quiet
from projects import merged, small_project, tree
from stage_helpers import refused
from v2_helpers import NAMES, V2

from pipeline.branch import branch
from pipeline.verify import verify


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A run that clusters in epochs 1 and 4 alone."""
    change = merged(V2, {"epochs": 4, "cluster": {"every": 3}})
    project = small_project(tmp_path_factory.mktemp("parent") / "project", change, plan=False)
    project.run()
    return project


def assert_same_from(project, name, first, last):
    """The epochs of a branch from `first` on, and final/, are byte by byte those of its parent."""
    theirs, mine = tree(project.run_path("")), tree(project.run_path("", name))
    for folder in (*(f"epochs/{epoch:04d}/" for epoch in range(first, last + 1)), "final/"):
        expected = {path: content for path, content in theirs.items() if path.startswith(folder)}
        assert expected and {path: mine.get(path) for path in expected} == expected, folder


def test_a_branch_that_changes_nothing_goes_on_as_its_parent(v2_copy):
    branch(v2_copy.root, "demo@1", "b", [], None)
    folder = v2_copy.run_path("epochs/0001", "b")
    assert sorted(path.name for path in folder.iterdir()) == ["assignments.parquet", "branch.json", "checkpoint.pt"]
    v2_copy.run("b")
    assert_same_from(v2_copy, "b", 2, 2)
    assert verify(v2_copy.root, "b", quiet()) == []


@pytest.mark.parametrize(
    ("source", "linked", "name"),
    [("demo@1", True, "clustered"), ("demo@2", True, "between"), ("demo@3", False, "before")],
)
def test_a_branch_from_between_two_clusterings_trains_on_the_centroids_of_its_parent(parent, source, linked, name):
    branch(parent.root, source, name, [], None)
    start = params_of(parent.root, name).start
    there = {path.name for path in parent.run_path(f"epochs/{start:04d}", name).iterdir()}
    assert ({"pseudolabels.parquet", "centroids.npy"} <= there) == linked
    parent.run(name)
    assert_same_from(parent, name, start + 1, 4)
    assert verify(parent.root, name, quiet()) == []


def test_an_epoch_that_does_not_cluster_trains_on_the_centroids_of_the_one_that_did(parent):
    assert {path.name for path in parent.run_path("epochs/0002").iterdir() if "dvc." not in path.name} == {
        "checkpoint.pt",
        "metrics.json",
        "trained",
    }
    plan = parent.run_path("epochs/0003/dvc.yaml").read_text()
    assert "../0001/centroids.npy" in plan and "../0001/assignments.parquet" in plan
    assert {path.name for path in parent.run_path("epochs/0004").iterdir() if "dvc." not in path.name} == set(
        NAMES["files"]
    )


def test_a_branch_writes_down_only_what_differs_from_the_defaults(v2_copy):
    branch(v2_copy.root, "demo@1", "b", ["train.temperature=0.3"], 3)
    entry = content_of(v2_copy.root)["runs"]["b"]
    assert entry == {"branch": "demo@1", "epochs": 3, "train": {"temperature": 0.3}}
    expected = comparable(params_of(v2_copy.root)) | {"epochs": 3}
    expected["train"]["temperature"] = 0.3
    assert comparable(params_of(v2_copy.root, "b")) == expected


def test_a_branch_keeps_the_recipe_of_its_parent_where_the_default_is_another(v2_copy):
    parent = comparable(params_of(v2_copy.root))
    own = {"recipe": "deepcluster-v2", "whiten": {"dim": 256}}
    v2_copy.edit({"recipe": "deepcluster", "whiten": {"dim": 16}, "runs": {"demo": own}})
    assert comparable(params_of(v2_copy.root)) == parent
    branch(v2_copy.root, "demo@1", "b", [], None)
    assert content_of(v2_copy.root)["runs"]["b"] == {"branch": "demo@1", "epochs": 2, **own}
    assert comparable(params_of(v2_copy.root, "b")) == parent


@pytest.mark.parametrize(
    "change",
    [
        ["recipe=deepcluster", "whiten.dim=16"],
        ["model.projection.dim=9"],
        ["model.projection.hidden=9"],
    ],
)
def test_a_branch_of_another_recipe_or_projection_is_refused_before_anything_is_written(v2_copy, change):
    before = v2_copy.tree(), v2_copy.path("params.yaml").read_bytes()
    line = refused(lambda: branch(v2_copy.root, "demo@1", "b", change, None))
    assert line.startswith("--set: a branch keeps the network, the recipe and the data set of demo@1")
    assert (v2_copy.tree(), v2_copy.path("params.yaml").read_bytes()) == before
    assert not v2_copy.run_path("", "b").exists()


def test_a_branch_by_deepcluster_v2_of_a_run_by_the_papers_recipe_is_refused(finished_copy):
    line = refused(lambda: branch(finished_copy.root, "demo@1", "b", ["recipe=deepcluster-v2"], None))
    assert line.startswith("--set: a branch keeps the network, the recipe and the data set of demo@1")
    assert not finished_copy.run_path("", "b").exists()

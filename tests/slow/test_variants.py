"""Each kind of run end to end by both ways: same bytes, and what the kind is about."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from projects import Project, tree
from slow_helpers import assert_same, copied, dvc_status, pipeline_status

from pipeline import open_run

pytestmark = pytest.mark.slow

RUNS = {
    "pic": {"epochs": 1, "cluster": {"method": "pic"}, "train": {"schedule": "cosine", "horizon": 3}},
    "classes": {"epochs": 1, "cluster": {"method": "labels"}, "train": {"passes": 2}},
    "seldom": {"epochs": 3, "cluster": {"every": 2}},
    "random": {"epochs": 0},
    "listed": {"epochs": 1, "dataset": "listed"},
}
LIST = {"path": "list.txt", "size": 72, "labels": False, "chunk_mib": 1}
NAMES = ["pic", "classes", "seldom", "random", "branched"]


def by_pipeline(project: Project, name: str) -> None:
    project.run(name)


def by_dvc(project: Project, name: str) -> None:
    project.plan(name)
    done = project.command("dvc", "repro", f"data/runs/{name}/dvc.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Way:
    """A project in which every kind of run is computed in one way, each when it is first asked for."""

    project: Project
    compute: Callable[[Project, str], None]
    done: set[str]

    def run(self, name: str) -> Project:
        if name not in self.done:
            if name == "branched":
                branched = self.project.pipeline(
                    *("branch", "--from", "demo@1", "--run", name, "--set", "train.lr=0.5", "--epochs", "2")
                )
                assert branched.returncode == 0, branched.stderr
            self.compute(self.project, name)
            self.done.add(name)
        return self.project


@pytest.fixture(scope="module")
def ways(finished, tmp_path_factory) -> dict[str, Way]:
    found = {}
    for name, compute in (("pipeline", by_pipeline), ("dvc", by_dvc)):
        project = copied(finished, tmp_path_factory.mktemp(name))
        project.edit({"runs": RUNS, "datasets": {"listed": LIST}})
        pictures = sorted(project.path("data/images/demo/pictures").rglob("*.png"))[::-1]
        lines = [str(path.relative_to(project.root)) for path in pictures]
        project.path("list.txt").write_text("\n".join(lines) + "\n")
        found[name] = Way(project, compute, set())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_give_the_same_bytes_and_leave_nothing_to_do(name, ways):
    one, other = (way.run(name) for way in ways.values())
    assert_same(tree(one.run_path("", name)), tree(other.run_path("", name)))
    assert one.run_path("model.safetensors", name).exists()
    for project in (one, other):
        assert pipeline_status(project, name) == {}
        assert dvc_status(project) == set()


def test_pic_chooses_the_number_of_clusters_and_the_cosine_falls(ways):
    run = open_run("pic", ways["pipeline"].run("pic").root)
    history = run.history().set_index("epoch")
    assert history.loc[1, "clusters"] == history.loc[1, "used"] != 10
    assert run.params.cluster.k is None
    rates = run.steps(1)["lr"].to_numpy()
    assert rates == pytest.approx([0.02 * (1 + math.cos(math.pi * i / 6 / 3)) / 2 for i in range(6)])


def test_the_supervised_row_trains_on_the_classes_for_both_passes(ways):
    run = open_run("classes", ways["pipeline"].run("classes").root)
    label = run.images()["label"].to_numpy()
    np.testing.assert_array_equal(run.assignments(1)["cluster"], label)
    np.testing.assert_array_equal(run.pseudolabels(1)["label"], label)
    assert run.history()["images_trained"].iloc[0] == 2 * 170 == run.steps(1)["images"].sum()
    assert run.history()["nmi_labels"].iloc[0] == pytest.approx(1)


def test_an_epoch_without_reclustering_trains_on_the_last_pseudo_labels(ways):
    project = ways["pipeline"].run("seldom")
    for epoch, files in ((2, 3), (3, 10)):
        folder = project.run_path(f"epochs/{epoch:04d}", "seldom")
        found = {path.name for path in folder.iterdir()} - {"dvc.yaml", "dvc.lock", ".dvc.lock.previous"}
        assert len(found) == files
        assert {"trained", "checkpoint.pt", "metrics.json"} <= found
    run = open_run("seldom", project.root)
    assert list(run.assignments().columns) == [1, 3, "final"]
    history = run.history().set_index("epoch")
    assert history["nmi_labels"].isna().tolist() == [False, True, False, False]
    assert history["loss"].isna().tolist() == [False, False, False, True]
    assert history.loc[3, "nmi_previous"] == pytest.approx(run.nmi(1, 3))
    assert history.loc[4, "nmi_previous"] == pytest.approx(run.nmi(3, "final"))
    pd.testing.assert_frame_equal(run.pseudolabels(2), run.pseudolabels(1))


def test_no_epochs_give_the_clusters_of_the_initial_network(ways, finished):
    project = ways["pipeline"].run("random")
    run = open_run("random", project.root)
    history = run.history()
    assert history["epoch"].tolist() == [1]
    assert history["loss"].isna().all() and history["nmi_labels"].notna().all()
    # The demo has the same seed and network: its first clustering is this one.
    name = "assignments.parquet"
    assert (run.folder / "final" / name).read_bytes() == finished.run_path(f"epochs/0001/{name}").read_bytes()


def test_a_list_of_paths_keeps_its_order_and_has_no_classes(ways):
    project = ways["pipeline"].run("listed")
    run = open_run("listed", project.root)
    lines = project.path("list.txt").read_text().splitlines()
    assert run.images()["path"].tolist() == lines
    assert (run.images()["label"] == -1).all()
    history = run.history()
    assert history[["nmi_labels", "knn_accuracy"]].isna().all(axis=None)
    assert history["used"].tolist() == [10, 10]
    assert json.loads(project.path("data/images/listed/pack.json").read_text())["classes"] == []


def test_a_branch_goes_on_from_its_epoch_and_leaves_the_other_run_alone(ways, finished):
    project = ways["pipeline"].run("branched")
    assert_same(tree(project.run_path("")), tree(finished.run_path("")))
    own, theirs = (run.run_path("epochs/0002", name) for run, name in ((project, "branched"), (finished, "demo")))
    # The same network, seed and epoch: the clustering is the other run's, the training with another lr is not.
    for name in ("features.zarr/c.0.0", "assignments.parquet", "clustering.json", "pseudolabels.parquet"):
        assert (own / name).read_bytes() == (theirs / name).read_bytes()
    assert (own / "checkpoint.pt").read_bytes() != (theirs / "checkpoint.pt").read_bytes()
    run = open_run("branched", project.root)
    assert run.history()["epoch"].tolist() == [2, 3]
    assert set(run.steps(2)["lr"]) == {0.5}
    assert not project.run_path("epochs/0001", "branched").joinpath("dvc.yaml").exists()


def test_the_figures_of_a_run_are_made_in_its_own_folder(ways, tmp_path):
    project = copied(ways["pipeline"].run("branched"), tmp_path)
    own, others = project.run_path("figures", "branched"), project.run_path("figures")
    drawn, kept = tree(own), {path: path.stat().st_mtime_ns for path in others.iterdir()}
    shutil.rmtree(own)
    done = project.command("python", "-m", "stages.figures", project.run_path("", "branched"))
    assert done.returncode == 0, done.stderr
    assert tree(own) == drawn
    assert {path: path.stat().st_mtime_ns for path in others.iterdir()} == kept

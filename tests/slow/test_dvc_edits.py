"""What plain DVC commands do after an edit, by the stages that really ran (timings.csv)."""

import hashlib
import json
import re
import subprocess
from collections import Counter

import pandas as pd
import pytest
from projects import Project, tree
from slow_helpers import (
    assert_refused,
    assert_same,
    commit,
    copied,
    dvc_status,
    git,
    git_status,
    pipeline_status,
    repro,
)

pytestmark = pytest.mark.slow

EPOCH = ("extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint")
FINAL = ["final:extract", "final:whiten", "final:cluster"]
LAST = [*FINAL, ":weights", ":export", ":figures", ":tables"]


def assert_clean(project: Project) -> None:
    assert dvc_status(project) == set()
    assert pipeline_status(project) == {}


def as_ids(stages: Counter[str]) -> set[str]:
    """EPOCH:STAGE as timings.csv has it, as FOLDER:STAGE."""
    ids = set()
    for name in stages:
        epoch, stage = name.split(":")
        if stage == "tables":
            # The root's own stage.
            ids.add(".:tables")
            continue
        folder = {"": "data/runs/demo", "final": "data/runs/demo/final"}.get(epoch)
        ids.add(f"{folder or f'data/runs/demo/epochs/{int(epoch):04d}'}:{stage}")
    return ids


def assert_predicted(project: Project, ran: Counter[str], before: dict[str, str]) -> None:
    """`pipeline status` resolves in memory: it names before the run what the run then does."""
    assert set(before) == as_ids(ran)


def test_another_lr_reruns_training_and_what_follows_but_no_clustering_of_epoch_one(project):
    before = tree(project.run_path("epochs/0001"))
    project.edit({"train": {"lr": 0.011}})
    assert dvc_status(project) == {"data/runs/demo:resolve"}
    foretold = pipeline_status(project)
    ran = repro(project)
    assert ran == Counter([":resolve", "1:train", "1:checkpoint", *LAST])
    assert_predicted(project, ran, foretold)
    assert_clean(project)
    after = tree(project.run_path("epochs/0001"))
    assert {name.split("/")[0] for name in before if before[name] != after[name]} == {
        "trained",
        "checkpoint.pt",
        "metrics.json",
    }


def test_another_k_reruns_the_clustering_of_epoch_one_and_what_follows(project):
    project.edit({"cluster": {"k": 8}})
    foretold = pipeline_status(project)
    ran = repro(project)
    assert ran == Counter([":resolve", "1:cluster", "1:pseudolabel", "1:train", "1:checkpoint", ":baseline", *LAST])
    assert_predicted(project, ran, foretold)
    assert_clean(project)
    assert pd.read_parquet(project.run_path("epochs/0001/assignments.parquet"))["cluster"].max() == 7


def test_unrelated_keys_rerun_nothing(project):
    project.edit({"runs": {"yfcc-alexnet": {"train": {"lr": 0.3}}}, "datasets": {"yfcc": {"chunk_mib": 64}}})
    assert_clean(project)
    project.edit({"threads": 1, "workers": 0})
    assert dvc_status(project) == set(pipeline_status(project)) == {"data/runs/demo:resolve"}
    assert repro(project) == Counter([":resolve"])
    assert_clean(project)


def test_another_number_of_epochs_stops_with_the_plan_call_and_loses_nothing(project):
    before = tree(project.path("data"))
    project.edit({"epochs": 2})
    done = project.command("dvc", "repro")
    assert done.returncode != 0
    assert "python -m pipeline plan --run demo" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    # Its own .partial-resolve tells of the failure; everything else stands.
    after = {name: content for name, content in tree(project.path("data")).items() if ".partial-resolve" not in name}
    assert_same(after, before)
    planned = project.pipeline("plan", "--run", "demo")
    assert planned.returncode == 0, planned.stderr
    states = pipeline_status(project)
    assert {name: states[f"data/runs/demo/epochs/0002:{name}"] for name in ("extract", "checkpoint")} == {
        "extract": "missing",
        "checkpoint": "missing",
    }
    assert not any("epochs/0001" in name for name in states)


def test_fewer_epochs_than_recorded_are_refused(project):
    before = tree(project.path("data"))
    project.edit({"epochs": 0})
    assert_refused(project.pipeline("plan"), "epochs: 0", "nothing was deleted", "branch --from demo@0")
    assert_same(tree(project.path("data")), before)


def test_a_raised_revision_reruns_its_stage_and_a_docstring_nothing(project):
    source = project.path("stages/whiten.py")
    text = source.read_text()
    source.write_text(text.replace('"""PCA-whitens', '"""Whitens', 1))
    assert source.read_text() != text
    assert_clean(project)
    assert repro(project) == Counter()
    source.write_text(text.replace("REVISION = ", "REVISION = 1"))
    assert dvc_status(project) == {"data/runs/demo:resolve"}
    assert {"data/runs/demo/epochs/0001:whiten", "data/runs/demo/final:whiten"} <= set(pipeline_status(project))
    # The bytes are the same, so nothing follows.
    assert repro(project) == Counter([":resolve", "1:whiten", "final:whiten"])
    assert_clean(project)


def test_force_downstream_reruns_from_there_on(finished_copy, finished):
    ran = repro(finished_copy, "--force", "--downstream", "data/runs/demo/epochs/0002/dvc.yaml:cluster")
    assert ran == Counter([*[f"2:{stage}" for stage in EPOCH[2:]], *LAST])
    assert_same(finished_copy.tree(), finished.tree())
    assert_clean(finished_copy)


def test_both_status_commands_name_what_was_damaged(project):
    project.run_path("epochs/0001/centroids.npy").unlink()
    chunk = project.run_path("final/features.zarr/c.1.0")
    content = bytearray(chunk.read_bytes())
    content[5] ^= 1
    chunk.unlink()
    chunk.write_bytes(content)
    pixels = project.path("data/images/demo/pixels.zarr/c.0")
    pixels.unlink()
    named = dvc_status(project)
    # final/whiten reads the changed chunk; nothing has run yet, so no more is named by DVC.
    assert named == {
        "data/images/demo:pack",
        "data/runs/demo/epochs/0001:cluster",
        "data/runs/demo/final:extract",
        "data/runs/demo/final:whiten",
    }
    assert named <= set(pipeline_status(project))
    verified = project.pipeline("verify")
    assert_refused(verified, "3 artifacts differ")
    for name in ("epochs/0001/centroids.npy is missing", "final/features.zarr differs", "demo/pixels.zarr differs"):
        assert name in verified.stdout


def test_dvc_shows_metrics_plots_and_the_graph(finished, tmp_path):
    shown = finished.command("dvc", "metrics", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    metrics = json.loads(shown.stdout)
    files = metrics[""]["data"]
    assert set(files) == {"data/runs/demo/summary.json"}, "epochs are plots"
    recorded = json.loads(finished.run_path("summary.json").read_text())
    assert files["data/runs/demo/summary.json"]["data"] == recorded
    plots = finished.command("dvc", "plots", "show", "--out", tmp_path / "plots")
    assert plots.returncode == 0, plots.stderr
    page = (tmp_path / "plots/index.html").read_text()
    assert "NMI of the clusters" in page and "loss on the pseudo-labels" in page
    final = json.loads(finished.run_path("final/clustering.json").read_text())
    assert f"{final['nmi_labels']:.6f}"[:7] in page
    graph = finished.command("dvc", "dag", "--mermaid")
    assert graph.returncode == 0, graph.stderr
    assert graph.stdout.startswith("flowchart")
    names = dict(re.findall(r'(node\d+)\["([^"]+)"\]', graph.stdout))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(node\d+)-->(node\d+)", graph.stdout)}
    epochs = "data/runs/demo/epochs"
    assert (f"{epochs}/0001/dvc.yaml:checkpoint", f"{epochs}/0002/dvc.yaml:extract") in edges
    assert (f"{epochs}/0002/dvc.yaml:checkpoint", "data/runs/demo/final/dvc.yaml:extract") in edges


def test_assignments_pushed_to_a_remote_are_readable_in_a_pulled_clone(finished, tmp_path):
    from pipeline import open_run

    project = copied(finished, tmp_path)
    remote = tmp_path / "remote"
    assert project.command("dvc", "remote", "add", "-d", "here", remote).returncode == 0
    commit(project)
    pushed = project.command("dvc", "push")
    assert pushed.returncode == 0, pushed.stderr
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", project.root, clone], check=True)
    pulled = Project(clone).command("dvc", "pull")
    assert pulled.returncode == 0, pulled.stderr + pulled.stdout
    here, there = open_run("demo", finished.root), open_run("demo", clone)
    for epoch in (1, 2, "final"):
        pd.testing.assert_frame_equal(here.assignments(epoch), there.assignments(epoch))
    pd.testing.assert_frame_equal(here.history(), there.history())
    assert not (clone / "data/runs/demo/epochs/0001/features.zarr").exists()
    pushed_names = {path.parent.name + path.name for path in remote.rglob("*") if path.is_file()}
    weights = finished.run_path("model.safetensors").read_bytes()
    assert hashlib.md5(weights).hexdigest() not in pushed_names
    assert git(Project(clone), "status", "--short") == ""


def test_an_edit_undone_costs_nothing_but_resolve(project):
    """Nothing of the run was recomputed between: the values of its own params.yaml hold again."""
    original = project.path("params.yaml").read_text()
    project.edit({"train": {"lr": 0.011}})
    project.path("params.yaml").write_text(original)
    assert_clean(project)
    assert repro(project) == Counter()
    assert git_status(project) == []

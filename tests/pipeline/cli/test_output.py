"""pipeline/cli/commands.py: what the commands print, and what they leave behind."""

from __future__ import annotations

import json

import pytest
import yaml
from pipeline_helpers import unlink

from pipeline import open_run


def test_nmi_prints_the_table(cli, finished):
    ended = cli(finished.root, "nmi")
    assert (ended.status, ended.err) == (0, "")
    header, *rows = (line.split() for line in ended.out.splitlines())
    assert header == ["epoch", "previous", "labels"]
    table = open_run("demo", finished.root).nmi()
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [row[1] for row in rows] == ["-", *(f"{value:.4f}" for value in table["previous"][1:])]
    assert [row[2] for row in rows] == [f"{value:.4f}" for value in table["labels"]]


def test_nmi_of_two_epochs_is_one_number(cli, finished):
    found = cli(finished.root, "nmi", "--a", "1", "--b", "final").out
    assert found == f"{open_run('demo', finished.root).nmi(1, 'final'):.4f}\n"


def test_show_prints_sizes_purity_and_the_closest_pictures(cli, finished):
    ended = cli(finished.root, "show", "--epoch", "2", "--most", "4")
    assert (ended.status, ended.err) == (0, "6 more clusters: --most 10\n")
    header, *rows = ended.out.splitlines()
    assert header.split() == ["cluster", "size", "label", "purity", "closest", "pictures"]
    run = open_run("demo", finished.root)
    top = run.clusters(2).head(4).to_dict("records")
    assert len(rows) == 4
    members = run.assignments(2).merge(run.images()[["image", "path"]])
    for line, row in zip(rows, top, strict=True):
        assert line.split()[:2] == [str(row["cluster"]), str(row["size"])]
        assert row["label"] in line and f"{row['purity']:.2f}" in line
        closest = members[members["cluster"] == row["cluster"]].nsmallest(3, "distance")["path"]
        assert all(path in line for path in closest)


def test_runs_prints_a_row_a_run(cli, finished):
    ended = cli(finished.root, "runs")
    assert ended.status == 0
    header, *rows = (line.split() for line in ended.out.splitlines())
    assert header == ["run", "dataset", "epochs", "planned", "nmi_labels", "gigabytes"]
    demo = next(row for row in rows if row[0] == "demo")
    last = open_run("demo", finished.root).nmi()["labels"].iloc[-1]
    assert demo[:5] == ["demo", "demo", "2", "2", f"{last:.3f}"]
    assert {"imagenet-alexnet", "yfcc-alexnet"} <= {row[0] for row in rows}


def test_status_of_a_finished_run_says_so(cli, finished):
    ended = cli(finished.root, "status")
    assert ended.status == 0
    assert "all 24 stages are done" in ended.out
    assert "2 more epochs" in ended.out


def test_status_lists_the_states_of_each_stage(cli, finished_copy):
    finished_copy.edit({"runs": {"demo": {"train": {"lr": 0.3}}}})
    unlink(finished_copy.run_path("epochs/0002/dvc.lock"))
    partial = finished_copy.run_path("epochs/0002/.partial-train")
    partial.mkdir()
    (partial / "failed.json").write_text(json.dumps({"error": "the loss is nan [red]"}))
    out = cli(finished_copy.root, "status").out
    line = next(line for line in out.splitlines() if line.strip().startswith("data/runs/demo/epochs/0001"))
    assert "cluster done" in line and "train stale" in line
    line = next(line for line in out.splitlines() if line.strip().startswith("data/runs/demo/epochs/0002"))
    assert "extract missing" in line and "train failed" in line
    assert "data/runs/demo/epochs/0002:train failed: the loss is nan [red]" in out
    assert "next: data/runs/demo:resolve" in out


def test_a_second_run_finds_nothing_to_do(cli, finished_copy):
    before = finished_copy.tree()
    ended = cli(finished_copy.root, "run")
    assert (ended.status, ended.err) == (0, "")
    assert "nothing to do, all stages are up to date" in ended.out
    assert "python -m pipeline show" in ended.out
    assert finished_copy.tree() == before


def test_rerun_computes_the_named_stage_and_no_other(cli, finished_copy):
    lines = finished_copy.run_path("timings.csv").read_text().count("\n")
    before = finished_copy.tree()
    assert cli(finished_copy.root, "rerun", "cluster", "--epoch", "2").status == 0
    assert cli(finished_copy.root, "rerun", "whiten", "--epoch", "final").status == 0
    timings = open_run("demo", finished_copy.root).timings()[lines - 1 :]
    assert timings[["epoch", "stage"]].to_numpy().tolist() == [["2", "cluster"], ["final", "whiten"]]
    assert finished_copy.tree() == before


def test_rerun_says_what_it_made_and_what_followed(cli, finished_copy):
    assert cli(finished_copy.root, "rerun", "cluster", "--epoch", "2").out.splitlines()[-1] == (
        "data/runs/demo/epochs/0002:cluster is made again"
    )
    # The same bytes come out, so nothing follows.
    told = cli(finished_copy.root, "rerun", "cluster", "--epoch", "2", "--follow").out.splitlines()[-1]
    assert told == "data/runs/demo/epochs/0002:cluster is made again, 1 stage run in all"


def test_remove_says_where_pictures_stay_that_no_other_run_has(cli, finished_copy):
    assert cli(finished_copy.root, "branch", "--from", "demo@1", "--run", "other").status == 0
    assert cli(finished_copy.root, "remove", "demo", "--yes").out == "run demo is deleted\n"
    told = cli(finished_copy.root, "remove", "other", "--yes").out
    offered = "python -m pipeline remove demo --pictures --yes"
    assert told == f"run other is deleted; its packed pictures stay: `{offered}` deletes them\n"
    assert finished_copy.path("data/images/demo/pack.json").exists()


@pytest.mark.parametrize("content", ["a: [", "", "a: 1"])
def test_damaged_parameters_of_a_run_are_named_with_the_command_that_writes_them_anew(cli, finished_copy, content):
    path = finished_copy.run_path("params.yaml")
    before = finished_copy.tree()
    path.write_text(content)
    told = cli.refused(finished_copy.root, "show")
    assert str(path) in told and told.endswith("`python -m pipeline run --run demo` writes it anew")
    assert "next: data/runs/demo:resolve" in cli(finished_copy.root, "status").out
    ended = cli(finished_copy.root, "run")
    assert (ended.status, ended.err) == (0, "")
    assert "1 stage run" in ended.out
    assert finished_copy.tree() == before


def test_plan_writes_what_a_longer_run_needs(cli, finished_copy):
    ended = cli(finished_copy.root, "plan", "--epochs", "4")
    assert ended.status == 0
    assert finished_copy.run_path("epochs/0004/dvc.yaml").exists()
    assert not finished_copy.run_path("epochs/0004/features.zarr").exists()
    assert "4 dvc.yaml files written" in ended.out
    assert yaml.safe_load(finished_copy.path("params.yaml").read_text())["runs"]["demo"]["epochs"] == 4


def test_a_refusal_of_a_stage_names_its_place_once(cli, finished_copy, monkeypatch):
    def changing(job):
        path = job.input("whitened") / "zarr.json"
        path.write_bytes(path.read_bytes() + b" ")

    monkeypatch.setattr("stages.cluster.cluster", changing)
    line = cli.refused(finished_copy.root, "rerun", "cluster", "--epoch", "2")
    assert line.startswith("epoch 2 cluster: an input changed while running")
    assert line.count("epoch 2") == 1

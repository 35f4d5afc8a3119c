"""The command line as a shell sees it: output, exit status, one line for each refusal."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pandas as pd
import pytest
import typer
from PIL import Image
from pipeline_helpers import CommandLine, unlink
from typer.testing import CliRunner

from pipeline import open_run
from pipeline.cli import app

COMMANDS = (
    "run",
    "plan",
    "status",
    "rerun",
    "embed",
    "branch",
    "show",
    "nmi",
    "runs",
    "remove",
    "verify",
)


@pytest.fixture
def cli(monkeypatch, capsys) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def help_of(command: str) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.output


def test_every_promised_command_is_there_and_no_other():
    assert set(typer.main.get_command(app).commands) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_holds_an_example_that_the_command_accepts(command):
    (example,) = re.findall(r"Example: (?:`)?(python -m pipeline [^`\n│]*)", help_of(command))
    words = shlex.split(example)
    assert words[3] == command
    typer.main.get_command(app).commands[command].make_context(command, words[4:])


def test_help_alone_lists_the_commands(cli, finished):
    ended = cli(finished.root, "--help")
    assert ended.status == 0
    assert all(command in ended.out for command in COMMANDS)


# ---------------------------------------------------------------- refusals

REFUSED = {
    "unknown run": (["show", "--run", "nope"], "nope.*known: demo"),
    "unknown run of run": (["run", "--run", "nope"], "nope.*--images FOLDER"),
    "unknown run of plan": (["plan", "--run", "nope"], "nope.*--images FOLDER"),
    "unknown run of status": (["status", "--run", "nope"], "nope"),
    "unknown run of rerun": (["rerun", "train", "--run", "nope", "--epoch", "1"], "nope"),
    "unknown run of nmi": (["nmi", "--run", "nope"], "nope"),
    "unknown run of verify": (["verify", "--run", "nope"], "nope"),
    "unknown run of embed": (["embed", "--run", "nope", ".", "-o", "x.parquet"], "nope"),
    "unknown run of branch": (["branch", "--from", "nope@1", "--run", "b"], "nope"),
    "unknown run of remove": (["remove", "nope", "--yes"], "nope.*known"),
    "unknown stage": (["rerun", "blend", "--epoch", "1"], "blend.*extract"),
    "stage without epoch": (["rerun", "cluster"], "--epoch N"),
    "epoch out of range to rerun": (["rerun", "cluster", "--epoch", "9"], "9.*1 to 2"),
    "epoch out of range to show": (["show", "--epoch", "9"], "1, 2, final"),
    "epoch 0 to show": (["show", "--epoch", "0"], "1, 2, final"),
    "epoch that is none": (["show", "--epoch", "last"], "last.*final"),
    "epoch in odd digits": (["show", "--epoch", "²"], "²"),
    "nmi of one epoch": (["nmi", "--a", "1"], "two epochs"),
    "nmi out of range": (["nmi", "--a", "1", "--b", "9"], "1, 2, final"),
    "branch from no epoch": (["branch", "--from", "demo", "--run", "b"], "demo@37"),
    "branch from an odd epoch": (["branch", "--from", "demo@²", "--run", "b"], "demo@37"),
    "branch out of range": (["branch", "--from", "demo@9", "--run", "b"], "epoch 9.*not finished"),
    "k larger than N": (["run", "--set", "cluster.k=171"], "171 clusters for 170 pictures.*--set cluster.k="),
    "k of 0": (["run", "--set", "cluster.k=0"], "cluster.k"),
    "k of -1": (["run", "--set", "cluster.k=-1"], "cluster.k"),
    "k of 2.5": (["run", "--set", "cluster.k=2.5"], "cluster.k"),
    "dim larger than N": (["run", "--set", "whiten.dim=200"], "whiten.dim"),
    "picture too small": (["run", "--set", "model.input=62"], "model.input.*63"),
    "unknown key": (["run", "--set", "train.learning=1"], "train.learning"),
    "unreadable set": (["run", "--set", "train.lr"], "--set train.lr=0.1"),
    "images without run": (["run", "--images", "."], "--images.*--run"),
    "images that contain the output": (["run", "--run", "mine", "--images", "."], "lies inside --images"),
    "images that are nowhere": (["run", "--run", "mine", "--images", "nowhere"], "nowhere"),
    "unknown preset": (["run", "--run", "mine", "--images", ".", "--preset", "big"], "fit, paper"),
    "odd name of a run": (["run", "--run", "a/b", "--images", "data/images/demo/pictures"], "letters"),
    "fewer epochs": (["run", "--epochs", "1"], "fewer than the 2 recorded"),
    "recomputing": (["run", "--set", "train.lr=0.3"], "2 recorded epochs.*--yes.*branch"),
    "remove without yes": (["remove", "demo"], "--yes"),
    "dataset with another stage": (["rerun", "train", "--dataset", "demo"], "--dataset"),
    "unknown dataset": (["rerun", "pack", "--dataset", "nope"], "nope"),
    "tf32 on a CPU": (["run", "--set", "precision=tf32"], "tf32"),
    # What the parser itself refuses.
    "unknown command": (["rum"], "rum"),
    "unknown option": (["run", "--epohcs", "3"], "--epohcs"),
    "negative epochs": (["run", "--epochs", "-1"], "epochs"),
    "epochs that are no number": (["run", "--epochs", "many"], "epochs"),
    "missing argument": (["rerun"], "STAGE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_on_stderr_and_changes_nothing(cli, finished, case):
    words, expected = REFUSED[case]
    before = finished.tree(), finished.path("params.yaml").read_bytes(), folders(finished)
    ended = cli(finished.root, *words)
    assert ended.status != 0
    assert re.search(expected, ended.err, re.IGNORECASE), ended.err
    lines = ended.err.splitlines()
    assert len(lines) == 1 or lines[0].startswith("Usage:"), ended.err
    assert (finished.tree(), finished.path("params.yaml").read_bytes(), folders(finished)) == before


def folders(project) -> set[str]:
    return {str(path.relative_to(project.root)) for path in project.path("data").rglob("*") if path.is_dir()}


@pytest.mark.parametrize("words", [["show", "--run", "nope"], ["rum"], ["run", "--epohcs", "3"]])
def test_a_process_that_refuses_ends_without_traceback(finished, words):
    ended = finished.pipeline(*words)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip()


def test_debug_shows_the_traceback_too(cli, finished):
    ended = cli(finished.root, "--debug", "show", "--run", "nope")
    assert ended.status == 1
    assert "Traceback" in ended.err and ended.err.splitlines()[-1].startswith("run nope has not begun")


def test_outside_a_project_the_refusal_says_so(cli, tmp_path):
    assert "not inside a clone" in cli.refused(tmp_path, "runs")


# ---------------------------------------------------------------- output


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
    assert (ended.status, ended.err) == (0, "")
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
    assert "all 21 stages are done" in ended.out
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


def test_plan_writes_what_a_longer_run_needs(cli, finished_copy):
    ended = cli(finished_copy.root, "plan", "--epochs", "4")
    assert ended.status == 0
    assert finished_copy.run_path("epochs/0004/dvc.yaml").exists()
    assert not finished_copy.run_path("epochs/0004/features.zarr").exists()
    assert "4 dvc.yaml files written" in ended.out
    assert "runs:\n  demo:\n    epochs: 4" in finished_copy.path("params.yaml").read_text() or (
        "demo: {epochs: 4}" in finished_copy.path("params.yaml").read_text()
    )


ODD = {
    b"caf\xe9.jpg": r"caf\xe9.jpg",
    b"[red]x.png": "[red]x.png",
    b"[/].png": "[/].png",
    rb"\[bold]y.png": r"\[bold]y.png",
    b"a\nb.png": r"a\nb.png",
    b"\x1b[31mred.png": r"\x1b[31mred.png",
    b":smile:.png": ":smile:.png",
    "été.png".encode(): "été.png",
}


@pytest.mark.parametrize("name", ODD, ids=ODD.values())
def test_odd_names_are_shown_as_they_are_or_escaped(cli, finished_copy, name):
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest)
    run = open_run("demo", finished_copy.root)
    cluster = run.clusters("final")["cluster"][0]
    final = run.assignments("final")
    members = final[final["cluster"] == cluster]
    frame.loc[members["distance"].idxmin(), "path"] = name
    frame.to_parquet(manifest)
    ended = cli(finished_copy.root, "show", "--most", "1")
    assert ended.status == 0
    assert ODD[name] in ended.out
    assert len(ended.out.splitlines()) == 2
    ended.out.encode("utf-8")


def test_an_odd_class_name_is_shown_as_it_is(cli, finished_copy):
    pack = finished_copy.path("data/images/demo/pack.json")
    content = json.loads(pack.read_text())
    content["classes"] = [f"[red]{i}" for i in range(len(content["classes"]))]
    pack.write_text(json.dumps(content))
    assert "[red]" in cli(finished_copy.root, "show").out


def test_rejected_names_are_printed_as_escapes_by_embed(cli, finished_copy, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    Image.new("RGB", (80, 80), "red").save(folder / "good.png")
    (folder / "line\nbreak\x1b[31m.png").write_bytes(b"no picture")
    ended = cli(finished_copy.root, "embed", folder, "-o", tmp_path / "out.parquet")
    assert ended.status == 0
    assert r"rejected: line\nbreak\x1b[31m.png: " in ended.out
    assert "1 pictures in" in ended.out and "1 rejected" in ended.out


# ---------------------------------------------------------------- imports


@pytest.mark.parametrize("module", ["pipeline", "pipeline.cli"])
def test_importing_loads_nothing_heavy(module):
    # A shell's completion and `--help` must not wait three seconds for torch.
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"torch", "pandas", "dvc", "faiss", "zarr", "sklearn", "matplotlib"} & set(loaded)

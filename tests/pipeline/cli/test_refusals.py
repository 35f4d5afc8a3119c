"""pipeline/cli/commands.py: what it refuses: a line on stderr, an exit status, and nothing changed."""

from __future__ import annotations

import re

import pytest

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
    "unknown stage": (
        ["rerun", "blend", "--epoch", "1"],
        "blend.*extract, whiten, cluster, pseudolabel, train, checkpoint",
    ),
    "stage without epoch": (["rerun", "cluster"], "--epoch N"),
    "epoch out of range to rerun": (["rerun", "cluster", "--epoch", "9"], "9.*final or 1, 2"),
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
    "weights of a run that has others": (["run", "--weights", "nowhere.pth"], "random weights.*--run"),
    "weights that are nowhere": (
        ["run", "--run", "mine", "--dataset", "demo", "--weights", "nowhere.pth"],
        "nowhere.pth is missing.*--weights",
    ),
    "unknown preset": (["run", "--run", "mine", "--images", ".", "--preset", "big"], "fit, paper"),
    "odd name of a run": (["run", "--run", "a/b", "--images", "data/images/demo/pictures"], "letters"),
    "fewer epochs": (["run", "--epochs", "1"], "fewer than the 2 recorded"),
    "recomputing": (["run", "--set", "train.lr=0.3"], "2 recorded epochs.*--yes.*branch"),
    "remove without yes": (["remove", "demo"], "--yes"),
    "dataset with another stage": (["rerun", "train", "--dataset", "demo"], "--dataset"),
    "unknown dataset": (["rerun", "pack", "--dataset", "nope"], "'nope' is not one of `datasets` .demo"),
    "tf32 on a CPU": (["run", "--set", "precision=tf32"], "tf32"),
    # What the parser itself refuses.
    "unknown command": (["rum"], "rum"),
    "unknown option": (["run", "--epohcs", "3"], "--epohcs"),
    "negative epochs": (["run", "--epochs", "-1"], "epochs"),
    "epochs that are no number": (["run", "--epochs", "many"], "epochs"),
    "missing argument": (["rerun"], "STAGE"),
    "no such run to remove": (["remove", "nope"], "no run 'nope'"),
    "remove without --yes": (["remove", "demo"], "add --yes"),
    "a preset for an old run": (["run", "--preset", "paper"], "--images FOLDER"),
    "one epoch of two": (["nmi", "--a", "1"], "--a and --b"),
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
    assert "Traceback" in ended.err and ended.err.splitlines()[-1].startswith("there is no run 'nope'")


def test_outside_a_project_the_refusal_says_so(cli, tmp_path):
    assert "not inside a clone" in cli.refused(tmp_path, "runs")

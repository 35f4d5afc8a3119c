"""stages/parameters/named.py: one check of a run's name, wherever it is given."""

from __future__ import annotations

import pytest

BAD = ["v1.5", "x" * 300, "-x", "_x", "a/b", "..", "a b", "x\n", "é́"]
TAKING = {
    "run": ["run", "--epochs", "1", "--run={name}"],
    "plan": ["plan", "--run={name}"],
    "status": ["status", "--run={name}"],
    "prune": ["prune", "--run={name}"],
    "rerun": ["rerun", "train", "--epoch", "1", "--run={name}"],
    "show": ["show", "--run={name}"],
    "verify": ["verify", "--run={name}"],
    "branch": ["branch", "--from", "demo@1", "--run={name}"],
    "branch from": ["branch", "--run", "b", "--from={name}@1"],
    "remove": ["remove", "--yes", "--", "{name}"],
}


@pytest.mark.parametrize("command", TAKING)
def test_a_name_that_is_none_is_refused_by_every_command(cli, finished, command):
    before = finished.path("params.yaml").read_bytes(), sorted(finished.path("data").rglob("*"))
    for name in BAD:
        line = cli.refused(finished.root, *(word.format(name=name) for word in TAKING[command]))
        assert "use letters, digits, - and _, at most 64" in line
        assert len(line) < 250
    assert (finished.path("params.yaml").read_bytes(), sorted(finished.path("data").rglob("*"))) == before


def test_a_name_with_a_point_written_by_hand_is_refused_and_leaves_the_other_runs_working(cli, finished_copy):
    path = finished_copy.path("params.yaml")
    path.write_text(path.read_text() + "  v1.5: {}\n  2024: {}\n")
    before = path.read_bytes()
    assert "v1.5" in cli.refused(finished_copy.root, "run", "--run", "v1.5", "--set", "train.lr=0.5")
    assert "2024 is no text to YAML" in cli.refused(finished_copy.root, "run", "--run", "2024", "--set", "train.lr=0.5")
    assert path.read_bytes() == before
    assert "run demo: all" in cli(finished_copy.root, "status").out


@pytest.mark.parametrize("name", ["a", "2024", "x" * 64, "Ünder-score_2"])
def test_a_name_of_letters_and_digits_is_taken(cli, finished_copy, name):
    ended = cli(finished_copy.root, "branch", "--from", "demo@1", "--run", name)
    assert (ended.status, ended.err) == (0, "")
    assert finished_copy.run_path("dvc.yaml", name).exists()
    assert cli(finished_copy.root, "remove", name, "--yes").status == 0


def test_a_run_that_is_nowhere_is_answered_with_what_makes_one(cli, finished):
    for words in (["show"], ["nmi"], ["verify"], ["status"], ["run"], ["plan"], ["rerun", "train", "--epoch", "1"]):
        line = cli.refused(finished.root, *words, "--run", "nosuch")
        assert "there is no run 'nosuch' under `runs` of params.yaml (known: demo, " in line
        assert line.endswith("`python -m pipeline run --run nosuch --images FOLDER`")


def test_a_run_of_params_yaml_that_has_not_begun_is_answered_with_what_begins_it(cli, finished):
    line = cli.refused(finished.root, "show", "--run", "imagenet-vgg16")
    assert line == (
        "run imagenet-vgg16 has not begun (begun: demo); `python -m pipeline run --run imagenet-vgg16` begins it"
    )

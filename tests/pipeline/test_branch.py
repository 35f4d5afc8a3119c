"""pipeline/branch.py: a new run from an epoch of another."""

from __future__ import annotations

import hashlib
import io
import json
import os

import pandas as pd
import pytest
import yaml
from pipeline_helpers import comparable, content_of, flip_byte, params_of, unlink
from projects import tree

from pipeline.branch import branch
from pipeline.settings import Settings
from pipeline.verify import verify
from stages.errors import Refusal
from stages.parameters.run import parse_branch
from stages.runtime.report import Reporter


def test_the_same_parameters_give_the_same_bytes(finished_copy):
    branch(finished_copy.root, "demo@1", "b", [], None)
    finished_copy.run("b")
    mine, theirs = tree(finished_copy.run_path("", "b")), tree(finished_copy.run_path(""))
    for folder in ("epochs/0002", "final"):
        expected = {name: content for name, content in theirs.items() if name.startswith(f"{folder}/")}
        assert len(expected) > 5
        assert {name: content for name, content in mine.items() if name.startswith(f"{folder}/")} == expected
    assert mine["model.safetensors"] == theirs["model.safetensors"]
    assert pd.read_csv(finished_copy.run_path("history.csv", "b"))["epoch"].tolist() == [2, 3]
    assert not any(name.startswith("epochs/0000") for name in mine)


def test_a_branch_that_cannot_enter_params_yaml_leaves_no_folder(finished_copy, monkeypatch):
    def refuse(settings):
        raise Refusal("params.yaml: runs.b was changed meanwhile")

    monkeypatch.setattr(Settings, "save", refuse)
    with pytest.raises(Refusal, match="meanwhile"):
        branch(finished_copy.root, "demo@1", "b", [], None)
    assert not finished_copy.path("data/runs/b").exists()
    monkeypatch.undo()
    branch(finished_copy.root, "demo@1", "b", [], None)
    assert finished_copy.run_path("dvc.yaml", "b").exists()


def test_a_branch_takes_the_parents_parameters_and_what_set_changes(finished_copy):
    parent = params_of(finished_copy.root)
    sets = ["train.lr=0.001", "cluster.k=7"]
    made = branch(finished_copy.root, "demo@1", "slower", sets, 4)
    reread = params_of(finished_copy.root, "slower")
    assert comparable(reread) == comparable(made)
    assert (reread.train.lr, reread.cluster.k, reread.epochs) == (0.001, 7, 4)
    assert (reread.run, reread.branch, reread.start) == ("slower", "demo@1", 1)
    expected = comparable(parent)
    expected["train"]["lr"], expected["cluster"]["k"], expected["epochs"] = 0.001, 7, 4
    assert comparable(reread) == expected
    assert comparable(params_of(finished_copy.root)) == comparable(parent)
    # Only what differs from the defaults of all runs is written: a later edit of those reaches it, as any other run.
    entry = {"branch": "demo@1", "epochs": 4, "train": {"lr": 0.001}, "cluster": {"k": 7}}
    assert content_of(finished_copy.root)["runs"]["slower"] == entry
    finished_copy.edit({"whiten": {"dim": 8}})
    assert params_of(finished_copy.root, "slower").whiten.dim == params_of(finished_copy.root).whiten.dim == 8


def test_a_branch_of_a_run_with_overrides_has_them_too(finished_copy):
    own = {"train": {"lr": 0.5}, "cluster": {"method": "labels"}, "retain": {"last": 2, "every": 0}, "seed": 3}
    branch(finished_copy.root, "demo@1", "b", [f"train.lr={own['train']['lr']}", "seed=3"], None)
    finished_copy.edit({"runs": {"b": own}})
    finished_copy.run("b")
    branch(finished_copy.root, "b@2", "c", [], 3)
    entry = content_of(finished_copy.root)["runs"]["c"]
    assert entry == own | {"branch": "b@2", "epochs": 3}
    mine, theirs = (comparable(params_of(finished_copy.root, run)) for run in ("c", "b"))
    assert mine == theirs | {"epochs": 3}


@pytest.mark.parametrize("where", ["checkpoint.pt", "branch.json", "params.yaml", "b/dvc.yaml"])
def test_a_branch_that_was_stopped_anywhere_goes_on_by_the_same_command(finished_copy, cli, monkeypatch, where):
    words = ["branch", "--from", "demo@1", "--run", "b", "--set", "train.lr=0.5"]

    def stopping(original, place):
        def stopped(*paths):
            original(*paths)
            if str(paths[place]).endswith(where):
                raise KeyboardInterrupt

        return stopped

    monkeypatch.setattr(os, "replace", stopping(os.replace, 1))
    monkeypatch.setattr(os, "link", stopping(os.link, 1))
    assert cli(finished_copy.root, *words).status == 130
    monkeypatch.undo()
    assert "begun as a branch of demo@1" in cli.refused(finished_copy.root, "branch", "--from", "demo@2", "--run", "b")
    ended = cli(finished_copy.root, *words)
    assert (ended.status, ended.err) == (0, "")
    finished_copy.run("b")
    assert verify(finished_copy.root, "b", Reporter(stream=io.StringIO())) == []
    assert "exists already" in cli.refused(finished_copy.root, *words)


def test_a_branch_that_was_stopped_can_be_removed(finished_copy, cli, monkeypatch):
    monkeypatch.setattr(Settings, "save", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli(finished_copy.root, "branch", "--from", "demo@1", "--run", "b").status == 130
    monkeypatch.undo()
    assert cli(finished_copy.root, "remove", "b", "--yes").status == 0
    assert not finished_copy.run_path("", "b").exists()


def test_a_branch_holds_the_epoch_with_its_digests_and_a_plan_of_its_own(finished_copy):
    branch(finished_copy.root, "demo@1", "b", [], None)
    folder = finished_copy.run_path("epochs/0001", "b")
    assert sorted(path.name for path in folder.iterdir()) == ["assignments.parquet", "branch.json", "checkpoint.pt"]
    note = json.loads((folder / "branch.json").read_text())
    assert note["from"] == "demo@1"
    for name, digest in note["sha256"].items():
        content = finished_copy.run_path(f"epochs/0001/{name}").read_bytes()
        assert (folder / name).read_bytes() == content
        assert hashlib.sha256(content).hexdigest() == digest
    planned = {
        str(path.parent.relative_to(finished_copy.run_path("", "b")))
        for path in finished_copy.run_path("", "b").rglob("dvc.yaml")
    }
    assert planned == {"."}, "what is planned and not made spoils DVC's commands"
    stages = yaml.safe_load(finished_copy.run_path("dvc.yaml", "b").read_text())["stages"]
    assert set(stages) == {"resolve", "unfinished"}
    for path in finished_copy.run_path("", "b").rglob("dvc.yaml"):
        assert "runs/demo" not in path.read_text()


@pytest.mark.parametrize("name", ["checkpoint.pt", "assignments.parquet"])
def test_verify_finds_what_changed_since_the_branch(finished_copy, name):
    branch(finished_copy.root, "demo@1", "b", [], None)
    finished_copy.run("b")
    told = io.StringIO()
    assert verify(finished_copy.root, "b", Reporter(stream=told)) == []
    path = finished_copy.run_path(f"epochs/0001/{name}", "b")
    flip_byte(path)
    assert verify(finished_copy.root, "b", Reporter(stream=told)) == [f"data/runs/b/epochs/0001/{name}"]
    assert f"{name} differs: no stage makes it; copy it from demo@1, where it began" in told.getvalue()
    path.unlink()
    assert verify(finished_copy.root, "b", Reporter(stream=told)) == [f"data/runs/b/epochs/0001/{name}"]
    assert f"{name} is missing" in told.getvalue()
    path.with_name("branch.json").unlink()
    assert verify(finished_copy.root, "b", Reporter(stream=told)) == ["data/runs/b/epochs/0001/branch.json"]


def refused(project, match, *arguments):
    before = project.tree(), project.path("params.yaml").read_bytes(), sorted(project.path("data").rglob("*"))
    with pytest.raises(Refusal, match=match) as found:
        branch(project.root, *arguments)
    assert "\n" not in str(found.value)
    after = project.tree(), project.path("params.yaml").read_bytes(), sorted(project.path("data").rglob("*"))
    assert after == before


def test_an_epoch_that_is_not_finished_is_refused(finished_copy):
    unlink(finished_copy.run_path("epochs/0002/checkpoint.pt"))
    refused(finished_copy, "epoch 2 of run demo is not finished.*status", "demo@2", "b", [], None)


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("epoch 3 of run demo is not finished", ("demo@3", "b", [], None)),
        ("run demo exists already", ("demo@1", "demo", [], None)),
        ("run imagenet-vgg16 exists already", ("demo@1", "imagenet-vgg16", [], None)),
        ("RUN@EPOCH", ("demo", "b", [], None)),
        ("no such key", ("demo@1", "b", ["train.speed=1"], None)),
        (r"train\.lr", ("demo@1", "b", ["train.lr=fast"], None)),
        # Fewer pictures than clusters is known before any folder is made.
        (r"cluster\.k: 171 clusters for 170 pictures", ("demo@1", "b", ["cluster.k=171"], None)),
        # Names become folders and keys of params.yaml.
        ("letters", ("demo@1", "a/b", [], None)),
        ("letters", ("demo@1", "../b", [], None)),
        ("letters", ("demo@1", "a.b", [], None)),
        ("letters|exists already", ("demo@1", "", [], None)),
    ],
)
def test_a_branch_that_cannot_be_is_refused_before_anything_is_written(finished_copy, match, arguments):
    refused(finished_copy, match, *arguments)


@pytest.mark.parametrize("text", ["demo", "@3", "demo@", "demo@x", "demo@-1", "demo@1.5", "demo@²"])
def test_what_names_no_epoch_is_refused(text):
    with pytest.raises(Refusal, match="RUN@EPOCH"):
        parse_branch(text)


def test_an_epoch_of_a_run_is_named_with_an_at_sign():
    assert parse_branch("a-b@12") == ("a-b", 12)

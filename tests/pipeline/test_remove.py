"""pipeline/remove.py: a run no longer wanted."""

from __future__ import annotations

import shutil

import pytest
from pipeline_helpers import comparable, content_of, params_of
from projects import params_text

from pipeline.branch import branch
from pipeline.remove import remove
from stages.errors import Refusal


def test_removing_a_branch_leaves_everything_else(finished_copy):
    before = finished_copy.tree(), content_of(finished_copy.root)
    branch(finished_copy.root, "demo@1", "b", [], None)
    remove(finished_copy.root, "b", yes=True)
    assert not finished_copy.run_path("", "b").exists()
    assert (finished_copy.tree(), content_of(finished_copy.root)) == before


def test_removing_a_run_keeps_every_comment(finished_copy):
    text = params_text()
    finished_copy.path("params.yaml").write_text(text)
    branch(finished_copy.root, "demo@1", "b", [], None)
    remove(finished_copy.root, "b", yes=True)
    assert finished_copy.path("params.yaml").read_text() == text


def test_removing_a_run_that_others_share_an_anchor_with_leaves_them_whole(finished_copy):
    finished_copy.path("params.yaml").write_text(params_text())
    before = comparable(params_of(finished_copy.root, "imagenet-vgg16"))
    remove(finished_copy.root, "imagenet-alexnet", yes=True)
    assert "imagenet-alexnet" not in content_of(finished_copy.root)["runs"]
    assert comparable(params_of(finished_copy.root, "imagenet-vgg16")) == before


@pytest.mark.parametrize("name", ["..", ".", "", "../images", "/", "nope", "demo/epochs"])
def test_remove_deletes_nothing_but_a_run(finished_copy, name):
    before = finished_copy.tree(), finished_copy.path("params.yaml").read_bytes()
    with pytest.raises(Refusal):
        remove(finished_copy.root, name, yes=True)
    assert (finished_copy.tree(), finished_copy.path("params.yaml").read_bytes()) == before


def test_remove_by_command_line_asks_for_yes(finished_copy, cli):
    branch(finished_copy.root, "demo@1", "b", [], None)
    assert "--yes" in cli.refused(finished_copy.root, "remove", "b")
    assert finished_copy.run_path("", "b").exists()
    ended = cli(finished_copy.root, "remove", "b", "--yes")
    assert (ended.status, ended.out) == (0, "run b is deleted\n")
    assert not finished_copy.run_path("", "b").exists()


def test_a_run_in_use_is_not_removed(finished_copy):
    from stages.runtime.locks import only_writer

    with only_writer(finished_copy.run_path(""), "run demo"), pytest.raises(Refusal, match="in use"):
        remove(finished_copy.root, "demo", yes=True)
    assert finished_copy.run_path("history.csv").exists()


@pytest.fixture
def with_pictures(finished_copy, tmp_path):
    """A project with a run `mine` on packed pictures of its own; the user's folder."""
    folder = tmp_path / "pictures"
    shutil.copytree(finished_copy.path("data/images/demo/pictures"), folder)
    shutil.copytree(finished_copy.path("data/images/demo"), finished_copy.path("data/images/mine"))
    shutil.rmtree(finished_copy.path("data/images/mine/pictures"))
    finished_copy.edit({"datasets": {"mine": {"path": str(folder), "size": 72, "labels": True, "chunk_mib": 1}}})
    finished_copy.edit({"runs": {"mine": {"dataset": "mine"}}})
    finished_copy.run_path("", "mine").mkdir()
    return finished_copy, folder


def test_packed_pictures_that_no_run_has_any_more_are_offered_and_deleted(with_pictures, cli):
    project, folder = with_pictures
    told = cli(project.root, "remove", "mine", "--yes").out
    assert project.path("data/images/mine/pack.json").exists()
    offered = "python -m pipeline remove mine --pictures --yes"
    assert f"`{offered}` deletes them" in told
    assert "deletes data/images/mine for good: add --yes" in cli.refused(project.root, "remove", "mine", "--pictures")
    assert cli(project.root, *offered.split()[3:]).status == 0
    assert not project.path("data/images/mine").exists()
    assert "mine" not in content_of(project.root)["datasets"]
    assert len(list(folder.rglob("*.png"))) == 170


def test_a_run_goes_with_its_pictures_and_never_with_those_of_others_or_the_users_own(with_pictures, cli):
    project, folder = with_pictures
    project.edit({"runs": {"other": {"dataset": "mine"}}})
    assert "run other needs the pictures" in cli.refused(project.root, "remove", "mine", "--pictures", "--yes")
    assert cli(project.root, "remove", "other", "--yes").status == 0
    own = project.path("data/images/mine/own")
    folder.rename(own)
    project.edit({"datasets": {"mine": {"path": "data/images/mine/own"}}})
    assert "move them elsewhere" in cli.refused(project.root, "remove", "mine", "--pictures", "--yes")
    own.rename(folder)
    assert cli(project.root, "remove", "mine", "--pictures", "--yes").out == "run mine is deleted\n"
    assert not project.path("data/images/mine").exists() and not project.run_path("", "mine").exists()
    assert len(list(folder.rglob("*.png"))) == 170


def test_the_default_data_set_keeps_its_entry(finished_copy, cli):
    assert cli(finished_copy.root, "remove", "demo", "--pictures", "--yes").status == 0
    assert not finished_copy.path("data/images/demo").exists()
    assert "demo" in content_of(finished_copy.root)["datasets"]


def test_pictures_that_a_run_is_measured_on_are_not_offered_and_stay(finished_copy, cli):
    finished_copy.edit({"runs": {"t": {"dataset": "demo-test"}}})
    finished_copy.run_path("evaluations/demo-linear").mkdir(parents=True)
    finished_copy.run_path("", "t").mkdir()
    finished_copy.path("data/images/demo-test").mkdir()
    assert cli(finished_copy.root, "remove", "t", "--yes").out == "run t is deleted\n"
    line = cli.refused(finished_copy.root, "remove", "demo-test", "--pictures", "--yes")
    assert line == "--pictures: run demo needs the pictures of demo-test too: leave it out"
    finished_copy.run_path("evaluations/demo-linear").rmdir()
    assert cli(finished_copy.root, "remove", "demo-test", "--pictures", "--yes").status == 0
    # `evaluations` of params.yaml names it still.
    assert "demo-test" in content_of(finished_copy.root)["datasets"]


@pytest.mark.parametrize("where", ["pipeline.remove.shutil.rmtree", "pipeline.settings.Settings.save"])
def test_after_a_stop_the_same_command_goes_on(with_pictures, cli, monkeypatch, where):
    project, _ = with_pictures
    words = ("remove", "mine", "--pictures", "--yes")

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(where, stopped)
        assert cli(project.root, *words).status == 130
    assert cli(project.root, *words).out == "run mine is deleted\n"
    assert not project.path("data/images/mine").exists() and "mine" not in content_of(project.root)["datasets"]


def test_a_run_without_pictures_has_none_to_delete(finished_copy, cli):
    finished_copy.edit({"runs": {"bare": {"dataset": None, "epochs": 0}}})
    finished_copy.run_path("", "bare").mkdir()
    line = cli.refused(finished_copy.root, "remove", "bare", "--pictures", "--yes")
    assert line == "--pictures: run bare has no packed pictures: leave it out"

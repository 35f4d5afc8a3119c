"""pipeline/remove.py: a run no longer wanted."""

from __future__ import annotations

import pytest
from pipeline_helpers import comparable, content_of, params_of
from projects import committed_params

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
    text = committed_params()
    finished_copy.path("params.yaml").write_text(text)
    branch(finished_copy.root, "demo@1", "b", [], None)
    remove(finished_copy.root, "b", yes=True)
    assert finished_copy.path("params.yaml").read_text() == text


def test_removing_a_run_that_others_share_an_anchor_with_leaves_them_whole(finished_copy):
    finished_copy.path("params.yaml").write_text(committed_params())
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

"""dvc.yaml and folders that something else damaged: named as what they are, and mended by the command that is told."""

from __future__ import annotations

import shutil

import pytest

from stages.artifacts.plans import planned_stages

WHERE = {
    "in mid-line": lambda text: text[: len(text) // 2],
    "within the last line": lambda text: text[:-3],
    "after the first stage": lambda text: text[: text.index(b"  whiten:")],
    "after a key": lambda text: text[: text.index(b"    deps:")],
    "no UTF-8": lambda text: text.replace(b"desc: ", b"desc: \xff\xfe"),
    "empty": lambda text: b"",
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("mend", ["plan", "run"])
def test_a_plan_that_is_cut_short_is_mended_and_nothing_is_made_again(cli, finished_copy, where, mend):
    path = finished_copy.run_path("epochs/0002/dvc.yaml")
    before, tree = path.read_bytes(), finished_copy.tree()
    path.write_bytes(WHERE[where](before))
    assert path.read_bytes() != before
    status = cli(finished_copy.root, "status")
    assert (status.status, status.err) == (0, "")
    ended = cli(finished_copy.root, mend)
    assert (ended.status, ended.err) == (0, "")
    assert "every" not in ended.out
    assert path.read_bytes() == before
    assert finished_copy.tree() == tree


TOUCHING = {
    "data/runs/demo/dvc.yaml": ["export"],
    "data/images/demo/dvc.yaml": ["pack"],
    "data/runs/demo/final/dvc.yaml": ["cluster", "--epoch", "final"],
}


@pytest.mark.parametrize("where", ["no UTF-8", "in mid-line"])
@pytest.mark.parametrize("name", TOUCHING)
def test_so_are_those_of_the_run_and_its_data_set_by_the_command_that_is_told(cli, finished_copy, name, where):
    path = finished_copy.path(name)
    before = set(planned_stages(path.parent))
    path.write_bytes(WHERE[where](path.read_bytes()))
    line = cli.refused(finished_copy.root, "rerun", *TOUCHING[name])
    assert name in line
    told = line.split("`")[1].removeprefix("python -m pipeline ")
    assert cli(finished_copy.root, *told.split()).status == 0
    assert set(planned_stages(path.parent)) == before
    assert "nothing to do" in cli(finished_copy.root, "run").out


def test_a_copied_folder_is_ignored_by_every_command(cli, finished_copy):
    shutil.copytree(finished_copy.run_path("epochs/0002"), finished_copy.run_path("epochs/0002.bak"))
    shutil.copytree(finished_copy.run_path("final"), finished_copy.run_path("final copy"))
    for words in (["status"], ["plan"], ["run"], ["show"], ["nmi"], ["runs"], ["verify"], ["prune", "--dry-run"]):
        ended = cli(finished_copy.root, *words)
        assert (ended.status, ended.err) == (0, ""), words
    assert "nothing to do" in cli(finished_copy.root, "run").out
    assert cli(finished_copy.root, "remove", "demo", "--yes").status == 0


def test_advice_about_a_missing_artifact_names_the_run_that_it_is_of(cli, finished_copy):
    assert cli(finished_copy.root, "branch", "--from", "demo@1", "--run", "mine").status == 0
    assert cli(finished_copy.root, "run", "--run", "mine").status == 0
    finished_copy.run_path("final/assignments.parquet", "mine").unlink()
    finished_copy.run_path("epochs/0002/clustering.json", "mine").unlink()
    for words in (["nmi"], ["show", "--epoch", "2"], ["rerun", "checkpoint", "--epoch", "2"], ["verify"]):
        ended = cli(finished_copy.root, *words, "--run", "mine")
        for advice in (ended.out + ended.err).split("`")[1::2]:
            assert "--run mine" in advice, (words, ended)


def test_missing_pictures_are_made_again_by_what_is_told(cli, finished_copy):
    finished_copy.path("data/images/demo/pack.json").unlink()
    line = cli.refused(finished_copy.root, "show")
    told = line.split("`")[1].removeprefix("python -m pipeline ")
    assert told == "rerun pack --dataset demo"
    assert cli(finished_copy.root, *told.split()).status == 0
    assert cli(finished_copy.root, "show").status == 0

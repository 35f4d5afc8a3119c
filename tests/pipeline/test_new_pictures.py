"""`run --images` on folders as people have them: damaged pictures, copies of one, two folders, the demo's name."""

from __future__ import annotations

import re

import pytest
from pipeline_helpers import content_of
from stage_helpers import folder_of_pictures, picture, save

from stages.sources import folders, listing


@pytest.fixture
def photos(tmp_path):
    return folder_of_pictures(tmp_path / "photos", 40, side=72)


def test_values_fit_the_pictures_that_can_be_read(cli, make_project, photos):
    """60 of 100 hold no picture: k, dimensions and batch are for 40, and the plan is made."""
    project = make_project(plan=False)
    for number in range(60):
        (photos / f"a/damaged {number}.jpg").write_bytes(b"damaged")
    ended = cli(project.root, "plan", "--run", "mine", "--images", photos, "--epochs", "1")
    assert (ended.status, ended.err) == (0, "")
    assert "run mine: about 40 of 100 pictures of" in ended.out
    run = content_of(project.root)["runs"]["mine"]
    # A quarter of 40, half of it, and a quarter.
    assert (run["cluster"]["k"], run["whiten"]["dim"], run["train"]["batch"]) == (10, 20, 10)


def test_a_macs_file_beside_each_picture_counts_for_nothing(cli, make_project, photos):
    project = make_project(plan=False)
    for path in list(photos.rglob("*.png")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    ended = cli(project.root, "plan", "--run", "mine", "--images", photos, "--epochs", "1")
    assert "run mine: 40 pictures of" in ended.out, ended


def test_pictures_with_a_good_header_and_nothing_behind_are_found_out_with_values_that_fit(cli, make_project, photos):
    project = make_project(plan=False)
    for path in sorted(photos.rglob("*.png"))[3:]:
        path.write_bytes(path.read_bytes()[:200])
    words = ["run", "--run", "mine", "--images", photos, "--epochs", "0"]
    line = cli.refused(project.root, *words)
    assert "cluster.k: 10 clusters and whiten.dim: 20 dimensions for 3 pictures" in line
    fitting = re.search(r"(--set cluster.k=\d+) (--set whiten.dim=\d+)$", line)
    assert fitting is not None
    ended = cli(project.root, *words, *fitting[0].split(), "--set", "model.width=0.0625")
    assert (ended.status, ended.err) == (0, ""), ended


def test_copies_of_one_picture_are_called_that(cli, make_project, tmp_path):
    project = make_project(plan=False)
    one = save(tmp_path / "photos/0.png", picture(72, 90)).read_bytes()
    for number in range(1, 40):
        (tmp_path / f"photos/{number}.png").write_bytes(one)
    line = cli.refused(project.root, "run", "--run", "mine", "--images", tmp_path / "photos")
    assert "the 40 pictures of" in line and "are all the same, byte for byte" in line


def test_two_folders_are_refused(cli, make_project, photos):
    project = make_project(plan=False)
    line = cli.refused(project.root, "run", "--run", "mine", "--images", photos / "a", "--images", photos / "b")
    assert "--images is given 2 times" in line and "a text file with a path a line" in line


def test_pictures_for_the_demo_are_refused_with_a_command_that_works(cli, make_project, photos):
    project = make_project(plan=False)
    line = cli.refused(project.root, "plan", "--run", "demo", "--images", photos)
    command = re.search(r"`python -m pipeline run (--run NAME --images .*)`", line)
    assert "the run demo draws its own pictures" in line and command is not None
    assert cli(project.root, "plan", *command[1].replace("NAME", "mine").split()).status == 0


def test_a_command_looks_through_the_folder_once(cli, make_project, photos, monkeypatch):
    project = make_project(plan=False)
    cli(project.root, "plan", "--run", "mine", "--images", photos, "--epochs", "1")
    looked = []
    list_folder = folders.list_folder
    monkeypatch.setattr(listing, "list_folder", lambda *words: looked.append(words) or list_folder(*words))
    for words in (["plan", "--run", "mine"], ["plan", "--run", "new", "--images", photos]):
        looked.clear()
        assert cli(project.root, *words).status == 0
        assert len(looked) == 1, words

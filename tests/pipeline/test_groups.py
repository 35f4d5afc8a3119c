"""pipeline/groups.py: the groups leave the program as a table, or as folders of links."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from pipeline_helpers import unlink

from pipeline import open_run
from pipeline.groups import file_names

N = 170


def test_a_csv_and_a_parquet_hold_the_groups(cli, finished, tmp_path):
    for name in ("g.csv", "g.parquet"):
        ended = cli(finished.root, "groups", "-o", tmp_path / name)
        assert (ended.status, ended.out) == (0, f"170 pictures in 10 clusters: {tmp_path / name}\n")
    expected = open_run("demo", finished.root).groups()
    parquet, csv = pd.read_parquet(tmp_path / "g.parquet"), pd.read_csv(tmp_path / "g.csv")
    for found in (csv, parquet):
        assert found["path"].tolist() == expected["path"].tolist()
        assert found[["image", "cluster"]].to_numpy().tolist() == expected[["image", "cluster"]].to_numpy().tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.csv", "g.parquet"]


def test_the_groups_of_an_epoch_are_its_own(cli, finished, tmp_path):
    assert cli(finished.root, "groups", "--epoch", "1", "-o", tmp_path / "g.csv").status == 0
    found = pd.read_csv(tmp_path / "g.csv").sort_values("image")["cluster"].tolist()
    assert found == open_run("demo", finished.root).assignments(1)["cluster"].tolist()


def test_a_run_that_goes_on_gives_the_groups_of_its_last_whole_epoch(cli, finished_copy, tmp_path):
    unlink(finished_copy.run_path("final"))
    ended = cli(finished_copy.root, "groups", "-o", tmp_path / "g.csv")
    assert ended.status == 0 and "this is epoch 2" in ended.err
    found = pd.read_csv(tmp_path / "g.csv").sort_values("image")["cluster"].tolist()
    assert found == open_run("demo", finished_copy.root).assignments(2)["cluster"].tolist()


def test_names_that_are_not_utf8_lead_back_to_their_files(cli, finished_copy, tmp_path):
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest)
    frame.loc[0, "path"] = b"caf\xe9.jpg"
    frame.to_parquet(manifest)
    for name in ("g.csv", "g.parquet"):
        assert cli(finished_copy.root, "groups", "-o", tmp_path / name).status == 0
    ending = b"/data/images/demo/pictures/caf\xe9.jpg"
    assert ending in (tmp_path / "g.csv").read_bytes()
    assert sum(path.endswith(ending) for path in pd.read_parquet(tmp_path / "g.parquet")["path"]) == 1


@pytest.mark.parametrize("copy", [False, True])
def test_a_folder_a_cluster_holds_links_to_its_pictures_or_copies(cli, finished, tmp_path, copy):
    folder = tmp_path / "groups"
    assert cli(finished.root, "groups", "--link", folder, *(["--copy"] if copy else [])).status == 0
    groups = open_run("demo", finished.root).groups()
    made = sorted(path for path in folder.rglob("*") if not path.is_dir())
    assert len(made) == N
    for cluster, members in groups.groupby("cluster"):
        inside = list((folder / str(cluster)).iterdir())
        assert all(path.is_symlink() != copy for path in inside)
        if not copy:
            assert sorted(os.readlink(path) for path in inside) == sorted(members["path"])
        originals = sorted(Path(path).read_bytes() for path in members["path"])
        assert sorted(path.read_bytes() for path in inside) == originals
    assert [path.name for path in tmp_path.iterdir()] == ["groups"]


def test_a_folder_that_is_there_is_not_touched(cli, finished, tmp_path):
    folder = tmp_path / "groups"
    folder.mkdir()
    (folder / "mine.txt").write_text("kept")
    assert "is there already" in cli.refused(finished.root, "groups", "--link", folder)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert "is there already" in cli.refused(finished.root, "groups", "--link", folder / "mine.txt")
    (folder / "mine.txt").unlink()
    assert cli(finished.root, "groups", "--link", folder).status == 0, "an empty folder holds nothing to lose"


def test_pictures_that_are_gone_are_told_and_the_rest_linked(cli, finished_copy, tmp_path):
    pictures = sorted(finished_copy.path("data/images/demo/pictures").rglob("*.png"))
    unlink(*pictures[:3])
    ended = cli(finished_copy.root, "groups", "--link", tmp_path / "groups")
    assert ended.status == 0 and "left out, since gone: 3 pictures, such as" in ended.out
    assert len([path for path in (tmp_path / "groups").rglob("*") if path.is_symlink()]) == N - 3
    unlink(*pictures[3:])
    told = cli.refused(finished_copy.root, "groups", "--link", tmp_path / "none")
    assert "are gone" in told and not (tmp_path / "none").exists()
    words = told.partition("`python -m pipeline ")[2].partition("`")[0].split()
    assert cli(finished_copy.root, *words[:-1], tmp_path / "sheet.png").status == 0, "what is advised works"


def test_names_that_collide_are_kept_apart_also_where_capitals_are_none():
    paths = ["/a/x.png", "/b/x.png", "/c/X.PNG", "/d/y.png", "/e/x-1.png", "/f/no ending"]
    names = list(file_names(pd.DataFrame({"path": paths, "image": range(6)})))
    assert len({name.casefold() for name in names}) == 6
    assert names[3:] == ["y.png", "x-1.png", "no ending"]
    assert [os.path.splitext(name)[1] for name in names[:3]] == [".png", ".png", ".PNG"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "-o groups.csv, or --link FOLDER"),
        (["--copy", "-o", "x.csv"], "--copy goes with --link"),
        (["-o", "x.xlsx"], ".csv, .parquet or .pq"),
        (["-o", "absent/x.csv"], "absent"),
        (["--link", "absent/groups"], "absent"),
        (["--epoch", "9", "-o", "x.csv"], "epochs with a clustering: 1, 2, final"),
    ],
)
def test_what_cannot_be_done_is_refused(cli, finished, words, told):
    assert told in cli.refused(finished.root, "groups", *words)
    assert not finished.path("x.csv").exists()

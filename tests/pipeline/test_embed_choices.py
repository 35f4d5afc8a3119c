"""`embed` by what is given: one picture, an epoch, a run that goes on, and the ending of the output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pipeline_helpers import unlink

from pipeline import open_run
from pipeline.embed import _listing
from stages.sources import entries


@pytest.fixture
def picture(finished) -> Path:
    return sorted(finished.path("data/images/demo/pictures").rglob("*.png"))[5]


@pytest.fixture
def going_on(finished_copy):
    """As it is after Ctrl-C in epoch 3 of more: epoch 2 is whole, and there is no final/."""
    unlink(finished_copy.run_path("final"), finished_copy.run_path("history.csv"))
    return finished_copy


def test_one_picture_is_one_row(cli, finished, picture, tmp_path):
    ended = cli(finished.root, "embed", picture, "-o", tmp_path / "one.parquet")
    assert (ended.status, ended.err) == (0, "") and "1 picture in" in ended.out
    table = pd.read_parquet(tmp_path / "one.parquet")
    assert table["path"].tolist() == [picture.name]
    assert table["cluster"].tolist() == open_run("demo", finished.root).assignments("final")["cluster"][5:6].tolist()


def test_a_csv_has_a_column_a_number_and_the_values_of_the_parquet(cli, finished, tmp_path):
    pictures = finished.path("data/images/demo/pictures")
    for name in ("x.csv", "x.pq"):
        assert cli(finished.root, "embed", pictures, "-o", tmp_path / name).status == 0
    csv, parquet = pd.read_csv(tmp_path / "x.csv"), pd.read_parquet(tmp_path / "x.pq")
    assert csv.columns.tolist() == ["path", "cluster", "distance", *(f"embedding_{i}" for i in range(32))]
    assert csv["path"].tolist() == parquet["path"].tolist()
    assert csv["cluster"].tolist() == parquet["cluster"].tolist()
    assert np.array_equal(csv.iloc[:, 3:].to_numpy(np.float32), np.stack(parquet["embedding"]))


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.csv.gz"])
def test_an_ending_that_is_not_known_is_refused_before_any_work(cli, finished, picture, tmp_path, name):
    told = cli.refused(finished.root, "embed", picture, "-o", tmp_path / name)
    assert name in told and ".csv, .parquet or .pq" in told
    assert not list(tmp_path.glob("x*"))


def test_names_that_are_not_utf8_keep_their_bytes_in_a_csv(cli, finished, picture, tmp_path):
    with open(bytes(tmp_path) + b"/caf\xe9.png", "wb") as file:
        file.write(picture.read_bytes())
    assert cli(finished.root, "embed", tmp_path, "-o", tmp_path / "x.csv").status == 0
    assert (tmp_path / "x.csv").read_bytes().splitlines()[1].startswith(b"caf\xe9.png,")


def test_an_epoch_gives_its_own_clusters_again(cli, finished, tmp_path):
    out = tmp_path / "x.parquet"
    assert (
        cli(finished.root, "embed", finished.path("data/images/demo/pictures"), "--epoch", "2", "-o", out).status == 0
    )
    table, run = pd.read_parquet(out), open_run("demo", finished.root)
    assert table["cluster"].tolist() == run.assignments(2)["cluster"].tolist()
    assert np.array_equal(np.stack(table["embedding"]), run.whitened(2).read())


def test_a_run_that_goes_on_embeds_by_its_last_whole_epoch_and_says_so(cli, going_on, picture, tmp_path):
    ended = cli(going_on.root, "embed", picture, "-o", tmp_path / "x.parquet")
    assert ended.status == 0 and "run demo is not finished: by epoch 2, its last whole one" in ended.out
    found = pd.read_parquet(tmp_path / "x.parquet")["cluster"][0]
    assert found == open_run("demo", going_on.root).assignments(2)["cluster"][5]


def test_a_run_without_a_whole_epoch_says_what_goes_on_with_it(cli, going_on, picture, tmp_path):
    for epoch in ("0001", "0002"):
        unlink(going_on.run_path(f"epochs/{epoch}/metrics.json"))
    told = cli.refused(going_on.root, "embed", picture, "-o", tmp_path / "x.csv")
    assert "no whole epoch yet: `python -m pipeline run --run demo`" in told


def test_an_epoch_whose_network_is_pruned_is_refused_with_those_that_have_theirs(cli, finished_copy, picture, tmp_path):
    assert cli(finished_copy.root, "prune", "--set", "retain.last=1").status == 0
    # The next epoch was made from it: pruning keeps it, a fresh clone has it not.
    unlink(finished_copy.run_path("epochs/0001/checkpoint.pt"))
    told = cli.refused(finished_copy.root, "embed", picture, "--epoch", "2", "-o", tmp_path / "x.csv")
    assert "epochs/0001/checkpoint.pt, whose network gave epoch 2 its clusters, is pruned" in told
    usable = told.partition("epochs that have theirs: ")[2].partition(" (")[0].split(", ")
    assert usable == ["1", "final"]
    assert cli(finished_copy.root, "embed", picture, "--epoch", usable[0], "-o", tmp_path / "x.csv").status == 0


@pytest.mark.parametrize("epoch", ["0", "9", "last"])
def test_an_epoch_that_is_not_there_is_refused(cli, finished, picture, tmp_path, epoch):
    assert epoch in cli.refused(finished.root, "embed", picture, "--epoch", epoch, "-o", tmp_path / "x.csv")


def test_one_picture_may_be_of_any_format_that_a_folder_may_hold(monkeypatch, tmp_path):
    (tmp_path / "x.HEIC").touch()
    monkeypatch.setattr(entries, "reads_heif", lambda: True)
    assert [entry.name for entry in _listing(tmp_path / "x.HEIC").entries] == [b"x.HEIC"]

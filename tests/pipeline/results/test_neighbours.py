"""pipeline/results/neighbours.py: what is close in whitened space, against distances written out; exact copies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from results_helpers import N, types

from pipeline import open_run
from stages.errors import Refusal
from stages.method.neighbours import nearest_pairs


def squared(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return ((rows[:, None] - rows[None]) ** 2).sum(-1)


@pytest.mark.parametrize("epoch", [1, "final"])
def test_neighbours_are_the_closest_others(run, epoch):
    found = run.neighbours(17, 6, epoch)
    assert types(found)["image"] == "int64" and types(found)["distance"] == "float32"
    assert list(found.columns) == ["image", "path", "cluster", "distance"]
    distances = squared(run.whitened(epoch).read())[17]
    distances[17] = np.inf
    assert found["distance"].to_numpy() == pytest.approx(np.sort(distances)[:6], abs=1e-5)
    assert distances[found["image"]] == pytest.approx(found["distance"].to_numpy(), abs=1e-5)
    assert found["cluster"].tolist() == run.assignments(epoch)["cluster"][found["image"]].tolist()
    assert found["path"].tolist() == run.images()["path"][found["image"]].tolist()


def test_all_others_are_neighbours_where_more_are_asked_for(run):
    assert sorted(run.neighbours(3, 1000)["image"]) == [image for image in range(N) if image != 3]


def test_an_image_that_is_not_there_is_refused(run):
    with pytest.raises(Refusal, match=f"has images 0 to {N - 1}"):
        run.neighbours(N)


def test_the_nearest_pairs_are_those_of_all_pairs(run):
    found = run.nearest_pairs(30)
    a, b = np.triu_indices(N, 1)
    expected = np.sort(squared(run.whitened("final").read())[a, b])[:30]
    assert found["distance"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert (found["image_a"] < found["image_b"]).all() and not found.duplicated(["image_a", "image_b"]).any()
    assert found["path_b"].tolist() == run.images()["path"][found["image_b"]].tolist()


@pytest.mark.parametrize("count", [1, 40, 190, 1000])
def test_a_row_with_many_close_neighbours_hides_no_pair(count):
    """Twenty rows about one point: all their pairs are closer than any other."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1e-2, (20, 4)), rng.normal(0, 10, (30, 4))]).astype(np.float32)
    a, b, distance = nearest_pairs(rows, count)
    i, j = np.triu_indices(50, 1)
    expected = np.sort(squared(rows)[i, j])[:count]
    assert len(distance) == min(count, 50 * 49 // 2)
    assert distance == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert count < 190 or {(0, 19), (3, 7)} <= set(zip(a.tolist(), b.tolist(), strict=True))


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_have_no_pairs(rows):
    assert len(nearest_pairs(np.zeros((rows, 4), np.float32), 5)[0]) == 0


def test_duplicates_are_exact_copies_together(finished_copy):
    run = open_run("demo", finished_copy.root)
    assert run.duplicates().empty
    manifest = finished_copy.path("data/images/demo/manifest.parquet")
    frame = pd.read_parquet(manifest)
    frame.loc[[40, 90], "sha256"] = frame["sha256"][5]
    frame.loc[60, "sha256"] = frame["sha256"][7]
    frame.to_parquet(manifest)
    found = run.duplicates()
    assert types(found) | {"path": "object"} == {"image": "int64", "path": "object", "group": "int64"}
    assert (found["image"].tolist(), found["group"].tolist()) == ([5, 40, 90, 7, 60], [0, 0, 0, 1, 1])
    assert found["path"].tolist() == run.images()["path"][[5, 40, 90, 7, 60]].tolist()

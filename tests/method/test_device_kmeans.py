"""stages/method/device_kmeans.py: on the CPU, against a float64 search and k-means by faiss."""

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.method import device_kmeans
from stages.method.device_kmeans import DeviceRows, assign_on, search
from stages.method.kmeans import assign, kmeans


def unit_rows(n, d, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(1, 400), st.integers(1, 40), st.integers(1, 20), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_assignment_is_that_of_the_cpu(n, k, d, seed):
    rows, centroids = unit_rows(n, d, seed), unit_rows(k, d, seed + 100)
    nearest, distance = assign_on(rows, centroids, "cpu")
    expected, exact = assign(rows, centroids)
    assert (nearest.dtype, distance.dtype) == (np.int64, np.float64)
    np.testing.assert_allclose(distance, exact, rtol=1e-9, atol=1e-15)
    if d > 1:
        np.testing.assert_array_equal(nearest, expected)


def test_close_centroids_are_told_apart():
    """As float32 cannot, by norms and products."""
    rng = np.random.default_rng(0)
    near = unit_rows(1, 64)[0] + rng.standard_normal((2000, 64)) * 1e-5
    rows = near.astype(np.float32)
    nearest, _ = assign_on(rows, rows[:50], "cpu")
    np.testing.assert_array_equal(nearest, assign(rows, rows[:50])[0])
    assert len(set(nearest)) == 50


@pytest.mark.parametrize("block", [1, 700, 2**25])
def test_blocks_change_nothing(monkeypatch, block):
    rows = unit_rows(500, 8)
    whole = search(rows, 7, iterations=5, seed=1, device="cpu", spherical=False)
    monkeypatch.setattr(device_kmeans, "BLOCK", block)
    parts = search(rows, 7, iterations=5, seed=1, device="cpu", spherical=False)
    np.testing.assert_allclose(parts[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-5)
    np.testing.assert_array_equal(assign_on(rows, rows[:9], "cpu")[0], assign(rows, rows[:9])[0])


@pytest.mark.parametrize("spherical", [False, True])
def test_it_finds_clusters_as_good_as_those_of_faiss(spherical):
    rows = unit_rows(3000, 16)
    ends = []
    for seed in range(5):
        centroids, means, splits = search(rows, 40, iterations=20, seed=seed, device="cpu", spherical=spherical)
        assert (centroids.shape, centroids.dtype, len(means), len(splits)) == ((40, 16), np.float32, 20, 20)
        assert means == sorted(means, reverse=True) or any(splits)
        if spherical:
            np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)
        ends.append(assign(rows, centroids)[1].mean())
    theirs = []
    for seed in range(5):
        found = faiss.Kmeans(16, 40, niter=20, seed=seed, spherical=spherical, max_points_per_centroid=10_000)
        found.train(rows)
        theirs.append(assign(rows, found.centroids)[1].mean())
    assert np.mean(ends) == pytest.approx(np.mean(theirs), rel=0.01)


def test_an_objective_is_the_mean_squared_distance_before_each_update():
    rows = unit_rows(400, 8)
    _, means, _ = search(rows, 5, iterations=1, seed=3, device="cpu", spherical=False)
    first = rows[np.random.RandomState(3).choice(400, size=5, replace=False)]
    assert means == [pytest.approx(assign(rows, first)[1].mean(), rel=1e-5)]


def test_a_step_is_the_means_of_the_rows_that_are_nearest():
    rows, centroids = unit_rows(300, 8), unit_rows(6, 8, seed=5)
    nearest, distance, sums = DeviceRows(torch.from_numpy(rows), torch.device("cpu"), False).assign_to(
        torch.from_numpy(centroids)
    )
    expected, exact = assign(rows, centroids)
    np.testing.assert_array_equal(nearest, expected)
    np.testing.assert_allclose(distance.numpy(), exact, atol=1e-5)
    np.testing.assert_allclose(sums.numpy(), [rows[expected == c].sum(0) for c in range(6)], atol=1e-5)


def test_what_is_empty_is_filled_by_splits():
    rows = np.concatenate([unit_rows(100, 16), np.repeat(unit_rows(1, 16), 600, axis=0)])
    _, _, splits = search(rows, 12, iterations=10, seed=0, device="cpu", spherical=False)
    assert sum(splits) > 0


def test_the_same_seed_gives_the_same_bits_and_nothing_is_printed(capsys):
    rows = unit_rows(500, 16)
    first, again = (search(rows, 20, iterations=8, seed=4, device="cpu", spherical=False) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    other = search(rows, 20, iterations=8, seed=5, device="cpu", spherical=False)
    assert not np.array_equal(first[0], other[0])
    assert capsys.readouterr() == ("", "")
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.gpu
@pytest.mark.parametrize("spherical", [False, True])
def test_on_a_gpu_it_is_as_good_and_the_same_again(spherical, monkeypatch):
    rows = unit_rows(20_000, 64)

    def on(device):
        return kmeans(
            rows, 100, iterations=20, seed=1, rng=np.random.default_rng(1), device=device, spherical=spherical
        )

    found, theirs = on("cuda"), on("cpu")
    assert found.objective[-1] == pytest.approx(theirs.objective[-1], rel=0.01)
    nearest, distance = assign(rows, found.centroids)
    np.testing.assert_array_equal(found.assignment, nearest)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(on("cuda").centroids, found.centroids)
    # Rows that do not fit stay where they are, and come in blocks.
    monkeypatch.setattr(device_kmeans, "_placed", lambda rows, device: rows)
    np.testing.assert_array_equal(on("cuda").centroids, found.centroids)

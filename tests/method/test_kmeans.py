"""stages/method/kmeans.py: against faiss called directly and a float64 search; the repair of empty clusters."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.method.kmeans import assign, kmeans, of_groups
from stages.method.measures import cluster_sizes
from stages.method.sampling import dense_labels


def unit_rows(n, d, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def run(rows, k, iterations=20, seed=3):
    return kmeans(rows, k, iterations=iterations, seed=seed, rng=np.random.default_rng(seed))


def squared_distances(rows, centroids):
    """(N, k) in float64, of differences, so that nothing cancels."""
    return np.stack([((rows.astype(np.float64) - c) ** 2).sum(1) for c in centroids.astype(np.float64)], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_the_objective_does_not_rise_in_iterations_without_a_split(seed):
    found = run(unit_rows(800, 16, seed), 30, seed=seed)
    assert len(found.objective) == len(found.splits) + 1 > 5
    compared = 0
    for i, splits in enumerate(found.splits):
        if splits == 0:
            assert found.objective[i + 1] <= found.objective[i] * (1 + 1e-6)
            compared += 1
    assert compared > 3
    assert found.objective[-1] < found.objective[0] * 0.95


def test_kmeans_is_that_of_faiss_called_directly_with_the_same_seed():
    rows = unit_rows(700, 16)
    found = run(rows, 25, iterations=12, seed=7)
    search = faiss.Kmeans(16, 25, niter=12, seed=7, max_points_per_centroid=10_000_000, min_points_per_centroid=1)
    search.train(rows)
    np.testing.assert_array_equal(found.centroids, search.centroids)
    _, nearest = search.index.search(rows, 1)
    np.testing.assert_array_equal(found.assignment, nearest[:, 0])
    np.testing.assert_allclose(found.objective[:-1], search.obj / len(rows), rtol=1e-5)
    assert found.splits == [int(step["nsplit"]) for step in search.iteration_stats]
    assert found.repaired == 0


def test_all_points_are_used_however_many_there_are_to_a_centroid():
    """faiss by itself would take 256 points a centroid, and the reference lifts that."""
    rows = unit_rows(2000, 8)
    found = run(rows, 2)
    for c in range(2):
        np.testing.assert_allclose(found.centroids[c], rows[found.assignment == c].mean(0), atol=2e-2)
    sampled = faiss.Kmeans(8, 2, niter=20, seed=3)
    sampled.train(rows)
    assert not np.array_equal(found.centroids, sampled.centroids)


def test_another_seed_gives_another_clustering():
    rows = unit_rows(300, 8)
    assert not np.array_equal(run(rows, 10, seed=1).centroids, run(rows, 10, seed=2).centroids)
    np.testing.assert_array_equal(run(rows, 10, seed=1).centroids, run(rows, 10, seed=1).centroids)


def test_the_last_assignment_is_to_the_nearest_stored_centroid():
    rows = unit_rows(2100, 16)  # more than two blocks of distances
    found = run(rows, 40)
    distances = squared_distances(rows, found.centroids)
    np.testing.assert_array_equal(found.assignment, distances.argmin(1))
    np.testing.assert_allclose(found.distance, distances.min(1), rtol=1e-9)
    assert found.objective[-1] == pytest.approx(distances.min(1).mean())


@pytest.mark.parametrize("rows_at_once", [5000, 100, 1])
def test_close_vectors_are_assigned_as_in_float64_all_at_once_and_one_by_one(rows_at_once):
    """The features of a collapsing network: float32 norms and products cannot tell such centroids apart."""
    rng = np.random.default_rng(0)
    near = unit_rows(1, 64)[0] + rng.standard_normal((5000, 64)) * (1e-4 / 2 / np.sqrt(64))
    rows = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    centroids = run(rows, 50).centroids
    assignment = np.concatenate(
        [assign(rows[i : i + rows_at_once], centroids)[0] for i in range(0, 5000, rows_at_once)]
    )
    distances = squared_distances(rows, centroids)
    chosen = distances[np.arange(5000), assignment]
    assert (np.sqrt(chosen) - np.sqrt(distances.min(1))).max() <= 1e-6
    assert len(set(assignment)) == 50
    # The squares themselves are near 1e-9: a bound of 1e-6 on them would allow anything.
    assert (chosen <= distances.min(1) * (1 + 1e-6) + 1e-18).all()


def test_new_vectors_are_assigned_as_in_float64_too():
    rows = unit_rows(500, 32)
    centroids = run(rows, 20).centroids
    new = rows[0] + np.float32(1e-5) * unit_rows(200, 32, seed=9)
    assignment, distance = assign(new, centroids)
    distances = squared_distances(new, centroids)
    np.testing.assert_array_equal(assignment, distances.argmin(1))
    np.testing.assert_allclose(distance, distances.min(1), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_copies_of_one_point_and_one_other_are_two_clusters(seed):
    rows = np.repeat(unit_rows(2, 16), [248, 1], axis=0)
    found = run(rows, 2, seed=seed)
    assert found.assignment[-1] != found.assignment[0]
    assert (found.assignment[:-1] == found.assignment[0]).all()
    # faiss adds 248 copies up in float32: the mean is off by some 1e-6 of its length.
    assert found.objective[-1] == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_fewer_distinct_points_than_clusters_leave_the_rest_empty(seed):
    points = unit_rows(50, 32)
    found = run(np.tile(points, (20, 1)), 100, seed=seed)
    sizes = cluster_sizes(found.assignment, 100)
    assert (sizes["clusters"], sizes["used"], sizes["empty"]) == (100, 50, 50)
    # Copies stay together, and no cluster holds two different points.
    np.testing.assert_array_equal(found.assignment, np.tile(found.assignment[:50], 20))
    assert len(set(found.assignment[:50])) == 50
    assert set(dense_labels(np.bincount(found.assignment))[found.assignment]) == set(range(50))
    # faiss moves the centroid of a split cluster by 1/1024 of its length, and stops there.
    assert found.distance.max() <= 1.001 / 1024**2


def test_copies_of_a_single_point_are_not_split():
    found = run(np.ones((20, 4), np.float32), 3)
    assert len(set(found.assignment)) == 1
    assert found.repaired == 0
    assert found.objective[-1] == pytest.approx(0, abs=1e-10)


def test_as_many_clusters_as_points_give_each_its_own():
    rows = unit_rows(60, 8)
    found = run(rows, 60)
    assert sorted(found.assignment) == list(range(60))
    np.testing.assert_array_equal(found.distance, 0)
    assert found.objective[-1] == 0


def test_one_cluster_is_the_mean():
    rows = unit_rows(100, 8)
    found = run(rows, 1)
    assert (found.assignment == 0).all()
    np.testing.assert_allclose(found.centroids[0], rows.mean(0, dtype=np.float64), atol=1e-6)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 2), min_size=2, max_size=25), st.data())
def test_as_many_clusters_are_used_as_there_are_distinct_points(points, data):
    """Few places on a grid, so that copies and empty clusters are the rule."""
    rows = np.array(points, np.float32)
    k = data.draw(st.integers(1, len(rows)))
    found = run(rows, k, seed=data.draw(st.integers(0, 9)))
    assert len(np.unique(found.assignment)) == min(k, len(set(points)))
    distances = squared_distances(rows, found.centroids)
    np.testing.assert_allclose(found.distance, distances.min(1), atol=1e-9)
    np.testing.assert_allclose(distances[np.arange(len(rows)), found.assignment], distances.min(1), atol=1e-9)


def test_repaired_clusters_are_counted_and_lower_the_objective():
    rows = np.repeat(unit_rows(6, 8), [500, 1, 1, 1, 1, 1], axis=0)
    found = run(rows, 6)
    direct = faiss.Kmeans(8, 6, niter=20, seed=3, max_points_per_centroid=10_000_000, min_points_per_centroid=1)
    direct.train(rows)
    distances = squared_distances(rows, direct.centroids)
    empty = 6 - len(np.unique(distances.argmin(1)))
    assert empty > 0, "faiss leaves none empty here: the test needs other rows"
    assert found.repaired >= empty
    assert found.objective[-1] < distances.min(1).mean()


def test_given_groups_have_the_means_of_their_members_as_centroids():
    rows = np.array([[0, 0], [2, 0], [10, 10], [10, 14], [7, 7]], np.float32)
    found = of_groups(rows, np.array([0, 0, 2, 2, 1]))
    np.testing.assert_array_equal(found.centroids, [[1, 0], [7, 7], [10, 12]])
    np.testing.assert_array_equal(found.distance, [1, 1, 4, 4, 0])
    np.testing.assert_array_equal(found.assignment, [0, 0, 2, 2, 1])
    assert found.objective == [2.0]
    assert found.splits == [] and found.repaired == 0


def test_spherical_kmeans_is_that_of_faiss_and_goes_by_the_cosine():
    rows = unit_rows(700, 16)
    found = kmeans(rows, 25, iterations=12, seed=7, rng=np.random.default_rng(7), spherical=True)
    search = faiss.Kmeans(
        16, 25, niter=12, seed=7, spherical=True, max_points_per_centroid=10_000_000, min_points_per_centroid=1
    )
    search.train(rows)
    np.testing.assert_array_equal(found.centroids, search.centroids)
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(found.assignment, (rows @ found.centroids.T).argmax(1))
    assert not np.array_equal(found.centroids, run(rows, 25, iterations=12, seed=7).centroids)


def test_the_objective_of_spherical_kmeans_is_the_mean_squared_distance_too():
    rows = unit_rows(400, 8)
    found = kmeans(rows, 10, iterations=30, seed=1, rng=np.random.default_rng(1), spherical=True)
    assert found.objective[-1] == found.distance.mean()
    assert found.objective[-1] <= found.objective[-2] * (1 + 1e-6) < found.objective[0]


def test_empty_spherical_clusters_are_filled_by_centroids_of_unit_length():
    rows = np.concatenate([np.tile(unit_rows(1, 8), (40, 1)), unit_rows(12, 8, 1)])
    found = kmeans(rows, 13, iterations=5, seed=0, rng=np.random.default_rng(0), spherical=True)
    assert len(np.unique(found.assignment)) == 13
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, rtol=1e-5)

"""stages/method/pic.py: Power Iteration Clustering against a plain version with dense matrices and loops."""

import numpy as np
import pytest

from stages.method.neighbours import nearest_others
from stages.method.pic import affinity, basins, join_singletons, power_iteration_clustering, power_iterations

SETTINGS = {"neighbours": 5, "sigma": 0.2, "alpha": 0.001, "iterations": 200}


def unit_rows(n, d=4, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def squared_distances(rows):
    wide = rows.astype(np.float64)
    return ((wide[:, None] - wide[None]) ** 2).sum(2)


def neighbours(rows, count):
    """Of each row the nearest others, by sorting all distances."""
    distances = squared_distances(rows)
    np.fill_diagonal(distances, np.inf)
    return distances.argsort(1, kind="stable")[:, :count]


def plain(rows, near, sigma, alpha, iterations, singletons=True):
    n = len(rows)
    distances = squared_distances(rows)
    weights = np.zeros((n, n))
    for i in range(n):
        for j in near[i]:
            weights[i, j] = np.exp(-distances[i, j] / sigma**2)
    weights = weights + weights.T
    v = np.full(n, 1 / n)
    for _ in range(iterations):
        v = alpha * weights.T.dot(v) + (1 - alpha) / n
        v = v / v.sum()
    target = list(range(n))
    for i in range(n):
        best = 0.0
        for j in range(n):
            gain = weights[i, j] * (v[j] - v[i])
            if gain > best:
                best, target[i] = gain, j
    cluster = []
    for i in range(n):
        node = i
        while target[node] != node:
            node = target[node]
        cluster.append(node)
    if not singletons:
        return cluster
    joined = list(cluster)
    for i in range(n):
        if cluster.count(cluster[i]) == 1:
            for j in near[i]:
                if cluster.count(cluster[j]) > 1:
                    joined[i] = cluster[j]
                    break
    return joined


def same_partition(a, b):
    pairs = set(zip(list(a), list(b), strict=True))
    return len(pairs) == len(set(a)) == len(set(b))


# Five neighbours of points in few dimensions are the paper's setting; fewer leave points alone.
GRAPHS = [(4, 5), (16, 5), (16, 2), (4, 1)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("d", "count"), GRAPHS)
def test_pic_equals_a_plain_version_on_sixty_points(d, count, seed):
    rows = unit_rows(60, d, seed)
    expected = plain(rows, neighbours(rows, count), 0.2, 0.001, 200)
    found = power_iteration_clustering(rows, **(SETTINGS | {"neighbours": count}))
    assert same_partition(found, expected)
    assert len(set(expected)) > 3


@pytest.mark.parametrize(("d", "count"), [(16, 2), (4, 1)])
def test_the_plain_version_has_singletons_to_join(d, count):
    """Or the comparison above would say nothing about them."""
    alone = 0
    for seed in range(3):
        rows = unit_rows(60, d, seed)
        before = plain(rows, neighbours(rows, count), 0.2, 0.001, 200, singletons=False)
        alone += sum(before.count(cluster) == 1 for cluster in before)
    assert alone > 0


def test_other_settings_equal_the_plain_version_too():
    rows = unit_rows(60, seed=11)
    expected = plain(rows, neighbours(rows, 3), 0.7, 0.3, 40)
    found = power_iteration_clustering(rows, neighbours=3, sigma=0.7, alpha=0.3, iterations=40)
    assert same_partition(found, expected)


def test_clusters_are_dense():
    found = power_iteration_clustering(unit_rows(60), **SETTINGS)
    assert np.unique(found).tolist() == list(range(found.max() + 1))


def test_far_groups_are_never_mixed():
    centres = np.eye(4, dtype=np.float32)
    rows = np.repeat(centres, 15, axis=0) + unit_rows(60, seed=1) * np.float32(0.05)
    found = power_iteration_clustering(rows, **SETTINGS)
    group = np.repeat(np.arange(4), 15)
    for cluster in np.unique(found):
        assert len(set(group[found == cluster])) == 1


def test_the_graph_holds_the_kernel_of_squared_distances_both_ways():
    index = np.array([[1], [2], [1]])
    distance = np.array([[0.04], [0.02], [0.02]], np.float32)
    graph = affinity(index, distance, 0.2).toarray()
    one, half = np.exp(-1), np.exp(-0.5)
    # 1 and 2 are each other's neighbours: their edge counts twice.
    np.testing.assert_allclose(graph, [[0, one, 0], [one, 0, 2 * half], [0, 2 * half, 0]], rtol=1e-6)


def test_power_iterations_equal_the_dense_recursion():
    rows = unit_rows(60)
    index, distance = nearest_others(rows, 5)
    graph = affinity(index, distance, 0.2)
    v = np.full(60, 1 / 60)
    for _ in range(7):
        v = 0.2 * graph.toarray().T @ v + 0.8 / 60
        v /= v.sum()
    np.testing.assert_allclose(power_iterations(graph, 0.2, 7), v, rtol=1e-12)


def test_a_node_climbs_to_the_local_maximum_by_its_steepest_edge():
    from scipy import sparse

    # 0 - 1 - 2 - 3 with 0 and 3 higher: 1 is pulled more strongly by the heavier edge to 2 than by 0.
    weights = np.array([[0, 1, 0, 0], [1, 0, 9, 0], [0, 9, 0, 2], [0, 0, 2, 0]], float)
    found = basins(sparse.csr_matrix(weights), np.array([0.3, 0.2, 0.25, 0.9]))
    # Gains of node 1: 1 * .1 to node 0, 9 * .05 to node 2; node 2 goes on to 3.
    assert found.tolist() == [0, 1, 1, 1]


def test_singletons_join_their_first_neighbour_that_is_not_one():
    cluster = np.array([0, 0, 1, 1, 2, 3, 4])
    index = np.array([[1, 2], [0, 2], [3, 0], [2, 0], [5, 2], [4, 6], [0, 2]])
    # 4: its first neighbour 5 is alone too, the second is of cluster 1; 5 has lonely neighbours only; 6 joins 0.
    assert same_partition(join_singletons(cluster, index), ["a", "a", "b", "b", "b", "c", "a"])


def test_nothing_moves_when_no_cluster_is_single():
    cluster = np.array([0, 0, 1, 1])
    assert join_singletons(cluster, np.array([[2], [2], [0], [0]])).tolist() == [0, 0, 1, 1]


def test_repeated_rows_end_in_dense_clusters_of_copies():
    """With copies a row need not be found as its own first neighbour."""
    rows = np.repeat(unit_rows(12), 8, axis=0)
    found = power_iteration_clustering(rows, **SETTINGS)
    assert np.unique(found).tolist() == list(range(found.max() + 1))
    # Eight copies have seven others of distance zero: no neighbour is another point.
    for cluster in np.unique(found):
        assert len(np.unique(rows[found == cluster], axis=0)) == 1


def test_all_rows_equal_end():
    found = power_iteration_clustering(np.ones((20, 4), np.float32), **SETTINGS)
    assert np.unique(found).tolist() == list(range(found.max() + 1))


def test_neighbours_are_the_nearest_others_in_order():
    rows = unit_rows(200, 8)
    index, distance = nearest_others(rows, 6)
    expected = neighbours(rows, 6)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(distance, np.take_along_axis(squared_distances(rows), expected, 1), atol=1e-5)


@pytest.mark.parametrize("copies", [2, 7, 30])
def test_a_row_is_never_its_own_neighbour_even_among_copies(copies):
    rows = np.repeat(unit_rows(10, 8), copies, axis=0)
    index, distance = nearest_others(rows, 6)
    assert index.shape == distance.shape == (len(rows), 6)
    own = np.arange(len(rows))[:, None]
    assert (index != own).all()
    assert all(len(set(row)) == 6 for row in index.tolist())
    distances = squared_distances(rows)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(distance, np.sort(distances, 1)[:, :6], atol=1e-5)


def test_all_others_can_be_neighbours():
    rows = unit_rows(7)
    index, _ = nearest_others(rows, 6)
    np.testing.assert_array_equal(np.sort(index, 1), [[j for j in range(7) if j != i] for i in range(7)])

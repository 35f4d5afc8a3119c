"""stages/method/device_neighbours.py: torch's search, on the CPU and on a GPU, against all distances sorted."""

import numpy as np
import pytest
import torch

from stages.method import device_neighbours
from stages.method.device_neighbours import nearest_others_on
from stages.method.measures import knn_accuracy
from stages.method.pic import power_iteration_clustering

TORCH_ON_CPU = "cpu:0"
"""The CPU, by a name that goes to torch's search and not to faiss's."""

DEVICES = [TORCH_ON_CPU, pytest.param("cuda", marks=pytest.mark.gpu)]


def drawn(n, d=6, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def sorted_others(rows, count):
    wide = rows.astype(np.float64)
    squares = ((wide[:, None] - wide[None]) ** 2).sum(2)
    np.fill_diagonal(squares, np.inf)
    index = squares.argsort(1, kind="stable")[:, :count]
    return index, np.take_along_axis(squares, index, 1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("block", [1, 1000, 2**25])
@pytest.mark.parametrize(("n", "count"), [(2, 1), (150, 10), (150, 149)])
def test_they_are_the_nearest_others_in_order_whatever_the_block(monkeypatch, n, count, block, device):
    monkeypatch.setattr(device_neighbours, "BLOCK", block)
    index, distance = nearest_others_on(drawn(n), count, device)
    expected, squares = sorted_others(drawn(n), count)
    assert (index.dtype, distance.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(distance, squares, rtol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_row_is_never_its_own_neighbour_though_others_equal_it(device):
    rows = np.repeat(drawn(5), 4, axis=0)
    index, distance = nearest_others_on(rows, 3, device)
    own = np.arange(len(rows))
    assert not (index == own[:, None]).any()
    np.testing.assert_array_equal(index // 4, np.repeat(own // 4, 3).reshape(-1, 3))
    np.testing.assert_allclose(distance, 0, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_rows_far_from_the_origin_are_told_apart(device):
    """As float32 cannot, by norms and products."""
    rows = drawn(1, 8) * np.float32(100) + drawn(100, 8, seed=1) * np.float32(1e-2)
    np.testing.assert_array_equal(nearest_others_on(rows, 5, device)[0], sorted_others(rows, 5)[0])


@pytest.mark.parametrize("device", DEVICES)
def test_the_measure_and_pic_are_those_of_faiss(monkeypatch, device):
    labels = np.random.default_rng(0).integers(0, 4, 400)
    rows = (np.eye(4)[labels] @ drawn(4, 16, seed=1) + drawn(400, 16, seed=2)).astype(np.float32)
    searched = []
    inner = torch.Tensor.topk
    monkeypatch.setattr(torch.Tensor, "topk", lambda *args, **kwargs: searched.append(1) or inner(*args, **kwargs))
    accuracy = knn_accuracy(rows, labels, device=device)
    assert 0.5 < accuracy == knn_accuracy(rows, labels) < 1
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    settings = {"neighbours": 5, "sigma": 0.2, "alpha": 0.001, "iterations": 200}
    found = power_iteration_clustering(unit, **settings, device=device)
    np.testing.assert_array_equal(found, power_iteration_clustering(unit, **settings))
    assert len(searched) == 2

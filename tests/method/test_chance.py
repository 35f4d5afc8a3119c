"""stages/method/chance.py: the information shared by chance, counted over every deal and against scikit-learn's."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import expected_mutual_information
from sklearn.metrics.cluster._supervised import contingency_matrix

from stages.method import chance
from stages.method.chance import expected_information
from stages.method.measures import ami


def sizes(groups):
    return np.unique(groups, return_counts=True)[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 1, 1, 2]),
        ([0, 0, 0, 0, 0, 1], [0, 1, 1, 2, 2, 2]),
        (range(5), [0, 0, 1, 1, 1]),
    ],
)
def test_it_is_the_mean_over_every_way_to_deal_the_images(one, other):
    dealt = [mutual_info_score(one, list(each)) for each in permutations(other)]
    assert expected_information(sizes(one), sizes(other)) == pytest.approx(np.mean(dealt), rel=1e-12)


@pytest.mark.parametrize(("n", "k", "others"), [(100, 4, 9), (3000, 200, 10), (3000, 10, 200), (500, 400, 300)])
def test_it_is_scikit_learns(n, k, others):
    rng = np.random.default_rng(n + k)
    one, other = rng.integers(0, k, n) ** 2 // k, rng.integers(0, others, n)
    expected = expected_mutual_information(contingency_matrix(one, other, sparse=True), n)
    assert expected_information(sizes(one), sizes(other)) == pytest.approx(expected, rel=1e-9)


def test_large_groups_are_counted_in_blocks(monkeypatch):
    one, other = np.repeat([0, 1, 2], [700, 250, 50]), np.arange(1000) % 3 % 2
    whole = expected_information(sizes(one), sizes(other))
    monkeypatch.setattr(chance, "CELLS", 64)
    assert expected_information(sizes(one), sizes(other)) == pytest.approx(whole, rel=1e-12)


def test_groups_of_one_image_each_agree_with_themselves():
    assert ami(np.arange(40), np.arange(40)[::-1]) == 1
    assert ami(np.arange(40), np.repeat([0, 1], 20)) == pytest.approx(0, abs=1e-9)

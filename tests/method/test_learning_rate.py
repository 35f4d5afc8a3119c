"""stages/method/training.py: the step size of each step, constant or half a cosine."""

import math
from itertools import pairwise

import pytest

from stages.method.training import learning_rate


def test_the_learning_rate_is_constant_as_in_the_paper():
    rates = {learning_rate(0.05, epoch, step, 10) for epoch in (1, 7, 500) for step in range(10)}
    assert rates == {0.05}


def test_the_cosine_starts_at_lr_is_half_at_half_the_horizon_and_zero_at_its_end():
    assert learning_rate(0.8, 1, 0, 10, 4) == pytest.approx(0.8)
    assert learning_rate(0.8, 3, 0, 10, 4) == pytest.approx(0.4)
    assert learning_rate(0.8, 2, 0, 10, 4) == pytest.approx(0.8 * (1 + math.sqrt(0.5)) / 2)
    # A third of the way: epoch 2 after a third of its steps, (1 + 1/3) / 4 of 180 degrees are 60.
    assert learning_rate(0.8, 2, 3, 9, 4) == pytest.approx(0.8 * 0.75)
    assert learning_rate(0.8, 5, 0, 10, 4) == pytest.approx(0, abs=1e-12)


def test_the_cosine_falls_at_each_step_and_does_not_rise_again_after_its_horizon():
    rates = [learning_rate(0.05, epoch, step, 5, 3) for epoch in range(1, 4) for step in range(5)]
    assert all(a > b > 0 for a, b in pairwise(rates))
    assert learning_rate(0.05, 6, 2, 5, 3) <= rates[-1]

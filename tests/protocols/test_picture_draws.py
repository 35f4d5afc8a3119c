"""stages/protocols/picture_draws.py: passes that show everything, and what they do not depend on."""

from itertools import pairwise

import numpy as np

from stages.protocols.picture_draws import draw_pictures


def test_a_pass_shows_each_picture_once():
    drawn = draw_pictures(7, 24, np.random.default_rng(0))
    assert drawn.picture.shape == (24, 1) and drawn.picture.dtype == np.int64
    passes = [drawn.picture[start : start + 7, 0].tolist() for start in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert all(a != b for a, b in pairwise(passes))
    assert not drawn.flip.any() and not drawn.scale.any()


def test_a_pass_with_flips_shows_each_picture_both_ways():
    drawn = draw_pictures(6, 6, np.random.default_rng(0), n=2, flips=True)
    shown = sorted(zip(drawn.picture.ravel().tolist(), drawn.flip.ravel().tolist(), strict=True))
    assert shown == [(picture, flip) for picture in range(6) for flip in (False, True)]


def test_sizes_are_equally_frequent():
    drawn = draw_pictures(10, 1500, np.random.default_rng(0), n=2, scales=3)
    counts = np.bincount(drawn.scale.ravel())
    assert len(counts) == 3 and abs(counts - 1000).max() < 130


def test_the_generator_alone_decides():
    first, again, other = (draw_pictures(50, 20, np.random.default_rng(seed), flips=True) for seed in (1, 1, 2))
    assert first.picture.tolist() == again.picture.tolist() != other.picture.tolist()
    assert first.flip.tolist() == again.flip.tolist()

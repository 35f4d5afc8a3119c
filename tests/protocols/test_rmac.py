"""stages/protocols/rmac.py: regions by hand and by what they must satisfy; whitening against scikit-learn and numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from stages.protocols.rmac import RegionWhitening, region_features, regions

RNG = np.random.default_rng(0)
sides = st.integers(1, 80)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("height", "width", "count"), [(48, 64, 20), (64, 48, 20), (64, 64, 14), (32, 64, 26), (64, 32, 26), (43, 64, 20)]
)
def test_as_many_regions_as_in_the_field(height, width, count):
    assert len(regions(height, width)) == count


def test_the_regions_of_a_photograph_by_hand():
    expected = [(0, left, 48) for left in (0, 16)]
    expected += [(top, left, 32) for top in (0, 16) for left in (0, 16, 32)]
    expected += [(top, left, 24) for top in (0, 12, 24) for left in (0, 13, 26, 40)]
    assert regions(48, 64).tolist() == [list(region) for region in expected]


@settings(derandomize=True, deadline=None)
@given(sides, sides)
def test_regions_lie_inside_the_map_and_reach_all_its_edges(height, width):
    found = regions(height, width)
    top, left, side = found.T
    assert (found[:, :2] >= 0).all() and (side >= 1).all()
    assert (top + side <= height).all() and (left + side <= width).all()
    for level in range(1, 4):
        own = found[side == max(1, 2 * min(height, width) // (level + 1))]
        assert own[:, 0].min() == 0 and (own[:, 0] + own[:, 2]).max() == height
        assert (own[:, 1].min() == 0 and (own[:, 1] + own[:, 2]).max() == width) or height == width == 1


@settings(derandomize=True, deadline=None)
@given(sides, sides)
def test_the_regions_of_a_turned_map_are_turned(height, width):
    turned = regions(width, height)[:, [1, 0, 2]].tolist()
    assert sorted(turned) == sorted(regions(height, width).tolist())


@pytest.mark.parametrize(
    ("height", "width", "overlap"), [(48, 64, 2 / 3), (32, 64, 0.5), (40, 64, 0.4), (64, 48, 2 / 3)]
)
def test_neighbours_of_the_first_scale_overlap_as_far_as_wanted(height, width, overlap):
    first = [region for region in regions(height, width).tolist() if region[2] == min(height, width)]
    starts = np.array(first)[:, 0 if height > width else 1]
    assert 1 - np.diff(starts) / min(height, width) == pytest.approx(np.full(len(starts) - 1, overlap), abs=0.02)


def test_features_are_maxima_over_the_regions_at_unit_length():
    maps = torch.from_numpy(RNG.random((8, 12, 16)))
    found = region_features(maps)
    expected = [maps.numpy()[:, t : t + s, f : f + s].max((1, 2)) for t, f, s in regions(12, 16)]
    np.testing.assert_allclose(found, unit(np.array(expected)))
    assert not region_features(torch.zeros(8, 12, 16)).any()


def test_fewer_levels_are_the_first_ones():
    maps = torch.from_numpy(RNG.random((8, 12, 16)))
    first = len(regions(12, 16, 1))
    np.testing.assert_array_equal(region_features(maps, 1), region_features(maps)[:first])


def test_a_map_of_one_pixel_has_regions_too():
    maps = torch.from_numpy(RNG.random((8, 1, 1)))
    found = region_features(maps)
    np.testing.assert_allclose(found, np.repeat(unit(maps.numpy().reshape(1, 8)), 14, axis=0))


def rows_of(n, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    return unit(np.abs(rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)))).astype(np.float32)


@pytest.mark.parametrize("dimensions", [16, 10])
def test_descriptors_compare_as_with_scikit_learns_whitening(dimensions):
    """A component's sign is free, so what is compared are products."""
    train, picture, other = rows_of(3000), rows_of(20, seed=1), rows_of(14, seed=2)
    ours = RegionWhitening.fit([train[:1000], train[1000:]], dimensions)
    theirs = PCA(dimensions, whiten=True, svd_solver="full").fit(train.astype(np.float64))
    expected = [unit(unit(theirs.transform(each)).sum(0)) for each in (picture, other)]
    found = [ours.descriptor(each) for each in (picture, other)]
    assert found[0].shape == (dimensions,) and found[0].dtype == np.float32
    assert np.linalg.norm(found[0]) == pytest.approx(1)
    assert float(found[0] @ found[1]) == pytest.approx(float(expected[0] @ expected[1]), abs=1e-6)


def test_small_eigenvalues_are_raised_to_a_share_of_the_largest():
    """Written out in numpy: of 6 dimensions two hardly vary and one not at all."""
    train = RNG.normal(size=(500, 6)) * [3, 2, 1, 1e-4, 1e-6, 0] + 5
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    values = np.maximum(values, 1e-5 * values.max())
    picture = RNG.normal(size=(7, 6)) + 5
    expected = unit(unit((picture - train.mean(0)) @ vectors / np.sqrt(values)).sum(0))
    whitening = RegionWhitening.fit([train])
    assert whitening.components.shape == (6, 6)
    found = whitening.descriptor(picture)
    lengths = np.linalg.norm(whitening.components, axis=0) ** -2
    np.testing.assert_allclose(lengths, np.sort(values)[::-1], rtol=1e-6)
    back = found @ np.linalg.inv(whitening.components)
    direct = expected @ np.linalg.inv(vectors / np.sqrt(values))
    np.testing.assert_allclose(back, direct, rtol=1e-4, atol=1e-6)


def test_narrow_networks_keep_all_their_channels():
    assert RegionWhitening.fit([rows_of(200, dim=5)]).components.shape == (5, 5)


def test_blocks_change_nothing():
    train = rows_of(300)
    one, many = (RegionWhitening.fit(blocks) for blocks in ([train], np.array_split(train, 17)))
    np.testing.assert_allclose(np.abs(one.components), np.abs(many.components), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("blocks", "why"),
    [([], "no regions"), ([np.full((9, 4), 0.37)], "equal"), ([np.full((9, 4), np.nan)], "not finite")],
)
def test_what_cannot_be_whitened(blocks, why):
    with pytest.raises(ValueError, match=why):
        RegionWhitening.fit(blocks)


def test_a_picture_of_the_mean_alone_has_a_descriptor_of_zeros():
    whitening = RegionWhitening.fit([rows_of(200)])
    assert not whitening.descriptor(np.repeat(whitening.mean[None], 3, axis=0)).any()

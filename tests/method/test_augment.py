"""stages/method/augment.py: random resized crops and flips against torchvision's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as F

from stages.method.augment import Crops, cut, random_crops, squared

DEFAULTS = {"scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]}


def crops_of(heights, widths, seed=0):
    return random_crops(np.asarray(heights), np.asarray(widths), np.random.default_rng(seed))


def theirs(height, width, n, seed=0):
    """(n, 4): top, left, height, width."""
    torch.manual_seed(seed)
    picture = torch.empty(3, height, width)
    return np.array([RandomResizedCrop.get_params(picture, **DEFAULTS) for _ in range(n)])


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_the_defaults_compared_with_are_torchvisions():
    transform = RandomResizedCrop(224)
    assert tuple(transform.scale) == tuple(DEFAULTS["scale"])
    assert tuple(transform.ratio) == tuple(DEFAULTS["ratio"])


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=50), st.integers(0, 5))
def test_a_crop_lies_inside_its_own_picture(sizes, seed):
    height, width = np.array(sizes).T
    crops = crops_of(height, width, seed)
    assert (crops.height >= 1).all() and (crops.width >= 1).all()
    assert (crops.top >= 0).all() and (crops.top + crops.height <= height).all()
    assert (crops.left >= 0).all() and (crops.left + crops.width <= width).all()


@pytest.mark.parametrize(("height", "width"), [(300, 400), (257, 256), (500, 120), (64, 200)])
def test_crops_are_distributed_as_torchvisions(height, width):
    """Elongated pictures are there for the tries that do not fit."""
    ours = crops_of(np.full(12_000, height), np.full(12_000, width))
    top, left, h, w = theirs(height, width, 3000).T
    for a, b in (
        (ours.height * ours.width, h * w),
        (ours.width / ours.height, w / h),
        (ours.top, top),
        (ours.left, left),
        (ours.height, h),
        (ours.width, w),
    ):
        assert stats.ks_2samp(a, b).pvalue > 0.001


def test_area_is_uniform_and_ratio_log_uniform_where_each_try_fits():
    """On a huge square hardly a try fails but the largest: by the definition, without torchvision."""
    side = 10_000
    crops = crops_of(np.full(20_000, side), np.full(20_000, side), seed=1)
    area = crops.height * crops.width / side**2
    ratio = crops.width / crops.height
    # Up to 3/4 of the area every ratio fits, so there neither draw is thinned out.
    fits = area < 0.74
    assert stats.kstest((area[fits] - 0.08) / 0.66, "uniform").pvalue > 0.001
    log = (np.log(ratio[fits]) - np.log(3 / 4)) / (np.log(4 / 3) - np.log(3 / 4))
    assert stats.kstest(log, "uniform").pvalue > 0.001


def test_places_are_uniform_over_all_that_fit_the_last_row_and_column_too():
    crops = crops_of(np.full(60_000, 12), np.full(60_000, 12))
    for start, length in ((crops.top, crops.height), (crops.left, crops.width)):
        for size in (4, 7, 11):
            counts = np.bincount(start[length == size], minlength=12 - size + 1)
            assert len(counts) == 12 - size + 1
            assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(("height", "width"), [(5, 400), (400, 5), (4, 301), (301, 4), (1, 64), (64, 1), (9, 143)])
def test_where_no_try_can_fit_the_crop_is_torchvisions_centred_one(height, width):
    ours = crops_of([height], [width])
    expected = theirs(height, width, 1)[0]
    assert [ours.top[0], ours.left[0], ours.height[0], ours.width[0]] == expected.tolist()


def test_each_picture_is_cropped_by_its_own_size():
    heights, widths = np.array([20, 400] * 500), np.array([300, 30] * 500)
    crops = crops_of(heights, widths)
    assert (crops.height[::2] <= 20).all() and (crops.width[1::2] <= 30).all()
    assert (crops.left[::2] > 30).any() and (crops.top[1::2] > 20).any()


def test_a_flip_is_fair():
    flips = crops_of(np.full(10_000, 50), np.full(10_000, 50)).flip
    assert stats.binomtest(int(flips.sum()), len(flips)).pvalue > 0.001


def test_flips_do_not_depend_on_the_crop():
    crops = crops_of(np.full(10_000, 500), np.full(10_000, 500))
    assert stats.ks_2samp(crops.left[crops.flip], crops.left[~crops.flip]).pvalue > 0.001
    assert stats.ks_2samp(crops.height[crops.flip], crops.height[~crops.flip]).pvalue > 0.001


def test_no_two_draws_of_one_picture_share_a_crop():
    crops = crops_of(np.full(200, 1000), np.full(200, 1000))
    assert len(set(zip(crops.top, crops.left, crops.height, crops.width, strict=True))) == 200


def crop_of(top, left, height, width, flip=False):
    return Crops(*(np.array([value]) for value in (top, left, height, width, flip)))


@pytest.mark.parametrize(
    ("box", "size"),
    [((0, 0, 61, 83), 64), ((5, 7, 41, 33), 64), ((10, 20, 9, 11), 64), ((0, 3, 61, 80), 17), ((30, 40, 16, 16), 16)],
)
def test_a_resized_crop_is_torchvisions_but_for_rounding(box, size):
    pixels = picture(61, 83)
    expected = np.asarray(F.resized_crop(Image.fromarray(pixels), *box, [size, size])).astype(int)
    assert abs(cut(pixels, crop_of(*box), 0, size) - expected).max() <= 1
    np.testing.assert_array_equal(
        cut(pixels, crop_of(*box, True), 0, size), cut(pixels, crop_of(*box), 0, size)[:, ::-1]
    )


def test_rows_are_resized_before_columns():
    """A picture of which Pillow 13 by itself resizes the columns first."""
    pixels = picture(91, 10)
    rows = Image.fromarray(pixels).resize((24, 91), Image.Resampling.BILINEAR)
    expected = np.asarray(rows.resize((24, 24), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(squared(pixels, 24), expected)
    columns = Image.fromarray(pixels).resize((10, 24), Image.Resampling.BILINEAR)
    assert (np.asarray(columns.resize((24, 24), Image.Resampling.BILINEAR)) != expected).any()


def test_a_large_crop_is_smoothed_before_it_is_shrunk():
    """Without antialiasing a fine chessboard would come out in stripes and not in grey."""
    board = np.broadcast_to((np.indices((240, 240)).sum(0) % 2 * 255).astype(np.uint8)[..., None], (240, 240, 3))
    assert abs(squared(np.ascontiguousarray(board), 24).astype(int) - 127).max() <= 3


def test_the_least_area_and_the_share_of_mirrored_crops_are_those_asked_for():
    heights = widths = np.full(2000, 100)
    crops = random_crops(heights, widths, np.random.default_rng(0), scale=(0.5, 1.0), flip=0.2)
    area = crops.height * crops.width / 10_000
    # Sides are rounded to pixels.
    assert 0.49 < area.min() < 0.52
    assert 0.17 < crops.flip.mean() < 0.23
    assert not random_crops(heights, widths, np.random.default_rng(0), flip=0.0).flip.any()

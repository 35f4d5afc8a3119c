"""stages/protocols/crops.py: crops against torchvision's transforms, their distributions, and their draws."""

from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torchvision.transforms import functional as F
from torchvision.transforms import v2

from stages.method.augment import cut
from stages.protocols.crops import caffe_crops, crops_of_images, port_crops, square_crops, ten_crops

DRAWS = {
    "port": port_crops,
    "caffe": partial(caffe_crops, size=20),
    "central": partial(square_crops, size=20, central=True),
    "anywhere": partial(square_crops, size=20, central=False),
}
each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def crops_of(draw, height, width, n=8000, seed=0):
    return draw(np.full(n, height), np.full(n, width), np.random.default_rng(seed))


def theirs(transform, pixels, n=1):
    """(n, h, w, 3) results of a transform of torchvision."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    return np.stack([transform(image).permute(1, 2, 0).numpy() for _ in range(n)])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 47), (51, 32), (33, 40), (24, 24)])
def test_ten_crops_are_torchvisions(height, width):
    pixels = picture(height, width)
    crops = v2.TenCrop(24)(torch.from_numpy(pixels).permute(2, 0, 1))
    expected = np.stack([crop.permute(1, 2, 0).numpy() for crop in crops])
    np.testing.assert_array_equal(ten_crops(pixels, 24), expected)
    square = theirs(v2.CenterCrop(min(height, width)), pixels)[0]
    crops = v2.TenCrop(24)(torch.from_numpy(square).permute(2, 0, 1))
    np.testing.assert_array_equal(ten_crops(square, 24), np.stack([crop.permute(1, 2, 0).numpy() for crop in crops]))


def test_ten_crops_of_a_picture_that_is_too_small():
    with pytest.raises(ValueError, match="a picture of 20 by 40 pixels has no crop of 24"):
        ten_crops(picture(20, 40), 24)


sizes = st.lists(st.tuples(st.integers(20, 90), st.integers(20, 90)), min_size=1, max_size=30)


@each_draw
@settings(derandomize=True, deadline=None, max_examples=50)
@given(sizes, st.integers(0, 5))
def test_a_crop_is_a_square_inside_its_own_picture(draw, sizes, seed):
    height, width = np.array(sizes).T
    crops = draw(height, width, np.random.default_rng(seed))
    assert (crops.height == crops.width).all() and (crops.height >= 1).all()
    assert (crops.top >= 0).all() and (crops.top + crops.height <= height).all()
    assert (crops.left >= 0).all() and (crops.left + crops.width <= width).all()


@each_draw
def test_a_flip_is_fair_and_apart_from_the_place(draw):
    crops = crops_of(draw, 50, 60)
    assert stats.binomtest(int(crops.flip.sum()), len(crops.flip)).pvalue > 0.001
    assert stats.ks_2samp(crops.left[crops.flip], crops.left[~crops.flip]).pvalue > 0.001


@pytest.mark.parametrize(("height", "width"), [(32, 45), (46, 32), (32, 32), (33, 40)])
@pytest.mark.parametrize("central", [True, False])
def test_square_crops_are_those_of_torchvisions_transforms(height, width, central):
    """Of a picture whose pixels say where they are: each place is as frequent as it is there, and no other is met."""
    pixels = np.stack([*np.indices((height, width)), np.zeros((height, width))], axis=2).astype(np.uint8)
    first = [v2.CenterCrop(min(height, width))] if central else []
    transform = v2.Compose([*first, v2.RandomCrop(29)])
    torch.manual_seed(0)
    expected = theirs(transform, pixels, 3000)[:, 0, 0, :2]
    crops = crops_of(partial(square_crops, size=29, central=central), height, width)
    found = np.stack([crops.top, crops.left], axis=1)
    assert {*map(tuple, found.tolist())} == {*map(tuple, expected.tolist())}
    codes = [np.bincount(places @ [100, 1]) for places in (found.astype(int), expected.astype(int))]
    counts = np.stack([each[codes[0] > 0] for each in codes])
    if counts.shape[1] > 1:
        assert stats.chi2_contingency(counts).pvalue > 0.001


@pytest.mark.parametrize(("height", "width"), [(60, 100), (300, 40), (5, 400)])
def test_the_ports_crops_have_the_distribution_of_its_transform(height, width):
    """Of elongated pictures many tries do not fit, or none: then it is the largest square in the middle."""
    transform = v2.RandomResizedCrop(8, scale=(0.1, 0.5), ratio=(1, 1))
    torch.manual_seed(0)
    drawn = [transform.make_params([torch.empty(3, height, width)]) for _ in range(3000)]
    crops = crops_of(port_crops, height, width)
    for name in ("top", "left", "height", "width"):
        expected = np.array([each[name] for each in drawn])
        assert stats.ks_2samp(getattr(crops, name), expected).pvalue > 0.001


def test_caffes_sides_are_uniform_up_to_the_short_side():
    draw = partial(caffe_crops, size=200)
    # Sides from 100 to 400 pixels where they fit.
    for height, width, least, most in ((1000, 900, 100, 400), (375, 500, 100, 375), (80, 300, 80, 80)):
        crops = crops_of(draw, height, width)
        assert crops.height.min() == pytest.approx(least, abs=1) and crops.height.max() == pytest.approx(most, abs=1)
        if least < most:
            noise = np.random.default_rng(1).uniform(-0.5, 0.5, len(crops.height))
            assert stats.kstest((crops.height + noise - least) / (most - least), "uniform").pvalue > 0.001
        slack = width - crops.width
        place = (crops.left + 0.5) / (slack + 1)
        assert stats.kstest(place[slack > 40], "uniform").pvalue > 0.001


@pytest.mark.parametrize("flip", [True, False])
def test_a_cut_is_torchvisions_crop_resized_and_mirrored(flip):
    pixels = picture(61, 83)
    crops = crops_of(port_crops, 61, 83, n=50)
    number = int(np.flatnonzero(crops.flip == flip)[0])
    top, left, side = (int(each[number]) for each in (crops.top, crops.left, crops.height))
    expected = F.resized_crop(Image.fromarray(pixels), top, left, side, side, [24, 24])
    expected = F.hflip(expected) if flip else expected
    np.testing.assert_array_equal(cut(pixels, crops, number, 24), np.asarray(expected))


def test_a_crop_of_the_right_size_is_not_resampled():
    pixels = picture(32, 40)
    crops = crops_of(partial(square_crops, size=24, central=True), 32, 40, n=20)
    for number in range(20):
        top, left = crops.top[number], crops.left[number]
        expected = pixels[top : top + 24, left : left + 24]
        found = cut(pixels, crops, number, 24)
        np.testing.assert_array_equal(found[:, ::-1] if crops.flip[number] else found, expected)


@each_draw
def test_an_images_crops_follow_from_seed_and_image_alone(draw):
    height, width, images = np.array([40, 55, 90]), np.array([70, 40, 90]), np.array([5, 2, 8])
    all_ = crops_of_images(draw, height, width, images, 10, seed=3)
    assert len(all_.top) == 30
    for row in range(3):
        one = crops_of_images(draw, height[[row]], width[[row]], images[[row]], 10, seed=3)
        for name, values in asdict(one).items():
            np.testing.assert_array_equal(values, getattr(all_, name)[row * 10 : row * 10 + 10])
    assert len({*zip(all_.top[:10], all_.left[:10], all_.height[:10], strict=True)}) > 3
    other = crops_of_images(draw, height, width, images, 10, seed=4)
    assert not np.array_equal(other.top, all_.top)
    moved = crops_of_images(draw, height, width, images + 1, 10, seed=3)
    assert not np.array_equal(moved.top, all_.top)

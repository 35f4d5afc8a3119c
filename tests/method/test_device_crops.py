"""stages/method/device_crops.py: many crops at once give the bytes of `cut`, one by one."""

import numpy as np
import pytest
import torch

from stages.method.augment import Crops, cut, random_crops
from stages.method.device_crops import Windows, resized_windows


def pictures(n, least, most, seed=0):
    rng = np.random.default_rng(seed)
    shapes = rng.integers(least, most, (n, 2))
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in shapes]


def resized(images, crops, size, device="cpu"):
    """The crop of each picture, all at once, from the pictures one after the other."""
    height, width = (np.array([image.shape[side] for image in images]) for side in (0, 1))
    # What lies behind the last pixel is read and must not matter.
    flat = np.concatenate([*(image.ravel() for image in images), np.full(3 * width.max(), 99, np.uint8)])
    start = np.cumsum(3 * height * width) - 3 * height * width + 3 * (crops.top * width + crops.left)
    windows = Windows.of(start, 3 * width, crops, torch.device(device))
    bounds = ((int(sides.min()), int(sides.max())) for sides in (crops.height, crops.width))
    return resized_windows(torch.from_numpy(flat).to(device), windows, *bounds, size).cpu().numpy()


def one_by_one(images, crops, size):
    return np.stack([cut(image, crops, i, size) for i, image in enumerate(images)])


def sizes(images):
    return (np.array([image.shape[side] for image in images]) for side in (0, 1))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(
    ("least", "most", "size"), [(20, 60, 64), (20, 60, 24), (30, 300, 16), (30, 300, 100), (1, 9, 7), (900, 1000, 16)]
)
def test_the_bytes_are_those_of_each_crop_alone(least, most, size, device):
    images = pictures(24, least, most)
    crops = random_crops(*sizes(images), np.random.default_rng(1))
    assert crops.flip.any() and not crops.flip.all()
    np.testing.assert_array_equal(resized(images, crops, size, device), one_by_one(images, crops, size))


def test_whole_pictures_and_squares_of_the_right_size_are_left_alone_where_they_can_be():
    images = pictures(6, 30, 50)
    none, flip = np.zeros(6, np.int64), np.arange(6) % 2 == 0
    height, width = sizes(images)
    for crops in (Crops(none, none, height, width, flip), Crops(none + 3, none + 5, none + 20, none + 20, flip)):
        np.testing.assert_array_equal(resized(images, crops, 20), one_by_one(images, crops, 20))


def test_black_and_white_stay_so():
    """Weights are rounded, and their sums must not leave a byte."""
    for value in (0, 255):
        images = [np.full((h, w, 3), value, np.uint8) for h, w in ((33, 71), (64, 17), (200, 201))]
        crops = random_crops(*sizes(images), np.random.default_rng(0))
        assert (resized(images, crops, 48) == value).all()

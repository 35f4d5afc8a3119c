"""stages/method/decode.py: resizing and the central crop of packed pictures, against torchvision on PIL images."""

import io

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from stages.method.decode import centre_crop, decode, resize_short

SIZES = [(375, 500), (500, 375), (333, 499), (97, 101), (256, 256), (511, 256), (256, 384), (64, 71), (1200, 431)]


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [72, 256])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resizing_equals_torchvisions_pixel_for_pixel(height, width, size):
    image = Image.fromarray(picture(height, width))
    ours, theirs = np.asarray(resize_short(image, size)), np.asarray(Resize(size)(image))
    assert min(ours.shape[:2]) == size
    np.testing.assert_array_equal(ours, theirs)


def test_the_long_side_is_cut_and_not_rounded_for_every_ratio():
    """size * long / short in floating point, in torchvision's order of operations."""
    for long in range(50, 130):
        image = Image.new("RGB", (50, long))
        assert resize_short(image, 37).size == Resize(37)(image).size


@pytest.mark.parametrize(("height", "width"), [(375, 500), (501, 333)])
def test_a_decoded_picture_is_the_resized_one(height, width):
    pixels = picture(height, width)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    expected = np.asarray(Resize(256)(Image.fromarray(pixels)))
    np.testing.assert_array_equal(decode(buffer.getvalue(), 256, 16), expected)


@pytest.mark.parametrize(
    ("height", "width"),
    [(256, 341), (341, 256), (224, 224), (225, 226), (227, 228), (229, 230), (231, 224), (233, 257)],
)
def test_the_central_crop_equals_torchvisions_at_every_margin(height, width):
    pixels = picture(height, width)
    expected = np.asarray(CenterCrop(224)(Image.fromarray(pixels)))
    np.testing.assert_array_equal(centre_crop(pixels, 224), expected)


def test_half_a_pixel_of_margin_goes_to_the_even_side():
    """Margins of 1, 3, 5, 7 start at 0, 2, 2, 4: `// 2` would be off by one at every other."""
    column = np.arange(300, dtype=np.int64)[:, None, None] * np.ones((1, 300, 3), np.int64)
    starts = [int(centre_crop(column[: 224 + margin], 224)[0, 0, 0]) for margin in (0, 1, 2, 3, 4, 5, 6, 7)]
    assert starts == [0, 0, 1, 2, 2, 2, 3, 4]


def test_the_central_crop_copies_no_pixel():
    pixels = picture(256, 341)
    assert np.shares_memory(centre_crop(pixels, 224), pixels)

"""stages/method/views.py: what the network sees of a picture when its features are computed."""

import numpy as np
import pytest
from PIL import Image

from stages.method.decode import centre_crop
from stages.method.views import fixed_views


def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)


def squashed(pixels):
    """Rows first, then columns."""
    rows = Image.fromarray(pixels).resize((32, len(pixels)), Image.Resampling.BILINEAR)
    return np.asarray(rows.resize((32, 32), Image.Resampling.BILINEAR))


def test_centre_is_the_square_in_the_middle():
    np.testing.assert_array_equal(fixed_views(picture(), 32, "centre"), centre_crop(picture(), 32)[None])


def test_whole_is_all_of_the_picture_squashed():
    seen = fixed_views(picture(), 32, "whole")
    np.testing.assert_array_equal(seen, squashed(picture())[None])
    marked = picture()
    marked[:, :4] = 255
    assert (fixed_views(marked, 32, "whole") != seen).any()
    np.testing.assert_array_equal(fixed_views(marked, 32, "centre"), fixed_views(picture(), 32, "centre"))


def test_five_crop_is_the_corners_and_the_middle_each_squashed():
    seen = fixed_views(picture(), 32, "five-crop")
    corners = [picture()[top : top + 32, left : left + 56] for top in (0, 8) for left in (0, 14)]
    expected = [squashed(corner) for corner in [*corners, picture()[4:36, 7:63]]]
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 90, 3), (2, 3, 3)])
def test_the_smallest_pictures_have_five_crops_too(shape):
    assert fixed_views(np.full(shape, 7, np.uint8), 8, "five-crop").shape == (5, 8, 8, 3)

"""stages/method/views.py: what the network sees of a picture."""

import numpy as np
from PIL import Image

from stages.method.decode import centre_crop
from stages.method.views import view


def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)


def test_centre_is_the_square_in_the_middle():
    np.testing.assert_array_equal(view(picture(), 32, "centre"), centre_crop(picture(), 32))


def test_whole_is_all_of_the_picture_squashed():
    seen = view(picture(), 32, "whole")
    expected = Image.fromarray(picture()).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(seen, np.asarray(expected))
    marked = picture()
    marked[:, :4] = 255
    assert (view(marked, 32, "whole") != seen).any()
    np.testing.assert_array_equal(view(marked, 32, "centre"), view(picture(), 32, "centre"))

"""stages/protocols/picture_scales.py: sizes of VOC pictures worked by hand."""

import numpy as np
import pytest

from stages.protocols.picture_scales import PictureScales, nearest_scale, resize


def test_the_short_side_is_600_unless_the_other_passes_1000():
    scales = PictureScales()
    assert scales.factors(375, 500) == [1.6]
    assert scales.factors(500, 375) == [1.6]
    # 600 / 250 would make 500 pixels 1200.
    assert scales.factors(250, 500) == [2.0]
    assert scales.factors(300, 500) == [2.0]


def test_each_short_side_has_its_factor():
    scales = PictureScales(short=(480, 576), longest=2000)
    assert scales.factors(240, 320) == pytest.approx([2.0, 2.4])


def test_a_region_sees_the_scale_at_which_its_area_is_nearest_to_224_squared():
    sides = np.array([[0, 0, side - 1, side - 1] for side in (400, 224, 150, 100, 20)])
    assert nearest_scale(sides, [0.5, 1.0, 2.0]).tolist() == [0, 1, 1, 2, 2]
    assert nearest_scale(sides, [3.0]).tolist() == [0] * 5


def test_resizing_keeps_a_gradient_in_place():
    picture = np.repeat(np.linspace(0, 255, 40).round().astype(np.uint8)[None, :, None], 30, 0).repeat(3, 2)
    resized = resize(picture, 1.5)
    assert resized.shape == (45, 60, 3) and resized.dtype == np.uint8
    positions = (np.arange(60) + 0.5) / 1.5 - 0.5
    expected = np.interp(positions, np.arange(40), picture[0, :, 0])
    np.testing.assert_allclose(resized[3, :, 1], expected, atol=1)
    assert resize(picture, 0.01).shape == (1, 1, 3)

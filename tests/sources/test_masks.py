"""stages/sources/masks.py: masks of the right kind are read, others refused by name."""

from pathlib import Path

import numpy as np
import pytest
from set_helpers import VOC_PALETTE, png
from stage_helpers import refused

from stages.sources.masks import parse_mask, voc_palette

PATH = Path("SegmentationClass/7.png")


def mask(*values, height=4, width=6):
    array = np.zeros((height, width), np.uint8)
    array.flat[: len(values)] = values
    return array


def parsed(content, classes=20, height=4, width=6):
    return parse_mask(content, PATH, classes, height, width)


def test_the_palette_is_that_of_the_devkit():
    assert [value for colour in voc_palette()[:21] for value in colour] == VOC_PALETTE
    assert voc_palette()[255] == (224, 224, 192)


@pytest.mark.parametrize("palette", [VOC_PALETTE, None, [value for grey in range(256) for value in (grey,) * 3]])
def test_the_numbers_of_the_classes_come_back(palette):
    array = mask(1, 20, 255, 7)
    assert np.array_equal(parsed(png(array, palette)), array)


def test_a_mask_of_colours_is_refused_by_name():
    line = refused(lambda: parsed(png(np.zeros((4, 6, 3), np.uint8))))
    assert str(PATH) in line and "mask of colours (mode RGB)" in line


def test_a_palette_in_another_order_is_refused():
    """Class 2, saved anew with its colour at 1."""
    palette = [*VOC_PALETTE[:3], *VOC_PALETTE[6:9], *VOC_PALETTE[3:6]]
    line = refused(lambda: parsed(png(mask(1), palette)))
    assert "colour of class 2 at 1" in line


def test_a_class_that_the_set_has_not_is_refused():
    assert "holds class 21" in refused(lambda: parsed(png(mask(21, 3), VOC_PALETTE)))
    assert "holds class 4" in refused(lambda: parsed(png(mask(4)), classes=3))


def test_a_mask_of_another_size_is_refused():
    assert "6x4" in refused(lambda: parsed(png(mask(height=6, width=4))))


def test_what_is_no_png_is_refused():
    assert "cannot be read as PNG" in refused(lambda: parsed(b"GIF89a"))
    assert "cannot be read as PNG" in refused(lambda: parsed(png(mask(3))[:40]))

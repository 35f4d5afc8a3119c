"""stages/method/views.py: random views, drawn up front and computed a batch at a time."""

import numpy as np
import pytest
import torch
from PIL import Image

from stages.method.colours import random_colours, recoloured
from stages.method.views import random_views

OFF = {"flip": 0.0, "jitter": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0}
RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((40, 70), (64, 48), (50, 50))]
HEIGHT, WIDTH = (np.array([picture.shape[side] for picture in PICTURES], np.int32) for side in (0, 1))
IMAGES = np.array([2, 0, 0, 1] * 50)


def drawn(seed=0, images=IMAGES, side=16, area=0.3, **options):
    rng = np.random.default_rng(seed)
    return random_views(images, HEIGHT, WIDTH, rng, side=side, area=area, **(OFF | options))


def crops_of(views):
    crops = views.crops
    return np.stack([crops.top, crops.left, crops.height, crops.width, crops.flip], axis=1)


def test_a_seed_fixes_the_views_and_another_changes_them():
    options = {"flip": 0.5, "jitter": 0.4, "blur": 0.5}
    one, again, other = (drawn(seed, **options) for seed in (0, 0, 1))
    assert np.array_equal(crops_of(one), crops_of(again))
    assert np.array_equal(one.colours.matrix, again.colours.matrix)
    assert np.array_equal(one.batch(PICTURES, 0, 9), again.batch(PICTURES, 0, 9))
    assert (crops_of(one) != crops_of(other)).any(axis=1).mean() > 0.9
    assert not np.array_equal(one.colours.matrix, other.colours.matrix)


def test_a_batch_holds_the_crops_done_by_hand():
    views = drawn(flip=0.5)
    assert len(views) == len(IMAGES)
    assert 0 < views.crops.flip[3:20].sum() < 17
    found = views.batch(PICTURES, 3, 20)
    assert found.shape == (17, 16, 16, 3)
    for row, i in zip(found, range(3, 20), strict=True):
        top, left, height, width, flip = crops_of(views)[i]
        picture = Image.fromarray(PICTURES[IMAGES[i]]).crop((left, top, left + width, top + height))
        rows = picture.resize((16, height), Image.Resampling.BILINEAR)
        expected = np.asarray(rows.resize((16, 16), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(row, np.fliplr(expected) if flip else expected)


def test_parts_of_a_batch_are_the_batch():
    views = drawn(flip=0.5)
    parts = [views.batch(PICTURES, *span) for span in ((0, 5), (5, 6), (6, 12))]
    np.testing.assert_array_equal(np.concatenate(parts), views.batch(PICTURES, 0, 12))


@pytest.mark.parametrize(("least", "most"), [(0.08, 1.0), (0.3, 1.0), (0.05, 0.14), (0.2, 0.2)])
def test_areas_are_within_their_bounds_and_fill_them(least, most):
    images = np.repeat([0, 1, 2], 500)
    crops = drawn(images=images, area=least, area_most=most).crops
    share = crops.height * crops.width / (HEIGHT[images].astype(float) * WIDTH[images])
    # Sides are whole pixels: each of at least eight is off by half a pixel at most.
    slack = 1 + 0.5 / min(crops.height.min(), crops.width.min()) * 2.1
    assert least / slack <= share.min() and share.max() <= most * slack
    if least < most:
        span = most - least
        assert share.min() < least + 0.1 * span and share.max() > most - 0.1 * span


def test_the_most_area_is_the_whole_picture_unless_it_is_given():
    assert np.array_equal(crops_of(drawn()), crops_of(drawn(area_most=1.0)))


def test_colours_stay_where_no_change_is_asked_for():
    views = drawn()
    assert views.colours is None


@pytest.mark.parametrize("key", ["jitter", "hue", "grey", "blur"])
def test_each_change_of_colour_is_drawn_after_the_crops_and_goes_with_its_view(key):
    # Large enough for the blur, which goes by the side, to be seen.
    views = drawn(side=64, **{key: 0.5})
    assert np.array_equal(crops_of(views), crops_of(drawn()))
    rng = np.random.default_rng(0)
    random_views(IMAGES, HEIGHT, WIDTH, rng, side=16, area=0.3, **OFF)
    colours = random_colours(len(IMAGES), rng, **({name: OFF[name] for name in OFF if name != "flip"} | {key: 0.5}))
    pictures = torch.from_numpy(views.batch(PICTURES, 4, 9)).permute(0, 3, 1, 2)
    found = recoloured(pictures, views.colours[4:9])
    assert torch.equal(found, recoloured(pictures, colours[4:9]))
    assert not torch.equal(found, recoloured(pictures, colours[5:10]))
    assert not torch.equal(found, pictures)

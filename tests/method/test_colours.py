"""stages/method/colours.py: changes of colour against torchvision's and the definitions."""

import colorsys
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.transforms.v2 import functional as F

from stages.method.colours import BLUR_SIDE, LUMA, Colours, random_colours, recoloured

OFF = {"jitter": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0}


def drawn(n=4, seed=0, **options):
    return random_colours(n, np.random.default_rng(seed), **(OFF | options))


def pictures(n=4, side=24, low=90, high=140, seed=0):
    """In the middle of the range, so that nothing is cut off at 0 or 255, where orders of changes differ."""
    bytes_ = np.random.default_rng(seed).integers(low, high, (n, side, side, 3), dtype=np.uint8)
    return torch.from_numpy(bytes_).permute(0, 3, 1, 2)


def test_nothing_asked_for_changes_nothing():
    batch = pictures(low=0, high=256)
    assert torch.equal(recoloured(batch, drawn()), batch)


def test_jitter_is_torchvisions_brightness_then_contrast_then_saturation():
    batch = pictures()
    brightness, contrast, saturation = np.random.default_rng(0).uniform(0.7, 1.3, (3, 4))
    assert np.ptp(np.stack([brightness, contrast, saturation])) > 0.3
    expected = torch.stack(
        [
            F.adjust_saturation(F.adjust_contrast(F.adjust_brightness(picture.float() / 255, b), c), s)
            for picture, b, c, s in zip(batch, brightness, contrast, saturation, strict=True)
        ]
    )
    difference = recoloured(batch, drawn(jitter=0.3)).float() - 255 * expected
    # Half a level of rounding, and shares of grey that torchvision has with four digits.
    assert difference.abs().max() < 0.52


def test_grey_has_the_luma_of_the_picture_in_every_colour():
    batch = pictures(low=0, high=256)
    out = recoloured(batch, drawn(grey=1.0)).float()
    luma = torch.einsum("bchw,c->bhw", batch.float(), torch.tensor(LUMA))
    assert (out - luma[:, None]).abs().max() < 0.51


def test_a_share_of_the_pictures_becomes_grey():
    out = recoloured(pictures(400, 4), drawn(400, grey=0.2)).float()
    grey = (out.std(1) < 0.5).flatten(1).all(1).float().mean()
    assert 0.14 < grey < 0.26


def test_a_turn_of_the_hue_turns_it_and_leaves_grey_alone():
    """A third of a turn takes red to green; the axes of YIQ are not those of HSV, hence the tolerance."""
    third = drawn(1, hue=0.5)
    turn = np.random.default_rng(0)
    turn.uniform(size=3)
    share = turn.uniform(-0.5, 0.5)
    red = torch.tensor([150, 100, 100], dtype=torch.uint8).reshape(1, 3, 1, 1)
    out = recoloured(red, third).flatten().tolist()
    hue = colorsys.rgb_to_hsv(*out)[0]
    assert abs((hue - share + 0.5) % 1 - 0.5) < 0.06
    assert abs(np.dot(out, LUMA) - np.dot([150, 100, 100], LUMA)) < 1
    grey = torch.full((1, 3, 2, 2), 77, dtype=torch.uint8)
    assert torch.equal(recoloured(grey, third), grey)


@pytest.mark.parametrize("side", [1, BLUR_SIDE // 4, BLUR_SIDE, 2 * BLUR_SIDE])
def test_blur_is_scipys_gaussian_filter(side):
    """Of each picture its own, in proportion to its side."""
    batch, sigmas = pictures(4, side, 0, 256), np.array([0.3, 0.0, 1.0, 2.0], np.float32) * side / BLUR_SIDE
    eye = torch.eye(3).expand(4, 3, 3)
    colours = Colours(eye, torch.zeros(4), torch.from_numpy(sigmas) * (BLUR_SIDE / side))
    out = recoloured(batch, colours)
    assert out.is_contiguous(memory_format=torch.channels_last)
    for picture, found, sigma in zip(batch.numpy().astype(float), out.numpy(), sigmas, strict=True):
        reach = math.ceil(3 * sigma)
        expected = gaussian_filter(picture, sigma, axes=(1, 2), radius=reach, mode="mirror") if sigma else picture
        assert np.abs(found - expected).max() < 0.51


@pytest.mark.parametrize("side", [24, BLUR_SIDE])
def test_a_picture_does_not_depend_on_its_batch(side):
    batch, colours = pictures(6, side), drawn(6, jitter=0.4, hue=0.1, grey=0.2, blur=0.5)
    whole = recoloured(batch, colours)
    parts = torch.cat([recoloured(batch[i : i + 2], colours[i : i + 2]) for i in (0, 2, 4)])
    assert torch.equal(whole, parts)


def test_what_leaves_the_range_of_a_byte_is_cut_off():
    white = torch.full((40, 3, 2, 2), 250, dtype=torch.uint8)
    out = recoloured(white, drawn(40, jitter=0.4))
    assert out.dtype == torch.uint8
    assert (out == 255).any()
    assert out.min() > 140

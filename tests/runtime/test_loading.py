"""stages/runtime/loading.py: views reach the network the same, whichever way they take."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stages.artifacts.pictures import PackedImages
from stages.method.views import Views, fixed_crops, random_views
from stages.runtime import loading
from stages.runtime.loading import load_views, on_device

CPU = torch.device("cpu")
AUGMENT = {"area": 0.2, "flip": 0.5, "jitter": 0.4, "hue": 0.1, "grey": 0.2, "blur": 0.3}


def job(workers=0):
    return SimpleNamespace(workers=workers, device_memory=0.5, say=lambda *_: None)


@pytest.fixture(scope="module")
def images(finished):
    return PackedImages(finished.root / "data/images/demo")


def groups(images):
    """Two large views and three small ones of each of some pictures, and their middles."""
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(images))[:50]
    large = random_views(np.repeat(drawn, 2), images.height, images.width, rng, side=24, **AUGMENT)
    small = random_views(np.repeat(drawn, 3), images.height, images.width, rng, side=8, **AUGMENT)
    (centre,) = fixed_crops(images.height[drawn], images.width[drawn], 16, "centre")
    return [(large, 2), (small, 3), (Views(drawn, centre, 16), 1)]


SPANS = [(0, 20), (20, 37), (37, 50)]


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=pytest.mark.gpu)])
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("workers", [0, 3])
def test_a_device_makes_the_same_views_from_pixels_that_stay_or_come(images, resident, workers, device):
    expected = list(load_views(job(), images, groups(images), SPANS, CPU))
    assert [[tuple(batch.shape) for batch in step] for step in expected] == [
        [(2 * n, 3, 24, 24), (3 * n, 3, 8, 8), (n, 3, 16, 16)] for n in (20, 17, 13)
    ]
    found = list(on_device(job(workers), images, groups(images), SPANS, device, resident=resident))
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            # A device may round a colour the other way.
            assert one.shape == other.shape
            assert (one.cpu().int() - other.int()).abs().max() <= (0 if device == CPU else 1)


def test_views_are_of_the_pictures_that_they_name(images):
    (centres,) = zip(*load_views(job(), images, groups(images)[2:], SPANS, CPU), strict=True)
    drawn = groups(images)[2][0].images
    expected = np.stack([images.centre_crop(image, 16) for image in drawn])
    assert torch.equal(torch.cat(centres).permute(0, 2, 3, 1), torch.from_numpy(expected))


def test_more_batches_than_buffers_come_in_order(images):
    spans = [(i, i + 1) for i in range(50)]
    one = [step[0] for step in on_device(job(1), images, groups(images)[:1], spans, CPU, resident=False)]
    other = [step[0] for step in load_views(job(), images, groups(images)[:1], spans, CPU)]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_tall_and_wide_pictures_are_resized_in_parts(images, monkeypatch):
    sizes = []
    whole = loading.resized_windows
    monkeypatch.setattr(
        loading,
        "resized_windows",
        lambda pixels, part, *rest: sizes.append(len(part.start)) or whole(pixels, part, *rest),
    )
    expected = list(on_device(job(), images, groups(images), SPANS[:1], CPU, resident=True))
    assert sizes == [40, 60, 20]
    monkeypatch.setattr(loading, "MOST_PIXELS", 3 * 24 * 24 * 10)
    found = list(on_device(job(), images, groups(images), SPANS[:1], CPU, resident=True))
    assert len(sizes[3:]) > 10 and sum(sizes[3:]) == 120
    assert all(torch.equal(one, other) for one, other in zip(found[0], expected[0], strict=True))

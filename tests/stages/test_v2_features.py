"""stages/extract.py by `recipe: deepcluster-v2`: unit vectors of the fixed view and of random ones."""

import numpy as np
import pytest
import torch
from stage_helpers import RUN, Stopping, change, epoch, files, run_one
from v2_helpers import DIM, NAMES, VIEWS, N, features_of

from pipeline import open_run
from stages.artifacts.pictures import PackedImages
from stages.artifacts.run_params import load_run_params
from stages.method.colours import recoloured
from stages.method.views import random_views

WHERE = ["epochs/0001", "epochs/0002", "final"]


def through_network(project, before, crops, colours=None):
    """Each crop alone through the network of an epoch."""
    network = open_run("demo", project.root).model(before)
    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    batch = batch if colours is None else recoloured(batch, colours)
    with torch.inference_mode():
        return np.stack([network.features(picture[None])[0].numpy() for picture in batch])


def test_an_epoch_has_no_file_and_no_stage_of_whitening(finished_v2):
    for where in WHERE[:2]:
        assert (
            sorted(path.name for path in epoch(finished_v2, "", where).iterdir() if "dvc." not in path.name)
            == (NAMES["files"])
        )
    for name in ("dvc.yaml", "dvc.lock"):
        assert "whiten" not in epoch(finished_v2, name, "final").read_text()
    assert list((finished_v2.root / RUN).rglob("*white*")) == list((finished_v2.root / RUN).rglob("pca*")) == []


@pytest.mark.parametrize("where", WHERE)
def test_features_are_unit_vectors_of_each_view(finished_v2, where):
    found = features_of(finished_v2, where)
    assert (found.shape, found.dtype) == ((N, VIEWS, DIM), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, rtol=1e-5)
    assert abs(found[:, 0] - found[:, 1]).max(1).min() > 1e-4


@pytest.mark.parametrize(("where", "before"), [("epochs/0001", 0), ("epochs/0002", 1), ("final", 2)])
def test_the_first_view_is_the_fixed_one_through_the_network_of_the_epoch_before(finished_v2, where, before):
    images = PackedImages(finished_v2.root / "data/images/demo")
    some = [0, 15, 16, 31, 32, N - 1]
    expected = through_network(finished_v2, before, [images.centre_crop(i, 16) for i in some])
    np.testing.assert_allclose(features_of(finished_v2, where)[some, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("where", "number"), [("epochs/0001", 1), ("epochs/0002", 2), ("final", 3)])
def test_the_second_view_is_a_random_crop_of_changed_colours(finished_v2, where, number):
    images = PackedImages(finished_v2.root / "data/images/demo")
    settings = load_run_params(finished_v2.root / RUN).extract
    assert settings.augment.jitter == 0.4
    rng = np.random.default_rng([number, 1])
    views = random_views(np.arange(N), images.height, images.width, rng, side=16, **settings.augment.model_dump())
    found = features_of(finished_v2, where)[:, 1]
    expected = through_network(finished_v2, number - 1, views.batch(images, 0, N), views.colours)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_random_views_of_one_network_differ_between_epochs_and_the_fixed_view_does_not(v2_copy):
    first = features_of(v2_copy, "epochs/0001")
    target = epoch(v2_copy, "checkpoint.pt", "epochs/0001")
    target.unlink()
    target.write_bytes(epoch(v2_copy, "checkpoint.pt", "epochs/0000").read_bytes())
    run_one(v2_copy, "extract", "epochs/0002")
    second = features_of(v2_copy, "epochs/0002")
    assert np.array_equal(first[:, 0], second[:, 0])
    assert (abs(first[:, 1] - second[:, 1]).max(1) > 1e-4).mean() > 0.95


@pytest.mark.parametrize("workers", [0, 4])
def test_the_same_features_come_again_whatever_the_number_of_workers(v2_copy, workers):
    before = files(epoch(v2_copy, "features.zarr"))
    change(v2_copy, {"workers": workers})
    run_one(v2_copy, "extract")
    assert files(epoch(v2_copy, "features.zarr")) == before


def test_a_stopped_extraction_goes_on_with_the_same_views(v2_copy):
    before = files(epoch(v2_copy, "features.zarr"))
    with pytest.raises(KeyboardInterrupt):
        run_one(v2_copy, "extract", report=Stopping(3))
    assert not epoch(v2_copy, "features.zarr").exists()
    report = Stopping()
    run_one(v2_copy, "extract", report=report)
    assert report.totals == [N - 32]
    assert files(epoch(v2_copy, "features.zarr")) == before


@pytest.mark.parametrize("views", [1, 3])
def test_there_are_as_many_views_as_are_asked_for_and_those_of_fewer_stay(v2_copy, views):
    before = features_of(v2_copy, "epochs/0001")
    change(v2_copy, {"extract": {"views": views}})
    run_one(v2_copy, "extract")
    found = features_of(v2_copy, "epochs/0001")
    assert found.shape == (N, views, DIM)
    shared = min(views, VIEWS)
    assert np.array_equal(found[:, :shared], before[:, :shared])
    assert views == 1 or abs(found[:, 2] - found[:, 1]).max(1).min() > 1e-4


def test_float16_halves_the_features_and_keeps_their_views(v2_copy):
    full = features_of(v2_copy, "epochs/0001")
    change(v2_copy, {"extract": {"dtype": "float16"}})
    run_one(v2_copy, "extract")
    assert np.array_equal(features_of(v2_copy, "epochs/0001"), full.astype(np.float16))
    run_one(v2_copy, "cluster")
    assert np.load(epoch(v2_copy, "centroids.npy")).dtype == np.float32

"""stages/extract.py run alone on a finished run: rows, save points, and features that are refused."""

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from stage_helpers import RUN, N, Stopping, change, epoch, files, refused, run_one, scaled_last_layer, with_network

from stages.artifacts.checkpoints import build
from stages.artifacts.pictures import PackedImages
from stages.artifacts.run_params import load_run_params


def test_row_i_of_the_features_is_picture_i(finished):
    """Computed here one picture at a time, from the packed pixels and the checkpoint."""
    params = load_run_params(finished.root / RUN)
    network = build(params.model).eval()
    network.load_state_dict(torch.load(epoch(finished, "checkpoint.pt", "epochs/0000"), weights_only=True)["network"])
    features = zarr.open_array(epoch(finished, "features.zarr"), mode="r")
    images = PackedImages(finished.root / "data/images/demo")
    assert features.shape == (N, network.dim)
    assert features.dtype == np.float32
    for i in (0, 31, 32, 63, 64, 128, N - 1):
        crop = images.centre_crop(i, params.model.input)
        with torch.inference_mode():
            row = network.features(torch.from_numpy(crop.copy()).permute(2, 0, 1)[None])[0].numpy()
        assert np.allclose(features[i], row, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 4])
def test_workers_do_not_change_the_features(finished_copy, workers):
    before = files(epoch(finished_copy, "features.zarr"))
    change(finished_copy, {"workers": workers})
    run_one(finished_copy, "extract")
    assert files(epoch(finished_copy, "features.zarr")) == before


def test_a_stopped_extract_goes_on_after_the_last_chunk_and_gives_the_same_bytes(finished_copy):
    project = finished_copy
    before = files(epoch(project, "features.zarr"))
    with pytest.raises(KeyboardInterrupt):
        run_one(project, "extract", report=Stopping(3))
    assert not epoch(project, "features.zarr").exists()
    report = Stopping()
    run_one(project, "extract", report=report)
    assert report.totals == [N - 64]
    assert files(epoch(project, "features.zarr")) == before


def test_float16_on_request_is_the_rounded_float32(finished_copy):
    project = finished_copy
    full = zarr.open_array(epoch(project, "features.zarr"), mode="r")[:]
    change(project, {"extract": {"dtype": "float16"}})
    run_one(project, "extract")
    half = zarr.open_array(epoch(project, "features.zarr"), mode="r")
    assert half.dtype == np.float16
    assert np.array_equal(half[:], full.astype(np.float16))


def test_features_that_overflow_float16_are_refused(finished_copy):
    project = finished_copy
    change(project, {"extract": {"dtype": "float16"}})
    with_network(project, scaled_last_layer(1e12))
    line = refused(lambda: run_one(project, "extract"))
    assert "extract.dtype" in line
    assert "--set extract.dtype=float32" in line
    assert not epoch(project, "features.zarr").exists()


def test_features_that_are_not_finite_are_refused(finished_copy):
    with_network(finished_copy, scaled_last_layer(float("nan")))
    assert "not finite" in refused(lambda: run_one(finished_copy, "extract"))
    assert not epoch(finished_copy, "features.zarr").exists()


def test_the_whole_picture_is_seen_on_request(finished_copy):
    """Computed here from pictures that Pillow squashed."""
    project = finished_copy
    change(project, {"extract": {"view": "whole"}})
    run_one(project, "extract")
    params = load_run_params(project.root / RUN)
    network = build(params.model).eval()
    network.load_state_dict(torch.load(epoch(project, "checkpoint.pt", "epochs/0000"), weights_only=True)["network"])
    features = zarr.open_array(epoch(project, "features.zarr"), mode="r")
    images = PackedImages(project.root / "data/images/demo")
    side = params.model.input
    for i in (0, 64, N - 1):
        rows = Image.fromarray(images[i]).resize((side, len(images[i])), Image.Resampling.BILINEAR)
        seen = np.array(rows.resize((side, side), Image.Resampling.BILINEAR))
        with torch.inference_mode():
            row = network.features(torch.from_numpy(seen).permute(2, 0, 1)[None])[0].numpy()
        assert np.allclose(features[i], row, rtol=1e-4, atol=1e-6)

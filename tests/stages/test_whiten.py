"""stages/whiten.py run alone on a finished run: damaged chunks, odd features, and threads."""

import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from stage_helpers import EPOCH, RUN, N, change, epoch, files, refused, remove, run_one

from stages.artifacts.chunks import ChunkWriter


@pytest.mark.parametrize("where", [EPOCH, "epochs/0002", "final"])
@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_a_damaged_chunk_of_features_is_named_with_the_command_that_helps(finished_copy, where, damage):
    project = finished_copy
    chunk = epoch(project, "features.zarr/c.1.0", where)
    chunk.unlink() if damage == "deleted" else os.truncate(chunk, 100)
    line = refused(lambda: run_one(project, "whiten", where))
    assert str(chunk) in line
    number = "final" if where == "final" else str(int(where[-4:]))
    assert re.search(rf"rerun extract( --run demo)? --epoch {number}`", line)
    assert not epoch(project, "whitened.zarr", where).exists()
    assert not epoch(project, "pca.npz", where).exists()


def put_features(project, rows):
    folder = epoch(project, "features.zarr")
    remove(folder)
    rows = rows.astype(np.float32)
    ChunkWriter(folder, (64, rows.shape[1]), "float32").write_all(
        (rows[i : i + 64] for i in range(0, len(rows), 64)), len(rows)
    )


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_features_that_are_all_equal_are_refused(finished_copy, value):
    put_features(finished_copy, np.full((N, 256), value))
    assert "all features are equal" in refused(lambda: run_one(finished_copy, "whiten"))
    assert not epoch(finished_copy, "whitened.zarr").exists()


def test_constant_columns_lower_the_rank_and_that_is_told(finished_copy):
    project = finished_copy
    change(project, {"whiten": {"dim": 128}})
    rows = np.zeros((1000, 512))
    rows[:, ::10][:, :50] = np.random.default_rng(0).normal(size=(1000, 50))
    rows[:, 3] = 7
    put_features(project, rows)
    assert "rank 50 of 128" in run_one(project, "whiten")
    white = zarr.open_array(epoch(project, "whitened.zarr"), mode="r")[:]
    assert white.shape == (1000, 128)
    assert np.isfinite(white).all()
    assert np.allclose(np.linalg.norm(white, axis=1), 1, atol=1e-5)
    assert not white[:, 50:].any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_value_that_is_not_finite_is_refused(finished_copy, value):
    rows = np.random.default_rng(0).normal(size=(N, 256))
    rows[100, 7] = value
    put_features(finished_copy, rows)
    assert "not finite" in refused(lambda: run_one(finished_copy, "whiten"))
    assert not epoch(finished_copy, "whitened.zarr").exists()


def test_whitening_does_not_depend_on_the_threads_of_the_machine(finished_copy):
    """`threads` is part of the run: the same value gives the same bytes on any machine."""
    before = {name: files(epoch(finished_copy))[name] for name in ("pca.npz", "whitened.zarr/c.0.0")}
    ambient = torch.get_num_threads()
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            run_one(finished_copy, "whiten")
            assert {name: files(epoch(finished_copy))[name] for name in before} == before
    finally:
        torch.set_num_threads(ambient)


def test_whitening_with_1_2_and_4_threads_agrees_and_the_number_is_recorded(finished_copy):
    project = finished_copy
    results = {}
    for threads in (1, 2, 4):
        change(project, {"threads": threads})
        run_one(project, "whiten")
        results[threads] = zarr.open_array(epoch(project, "whitened.zarr"), mode="r")[:]
        last = pd.read_csv(project.root / RUN / "timings.csv").iloc[-1]
        assert (last["stage"], last["threads"]) == ("whiten", threads)
    assert np.abs(results[1] - results[2]).max() < 1e-4
    assert np.abs(results[1] - results[4]).max() < 1e-4


def test_without_scaling_it_is_pca_and_unit_length(finished_copy):
    change(finished_copy, {"whiten": {"scale": False}})
    run_one(finished_copy, "whiten")
    features = zarr.open_array(epoch(finished_copy, "features.zarr"), mode="r")[:].astype(np.float64)
    rows = zarr.open_array(epoch(finished_copy, "whitened.zarr"), mode="r")[:]
    centred = features - features.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][: rows.shape[1]]
    expected = centred @ axes.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(rows @ rows.T, expected @ expected.T, atol=1e-5)

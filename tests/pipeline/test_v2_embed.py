"""pipeline/embed.py and weights.py with a run by `recipe: deepcluster-v2`: pictures and weights that leave it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from pipeline_helpers import content_of, params_of, quiet
from projects import merged, small_project
from safetensors.torch import load_file
from v2_helpers import DIM, V2, N, features_of

from pipeline import open_run
from pipeline.embed import embed
from pipeline.preparing import Request, prepare
from pipeline.results.embedder import Embedder
from pipeline.results.epoch_files import EpochFiles
from stages.runtime.report import Reporter

PICTURES = "data/images/demo/pictures"


@pytest.mark.parametrize(("epoch", "where"), [(None, "final"), (1, "epochs/0001"), (2, "epochs/0002")])
def test_the_runs_own_pictures_land_in_their_own_clusters(finished_v2, tmp_path, epoch, where):
    out = tmp_path / "out.parquet"
    report = Reporter(stream=io.StringIO())
    assert embed(finished_v2.root, "demo", finished_v2.path(PICTURES), out, report, epoch).count == N
    table = pd.read_parquet(out)
    assert list(table.columns) == ["path", "cluster", "distance", "embedding"]
    own = pd.read_parquet(finished_v2.run_path(f"{where}/assignments.parquet"))
    assert table["cluster"].tolist() == own["cluster"].tolist()
    assert table["distance"].tolist() == own["distance"].tolist()
    vectors = np.stack(table["embedding"].to_list())
    assert (vectors.shape, vectors.dtype) == ((N, DIM), np.float32)
    assert np.array_equal(vectors, features_of(finished_v2, where)[:, 0])


def test_an_embedder_needs_no_pca(finished_v2):
    params = params_of(finished_v2.root)
    embedder = Embedder(EpochFiles(finished_v2.root, "demo", params), "final", quiet())
    assert embedder.dim == DIM
    crops = [embedder.crop(open_run("demo", finished_v2.root).packed()[i]) for i in (0, 1)]
    rows = embedder.whitened(crops)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    # The first of several clusterings.
    centroids = np.load(finished_v2.run_path("final/centroids.npy"))[0]
    cluster, distance = embedder.assigned(rows)
    squared = ((rows[:, None] - centroids) ** 2).sum(2)
    assert cluster.tolist() == squared.argmin(1).tolist()
    np.testing.assert_allclose(distance, squared.min(1), atol=1e-6)


def test_weights_for_torchvision_are_without_the_projection(cli, tmp_path):
    change = {
        "model": {"architecture": "resnet18", "width": 1.0, "input": 32},
        "train": {"small": {"views": 0}},
        "datasets": {"demo": {"size": 32, "generate": {"images": 20}}},
        "epochs": 0,
    }
    project = small_project(tmp_path / "project", merged(V2, change), plan=False)
    project.run()
    out = tmp_path / "out.safetensors"
    ended = cli(project.root, "weights", "--torchvision", out)
    assert (ended.status, ended.err) == (0, "")
    state, ours = load_file(out), open_run("demo", project.root).model(0).state_dict()
    assert any(name.startswith("projection.") for name in ours)
    assert not any("projection" in name for name in state)
    assert len(state) == sum(not name.startswith("projection.") for name in ours)
    assert torch.equal(state["conv1.weight"], ours["convolutions.0.weight"])


def test_a_run_begins_with_given_weights_below_a_projection_of_its_own(v2_copy, tmp_path):
    file = tmp_path / "given.safetensors"
    file.write_bytes(v2_copy.run_path("model.safetensors").read_bytes())
    v2_copy.run("given", dataset="demo", weights=str(file), epochs=0)
    assert "projection" not in content_of(v2_copy.root)["runs"]["given"]["model"]
    params = params_of(v2_copy.root, "given")
    assert (params.recipe, params.model) == ("deepcluster-v2", params_of(v2_copy.root).model)
    given, states = load_file(file), []
    for run in ("given", "demo"):
        path = v2_copy.run_path("epochs/0000/checkpoint.pt", run)
        states.append(torch.load(path, weights_only=True)["network"])
    mine, theirs = states
    assert mine.keys() == theirs.keys()
    projected = {name for name in mine if name.startswith("projection.")}
    assert all(torch.equal(mine[name], given[name]) for name in mine.keys() - projected)
    # Drawn by the seed, as that of any run; its statistics are of what the given network makes of the pictures.
    drawn = {name for name in projected if "running" not in name}
    assert all(torch.equal(mine[name], theirs[name]) for name in drawn)
    assert not any(torch.equal(mine[name], theirs[name]) for name in projected - drawn)
    with torch.inference_mode():
        assert open_run("given", v2_copy.root).features("final").shape == (N, 2, DIM)


def test_given_weights_alone_leave_the_projection_to_params_yaml(v2_copy, tmp_path):
    file = tmp_path / "given.safetensors"
    file.write_bytes(v2_copy.run_path("model.safetensors").read_bytes())
    prepared = prepare(v2_copy.root, Request("alone", weights=str(file), epochs=0))
    assert prepared.params.model == params_of(v2_copy.root).model
    assert prepared.params.dataset is None

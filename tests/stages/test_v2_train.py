"""stages/train.py by `recipe: deepcluster-v2`: what a step sees, kills, and files that are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from stage_helpers import Stopping, change, epoch, files, refused, run_one
from v2_helpers import DIM, HEADS, K, N

from stages import train as train_module
from stages.artifacts.pictures import PackedImages
from stages.artifacts.weights import load_backbone, read_weights
from stages.method.colours import recoloured
from stages.runtime import save_points

LABELS = ["label", "label_1", "label_2"]


class Seen:
    """What the stage draws and hands to each step of an epoch."""

    def __init__(self, project, monkeypatch, where="epochs/0001"):
        self.views, self.steps, self.learners = [], [], []
        for name, found in (("random_views", self.views), ("train_step", self.steps), ("new_learner", self.learners)):
            monkeypatch.setattr(train_module, name, self.recorded(getattr(train_module, name), name, found))
        run_one(project, "train", where)
        monkeypatch.undo()

    def recorded(self, function, name, found):
        def recording(*words, **options):
            result = function(*words, **options)
            found.append(words[1] if name in ("train_step", "new_learner") else result)
            return result

        return recording


def test_a_step_has_two_views_of_each_drawn_picture_and_a_small_one_with_its_labels(v2_copy, monkeypatch):
    seen = Seen(v2_copy, monkeypatch)
    labels = pd.read_parquet(epoch(v2_copy, "pseudolabels.parquet"))[LABELS].to_numpy()
    images = PackedImages(v2_copy.root / "data/images/demo")
    large, small = seen.views
    assert (large.side, small.side, len(large), len(small)) == (16, 8, 2 * N, N)
    # Every picture equally often, its two views side by side; the small ones are of the same pictures.
    assert np.array_equal(large.images[0::2], large.images[1::2])
    assert np.array_equal(large.images[0::2], small.images)
    assert sorted(small.images) == list(range(N)) != small.images.tolist()
    assert [[len(batch.pictures) for batch in step] for step in seen.steps] == [[32, 16]] * 4 + [[12, 6]]
    for views, number, per_step in ((large, 0, 32), (small, 1, 16)):
        for i, batches in enumerate(seen.steps):
            batch, start = batches[number], i * per_step
            stop = start + len(batch.pictures)
            assert np.array_equal(batch.labels, labels[views.images[start:stop]])
            pictures = torch.from_numpy(views.batch(images, start, stop)).permute(0, 3, 1, 2)
            assert torch.equal(batch.pictures, recoloured(pictures, views.colours[start:stop]))
            assert not torch.equal(batch.pictures, pictures)


def test_small_crops_show_less_than_the_others(v2_copy, monkeypatch):
    change(v2_copy, {"train": {"augment": {"area": 0.5}}})
    seen = Seen(v2_copy, monkeypatch)
    images = PackedImages(v2_copy.root / "data/images/demo")
    shares = []
    for views in seen.views:
        whole = images.height[views.images].astype(float) * images.width[views.images]
        shares.append(views.crops.height * views.crops.width / whole)
    assert shares[0].min() > 0.4 and shares[0].max() > 0.9
    assert shares[1].min() > 0.02 and shares[1].max() < 0.2


def test_crops_differ_between_views_and_between_epochs(v2_copy, monkeypatch):
    first, second = (Seen(v2_copy, monkeypatch, where).views[0] for where in ("epochs/0001", "epochs/0002"))
    crops = [np.stack([v.crops.top, v.crops.left, v.crops.height, v.crops.width], axis=1) for v in (first, second)]
    assert (crops[0][0::2] != crops[0][1::2]).any(axis=1).mean() > 0.9
    assert (crops[0] != crops[1]).any(axis=1).mean() > 0.9
    assert first.images.tolist() != second.images.tolist()


def test_the_steps_of_an_epoch_count_the_views_without_the_small_ones(finished_v2):
    steps = pd.read_parquet(epoch(finished_v2, "trained/steps.parquet"))
    assert steps["images"].tolist() == [32] * 4 + [12]
    assert (steps["correct"] <= steps["images"]).all() and steps["correct"].sum() > 0
    assert np.isfinite(steps["loss"]).all()


def test_a_network_learns_from_fixed_centroids_which_are_kept_nowhere(finished_v2):
    states = [
        torch.load(epoch(finished_v2, name, where), weights_only=True)["network"]
        for name, where in (("checkpoint.pt", "epochs/0000"), ("trained/checkpoint.pt", "epochs/0001"))
    ]
    assert states[0].keys() == states[1].keys()
    moved = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert {"convolutions.0.weight", "projection.0.weight", "projection.3.weight", "projection.1.running_mean"} < moved
    assert states[1]["projection.3.weight"].shape == (DIM, 16)


def test_the_centroid_of_a_pseudo_label_is_that_of_its_cluster_where_others_are_empty(v2_copy, monkeypatch):
    path = epoch(v2_copy, "assignments.parquet")
    table = pd.read_parquet(path)
    table["cluster"] = np.int32([4] * 30 + [1] * 40)
    table["cluster_1"] = np.int32([0, 2] * 35)
    table.to_parquet(path)
    run_one(v2_copy, "pseudolabel")
    centroids = torch.from_numpy(np.load(epoch(v2_copy, "centroids.npy")))
    (given,) = Seen(v2_copy, monkeypatch).learners
    assert centroids.shape == (HEADS, K, DIM)
    wanted = [centroids[0, [1, 4]], centroids[1, [0, 2]], centroids[2]]
    assert all(map(torch.equal, given, wanted)) and len(given) == HEADS


@pytest.mark.parametrize("shards", [1, 2])
def test_neither_workers_nor_a_stop_change_what_is_trained(v2_copy, monkeypatch, shards):
    before = files(epoch(v2_copy, "trained"))
    if shards > 1:
        change(v2_copy, {"train": {"shards": shards}})
        plain = before
        run_one(v2_copy, "train")
        before = files(epoch(v2_copy, "trained"))
        assert before != plain
    for workers in (0, 4):
        change(v2_copy, {"workers": workers})
        run_one(v2_copy, "train")
        assert files(epoch(v2_copy, "trained")) == before, workers
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(train_module, "CHECK_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        run_one(v2_copy, "train", report=Stopping(4))
    assert not epoch(v2_copy, "trained").exists()
    report = Stopping()
    assert "goes on at iteration 4 of 5" in run_one(v2_copy, "train", report=report)
    assert report.totals == [12]
    assert files(epoch(v2_copy, "trained")) == before


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("cluster", "features.zarr/zarr.json"),
        ("train", "centroids.npy"),
        ("train", "assignments.parquet"),
        ("train", "pseudolabels.parquet"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_input_that_is_missing_or_cut_is_refused_by_name(v2_copy, stage, name, damage):
    path = epoch(v2_copy, name)
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    line = refused(lambda: run_one(v2_copy, stage))
    assert str(epoch(v2_copy, name.partition("/")[0])) in line


def test_labels_of_other_pictures_are_refused(v2_copy):
    path = epoch(v2_copy, "pseudolabels.parquet")
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    assert "is of other images; rerun pseudolabel" in refused(lambda: run_one(v2_copy, "train"))


def test_model_safetensors_holds_the_network_without_its_projection(finished_v2):
    path = finished_v2.run_path("model.safetensors")
    found = load_backbone(path)
    trained = torch.load(finished_v2.run_path("epochs/0002/checkpoint.pt"), weights_only=True)["network"]
    assert found.network.projection is None and found.network.dim == 32
    below = {name: value for name, value in trained.items() if not name.startswith("projection.")}
    assert 0 < len(below) < len(trained)
    assert found.network.state_dict().keys() == below.keys()
    assert all(torch.equal(found.network.state_dict()[name], below[name]) for name in below)
    assert "projection" not in path.read_bytes()[:20_000].decode("latin-1")
    assert read_weights(path).model.projection.dim is None
    assert found.training.method == "deepcluster-v2"

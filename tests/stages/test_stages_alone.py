"""The stages of an epoch, each run alone on a finished run: what it writes, refuses, and leaves as it was."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from safetensors.torch import load_file
from stage_helpers import (
    RUN,
    FullDisk,
    Stopping,
    change,
    files,
    refused,
    remove,
    run_one,
    tmpfs,
)

from stages import pseudolabel as pseudolabel_module
from stages import train as train_module
from stages.artifacts.checkpoints import build
from stages.artifacts.chunks import ChunkReader, ChunkWriter
from stages.artifacts.pictures import PackedImages
from stages.artifacts.publishing import failure
from stages.artifacts.run_params import load_run_params

EPOCH = "epochs/0001"
N = 170


def epoch(project, name="", where=EPOCH):
    return project.root / RUN / where / name


def everything(project):
    return files(project.root / "data")


def with_network(project, alter, where="epochs/0000"):
    """Alters the weights in a checkpoint."""
    path = epoch(project, "checkpoint.pt", where)
    content = torch.load(path, weights_only=True)
    alter(content)
    path.unlink()
    torch.save(content, path)


STAGES = {
    "generate": "data/images/demo",
    "pack": "data/images/demo",
    "resolve": RUN,
    "init": RUN,
    "extract": f"{RUN}/{EPOCH}",
    "whiten": f"{RUN}/{EPOCH}",
    "cluster": f"{RUN}/epochs/0002",
    "pseudolabel": f"{RUN}/{EPOCH}",
    "train": f"{RUN}/epochs/0002",
    "checkpoint": f"{RUN}/{EPOCH}",
    "export": RUN,
    "figures": RUN,
}
OUTS = {
    "generate": ["pictures"],
    "pack": ["pixels.zarr", "manifest.parquet", "rejected.parquet", "pack.json"],
    "resolve": ["params.yaml"],
    "init": ["epochs/0000/checkpoint.pt"],
    "extract": ["features.zarr"],
    "whiten": ["pca.npz", "whitened.zarr"],
    "cluster": ["centroids.npy", "assignments.parquet", "clustering.json"],
    "pseudolabel": ["pseudolabels.parquet"],
    "train": ["trained"],
    "checkpoint": ["checkpoint.pt", "metrics.json"],
    "export": ["model.safetensors", "history.csv"],
    "figures": ["../../figures"],
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_in_a_process_of_its_own_gives_the_bytes_of_the_warm_process(finished_copy, stage):
    project = finished_copy
    before = everything(project)
    folder = project.root / STAGES[stage]
    for name in OUTS[stage]:
        # As DVC does: `resolve` finds its old output, the others do not.
        if stage != "resolve":
            remove(folder / name)
    done = project.command("python", "-m", f"stages.{stage}", ".", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert everything(project) == before
    assert not list(project.root.rglob(".partial-*"))


@pytest.mark.slow
def test_a_refusing_stage_in_a_process_of_its_own_ends_with_one_line_and_status_1(finished_copy):
    project = finished_copy
    (epoch(project, "features.zarr") / "c.1.0").unlink()
    remove(epoch(project, "whitened.zarr"))
    remove(epoch(project, "pca.npz"))
    before = everything(project)
    done = project.command("python", "-m", "stages.whiten", ".", cwd=epoch(project))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert everything(project) == before
    assert "refused: " in (project.root / RUN / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["a", "b"]])
def test_a_stage_without_one_folder_says_how_to_call_it(finished, words):
    done = finished.command("python", "-m", "stages.pseudolabel", *words)
    assert done.returncode == 2
    assert "usage: python -m stages.pseudolabel FOLDER" in done.stderr


# generate


def test_more_pictures_leave_the_first_as_they_are(finished_copy):
    from stages.dag.graph import dataset_nodes
    from stages.generate import generate
    from stages.runtime.job import dataset_job
    from stages.runtime.runner import execute

    project = finished_copy
    folder = project.root / "data/images/demo/pictures"
    before = files(folder)
    project.edit({"datasets": {"demo": {"generate": {"images": N + 10}}}})
    execute(generate, dataset_job(project.root, dataset_nodes("demo", generated=True)[0], Stopping()), None)
    after = files(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == N + 10
    sizes = pd.Series([name.partition("/")[0] for name in after]).value_counts()
    assert sizes.tolist() == [18] * 10


# extract


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


def scaled_last_layer(factor):
    def alter(content):
        name = [key for key in content["network"] if key.startswith("classifier") and key.endswith("weight")][-1]
        content["network"][name] *= factor

    return alter


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


# whiten


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


# cluster


def test_distances_are_those_to_the_stored_centroids_and_to_none_nearer(finished):
    rows = ChunkReader(epoch(finished, "whitened.zarr"), "").read().astype(np.float64)
    centroids = np.load(epoch(finished, "centroids.npy")).astype(np.float64)
    table = pd.read_parquet(epoch(finished, "assignments.parquet"))
    squared = ((rows[:, None] - centroids[None]) ** 2).sum(2)
    assert table["image"].tolist() == list(range(N))
    assert np.array_equal(table["cluster"], squared.argmin(1))
    assert np.allclose(table["distance"], squared.min(1), atol=1e-6)
    assert json.loads(epoch(finished, "clustering.json").read_text())["objective"][-1] == pytest.approx(
        squared.min(1).mean(), rel=1e-6
    )


def test_a_collapse_is_told_and_marked(finished_copy):
    project = finished_copy
    rows = np.zeros((N, 32), np.float32)
    rows[:, 0] = 1
    rows[160:] = np.eye(32, dtype=np.float32)[1:11]
    remove(epoch(project, "whitened.zarr"))
    ChunkWriter(epoch(project, "whitened.zarr"), (N, 32), "float32").write_all([rows], N)
    assert "warning: the largest cluster holds 94%" in run_one(project, "cluster")
    assert json.loads(epoch(project, "clustering.json").read_text())["collapsed"] is True


def test_clusters_of_other_pictures_are_no_previous_clusters(finished_copy):
    project = finished_copy
    path = epoch(project, "assignments.parquet")
    pd.read_parquet(path).iloc[:-1].to_parquet(path)
    assert str(path) in refused(lambda: run_one(project, "cluster", "epochs/0002"))
    assert not epoch(project, "assignments.parquet", "epochs/0002").exists()


def test_the_labels_method_makes_the_classes_the_clusters(finished_copy):
    project = finished_copy
    change(project, {"cluster": {"method": "labels"}})
    run_one(project, "cluster")
    labels = PackedImages(project.root / "data/images/demo").label
    assert np.array_equal(pd.read_parquet(epoch(project, "assignments.parquet"))["cluster"], labels)
    assert json.loads(epoch(project, "clustering.json").read_text())["nmi_labels"] == pytest.approx(1)


# pseudolabel


def put_clusters(project, clusters):
    frame = pd.DataFrame({"image": np.arange(len(clusters)), "cluster": np.int32(clusters), "distance": 0.0})
    frame.to_parquet(epoch(project, "assignments.parquet"))


def test_pseudo_labels_are_dense_and_their_weights_uniform_over_labels(finished_copy):
    put_clusters(finished_copy, [7] * 100 + [2] * 60 + [9] * 10)
    run_one(finished_copy, "pseudolabel")
    table = pd.read_parquet(epoch(finished_copy, "pseudolabels.parquet"))
    assert table["label"].tolist() == [1] * 100 + [0] * 60 + [2] * 10
    assert np.allclose(table.groupby("label")["weight"].sum(), 1 / 3)
    assert np.allclose(table["weight"], [1 / 300] * 100 + [1 / 180] * 60 + [1 / 30] * 10)


def test_pseudo_labels_are_the_same_in_any_number_of_blocks(finished_copy, monkeypatch):
    plain = pd.read_parquet(epoch(finished_copy, "pseudolabels.parquet"))
    monkeypatch.setattr(pseudolabel_module, "BLOCK", 33)
    run_one(finished_copy, "pseudolabel")
    pd.testing.assert_frame_equal(pd.read_parquet(epoch(finished_copy, "pseudolabels.parquet")), plain)


def test_permuted_labels_keep_their_counts_and_nothing_else(finished_copy):
    project = finished_copy
    plain = pd.read_parquet(epoch(project, "pseudolabels.parquet"))["label"]
    change(project, {"pseudolabel": {"permuted": True}})
    run_one(project, "pseudolabel")
    permuted = pd.read_parquet(epoch(project, "pseudolabels.parquet"))["label"]
    assert permuted.value_counts().to_dict() == plain.value_counts().to_dict()
    assert (permuted == plain).mean() < 0.5


# train


def test_the_number_of_loader_workers_does_not_change_what_is_trained(finished_copy):
    before = files(epoch(finished_copy, "trained"))
    for workers in (0, 1, 4):
        change(finished_copy, {"workers": workers})
        run_one(finished_copy, "train")
        assert files(epoch(finished_copy, "trained")) == before, workers


def test_crops_differ_between_draws_and_between_epochs(finished_copy, monkeypatch):
    drawn = []
    function = train_module.random_crops
    monkeypatch.setattr(train_module, "random_crops", lambda *a: drawn.append(function(*a)) or drawn[-1])
    for where in (EPOCH, "epochs/0002"):
        run_one(finished_copy, "train", where)
    first, second = (np.stack([c.top, c.left, c.height, c.width], axis=1) for c in drawn)
    assert len(np.unique(first, axis=0)) > 0.95 * N
    assert (first != second).any(axis=1).mean() > 0.95
    assert (drawn[0].flip != drawn[1].flip).any()


def test_the_steps_of_an_epoch_are_recorded(finished):
    steps = pd.read_parquet(epoch(finished, "trained/steps.parquet"))
    assert steps["iteration"].tolist() == list(range(6))
    assert steps["images"].tolist() == [32] * 5 + [10]
    assert (steps["correct"] <= steps["images"]).all()
    assert np.isfinite(steps["loss"]).all()


def test_a_last_batch_of_one_picture_trains_and_ends_with_n_draws(finished_copy):
    change(finished_copy, {"train": {"batch": 13}})
    assert N % 13 == 1
    run_one(finished_copy, "train")
    steps = pd.read_parquet(epoch(finished_copy, "trained/steps.parquet"))
    assert steps["images"].sum() == N
    assert np.isfinite(steps["loss"]).all()


def test_alexnet_trains_at_63_pixels(finished_copy):
    project = finished_copy
    change(project, {"model": {"input": 63}})
    run_one(project, "init", "")
    run_one(project, "train")
    assert np.isfinite(pd.read_parquet(epoch(project, "trained/steps.parquet"))["loss"]).all()


@pytest.mark.parametrize("cause", ["learning rate", "weight"])
def test_training_stops_at_the_first_loss_that_is_not_finite(finished_copy, monkeypatch, cause):
    project = finished_copy
    losses = []
    step = train_module.train_step

    def recording(*args):
        result = step(*args)
        losses.append(float(result[0]))
        return result

    monkeypatch.setattr(train_module, "train_step", recording)
    if cause == "learning rate":
        change(project, {"train": {"lr": 1e6, "passes": 2}})
    else:
        with_network(project, scaled_last_layer(float("nan")))
    former = epoch(project, "checkpoint.pt", "epochs/0000").read_bytes()
    line = refused(lambda: run_one(project, "train"))
    first = next(i for i, loss in enumerate(losses) if not np.isfinite(loss))
    assert f"epoch 1, iteration {first}: " in line
    assert f"at lr {load_run_params(project.root / RUN).train.lr:g};" in line
    assert not epoch(project, "trained").exists()
    assert epoch(project, "checkpoint.pt", "epochs/0000").read_bytes() == former
    assert failure(epoch(project), "train") == line


def test_training_stopped_between_two_steps_goes_on_and_gives_the_same_bytes(finished_copy, monkeypatch):
    """Dropout draws from the global state, so a save point holds it too."""
    project = finished_copy
    before = files(epoch(project, "trained"))
    monkeypatch.setattr(train_module, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(train_module, "CHECK_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        run_one(project, "train", report=Stopping(5))
    assert not epoch(project, "trained").exists()
    report = Stopping()
    assert "goes on at iteration 4 of 6" in run_one(project, "train", report=report)
    assert report.totals == [32 + 10]
    assert files(epoch(project, "trained")) == before


def test_another_learning_rate_does_not_go_on_from_the_save_point(finished_copy, monkeypatch):
    project = finished_copy
    monkeypatch.setattr(train_module, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(train_module, "CHECK_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        run_one(project, "train", report=Stopping(5))
    change(project, {"train": {"lr": 0.01}})
    assert "goes on" not in run_one(project, "train")


# checkpoint, export, resolve


def test_the_checkpoint_is_a_hard_link_to_what_was_trained(finished):
    assert os.path.samefile(epoch(finished, "checkpoint.pt"), epoch(finished, "trained/checkpoint.pt"))


def test_where_links_are_refused_the_checkpoint_is_a_copy(finished_copy, monkeypatch):
    before = epoch(finished_copy, "checkpoint.pt").read_bytes()
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    run_one(finished_copy, "checkpoint")
    assert epoch(finished_copy, "checkpoint.pt").read_bytes() == before
    assert not os.path.samefile(epoch(finished_copy, "checkpoint.pt"), epoch(finished_copy, "trained/checkpoint.pt"))


def test_metrics_are_those_of_the_steps_and_of_the_clustering(finished):
    steps = pd.read_parquet(epoch(finished, "trained/steps.parquet"))
    metrics = json.loads(epoch(finished, "metrics.json").read_text())
    clustering = json.loads(epoch(finished, "clustering.json").read_text())
    assert metrics["loss"] == pytest.approx((steps["loss"] * steps["images"]).sum() / N)
    assert metrics["accuracy"] == pytest.approx(steps["correct"].sum() / N)
    assert metrics["images_trained"] == N
    assert metrics["nmi_labels"] == clustering["nmi_labels"]
    assert metrics["objective"] == clustering["objective"][-1]


def nan_in_the_statistics(content):
    name = next(name for name in content["network"] if name.endswith("running_mean"))
    content["network"][name][0] = float("nan")


def nan_in_the_momentum(content):
    content["optimizer"]["state"][0]["momentum_buffer"].view(-1)[0] = float("inf")


def another_shape(content):
    name = next(iter(content["network"]))
    content["network"][name] = content["network"][name][:1]


def missing_weight(content):
    del content["network"][next(reversed(content["network"]))]


@pytest.mark.parametrize("alter", [nan_in_the_statistics, nan_in_the_momentum, another_shape, missing_weight])
def test_a_network_that_cannot_be_used_is_no_checkpoint(finished_copy, alter):
    with_network(finished_copy, alter, f"{EPOCH}/trained")
    line = refused(lambda: run_one(finished_copy, "checkpoint"))
    assert str(epoch(finished_copy, "trained/checkpoint.pt")) in line
    assert "rerun train" in line
    assert not epoch(finished_copy, "checkpoint.pt").exists()
    assert not epoch(finished_copy, "metrics.json").exists()


class Planted:
    def __reduce__(self):
        return (os.mkdir, ("planted",))


def test_a_checkpoint_cannot_run_code(finished_copy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = epoch(finished_copy, "trained/checkpoint.pt")
    path.unlink()
    torch.save({"network": Planted(), "optimizer": {}}, path)
    assert str(path) in refused(lambda: run_one(finished_copy, "checkpoint"))
    assert not (tmp_path / "planted").exists()


READ = [
    ("whiten", "features.zarr/zarr.json"),
    ("cluster", "pca.npz"),
    ("cluster", "whitened.zarr/zarr.json"),
    ("pseudolabel", "assignments.parquet"),
    ("train", "pseudolabels.parquet"),
    ("checkpoint", "trained/checkpoint.pt"),
    ("checkpoint", "trained/steps.parquet"),
    ("checkpoint", "clustering.json"),
]


@pytest.mark.parametrize(("stage", "name"), READ)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_input_that_is_missing_or_cut_is_refused_by_name(finished_copy, stage, name, damage):
    path = epoch(finished_copy, name)
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    line = refused(lambda: run_one(finished_copy, stage))
    assert str(epoch(finished_copy, name.partition("/")[0])) in line


def test_the_exported_weights_are_those_of_the_last_epoch_without_a_top_layer(finished):
    state = torch.load(epoch(finished, "checkpoint.pt", "epochs/0002"), weights_only=True)["network"]
    exported = load_file(finished.root / RUN / "model.safetensors")
    assert exported.keys() == state.keys()
    assert all(torch.equal(exported[name], state[name]) for name in state)


def test_the_table_of_epochs_has_a_last_row_without_losses(finished):
    history = pd.read_csv(finished.root / RUN / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["loss"].isna().tolist() == [False, False, True]
    assert history["nmi_labels"].notna().all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cluster": {"k": 171}}, ["cluster.k", "171", "170"]),
        ({"whiten": {"dim": 171}}, ["whiten.dim", "171", "170"]),
        ({"epochs": 3}, ["3 epochs and 2 are planned", "pipeline plan --run demo"]),
        ({"cluster": {"every": 2}}, ["cluster.every", "pipeline plan"]),
        ({"train": {"lr": True}}, ["train.lr"]),
    ],
)
def test_resolve_refuses_what_the_pictures_or_the_plan_do_not_allow(finished_copy, values, words):
    before = (finished_copy.root / RUN / "params.yaml").read_bytes()
    finished_copy.edit(values)
    line = refused(lambda: run_one(finished_copy, "resolve", ""))
    assert all(word in line for word in words), line
    assert (finished_copy.root / RUN / "params.yaml").read_bytes() == before


# a disk that fills up


@pytest.mark.parametrize("stage", ["extract", "train"])
def test_a_full_disk_at_any_write_is_one_line_and_then_the_same_command_gives_the_same_bytes(
    finished_copy, monkeypatch, stage
):
    project = finished_copy
    whole = files(epoch(project))
    disk = FullDisk(monkeypatch, epoch(project))
    for fails_at in range(100):
        disk.arm(fails_at)
        try:
            run_one(project, stage)
        except Exception as error:
            assert disk.reached
            assert "no space left" in str(error), f"write {fails_at}: {error!r}"
            assert str(epoch(project)) in str(error)
            assert str(error).count(" MB") == 2
            assert files(epoch(project)).keys() == {name for name in whole if not name.startswith(OUTS[stage][0])}
        else:
            break
    assert fails_at >= 3
    assert files(epoch(project)) == whole


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "size"), [("extract", "120k"), ("train", "400k")])
def test_a_small_disk_that_fills_up_as_a_user_meets_it(finished_copy, tmp_path, stage, size):
    project = finished_copy
    whole = files(epoch(project))
    labels = epoch(project, "pseudolabels.parquet").read_bytes()
    with tmpfs(epoch(project), size) as resize:
        epoch(project, "pseudolabels.parquet").write_bytes(labels)
        done = project.command("python", "-m", f"stages.{stage}", ".", cwd=epoch(project))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "no space left" in done.stderr
        assert str(epoch(project)) in done.stderr
        assert re.search(r"needs \d+\.\d MB and \d+\.\d MB are free", done.stderr)
        assert list(files(epoch(project))) == ["pseudolabels.parquet"]
        resize("64m")
        done = project.command("python", "-m", f"stages.{stage}", ".", cwd=epoch(project))
        assert (done.returncode, done.stderr) == (0, "")
        made = {name: content for name, content in files(epoch(project)).items() if name.startswith(OUTS[stage][0])}
        assert made == {name: content for name, content in whole.items() if name.startswith(OUTS[stage][0])}

"""stages/train.py run alone on a finished run: steps, crops, save points, and a loss that is not finite."""

import threading

import numpy as np
import pandas as pd
import pytest
import torch
from stage_helpers import (
    EPOCH,
    RUN,
    N,
    Stopping,
    change,
    epoch,
    files,
    refused,
    run_one,
    scaled_last_layer,
    with_network,
)

from stages import train as train_module
from stages.artifacts.publishing import failure
from stages.artifacts.run_params import load_run_params
from stages.errors import Refusal
from stages.method import views as views_module
from stages.runtime import save_points


def test_the_number_of_loader_workers_does_not_change_what_is_trained(finished_copy):
    before = files(epoch(finished_copy, "trained"))
    for workers in (0, 1, 4):
        change(finished_copy, {"workers": workers})
        run_one(finished_copy, "train")
        assert files(epoch(finished_copy, "trained")) == before, workers


def test_crops_differ_between_draws_and_between_epochs(finished_copy, monkeypatch):
    drawn = []
    function = views_module.random_crops
    monkeypatch.setattr(views_module, "random_crops", lambda *a, **o: drawn.append(function(*a, **o)) or drawn[-1])
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
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
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
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(train_module, "CHECK_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        run_one(project, "train", report=Stopping(5))
    change(project, {"train": {"lr": 0.01}})
    assert "goes on" not in run_one(project, "train")


EVERYTHING = {
    "shards": 2,
    "top_dropout": 0.2,
    "top_lr": 0.1,
    "top_momentum": 0.5,
    "top_kept": True,
    "nesterov": True,
    "augment": {"area": 0.3, "flip": 0.2, "jitter": 0.4, "hue": 0.1, "grey": 0.2, "blur": 0.3},
}
"""What is off in the paper."""


def test_with_all_changes_neither_workers_nor_a_stop_change_what_is_trained(finished_copy, monkeypatch):
    project = finished_copy
    plain = files(epoch(project, "trained"))
    change(project, {"train": EVERYTHING})
    run_one(project, "train")
    before = files(epoch(project, "trained"))
    assert before != plain
    change(project, {"workers": 4})
    run_one(project, "train")
    assert files(epoch(project, "trained")) == before
    monkeypatch.setattr(save_points, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(train_module, "CHECK_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        run_one(project, "train", report=Stopping(5))
    assert "goes on at iteration 4 of 6" in run_one(project, "train")
    assert files(epoch(project, "trained")) == before


def test_a_kept_top_layer_begins_as_the_epoch_before_left_it(finished_copy, monkeypatch):
    project, tops = finished_copy, []
    function = train_module.new_learner

    def recording(*args, **options):
        learner = function(*args, **options)
        tops.append(learner.top.weight.detach().clone())
        return learner

    monkeypatch.setattr(train_module, "new_learner", recording)

    def second_after_first():
        run_one(project, "train")
        run_one(project, "checkpoint")
        run_one(project, "train", "epochs/0002")
        left = torch.load(epoch(project, "checkpoint.pt"), weights_only=True).get("top")
        return tops[-2:], left

    (first, second), left = second_after_first()
    assert left is None
    change(project, {"train": {"top_kept": True}})
    (again, kept), left = second_after_first()
    assert torch.equal(again, first)
    assert torch.equal(kept, left["weight"]) and kept.shape == second.shape
    assert not torch.equal(kept, second) and not torch.equal(kept, first)


@pytest.mark.parametrize("key", ["area", "flip", "jitter", "hue", "grey", "blur"])
def test_each_change_of_the_pictures_changes_what_is_trained(finished_copy, key):
    before = files(epoch(finished_copy, "trained"))
    change(finished_copy, {"train": {"augment": {key: EVERYTHING["augment"][key]}}})
    run_one(finished_copy, "train")
    assert files(epoch(finished_copy, "trained")) != before


def test_the_network_sees_colours_that_were_changed(finished_copy, monkeypatch):
    seen = []
    step = train_module.train_step

    def recording(learner, batches, *rest):
        (batch,) = batches
        seen.append(batch.pictures)
        return step(learner, batches, *rest)

    monkeypatch.setattr(train_module, "train_step", recording)
    change(finished_copy, {"train": {"augment": {"grey": 1.0}}})
    run_one(finished_copy, "train")
    pictures = torch.cat(seen)
    assert len(pictures) == N
    assert torch.equal(pictures[:, 0], pictures[:, 1])
    assert torch.equal(pictures[:, 0], pictures[:, 2])


def test_a_residual_network_trains_on_crops_smaller_than_those_it_is_asked_about(finished_copy, monkeypatch):
    seen = []
    step = train_module.train_step
    monkeypatch.setattr(train_module, "train_step", lambda *a: seen.append(a[1][0].pictures.shape) or step(*a))
    change(finished_copy, {"model": {"architecture": "resnet10"}, "whiten": {"dim": 16}, "train": {"input": 40}})
    run_one(finished_copy, "init", "")
    run_one(finished_copy, "extract")
    run_one(finished_copy, "train")
    assert {shape[1:] for shape in seen} == {(3, 40, 40)}


def test_a_refusal_leaves_no_thread_of_a_shard_behind(finished_copy):
    def shards():
        return [thread for thread in threading.enumerate() if thread.name.startswith("shard")]

    seen = []
    change(finished_copy, {"train": {"lr": 1e6, "passes": 2, "shards": 2}})
    step = train_module.train_step
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Refusal) as held:
        patched.setattr(train_module, "train_step", lambda *a: (step(*a), seen.append(len(shards())))[0])
        run_one(finished_copy, "train")
    # The refusal is held, and with it the stage's frame: no collection of garbage has ended the threads.
    assert held.value.__traceback__ is not None
    assert max(seen) == 2 and shards() == []

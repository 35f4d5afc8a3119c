"""Trains the network for one epoch to predict the pseudo-labels (Eq. 1, sections 3.3 and 3.4).

Under `recipe: deepcluster-v2` it predicts those of every clustering, by the cosine to fixed centroids.

reads   pack.json (pixels.zarr), checkpoint.pt of the epoch before, pseudolabels.parquet; for deepcluster-v2 also
        assignments.parquet and centroids.npy
writes  trained/checkpoint.pt   network and optimizer, with `train.top_kept` the top layer too
        trained/steps.parquet   a row a step: iteration, images (crops, without small ones), loss (mean of the batch),
                                correct (predictions of the first clustering's labels), lr
"""

from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.artifacts.arrays import read_npy, write_torch
from stages.artifacts.checkpoints import build, load, restore
from stages.artifacts.pictures import PackedImages
from stages.artifacts.tables import read_parquet, write_parquet
from stages.artifacts.writing import make_folder
from stages.dag.names import CHECKPOINT, STEPS
from stages.errors import Refusal
from stages.method.sampling import batches, released_draws, shuffled_draws, uniform_draws
from stages.method.training import Batch, Learner, learning_rate, new_learner, train_step
from stages.method.views import random_views
from stages.parameters.train import TrainKeys, TrainParams
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.loading import Group, load_views
from stages.runtime.losses import Done
from stages.runtime.runner import run_stage
from stages.runtime.save_points import SavePoints

REVISION = 4

CHECK_EVERY = 20
"""Steps between two checks of the losses, and the least between two save points."""


def train(job: Job[TrainKeys]) -> None:
    """Trains for `train.passes` draws per image; after a kill it goes on from its last save point.

    Raises:
        Refusal: a loss is not finite, the pseudo-labels are of other images, or this machine lacks the device.
    """
    params = job.params
    settings: TrainParams = params.train
    images = job.packed()
    labels = _labels(job)
    if len(labels) != len(images):
        raise Refusal(f"{job.input('pseudolabels')} is of other images; rerun pseudolabel")
    device = device_of(params.device)

    draw = {"uniform": uniform_draws, "released-code": released_draws, "shuffled": shuffled_draws}[settings.sampling]
    draws = draw(labels[:, 0], max(1, round(settings.passes * len(images))), job.rng)
    views = _views(job, draws, images)
    steps = batches(len(draws), settings.batch)

    before = load(job.input("network"))
    network = build(params.model, settings.dropout, settings.top_dropout)
    learner = new_learner(
        network,
        _centroids(job) if job.reads("centroids") else int(labels.max()) + 1,
        before["optimizer"].get("state", {}),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        top_momentum=settings.top_momentum,
        nesterov=settings.nesterov,
        shards=settings.shards,
        temperature=settings.temperature,
        kept=before.get("top") if settings.top_kept else None,
        device=device,
    )
    restore(learner.network, before["network"], job.input("network"))
    points = SavePoints(job)
    rates = [learning_rate(settings.lr, job.epoch, i, len(steps), settings.horizon) for i in range(len(steps))]
    done = _resume(job, points, learner, rates)

    wanted = [torch.from_numpy(labels[each.images]).to(device) for each, _ in views]
    loaded = load_views(job, images, views, steps[done.steps :], device)
    crops = [(b - a) * settings.views for a, b in steps]
    todo = job.progress(loaded, sum(crops[done.steps :]), lambda groups: len(groups[0]))
    with closing(learner.shards):
        for (start, stop), rate, pictures in zip(steps[done.steps :], rates[done.steps :], todo, strict=True):
            groups = [
                Batch(part, label[start * count : stop * count])
                for part, label, (_, count) in zip(pictures, wanted, views, strict=True)
            ]
            done.add(*train_step(learner, groups, rate, params.precision, settings.top_lr))
            if done.steps % CHECK_EVERY == 0:
                done.check()
                points.offer(partial(_state, learner, done))
    losses, correct = done.all()

    folder = job.output("trained")
    make_folder(folder)
    frame = pd.DataFrame(
        {
            "iteration": np.arange(len(steps), dtype=np.int32),
            "images": np.array(crops, np.int32),
            "loss": np.array(losses, np.float64),
            "correct": np.array(correct, np.int32),
            "lr": np.array(rates),
        }
    )
    write_parquet(folder / STEPS, frame)
    kept = ("network", "optimizer", "top") if settings.top_kept else ("network", "optimizer")
    write_torch(folder / CHECKPOINT, {part: _on_cpu(value) for part, value in learner.state().items() if part in kept})
    job.images = sum(crops)
    share = frame["correct"].sum() / job.images
    mean = np.average(frame["loss"], weights=frame["images"])
    job.say(f"loss {mean:.3f}, accuracy on the pseudo-labels {share:.3f}")


def _labels(job: Job[TrainKeys]) -> NDArray[np.int64]:
    """(N, heads) pseudo-labels of each picture, a column a clustering."""
    frame = read_parquet(job.input("pseudolabels"))
    return frame.filter(regex="^label").to_numpy(np.int64)


def _centroids(job: Job[TrainKeys]) -> list[Tensor]:
    """Of each clustering, the centroid of each pseudo-label: of the clusters that are not empty, in order."""
    centroids = torch.from_numpy(read_npy(job.input("centroids")))
    frame = read_parquet(job.input("assignments"))
    columns = frame.filter(regex="^cluster").to_numpy()
    return [rows[np.unique(column)] for rows, column in zip(centroids, columns.T, strict=True)]


def _views(job: Job[TrainKeys], draws: NDArray[np.int64], images: PackedImages) -> list[Group]:
    """The views of all draws, those of a draw one after the other, and how many a draw has; then the small ones."""
    settings = job.params.train
    side, small_side = settings.sides(job.params.model)
    draw = partial(random_views, height=images.height, width=images.width, rng=job.rng)
    augment = settings.augment.model_dump()
    views = [(draw(np.repeat(draws, settings.views), side=side, **augment), settings.views)]
    if settings.small.views:
        small = augment | {"area": settings.small.area, "area_most": settings.small.area_most}
        views.append((draw(np.repeat(draws, settings.small.views), side=small_side, **small), settings.small.views))
    return views


def _state(learner: Learner, done: Done) -> dict[str, Any]:
    losses, correct = done.all()
    return {"learner": learner.state(), "losses": losses, "correct": correct}


def _resume(job: Job[TrainKeys], points: SavePoints, learner: Learner, rates: list[float]) -> Done:
    """The steps that are done: those of the save point of an earlier attempt, which is restored, if there is one."""
    state = points.load()
    if state is None:
        return Done(job.epoch, rates)
    learner.load(state["learner"])
    done = Done(job.epoch, rates, state["losses"], state["correct"])
    job.say(f"goes on at iteration {done.steps} of {len(rates)}")
    return done


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.cpu()
        # `contiguous` would keep strides that mean the same, such as those of 1×1 filters, and a file holds them.
        usual = torch.empty(value.shape, device="meta").stride()
        return value if value.stride() == usual else value.clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return value


if __name__ == "__main__":
    run_stage(train)

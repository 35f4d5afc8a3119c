"""Trains the network for one epoch to predict the pseudo-labels (Eq. 1, sections 3.3 and 3.4).

reads   pack.json (pixels.zarr), checkpoint.pt of the epoch before, pseudolabels.parquet
writes  trained/checkpoint.pt   network and optimizer
        trained/steps.parquet   a row a step: iteration, images, loss (mean of the batch), correct (predictions), lr
"""

import math
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from stages.artifacts.arrays import write_torch
from stages.artifacts.checkpoints import build, load, restore
from stages.artifacts.pictures import PackedImages
from stages.artifacts.tables import read_parquet, write_parquet
from stages.artifacts.writing import make_folder
from stages.dag.names import CHECKPOINT, STEPS
from stages.errors import Refusal
from stages.method.augment import random_crops, resized_crop
from stages.method.colours import random_colours, recoloured
from stages.method.sampling import batches, released_draws, uniform_draws
from stages.method.training import Learner, learning_rate, new_learner, train_step
from stages.parameters.train import TrainKeys, TrainParams
from stages.runtime.devices import device_of
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage
from stages.runtime.save_points import SavePoints

REVISION = 2

CHECK_EVERY = 20
"""Steps between two checks of the losses. A check reads them from the device, which makes a GPU wait."""


def train(job: Job[TrainKeys]) -> None:
    """Trains for `train.passes` draws per image; after a kill it goes on from its last save point.

    Raises:
        Refusal: a loss is not finite, the pseudo-labels are of other images, or this machine lacks the device.
    """
    params = job.params
    settings: TrainParams = params.train
    images = job.packed()
    labels = read_parquet(job.input("pseudolabels"), ["label"])["label"].to_numpy(np.int64)
    if len(labels) != len(images):
        raise Refusal(f"{job.input('pseudolabels')} is of other images; rerun pseudolabel")
    device = device_of(params.device)

    draw = {"uniform": uniform_draws, "released-code": released_draws}[params.train.sampling]
    draws = draw(labels, max(1, round(params.train.passes * len(images))), job.rng)
    augment = settings.augment
    crops = random_crops(
        images.height[draws], images.width[draws], job.rng, scale=(augment.area, 1.0), flip=augment.flip
    )
    colours = None
    if augment.jitter or augment.hue or augment.grey or augment.blur:
        change = augment.model_dump(include={"jitter", "hue", "grey", "blur"})
        colours = random_colours(len(draws), job.rng, **change)
    steps = batches(len(draws), params.train.batch)

    before = load(job.input("network"))
    network = build(params.model, settings.dropout, settings.top_dropout)
    learner = new_learner(
        network,
        int(labels.max()) + 1,
        before["optimizer"].get("state", {}),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        top_momentum=settings.top_momentum,
        nesterov=settings.nesterov,
        shards=settings.shards,
        device=device,
    )
    restore(learner.network, before["network"], job.input("network"))
    points = SavePoints(job)
    losses, correct, done = _resume(job, points, learner, len(steps))

    side = settings.input or params.model.input

    def load_batch(step: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pictures = [_augmented(images, crops, i, draws[i], side) for i in range(*step)]
        return np.stack(pictures), labels[draws[slice(*step)]]

    rates = [learning_rate(settings.lr, job.epoch, i, len(steps), settings.horizon) for i in range(len(steps))]
    loaded = prefetch(load_batch, steps[done:], job.workers)
    todo = job.progress(loaded, sum(b - a for a, b in steps[done:]), lambda batch: len(batch[1]))
    with closing(learner.shards):
        for i, (pictures, targets) in enumerate(todo, start=done):
            recolour = None if colours is None else partial(recoloured, colours=colours[slice(*steps[i])])
            loss, right = train_step(learner, pictures, targets, rates[i], params.precision, recolour, settings.top_lr)
            losses.append(loss)
            correct.append(right)
            if (i + 1) % CHECK_EVERY == 0 or i + 1 == len(steps):
                losses, correct = _looked_at(losses, correct, job.epoch, rates)
                points.offer(partial(_state, learner, losses, correct))

    folder = job.output("trained")
    make_folder(folder)
    frame = pd.DataFrame(
        {
            "iteration": np.arange(len(steps), dtype=np.int32),
            "images": np.array([b - a for a, b in steps], np.int32),
            "loss": np.array(losses, np.float64),
            "correct": np.array(correct, np.int32),
            "lr": np.array(rates),
        }
    )
    write_parquet(folder / STEPS, frame)
    state = learner.state()
    write_torch(
        folder / CHECKPOINT,
        {"network": _on_cpu(state["network"]), "optimizer": _on_cpu(state["optimizer"])},
    )
    job.images = len(draws)
    share = frame["correct"].sum() / len(draws)
    mean = np.average(frame["loss"], weights=frame["images"])
    job.say(f"loss {mean:.3f}, accuracy on the pseudo-labels {share:.3f}")


def _augmented(images: PackedImages, crops: Any, i: int, image: int, size: int) -> NDArray[np.uint8]:
    """Crop and flip number `i`, of the picture number `image`: (size, size, 3)."""
    picture = resized_crop(images[image], crops.top[i], crops.left[i], crops.height[i], crops.width[i], size)
    return picture[:, ::-1] if crops.flip[i] else picture


def _looked_at(losses: list[Any], correct: list[Any], epoch: int, rates: list[float]) -> tuple[list[float], list[int]]:
    """Both lists as Python numbers, read from the device; refused where a loss is not finite."""
    values = [float(loss) for loss in losses]
    for i, value in enumerate(values):
        if not math.isfinite(value):
            raise Refusal(
                f"epoch {epoch}, iteration {i}: the loss is {value} at lr {rates[i]:g}; nothing was "
                "published; lower it with --set train.lr=…"
            )
    return values, [int(right) for right in correct]


def _state(learner: Learner, losses: list[float], correct: list[int]) -> dict[str, Any]:
    return {"learner": learner.state(), "losses": losses, "correct": correct}


def _resume(job: Job[TrainKeys], points: SavePoints, learner: Learner, steps: int) -> tuple[list[Any], list[Any], int]:
    """Restores the save point of an earlier attempt, if there is one.

    Returns:
        Losses and numbers of right predictions of the steps that are done, and how many these are.
    """
    state = points.load()
    if state is None:
        return [], [], 0
    learner.load(state["learner"])
    done = len(state["losses"])
    job.say(f"goes on at iteration {done} of {steps}")
    return state["losses"], state["correct"], done


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu().contiguous()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_on_cpu(item) for item in value]
    return value


if __name__ == "__main__":
    run_stage(train)

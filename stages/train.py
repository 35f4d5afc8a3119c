"""Trains the network for one epoch to predict the pseudo-labels (Eq. 1, sections 3.3 and 3.4).

reads   pack.json (pixels.zarr), the previous checkpoint.pt, pseudolabels.parquet
writes  trained/checkpoint.pt   network and optimizer
        trained/steps.parquet   iteration, images, loss, correct, lr
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stages.artifacts import read_parquet
from stages.checkpoints import autocast, build, device_of, load, placed, restore
from stages.errors import Refusal
from stages.images import PackedImages
from stages.job import Job
from stages.loader import prefetch
from stages.method.augment import random_crops, resized_crop
from stages.method.networks import Backbone, top_layer, trained
from stages.method.sampling import batches, released_draws, uniform_draws
from stages.params import TrainParams
from stages.publish import make_folder, write_parquet, write_torch
from stages.runner import run_stage

REVISION = 2

SAVE_SECONDS = 300.0
"""A killed epoch loses at most about this much; when it saves does not change what it computes."""

CHECK_EVERY = 20
"""Steps between looks at the losses, since a look makes a GPU wait."""


@dataclass
class Learner:
    """What one step changes: the backbone with its SGD, the top layer with its own."""

    network: Backbone
    top: nn.Linear
    optimizer: torch.optim.SGD
    top_optimizer: torch.optim.SGD

    def state(self) -> dict[str, Any]:
        parts = ("network", "top", "optimizer", "top_optimizer")
        return {part: getattr(self, part).state_dict() for part in parts}

    def load(self, state: dict[str, Any]) -> None:
        for part, value in state.items():
            getattr(self, part).load_state_dict(value)


def train(job: Job) -> None:
    params = job.params
    images = job.packed()
    labels = read_parquet(job.input("pseudolabels"), ["label"])["label"].to_numpy(np.int64)
    if len(labels) != len(images):
        raise Refusal(f"{job.input('pseudolabels')} is of other images; rerun pseudolabel")
    device = device_of(params.device)

    draw = {"uniform": uniform_draws, "released-code": released_draws}[params.train.sampling]
    draws = draw(labels, max(1, round(params.train.passes * len(images))), job.rng)
    crops = random_crops(images.height[draws], images.width[draws], job.rng)
    steps = batches(len(draws), params.train.batch)

    before = load(job.input("network"))
    learner = start(params, before, int(labels.max()) + 1, device)
    restore(learner.network, before["network"], job.input("network"))
    losses, correct, done = _resume(job, learner, len(steps))

    def load_batch(step: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        pictures = [_augmented(images, crops, i, draws[i], params.model.input) for i in range(*step)]
        return np.stack(pictures), labels[draws[slice(*step)]]

    rates = [learning_rate(params.train, job.epoch, i, len(steps)) for i in range(len(steps))]
    loaded = prefetch(load_batch, steps[done:], job.workers)
    saved = time.monotonic()
    todo = job.progress(_counted(loaded), sum(b - a for a, b in steps[done:]), len)
    for i, batch in enumerate(todo, start=done):
        loss, right = train_step(learner, batch.pictures, batch.labels, rates[i], params.precision)
        losses.append(loss)
        correct.append(right)
        if (i + 1) % CHECK_EVERY == 0 or i + 1 == len(steps):
            losses, correct = _looked_at(losses, correct, job.epoch, rates)
            if time.monotonic() - saved > SAVE_SECONDS:
                _save(job, learner, losses, correct)
                saved = time.monotonic()

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
    write_parquet(folder / "steps.parquet", frame)
    state = learner.state()
    write_torch(
        folder / "checkpoint.pt",
        {"network": _on_cpu(state["network"]), "optimizer": _on_cpu(state["optimizer"])},
    )
    job.images = len(draws)
    share = frame["correct"].sum() / len(draws)
    mean = np.average(frame["loss"], weights=frame["images"])
    job.say(f"loss {mean:.3f}, accuracy on the pseudo-labels {share:.3f}")


@dataclass
class Batch:
    """One step's pictures (B, size, size, 3) uint8 and pseudo-labels (B,) int64."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def _counted(loaded: Any) -> Any:
    return (Batch(pictures, labels) for pictures, labels in loaded)


def _augmented(images: PackedImages, crops: Any, i: int, image: int, size: int) -> NDArray[np.uint8]:
    picture = resized_crop(images[image], crops.top[i], crops.left[i], crops.height[i], crops.width[i], size)
    return picture[:, ::-1] if crops.flip[i] else picture


def start(params: Any, before: dict[str, Any], labels: int, device: torch.device) -> Learner:
    """The backbone with the momentum that it had, and a new top layer without any.

    The top layer is made anew each epoch since cluster numbers mean nothing from one epoch to
    the next; its SGD has the same step size and weight decay.
    """
    settings: TrainParams = params.train
    network = build(params.model, settings.dropout)
    top = top_layer(network.dim, labels)
    network = placed(network.train(), device)
    top = top.to(device)
    optimizer = torch.optim.SGD(
        trained(network),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    if before["optimizer"]:
        # Only the momentum is carried over: the step size and weight decay are this epoch's.
        own = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": before["optimizer"]["state"], "param_groups": own})
    top_optimizer = torch.optim.SGD(top.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    return Learner(network, top, optimizer, top_optimizer)


def train_step(
    learner: Learner,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    lr: float,
    precision: str,
) -> tuple[Tensor, Tensor]:
    """One step of SGD on Eq. 1.

    Args:
        pictures: (B, H, W, 3) uint8.
        labels: (B,) pseudo-labels.

    Returns:
        The mean loss of the batch and the number of right predictions, on the device.
    """
    device = learner.top.weight.device
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device, non_blocking=True)
    target = torch.from_numpy(labels).to(device, non_blocking=True)
    for optimizer in (learner.optimizer, learner.top_optimizer):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
    with autocast(device, precision):
        logits = learner.top(learner.network(batch))
    loss = nn.functional.cross_entropy(logits.float(), target)
    loss.backward()
    learner.optimizer.step()
    learner.top_optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == target).sum()


def learning_rate(settings: TrainParams, epoch: int, step: int, steps: int) -> float:
    """The step size: constant as in the paper, or half a cosine over `train.horizon` epochs."""
    if settings.schedule == "constant":
        return settings.lr
    assert settings.horizon is not None
    progress = min(1.0, (epoch - 1 + step / steps) / settings.horizon)
    return settings.lr * (1 + math.cos(math.pi * progress)) / 2


def _looked_at(losses: list[Any], correct: list[Any], epoch: int, rates: list[float]) -> tuple[list[float], list[int]]:
    values = [float(loss) for loss in losses]
    for i, value in enumerate(values):
        if not math.isfinite(value):
            raise Refusal(
                f"epoch {epoch}, iteration {i}: the loss is {value} at lr {rates[i]:g}; nothing was "
                "published; lower it with --set train.lr=…"
            )
    return values, [int(right) for right in correct]


def _save(job: Job, learner: Learner, losses: list[float], correct: list[int]) -> None:
    state = {
        "learner": learner.state(),
        "losses": losses,
        "correct": correct,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    write_torch(job.partial.path / "savepoint.pt", state)


def _resume(job: Job, learner: Learner, steps: int) -> tuple[list[Any], list[Any], int]:
    """Losses, right predictions and the number of steps done before a kill; all empty at a start."""
    path = job.partial.path / "savepoint.pt"
    if not path.exists():
        return [], [], 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    learner.load(state["learner"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"]:
        torch.cuda.set_rng_state_all(state["random_cuda"])
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

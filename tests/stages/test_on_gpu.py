"""Two epochs on a CUDA device: the same bytes again, near those of a CPU, and no step that waits."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import zarr
from stage_helpers import change, epoch, files, run_one

from stages.artifacts.checkpoints import build
from stages.artifacts.pictures import PackedImages
from stages.method.training import Batch, new_learner, train_step
from stages.method.views import random_views
from stages.parameters.model import ModelParams
from stages.runtime.loading import on_device
from stages.runtime.losses import Done

pytestmark = pytest.mark.gpu

STAGES = ["extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint"]
EPOCHS = ["epochs/0001", "epochs/0002"]
AUGMENT = {"area": 0.3, "flip": 0.5, "jitter": 0.4, "hue": 0.1, "grey": 0.2, "blur": 0.3}


def two_epochs(project):
    for where in EPOCHS:
        for stage in STAGES:
            run_one(project, stage, where)
    return {where: files(epoch(project, "", where)) for where in EPOCHS}


def made(found):
    """What stages have made, without their times and logs."""
    return {where: {n: c for n, c in found[where].items() if "timings" not in n and "log" not in n} for where in EPOCHS}


def test_an_epoch_on_a_gpu_gives_the_same_bytes_again_and_near_those_of_the_cpu(finished_copy):
    project = finished_copy
    on_cpu = zarr.open_array(epoch(project, "features.zarr"), mode="r")[:]
    losses = pd.read_parquet(epoch(project, "trained/steps.parquet"))["loss"]
    change(project, {"device": "cuda", "device_memory": 0.5, "workers": 2})
    first = two_epochs(project)
    found = zarr.open_array(epoch(project, "features.zarr"), mode="r")[:]
    assert np.linalg.norm(found - on_cpu) < 1e-3 * np.linalg.norm(on_cpu)
    # Labels may differ where two clusters are equally near, and with them all that follows; not by much.
    assert abs(pd.read_parquet(epoch(project, "trained/steps.parquet"))["loss"].mean() - losses.mean()) < 0.1
    for workers, share in ((0, 0.0), (4, 0.5)):
        change(project, {"workers": workers, "device_memory": share})
        assert made(two_epochs(project)) == made(first)


@pytest.mark.parametrize("resident", [True, False])
def test_no_step_makes_the_gpu_wait(finished, resident):
    """torch raises at a synchronisation; the first steps ask for memory and send what stays."""
    device, rng = torch.device("cuda"), np.random.default_rng(0)
    images = PackedImages(finished.root / "data/images/demo")
    drawn = rng.integers(0, len(images), 200)
    views = random_views(drawn, images.height, images.width, rng, side=16, **AUGMENT)
    labels = torch.from_numpy(rng.integers(0, 5, (200, 1))).to(device)
    network = build(ModelParams(architecture="convnet", sobel=False, input=16, width=1 / 8))
    learner = new_learner(network, 5, {}, lr=0.01, momentum=0.9, weight_decay=0.0, device=device)
    job = SimpleNamespace(workers=2, device_memory=0.5, say=lambda *_: None)
    spans = [(i, i + 20) for i in range(0, 200, 20)]
    done = Done(1, [0.01] * len(spans))
    try:
        for i, ((start, stop), (pictures,)) in enumerate(
            zip(spans, on_device(job, images, [(views, 1)], spans, device, resident=resident), strict=True)
        ):
            if i == 4:
                torch.cuda.set_sync_debug_mode("error")
            done.add(*train_step(learner, [Batch(pictures, labels[start:stop])], 0.01, "float32"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    losses, _ = done.all()
    assert len(losses) == len(spans) and np.isfinite(losses).all()

"""The network from which epoch 1 starts: random (section 3.2: "sampled from a Gaussian distribution"), or given.

Under `recipe: deepcluster-v2` its batch normalisation has the statistics of some pictures, since the released code
clusters what the network gives in training: without them the vectors of all pictures lie close together.

reads   a file of weights, if `init.weights` names one; DVC knows its sha256 alone. For deepcluster-v2 pack.json
        (pixels.zarr)
writes  epochs/0000/checkpoint.pt   the network, and {} for the optimizer, which has made no step
"""

from collections.abc import Iterator

import numpy as np
import torch

from stages.artifacts.arrays import write_torch
from stages.artifacts.checkpoints import build
from stages.artifacts.weights import read_weights, refuse_other_model
from stages.artifacts.writing import make_folder
from stages.method.networks import initialise, settle
from stages.method.sampling import batches
from stages.method.views import Views, fixed_crops
from stages.parameters.init import InitKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 3

SEEN = 1024
"""Pictures of whose features batch normalisation has the statistics, at most."""

BATCH = 128
"""Of them that go through the network at a time."""


def init(job: Job[InitKeys]) -> None:
    """Writes a network whose weights are drawn from the stage's random state, or are those of a file.

    Raises:
        Refusal: the file is missing, another than it was, or of another network.
    """
    network = build(job.params.model)
    given = job.params.init
    initialise(network, torch.Generator().manual_seed(int(job.rng.integers(2**63))))
    if given.weights is not None:
        source = job.root / given.weights
        found = read_weights(source, given.sha256)
        refuse_other_model(source, found.model, job.params.model)
        missing, unknown = network.load_state_dict(found.state, strict=False)
        # A projection stays as it was drawn: no file of weights has one.
        assert not unknown and all(name.startswith("projection.") for name in missing)
    if job.reads("pack"):
        # The weights of a file come with statistics.
        drawn = network if given.weights is None else network.projection
        assert drawn is not None
        settle(network, drawn, _some_pictures(job))
    path = job.output("checkpoint")
    make_folder(path.parent)
    write_torch(path, {"network": network.state_dict(), "optimizer": {}})


def _some_pictures(job: Job[InitKeys]) -> Iterator[torch.Tensor]:
    """The middles of pictures that are spread evenly over the data set, in batches of (B, 3, input, input)."""
    images, side = job.packed(), job.params.model.input
    chosen = np.unique(np.linspace(0, len(images) - 1, min(SEEN, len(images))).astype(np.int64))
    (crops,) = fixed_crops(images.height[chosen], images.width[chosen], side, "centre")
    for start, stop in batches(len(chosen), BATCH):
        if stop - start == 1:
            # The only picture there is: one value per channel has no statistics.
            return
        yield torch.from_numpy(Views(chosen, crops, side).batch(images, start, stop)).permute(0, 3, 1, 2)


if __name__ == "__main__":
    run_stage(init)

"""The network from which epoch 1 starts: random (section 3.2: "sampled from a Gaussian distribution"), or given.

reads   a file of weights, if `init.weights` names one; DVC knows its sha256 alone
writes  epochs/0000/checkpoint.pt   the network, and {} for the optimizer, which has made no step
"""

import torch

from stages.artifacts.arrays import write_torch
from stages.artifacts.checkpoints import build
from stages.artifacts.weights import read_weights, refuse_other_model
from stages.artifacts.writing import make_folder
from stages.method.networks import initialise
from stages.parameters.init import InitKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 2


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
    path = job.output("checkpoint")
    make_folder(path.parent)
    write_torch(path, {"network": network.state_dict(), "optimizer": {}})


if __name__ == "__main__":
    run_stage(init)

"""The initialised network, from which epoch 1 starts (section 3.2: "sampled from a Gaussian distribution").

writes  epochs/0000/checkpoint.pt   the network, and {} for the optimizer, which has made no step
"""

import torch

from stages.artifacts.arrays import write_torch
from stages.artifacts.checkpoints import build
from stages.artifacts.writing import make_folder
from stages.method.networks import initialise
from stages.parameters.model import InitKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 2


def init(job: Job[InitKeys]) -> None:
    """Writes a network whose weights are drawn from the stage's random state."""
    network = build(job.params.model)
    initialise(network, torch.Generator().manual_seed(int(job.rng.integers(2**63))))
    path = job.output("checkpoint")
    make_folder(path.parent)
    write_torch(path, {"network": network.state_dict(), "optimizer": {}})


if __name__ == "__main__":
    run_stage(init)

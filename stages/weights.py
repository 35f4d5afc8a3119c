"""The backbone of the last epoch, without any top layer: all that an evaluation takes from a run.

reads   the last checkpoint.pt
writes  model.safetensors
"""

from stages.artifacts.checkpoints import load
from stages.artifacts.weights import PERMUTED, Training, write_backbone
from stages.parameters.weights import WeightsKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 1


def weights(job: Job[WeightsKeys]) -> None:
    """Writes the weights of the last checkpoint.

    Raises:
        Refusal: it cannot be read.
    """
    params = job.params
    start = params.init.source or params.init.sha256
    method: str = params.cluster.method if params.recipe == "deepcluster" else params.recipe
    if params.pseudolabel.permuted:
        method = PERMUTED
    training = Training(params.dataset.name, params.epochs, method, start)
    state = load(job.input("network"))["network"]
    # The projection of DeepCluster-v2 serves its clusters alone; what was learnt for other tasks lies below it.
    backbone = {name: value for name, value in state.items() if not name.startswith("projection.")}
    write_backbone(job.output("weights"), params.model, backbone, training)


if __name__ == "__main__":
    run_stage(weights)

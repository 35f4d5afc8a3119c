"""`weights`: a run's backbone for use outside, as torchvision has it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from pipeline.outputs import beside, refuse_output
from pipeline.results.epoch_files import Epoch
from pipeline.results.run import Run
from stages.artifacts.weights import facts_of
from stages.errors import Refusal
from stages.method.foreign import TORCHVISION, for_torchvision

ENDINGS = (".pth", ".pt", ".safetensors")


def write_torchvision(run: Run, out: Path, epoch: Epoch) -> str:
    """Writes the weights under torchvision's names, without a top layer, as `out` ends; what to tell.

    Args:
        epoch: a number, or "final" for the last.

    Raises:
        Refusal: torchvision has no such network, the run no such epoch, or `out` cannot be written.
    """
    refuse_output(out, ENDINGS)
    model = run.params.model
    # Before the checkpoint is read: whether there is such a network at all.
    for_torchvision(facts_of(model), {})
    if epoch == "final" and run.params.dataset and (latest := run.latest()) != "final":
        raise Refusal(f"run {run.name} is not finished: --epoch {latest} gives the weights of its last whole one")
    network = run.model(None if epoch == "final" else int(epoch))
    # Without the projection of DeepCluster-v2, as in model.safetensors.
    network.projection = None
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    state = for_torchvision(facts_of(model), state)
    with beside(out) as partial:
        if out.suffix.lower() == ".safetensors":
            save_file(state, partial)
        else:
            # Through an open file: `torch.save` writes the name of a path into the file.
            with open(partial, "wb") as file:
                torch.save(state, file)
    name = TORCHVISION[model.architecture]
    return f"weights of torchvision's {name} without a top layer, for load_state_dict(…, strict=False): {out}"

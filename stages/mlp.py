"""An MLP on one layer of the frozen network (the paper's supplement, quoted in section 4.3).

reads   model.safetensors, pack.json (pixels.zarr) of the training and of the test pictures
writes  curve.parquet         a row an epoch: epoch, layer, loss, accuracy, top1, top5
        predictions.parquet   a row a test picture: image, label, the class that it is given, the right one's rank
        result.json, numbers.json
"""

import numpy as np
from numpy.typing import NDArray

from stages.artifacts.results import Result
from stages.method.architectures import ARCHITECTURES
from stages.method.decode import centre_crop
from stages.method.named_layers import dimension
from stages.method.sampling import batches
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.mlp import MlpParams
from stages.protocols.mlp import mlp as untrained
from stages.runtime.evaluating import Evaluated, Labelled
from stages.runtime.job import Job
from stages.runtime.probing import Probe, train_and_test
from stages.runtime.runner import run_stage

REVISION = 1


def mlp(job: Job[EvaluationKeys[MlpParams]]) -> None:
    """Trains the MLP on random crops and tests it on centre crops.

    Raises:
        Refusal: the network has no such layer, the data sets have other classes, or a loss is not finite.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    model = evaluated.trained.model
    pictures = Labelled(job)
    layers = evaluated.frozen([params.layer])
    plan = ARCHITECTURES[model.architecture]
    heads = untrained(
        params.layer,
        dimension(plan, params.layer, sobel=model.sobel, input=model.input, width=model.width),
        len(pictures.train.classes),
        steps=params.epochs * len(batches(len(pictures.chosen), params.batch)),
        hidden=params.hidden,
        lr=params.lr,
        weight_decay=params.weight_decay,
        seed=job.torch_seed % 2**63,
        device=evaluated.device,
    )
    probe = Probe(layers, heads, side=model.input, central=False, cut=_centre, crops=1)
    numbers = {name: values[params.layer] for name, values in train_and_test(job, probe, pictures).items()}
    follows = {"protocol": "the nonlinear classifier of RotNet: the paper's supplement is not published"}
    evaluated.write(Result(numbers, pictures.measured_on, follows))


def _centre(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return centre_crop(picture, size)[None]


if __name__ == "__main__":
    run_stage(mlp)

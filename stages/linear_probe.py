"""Linear classifiers on the layers of the frozen network (section 4.3, Table 1).

reads   model.safetensors, pack.json (pixels.zarr) of the training and of the test pictures
writes  curve.parquet         a row an epoch and layer: epoch, layer, loss, accuracy, top1, top5
        predictions.parquet   a row a test picture: image, label, then of each layer the class and the right one's rank
        result.json, numbers.json
"""

from dataclasses import replace

from stages.artifacts.results import Result
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.linear_probe import TEN_CROPS, LinearProbeParams
from stages.protocols.crops import ten_crops
from stages.protocols.linear_probe import RELEASED_RATES, ZHANG_RATES, Rates
from stages.protocols.linear_probe import linear_probe as untrained
from stages.runtime.evaluating import Evaluated, Labelled
from stages.runtime.job import Job
from stages.runtime.probing import Probe, train_and_test
from stages.runtime.runner import run_stage

REVISION = 2


def linear_probe(job: Job[EvaluationKeys[LinearProbeParams]]) -> None:
    """Trains a classifier on each layer and tests them on ten crops.

    Raises:
        Refusal: the network has no such layer, the data sets have other classes, or a loss is not finite.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    model = evaluated.trained.model
    pictures = Labelled(job)
    rates = _rates(params)
    layers = evaluated.frozen(params.layers)
    heads = untrained(
        model.architecture,
        rates,
        len(pictures.train.classes),
        sobel=model.sobel,
        input=model.input,
        width=model.width,
        protocol=params.follow,
        drop_every=params.drop_every,
        seed=job.torch_seed % 2**63,
        device=evaluated.device,
    )
    probe = Probe(layers, heads, side=model.input, central=True, cut=ten_crops, crops=TEN_CROPS)
    numbers = train_and_test(job, probe, pictures)
    follows = {
        "classifier": params.follow,
        "reported": "the last epoch; the released code reports the best on the test pictures (best_top1)",
        "lr/weight decay": ", ".join(f"{layer} {rate.lr:g}/{rate.weight_decay:g}" for layer, rate in rates.items()),
    }
    evaluated.write(Result(numbers, pictures.measured_on, follows))


def _rates(params: LinearProbeParams) -> dict[str, Rates]:
    """SGD of each layer's classifier."""
    published = RELEASED_RATES if params.follow == "released-code" else dict.fromkeys(params.layers, ZHANG_RATES)
    found = {layer: published.get(layer) or Rates() for layer in params.layers}
    for layer, given in params.rates.items():
        found[layer] = replace(found[layer], **given.model_dump(exclude_none=True))
    return found


if __name__ == "__main__":
    run_stage(linear_probe)

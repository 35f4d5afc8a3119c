"""Classes of pictures by those of their nearest neighbours, on the last layer's features; not in the paper.

reads   model.safetensors, pack.json (pixels.zarr) of the training and of the test pictures
writes  predictions.parquet   a row a test picture: image, label, then k10, k20, ...: the class that k neighbours give
        result.json, numbers.json
"""

import numpy as np
import pandas as pd

from stages.artifacts.results import Result
from stages.artifacts.tables import write_parquet
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.knn import KnnParams
from stages.protocols.knn import knn_classes
from stages.runtime.evaluating import Evaluated, Labelled
from stages.runtime.job import Job
from stages.runtime.runner import run_stage

REVISION = 1

TOP = 5
"""Classes of which one must be right, as in top-5."""


def knn(job: Job[EvaluationKeys[KnnParams]]) -> None:
    """Measures the share of test pictures whose class their neighbours give.

    Raises:
        Refusal: the two data sets have other classes, or one has pictures without a class.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    pictures = Labelled(job)
    train, test, chosen = pictures.train, pictures.test, pictures.chosen
    neighbours = evaluated.features(train, chosen, params.batch)
    tested = evaluated.features(test, np.arange(len(test)), params.batch)
    device = str(evaluated.device)
    found = knn_classes(
        neighbours, train.label[chosen], tested, params.k, top=TOP, temperature=params.temperature, device=device
    )
    right = {k: classes == test.label[:, None] for k, classes in found.items()}
    classes = {f"k{k}": top[:, 0] for k, top in found.items()}
    table = pd.DataFrame({"image": np.arange(len(test)), "label": test.label, **classes})
    write_parquet(job.output("predictions"), table)
    numbers = {
        "top1": {str(k): 100 * float(hits[:, 0].mean()) for k, hits in right.items()},
        "top5": {str(k): 100 * float(hits.any(axis=1).mean()) for k, hits in right.items()},
    }
    evaluated.write(Result(numbers, pictures.measured_on, {"votes": f"exp(cosine / {params.temperature:g})"}))


if __name__ == "__main__":
    run_stage(knn)

"""A fully convolutional network from the run's network (section 4.4, Tables 2 and 3).

reads   model.safetensors, index.json of the sets to train and to test on
writes  curve.parquet         a row a step: iteration, loss
        predictions.parquet   the confusion matrix: truth, predicted, pixels
        result.json, numbers.json
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stages.artifacts.index import EvaluationIndex
from stages.artifacts.results import Result
from stages.artifacts.tables import write_parquet
from stages.parameters.checks import same_classes
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.segmentation import SegmentationParams
from stages.protocols.confusion import confusion, segmentation_scores
from stages.protocols.fcn import FCN, segment, segmentation_step
from stages.protocols.picture_draws import draw_pictures
from stages.protocols.plain_network import train_only
from stages.protocols.solver import Learner, Solver
from stages.runtime.evaluating import Evaluated, trained_on_too
from stages.runtime.fine_tuning import fine_tune
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 1

Example = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A picture (H, W, 3), and the class of each pixel (H, W): 0 ground, 255 void."""


def segmentation(job: Job[EvaluationKeys[SegmentationParams]]) -> None:
    """Trains the network on whole pictures and measures mean intersection over union.

    Raises:
        Refusal: a picture has no mask, the sets have other classes, or a loss is not finite.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    train, test = job.index("train"), job.index("test")
    same_classes(train.classes, test.classes, f"set {params.train.set}", f"set {params.test.set}")
    rows, tested = train.rows(params.train.split, params.lists), test.rows(params.test.split, params.lists)
    shared = trained_on_too(params, train, rows, test, tested)
    for index, chosen in ((train, rows), (test, tested)):
        index.refuse_lacking(chosen, "mask")
    classes = len(train.classes) + 1
    model = FCN(
        evaluated.trained.network,
        classes,
        fc=params.fc,
        generator=torch.Generator().manual_seed(job.torch_seed % 2**63),
        padding=params.padding,
        dropout=params.dropout,
    )
    train_only(model.convolutions, params.layers, params.frozen)
    learner = Learner(model, Solver(params.lr, params.drop_every, weight_decay=params.weight_decay), evaluated.device)
    draws = draw_pictures(len(rows), params.iterations, job.rng, n=params.pictures)

    def load(step: int) -> tuple[list[Example], np.random.Generator]:
        examples = [_example(train, int(rows[number])) for number in draws.picture[step]]
        return examples, np.random.default_rng([job.torch_seed, step])

    losses = fine_tune(
        job, learner, params.iterations, load, lambda batch: segmentation_step(learner, *batch, job.params.precision)
    )
    job.images += params.iterations * params.pictures
    write_parquet(job.output("curve"), pd.DataFrame({"iteration": np.arange(len(losses)), "loss": losses}))

    matrix = np.zeros((classes, classes), np.int64)
    examples = prefetch(lambda row: _example(test, row), [int(row) for row in tested], job.workers)
    for picture, mask in job.progress(examples, len(tested)):
        matrix += confusion(mask, segment(model, picture, job.params.precision), classes)
    names = ["background", *test.classes]
    predictions = {"truth": np.repeat(names, classes), "predicted": np.tile(names, classes), "pixels": matrix.ravel()}
    write_parquet(job.output("predictions"), pd.DataFrame(predictions))
    scores = segmentation_scores(matrix)
    numbers = {
        "mean_iu": 100 * scores.mean_iou,
        "pixel_accuracy": 100 * scores.pixel_accuracy,
        "mean_accuracy": 100 * scores.mean_accuracy,
        "classes": {
            name: 100 * float(value) for name, value in zip(names, scores.iou, strict=True) if not np.isnan(value)
        },
    }
    measured_on = {"train_images": len(rows), "test_images": len(tested), "iterations": params.iterations, **shared}
    follows = {
        "settings": "FCN-32s for AlexNet: the authors' own are not published",
        "test set": f"{params.test.split}: the paper says VOC 2012 val, the cited code tests on seg11valid",
        "batch normalisation": "statistics fixed; scale and shift are trained with their convolutions alone",
    }
    evaluated.write(Result(numbers, measured_on, follows))


def _example(index: EvaluationIndex, row: int) -> Example:
    return index.picture(row), index.mask(row)


if __name__ == "__main__":
    run_stage(segmentation)

"""Multi-label classification on PASCAL VOC 2007 with the fine-tuned network (Tables 2 and 3).

reads   model.safetensors, index.json of the sets to train and to test on
writes  curve.parquet         a row a step: iteration, loss
        predictions.parquet   a row a test picture and class: picture, class, score, label (1, 0, or 255 difficult)
        result.json, numbers.json
"""

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.artifacts.index import EvaluationIndex
from stages.artifacts.results import Result
from stages.artifacts.tables import write_parquet
from stages.method.augment import cut
from stages.method.sampling import batches
from stages.parameters.checks import same_classes
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.voc_classification import VocClassificationParams
from stages.protocols.average_precision import ABSENT, DIFFICULT, PRESENT, average_precisions
from stages.protocols.classification import Classifier, Recipe, classifier, crop_scores, train_step
from stages.protocols.crops import Draw, caffe_crops, crops_of_images, port_crops
from stages.protocols.picture_draws import draw_pictures
from stages.runtime.evaluating import Evaluated, trained_on_too
from stages.runtime.fine_tuning import fine_tune
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 1

TEST_BATCH = 16
"""Pictures that are tested at once."""


def voc_classification(job: Job[EvaluationKeys[VocClassificationParams]]) -> None:
    """Fine-tunes the network and measures mean average precision.

    Raises:
        Refusal: a picture has no labels, the sets have other classes, or a loss is not finite.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    train, test = job.index("train"), job.index("test")
    same_classes(train.classes, test.classes, f"set {params.train.set}", f"set {params.test.set}")
    tested = test.rows(params.test.split, params.lists)
    labels = _labels(test, tested)
    rows = train.rows(params.train.split, params.lists)
    shared = trained_on_too(params, train, rows, test, tested)
    size = evaluated.trained.model.input
    draw: Draw = port_crops if params.follow == "pytorch" else partial(caffe_crops, size=size)
    learner, losses = _train(job, evaluated, train, draw)
    write_parquet(job.output("curve"), pd.DataFrame({"iteration": np.arange(len(losses)), "loss": losses}))

    scores = _scores(job, learner, test, tested, draw, size)
    found = average_precisions(scores, labels)
    predictions = pd.DataFrame(
        {
            "picture": np.repeat([test.names[row] for row in tested], len(test.classes)),
            "class": np.tile(test.classes, len(tested)),
            "score": scores.ravel(),
            "label": labels.ravel(),
        }
    )
    write_parquet(job.output("predictions"), predictions)
    classes = zip(test.classes, found.area, strict=True)
    numbers = {
        "map": 100 * found.mean_area,
        "map_11_point": 100 * found.mean_eleven_point,
        "classes": {name: 100 * float(value) for name, value in classes if not np.isnan(value)},
    }
    measured_on = {"train_images": len(rows), "test_images": len(tested), "iterations": len(losses), **shared}
    follows = {
        "recipe": "the authors' PyTorch port" if params.follow == "pytorch" else "philkr/voc-classification (Caffe)",
        "average precision": "scikit-learn's, as the released code; the challenge's 11 points in map_11_point",
        "batch normalisation": "scale and shift are trained" if params.batchnorm == "affine" else "frozen",
    }
    evaluated.write(Result(numbers, measured_on, follows))


def _train(
    job: Job[EvaluationKeys[VocClassificationParams]], evaluated: Evaluated, index: EvaluationIndex, draw: Draw
) -> tuple[Classifier, list[float]]:
    """The trained network, and the loss of each step."""
    params = job.params.evaluation
    rows = index.rows(params.train.split, params.lists)
    labels = _labels(index, rows)
    schedule = params.schedule
    recipe = Recipe(
        params.follow,
        params.layers,
        params.batchnorm,
        schedule.lr,
        schedule.halve_every,
        params.weight_decay,
    )
    size = evaluated.trained.model.input
    learner = classifier(
        evaluated.trained.network, len(index.classes), recipe, seed=job.torch_seed % 2**63, device=evaluated.device
    )
    draws = draw_pictures(len(rows), schedule.iterations, job.rng, n=params.batch).picture.ravel()
    crops = draw(index.height[rows[draws]], index.width[rows[draws]], job.rng)

    def load(step: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        span = range(step * params.batch, (step + 1) * params.batch)
        pictures = [cut(index.picture(int(rows[draws[i]])), crops, i, size) for i in span]
        return np.stack(pictures), labels[draws[span.start : span.stop]]

    losses = fine_tune(
        job, learner, schedule.iterations, load, lambda batch: train_step(learner, *batch, job.params.precision)
    )
    job.images += schedule.iterations * params.batch
    return learner, losses


def _scores(
    job: Job[EvaluationKeys[VocClassificationParams]],
    learner: Classifier,
    index: EvaluationIndex,
    rows: NDArray[np.int64],
    draw: Draw,
    size: int,
) -> NDArray[np.float32]:
    """(n, classes) sums of the logits of each picture's crops."""
    count = job.params.evaluation.crops
    seed = job.torch_seed % 2**32
    crops = crops_of_images(draw, index.height[rows], index.width[rows], rows, count, seed)

    def load(span: tuple[int, int]) -> NDArray[np.uint8]:
        pictures = ((i, index.picture(int(rows[i]))) for i in range(*span))
        return np.stack([cut(picture, crops, i * count + n, size) for i, picture in pictures for n in range(count)])

    loaded = prefetch(load, batches(len(rows), TEST_BATCH), job.workers)
    done = job.progress(loaded, len(rows), lambda found: len(found) // count)
    return np.concatenate([crop_scores(learner.network, found, count, job.params.precision) for found in done])


def _labels(index: EvaluationIndex, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(n, classes) of PRESENT, ABSENT and DIFFICULT, from the 1, -1 and 0 of the set's lists."""
    given = index.labels(rows)
    return np.select([given > 0, given < 0], [PRESENT, ABSENT], DIFFICULT).astype(np.uint8)


if __name__ == "__main__":
    run_stage(voc_classification)

"""Fast R-CNN on the network (section 4.4, Tables 2 to 4).

reads   model.safetensors, index.json and proposals.parquet of the sets to train and to test on
writes  curve.parquet         a row a step: iteration, loss
        predictions.parquet   a row a detection: picture, class, score, x1, y1, x2, y2 in pixels from 0
        result.json, numbers.json
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stages.artifacts.index import EvaluationIndex
from stages.artifacts.proposals import read_proposals_table
from stages.artifacts.results import Result
from stages.artifacts.tables import write_parquet
from stages.errors import Refusal
from stages.parameters.checks import same_classes
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.detection import DetectionParams
from stages.protocols.boxes import clean
from stages.protocols.detecting import Found, Keeping, detect
from stages.protocols.detection_metric import Detections, Objects, average_precisions
from stages.protocols.fast_rcnn import FROZEN, FastRCNN, detection_step
from stages.protocols.picture_draws import draw_pictures
from stages.protocols.picture_scales import PictureScales, resize
from stages.protocols.plain_network import train_only
from stages.protocols.roi_sampling import Candidates, RoISampling, candidates, draw_regions, training_scale
from stages.protocols.solver import Learner, Solver
from stages.runtime.evaluating import Evaluated, trained_on_too
from stages.runtime.fine_tuning import fine_tune
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 1


def detection(job: Job[EvaluationKeys[DetectionParams]]) -> None:
    """Trains the detector and measures mean average precision.

    Raises:
        Refusal: a picture has no boxes or proposals, the sets have other classes, or a loss is not finite.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    train, test = job.index("train"), job.index("test")
    same_classes(train.classes, test.classes, f"set {params.train.set}", f"set {params.test.set}")
    tested = test.rows(params.test.split, params.lists)
    rows = train.rows(params.train.split, params.lists)
    shared = trained_on_too(params, train, rows, test, tested)
    test.refuse_lacking(tested, "boxes")
    # What has no proposals is told before hours of training.
    proposals = _Proposals(job, "test")
    boxes_of = {int(row): proposals[test.names[row]] for row in tested}
    learner, losses = _train(job, evaluated, train)
    write_parquet(job.output("curve"), pd.DataFrame({"iteration": np.arange(len(losses)), "loss": losses}))

    found = _test(job, learner, test, boxes_of)
    detections = Detections(
        np.concatenate([np.full(len(one.label), number) for number, one in enumerate(found)]),
        np.concatenate([one.label for one in found]),
        np.concatenate([one.score for one in found]),
        np.concatenate([one.box for one in found]),
    )
    measured = average_precisions(detections, _truth(test, tested), len(test.classes))
    names = np.array([test.names[row] for row in tested], object)
    boxes = {side: detections.box[:, column] for column, side in enumerate(("x1", "y1", "x2", "y2"))}
    write_parquet(
        job.output("predictions"),
        pd.DataFrame(
            {
                "picture": names[detections.image],
                "class": np.array(test.classes, object)[detections.label - 1],
                "score": detections.score,
                **boxes,
            }
        ),
    )
    classes = zip(test.classes, measured.eleven_point, strict=True)
    numbers = {
        "map": 100 * measured.mean_eleven_point,
        "map_area": 100 * measured.mean_area,
        "classes": {name: 100 * float(value) for name, value in classes if not np.isnan(value)},
    }
    measured_on = {
        "train_images": len(rows),
        "test_images": len(tested),
        "proposals": sum(map(len, boxes_of.values())),
        "iterations": params.iterations,
        **shared,
    }
    follows = {
        "settings": "Fast R-CNN's released ones: the authors' own are not published",
        "average precision": "11 points (VOC 2007); by area in map_area",
        "batch normalisation": "statistics fixed; scale and shift are trained with their convolutions alone",
        "proposals": proposals.sources([test.names[row] for row in tested]),
    }
    evaluated.write(Result(numbers, measured_on, follows))


def _train(
    job: Job[EvaluationKeys[DetectionParams]], evaluated: Evaluated, index: EvaluationIndex
) -> tuple[Learner, list[float]]:
    params = job.params.evaluation
    rows = index.rows(params.train.split, params.lists)
    index.refuse_lacking(rows, "boxes")
    sampling = RoISampling(regions=params.regions)
    proposals = _Proposals(job, "train")
    known = {int(row): _candidates(index, int(row), proposals) for row in rows}
    usable = [row for row, one in known.items() if one.usable(sampling)]
    if not usable:
        raise Refusal(f"set {params.train.set}: no picture of {params.train.split} has a region to train on")
    scale = training_scale((known[row] for row in usable), len(index.classes), sampling, flips=params.flips)
    generator = torch.Generator().manual_seed(job.torch_seed % 2**63)
    model = FastRCNN(
        evaluated.trained.network,
        len(index.classes),
        fc=params.fc,
        scale=scale,
        generator=generator,
        dropout=params.dropout,
    )
    frozen = FROZEN[evaluated.trained.model.architecture] if params.frozen is None else params.frozen
    train_only(model.convolutions, params.layers, frozen)
    solver = Solver(params.lr, params.drop_every, weight_decay=params.weight_decay)
    learner = Learner(model, solver, evaluated.device)
    scales = PictureScales(params.short, params.longest)
    draws = draw_pictures(
        len(usable), params.iterations, job.rng, n=params.images, flips=params.flips, scales=len(params.short)
    )

    def load(step: int) -> tuple[list[NDArray[np.uint8]], Any, np.random.Generator]:
        rng = np.random.default_rng([job.torch_seed, step])
        pictures, regions, factors = [], list[Candidates](), []
        drawn = zip(draws.picture[step], draws.flip[step], draws.scale[step], strict=True)
        for number, flip, level in drawn:
            row = usable[number]
            picture = index.picture(row)
            height, width, _ = picture.shape
            factors.append(scales.factor(height, width, params.short[level]))
            resized = resize(picture, factors[-1])
            pictures.append(resized[:, ::-1] if flip else resized)
            regions.append(known[row].flip(width) if flip else known[row])
        return pictures, draw_regions(regions, factors, scale, sampling, rng), rng

    def step(batch: tuple[list[NDArray[np.uint8]], Any, np.random.Generator]) -> torch.Tensor:
        return sum(detection_step(learner, *batch, job.params.precision), torch.zeros((), device=evaluated.device))

    losses = fine_tune(job, learner, params.iterations, load, step)
    job.images += params.iterations * params.images
    return learner, losses


class _Proposals:
    """The proposals of a set, cleaned."""

    def __init__(self, job: Job[EvaluationKeys[DetectionParams]], role: str) -> None:
        self.found = read_proposals_table(job.input(f"{role}_proposals"))
        self.most = job.params.evaluation.most_proposals
        self.where = getattr(job.params.evaluation, role).set

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self.found:
            raise Refusal(
                f"evaluation_sets.{self.where}: {name} has no proposals: name selective search's file of its split "
                "under proposals, or set search: fast"
            )
        return clean(self.found[name].boxes)[: self.most]

    def sources(self, names: list[str]) -> str:
        """Where those of these pictures are from."""
        return ", ".join(sorted({self.found[name].source for name in names}))


def _candidates(index: EvaluationIndex, row: int, proposals: _Proposals) -> Candidates:
    objects = index.objects(row)
    return candidates(proposals[index.names[row]], objects.boxes, objects.classes + 1, objects.difficult)


def _test(
    job: Job[EvaluationKeys[DetectionParams]],
    learner: Learner,
    index: EvaluationIndex,
    boxes: dict[int, NDArray[np.float64]],
) -> list[Found]:
    """What is found in each picture, by its row in the index, of its proposals."""
    params = job.params.evaluation
    scales = PictureScales(params.short, params.longest)
    model = learner.model
    assert isinstance(model, FastRCNN)
    pictures = prefetch(lambda row: (row, index.picture(row)), boxes, job.workers)
    done: Iterable[tuple[int, NDArray[np.uint8]]] = job.progress(pictures, len(boxes))
    return [detect(model, picture, boxes[row], scales, Keeping(), job.params.precision) for row, picture in done]


def _truth(index: EvaluationIndex, rows: NDArray[np.int64]) -> Objects:
    found = [index.objects(int(row)) for row in rows]
    return Objects(
        np.concatenate([np.full(len(one.boxes), number) for number, one in enumerate(found)]),
        np.concatenate([one.classes for one in found]).astype(np.int64) + 1,
        np.concatenate([one.boxes for one in found]).astype(np.float64),
        np.concatenate([one.difficult for one in found]),
    )


if __name__ == "__main__":
    run_stage(detection)

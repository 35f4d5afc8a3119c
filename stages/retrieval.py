"""Retrieval of places by R-MAC (section 5.3, Table 5).

reads   model.safetensors, index.json of the set that is searched, and of the one that the whitening is learnt from
writes  predictions.parquet   of each query all pictures in order: query, rank, picture, truth (positive, junk, "")
        curve.parquet         a row a query: query, average_precision, positives
        result.json, numbers.json
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.artifacts.index import EvaluationIndex, Search
from stages.artifacts.results import Result
from stages.artifacts.tables import write_parquet
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES
from stages.method.named_layers import least_side
from stages.parameters.evaluation import EvaluationKeys
from stages.parameters.protocols.retrieval import RetrievalParams
from stages.protocols.layers import FrozenLayers
from stages.protocols.retrieval import average_precision, prepared, rankings
from stages.protocols.rmac import RegionWhitening, region_features
from stages.runtime.evaluating import Evaluated
from stages.runtime.job import Job
from stages.runtime.prefetch import prefetch
from stages.runtime.runner import run_stage

REVISION = 1


def retrieval(job: Job[EvaluationKeys[RetrievalParams]]) -> None:
    """Ranks all pictures for each query and measures mean average precision.

    Raises:
        Refusal: a set has another layout, or a picture is too small for the network.
    """
    params = job.params.evaluation
    evaluated = Evaluated(job)
    layers = evaluated.frozen([params.layer])
    test, other = job.index("test"), job.index("whiten")
    for name, index in ((params.test, test), (params.whiten, other)):
        if not index.queries:
            raise Refusal(f"evaluation_sets.{name} has no queries: retrieval needs a set of layout landmarks")
    if params.test == params.whiten:
        raise Refusal(f"evaluations.{params.name}.whiten: the whitening is learnt on another set than {params.test}")
    least = least_side(ARCHITECTURES[evaluated.trained.model.architecture], params.layer)
    try:
        whitening = RegionWhitening.fit(_regions(job, layers, other, least), params.dimensions)
    except ValueError as error:
        raise Refusal(f"evaluation_sets.{params.whiten}: {error}: no whitening can be learnt from it") from None
    database = np.stack([whitening.descriptor(rows) for rows in _regions(job, layers, test, least)])
    searches = test.queries
    queries = np.stack([whitening.descriptor(rows) for rows in _regions(job, layers, test, least, searches)])
    ranked = rankings(queries, database)
    precisions = [_precision(test, search, order) for search, order in zip(searches, ranked, strict=True)]

    frames = [_ranking(test, search, order) for search, order in zip(searches, ranked, strict=True)]
    write_parquet(job.output("predictions"), pd.concat(frames, ignore_index=True))
    listed = [search.listed for search in searches]
    names = [search.query for search in searches]
    curve = pd.DataFrame({"query": names, "average_precision": precisions, "positives": listed})
    write_parquet(job.output("curve"), curve)
    measured_on = {
        "images": len(test),
        "queries": len(searches),
        "whitening_images": len(other),
        "dimensions": whitening.components.shape[1],
        "layer": params.layer,
    }
    follows = {
        "layer": f"{evaluated.trained.model.architecture}'s {params.layer}; the paper's rows are of VGG-16",
        "average precision": "the data sets' own program; junk is passed over, the query is not removed",
    }
    evaluated.write(Result({"map": 100 * float(np.mean(precisions))}, measured_on, follows))


def _regions(
    job: Job[EvaluationKeys[RetrievalParams]],
    layers: FrozenLayers,
    index: EvaluationIndex,
    least: int,
    searches: list[Search] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """(R, C) features of the regions of each picture of a set, or of what its queries show."""
    params = job.params.evaluation

    def load(number: int) -> NDArray[np.uint8]:
        if searches is None:
            picture = prepared(index.picture(number), params.longest)
        else:
            search = searches[number]
            picture = prepared(index.picture(search.image), params.longest, search.box.tolist())
        if min(picture.shape[:2]) < least:
            name = index.names[number] if searches is None else searches[number].query
            raise Refusal(
                f"{name} is {picture.shape[1]}x{picture.shape[0]} pixels at evaluations.{params.name}.longest "
                f"{params.longest}, and {params.layer} needs {least}: set it larger"
            )
        return picture

    count = len(index if searches is None else searches)
    for picture in job.progress(prefetch(load, range(count), job.workers), count):
        job.images += 1
        yield region_features(layers(picture[None])[params.layer][0], params.levels)


def _precision(index: EvaluationIndex, search: Search, order: NDArray[np.int64]) -> float:
    names = [index.names[row] for row in order]
    # Positives that are left out, being damaged, count as never found.
    absent = [f"absent {number}" for number in range(search.listed - len(search.positives))]
    positives = [index.names[row] for row in search.positives] + absent
    return average_precision(names, positives, [index.names[row] for row in search.junk])


def _ranking(index: EvaluationIndex, search: Search, order: NDArray[np.int64]) -> pd.DataFrame:
    truth = np.full(len(index), "", object)
    truth[search.positives] = "positive"
    truth[search.junk] = "junk"
    return pd.DataFrame(
        {
            "query": search.query,
            "rank": np.arange(1, len(order) + 1),
            "picture": [index.names[row] for row in order],
            "truth": truth[order],
        }
    )


if __name__ == "__main__":
    run_stage(retrieval)

"""whiten, cluster and pseudolabel on synthetic arrays."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import scipy.linalg
import yardstick
from in_process import synthetic
from measure import Row, Side, compared, interleaved, limited, timed
from network import Pictures
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from stages.artifacts.chunks import ChunkReader
from stages.artifacts.tables import read_parquet
from stages.method.kmeans import kmeans
from stages.method.sampling import uniform_draws
from stages.method.whitening import PCAWhitening
from stages.runtime.threads import thread_limit

WHITEN_BAR = 6.0
"""Least times faiss.PCAMatrix at 20,000 x 4096 to 256."""

AGREEMENT_BAR = 1e-6
"""Most difference of inner products of whitened rows from float64."""

SAMPLING_BAR = 0.3
"""Most seconds of 1.28 million draws over 10,000 labels."""

STEEP = 256
"""Components over which the second spectrum falls by its eight orders of magnitude."""


def limited_to(threads: int, function: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        with thread_limit(threads):
            return timed(function)()

    return run


def whiten(pictures: Pictures) -> list[Row]:
    size, project = pictures.size, pictures.project
    params = pictures.run("stage", "float32")
    dim = params.whiten.dim
    rows: list[Row] = []
    for count, decides in ((size.feature_rows, True), (size.feature_rows // 10, False)):
        path = project.write_features(params, count, size.feature_dim)
        features = ChunkReader(path, "").read()
        sides = [
            Side("pipeline", lambda: project.stage(params, "whiten"), least=size.least if decides else size.least / 10),
            Side("faiss.PCAMatrix", limited_to(size.threads, lambda f=features: yardstick.whiten(f, dim))),
            Side("sklearn PCA, default solver", limited_to(size.threads, lambda f=features: sklearn_whiten(f, dim)), 1),
        ]
        bars = {"faiss.PCAMatrix": WHITEN_BAR} if decides else {}
        n = f"{count:,} × {size.feature_dim} to {dim}"
        rows += compared("whiten", n, interleaved(sides, size.pairs), "pipeline", bars)
        rows.append(
            limited(
                "whiten",
                "inner products against float64",
                n,
                [difference(project, params, features, dim)],
                "",
                AGREEMENT_BAR,
            )
        )
    blocks = list(synthetic(size.feature_rows, size.feature_dim, 2048, over=STEEP))
    rows.append(steep(blocks, dim))
    return rows


def sklearn_whiten(features: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    out = PCA(dim, whiten=True, random_state=0).fit_transform(features)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def exact(features: NDArray[np.float32], dim: int, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Whitened rows by a plain float64 covariance and its eigenvectors."""
    wide = features.astype(np.float64)
    wide -= wide.mean(0)
    d = wide.shape[1]
    covariance = wide.T @ wide / len(wide)
    values, vectors = scipy.linalg.eigh(covariance, subset_by_index=(d - dim, d - 1))
    out = wide[chosen] @ (vectors / np.sqrt(values))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def worst(found: NDArray[np.float32], wanted: NDArray[np.float64]) -> float:
    wide = found.astype(np.float64)
    return float(np.abs(wide @ wide.T - wanted @ wanted.T).max())


def chosen_rows(count: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).choice(count, min(500, count), replace=False))


def difference(project, params, features: NDArray[np.float32], dim: int) -> float:
    """Largest difference over 500 rows of what the stage has just published."""
    path = project.root / project.node(params, "whiten").outs["whitened"].path
    chosen = chosen_rows(len(features))
    return worst(ChunkReader(path, "").read()[chosen], exact(features, dim, chosen))


def steep(blocks: list[NDArray[np.float32]], dim: int) -> Row:
    """The agreement again where the last component kept has 1e-8 of the first one's variance."""
    pca = PCAWhitening.fit(blocks, dim)
    features = np.concatenate(blocks)
    chosen = chosen_rows(len(features))
    n = f"{len(features):,} × {features.shape[1]} to {dim}"
    found = worst(pca.apply(features[chosen]), exact(features, dim, chosen))
    what = f"inner products against float64, variances falling 10⁸ times over {STEEP}"
    return limited("whiten", what, n, [found], "", AGREEMENT_BAR)


def cluster(pictures: Pictures) -> list[Row]:
    """The stage's method against the libraries called directly; 20 iterations at most."""
    size = pictures.size
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, 256), np.float32)
    rows = centres[rng.integers(0, 100, size.feature_rows)] + rng.standard_normal((size.feature_rows, 256), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    k = 100

    def method() -> object:
        return kmeans(rows, k, iterations=20, seed=0, rng=np.random.default_rng(0))

    def direct() -> object:
        search = faiss.Kmeans(256, k, niter=20, seed=0, min_points_per_centroid=1, max_points_per_centroid=10_000_000)
        search.train(rows)
        return search.index.search(rows, 1)

    def sklearn() -> object:
        return KMeans(k, n_init=1, max_iter=20, algorithm="lloyd", init="random", random_state=0).fit(rows)

    sides = [
        Side("pipeline", limited_to(size.threads, method), least=size.least / 10),
        Side("faiss.Kmeans", limited_to(size.threads, direct), least=size.least / 10),
        Side("sklearn KMeans, lloyd", limited_to(size.threads, sklearn), 3),
    ]
    n = f"{size.feature_rows:,} × 256, k {k}"
    return compared("cluster", n, interleaved(sides, size.pairs), "pipeline")


def pseudolabel(pictures: Pictures) -> list[Row]:
    size, project = pictures.size, pictures.project
    params = pictures.run("stage", "float32")
    project.assign(params, size.labels, size.clusters)
    node = project.node(params, "pseudolabel")
    source = project.root / node.deps["assignments"]
    out = pictures.folder / "plain.parquet"
    sides = [
        Side("pipeline", lambda: project.stage(params, "pseudolabel")),
        Side("pandas: read, number, weigh, write", timed(lambda: plain_labels(source, out))),
    ]
    n = f"{size.labels:,} images, {size.clusters:,} clusters"
    rows = compared("pseudolabel", n, interleaved(sides, size.pairs), "pipeline")
    labels = read_parquet(project.root / node.outs["pseudolabels"].path)["label"].to_numpy(np.int64)
    sides = [
        Side("sampling, pipeline", timed(lambda: uniform_draws(labels, len(labels), np.random.default_rng(0)))),
        Side(
            "sampling, a loop over labels",
            timed(lambda: yardstick.uniform(labels, len(labels), np.random.default_rng(0))),
        ),
    ]
    seconds = interleaved(sides, size.pairs)
    _, other = compared("pseudolabel", n, seconds, "sampling, pipeline")
    drawn = limited("pseudolabel", "sampling, pipeline", n, seconds["sampling, pipeline"], "s", SAMPLING_BAR)
    # Restored, so that train trains on as many pseudo-labels as there are images.
    project.assign(params, size.images, size.k)
    project.stage(params, "pseudolabel")
    return [*rows, drawn, other]


def plain_labels(source: Path, out: Path) -> float:
    started = time.perf_counter()
    frame = pd.read_parquet(source)
    labels = frame["cluster"].rank(method="dense").astype(np.int64) - 1
    pd.DataFrame({"image": frame["image"], "label": labels}).to_parquet(out, index=False)
    return time.perf_counter() - started

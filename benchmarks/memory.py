"""memory: peaks of stages at N and 4 N; huge: as many rows as the disk holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

import numpy as np
from measure import Row, limited, tell
from network import Pictures
from photographs import photographs
from scratch import Project, synthetic
from sizes import paper

from stages.chunks import ChunkWriter
from stages.graph import dataset_nodes
from stages.params import RunParams

MEMORY_BAR = 1.1
"""Most times the memory at N that a stage may take at 4N."""


def memory(pictures: Pictures) -> list[Row]:
    """Peak anonymous memory of stages in processes of their own, at N and at 4 N."""
    size, project = pictures.size, pictures.project
    times = 1 if size.pairs < 7 else 3
    small, large = size.memory_images, 4 * size.memory_images
    runs: list[RunParams] = []
    rows: list[Row] = []
    peaks: dict[str, list[list[float]]] = {}
    for count in (small, large):
        folder = photographs(pictures.folder / f"memory-{count}", count, workers=size.threads)
        name = f"memory-{count}"
        project.dataset(name, folder, chunk_mib=16)
        overrides = paper(size, name)
        overrides["whiten"] = {"dim": min(256, small // 2)}
        overrides["cluster"] = {"k": 2}
        overrides["extract"] = {"batch": min(64, small), "chunk_rows": min(256, small)}
        params = project.start(name, overrides)
        runs.append(params)
        pack = next(node for node in dataset_nodes(name, generated=False) if node.stage == "pack")
        peaks.setdefault("pack", []).append(_peaks(project, pack, times))
        peaks.setdefault("extract", []).append(_peaks(project, project.node(params, "extract"), times))
        shutil.rmtree(folder)
    for params, rows_in, labels in zip(
        runs,
        (size.memory_rows, 4 * size.memory_rows),
        (size.memory_labels, 4 * size.memory_labels),
        strict=True,
    ):
        project.write_features(params, rows_in, size.feature_dim)
        peaks.setdefault("whiten", []).append(_peaks(project, project.node(params, "whiten"), times))
        project.assign(params, labels, size.clusters)
        peaks.setdefault("pseudolabel", []).append(_peaks(project, project.node(params, "pseudolabel"), times))
    counts = {"pack": small, "extract": small, "whiten": size.memory_rows, "pseudolabel": size.memory_labels}
    for stage, (at_n, at_4n) in peaks.items():
        n = f"{counts[stage]:,} and {4 * counts[stage]:,}"
        ratios = [b / a for a, b in zip(at_n, at_4n, strict=True)]
        note = f"{np.median(at_n):.0f} and {np.median(at_4n):.0f} MB"
        rows.append(limited("memory", f"{stage}: peak at 4N over peak at N", n, ratios, "×", MEMORY_BAR, note))
    return rows


def _peaks(project: Project, node: Any, times: int) -> list[float]:
    found = [float(project.alone(node)["peak_anon_mb"]) for _ in range(times)]
    tell(f"  {node.id}: {found} MB")
    return found


def huge(pictures: Pictures) -> list[Row]:
    """whiten and pseudolabel on as many rows as `--rows` says, or as half of the free disk holds."""
    size, project = pictures.size, pictures.project
    params = pictures.run("stage", "float32")
    dim, chunk = size.feature_dim, params.extract.chunk_rows
    free = shutil.disk_usage(pictures.folder).free
    rows = size.huge_rows or min(1_280_000, free // 2 // (4 * dim) // chunk * chunk)
    tell(f"huge: writing {rows:,} rows of {dim}")
    path = project.root / project.node(params, "extract").outs["features"].path
    shutil.rmtree(path, ignore_errors=True)
    out = ChunkWriter(path, (chunk, dim), "float32")
    out.write_all(_repeated(rows, dim, chunk), rows)
    found = project.alone(project.node(params, "whiten"))
    shutil.rmtree(path)
    project.assign(params, rows, size.clusters)
    labelled = project.alone(project.node(params, "pseudolabel"))
    n = f"{rows:,} × {dim}"
    return [
        limited("huge", name, n, [float(row["seconds"])], "s", None, f"peak {row['peak_anon_mb']} MB")
        for name, row in (("whiten", found), ("pseudolabel", labelled))
    ]


def _repeated(rows: int, dim: int, chunk: int) -> Iterable[np.ndarray]:
    """Eight chunks again and again, a little shifted: drawing each anew would take longer than whitening."""
    drawn = list(synthetic(8 * chunk, dim, chunk))
    for index, start in enumerate(range(0, rows, chunk)):
        block = np.roll(drawn[index % 8], index, axis=0)[: rows - start]
        yield block * np.float32(1 + index * 1e-6)

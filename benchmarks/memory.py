"""memory: peaks of stages at N and 4 N; huge: as many rows as the disk holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from in_process import synthetic, unseen_lines
from measure import Row, limited, tell
from network import Pictures
from photographs import photographs
from PIL import Image
from scratch import Project
from sizes import paper

from pipeline.recording.planning import write_dataset
from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.tables import write_parquet
from stages.dag.data import dataset_nodes
from stages.dag.folders import dataset_folder
from stages.parameters.run import RunParams
from stages.runtime.job import load_dataset_params

MEMORY_BAR = 1.1
"""Most times the memory at N that a stage may take at 4N."""


CLUSTER_BAR = 1.5
"""Most times the growth of its rows, held once, that the memory of cluster may grow."""


def memory(pictures: Pictures) -> list[Row]:
    """Peak anonymous memory of stages in processes of their own, at N and at 4 N."""
    size, project = pictures.size, pictures.project
    times = 1 if size.pairs < 7 else 3
    n = {
        "pack": size.memory_files,
        "extract": size.memory_images,
        "whiten": size.memory_rows,
        "pseudolabel": size.memory_labels,
        "cluster": size.memory_clustered,
    }
    peaks: dict[str, list[list[float]]] = {stage: [] for stage in n}
    params: RunParams | None = None
    for factor in (1, 4):
        files = _tiny(pictures.folder / "files", factor * n["pack"])
        project.dataset(f"files-{factor}", files, size=64, chunk_mib=16)
        write_dataset(project.root, load_dataset_params(project.root, f"files-{factor}"))
        peaks["pack"].append(_peaks(project, _packing(project, f"files-{factor}"), times))
        shutil.rmtree(files)

        folder = photographs(pictures.folder / "photographs", factor * n["extract"], workers=size.threads)
        name = f"memory-{factor}"
        project.dataset(name, folder, chunk_mib=16)
        overrides = paper(size, name)
        overrides["whiten"] = {"dim": min(256, n["extract"] // 2)}
        overrides["cluster"] = {"k": 2}
        overrides["extract"] = {"batch": min(64, n["extract"]), "chunk_rows": min(256, n["extract"])}
        params = project.start(name, overrides)
        shutil.rmtree(folder)
        peaks["extract"].append(_peaks(project, project.node(params, "extract"), times))
        project.write_features(params, factor * n["whiten"], size.feature_dim)
        peaks["whiten"].append(_peaks(project, project.node(params, "whiten"), times))
        _clustered(project, params, factor * n["cluster"])
        peaks["cluster"].append(_peaks(project, project.node(params, "cluster"), times))
        project.assign(params, factor * n["pseudolabel"], size.clusters)
        peaks["pseudolabel"].append(_peaks(project, project.node(params, "pseudolabel"), times))
    assert params is not None
    rows = []
    for stage, (at_n, at_4n) in peaks.items():
        counts = f"{n[stage]:,} and {4 * n[stage]:,}"
        note = f"{np.median(at_n):.0f} and {np.median(at_4n):.0f} MB"
        if stage == "cluster":
            array = 3 * n[stage] * params.whiten.dim * 4 / 2**20
            growth = [(b - a) / array for a, b in zip(at_n, at_4n, strict=True)]
            what = "cluster: growth of the peak over that of the rows that it clusters"
            rows.append(limited("memory", what, counts, growth, "×", CLUSTER_BAR, note))
        else:
            ratios = [b / a for a, b in zip(at_n, at_4n, strict=True)]
            what = f"{stage}: peak at 4N over peak at N"
            rows.append(limited("memory", what, counts, ratios, "×", MEMORY_BAR, note))
    return rows


def _packing(project: Any, dataset: str) -> Any:
    nodes = dataset_nodes(load_dataset_params(project.root, dataset))
    return next(node for node in nodes if node.stage == "pack")


def _tiny(folder: Path, count: int) -> Path:
    """Many small pictures: what grows with their number must show beside what holds their pixels."""
    rng = np.random.default_rng(0)
    for start in range(0, count, 1000):
        part = folder / f"{start:07d}"
        part.mkdir(parents=True)
        for index in range(start, min(start + 1000, count)):
            picture = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
            picture.save(part / f"{index:07d}.jpg", quality=50)
    return folder


def _clustered(project: Project, params: RunParams, count: int) -> None:
    """What cluster reads, for `count` pictures that have lines in a manifest alone."""
    node = project.node(params, "cluster")
    path = project.root / node.deps["whitened"]
    shutil.rmtree(path, ignore_errors=True)
    rng = np.random.default_rng(0)
    chunk = params.extract.chunk_rows
    out = ChunkWriter(path, (chunk, params.whiten.dim), "float32")
    blocks = (
        rng.standard_normal((min(chunk, count - start), params.whiten.dim), np.float32)
        for start in range(0, count, chunk)
    )
    out.write_all(blocks, count)
    folder = project.root / dataset_folder(params.dataset.name)
    write_parquet(folder / "manifest.parquet", unseen_lines(count))


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

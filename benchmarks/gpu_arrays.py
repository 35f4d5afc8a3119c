"""whiten and cluster at ImageNet's size, on rows that are drawn on the device and from files; transfers."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.spatial.distance
import torch
from device import free_memory, peak_memory, seconds_on, transfers
from gpu_setup import Bench
from in_process import remove
from measure import Row, limited, tell
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from stages.artifacts.arrays import read_npy
from stages.artifacts.chunks import ChunkReader, ChunkWriter
from stages.artifacts.tables import read_parquet
from stages.artifacts.transform import save
from stages.artifacts.writing import make_folder
from stages.dag.folders import dataset_folder
from stages.method.kmeans import kmeans
from stages.method.whitening import PCAWhitening
from stages.parameters.run import RunParams
from stages.runtime.threads import thread_limit

ARITHMETIC_BAR = 3.0
"""Most seconds of whitening's arithmetic for `BAR_ROWS` rows of 4096."""

WHITEN_BAR = 15.0
"""Most seconds of the stage, beside reading."""

CLUSTER_BAR = 10.0
"""Most seconds of k-means of `BAR_ROWS` rows of 256 into 10,000 clusters, and of its stage."""

BAR_ROWS = 1_280_000

CHUNK = 2048
"""Rows of a block that lies on the device, as many as a stage reads at a time."""

DECADES = 8
"""Orders of magnitude over which the variances of rows fall."""

CHECK_ROWS = 4096
"""Rows whose distances to all centroids are computed at once where they are checked."""


def whiten(bench: Bench) -> list[Row]:
    """The method on rows that lie on the device, as many as half of its memory holds; then the stage, from files."""
    return [*whiten_resident(bench), *whiten_files(bench)]


def whiten_resident(bench: Bench) -> list[Row]:
    size, device = bench.size, torch.device(bench.device)
    free = free_memory(device)
    rows = size.rows if free is None else min(size.rows, free // 2 // (4 * size.features))
    blocks = list(drawn(rows, size.features, CHUNK, device))
    with thread_limit(size.threads), warnings.catch_warnings():
        # torch.tensor of a tensor, where stages give it arrays.
        warnings.simplefilter("ignore", UserWarning)
        few = PCAWhitening.fit(blocks[:4], size.dim, bench.device)
        few.apply(blocks[0], bench.device)
        fitted: list[PCAWhitening] = []
        fit = seconds_on(device, lambda: fitted.append(PCAWhitening.fit(blocks, size.dim, bench.device)))
        apply = seconds_on(device, lambda: [fitted[0].apply(block, bench.device) for block in blocks])
    n = f"{rows:,} × {size.features} to {size.dim}"
    bar = ARITHMETIC_BAR * rows / BAR_ROWS
    return [
        limited("whiten", "fit, rows on the device", n, [fit], "s", None),
        limited("whiten", "apply, rows on the device", n, [apply], "s", None),
        limited("whiten", "arithmetic", n, [fit + apply], "s", bar),
    ]


def whiten_files(bench: Bench) -> list[Row]:
    """The stage, of as many rows as four fifths of the free disk hold, in the page cache."""
    size, device = bench.size, torch.device(bench.device)
    params = arrays(bench)
    node = bench.stages.node(params, "whiten")
    path = bench.stages.root / node.deps["features"]
    chunk = params.extract.chunk_rows
    room = shutil.disk_usage(bench.folder).free * 4 // 5 // (4 * size.features)
    rows = min(size.rows, room // chunk * chunk)
    tell(f"  writing {rows:,} rows of {size.features}")
    write(path, drawn(rows, size.features, chunk, device), chunk, size.features, rows)
    # What a stage does to read them, which it does twice.
    reading = 2 * seconds_on(torch.device("cpu"), lambda: [len(block) for block in ChunkReader(path, "").blocks()])
    with peak_memory(device) as peak:
        seconds = bench.stages.stage(params, "whiten")
    remove(path)
    bar = round(WHITEN_BAR * rows / BAR_ROWS + reading, 1)
    memory = "" if peak[0] is None else f"; at most {peak[0]:.1f} GB on the device"
    note = f"reading twice alone {reading:.1f} s, which the bar holds{memory}"
    n = f"{rows:,} × {size.features} to {size.dim}"
    return [limited("whiten", "stage", n, [seconds], "s", bar, note)]


def cluster(bench: Bench) -> list[Row]:
    """The method on an array in memory; then the stage, from a file, whose last assignment is computed again."""
    size, device = bench.size, torch.device(bench.device)
    params = arrays(bench)
    stages, node = bench.stages, bench.stages.node(params, "cluster")
    rows = unit_rows(size.rows, size.dim, size.clusters, device)
    n = f"{size.rows:,} × {size.dim}, k {size.clusters:,}, {size.iterations} iterations"
    bar = CLUSTER_BAR * size.rows / BAR_ROWS

    def method() -> None:
        kmeans(
            rows,
            size.clusters,
            iterations=size.iterations,
            seed=0,
            rng=np.random.default_rng(0),
            device=bench.device,
        )

    with thread_limit(size.threads):
        found = [limited("cluster", "k-means and last assignment", n, [seconds_on(device, method)], "s", bar)]
    chunk = params.extract.chunk_rows
    write(stages.root / node.deps["whitened"], iter(torch.from_numpy(rows).split(chunk)), chunk, size.dim, len(rows))
    save(stages.root / node.deps["pca"], PCAWhitening.fit([rows[: 4 * size.dim]], size.dim))
    with peak_memory(device) as peak:
        seconds = stages.stage(params, "cluster")
    memory = "" if peak[0] is None else f"at most {peak[0]:.1f} GB on the device"
    found.append(limited("cluster", "stage", n, [seconds], "s", bar, memory))
    centroids = read_npy(stages.root / node.outs["centroids"].path)
    assignment = read_parquet(stages.root / node.outs["assignments"].path)["cluster"].to_numpy()
    return [*found, *checked(bench, rows, centroids, assignment)]


def checked(
    bench: Bench, rows: NDArray[np.float32], centroids: NDArray[np.float32], assignment: NDArray[np.integer]
) -> list[Row]:
    """In how many rows the assignment is another than in float64: all by products, some by differences."""
    device = torch.device(bench.device)
    c = torch.from_numpy(centroids).to(device).double()
    # Neither moved to the mean nor in the blocks that the method takes.
    nearest = [
        (c.square().sum(1) - 2 * block.to(device).double() @ c.T).argmin(1).cpu()
        for block in torch.from_numpy(rows).split(CHECK_ROWS)
    ]
    everywhere = int((torch.cat(nearest).numpy() != assignment).sum())
    some = np.sort(np.random.default_rng(1).choice(len(rows), bench.size.sampled, replace=False))
    distances = scipy.spatial.distance.cdist(rows[some].astype(float), centroids.astype(float), "sqeuclidean")
    sampled = int((distances.argmin(1) != assignment[some]).sum())
    what = "rows assigned otherwise than in float64"
    return [
        limited("cluster", f"{what}, by products", f"{len(rows):,} rows", [everywhere], "", 0),
        limited("cluster", f"{what}, by scipy's cdist", f"{len(some):,} rows", [sampled], "", 0),
    ]


def arrays(bench: Bench) -> RunParams:
    """A run whose stages read rows that nobody extracted."""
    size = bench.size
    if not (bench.stages.root / dataset_folder("rows")).exists():
        bench.stages.unseen("rows", size.rows)
    clusters = {"k": size.clusters, "iterations": size.iterations}
    return bench.run("float32", "rows", name="arrays", network=False, cluster=clusters)


def drawn(rows: int, dim: int, chunk: int, device: torch.device) -> Iterator[Tensor]:
    """(chunk, dim) float32 blocks on the device, whose variances fall as a power law along directions at random."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    fall = DECADES / np.log10(dim)
    scale = torch.arange(1, dim + 1, device=device) ** (-fall / 2) * dim**0.5
    turned = scale[:, None] * torch.linalg.qr(normal(dim, dim)).Q
    mean = normal(dim)
    for start in range(0, rows, chunk):
        yield normal(min(chunk, rows - start), dim) @ turned + mean


def unit_rows(rows: int, dim: int, centres: int, device: torch.device) -> NDArray[np.float32]:
    """(rows, dim) rows of length 1 around so many centres."""
    generator = torch.Generator(device).manual_seed(0)
    middles = torch.randn(centres, dim, generator=generator, device=device)
    which = torch.randint(centres, (rows,), generator=generator, device=device)
    noise = torch.randn(rows, dim, generator=generator, device=device)
    return normalize(noise.add_(middles[which])).cpu().numpy()


def write(path: Path, blocks: Iterator[Tensor], chunk: int, dim: int, rows: int) -> None:
    """An array in chunks, as a stage writes it."""
    remove(path)
    make_folder(path.parent)
    ChunkWriter(path, (chunk, dim), "float32").write_all((block.cpu().numpy() for block in blocks), rows)


def moving(bench: Bench) -> list[Row]:
    """Transfers to the device and back; writing a file through to the disk, and reading it from there."""
    size = bench.size
    found = transfers(torch.device(bench.device), size.transfer)
    n = f"{size.transfer / 1e9:.2g} GB"
    rows = [
        limited("transfers", what, n, [float("nan") if rate is None else rate], "GB/s", None)
        for what, rate in found.items()
    ]
    written, read = disk_rates(bench.folder / "file", size.disk)
    n = f"{size.disk / 1e9:.2g} GB"
    rows.append(limited("transfers", "disk, written through", n, [written / 1e9], "GB/s", None))
    rows.append(limited("transfers", "disk, read", n, [read / 1e9], "GB/s", None))
    return rows


def disk_rates(path: Path, size: int) -> tuple[float, float]:
    """Bytes a second of writing a file in blocks, each through to the disk, and of reading it back from there."""
    block = np.random.default_rng(0).bytes(2**25)[: min(size, 2**25)]
    started = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for _ in range(size // len(block)):
            file.write(block)
            os.fsync(file.fileno())
    writing = time.perf_counter() - started
    with open(path, "rb", buffering=0) as file:
        # The page cache forgets it.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        buffer = bytearray(len(block))
        started = time.perf_counter()
        while file.readinto(buffer):
            pass
        reading = time.perf_counter() - started
    path.unlink()
    total = size // len(block) * len(block)
    return total / writing, total / reading

"""The price of persistence (engine), and memory."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from measure import Row, Side, compared, interleaved, limited, tell, timed
from network import Pictures
from photographs import photographs
from scratch import Project, Size, paper, synthetic

from pipeline.execution import Engine
from pipeline.running import Request, run
from pipeline.settings import Settings
from stages.chunks import ChunkWriter
from stages.graph import dataset_nodes, epoch_nodes, init_node, resolve_node
from stages.params import RunParams

STAGE_BAR = 0.1
"""Most seconds of overhead a stage in `pipeline run`."""

GROWTH_BAR = 1.2
"""Most times the overhead at 10 planned epochs that it may be at 500."""

PLAN_BAR, STATUS_BAR, REPRO_BAR, IMPORT_BAR = 10.0, 3.0, 60.0, 0.5
"""Most seconds: planning 500 epochs, their status, an up-to-date `dvc repro`, an import."""

MEMORY_BAR = 1.1
"""Most times the memory at N that a stage may take at 4N."""

FEW = 10


def tiny(epochs: int) -> dict[str, Any]:
    """The demo, as small as it can be: its stages' own work is next to nothing."""
    return {
        "epochs": epochs,
        "model": {"width": 0.03},
        "extract": {"batch": 20},
        "whiten": {"dim": 4},
        "cluster": {"k": 2},
        "train": {"batch": 10, "passes": 1},
    }


class Tiny:
    """A project whose demo has `epochs` planned epochs, the first of them computed."""

    def __init__(self, folder: Path, epochs: int) -> None:
        self.project = Project(folder)
        self.epochs = epochs
        self.project.put(datasets__demo__generate={"images": 20, "seed": 0}, runs__demo=tiny(epochs))
        self.planning = self.project.command("python", "-m", "pipeline", "plan")
        self.params = Settings(self.project.root).resolve("demo")
        started = time.perf_counter()
        self.engine = Engine(self.project.root, "demo", self.project.report)
        self.engine.__enter__()
        self.opening = time.perf_counter() - started
        self.engine.pack(self.params.dataset)
        self.engine.execute([resolve_node(self.params), init_node(self.params)], self.params)
        self.done = 0
        self.next_epoch()

    def next_epoch(self) -> float:
        """Seconds a stage that one more epoch takes beside the stages' own."""
        self.done += 1
        nodes = epoch_nodes(self.params, self.done)
        started = time.perf_counter()
        count = self.engine.execute(nodes, self.params)
        seconds = time.perf_counter() - started
        assert count == len(nodes)
        own = sum(float(row["seconds"]) for row in self.project.timings("data/runs/demo")[-count:])
        return (seconds - own) / count

    def close(self) -> None:
        self.engine.__exit__(None, None, None)


def engine(pictures: Pictures) -> list[Row]:
    size, folder = pictures.size, pictures.folder
    few, many = Tiny(folder / "few", FEW), Tiny(folder / "many", size.epochs)
    names = f"overhead a stage, {FEW} planned epochs", f"overhead a stage, {size.epochs} planned epochs"
    rounds = min(size.pairs, FEW - 2)
    seconds = interleaved([Side(names[0], few.next_epoch), Side(names[1], many.next_epoch)], rounds)
    n = "6 tiny stages a round"
    rows = [limited("engine", name, n, seconds[name], "s", STAGE_BAR) for name in names]
    growth = [b / a for a, b in zip(*seconds.values(), strict=True)]
    rows.append(limited("engine", f"{size.epochs} epochs over {FEW}", n, growth, "×", GROWTH_BAR))
    rows.append(limited("engine", "opening the engine", f"{size.epochs} epochs", [many.opening], "s", None))
    planned = f"{size.epochs} epochs"
    rows.append(limited("engine", "pipeline plan", planned, [many.planning], "s", PLAN_BAR))
    few.close()
    rows.append(whole(few))
    rows += commands(many.project, size, f"{size.epochs} planned epochs, {many.done} done")
    if size.finish:
        rows += finished(many, size)
    else:
        many.close()
    return [*rows, *hashing(folder, size)]


def whole(few: Tiny) -> Row:
    """All of `pipeline run`, from its first check to its last record, over the stages that it ran."""
    before = len(few.project.timings("data/runs/demo"))
    started = time.perf_counter()
    run(few.project.root, Request("demo"), few.project.report)
    seconds = time.perf_counter() - started
    rows = few.project.timings("data/runs/demo")[before:]
    overhead = (seconds - sum(float(row["seconds"]) for row in rows)) / len(rows)
    what = "overhead a stage, the rest of a `pipeline run`, checks and opening included"
    return limited("engine", what, f"{FEW} epochs, {len(rows)} stages", [overhead], "s", None)


def commands(project: Project, size: Size, n: str) -> list[Row]:
    """Commands in processes of their own."""
    told = {
        "pipeline status": (("python", "-m", "pipeline", "status"), n, STATUS_BAR),
        "import pipeline": (("python", "-c", "import pipeline"), "", IMPORT_BAR),
        "python -m pipeline --help": (("python", "-m", "pipeline", "--help"), "", IMPORT_BAR),
    }
    rows = []
    for name, (words, what, bar) in told.items():
        seconds = [project.command(*words) for _ in range(size.imports)]
        rows.append(limited("engine", name, what, seconds, "s", bar))
    return rows


def finished(many: Tiny, size: Size) -> list[Row]:
    """`dvc repro` where everything is up to date; of fewer epochs where time does not allow all."""
    deadline = time.monotonic() + size.seconds
    while many.done < many.epochs and time.monotonic() < deadline:
        many.next_epoch()
        if many.done % 50 == 0:
            tell(f"  {many.done} of {many.epochs} tiny epochs")
    many.close()
    project = many.project
    run(project.root, Request("demo", epochs=many.done, yes=True), project.report)
    n = f"{many.done} finished epochs"
    repro = project.command("dvc", "repro", "--quiet")
    status = [project.command("python", "-m", "pipeline", "status") for _ in range(3)]
    return [
        limited("engine", "dvc repro, up to date", n, [repro], "s", REPRO_BAR),
        limited("engine", "pipeline status", n, status, "s", STATUS_BAR),
    ]


def hashing(folder: Path, size: Size) -> list[Row]:
    """DVC's md5 against hashlib's."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import LocalFileSystem

    path = folder / "hashed"
    block = np.random.default_rng(0).bytes(2**24)
    count = max(1, round(size.gigabytes * 1e9 / len(block)))
    with open(path, "wb") as file:
        for _ in range(count):
            file.write(block)
    filesystem = LocalFileSystem()

    def plain() -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()

    sides = [Side("dvc", timed(lambda: file_md5(str(path), filesystem))), Side("hashlib", timed(plain))]
    seconds = interleaved(sides, min(size.pairs, 3))
    path.unlink()
    gigabytes = count * len(block) / 1e9
    n = f"{gigabytes:.2f} GB"
    rates = [gigabytes / spent for spent in seconds["dvc"]]
    rows = [limited("engine", "hashing by DVC", n, rates, "GB/s", None)]
    return rows + [row for row in compared("engine", n, seconds, "dvc") if row.what == "hashlib"]


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

"""The price of persistence: what the engine adds to a stage, and the commands at 500 epochs."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import Row, Side, compared, interleaved, limited, tell, timed
from network import Pictures
from scratch import Project
from sizes import Size

from pipeline.preparing import Request
from pipeline.recording.engine import Engine
from pipeline.run import run
from pipeline.settings import Settings
from stages.dag.data import dataset_nodes
from stages.dag.graph import epoch_nodes, start_nodes

STAGE_BAR = 0.1
"""Most seconds of overhead a stage in `pipeline run`."""

GROWTH_BAR = 1.2
"""Most times the overhead at 10 planned epochs that it may be at 500."""

PLAN_BAR, STATUS_BAR, REPRO_BAR, IMPORT_BAR = 10.0, 3.0, 60.0, 0.5
"""Most seconds: planning 500 epochs, their status, an up-to-date `dvc repro`, an import."""

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
        self.engine.provide(dataset_nodes(self.params.pictures))
        self.engine.execute(start_nodes(self.params), self.params)
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
        rows += finished(many, size, rounds)
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


def finished(many: Tiny, size: Size, rounds: int) -> list[Row]:
    """The last epochs, and commands that find everything up to date; of fewer epochs where time does not allow all."""
    deadline = time.monotonic() + size.seconds
    while many.done < many.epochs - rounds and time.monotonic() < deadline:
        many.next_epoch()
        if many.done % 50 == 0:
            tell(f"  {many.done} of {many.epochs} tiny epochs")
    few = Tiny(many.project.root.parent / "first", FEW)
    first, last = "the first epochs", "the last epochs"
    seconds = interleaved([Side(first, few.next_epoch), Side(last, many.next_epoch)], rounds)
    few.close()
    many.close()
    project = many.project
    run(project.root, Request("demo", epochs=many.done, yes=True), project.report)
    n = f"{many.done} finished epochs"
    repro = project.command("dvc", "repro", "--quiet")
    again = project.command("python", "-m", "pipeline", "run")
    status = [project.command("python", "-m", "pipeline", "status") for _ in range(3)]
    kept = ("--set", "retain.last=3", "--set", "retain.every=50")
    pruning = project.command("python", "-m", "pipeline", "prune", *kept)
    pruned = project.command("dvc", "repro", "--quiet")
    # Fewer epochs than were planned decide nothing.
    whole = many.done == many.epochs
    note = "" if whole else f"stopped after {size.seconds:.0f} s: --seconds allows more"
    growth = [b / a for a, b in zip(seconds[first], seconds[last], strict=True)]
    return [
        limited("engine", f"overhead a stage, {last}", n, seconds[last], "s", STAGE_BAR if whole else None, note),
        limited("engine", f"{last} over the first of {FEW}", n, growth, "×", GROWTH_BAR if whole else None, note),
        limited("engine", "dvc repro, up to date", n, [repro], "s", REPRO_BAR if whole else None, note),
        limited("engine", "pipeline run, up to date", n, [again], "s", None, note),
        limited("engine", "pipeline status", n, status, "s", STATUS_BAR if whole else None, note),
        limited("engine", "pipeline prune, to the last 3 and each 50th", n, [pruning], "s", None, note),
        limited("engine", "dvc repro, up to date and pruned", n, [pruned], "s", None, note),
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

    sides = [
        Side("hashing by DVC", timed(lambda: file_md5(str(path), filesystem))),
        Side("hashing by hashlib", timed(plain)),
    ]
    seconds = interleaved(sides, min(size.pairs, 3))
    path.unlink()
    gigabytes = count * len(block) / 1e9
    n = f"{gigabytes:.2f} GB"
    rates = [gigabytes / spent for spent in seconds["hashing by DVC"]]
    rows = [limited("engine", "hashing by DVC", n, rates, "GB/s", None)]
    return [*rows, *compared("engine", n, seconds, "hashing by DVC")[1:]]

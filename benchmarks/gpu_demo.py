"""The demo on a device: NMI beside that of the CPU's seeds, and the same bytes however pictures come there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gpu_setup import Bench
from in_process import ROOT, Stages
from measure import MET, MISSED, Row, limited

from stages.artifacts.documents import load_json
from stages.dag.data import dataset_nodes
from stages.dag.folders import run_folder
from stages.dag.names import CLUSTERING, PARAMS, TIMINGS
from stages.runtime.job import load_dataset_params

RESULTS = ROOT / "docs" / "results.md"

DEMO = "demo"


def demo(bench: Bench) -> list[Row]:
    """All epochs and final/ twice, in one process and without DVC."""
    size = bench.size
    stages = Stages(bench.folder / DEMO)
    stages.put(datasets__demo__generate__images=size.demo_images)
    for node in dataset_nodes(load_dataset_params(stages.root, DEMO)):
        stages.execute(node, None)
    few = max(1, size.threads // 4) if size.threads > 2 else 0
    ways = {
        f"{size.threads} workers, pictures on the device": {"workers": size.threads, "device_memory": 0.5},
        f"{few} workers, pictures sent": {"workers": few, "device_memory": 0.0},
    }
    folders, rows = [], list[Row]()
    for number, (how, given) in enumerate(ways.items(), start=1):
        overrides: dict[str, Any] = {"dataset": DEMO, "device": bench.device, "evaluations": [], **given}
        params = stages.begin(f"run-{number}", overrides | size.demo)
        seconds = stages.whole(params)
        folders.append(stages.root / run_folder(params.run))
        rows.append(limited("demo", how, f"epochs 1 to {params.epochs} and final/", [seconds], "s", None))
    found = load_json(folders[0] / "final" / CLUSTERING)["nmi_labels"]
    different = differing(*folders)
    note = ", ".join(different[:3])
    n = f"{len(artifacts(folders[0]))} files"
    rows.append(limited("demo", "files that differ between the two", n, [len(different)], "", 0, note))
    return [*rows, within_seeds(found, *cpu_seeds(RESULTS.read_text(encoding="utf-8")), decides=not size.demo)]


def artifacts(run: Path) -> dict[str, bytes]:
    """What the stages of a run have written, by name."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file() and path.name not in (PARAMS, TIMINGS))
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def differing(first: Path, second: Path) -> list[str]:
    """Names of files that one of two runs lacks, or that hold other bytes."""
    one, other = artifacts(first), artifacts(second)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def cpu_seeds(results: str) -> tuple[float, float]:
    """The least and the most NMI at the end of the demo's seeds, from the table of docs/results.md."""
    found = re.findall(r"^\| DeepCluster, seed \d+ \| \S+ \| (\S+) \|", results, re.MULTILINE)
    return min(map(float, found)), max(map(float, found))


def within_seeds(nmi: float, least: float, most: float, *, decides: bool) -> Row:
    """Whether the NMI lies among those of the CPU's seeds, to the three digits that are known of them."""
    verdict = MET if least <= round(nmi, 3) <= most else MISSED
    bar = f"{least:g} to {most:g}, of seeds on a CPU"
    return Row("demo", "NMI to labels at the end", "seed 0", 1, nmi, "", bar=bar, verdict=verdict if decides else "")

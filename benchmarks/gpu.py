"""A GPU against the bare network, the plain loop and the bars: `make gpu` writes docs/gpu.csv and its table.

    python benchmarks/gpu.py [--only PART ...] [--device cuda] [--output FOLDER] [--seconds 330]
    python benchmarks/gpu.py --device cpu --small     # the same code on a CPU, on little, and printed only

About six minutes on one GPU with 16 cores, from a clone and nothing else: 1,000 JPEGs are drawn and stand in the data
set again and again. A part's rows are printed and kept as soon as it is measured, and replace those of the same part;
--only measures some parts, and what an epoch on ImageNet takes is computed of all that is kept. After --seconds no
further part is begun. A missed bar is said in the table; the exit status is 1 where a part failed.

Stages run in this process, as `pipeline run` executes them, and without DVC, which need not be there. Needed are torch,
torchvision, faiss, zarr, numpy, scipy, pandas, pyarrow, scikit-learn, joblib, threadpoolctl, pillow, pydantic, pyyaml,
ruamel.yaml and safetensors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import gpu_arrays
import gpu_demo
import gpu_network
import gpu_pictures
import report
import torch
from device import give_back, name_of
from gpu_setup import SMALL, Bench, Size
from imagenet import IMAGES, Rates, imagenet_epoch, total
from in_process import ROOT
from measure import Row, limited, tell
from sides import ours

from stages.errors import Refusal
from stages.runtime.devices import device_of
from stages.runtime.threads import float_modes

PARTS = {
    "transfers": gpu_arrays.moving,
    "pack": gpu_pictures.pack,
    "extract": gpu_pictures.extract,
    "train": gpu_pictures.train,
    "whiten": gpu_arrays.whiten,
    "cluster": gpu_arrays.cluster,
    "memory": gpu_network.memory,
    "agreement": gpu_network.agreement,
    # Last but one: what has been profiled may be slower afterwards.
    "busy": gpu_network.working,
    "demo": gpu_demo.demo,
}

EPOCH = "ImageNet epoch"

EPOCH_BAR = 150.0
"""Most seconds of an epoch on ImageNet by the rates of its stages and the disk's."""

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"

CPU = "Of a CPU: no number here says anything of a GPU."
FEW = "On small sizes: no bar is decided here."


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu; default: cuda")
    parser.add_argument("--small", action="store_true", help="little of everything, to try the code")
    parser.add_argument("--output", type=Path, help="folder of gpu.csv and performance.md; default: docs")
    parser.add_argument("--folder", type=Path, help="where pictures and arrays lie, 40 GB; default: a temporary one")
    parser.add_argument("--seconds", type=float, default=330.0, help="after which no further part is begun")
    parser.add_argument("--images", type=int, help="to pack")
    parser.add_argument("--rows", type=int, help="to whiten and to cluster")
    return parser.parse_args()


def size_of(chosen: argparse.Namespace) -> Size:
    size = SMALL if chosen.small else Size()
    given = {"packed": chosen.images, "rows": chosen.rows}
    return replace(size, **{name: value for name, value in given.items() if value is not None})


def epoch(kept: list[dict[str, str]], precision: str) -> list[Row]:
    """An epoch on ImageNet by the rows that are kept, in the precision given; none while some are missing."""
    found = {(row["part"], row["what"]): row for row in kept}

    def value(part: str, what: str) -> float:
        return float(found[part, what]["median"])

    def for_all(part: str) -> float:
        """Seconds of a stage, by those of as many rows as were measured."""
        return value(part, "stage") / int(found[part, "stage"]["n"].split()[0].replace(",", ""))

    try:
        rates = Rates(
            extract=value("extract", ours(precision)),
            train=value("train", ours(precision)),
            whiten=for_all("whiten"),
            cluster=for_all("cluster"),
            rows=1,
            write=1e9 * value("transfers", "disk, written through"),
            read=1e9 * value("transfers", "disk, read"),
        )
    except KeyError:
        return []
    stages = imagenet_epoch(rates)
    n = f"{IMAGES:,} images, {precision}"
    rows = [
        limited(
            EPOCH,
            stage.stage,
            n,
            [stage.seconds(cold=False)],
            "s",
            None,
            f"the disk: {stage.writing:.0f} s to write, {stage.reading:.0f} s to read pictures",
        )
        for stage in stages
    ]
    for what, cold in (("pictures in memory", False), ("pictures from the disk", True)):
        rows.append(limited(EPOCH, f"all, {what}", n, [total(stages, cold=cold)], "s", EPOCH_BAR))
    return rows


@dataclass(frozen=True)
class Table:
    """What is kept of all parts, in gpu.csv and, where it is asked for, between the markers of performance.md.

    Attributes:
        folder: of gpu.csv.
        document: performance.md.
        said: lines above the table that say what it is not.
    """

    folder: Path
    document: Path | None
    said: list[str]
    machine: str
    size: Size

    def keep(self, part: str, rows: list[Row]) -> list[dict[str, str]]:
        """Replaces the rows of a part; all that are kept."""
        if FEW in self.said:
            rows = [replace(row, verdict=f"{row.verdict} (small)" if row.verdict else "") for row in rows]
        kept = report.merged(self.folder / "gpu.csv", rows, [part], self.size.threads, self.machine)
        if self.document is not None:
            report.write(self.document, "\n\n".join([*self.said, report.tables(kept)]), BEGIN, END)
        return kept


def measure(bench: Bench, parts: Sequence[str], table: Table, started: float, seconds: float) -> list[str]:
    """Measures parts and keeps each; those that failed.

    Args:
        started: by time.monotonic(); no part is begun `seconds` later.
    """
    failed, kept = list[str](), list[dict[str, str]]()
    for part in parts:
        began = time.monotonic()
        if began - started > seconds:
            tell(f"{part} and what follows is left out: {seconds:.0f} s are over; --only {part}")
            break
        tell(f"{part}:")
        float_modes("float32")
        give_back(torch.device(bench.device))
        try:
            kept = table.keep(part, PARTS[part](bench))
        except Exception:
            # A GPU that is lent for minutes is used for the other parts.
            traceback.print_exc()
            failed.append(part)
        else:
            show(kept, part)
            kept = table.keep(EPOCH, epoch(kept, bench.precisions[-1]))
        tell(f"{part}: {time.monotonic() - began:.0f} s, {time.monotonic() - started:.0f} s in all")
    show(kept, EPOCH)
    return failed


def show(kept: list[dict[str, str]], part: str) -> None:
    """Prints the rows of a part."""
    if rows := [row for row in kept if row["part"] == part]:
        print(f"\n{report.table(rows)}\n", flush=True)


def main() -> int:
    started = time.monotonic()
    chosen = arguments()
    try:
        device = device_of(chosen.device)
    except (Refusal, RuntimeError) as error:
        sys.exit(str(error).splitlines()[0].replace("--set device=", "--device "))
    size = size_of(chosen)
    said = [line for line, holds in ((CPU, device.type == "cpu"), (FEW, chosen.small)) if holds]
    output = chosen.output or (None if said else ROOT / "docs")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    machine = ", ".join(filter(None, (name_of(device), report.machine())))
    with tempfile.TemporaryDirectory(prefix="gpu-", dir=chosen.folder, ignore_cleanup_errors=True) as work:
        document = output and output / "performance.md"
        table = Table(output or Path(work), document, said, machine, size)
        print("\n".join([*said, machine]), flush=True)
        with closing(Bench(Path(work), size, chosen.device)) as bench:
            failed = measure(bench, chosen.only or list(PARTS), table, started, chosen.seconds)
    if failed:
        tell(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

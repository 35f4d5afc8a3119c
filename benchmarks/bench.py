"""Speed, memory and the price of persistence: `make bench` writes docs/performance.csv and its table.

    python benchmarks/bench.py [PART ...] [--quick] [--images N] [--pairs P] [--rows N]

Each part measures a stage, as users get it, against plain alternatives on the same data, in rounds
that take turns. Rerunning one part replaces that part's rows alone. `--quick` takes three minutes on idle cores
and only prints. A missed bar is said in the table; the exit status is 0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import arrays
import engine
import memory
import network
import packing
import report
import waiting
from in_process import ROOT
from measure import tell
from sizes import QUICK, Size

PARTS = {
    "pack": network.pack,
    "packing": packing.packing,
    "extract": network.extract,
    "train": network.train,
    "wait": waiting.wait,
    "epoch": network.epoch,
    "whiten": arrays.whiten,
    "cluster": arrays.cluster,
    "pseudolabel": arrays.pseudolabel,
    "engine": engine.engine,
    "memory": memory.memory,
    "huge": memory.huge,
}
DEFAULT = [name for name in PARTS if name != "huge"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all but huge by default")
    parser.add_argument("--quick", action="store_true", help="three minutes: fewer images and rounds, nothing written")
    parser.add_argument("--images", type=int, help="photographs that are drawn")
    parser.add_argument("--train-images", type=int, help="images of a timed round of train")
    parser.add_argument("--pairs", type=int, help="interleaved rounds; an epoch has at most three unless this is given")
    parser.add_argument("--rows", type=int, help="rows of the part `huge`; default: half of the free disk")
    parser.add_argument("--epochs", type=int, help="epochs that `engine` plans, and finishes where time allows")
    parser.add_argument("--seconds", type=float, help="most seconds to finish the tiny epochs of `engine` in")
    parser.add_argument("--threads", type=int, help="of arithmetic, and loaders; default: all cores")
    parser.add_argument("--bf16", action="store_true", default=None, help="bf16 even where the processor has no units")
    parser.add_argument("--output", type=Path, help="folder of performance.csv and .md; default: docs")
    chosen = parser.parse_args()
    for part in chosen.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}: choose from {', '.join(PARTS)}")
    return chosen


def size_of(chosen: argparse.Namespace) -> Size:
    size = QUICK if chosen.quick else Size()
    given = {
        "images": chosen.images,
        "train_images": chosen.train_images,
        "pairs": chosen.pairs,
        "epoch_pairs": chosen.pairs,
        "huge_rows": chosen.rows,
        "epochs": chosen.epochs,
        "seconds": chosen.seconds,
        "threads": chosen.threads,
        "bf16": chosen.bf16,
    }
    size = replace(size, **{name: value for name, value in given.items() if value is not None})
    return replace(size, side_pairs=min(size.side_pairs, size.pairs))


def main() -> int:
    chosen = arguments()
    size = size_of(chosen)
    parts = chosen.parts or DEFAULT
    output = chosen.output or (None if chosen.quick else ROOT / "docs")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    shown: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        pictures = network.Pictures(Path(folder), size)
        path = (output or Path(folder)) / "performance.csv"
        for part in parts:
            started = time.monotonic()
            tell(f"{part}:")
            rows = PARTS[part](pictures)
            if chosen.quick:
                rows = [replace(row, verdict=f"{row.verdict} (quick)" if row.verdict else "") for row in rows]
            # Written part by part: a stopped bench keeps what it has measured.
            shown = report.merged(path, rows, [part], size.threads)
            tell(f"{part}: {time.monotonic() - started:.0f} s")
            if output is not None:
                report.write(output / "performance.md", report.tables(shown))
    if chosen.quick:
        print("Quick: fewer images and rounds than the bars ask for; nothing here decides one.\n")
    print(report.tables([row for row in shown if row["part"] in parts]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

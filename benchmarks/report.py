"""docs/performance.csv, and the table of it in docs/performance.md."""

from __future__ import annotations

import csv
import importlib.metadata
import math
import platform
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path

from measure import Row

from pipeline.machine import multiplies_bf16
from stages.runtime.threads import usable_cores

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
SETTING = ("machine", "threads", "versions")
COLUMNS = (*(field.name for field in fields(Row)), *SETTING, "date")
PACKAGES = ("torch", "torchvision", "faiss-gpu", "faiss-cpu", "zarr", "numpy", "scipy", "scikit-learn", "dvc")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16")


def flags() -> list[str]:
    """Those of the processor's features that decide how fast float32 and bf16 are."""
    found: set[str] = set()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith(("flags", "Features")):
            found.update(line.partition(":")[2].split())
            break
    return [flag for flag in FLAGS if flag in found]


def machine() -> str:
    """Processor, cores, vector units and memory in a few words; never a host name."""
    found = ", ".join(flags()) or "unknown"
    return f"{processor()} (flags: {found}), {memory_gb():.0f} GB of memory"


def processor() -> str:
    """Its name, cores and vector units."""
    model = platform.machine()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    units = "bf16 units" if multiplies_bf16() else "no bf16 units"
    vectors = "AVX-512" if "avx512f" in flags() else "no AVX-512"
    return f"{model}, {usable_cores()} cores, {vectors}, {units}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def memory_gb() -> float:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return int(line.split()[1]) * 1024 / 1e9
    return float("nan")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def merged(path: Path, rows: list[Row], parts: list[str], threads: int, of: str | None = None) -> list[dict[str, str]]:
    """The rows on disk with those of `parts` replaced by `rows`, written back.

    Args:
        of: the machine, where more of it counts than `machine` says.
    """
    measured = {"machine": of or machine(), "threads": str(threads), "versions": versions()}
    new = [
        {name: _cell(value) for name, value in asdict(row).items()} | measured | {"date": date.today().isoformat()}
        for row in rows
    ]
    old: list[dict[str, str]] = []
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            old = list(csv.DictReader(file))
    order = list(dict.fromkeys([*(row["part"] for row in old), *parts]))
    kept = [row for row in old if row["part"] not in parts]
    out = sorted([*kept, *new], key=lambda row: order.index(row["part"]))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(out)
    return out


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def tables(rows: list[dict[str, str]]) -> str:
    """Markdown: a table for each machine, number of threads and set of versions that rows were measured with."""
    parts = []
    for setting in dict.fromkeys(tuple(row[name] for name in SETTING) for row in rows):
        of, threads, installed = setting
        same = [row for row in rows if tuple(row[name] for name in SETTING) == setting]
        head = f"{of}; {threads} threads of arithmetic and {threads} loaders.\n{installed}."
        parts.append(f"{head}\n\n{table(same)}")
    return "\n\n".join(parts)


def table(rows: list[dict[str, str]]) -> str:
    """A line a measurement."""
    head = ("part", "what", "n", "rounds", "median", "ratio (quartiles)", "against", "bar", "verdict", "note")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        ratio = f"{float(row['ratio']):.2f}× ({float(row['q1']):.2f} to {float(row['q3']):.2f})" if row["ratio"] else ""
        value = float(row["median"])
        # What this machine has not is no number.
        number = "–" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        median = number if math.isnan(value) else f"{number} {row['unit']}"
        cells = (
            row["part"],
            row["what"],
            row["n"],
            row["rounds"],
            median.strip(),
            ratio,
            row["against"],
            row["bar"],
            row["verdict"],
            row["note"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Puts `text` between the markers of a markdown file, which is made where it is missing."""
    content = path.read_text(encoding="utf-8") if path.exists() else f"{begin}\n{end}\n"
    before, _, rest = content.partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")

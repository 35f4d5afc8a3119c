"""Whether this machine can compute a run as it asks."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from stages.artifacts.writing import existing
from stages.dag.data import data_nodes
from stages.dag.folders import IMAGES, RUNS, SETS, run_folder
from stages.dag.names import TIMINGS
from stages.errors import Refusal
from stages.parameters.run import RunParams


def other_threads(root: Path, params: RunParams) -> str | None:
    """A line where recorded stages were computed with another number of threads."""
    path = root / run_folder(params.run) / TIMINGS
    if not path.exists():
        return None
    with open(path, newline="", encoding="utf-8") as file:
        before = {row.get("threads") for row in csv.DictReader(file)} - {str(params.threads), None}
    if not before:
        return None
    return (
        f"threads: {params.threads}, and stages so far used {', '.join(sorted(map(str, before)))}: nothing is redone, "
        "but last digits may differ from a run of one number"
    )


def folders_of(params: RunParams) -> list[str]:
    """The folders of a run and of all data that it and its evaluations read."""
    return [run_folder(params.run), *dict.fromkeys(node.folder for node in data_nodes(params))]


def refuse_links(root: Path, params: RunParams) -> None:
    """DVC does not look for a dvc.yaml below a link."""
    for name in ("data", RUNS, IMAGES, SETS, *folders_of(params)):
        if (root / name).is_symlink():
            raise Refusal(
                f"{name} is a link, and DVC follows none: to keep data on another disk, clone the project "
                f"there, or `mount --bind` a folder of that disk on {root / name}"
            )


def refuse_read_only(root: Path, folders: Iterable[str], *, params: bool = False) -> None:
    """Refuses to begin work in a project where this user may not write.

    Args:
        folders: those of the run and its data.
        params: whether params.yaml is to be changed.
    """
    for name in [".dvc/tmp", ".dvc/cache", "data", *folders, *(["."] if params else [])]:
        refuse_unwritable(root / name)


def refuse_unwritable(folder: Path) -> None:
    """Refuses a folder, there or to be made, that this user may not write to."""
    found = existing(folder)
    if not os.access(found, os.W_OK | os.X_OK):
        why = "read-only file system" if os.statvfs(found).f_flag & os.ST_RDONLY else "permission denied"
        raise Refusal(
            f"{found}: {why}: user {os.getuid()} may not write there, and nothing was written; work in a clone of your "
            "own, or be given the right to it"
        )


def refuse_device(params: RunParams) -> str | None:
    """Refuses a device or precision that this machine lacks; a line about one left unused, or a slow one."""
    import torch

    if params.device != "cpu":
        from stages.runtime.devices import device_of

        device_of(params.device)
        if params.precision == "bf16" and not torch.cuda.is_bf16_supported():
            raise Refusal("precision: bf16: this GPU has no bf16 units; --set precision=float32")
    elif torch.cuda.is_available():
        return "device: cpu, although this machine has a CUDA device: --set device=cuda uses it"
    elif params.precision == "bf16" and not multiplies_bf16():
        return "precision: bf16, for which this processor has no units: --set precision=float32 takes far less time"
    return None


def multiplies_bf16() -> bool:
    """Whether this machine's CPU has units for bfloat16; without, it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags.split())

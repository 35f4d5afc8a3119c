"""Names, layout and readers of everything on disk.

data/images/<dataset>/
  pixels.zarr              uint8, one dimension: every picture whole, row-major HWC, one after the other
  manifest.parquet         image, path (bytes), label (-1 unknown), chunk, offset, height, width, sha256
  rejected.parquet         path, reason
  pack.json                counts, size, classes, digests: what every later stage depends on
  listing.json             digest of the folder's listing when it was packed (not tracked)
data/runs/<run>/
  params.yaml              the run's resolved parameters, made by `resolve`
  epochs/0000/checkpoint.pt
  epochs/0001/             features.zarr, pca.npz, whitened.zarr, centroids.npy, assignments.parquet,
                           clustering.json, pseudolabels.parquet, trained/, checkpoint.pt, metrics.json
  final/                   the clustering of the finished network
  model.safetensors        the backbone
  history.csv              a row an epoch, the last for final/
  timings.csv  log.txt     not tracked
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stages.errors import Refusal
from stages.params import RunParams
from stages.resolution import validated

if TYPE_CHECKING:
    import pandas as pd


def find_root(start: Path) -> Path:
    """The project's root: the closest folder at or above `start` that DVC was set up in."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / ".dvc").is_dir() and (folder / "params.yaml").is_file():
            return folder
    raise Refusal(f"{start} is not inside a clone of the project (no .dvc and params.yaml above it)")


def load_yaml(path: Path, remedy: str = "mend it, or restore it with git") -> dict[str, Any]:
    """A YAML mapping; floats such as 1e-5 may come as text, which `stages.params` understands.

    Args:
        remedy: what to do where the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.load(file, yaml.CSafeLoader)
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; restore it with git, or `python -m pipeline plan`") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise Refusal(f"{path} is no valid YAML ({reason}): {remedy}") from None
    if not isinstance(content, dict):
        raise Refusal(f"{path} holds no section of keys: {remedy}")
    return content


def load_run_params(folder: Path) -> RunParams:
    """The resolved parameters in a run's folder.

    Raises:
        Refusal: the run has not begun, or its parameters cannot be read.
    """
    path = folder / "params.yaml"
    command = f"`python -m pipeline run --run {folder.name}`"
    if not path.exists() and any(folder.glob("epochs/*/dvc.lock")):
        raise Refusal(f"{path} is missing: {command} writes it anew")
    if not path.exists():
        begun = ", ".join(sorted(found.parent.name for found in folder.parent.glob("*/params.yaml"))) or "none"
        raise Refusal(f"run {folder.name} has not begun (begun: {begun}); {command} begins it")
    content = load_yaml(path, f"{command} writes it anew")
    try:
        return validated(content, str(path))
    except Refusal as refusal:
        raise Refusal(f"{refusal}; {command} writes it anew") from None


def load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; `python -m pipeline status` says which stage makes it") from None
    except ValueError:
        raise Refusal(f"{path} is no valid JSON; `python -m pipeline status` says which stage makes it") from None
    assert isinstance(content, dict)
    return content


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    import pandas as pd

    with readable(path):
        return pd.read_parquet(path, columns=columns)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a missing or damaged file into a refusal that names the remedy."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; `python -m pipeline status` says which stage makes it") from None
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path} cannot be read ({reason}); rerun the stage that makes it") from None


def remedy(stage: str, run: str | None, epoch: int | str | None) -> str:
    """The command that makes a damaged artifact again."""
    where = f" --run {run}" if run else ""
    when = f" --epoch {epoch}" if epoch is not None else ""
    return f"make it again with `python -m pipeline rerun {stage}{where}{when}`"


def epochs_with_checkpoint(folder: Path) -> list[int]:
    """Epochs of the run in `folder` that a branch can start from, 0 being the initialised network."""
    found = (path.parent.name for path in (folder / "epochs").glob("*/checkpoint.pt"))
    return sorted(int(name) for name in found if name.isdigit())


def spans(epochs: list[int]) -> str:
    """Sorted numbers for people: "0, 50, 98 to 100"."""
    parts: list[list[int]] = []
    for epoch in epochs:
        if parts and epoch == parts[-1][-1] + 1:
            parts[-1].append(epoch)
        else:
            parts.append([epoch])
    return ", ".join(f"{p[0]} to {p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts) or "none"

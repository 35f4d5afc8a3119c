"""A data set's pictures as they are now, against what was packed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.artifacts.documents import load_json
from stages.artifacts.tables import read_parquet
from stages.dag.folders import dataset_folder
from stages.dag.names import LISTING, MANIFEST, PACK, REJECTED
from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.sources.entries import Listing
from stages.sources.listing import list_source, refuse_inside, source_path


def image_count(root: Path, dataset: DatasetParams) -> int:
    """Number of pictures: as packed from this source, or else as found there.

    Raises:
        Refusal: nothing is packed and the source holds no pictures, or contains our own output.
    """
    if dataset.generate is not None:
        return dataset.generate.images
    folder = root / dataset_folder(dataset.name)
    if (folder / PACK).exists() and _packed_path(folder) in (None, dataset.path):
        return int(load_json(folder / PACK)["images"])
    source = source_path(root, dataset)
    refuse_inside(source, folder, dataset)
    return len(list_source(source).entries)


def _packed_path(folder: Path) -> str | None:
    """The `path` that was packed; None where that was not on this machine."""
    path = folder / LISTING
    return load_json(path).get("path") if path.exists() else None


def drift(root: Path, dataset: DatasetParams) -> str | None:
    """What changed at the source since it was packed, in one line; None where nothing did.

    pack has no DVC dependency on the user's folder, which would cost a second per 20,000 files at
    each `dvc status`.
    """
    folder = root / dataset_folder(dataset.name)
    source = source_path(root, dataset)
    if dataset.generate is not None or _packed_path(folder) != dataset.path:
        return None
    if not source.exists():
        return f"{source} is gone; the packed pictures are used"
    try:
        listing = list_source(source)
    except Refusal as refusal:
        return f"{refusal}; the packed pictures are used"
    found = since_packed(root, dataset, listing)
    return found and f"{found}: `python -m pipeline rerun pack --dataset {dataset.name}`"


def since_packed(root: Path, dataset: DatasetParams, listing: Listing) -> str | None:
    """How a source, as listed now, differs from what was packed; None where it does not, or was never packed."""
    folder = root / dataset_folder(dataset.name)
    if dataset.generate is not None or _packed_path(folder) != dataset.path:
        return None
    if listing.digest() == load_json(folder / LISTING)["digest"]:
        return None
    packed = set(read_parquet(folder / MANIFEST, ["path"])["path"])
    packed |= set(read_parquet(folder / REJECTED, ["path"])["path"])
    now = {entry.name for entry in listing.entries} | {name for name, _ in listing.rejected}
    new, gone = len(now - packed), len(packed - now)
    what = f"{new} new, {gone} gone" if new or gone else "some files changed"
    return f"{dataset.path}: {what} since it was packed"


def adopted_path(root: Path, images: Path) -> str:
    """How a source is written into params.yaml: relative inside the project, absolute elsewhere."""
    full = Path(os.path.abspath(images))
    try:
        text = full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)
        text.encode()
    except UnicodeEncodeError:
        raise Refusal(f"{str(images)!r}: its name is not UTF-8; link to it under another name") from None
    return text


def same_source(root: Path, entry: Mapping[str, Any], images: Path) -> bool:
    return bool(entry.get("path") == adopted_path(root, images))

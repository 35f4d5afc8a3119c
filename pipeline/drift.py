"""A data set's pictures as they are now, against what was packed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.artifacts.documents import load_json
from stages.artifacts.tables import read_parquet
from stages.dag.folders import dataset_folder
from stages.dag.names import LISTING, MANIFEST, PACK, REJECTED
from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.runtime.prefetch import prefetch
from stages.runtime.threads import usable_cores
from stages.sources.entries import Entry, Listing, not_used_now
from stages.sources.listing import list_dataset, source_path
from stages.sources.reading import UNLISTED, UNOPENED, can_be_opened, file_digest


class Source:
    """A data set's pictures as they are now, listed once, when they are first asked for."""

    def __init__(self, root: Path, dataset: DatasetParams) -> None:
        self.root, self.dataset = root, dataset
        self.folder = root / dataset_folder(dataset.name)

    @cached_property
    def listing(self) -> Listing:
        return list_dataset(self.root, self.dataset, self.folder)

    @property
    def packed_here(self) -> bool:
        """Whether what is packed came from this source, on this machine."""
        return self.dataset.generate is None and _packed_path(self.folder) == self.dataset.path


def image_count(source: Source) -> int:
    """Number of pictures: as packed from this source, or else as found there.

    Raises:
        Refusal: nothing is packed and the source holds no pictures, or contains our own output.
    """
    if source.dataset.generate is not None:
        return source.dataset.generate.images
    if (source.folder / PACK).exists() and _packed_path(source.folder) in (None, source.dataset.path):
        return int(load_json(source.folder / PACK)["images"])
    return len(source.listing.entries)


def _packed_path(folder: Path) -> str | None:
    """The `path` that was packed; None where that was not on this machine."""
    path = folder / LISTING
    return load_json(path).get("path") if path.exists() else None


def drift(source: Source) -> str | None:
    """What changed at the source since it was packed, in one line; None where nothing did.

    pack has no DVC dependency on the user's folder, which would cost a second per 20,000 files at
    each `dvc status`.
    """
    if not source.packed_here:
        return None
    path = source_path(source.root, source.dataset)
    if not path.exists():
        key = f"datasets.{source.dataset.name}.path"
        return f"{path} is gone; the packed pictures are used (moved? set {key} in params.yaml)"
    try:
        listing = source.listing
    except Refusal as refusal:
        return f"{refusal}; the packed pictures are used"
    again = f"`python -m pipeline rerun pack --dataset {source.dataset.name}`"
    if listing.digest() == load_json(source.folder / LISTING)["digest"]:
        count = _readable_again(source)
        return (
            f"{source.dataset.path}: {count:,} could not be read last time, and can be now: {again}" if count else None
        )
    if found := names_since_packed(source):
        return f"{found}: {again}"
    return f"{source.dataset.path}: some files have another date or size since it was packed: {again} compares them"


def names_since_packed(source: Source) -> str | None:
    """How the names of pictures at a source differ from those that were packed; None where they do not."""
    listing = source.listing
    known = set(read_parquet(source.folder / MANIFEST, ["path"])["path"])
    known |= {name for name, reason in _rejected(source).items() if not reason.startswith(UNLISTED)}
    now = {entry.name for entry in listing.entries} | {name for name, _ in listing.rejected}
    new, gone = now - known, known - now
    closed = tuple(name + b"/" for name, _ in listing.unlisted)
    hidden = {name for name in gone if name.startswith(closed)} if closed else set()
    gone -= hidden
    # A folder's: each line of a list is taken as it is.
    unused = set() if listing.entries[0].listed else {name for name in gone if not_used_now(name)}
    gone -= unused
    words = [f"{len(new):,} new, {len(gone):,} gone"] if new or gone else []
    if unused:
        words.append(f"{len(unused):,} in hidden folders, or of a kind that is left out now,")
    if hidden:
        name, reason = listing.unlisted[0]
        words.append(f"{len(hidden):,} out of reach ({os.fsdecode(name)} {reason})")
    return f"{source.dataset.path}: {', '.join(words)} since it was packed" if words else None


def _rejected(source: Source) -> dict[bytes, str]:
    frame = read_parquet(source.folder / REJECTED, ["path", "reason"])
    return dict(zip(frame["path"], frame["reason"], strict=True))


def _readable_again(source: Source) -> int:
    """How many pictures that could not be opened when they were packed can be now."""
    unopened = {name for name, reason in _rejected(source).items() if reason.startswith(UNOPENED)}
    return sum(can_be_opened(entry.path) for entry in source.listing.entries if entry.name in unopened)


def since_packed(source: Source) -> str | None:
    """What packing again would change, by the content of the files; None where nothing, or where nothing is packed.

    Reads every file, as packing does, unless names, sizes and dates are those that were packed.
    """
    # `status` looks at this module, and loads nothing for it.
    from stages.sources.pictures import read_picture

    if source.dataset.generate is not None or not (source.folder / MANIFEST).exists():
        return None
    path = source.dataset.path
    if source.packed_here and source.listing.digest() == load_json(source.folder / LISTING)["digest"]:
        count = _readable_again(source)
        return f"{path}: {count:,} could not be read when it was packed, and can be now" if count else None
    if found := names_since_packed(source):
        return found
    manifest = read_parquet(source.folder / MANIFEST, ["path", "sha256"])
    packed = dict(zip(manifest["path"], manifest["sha256"], strict=True))
    entries = source.listing.entries
    if [entry.name for entry in entries if entry.name in packed] != list(packed):
        return f"{path}: the order has changed since it was packed"
    classes = [os.fsdecode(name) for name in source.listing.classes(source.dataset.labels)[0]]
    if classes != load_json(source.folder / PACK)["classes"]:
        return f"{path}: other folders are classes than when it was packed"
    if classes and source.listing.named is not None and _labels_differ(source):
        return f"{path}: the list gives some pictures another class than when it was packed"

    def differs(entry: Entry) -> bool:
        if entry.name in packed:
            return file_digest(entry) != packed[entry.name]
        return not isinstance(read_picture(entry, source.dataset.size)[1], str)

    changed = sum(prefetch(differs, entries, usable_cores()))
    return f"{path}: {changed:,} with other content since it was packed" if changed else None


def _labels_differ(source: Source) -> bool:
    manifest = read_parquet(source.folder / MANIFEST, ["path", "label"])
    packed = dict(zip(manifest["path"], manifest["label"], strict=True))
    return any(packed.get(entry.name, entry.label) != entry.label for entry in source.listing.entries)


def refuse_equal(root: Path, dataset: DatasetParams) -> None:
    """Stops where all packed pictures are one: there is nothing to tell apart."""
    digests = read_parquet(root / dataset_folder(dataset.name) / MANIFEST, ["sha256"])["sha256"]
    if len(digests) > 1 and digests.nunique() == 1:
        raise Refusal(
            f"the {len(digests):,} pictures of {dataset.path} are all the same, byte for byte: there is nothing to "
            "cluster; give a folder of different ones with --run NAME --images FOLDER"
        )


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

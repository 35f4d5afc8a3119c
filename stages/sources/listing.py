"""Which pictures a data set consists of: a folder's files, or the lines of a text file."""

from __future__ import annotations

import os
from pathlib import Path

from stages.errors import Refusal
from stages.parameters.dataset import DatasetParams
from stages.sources.entries import ENDINGS, Listing, is_picture
from stages.sources.folders import list_folder
from stages.sources.lists import list_file


def list_source(source: Path, enough: int | None = None, classes: Path | None = None) -> Listing:
    """The pictures of a folder (in order of name) or of a text file of paths (in its order).

    Args:
        enough: how many of a folder's pictures will do, whichever they are; None: all.
        classes: the file that names the classes of a text file whose lines end in their numbers.

    Raises:
        Refusal: nothing there, no picture in it, or what is there cannot be read now.
    """
    if source.is_dir():
        if classes is not None:
            raise Refusal(f"{classes} names the classes of a list, and {source} is a folder: its folders are classes")
        listing = list_folder(os.fsencode(source), enough)
    elif source.is_file():
        if is_picture(os.fsencode(source)):
            raise Refusal(f"{source} is a picture: give the folder that holds it, or a text file with a path a line")
        listing = list_file(source, classes)
    else:
        raise Refusal(f"{source} is neither a folder of pictures nor a text file of paths: give one that is there")
    if not listing.entries:
        raise Refusal(f"{source} holds no pictures{_instead(listing)}")
    return listing


def _instead(listing: Listing) -> str:
    """What was found where pictures were looked for."""
    told = listing.beside()
    if listing.rejected:
        name, reason = listing.rejected[0]
        shown = name.decode(errors="backslashreplace")
        told.insert(0, f"{len(listing.rejected):,} cannot be opened, such as {shown!r} ({reason})")
    found = f" ({'; '.join(told)})" if told else ""
    return f"{found}; looked for {' '.join(ending.decode() for ending in ENDINGS)}"


def list_dataset(root: Path, dataset: DatasetParams, folder: Path, enough: int | None = None) -> Listing:
    """The pictures of a data set that is packed into `folder`, refused as `list_source` and `refuse_inside` do."""
    source = source_path(root, dataset)
    refuse_inside(source, folder, dataset)
    return list_source(source, enough, None if dataset.classes is None else root / dataset.classes)


def source_path(root: Path, dataset: DatasetParams) -> Path:
    return root / dataset.path


def refuse_inside(source: Path, folder: Path, dataset: DatasetParams) -> None:
    """Refuses a source that contains our own output: the next packing would find it."""
    top, out = source.resolve(), folder.resolve()
    if top.is_dir() and (out == top or top in out.parents) and dataset.generate is None:
        raise Refusal(f"output lies inside --images: {out} is below {top}; name a folder that holds the pictures alone")

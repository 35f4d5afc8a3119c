"""What a set for evaluation must hold by its own lists, and what of it is there, before a picture is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stages.errors import Refusal
from stages.sources.lists import read_lines


@dataclass(frozen=True, slots=True)
class Wanted:
    """A picture of a set; paths are relative to the set's folder.

    Attributes:
        splits: those that it is in, such as Main/train; in landmarks `all`.
        labels: of each class 1, -1 or 0 (difficult); None where no list says so.
    """

    name: str
    picture: str
    annotation: str | None = None
    mask: str | None = None
    splits: tuple[str, ...] = ()
    labels: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A query of Oxford5k or Paris6k: the box of a picture, and the names of pictures that show the same place.

    Attributes:
        box: x1 y1 x2 y2 in pixels.
        good, ok, junk: names as the lists have them, each once; some may be of pictures that are left out.
    """

    name: str
    picture: str
    box: tuple[float, float, float, float]
    good: tuple[str, ...]
    ok: tuple[str, ...]
    junk: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """How much of one kind of file is there."""

    what: str
    there: int
    wanted: int
    missing: str | None
    """The first that is not, relative to the set's folder, where its name is known."""

    @property
    def whole(self) -> bool:
        return self.there >= self.wanted

    def __str__(self) -> str:
        if self.whole:
            return f"{self.there:,} {self.what}"
        first = f", first missing: {self.missing}" if self.missing else ""
        return f"{self.there:,} of {self.wanted:,} {self.what}{first}"


@dataclass(frozen=True)
class Survey:
    """A set as its lists name it.

    Attributes:
        root: the set's folder.
        wanted: its pictures, in order of name.
        files: lists and ground truth that were read.
        least: pictures of a set that is known, of which the lists name a part.
        left_out: pictures that are no data.
    """

    layout: str
    root: Path
    wanted: list[Wanted]
    files: list[Path]
    classes: tuple[str, ...] = ()
    queries: list[Query] = field(default_factory=list)
    least: int = 0
    left_out: tuple[str, ...] = ()

    @cached_property
    def parts(self) -> list[Part]:
        """Pictures, and annotations and masks where the layout has them."""
        found = [self._part("pictures", [one.picture for one in self.wanted], self.least)]
        annotations = [one.annotation for one in self.wanted if one.annotation is not None]
        masks = [one.mask for one in self.wanted if one.mask is not None]
        if annotations:
            found.append(self._part("annotations", annotations))
        if masks:
            found.append(self._part("masks", masks))
        return found

    def _part(self, what: str, names: list[str], least: int = 0) -> Part:
        lying = {folder: files_in(self.root / folder) for folder in {os.path.dirname(name) for name in names}}
        missing = [name for name in names if os.path.basename(name) not in lying[os.path.dirname(name)]]
        return Part(what, len(names) - len(missing), max(len(names), least), missing[0] if missing else None)

    def refuse_missing(self) -> None:
        """Stops at a set that is half there, before any of it is read."""
        if not all(part.whole for part in self.parts):
            raise Refusal(f"{self.root}: {'; '.join(map(str, self.parts))}: add what is missing")

    @property
    def splits(self) -> dict[str, int]:
        """Pictures in each split."""
        counts: dict[str, int] = {}
        for one in self.wanted:
            for split in one.splits:
                counts[split] = counts.get(split, 0) + 1
        return dict(sorted(counts.items()))


def files_in(folder: Path) -> frozenset[str]:
    """The names in a folder; none where there is no such folder."""
    try:
        return frozenset(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise Refusal(f"{folder} cannot be listed: {error.strerror}") from None


def refuse_no_folder(root: Path, holds: str) -> None:
    if not root.is_dir():
        raise Refusal(f"{root} is not there: give the folder that holds {holds}")


def read_names(path: Path) -> list[str]:
    """The names of a list, a line each, in order; one that is repeated once."""
    try:
        return list(dict.fromkeys(line.decode().strip() for line in read_lines(path) if line.strip()))
    except UnicodeDecodeError:
        raise Refusal(f"{path} holds a name that is not UTF-8") from None


def read_lists(lists: Mapping[str, Path]) -> dict[str, list[str]]:
    """The names of each further split that a set's entry gives a list of."""
    found = {}
    for split, path in lists.items():
        if not path.is_file():
            raise Refusal(f"{path} is not there: the list of the split {split}")
        found[split] = read_names(path)
        if not found[split]:
            raise Refusal(f"{path} names no picture: the list of the split {split}")
    return found

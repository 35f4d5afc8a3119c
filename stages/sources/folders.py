"""The pictures below a folder, each real file once."""

from __future__ import annotations

import heapq
import os
import stat

from stages.sources.entries import Entry, Listing, is_left_out, is_picture
from stages.sources.reading import UNLISTED, refuse_machine_error


def list_folder(top: bytes, enough: int | None = None) -> Listing:
    """The pictures of a folder in order of name, or as many as are enough."""
    walk = _Walk(top)
    walk.until(enough)
    listing = walk.listing
    listing.entries.sort(key=lambda entry: entry.name)
    listing.rejected.sort()
    listing.unlisted.sort()
    listing.left_out.sort()
    return listing


class _Walk:
    """Real folders first, so that a file that a link leads to as well is known by its real name."""

    def __init__(self, top: bytes) -> None:
        self.top, self.listing = top, Listing()
        self.pending = [b""]
        self.links: list[bytes] = []
        self._folders: set[int] = set()
        self._files: set[int] = set()

    def until(self, enough: int | None) -> None:
        while (self.pending or self.links) and (enough is None or len(self.listing.entries) < enough):
            if self.pending:
                self._look_into(self.pending.pop())
            else:
                self._follow(heapq.heappop(self.links))

    def _look_into(self, folder: bytes) -> None:
        path = os.path.join(self.top, folder)
        try:
            number = _number(os.stat(path))
            if number in self._folders:
                return
            self._folders.add(number)
            with os.scandir(path) as children:
                found = [(child.name, child.is_symlink(), child.is_dir(follow_symlinks=False)) for child in children]
        except OSError as error:
            refuse_machine_error(error, path)
            self.listing.unlisted.append((folder or b".", f"{UNLISTED}{error.strerror}"))
            return
        for child, linked, is_folder in found:
            name = os.path.join(folder, child) if folder else child
            if linked:
                heapq.heappush(self.links, name)
            elif is_folder:
                self._enter(name)
            else:
                self._add(name, followed=False)

    def _enter(self, folder: bytes) -> None:
        if is_left_out(os.path.basename(folder)):
            self.listing.left_out.append(folder)
        else:
            self.pending.append(folder)

    def _follow(self, name: bytes) -> None:
        try:
            status = os.stat(os.path.join(self.top, name))
        except OSError as error:
            refuse_machine_error(error, os.path.join(self.top, name))
            if is_picture(name):
                self.listing.rejected.append((name, f"link that leads nowhere: {error.strerror}"))
            return
        if stat.S_ISDIR(status.st_mode):
            self._enter(name)
        elif _number(status) not in self._files:
            self._add(name, followed=True)

    def _add(self, name: bytes, *, followed: bool) -> None:
        if not is_picture(name):
            self.listing.count_other(name)
            return
        path = os.path.join(self.top, name)
        try:
            status = os.stat(path, follow_symlinks=followed)
        except OSError as error:
            refuse_machine_error(error, path)
            self.listing.rejected.append((name, f"cannot be looked at: {error.strerror}"))
            return
        if stat.S_ISREG(status.st_mode):
            self._files.add(_number(status))
            self.listing.entries.append(Entry(name, self.top, status.st_size, status.st_mtime_ns))


def _number(status: os.stat_result) -> int:
    """Device and inode in one, since a set of pairs takes three times the memory."""
    return status.st_dev << 64 | status.st_ino

"""Names of runs and data sets: each is a folder below data/ and a key of params.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stages.errors import Refusal

_NAME = re.compile(r"[^\W_][\w-]{0,63}")


def refuse_name(name: object, what: str = "--run") -> None:
    """Refuses a name that is no plain folder name, or that DVC could not follow as a key.

    Args:
        name: as YAML or a command line gives it.
        what: the option or key that holds it.
    """
    if not isinstance(name, str):
        raise Refusal(f"params.yaml: {what} {name!r} is no text to YAML: put the name in quotes")
    # A folder's name has at most 255 bytes, and a letter up to four.
    if not _NAME.fullmatch(name) or len(name.encode()) > 200:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        raise Refusal(f"{what} {shown!r}: use letters, digits, - and _, at most 64, beginning with a letter or digit")


def no_run(name: str, known: Iterable[object]) -> Refusal:
    """There is no such run: which there are, and how to make one."""
    return Refusal(
        f"there is no run {name!r} under `runs` of params.yaml (known: {', '.join(map(str, known)) or 'none'}); "
        f"a new one needs its pictures: `python -m pipeline run --run {name} --images FOLDER`"
    )

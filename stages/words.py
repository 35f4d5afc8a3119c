"""Counts, sizes and times as people say them."""

from __future__ import annotations


def plural(count: int, one: str, several: str | None = None) -> str:
    """A number and its noun: "1 epoch", "2,000 epochs"."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def size(count: float) -> str:
    """Bytes, in the unit in which they have one to three digits before the point: "512 bytes", "3.2 MB", "412 GB"."""
    if count < 1000:
        return plural(round(count), "byte")
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.1f} {unit}" if count < 9.95 else f"{count:,.0f} {unit}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "48 s", "3 min", "2 h 05 min"."""
    seconds = round(seconds)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{round(seconds / 60)} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"

"""Processes of stages/runtime/readers.py that this one has started."""

from pathlib import Path


def readers_running():
    """Their numbers; one that has ended counts until it is waited for."""
    lists = [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()]
    return [pid for pid in map(int, " ".join(lists).split()) if _is_reader(pid)]


def _is_reader(pid):
    process = Path("/proc", str(pid))
    # A zombie has no command line left.
    return b"stages.runtime.readers" in (process / "cmdline").read_bytes() or ") Z " in (process / "stat").read_text()

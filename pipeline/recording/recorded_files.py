"""What dvc.lock files say of single files: made from the last network, or still what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.recording.hashes import md5
from stages.artifacts.records import recorded_stages
from stages.dag.folders import epoch_folder, run_folder
from stages.dag.graph import final_nodes
from stages.dag.names import CHECKPOINT, FEATURES, WHITENED
from stages.errors import Refusal
from stages.parameters.differences import as_values
from stages.parameters.keys import flat
from stages.parameters.run import RunParams


def final_is_current(root: Path, params: RunParams) -> bool:
    """Whether the records say that final/ was made from the last checkpoint; not so where epochs were added since."""
    entries = recorded_stages(root / epoch_folder(params.run, "final"))
    stages = [node.stage for node in final_nodes(params)]
    if not set(stages) <= entries.keys():
        return False
    last = epoch_folder(params.run, params.epochs)
    made = recorded_hash(recorded_stages(root / last).get("checkpoint", {}), "outs", CHECKPOINT)
    if recorded_hash(entries["extract"], "deps", CHECKPOINT) != (made or md5(root / last / CHECKPOINT)):
        return False
    steps = [(FEATURES, "extract", "whiten"), (WHITENED, "whiten", "cluster")]
    if "whiten" not in stages:
        steps = [(FEATURES, "extract", "cluster")]
    return all(
        recorded_hash(entries[reader], "deps", name) == recorded_hash(entries[maker], "outs", name)
        for name, maker, reader in steps
    )


def baseline_is_current(root: Path, params: RunParams) -> bool:
    """Whether the records say that k-means on pixels was made with the clusters that the run asks for."""
    entry = recorded_stages(root / run_folder(params.run)).get("baseline", {})
    recorded = {key: value for keys in entry.get("params", {}).values() for key, value in keys.items()}
    values = flat(as_values(params))
    return bool(recorded) and all(values.get(key) == value for key, value in recorded.items())


def refuse_other(path: Path, run: str) -> None:
    """Checks that a file is the recorded one, which it may not be after `git checkout` or `dvc checkout` alone.

    Raises:
        Refusal: its hash differs from that in the dvc.lock of its folder.
    """
    hashes = [recorded_hash(entry, "outs", path.name) for entry in recorded_stages(path.parent).values()]
    recorded = next((hash for hash in hashes if hash is not None), None)
    found = md5(path)
    if recorded is not None and found != recorded:
        state = "is missing" if found is None else "is not what was recorded"
        raise Refusal(f"{path} {state}: `python -m pipeline verify --run {run}` says what differs and what to do")


def recorded_hash(entry: dict[str, Any], kind: str, name: str) -> str | None:
    """The hash of a file in a stage's entry of a dvc.lock, by its name alone; None where there is none.

    Args:
        kind: deps or outs.
    """
    return next((str(item["md5"]) for item in entry.get(kind, []) if Path(item["path"]).name == name), None)

"""`verify`: hashes every artifact of a run and compares it with dvc.lock, or with branch.json where a branch starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.recording.hashes import md5
from pipeline.recording.inspector import nodes_on_disk
from stages.artifacts.records import readable_lock, recorded_stages
from stages.artifacts.remedies import maker, remedy
from stages.artifacts.run_params import load_run_params, with_evaluations
from stages.dag.folders import IMAGES, epoch_folder, run_folder
from stages.dag.names import BRANCH, CHECKPOINT, LOCK
from stages.dag.nodes import PRUNED
from stages.parameters.run import RunParams
from stages.runtime.report import Reporter
from stages.words import plural


def verify(root: Path, run: str, report: Reporter) -> list[str]:
    """Hashes all recorded artifacts of a run and its data set, and tells each that is missing or differs.

    Returns:
        The paths of those artifacts, relative to the project's root; of a dvc.lock too that cannot be read.

    Raises:
        Refusal: the run has not begun.
    """
    params = with_evaluations(root, load_run_params(root / run_folder(run)))
    wrong = []
    count = 0
    nodes = nodes_on_disk(root, params)
    for node in report.progress(nodes, f"verify {run}", len(nodes), lambda _: 1):
        lock = root / node.folder / LOCK
        entry = recorded_stages(root / node.folder).get(node.stage)
        if entry is None:
            name = f"{node.folder}/dvc.lock"
            if lock.exists() and readable_lock(lock) is None and name not in wrong:
                wrong.append(name)
                report.say(f"{name} cannot be read: `python -m pipeline run --run {run}` makes its stages again")
            continue
        for out in entry.get("outs", []):
            path = root / node.folder / out["path"]
            found = md5(path)
            count += 1
            if found != out["md5"]:
                state = "is missing" if found is None else "differs"
                name = f"{node.folder}/{out['path']}"
                wrong.append(name)
                where = "final" if Path(node.folder).name == "final" else node.epoch
                # `init` has the number 0 and takes no --epoch; a stage of a data set has no run of its own.
                again = remedy(node.stage, node.run or run, where or None)
                if node.folder.startswith(IMAGES):
                    again = maker(path)
                elif node.run is None:
                    again = remedy(Path(node.folder).name, run, None)
                if node.stage == PRUNED:
                    again = "its epoch is pruned, so no stage makes it; " + (
                        "copy it from where the run was made"
                        if path.name == CHECKPOINT
                        else f"`dvc checkout {name}` or `dvc pull` brings it back"
                    )
                report.say(f"{name} {state}: {again}")
    for name, differs in _branched(root, params):
        count += 1
        if differs:
            wrong.append(name)
            report.say(f"{name} {differs}: no stage makes it; copy it from {params.branch}, where it began")
    report.say(f"run {run}: {plural(count, 'artifact')} hashed, {plural(len(wrong), 'differs', 'differ')}")
    return wrong


def _branched(root: Path, params: RunParams) -> Iterator[tuple[str, str]]:
    """The files that a branch took from its origin, which no dvc.lock records: path, and what is wrong or ""."""
    if params.branch is None:
        return
    folder = epoch_folder(params.run, params.start)
    try:
        digests = json.loads((root / folder / BRANCH).read_bytes())["sha256"]
    except (OSError, ValueError, TypeError, KeyError):
        yield f"{folder}/branch.json", "is missing or cannot be read"
        return
    for file, digest in digests.items():
        try:
            with open(root / folder / file, "rb") as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            yield f"{folder}/{file}", "" if found == digest else "differs"
        except FileNotFoundError:
            yield f"{folder}/{file}", "is missing"

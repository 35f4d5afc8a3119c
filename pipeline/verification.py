"""`verify`: every artifact of a run hashed and compared with its dvc.lock."""

from __future__ import annotations

from pathlib import Path

from pipeline.lockfiles import readable_lock, recorded_stages
from pipeline.status import md5, project_nodes
from stages.artifacts import load_run_params, remedy
from stages.graph import run_folder
from stages.report import Reporter


def verify(root: Path, run: str, report: Reporter) -> list[str]:
    """Paths of artifacts that are missing or differ from the recorded hash; each is told."""
    params = load_run_params(root / run_folder(run))
    wrong = []
    count = 0
    nodes = project_nodes(params)
    for node in report.progress(nodes, f"verify {run}", len(nodes), lambda _: 1):
        lock = root / node.folder / "dvc.lock"
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
                # init's epoch is 0, where no folder of stages is; a data set's stages know no run.
                again = remedy(node.stage, node.run or run, where or None)
                report.say(f"{name} {state}: {again}")
    report.say(f"run {run}: {count} artifacts hashed, {len(wrong)} differ")
    return wrong

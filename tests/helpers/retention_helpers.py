"""What the tests of pipeline/retention/ share: a run of six epochs, pruned, and what is left of each."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from pipeline_helpers import params_of
from projects import Project

from pipeline.recording.inspector import of_run
from pipeline.recording.recorder import Recorder
from pipeline.retention import pruning

SIX = {
    "epochs": 6,
    "datasets": {"demo": {"generate": {"images": 40}}},
    "model": {"width": 0.03125},
    "whiten": {"dim": 8},
    "cluster": {"k": 4},
    "train": {"batch": 16},
}
SMALL_FILES = {
    "assignments.parquet",
    "centroids.npy",
    "clustering.json",
    "metrics.json",
    "pca.npz",
    "pseudolabels.parquet",
}
LARGE_FILES = {"features.zarr", "whitened.zarr", "trained"}
WHOLE = SMALL_FILES | LARGE_FILES | {"checkpoint.pt"}


def copy_of(project: Project, target: Path) -> Project:
    shutil.copytree(project.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(target)


def prune(project: Project, *sets: str, dry: bool = False) -> pruning.Freed:
    import io

    from pipeline.prune import prune as command
    from stages.runtime.report import Reporter

    return command(project.root, "demo", list(sets), dry, Reporter(stream=io.StringIO()))


def files(project: Project, epoch: int, run: str = "demo") -> set[str]:
    folder = project.run_path(f"epochs/{epoch:04d}", run)
    return {path.name for path in folder.iterdir() if "dvc." not in path.name}


def stages_of(project: Project, epoch: int) -> set[str]:
    return set(yaml.safe_load(project.run_path(f"epochs/{epoch:04d}/dvc.yaml").read_text())["stages"])


def guard_of(project: Project, epoch: int) -> dict:
    return yaml.safe_load(project.run_path(f"epochs/{epoch:04d}/dvc.yaml").read_text())["stages"]["pruned"]


def states(project: Project) -> dict[str, str]:
    found = of_run(project.root, params_of(project.root))
    return {status.node.id.removeprefix("data/runs/demo/"): status.state for status in found}


def assert_clean(project: Project) -> None:
    """Nothing to do for DVC, nor for us."""
    assert set(states(project).values()) == {"done"}
    recorder = Recorder(project.root)
    names = recorder.repository.locked(
        lambda: {stage.addressing for stage in recorder.repo.index.stages if stage.changed()}
    )
    recorder.close()
    assert names == set()


def everything(project: Project) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and not {".git", ".dvc"} & set(path.relative_to(project.root).parts)
    }


def values(project: Project) -> dict:
    return yaml.safe_load(project.run_path("params.yaml").read_text())

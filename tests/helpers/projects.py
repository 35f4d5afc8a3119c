"""Temporary projects that tests run in, as a user's clone would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PARAMS = Path(__file__).with_name("params.yaml")
"""What tests compute by: params.yaml as the project has it, whatever a user of this clone writes into theirs."""
FILES = ("stages", "pipeline", "pyproject.toml", "dvc.yaml", ".dvc", ".dvcignore", ".gitignore")
"""What a project is made of, besides params.yaml and data/."""

SMALL: dict[str, Any] = {
    "epochs": 2,
    "model": {"width": 0.0625},
    "extract": {"batch": 32, "chunk_rows": 64},
    "whiten": {"dim": 32},
    "cluster": {"k": 10},
    "train": {"batch": 32, "passes": 1},
    "datasets": {"demo": {"generate": {"images": 170}}},
    "runs": {"demo": {"evaluations": []}},
}
"""Minutes become seconds. 170 is a multiple of neither batch nor chunk: three chunks of features and of pixels."""


def merged(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in override.items():
        inner = out.get(key)
        out[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return out


class Project:
    """A copy of the project in a folder of its own, with git and DVC set up as in a clone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        return self.root / name

    def run_path(self, name: str, run: str = "demo") -> Path:
        return self.root / "data/runs" / run / name

    def edit(self, change: dict[str, Any]) -> None:
        """Edits the root's params.yaml, as with an editor."""
        file = self.path("params.yaml")
        content = yaml.safe_load(file.read_text())
        file.write_text(yaml.safe_dump(merged(content, change), sort_keys=False))

    def plan(self, run: str = "demo") -> None:
        from pipeline.plan import plan
        from pipeline.preparing import Request
        from stages.runtime.report import Reporter

        with open(os.devnull, "w") as nowhere:
            plan(self.root, Request(run, yes=True), Reporter(stream=nowhere))

    def run(self, run: str = "demo", **request: Any) -> str:
        """`pipeline run` in this process; what it told."""
        import io

        from pipeline.preparing import Request
        from pipeline.run import run as compute
        from stages.runtime.report import Reporter

        told = io.StringIO()
        compute(self.root, Request(run, **request), Reporter(stream=told))
        return told.getvalue()

    def command(self, *words: str | Path, timeout: float = 300, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command line in the project, with its own stages and pipeline; `python` is this interpreter."""
        return subprocess.run(
            list(map(str, words)),
            cwd=options.pop("cwd", self.root),
            env=self.environment() | options.pop("env", {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )

    def pipeline(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.command("python", "-m", "pipeline", *words, **options)

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.root), "COLUMNS": "200"}

    def tree(self) -> dict[str, bytes]:
        """Every file below data/ that is an artifact, with its content."""
        return tree(self.path("data"))


UNTRACKED = ("log.txt", "timings.csv", ".lock", ".dvc.lock.previous", "listing.json")


def tree(folder: Path) -> dict[str, bytes]:
    """Name and content of each artifact below a folder; what holds times or is no artifact left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNTRACKED and "dvc." not in path.name
    }


def params_text() -> str:
    """The tests' own params.yaml."""
    return PARAMS.read_text(encoding="utf-8")


def copy_project(target: Path) -> Path:
    """The project's files, new ones too, as a fresh git repository with the tests' params.yaml and no data/."""
    for name in filter(None, clone_git("ls-files", "-co", "--exclude-standard", "-z", *FILES).split("\0")):
        # A file that was deleted is listed until git is told.
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    shutil.copy2(PARAMS, target)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "project"]):
        subprocess.run(["git", *words], cwd=target, check=True, capture_output=True)
    return target


def clone_git(*words: str) -> str:
    """What git says of this clone."""
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def small_project(target: Path, change: dict[str, Any] | None = None, plan: bool = True) -> Project:
    """A project with small parameters; `change` goes over them."""
    project = Project(copy_project(target))
    project.edit(merged(SMALL, change or {}))
    if plan:
        project.plan()
    return project

"""Processes held in mid-stage, and what a project looks like from outside."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from projects import UNTRACKED, Project

PATIENCE = 300.0
"""Seconds to wait for a process of a busy machine before a test gives up on it."""

# Every artifact comes to be by os.replace, so that is where a process can be held at a known point.
HOLD = """
import os, time
_replace, _left = os.replace, [int(os.environ.get("HOLD_SKIP", "0"))]

def _holding(source, target, **options):
    _replace(source, target, **options)
    if os.environ["HOLD_AT"] in os.fsdecode(target):
        _left[0] -= 1
        if _left[0] == -1:
            mark = os.environ["HOLD_MARK"]
            with open(mark, "w") as file:
                file.write(str(os.getpid()))
            while os.path.exists(mark):
                time.sleep(0.02)

if "HOLD_AT" in os.environ:
    os.replace = _holding
"""


class Held:
    """A command that stops in its tracks once a file whose path contains `at` is in place.

    Args:
        skip: how many such files to let pass first.
    """

    def __init__(self, project: Project, *words: str, at: str, skip: int = 0) -> None:
        inject = project.root.parent / "hold"
        inject.mkdir(exist_ok=True)
        (inject / "sitecustomize.py").write_text(HOLD)
        self.mark = inject / f"mark{time.monotonic_ns()}"
        environment = project.environment()
        environment |= {
            "HOLD_AT": at,
            "HOLD_MARK": str(self.mark),
            "HOLD_SKIP": str(skip),
            "PYTHONPATH": f"{inject}{os.pathsep}{environment['PYTHONPATH']}",
        }
        self.process = subprocess.Popen(
            words,
            cwd=project.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Where the tests run in the background of a shell, SIGINT is ignored, and a child inherits that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            wait_for(lambda: self.held() or self.process.poll() is not None)
            assert self.held(), f"{at} never came: {self.process.communicate(timeout=10)}"
        except BaseException:
            self.kill()
            raise

    def held(self) -> bool:
        return self.mark.exists() and self.mark.read_text() != ""

    @property
    def pid(self) -> int:
        """Of the process that is held: the command itself, or the stage that DVC started."""
        return int(self.mark.read_text())

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """kill -9 of the command and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)

    def interrupt(self) -> tuple[int, str, str]:
        """Ctrl-C, which a terminal sends to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()

    def release(self) -> tuple[int, str, str]:
        """Lets it go on; exit status, stdout and stderr."""
        self.mark.unlink()
        return self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def copied(project: Project, folder: Path) -> Project:
    """A copy of a project, up to date where the original is."""
    shutil.copytree(project.root, folder / "project", symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(folder / "project")


def forget(project: Project, *folders: str) -> None:
    """Empties folders of a run down to their plan, as if nothing had been computed there."""
    for folder in folders:
        for path in project.run_path(folder).iterdir():
            if path.name == "dvc.yaml":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def commit(project: Project) -> None:
    git(project, "add", "-A")
    git(project, "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", "state")


def git(project: Project, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=project.root, check=True, capture_output=True, text=True).stdout


def git_status(project: Project) -> list[str]:
    """Names that git shows as changed or new."""
    return [line[3:] for line in git(project, "status", "--short", "--untracked-files=all").splitlines()]


def stages_run(project: Project, run: str = "demo") -> list[str]:
    """Every stage that timings.csv has seen to its end, as EPOCH:STAGE, in order."""
    path = project.run_path("timings.csv", run)
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [f"{row['epoch']}:{row['stage']}" for row in csv.DictReader(file)]


def since(project: Project, before: list[str], run: str = "demo") -> Counter[str]:
    now = stages_run(project, run)
    assert now[: len(before)] == before
    return Counter(now[len(before) :])


def repro(project: Project, *words: str) -> Counter[str]:
    """`dvc repro`; the stages that it ran."""
    before = stages_run(project)
    done = project.command("dvc", "repro", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return since(project, before)


def dvc_status(project: Project) -> set[str]:
    """The stages that `dvc status` names, as FOLDER:STAGE."""
    done = project.command("dvc", "status", "--json")
    assert done.returncode == 0, done.stderr
    return {name.replace("/dvc.yaml:", ":") for name in json.loads(done.stdout)}


def pipeline_status(project: Project, run: str = "demo") -> dict[str, str]:
    """State of each stage that is not done, as the project's own `pipeline status` finds it."""
    done = project.command("python", "-c", STATUS, run)
    assert done.returncode == 0, done.stderr
    states: dict[str, str] = json.loads(done.stdout)
    return {name: state for name, state in states.items() if state != "done"}


STATUS = """
import json, sys
from pathlib import Path
from pipeline.settings import Settings
from pipeline.recording.inspector import of_run

root = Path.cwd()
states = of_run(root, Settings(root).resolve(sys.argv[1]))
print(json.dumps({status.node.id: status.state for status in states}))
"""


def assert_same(a: dict[str, bytes], b: dict[str, bytes]) -> None:
    """Two trees, told apart by name: a difference of megabytes helps nobody."""
    assert a.keys() == b.keys()
    assert [name for name in a if a[name] != b[name]] == []


def assert_refused(done: subprocess.CompletedProcess[str] | tuple[int, str, str], *words: str) -> None:
    """Exit status 1 and one line on stderr with these words in it."""
    status, err = (done[0], done[2]) if isinstance(done, tuple) else (done.returncode, done.stderr)
    assert status == 1, err
    assert len(err.strip().splitlines()) == 1, err
    for word in words:
        assert word in err


def state(project: Project) -> dict[str, tuple[int, str] | None]:
    """Size and digest of params.yaml and of each file below data/, None for a folder; logs and locks left out."""
    found: dict[str, tuple[int, str] | None] = {}
    for path in [project.path("params.yaml"), *sorted(project.path("data").rglob("*"))]:
        name = str(path.relative_to(project.root))
        if path.name in UNTRACKED or ".partial-" in name:
            continue
        content = None if path.is_dir() else path.read_bytes()
        found[name] = None if content is None else (len(content), hashlib.sha256(content).hexdigest())
    return found


def pictures(folder: Path, contents: Iterable[bytes]) -> None:
    """A folder of PNG files, numbered."""
    folder.mkdir(parents=True)
    for number, content in enumerate(contents):
        (folder / f"{number:04d}.png").write_bytes(content)


def noise(seed: int, height: int = 32, width: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def eager(project: Project) -> Project:
    """What trains makes a save point after each step or epoch instead of every five minutes."""
    for name, old, new in (
        ("stages/runtime/save_points.py", "SAVE_SECONDS = 300.0", "SAVE_SECONDS = 0.0"),
        ("stages/runtime/fine_tuning.py", "CHECK_EVERY = 20", "CHECK_EVERY = 1"),
        ("stages/train.py", "CHECK_EVERY = 20", "CHECK_EVERY = 1"),
    ):
        path = project.path(name)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    return project

"""The README's code runs, and prints what the README says it prints.

Numbers differ in their digits from one processor to the next, so each is compared as "a number";
words, columns, order and shape must be the same. Paths and cluster numbers follow from the numbers.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The demo as committed, run to its end."""
    from projects import Project, copy_project

    project = Project(copy_project(tmp_path_factory.mktemp("readme") / "project"))
    finished = project.pipeline("run", timeout=900)
    assert finished.returncode == 0, finished.stderr
    return project


def masked(text: str) -> list[list[str]]:
    number = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?|NaN")
    name = re.compile(r"[a-z]+ [a-z]+(/\d+\.png)?(?= |$)")
    kind = re.compile(r"\b(kept|split|merged|died|leaked)\b")
    return [
        number.sub("N", kind.sub("KIND", name.sub("NAME", line.strip()))).split() for line in text.strip().splitlines()
    ]


def test_the_python_of_the_readme_prints_what_it_says(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.root)
    blocks = BLOCK.findall(README.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {}
    compared = 0
    for (language, code), (following, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert following == "text"
        assert masked(printed.getvalue()) == masked(expected)
        compared += 1
    assert compared >= 4


def test_every_command_of_the_readme_exists(demo: Any) -> None:
    from typer.main import get_command

    from pipeline.cli.commands import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = set()
    for language, code in BLOCK.findall(README.read_text(encoding="utf-8")):
        if language != "sh":
            continue
        for line in code.splitlines():
            words = shlex.split(line, comments=True)
            if words[:3] == ["python", "-m", "pipeline"]:
                command = commands[words[3]]
                command.make_context(words[3], words[4:])
                found.add(words[3])
    assert {"run", "show", "embed", "status", "rerun", "branch", "verify", "prune"} <= found


def test_the_branch_of_the_readme_runs(demo: Any) -> None:
    words = ["branch", "--from", "demo@4", "--run", "slow", "--set", "train.lr=0.005"]
    for command in (words, ["run", "--run", "slow", "--epochs", "5"], ["verify", "--run", "slow"]):
        result = demo.pipeline(*command, timeout=600)
        assert result.returncode == 0, result.stderr

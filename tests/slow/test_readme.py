"""The code of the README and of docs/tour.ipynb runs, and prints what they say it prints.

Numbers differ in their digits from one processor to the next, so each is compared as "a number";
words, columns, order and shape must be the same. Paths and cluster numbers follow from the numbers.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


MEASURED = {
    "datasets": {"demo-test": {"path": "data/images/demo-test/pictures", "size": 72, "generate": {"images": 1000}}},
    "evaluations": {"demo-knn": {"protocol": "knn", "train": "demo", "test": "demo-test"}},
    "runs": {
        "demo": {"evaluations": ["demo-knn"]},
        "demo-random": {"epochs": 0, "dataset": None, "evaluations": ["demo-knn"]},
    },
}
"""What the demo is measured by, which the tests' own params.yaml lacks."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The demo with its plan committed, run to its end."""
    from projects import Project, copy_project
    from slow_helpers import commit

    project = Project(copy_project(tmp_path_factory.mktemp("readme") / "project"))
    project.edit(MEASURED)
    project.plan()
    commit(project)
    finished = project.pipeline("run", timeout=900)
    assert finished.returncode == 0, finished.stderr
    return project


def masked(text: str) -> list[list[str]]:
    number = re.compile(r"-?\d+(\.\d*)?(e-?\d+)?|NaN")
    name = re.compile(r"[a-z]+ [a-z]+(/\d+\.png)?(?= |$)")
    kind = re.compile(r"\b(kept|split|merged|died|leaked)\b")
    # numpy fills the columns of an array with blanks.
    filled = re.compile(r"(?<=\[) +| +(?=[,\]])")
    lines = text.strip().splitlines()
    return [filled.sub("", number.sub("N", kind.sub("KIND", name.sub("NAME", line.strip())))).split() for line in lines]


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


def test_what_the_readme_shows_of_commands_is_what_they_print(demo: Any) -> None:
    commands = 0
    for language, code in BLOCK.findall(README.read_text(encoding="utf-8")):
        if language != "console":
            continue
        for command, expected in re.findall(r"^\$ python -m pipeline (.*)\n((?:(?!\$ ).*\n)*)", code, re.M):
            ended = demo.pipeline(*shlex.split(command), timeout=600)
            assert ended.returncode == 0, ended.stderr
            shown, printed = masked(expected), masked(ended.stdout + ended.stderr)
            assert len(shown) == len(printed) or ["..."] in shown, ended.stdout + ended.stderr
            for line, found in zip(shown, printed, strict=False):
                if line == ["..."]:
                    break
                kept = line.index("...") if "..." in line else len(line)
                assert line[:kept] == (found if kept == len(line) else found[:kept]), ended.stdout
            commands += 1
    assert commands >= 9


def test_every_command_of_the_readme_exists(demo: Any) -> None:
    from typer.main import get_command

    from pipeline.cli.commands import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = set()
    for language, code in BLOCK.findall(README.read_text(encoding="utf-8")):
        if language not in ("sh", "console"):
            continue
        for line in code.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if language == "sh" or line[:2] == "$ " else []
            if words[:3] == ["python", "-m", "pipeline"]:
                if words[3].startswith("-"):
                    continue
                command = commands[words[3]]
                command.make_context(words[3], words[4:])
                found.add(words[3])
    assert {"run", "show", "embed", "status", "rerun", "branch", "verify", "prune"} <= found
    assert {"groups", "similar", "compare", "evaluate", "tables", "data"} <= found


def test_the_tour_runs_and_shows_what_it_shows(demo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell in one namespace; of what a cell shows the first line is compared, its columns or its shape."""
    matplotlib.use("Agg")
    monkeypatch.chdir(demo.root)
    notebook = json.loads((README.parent / "docs/tour.ipynb").read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {}
    shown = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop()
        exec(compile(tree, "tour.ipynb", "exec"), namespace)
        assert isinstance(last, ast.Expr)
        value = eval(compile(ast.Expression(last.value), "tour.ipynb", "eval"), namespace)
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result" and "image/png" not in output["data"]:
                assert masked(repr(value))[0] == masked("".join(output["data"]["text/plain"]))[0]
                shown += 1
    plt.close("all")
    assert shown >= 8


def test_the_branch_of_the_readme_runs(demo: Any) -> None:
    words = ["branch", "--from", "demo@4", "--run", "slow", "--set", "train.lr=0.005"]
    for command in (words, ["run", "--run", "slow", "--epochs", "5"], ["verify", "--run", "slow"]):
        result = demo.pipeline(*command, timeout=600)
        assert result.returncode == 0, result.stderr

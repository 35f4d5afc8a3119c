"""pipeline/cli/commands.py: the commands, their help, and that importing them is quick."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.commands import app

COMMANDS = (
    "run",
    "plan",
    "prune",
    "status",
    "rerun",
    "embed",
    "branch",
    "show",
    "groups",
    "similar",
    "compare",
    "weights",
    "nmi",
    "runs",
    "remove",
    "verify",
    "evaluate",
    "tables",
    "data",
)


def help_of(command: str) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    return result.output


def test_every_promised_command_is_there_and_no_other():
    assert set(typer.main.get_command(app).commands) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_holds_an_example_that_the_command_accepts(command):
    (example,) = re.findall(r"Example: (?:`)?(python -m pipeline [^`\n│]*)", help_of(command))
    words = shlex.split(example)
    assert words[3] == command
    typer.main.get_command(app).commands[command].make_context(command, words[4:])


def test_help_alone_lists_the_commands(cli, finished):
    ended = cli(finished.root, "--help")
    assert ended.status == 0
    assert all(command in ended.out for command in COMMANDS)


def test_status_reads_no_picture_and_loads_nothing_for_it(finished):
    code = (
        "import sys; from pipeline.cli.commands import app; app(['status'], standalone_mode=False); print(*sys.modules)"
    )
    ended = finished.command(sys.executable, "-c", code)
    assert ended.returncode == 0 and "all 24 stages are done" in ended.stdout
    assert not {"numpy", "torch", "pandas", "dvc"} & set(ended.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ["pipeline", "pipeline.cli.commands"])
def test_importing_loads_nothing_heavy(module):
    # A shell's completion and `--help` must not wait three seconds for torch.
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"numpy", "torch", "pandas", "dvc", "faiss", "zarr", "sklearn", "matplotlib"} & set(loaded)


def test_the_version_is_that_of_the_project(cli, finished):
    with open(finished.path("pyproject.toml"), "rb") as file:
        project = tomllib.load(file)["project"]
    assert cli(finished.root, "--version").out == f"{project['name']} {project['version']}\n"

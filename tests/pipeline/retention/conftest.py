"""Fixtures: a run of six epochs, whole and pruned."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Project, small_project
from retention_helpers import SIX, copy_of, prune


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Project:
    """A copy of a project that one of the processes makes, while the others wait for it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    made = base / name
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(base / f"{name}-making")
            (base / f"{name}-making").rename(made)
    return copy_of(Project(made), factory.mktemp(name) / "project")


@pytest.fixture(scope="session")
def six(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Six epochs, all whole; read only."""

    def make(root: Path) -> None:
        small_project(root, SIX, plan=False).run()

    return made_once(tmp_path_factory, "six", make)


@pytest.fixture
def whole(six: Project, tmp_path: Path) -> Project:
    return copy_of(six, tmp_path / "copy")


@pytest.fixture(scope="session")
def shortened(six: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The six, of which the last two are whole; read only."""

    def make(root: Path) -> None:
        prune(copy_of(six, root), "retain.last=2")

    return made_once(tmp_path_factory, "shortened", make)


@pytest.fixture
def pruned_copy(shortened: Project, tmp_path: Path) -> Project:
    return copy_of(shortened, tmp_path / "copy")

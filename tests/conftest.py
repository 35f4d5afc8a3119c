"""Fixtures: temporary projects that tests run in, as a user's clone would be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import SMALL, Project, copy_project, merged


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Makes a project with small parameters; `change` goes over them."""

    def make(name: str = "project", change: dict[str, Any] | None = None, plan: bool = True) -> Project:
        project = Project(copy_project(tmp_path / name))
        # The committed plan is of the demo's own number of epochs.
        shutil.rmtree(project.path("data"), ignore_errors=True)
        project.edit(merged(SMALL, change or {}))
        if plan:
            project.plan()
        return project

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose demo has run, two epochs. Read only: tests that change it take `finished_copy`."""
    project = Project(copy_project(tmp_path_factory.mktemp("finished") / "project"))
    shutil.rmtree(project.path("data"), ignore_errors=True)
    project.edit(SMALL)
    project.run()
    return project


@pytest.fixture
def finished_copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project to change, up to date for DVC too."""
    target = tmp_path / "copy"
    shutil.copytree(finished.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(target)

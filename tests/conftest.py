"""Fixtures: temporary projects that tests run in, as a user's clone would be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_helpers import measured
from projects import Project, small_project
from v2_helpers import V2


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device; `make test-gpu` runs it where there is one")


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """Makes a project with small parameters; `change` goes over them."""

    def make(name: str = "project", change: dict[str, Any] | None = None, plan: bool = True) -> Project:
        return small_project(tmp_path / name, change, plan)

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose demo has run, two epochs. Read only: tests that change it take `finished_copy`."""
    project = small_project(tmp_path_factory.mktemp("finished") / "project", plan=False)
    project.run()
    return project


@pytest.fixture
def finished_copy(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project to change, up to date for DVC too."""
    target = tmp_path / "copy"
    shutil.copytree(finished.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(target)


@pytest.fixture(scope="session")
def finished_v2(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose demo has run by `recipe: deepcluster-v2`, two epochs. Read only: see `v2_copy`."""
    project = small_project(tmp_path_factory.mktemp("finished_v2") / "project", V2, plan=False)
    project.run()
    return project


@pytest.fixture
def v2_copy(finished_v2: Project, tmp_path: Path) -> Project:
    """A copy of that project to change."""
    target = tmp_path / "v2"
    shutil.copytree(finished_v2.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(target)


@pytest.fixture(scope="session")
def evaluated(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project, measured by every protocol, and its baseline. Read only: see `evaluated_copy`."""
    return measured(finished, tmp_path_factory.mktemp("evaluated") / "project")


@pytest.fixture
def evaluated_copy(evaluated: Project, tmp_path: Path) -> Project:
    """A copy of the measured project to change."""
    target = tmp_path / "measured"
    shutil.copytree(evaluated.root, target, symlinks=True, ignore=shutil.ignore_patterns("tmp"))
    return Project(target)

"""Fixtures of the slow tests."""

from pathlib import Path

import pytest
from projects import Project, small_project
from slow_helpers import commit, copied


@pytest.fixture(scope="session")
def one_epoch(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A finished run of one epoch, all of it committed; read only."""
    project = small_project(tmp_path_factory.mktemp("one") / "epoch/project", {"epochs": 1}, plan=False)
    project.run()
    commit(project)
    return project


@pytest.fixture
def project(one_epoch: Project, tmp_path: Path) -> Project:
    return copied(one_epoch, tmp_path)

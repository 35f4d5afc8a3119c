"""Fixtures: a project with a folder of pictures to pack."""

import pytest
from stage_helpers import project_with


@pytest.fixture
def source(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def root(tmp_path, source):
    project_with(tmp_path / "project", str(source))
    return tmp_path / "project"

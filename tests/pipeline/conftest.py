"""Fixtures of the tests of the pipeline."""

from __future__ import annotations

import pytest
from pipeline_helpers import CommandLine

from pipeline import open_run
from pipeline.results.run import Run


@pytest.fixture
def run(finished) -> Run:
    return open_run("demo", finished.root)


@pytest.fixture
def cli(monkeypatch, capsys) -> CommandLine:
    return CommandLine(monkeypatch, capsys)

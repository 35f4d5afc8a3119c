"""REVISION of each stage module: raised when its results change, so that they are made again."""

from __future__ import annotations

import ast
from pathlib import Path

import stages
from stages.dag.declared import of_runs


def revised_stages() -> tuple[str, ...]:
    """Stages of a run whose module holds a REVISION, in order."""
    return tuple(stage.name for stage in of_runs() if stage.revised)


def revision_of(stage: str) -> int:
    """REVISION of a stage module, read from its source so that nothing heavy is imported."""
    tree = ast.parse((Path(stages.__path__[0]) / f"{stage}.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "REVISION":
            return int(ast.literal_eval(statement.value))
    raise AssertionError(f"stages/{stage}.py has no REVISION")


def revisions() -> dict[str, int]:
    """REVISION of every stage of a run that has one."""
    return {stage: revision_of(stage) for stage in revised_stages()}

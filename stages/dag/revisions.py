"""REVISION of each stage's module: a number that is raised when its results change, so that they are made again."""

from __future__ import annotations

import ast
from pathlib import Path

import stages
from stages.dag.declared import of_runs


def revised_stages() -> tuple[str, ...]:
    """Names of the stages of a run whose module has a REVISION, in the order of computation."""
    return tuple(stage.name for stage in of_runs() if stage.revised)


def revision_of(stage: str) -> int:
    """REVISION in stages/STAGE.py, read from the source, since importing a stage would load torch.

    Raises:
        AssertionError: the module has none.
    """
    tree = ast.parse((Path(stages.__path__[0]) / f"{stage}.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "REVISION":
            return int(ast.literal_eval(statement.value))
    raise AssertionError(f"stages/{stage}.py has no REVISION")


def revisions() -> dict[str, int]:
    """REVISION of every stage in `revised_stages`, by name."""
    return {stage: revision_of(stage) for stage in revised_stages()}

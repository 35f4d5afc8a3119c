"""REVISION of each stage module: raised when its results change, so that they are made again."""

from __future__ import annotations

import ast
from pathlib import Path

import stages
from stages.dag.nodes import REVISED_STAGES


def revision_of(stage: str) -> int:
    """REVISION of a stage module, read from its source so that nothing heavy is imported."""
    tree = ast.parse((Path(stages.__file__).parent / f"{stage}.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "REVISION":
            return int(ast.literal_eval(statement.value))
    raise AssertionError(f"stages/{stage}.py has no REVISION")


def revisions() -> dict[str, int]:
    return {stage: revision_of(stage) for stage in REVISED_STAGES}

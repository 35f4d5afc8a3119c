"""The params.yaml of a run: made by the stage `resolve`, read by all its other stages."""

from __future__ import annotations

from pathlib import Path

from stages.artifacts.documents import load_yaml, render_yaml
from stages.dag.epochs import epochs_with
from stages.dag.names import LOCK, PARAMS
from stages.errors import Refusal
from stages.parameters.differences import as_values
from stages.parameters.named import no_run, refuse_name
from stages.parameters.resolution import evaluations_of, validate_run
from stages.parameters.run import RunParams


def load_run_params(folder: Path) -> RunParams:
    """The resolved parameters in a run's folder, data/runs/NAME.

    Raises:
        Refusal: the run has not begun, or its parameters are missing, damaged or not valid.
    """
    refuse_name(folder.name)
    path = folder / PARAMS
    command = f"`python -m pipeline run --run {folder.name}`"
    if not path.exists() and epochs_with(folder, LOCK):
        raise Refusal(f"{path} is missing: {command} writes it anew")
    if not path.exists():
        begun = ", ".join(sorted(found.parent.name for found in folder.parent.glob("*/params.yaml"))) or "none"
        runs = load_yaml(folder.parents[2] / PARAMS).get("runs")
        if not isinstance(runs, dict) or folder.name not in runs:
            raise no_run(folder.name, runs if isinstance(runs, dict) else ())
        raise Refusal(f"run {folder.name} has not begun (begun: {begun}); {command} begins it")
    content = load_yaml(path, f"{command} writes it anew")
    try:
        return validate_run(content, str(path))
    except Refusal as refusal:
        raise Refusal(f"{refusal}; {command} writes it anew") from None


def with_evaluations(root: Path, params: RunParams) -> RunParams:
    """A run's own parameters, with the evaluations that the root's params.yaml names for it.

    Raises:
        Refusal: an entry there is not valid.
    """
    content = load_yaml(root / PARAMS)
    runs = content.get("runs")
    if not isinstance(runs, dict) or params.run not in runs:
        return params
    return params.model_copy(update={"evaluations": evaluations_of(content, params.run)})


def render(params: RunParams) -> bytes:
    """The content of a run's params.yaml; equal parameters give equal bytes."""
    head = "# Made by the stage `resolve` from the root's params.yaml: edit that one.\n"
    return (head + render_yaml(as_values(params))).encode()

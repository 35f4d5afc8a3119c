"""`remove`: deletes a run that is no longer wanted."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.machine import refuse_read_only
from pipeline.settings import Settings
from stages.dag.folders import dataset_folder, run_folder
from stages.errors import Refusal
from stages.parameters.named import refuse_name
from stages.runtime.locks import only_writer


def remove(root: Path, name: str, *, yes: bool) -> str | None:
    """Deletes a run's folder and its entry in params.yaml; packed pictures stay.

    Returns:
        The folder of its packed pictures where no other run has them.
    """
    refuse_name(name)
    settings = Settings(root)
    folder = root / run_folder(name)
    if name not in settings.runs() and not folder.exists():
        raise Refusal(f"there is no run {name!r} (known: {', '.join(settings.runs())})")
    if not yes:
        raise Refusal(f"this deletes {run_folder(name)} for good: add --yes")
    refuse_read_only(root, name, params=name in settings.runs())
    folder.mkdir(parents=True, exist_ok=True)
    left = None
    with only_writer(folder, f"run {name}"):
        if name in settings.runs():
            dataset = settings.dataset_of(name)
            settings.drop_run(name)
            if dataset not in map(settings.dataset_of, settings.runs()):
                left = dataset_folder(dataset)
            settings.save()
        shutil.rmtree(folder)
    return left if left and (root / left).exists() else None

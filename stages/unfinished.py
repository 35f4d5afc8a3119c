"""Stands in a run's dvc.yaml for the stages that `python -m pipeline run` has not made yet: never computes.

A stage that is planned and not recorded makes `dvc checkout` and others fail for the whole project, so `run` plans
each when it is made. Until all are, this one tells `dvc repro` what to do; it ends with status 1.
"""

import sys
from pathlib import Path

from stages.artifacts.records import whole_epochs
from stages.artifacts.run_params import load_run_params
from stages.dag.nodes import UNFINISHED
from stages.errors import Refusal


def unfinished() -> None:
    """Entry of `python -m stages.unfinished FOLDER`: what DVC calls. Exit status 1 in any case."""
    if len(sys.argv) != 2:
        print(f"usage: python -m stages.{UNFINISHED} FOLDER", file=sys.stderr)
        sys.exit(2)
    folder = Path(sys.argv[1]).resolve()
    try:
        params = load_run_params(folder)
        whole = [epoch for epoch in whole_epochs(folder) if params.start < epoch <= params.epochs]
        told = (
            f"run {folder.name} is not finished, {len(whole)} of {params.epochs - params.start} epochs are whole: "
            f"`python -m pipeline run --run {folder.name}` goes on; for `dvc repro`, "
            f"`python -m pipeline plan --run {folder.name}` first"
        )
    except Refusal as refusal:
        told = str(refusal)
    print(f"{UNFINISHED}: {told}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    unfinished()

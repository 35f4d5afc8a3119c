"""The guard in the dvc.yaml of a run that is not finished: it stands in place of the stages to come, computes nothing.

A stage that is planned and not recorded makes `dvc checkout` and other commands fail for the whole project. So `run`
plans each stage only when it is made. Until all are made, `dvc repro` calls this one, which says what to do and exits
with status 1.
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

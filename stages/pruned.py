"""Stands for an epoch whose large artifacts were dropped (`retain`): never computes, says why it was asked to.

DVC calls it when something that the epoch was made from differs, or when a kept file is missing. To run its
stages again would mix old and new epochs without a word, or train for days; so it ends with status 1 and
what can be done. All that it stands for is in the entry `pruned` of the epoch's dvc.lock.
"""

import os
import sys
import traceback
from pathlib import Path

from stages.artifacts.documents import load_yaml
from stages.artifacts.guards import reason
from stages.dag.folders import find_root
from stages.dag.names import LOG, PARAMS
from stages.dag.nodes import PRUNED
from stages.errors import Refusal
from stages.runtime.report import Reporter


def pruned() -> None:
    """Entry of `python -m stages.pruned FOLDER`: what DVC calls. Exit status 1 in any case."""
    if len(sys.argv) != 2:
        print(f"usage: python -m stages.{PRUNED} FOLDER", file=sys.stderr)
        sys.exit(2)
    try:
        folder = Path(sys.argv[1]).resolve()
        root, run = find_root(folder), folder.parents[1]
        told = reason(root, run.name, int(folder.name), load_yaml(run / PARAMS))
        Reporter(run / LOG).note(f"refused: {told}")
    except Refusal as refusal:
        if os.environ.get("DEEPCLUSTER_DEBUG"):
            traceback.print_exc()
        told = str(refusal)
    print(f"{PRUNED}: {told}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    pruned()

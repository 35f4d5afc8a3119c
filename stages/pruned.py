"""The guard of a pruned epoch (`retain`): it stands in place of the epoch's stages, and computes nothing.

DVC calls it when something that the epoch was made from has changed, or when a file that was kept is missing.
Running the epoch's stages again would silently mix old and new epochs, or train for days. So the guard says what
changed and what can be done, and exits with status 1. Its entry in the epoch's dvc.lock records what was kept.
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
    """Entry of `python -m stages.pruned FOLDER`, which DVC calls.

    Raises:
        SystemExit: always; status 1, or 2 without a FOLDER.
    """
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

"""The root's one stage, which makes nothing: it depends on the demo's figures, so that `dvc repro` computes the demo.

reads   figures/ of the demo
"""

from stages.parameters.types import NoKeys
from stages.runtime.job import Job
from stages.runtime.runner import run_stage


def demo(job: Job[NoKeys]) -> None:
    """Names the pictures that have been made."""
    job.say(f"curves and clusters are in {job.node.deps['figures']}")


if __name__ == "__main__":
    run_stage(demo)

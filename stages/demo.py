"""Pulls the demo: the root's one stage depends on its figures and makes nothing.

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

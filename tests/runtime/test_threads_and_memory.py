"""stages/runtime/threads.py and memory.py: a run's threads, and memory kept while a stage runs."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from projects import ROOT
from runner_helpers import EPOCH, run, writing
from stage_helpers import RUN, change, refused, remove

from stages.artifacts.run_params import load_run_params
from stages.errors import Refusal
from stages.runtime.runner import find_node
from stages.runtime.threads import usable_cores


@pytest.mark.parametrize("ends", ["well", "in an error"])
def test_threads_are_the_runs_while_a_stage_runs_and_the_callers_afterwards(finished_copy, ends):
    change(finished_copy, {"threads": 1})
    ambient = torch.get_num_threads()
    torch.set_num_threads(3)
    seen = []

    def stage(job):
        seen.append(torch.get_num_threads())
        writing()(job)
        if ends == "in an error":
            raise Refusal("no")

    try:
        if ends == "well":
            run(finished_copy, stage)
        else:
            refused(lambda: run(finished_copy, stage))
        assert seen == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(ambient)


PROBE = """
import importlib, sys
from threadpoolctl import threadpool_info
from stages.runtime.runner import run_stage
module = importlib.import_module("stages." + sys.argv.pop(1))
function = getattr(module, module.__name__.split(".")[1])
def probed(job):
    function(job)
    pools = {pool["prefix"]: pool["num_threads"] for pool in threadpool_info()}
    if "faiss" in sys.modules:
        pools["faiss"] = sys.modules["faiss"].omp_get_max_threads()
    if "torch" in sys.modules:
        pools["torch"] = sys.modules["torch"].get_num_threads()
    print("pools", pools)
probed.__name__ = function.__name__
run_stage(probed)
"""


@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="libraries start with one thread here anyway")
@pytest.mark.parametrize("stage", ["extract", "whiten", "cluster", "train"])
def test_every_library_has_the_runs_threads_in_a_process_of_its_own(finished_copy, stage):
    """A library that is first imported inside the stage would come with as many threads as the machine has
    cores, unlike in the warm process: other sums, other bytes."""
    change(finished_copy, {"threads": 1})
    params = load_run_params(finished_copy.root / RUN)
    for out in find_node(finished_copy.root, params, Path(RUN) / EPOCH, stage).outs.values():
        remove(finished_copy.root / out.path)
    done = finished_copy.command("python", "-c", PROBE, stage, f"{RUN}/{EPOCH}")
    assert done.returncode == 0, done.stderr
    pools = re.search(r"pools (\{.*\})", done.stdout)[1]
    assert set(re.findall(r": (\d+)", pools)) == {"1"}, pools


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is kept is glibc's")
def test_freed_memory_is_kept_while_a_stage_runs_and_given_back_at_its_end():
    # In a process of its own: what others have freed lies in the same heap.
    script = """
import numpy as np
from stages.runtime.memory import keep_memory
def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) >> 10
before = held()
with keep_memory():
    np.ones(200 << 20, np.uint8)
    during = held()
print(during - before, held() - before)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    during, after = map(int, told.split())
    assert during >= 190 and after <= 20, told


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no command gives a process fewer cores here")
def test_cores_are_those_that_the_process_may_use(tmp_path):
    """Packing takes a thread a core: on one of 32 cores it must not take 32."""
    program = (
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from stages.runtime.threads import usable_cores\nprint(usable_cores())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")

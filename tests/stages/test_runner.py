"""stages/runtime/runner.py: what wraps every stage, however it is run."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from stage_helpers import RUN, Stopping, change, files, published, refused, remove, run_one

from stages.artifacts.publishing import failure
from stages.artifacts.run_params import load_run_params
from stages.dag.folders import find_root
from stages.dag.graph import run_nodes
from stages.dag.revisions import revision_of, revisions
from stages.errors import Refusal
from stages.runtime.job import run_job
from stages.runtime.runner import execute, find_node
from stages.runtime.timings import TIMING_COLUMNS

EPOCH = "epochs/0001"


def job(project, stage="pseudolabel", where=EPOCH):
    params = load_run_params(project.root / RUN)
    return run_job(project.root, find_node(params, Path(RUN) / where, stage), params, Stopping())


def run(project, function, stage="pseudolabel", where=EPOCH):
    """Runs `function` in the place of a stage."""
    execute(function, job(project, stage, where), load_run_params(project.root / RUN))


def writing(content=b"new"):
    return lambda job: job.output("pseudolabels").write_bytes(content)


def labels(project):
    return project.root / RUN / EPOCH / "pseudolabels.parquet"


def state_of(project, stage, where=EPOCH):
    return job(project, stage, where).rng.integers(2**63), job(project, stage, where).torch_seed


def test_the_random_state_is_a_function_of_seed_epoch_and_stage(finished_copy):
    project = finished_copy
    first = state_of(project, "train")
    assert state_of(project, "train") == first
    others = [state_of(project, "train", "epochs/0002"), state_of(project, "cluster"), state_of(project, "pseudolabel")]
    change(project, {"seed": 1})
    others.append(state_of(project, "train"))
    assert len({first, *others}) == 5


def test_a_stage_has_its_own_torch_state_and_leaves_the_callers_as_it_was(finished_copy):
    drawn = []

    def stage(job):
        drawn.append((torch.rand(3).tolist(), job.rng.random(3).tolist()))
        writing()(job)

    for seed in (1, 2):
        torch.manual_seed(seed)
        run(finished_copy, stage)
        after = torch.rand(1).item()
        torch.manual_seed(seed)
        assert torch.rand(1).item() == after
    assert drawn[0] == drawn[1]


def test_a_parameter_that_a_stage_does_not_declare_cannot_be_read(finished):
    seen = job(finished, "whiten").params
    assert seen.whiten.dim == 32
    for key in ("train", "seed", "model", "cluster"):
        assert not hasattr(seen, key)
    seen = job(finished, "cluster").params
    assert seen.cluster.k == 10
    assert not hasattr(seen.cluster, "every")


def test_every_declared_parameter_exists(finished):
    params = load_run_params(finished.root / RUN)
    for node in run_nodes(params):
        if node.stage != "resolve":
            run_job(finished.root, node, params, Stopping())


def test_the_fingerprint_follows_declared_parameters_inputs_and_revision_alone(finished_copy, monkeypatch):
    project = finished_copy
    first = job(project).fingerprint()
    assert job(project).fingerprint() == first
    change(project, {"train": {"lr": 0.7}})
    assert job(project).fingerprint() == first
    change(project, {"pseudolabel": {"permuted": True}})
    second = job(project).fingerprint()
    source = project.root / RUN / EPOCH / "assignments.parquet"
    os.utime(source, ns=(1, 1))
    third = job(project).fingerprint()
    params = project.root / RUN / "params.yaml"
    params.write_text(re.sub(r"(\n  pseudolabel): \d+", r"\1: 99", params.read_text()))
    assert len({first, second, third, job(project).fingerprint()}) == 4


def test_the_fingerprint_follows_a_file_inside_a_folder(finished_copy):
    project = finished_copy
    first = job(project, "whiten").fingerprint()
    os.utime(project.root / RUN / EPOCH / "features.zarr/c.1.0", ns=(1, 1))
    assert job(project, "whiten").fingerprint() != first


def test_an_input_that_changes_while_a_stage_runs_stops_it(finished_copy):
    before = labels(finished_copy).read_bytes()

    def stage(job):
        writing()(job)
        os.utime(job.input("assignments"), ns=(1, 1))

    assert "changed while running" in refused(lambda: run(finished_copy, stage))
    assert labels(finished_copy).read_bytes() == before


def test_a_parameter_that_changes_while_a_stage_runs_stops_it(finished_copy):
    before = labels(finished_copy).read_bytes()

    def stage(job):
        writing()(job)
        change(finished_copy, {"pseudolabel": {"permuted": True}})

    assert "changed while running" in refused(lambda: run(finished_copy, stage))
    assert labels(finished_copy).read_bytes() == before


def test_a_missing_input_is_refused_by_name(finished_copy):
    source = finished_copy.root / RUN / EPOCH / "assignments.parquet"
    source.unlink()
    line = refused(lambda: run(finished_copy, writing()))
    assert str(source) in line
    assert "python -m pipeline status" in line


@pytest.mark.parametrize("error", [Refusal("the loss is nan"), ValueError("a bug"), KeyboardInterrupt()])
def test_a_stage_that_ends_in_an_error_publishes_nothing(finished_copy, error):
    folder = finished_copy.root / RUN / EPOCH
    before = files(folder)

    def stage(job):
        writing()(job)
        raise error

    with pytest.raises(type(error)):
        run(finished_copy, stage)
    assert files(folder) == before
    # Ctrl-C is no failure: `status` says missing, and the same command goes on.
    assert failure(folder, "pseudolabel") == (str(error) or None)


def test_publishing_ends_with_nothing_left_beside(finished_copy):
    run(finished_copy, writing())
    assert labels(finished_copy).read_bytes() == b"new"
    assert not list((finished_copy.root / RUN / EPOCH).glob(".partial-*"))


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
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="libraries start with one thread here anyway")
@pytest.mark.parametrize("stage", ["extract", "whiten", "cluster", "train"])
def test_every_library_has_the_runs_threads_in_a_process_of_its_own(finished_copy, stage):
    """A library that is first imported inside the stage would come with as many threads as the machine has
    cores, unlike in the warm process: other sums, other bytes."""
    change(finished_copy, {"threads": 1})
    params = load_run_params(finished_copy.root / RUN)
    for out in find_node(params, Path(RUN) / EPOCH, stage).outs.values():
        remove(finished_copy.root / out.path)
    done = finished_copy.command("python", "-c", PROBE, stage, f"{RUN}/{EPOCH}")
    assert done.returncode == 0, done.stderr
    pools = re.search(r"pools (\{.*\})", done.stdout)[1]
    assert set(re.findall(r": (\d+)", pools)) == {"1"}, pools


def test_a_row_of_timings_says_what_was_run_where_and_how_fast(finished_copy):
    project = finished_copy
    path = project.root / RUN / "timings.csv"
    before = len(pd.read_csv(path))
    run_one(project, "extract", "final")
    run_one(project, "whiten")
    table = pd.read_csv(path)
    assert tuple(table.columns) == TIMING_COLUMNS
    assert len(table) == before + 2
    extract, whiten = table.iloc[-2], table.iloc[-1]
    assert (extract["epoch"], extract["stage"]) == ("final", "extract")
    assert (whiten["epoch"], whiten["stage"]) == ("1", "whiten")
    assert extract["pid"] == os.getpid()
    assert extract["threads"] == load_run_params(project.root / RUN).threads
    assert extract["device"] == "cpu"
    assert extract["seconds"] > 0
    assert extract["images_per_s"] == pytest.approx(170 / extract["seconds"], rel=0.1)
    assert 10 < extract["peak_anon_mb"] < 100_000
    assert f"torch {torch.__version__.partition('+')[0]}" in extract["versions"]
    assert f"numpy {np.__version__}" in extract["versions"]


def test_every_stage_of_a_warm_run_has_one_pid(finished):
    table = pd.read_csv(finished.root / RUN / "timings.csv")
    assert table["pid"].nunique() == 1
    assert set(table["stage"]) >= {
        "resolve",
        "init",
        "extract",
        "whiten",
        "cluster",
        "pseudolabel",
        "train",
        "checkpoint",
    }


def test_a_table_of_timings_that_cannot_be_written_loses_no_result(finished_copy):
    path = finished_copy.root / RUN / "timings.csv"
    path.unlink()
    path.mkdir()
    report = Stopping()
    run_one(finished_copy, "pseudolabel", report=report)
    assert labels(finished_copy).exists()
    assert "timings.csv could not be written" in report.told


def test_files_appear_in_their_declared_order_and_only_when_all_are_whole(finished_copy, monkeypatch):
    """Whoever looks while a stage publishes sees old or new files, each whole: the lock comes last."""
    project = finished_copy
    folder = project.root / RUN / EPOCH
    order = []
    rename = os.replace

    def watched(source, target):
        if Path(target).parent == folder:
            order.append(Path(target).name)
        rename(source, target)

    monkeypatch.setattr(os, "replace", watched)
    for name in ("pca.npz", "whitened.zarr"):
        remove(folder / name)
    run_one(project, "whiten")
    assert order == ["pca.npz", "whitened.zarr"]
    assert set(order) <= set(published(folder))


def test_a_folder_that_is_no_epoch_and_a_stage_that_an_epoch_lacks_are_refused(finished_copy):
    params = load_run_params(finished_copy.root / RUN)
    assert "no epoch" in refused(lambda: find_node(params, Path(RUN) / "epochs", "train"))
    assert "no epoch" in refused(lambda: find_node(params, Path(RUN) / "epochs/0000", "train"))
    assert "no stage train" in refused(lambda: find_node(params, Path(RUN) / "final", "train"))


def test_a_folder_outside_any_project_is_refused(tmp_path):
    assert str(tmp_path) in refused(lambda: find_root(tmp_path))


def test_every_stage_of_an_epoch_has_a_revision():
    assert set(revisions()) == {"init", "extract", "whiten", "cluster", "pseudolabel", "train", "checkpoint", "export"}
    assert all(isinstance(revision_of(stage), int) for stage in [*revisions(), "generate", "pack", "figures"])


@pytest.mark.slow
def test_a_bug_leaves_its_traceback_in_the_log_and_a_refusal_only_its_line(finished_copy):
    project = finished_copy
    log = project.root / RUN / "log.txt"
    code = (
        "import sys\nfrom stages.runtime.runner import run_stage\ndef pseudolabel(job):\n    {}\nrun_stage(pseudolabel)"
    )
    folder = f"{RUN}/{EPOCH}"
    done = project.command("python", "-c", code.format("1 / 0"), folder)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in log.read_text()
    refusing = code.format("from stages.errors import Refusal; raise Refusal('no such thing')")
    done = project.command("python", "-c", refusing, folder)
    assert (done.returncode, done.stderr) == (1, "pseudolabel: no such thing\n")
    debug = project.command("python", "-c", refusing, folder, env={"DEEPCLUSTER_DEBUG": "1"})
    assert "Traceback" in debug.stderr


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is kept is glibc's")
def test_freed_memory_is_kept_while_a_stage_runs_and_given_back_at_its_end():
    # In a process of its own: what others have freed lies in the same heap.
    script = """
import numpy as np
from stages.runtime.memory import kept_memory
def held():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) >> 10
before = held()
with kept_memory():
    np.ones(200 << 20, np.uint8)
    during = held()
print(during - before, held() - before)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    during, after = map(int, told.split())
    assert during >= 190 and after <= 20, told

"""stages/*.py, each in a process of its own, on inputs that are damaged and on a disk that fills up."""

import re

import pytest
from stage_helpers import EPOCH, RUN, FullDisk, epoch, files, refused, remove, run_one, tmpfs


def everything(project):
    return files(project.root / "data")


STAGES = {
    "generate": "data/images/demo",
    "pack": "data/images/demo",
    "resolve": RUN,
    "init": RUN,
    "extract": f"{RUN}/{EPOCH}",
    "whiten": f"{RUN}/{EPOCH}",
    "cluster": f"{RUN}/epochs/0002",
    "pseudolabel": f"{RUN}/{EPOCH}",
    "train": f"{RUN}/epochs/0002",
    "checkpoint": f"{RUN}/{EPOCH}",
    "weights": RUN,
    "baseline": RUN,
    "export": RUN,
    "figures": RUN,
}
OUTS = {
    "generate": ["pictures"],
    "pack": ["pixels.zarr", "manifest.parquet", "rejected.parquet", "pack.json"],
    "resolve": ["params.yaml"],
    "init": ["epochs/0000/checkpoint.pt"],
    "extract": ["features.zarr"],
    "whiten": ["pca.npz", "whitened.zarr"],
    "cluster": ["centroids.npy", "assignments.parquet", "clustering.json"],
    "pseudolabel": ["pseudolabels.parquet"],
    "train": ["trained"],
    "checkpoint": ["checkpoint.pt", "metrics.json"],
    "weights": ["model.safetensors"],
    "baseline": ["baseline.json"],
    "export": ["history.csv", "summary.json"],
    "figures": ["figures"],
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_in_a_process_of_its_own_gives_the_bytes_of_the_warm_process(finished_copy, stage):
    project = finished_copy
    before = everything(project)
    folder = project.root / STAGES[stage]
    for name in OUTS[stage]:
        # As DVC does: `resolve` finds its old output, the others do not.
        if stage != "resolve":
            remove(folder / name)
    done = project.command("python", "-m", f"stages.{stage}", ".", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert everything(project) == before
    assert not list(project.root.rglob(".partial-*"))


@pytest.mark.slow
def test_a_refusing_stage_in_a_process_of_its_own_ends_with_one_line_and_status_1(finished_copy):
    project = finished_copy
    (epoch(project, "features.zarr") / "c.1.0").unlink()
    remove(epoch(project, "whitened.zarr"))
    remove(epoch(project, "pca.npz"))
    before = everything(project)
    done = project.command("python", "-m", "stages.whiten", ".", cwd=epoch(project))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert everything(project) == before
    assert "refused: " in (project.root / RUN / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["a", "b"]])
def test_a_stage_without_one_folder_says_how_to_call_it(finished, words):
    done = finished.command("python", "-m", "stages.pseudolabel", *words)
    assert done.returncode == 2
    assert "usage: python -m stages.pseudolabel FOLDER" in done.stderr


READ = [
    ("whiten", "features.zarr/zarr.json"),
    ("cluster", "pca.npz"),
    ("cluster", "whitened.zarr/zarr.json"),
    ("pseudolabel", "assignments.parquet"),
    ("train", "pseudolabels.parquet"),
    ("checkpoint", "trained/checkpoint.pt"),
    ("checkpoint", "trained/steps.parquet"),
    ("checkpoint", "clustering.json"),
]


@pytest.mark.parametrize(("stage", "name"), READ)
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_input_that_is_missing_or_cut_is_refused_by_name(finished_copy, stage, name, damage):
    path = epoch(finished_copy, name)
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    line = refused(lambda: run_one(finished_copy, stage))
    assert str(epoch(finished_copy, name.partition("/")[0])) in line


@pytest.mark.parametrize("stage", ["extract", "train"])
def test_a_full_disk_at_any_write_is_one_line_and_then_the_same_command_gives_the_same_bytes(
    finished_copy, monkeypatch, stage
):
    project = finished_copy
    whole = files(epoch(project))
    disk = FullDisk(monkeypatch, epoch(project))
    for fails_at in range(100):
        disk.arm(fails_at)
        try:
            run_one(project, stage)
        except Exception as error:
            assert disk.reached
            assert "no space left" in str(error), f"write {fails_at}: {error!r}"
            assert str(epoch(project)) in str(error)
            assert re.search(r"needs [\d.]+ \w+ and [\d.]+ \w+ are free", str(error))
            assert files(epoch(project)).keys() == {name for name in whole if not name.startswith(OUTS[stage][0])}
        else:
            break
    assert fails_at >= 3
    assert files(epoch(project)) == whole


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "size"), [("extract", "120k"), ("train", "400k")])
def test_a_small_disk_that_fills_up_as_a_user_meets_it(finished_copy, tmp_path, stage, size):
    project = finished_copy
    whole = files(epoch(project))
    labels = epoch(project, "pseudolabels.parquet").read_bytes()
    with tmpfs(epoch(project), size) as resize:
        epoch(project, "pseudolabels.parquet").write_bytes(labels)
        done = project.command("python", "-m", f"stages.{stage}", ".", cwd=epoch(project))
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "no space left" in done.stderr
        assert str(epoch(project)) in done.stderr
        assert re.search(r"needs [\d.]+ \w+ and [\d.]+ \w+ are free", done.stderr)
        assert list(files(epoch(project))) == ["pseudolabels.parquet"]
        resize("64m")
        done = project.command("python", "-m", f"stages.{stage}", ".", cwd=epoch(project))
        assert (done.returncode, done.stderr) == (0, "")
        made = {name: content for name, content in files(epoch(project)).items() if name.startswith(OUTS[stage][0])}
        assert made == {name: content for name, content in whole.items() if name.startswith(OUTS[stage][0])}

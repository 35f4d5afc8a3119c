"""benchmarks/gpu.py on little and on a CPU: each part runs, without DVC, and what is measured is kept."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from projects import ROOT

pytestmark = pytest.mark.slow

BENCHMARKS = ROOT / "benchmarks"


def small(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The benchmark on little on a CPU, in an environment in which DVC and the command line's packages fail."""
    for name in ("dvc", "dvc_data", "typer", "matplotlib", "rich"):
        (folder / "absent" / name).mkdir(parents=True, exist_ok=True)
        (folder / "absent" / name / "__init__.py").write_text(f"raise ImportError('{name} is not there')\n")
    environment = os.environ | {"PYTHONPATH": f"{folder / 'absent'}{os.pathsep}{ROOT}", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "gpu.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_device_that_is_not_there_is_one_line(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("it is there")
    done = small(tmp_path, "--only", "transfers")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "device: cuda: this machine has no CUDA device that torch can use; --device cpu\n"


def test_parts_run_on_a_cpu_without_dvc_and_are_kept(tmp_path):
    done = small(tmp_path, "--device", "cpu", "--small", "--only", "transfers", "pack", "whiten", "--output", "out")
    assert done.returncode == 0, done.stderr
    assert "Of a CPU: no number here says anything of a GPU." in done.stdout
    assert {row["part"] for row in rows_of(tmp_path / "out")} == {"transfers", "pack", "whiten"}
    assert "| transfers | back, pinned | 0.017 GB | 1 | – |" in done.stdout
    again = small(tmp_path, "--device", "cpu", "--small", "--only", "cluster", "--output", "out")
    assert again.returncode == 0, again.stderr
    rows = rows_of(tmp_path / "out")
    assert [row["part"] for row in rows].count("pack") == 1
    exact = [row for row in rows if "float64" in row["what"]]
    assert [(float(row["median"]), row["verdict"]) for row in exact] == [(0.0, "met (small)")] * 2
    text = (tmp_path / "out" / "performance.md").read_text(encoding="utf-8")
    assert text.startswith("<!-- gpu: begin -->\nOf a CPU") and "| cluster | stage | 4,096 × 32" in text


def test_the_whole_of_it_runs_on_a_cpu(tmp_path):
    done = small(tmp_path, "--device", "cpu", "--small", "--output", "out", "--seconds", "600")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "out")
    found = {(row["part"], row["what"]): row for row in rows}
    parts = ["transfers", "pack", "extract", "train", "whiten", "cluster", "memory", "agreement", "busy", "demo"]
    assert list(dict.fromkeys(row["part"] for row in rows)) == [*parts[:6], "ImageNet epoch", *parts[6:]]
    for part in ("extract", "train"):
        for precision in ("float32", "bf16"):
            assert float(found[part, f"pipeline, {precision}"]["median"]) > 0
            assert found[part, f"bare network, {precision}"]["bar"] == "≥ 0.85×"
        assert found[part, "yardstick"]["bar"] == "≥ 4×"
    assert float(found["agreement", "features, float32: relative difference"]["median"]) == 0
    assert 0 < float(found["agreement", "features, bf16: relative difference"]["median"]) < 0.1
    assert float(found["agreement", "what one step changes, float32: relative difference"]["median"]) == 0
    (same,) = (row for row in rows if row["what"].startswith("files that differ"))
    assert (float(same["median"]), same["verdict"]) == (0.0, "met (small)")
    assert not (ROOT / "docs" / "gpu.csv").exists() or "cpu" not in (ROOT / "docs" / "gpu.csv").read_text()

"""Contents of result.json as the evaluations write them, and where and how they lie in a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from pipeline.recording.hashes import md5

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5"]
VOC = {"train": {"set": "scenes", "split": "trainval"}, "test": {"set": "scenes", "split": "test"}}


def network(**changed: Any) -> dict[str, Any]:
    """The network of a run of 8 epochs."""
    model = {"architecture": "alexnet", "sobel": True, "input": 64, "width": 0.25}
    training = {"data": "demo", "epochs": 8, "method": "kmeans", "start": None}
    return model | training | {"sha256": "a" * 64} | changed


def untrained(**changed: Any) -> dict[str, Any]:
    return network(data=None, epochs=0) | changed


def result(
    protocol: str, numbers: dict[str, Any], run: str = "demo", name: str = "", of: Any = None, **settings: Any
) -> dict[str, Any]:
    """A result.json; without a name of the evaluation, the protocol's."""
    if protocol in ("linear_probe", "mlp", "knn"):
        settings = {"train": "demo", "test": "demo-test"} | settings
    return {
        "run": run,
        "evaluation": name or protocol,
        "settings": {"protocol": protocol} | settings,
        "network": of or network(),
        "measured_on": {"test_images": 1000},
        "follows": {},
        "numbers": numbers,
    }


def probe(run: str = "demo", top1: float = 40.0, **more: Any) -> dict[str, Any]:
    values = {layer: top1 + place for place, layer in enumerate(LAYERS)}
    best = {layer: value + 0.5 for layer, value in values.items()}
    return result("linear_probe", {"top1": values, "top5": values, "best_top1": best}, run, **more)


def voc(protocol: str, layers: str, value: float, run: str = "demo", **more: Any) -> dict[str, Any]:
    """One of the three tasks of Table 2."""
    measure = "mean_iu" if protocol == "segmentation" else "map"
    return result(protocol, {measure: value}, run, f"{protocol}-{layers}", **(VOC | {"layers": layers} | more))


def retrieval(test: str, whiten: str, value: float, run: str = "demo", **more: Any) -> dict[str, Any]:
    return result("retrieval", {"map": value}, run, test, test=test, whiten=whiten, layer="conv5", **more)


def knn(run: str = "demo", **more: Any) -> dict[str, Any]:
    return result("knn", {"top1": {"10": 75.25, "20": 74.0}, "top5": {"10": 97.0, "20": 98.0}}, run, **more)


def demo_and_baseline() -> list[dict[str, Any]]:
    """Everything that the two runs of the demo are measured by; the baseline's numbers are 10 lower."""
    found = []
    for run, of, less in (("demo", network(), 0), ("demo-random", untrained(), 10)):
        found.append(probe(run, 40.0 - less, of=of))
        for place, protocol in enumerate(("voc_classification", "detection", "segmentation")):
            for more, layers in enumerate(("fc6-8", "all")):
                found.append(voc(protocol, layers, 60.25 - 10 * place + more - less, run, of=of))
        found.append(retrieval("demo-oxford", "demo-paris", 33.0 - less, run, of=of))
        found.append(retrieval("demo-paris", "demo-oxford", 44.0 - less, run, of=of))
        found.append(result("mlp", {"top1": 80.0 - less, "top5": 95.0, "best_top1": 81.0 - less}, run, of=of))
        found.append(knn(run, of=of))
    return found


def lay(root: Path, content: dict[str, Any]) -> Path:
    """Writes a result where its evaluation would have, recorded as of the run's network; returns its folder."""
    run = root / "data/runs" / content["run"]
    weights = run / "model.safetensors"
    if not weights.exists():
        run.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(content["run"].encode())
        _record(run, "weights", {}, {"model.safetensors": weights})
    folder = run / "evaluations" / content["evaluation"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(content))
    stage = content["settings"]["protocol"]
    _record(folder, stage, {"../../model.safetensors": weights}, {"result.json": folder / "result.json"})
    return folder


def _record(folder: Path, stage: str, deps: dict[str, Path], outs: dict[str, Path]) -> None:
    def items(files: dict[str, Path]) -> list[dict[str, Any]]:
        return [{"path": name, "hash": "md5", "md5": md5(path), "size": 1} for name, path in files.items()]

    entry = {"cmd": f"python -m stages.{stage} .", "deps": items(deps), "outs": items(outs)}
    lock = folder / "dvc.lock"
    before = yaml.safe_load(lock.read_text())["stages"] if lock.exists() else {}
    lock.write_text(yaml.safe_dump({"schema": "2.0", "stages": before | {stage: entry}}))

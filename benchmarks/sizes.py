"""How much is measured, and the parameters of the runs that are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from stages.runtime.threads import usable_cores


@dataclass(frozen=True)
class Size:
    """How much is measured; `--quick` and the options of bench.py change it.

    Attributes:
        pairs, side_pairs: rounds; of what is only shown beside. epoch_pairs, epoch_sides: likewise of epochs.
        least: seconds that a round of what decides a bar lasts.
        bf16: whether bf16 is measured; None: where the processor has units for it.
        finish: whether the tiny run of `epochs` epochs is finished, in at most `seconds`.
        memory_files, memory_images, memory_rows, memory_labels, memory_clustered: N of the part `memory`.
    """

    images: int = 2000
    train_images: int = 960
    pairs: int = 7
    side_pairs: int = 2
    epoch_pairs: int = 3
    epoch_sides: int = 1
    least: float = 20.0
    feature_rows: int = 20_000
    feature_dim: int = 4096
    threads: int = usable_cores()
    bf16: bool | None = None
    labels: int = 1_280_000
    clusters: int = 10_000
    epochs: int = 500
    finish: bool = True
    imports: int = 7
    gigabytes: float = 1.0
    memory_files: int = 5_000
    memory_images: int = 500
    memory_rows: int = 5_000
    memory_labels: int = 320_000
    memory_clustered: int = 50_000
    huge_rows: int | None = None
    seconds: float = 900.0

    @property
    def dim(self) -> int:
        return min(256, self.images // 2)

    @property
    def k(self) -> int:
        return max(2, min(100, self.images // 4))

    @property
    def batch(self) -> int:
        return max(2, min(64, self.images // 2))


QUICK = Size(
    images=64,
    train_images=48,
    pairs=2,
    side_pairs=0,
    epoch_pairs=1,
    epoch_sides=0,
    least=0.0,
    feature_rows=4000,
    feature_dim=1024,
    finish=False,
    imports=3,
    gigabytes=0.25,
    memory_files=500,
    memory_images=40,
    memory_rows=2048,
    memory_labels=80_000,
    memory_clustered=10_000,
)


class Amounts(Protocol):
    """What `paper` asks of a size."""

    @property
    def threads(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def k(self) -> int: ...


def paper(size: Amounts, dataset: str, precision: str = "float32", **train: Any) -> dict[str, Any]:
    """Overrides of a run: AlexNet with Sobel at 224, full width."""
    return {
        "dataset": dataset,
        "epochs": 1,
        "precision": precision,
        "threads": size.threads,
        "workers": size.threads,
        "model": {"architecture": "alexnet", "sobel": True, "input": 224, "width": 1.0},
        "extract": {"batch": size.batch},
        "whiten": {"dim": size.dim},
        "cluster": {"k": size.k},
        "train": {"batch": size.batch, "lr": 0.01, "passes": 1, **train},
    }

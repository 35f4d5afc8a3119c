"""benchmarks/gpu.py: what it computes from what it measures."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from projects import ROOT
from torch.autograd import DeviceType


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of benchmarks/, which import each other by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def rates(**changed: float) -> Any:
    from imagenet import Rates

    known = {"extract": 40_000, "train": 16_000, "whiten": 12.0, "cluster": 8.0, "rows": 1_280_000}
    return Rates(**(known | {"write": 1.2e9, "read": 2e9} | changed))


def test_an_epoch_on_imagenet_is_its_stages_by_rate_and_by_disk():
    from imagenet import imagenet_epoch, total

    extract, whiten, cluster, train = imagenet_epoch(rates())
    assert [stage.stage for stage in (extract, whiten, cluster, train)] == ["extract", "whiten", "cluster", "train"]
    # 1,281,167 / 40,000; 1,281,167 x 16 KiB at 1.2 GB/s; 1,281,167 x 215 kB at 2 GB/s.
    assert (extract.rate, extract.writing, extract.reading) == pytest.approx((32.03, 17.49, 137.73), abs=0.01)
    assert (train.rate, train.writing, train.reading) == pytest.approx((80.07, 0.42, 115.31), abs=0.01)
    assert (whiten.rate, cluster.rate) == pytest.approx((12.01, 8.01), abs=0.01)
    assert whiten.writing == pytest.approx(1.09, abs=0.01)
    whole = [extract, whiten, cluster, train]
    assert total(whole, cold=False) == pytest.approx(32.03 + 12.01 + 8.01 + 80.07, abs=0.05)
    assert total(whole, cold=True) - total(whole, cold=False) == pytest.approx(137.73 + 115.31, abs=0.05)


def test_a_disk_that_is_slower_than_a_stage_is_what_counts():
    from imagenet import imagenet_epoch

    extract = imagenet_epoch(rates(write=0.5e9))[0]
    assert extract.seconds(cold=False) == pytest.approx(1_281_167 * 16_384 / 0.5e9)


def test_stages_of_fewer_rows_are_scaled():
    from imagenet import imagenet_epoch

    few = imagenet_epoch(rates(rows=640_000))
    assert [few[i].rate for i in (1, 2)] == pytest.approx([24.02, 16.01], abs=0.01)


def kept(**without: str) -> list[dict[str, str]]:
    lines = [
        ("extract", "pipeline, bf16", "batch 256", 40_000),
        ("train", "pipeline, bf16", "batch 256", 16_000),
        ("whiten", "stage", "640,000 × 4096 to 256", 6),
        ("cluster", "stage", "1,280,000 × 256, k 10,000", 8),
        ("transfers", "disk, written through", "4 GB", 1.2),
        ("transfers", "disk, read", "4 GB", 2),
    ]
    return [
        {"part": part, "what": what, "n": n, "median": str(median)}
        for part, what, n, median in lines
        if part != without.get("part")
    ]


def test_the_epoch_is_computed_of_the_rows_that_are_kept():
    import gpu
    from imagenet import imagenet_epoch, total

    rows = gpu.epoch(kept(), "bf16")
    expected = imagenet_epoch(rates())
    assert [row.median for row in rows[:4]] == pytest.approx([stage.seconds(cold=False) for stage in expected])
    assert [row.median for row in rows[4:]] == pytest.approx([total(expected, cold=cold) for cold in (False, True)])
    assert [row.verdict for row in rows] == ["", "", "", "", "met", "missed"]
    assert gpu.epoch(kept(part="train"), "bf16") == [] == gpu.epoch(kept(), "tf32")


@pytest.mark.parametrize(
    ("spans", "share"),
    [
        ([(0, 2), (4, 6)], 4 / 6),
        # Kernels side by side count once, in whatever order they come.
        ([(4, 6), (0, 2), (1, 3), (1, 2)], 5 / 6),
        ([(10, 12)], 1.0),
        ([], None),
    ],
)
def test_a_device_is_busy_while_a_kernel_runs(spans, share):
    from device import covered

    assert covered(spans) == (share if share is None else pytest.approx(share))


def test_copies_are_no_work_and_the_first_half_is_not_looked_at(monkeypatch):
    import device

    def event(name: str, start: float, end: float, where: DeviceType = DeviceType.CUDA) -> SimpleNamespace:
        return SimpleNamespace(name=name, device_type=where, time_range=SimpleNamespace(start=start, end=end))

    class Seen(nullcontext):
        def events(self) -> list[SimpleNamespace]:
            copies = [event("Memcpy HtoD", 0, 100), event("Memset", 0, 100), event("launch", 0, 100, DeviceType.CPU)]
            return [*copies, event("conv", 90, 100), event("first", 1, 2), event("relu", 50, 70), event("second", 3, 4)]

    seen = Seen()
    seen.enter_result = seen
    monkeypatch.setattr(torch.profiler, "profile", lambda **_: seen)
    monkeypatch.setattr(device, "wait_for", lambda _: None)
    assert device.busy(torch.device("cuda"), lambda: 3.0) == (3.0, pytest.approx(30 / 50))


def test_what_only_a_gpu_has_is_none_on_a_cpu():
    from device import busy, free_memory, name_of, peak_memory, transfers

    cpu = torch.device("cpu")
    with peak_memory(cpu) as peak:
        assert busy(cpu, lambda: 3.0) == (3.0, None)
    assert (name_of(cpu), free_memory(cpu), peak) == (None, None, [None])
    found = transfers(cpu, 1000)
    assert [rate is None for rate in found.values()] == [False, True, False, True]


def test_a_start_that_comes_once_does_not_count():
    from gpu_pictures import UNIT, counted

    # Ten seconds to begin with, then a hundredth of a second an image.
    assert counted(lambda count: 10 + count / 100, 50, 200) == pytest.approx(UNIT / 100)
    assert counted(lambda count: 3.0, 50, 200) == pytest.approx(3 * UNIT / 200)


def test_rows_of_a_stage_say_met_or_missed_by_the_median():
    from gpu_pictures import BARE_BAR, per_second
    from sides import PLAIN, bare, judged, ours

    seconds = {ours("float32"): [0.5, 0.25, 0.3], bare("float32"): [0.2, 0.2, 0.27], PLAIN: [1.3]}
    rows = judged("extract", "", seconds, ("float32",), {"float32": 4.0}, BARE_BAR, by_median=True)
    mine, network, loop = map(per_second, rows)
    assert (mine.median, mine.unit, network.median) == (pytest.approx(1000 / 0.3), "images/s", 5000)
    assert (network.ratio, network.bar, network.verdict) == (pytest.approx(0.8), "≥ 0.85×", "missed")
    assert (loop.ratio, loop.bar, loop.verdict) == (pytest.approx(2.6), "≥ 4×", "missed")
    faster = judged("extract", "", seconds | {bare("float32"): [0.6]}, ("float32",), {"float32": 4.0}, BARE_BAR)
    assert faster[1].verdict == "met"


def test_a_measurement_lasts_about_as_long_as_it_should():
    from gpu_setup import lasting

    assert [lasting(100, seconds, 3.0, 8) for seconds in (1.0, 2.9, 30.0, 0.01)] == [300, 100, 100, 800]


def test_the_seeds_of_the_cpu_are_those_of_the_results():
    from gpu_demo import RESULTS, cpu_seeds, within_seeds

    table = "| DeepCluster, seed 0 | 0.136 | 0.394 | 0.258 | 72 |\n| DeepCluster, seed 1 | 0.148 | 0.274 | 0.1 | 5 |\n"
    assert cpu_seeds(table + "| permuted, seed 0 | 0.1 | 0.1 | 0 | 5 |") == (0.274, 0.394)
    least, most = cpu_seeds(RESULTS.read_text(encoding="utf-8"))
    assert 0 < least <= most < 1
    verdicts = [within_seeds(nmi, 0.274, 0.394, decides=True).verdict for nmi in (0.2739, 0.27, 0.3944, 0.395)]
    assert verdicts == ["met", "missed", "met", "missed"]
    assert within_seeds(0.1, 0.274, 0.394, decides=False).verdict == ""


def test_files_of_two_runs_are_compared_by_their_bytes(tmp_path):
    from gpu_demo import differing

    for run, content in (("one", b"a"), ("other", b"a")):
        (tmp_path / run / "final").mkdir(parents=True)
        (tmp_path / run / "final" / "pca.npz").write_bytes(content)
        (tmp_path / run / "params.yaml").write_text(run)
    assert differing(tmp_path / "one", tmp_path / "other") == []
    (tmp_path / "other" / "final" / "pca.npz").write_bytes(b"b")
    (tmp_path / "one" / "more").write_bytes(b"")
    assert differing(tmp_path / "one", tmp_path / "other") == ["final/pca.npz", "more"]


def test_an_assignment_that_is_not_the_nearest_is_seen():
    from gpu_arrays import checked, unit_rows

    rows = unit_rows(300, 8, 5, torch.device("cpu"))
    centroids = rows[:7]
    nearest = ((rows[:, None].astype(float) - centroids) ** 2).sum(2).argmin(1)
    bench = SimpleNamespace(device="cpu", size=SimpleNamespace(sampled=300))
    assert [row.verdict for row in checked(bench, rows, centroids, nearest)] == ["met", "met"]
    nearest[200] = (nearest[200] + 1) % 7
    found = checked(bench, rows, centroids, nearest)
    assert [(row.median, row.verdict) for row in found] == [(1.0, "missed"), (1.0, "missed")]


def test_rows_are_drawn_with_variances_that_fall():
    from gpu_arrays import drawn

    blocks = list(drawn(5000, 16, 2048, torch.device("cpu")))
    assert [block.shape for block in blocks] == [(2048, 16), (2048, 16), (904, 16)]
    values = np.linalg.eigvalsh(np.cov(torch.cat(blocks).double().T.numpy()))
    assert values[-1] / values[0] == pytest.approx(1e8, rel=0.3)


def test_a_data_set_is_listed_again_in_turn(tmp_path):
    from gpu_setup import PACKED, SMALL, Bench

    from stages.artifacts.pictures import PackedImages

    bench = Bench(tmp_path, SMALL, "cpu")
    again = PackedImages(bench.stages.root / "data/images" / bench.listed(300))
    packed = PackedImages(bench.stages.root / "data/images" / PACKED)
    assert (len(packed), len(again)) == (SMALL.packed, 300)
    assert len(list((tmp_path / "drawn").rglob("*.jpg"))) == SMALL.drawn
    for image in (0, 47, 48, 299):
        np.testing.assert_array_equal(again[image], packed[image % SMALL.packed])
        assert again.label[image] == packed.label[image % SMALL.packed]
    assert len(set(packed.label.tolist())) == 10


def test_the_document_has_a_place_for_its_table():
    import gpu

    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert 0 < text.index(gpu.BEGIN) < text.index(gpu.END)

"""What only a CUDA device has: its memory, how busy it is, pinned transfers. Elsewhere each of these is None."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def give_back(device: torch.device) -> None:
    """Gives back what torch keeps of the device's memory for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def name_of(device: torch.device) -> str | None:
    """The card and its memory."""
    if device.type != "cuda":
        return None
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on the device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float | None]]:
    """A context that yields a list whose one item is, at its end, the most GB that new tensors took on the device."""
    peak: list[float | None] = [None]
    if device.type != "cuda":
        yield peak
        return
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    yield peak
    peak[0] = (torch.cuda.max_memory_allocated(device) - before) / 1e9


def seconds_on(device: torch.device, function: Callable[[], object]) -> float:
    """Wall-clock seconds until the device has done what `function` gives it."""
    wait_for(device)
    started = time.perf_counter()
    function()
    wait_for(device)
    return time.perf_counter() - started


def busy(device: torch.device, function: Callable[[], float]) -> tuple[float, float | None]:
    """What `function` returns, and the share of time in which a kernel ran, over the second half of all kernels.

    In the first half a stage still reads its files. Copies to and from the device count as no work.
    """
    if device.type != "cuda":
        return function(), None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        found = function()
        wait_for(device)
    events = [event for event in seen.events() if event.device_type == DeviceType.CUDA]
    kernels = [event.time_range for event in events if not event.name.startswith(("Memcpy", "Memset"))]
    spans = sorted((span.start, span.end) for span in kernels)
    return found, covered(spans[len(spans) // 2 :])


def covered(spans: Iterable[tuple[float, float]]) -> float | None:
    """The share of the time between the first start and the last end that lies in at least one span; None of none."""
    first = end = None
    total = 0.0
    for start, stop in sorted(spans):
        if first is None or end is None:
            first, end = start, start
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return None if first is None or end is None or end == first else total / (end - first)


def transfers(device: torch.device, size: int) -> dict[str, float | None]:
    """GB/s of `size` bytes to the device and back, of the best of three; pinned ones are None without CUDA."""
    there = torch.empty(size, dtype=torch.uint8, device=device)
    pageable = torch.ones(size, dtype=torch.uint8)
    pinned = pageable.pin_memory() if device.type == "cuda" else None

    def best(target: Tensor, source: Tensor) -> float:
        return size / 1e9 / min(seconds_on(device, lambda: target.copy_(source)) for _ in range(3))

    return {
        "to the device, pageable": best(there, pageable),
        "to the device, pinned": None if pinned is None else best(there, pinned),
        "back, pageable": best(pageable, there),
        "back, pinned": None if pinned is None else best(pinned, there),
    }

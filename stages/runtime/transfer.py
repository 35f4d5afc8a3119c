"""Bytes on their way to a device and numbers on their way back, without making it wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Self

import torch
from torch import Tensor


class Uploads:
    """Buffers in page-locked memory that threads fill and a GPU fetches while it computes; used in turn.

    On a CPU, where there is nothing to fetch, they are copied.

    Args:
        count: number of buffers.
        size: of each, in bytes.
    """

    def __init__(self, count: int, size: int, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._free: SimpleQueue[tuple[Tensor, torch.cuda.Event | None]] = SimpleQueue()
        for _ in range(count):
            self._free.put((torch.empty(size, dtype=torch.uint8, pin_memory=self._stream is not None), None))

    def take(self) -> Tensor:
        """A buffer to fill, (size,) uint8; waits until one has been fetched. For any thread."""
        buffer, fetched = self._free.get()
        if fetched is not None:
            fetched.synchronize()
        return buffer

    def send(self, buffer: Tensor) -> Tensor:
        """The content on the device, for what is computed next there; the buffer is used again afterwards."""
        if self._stream is None:
            sent = buffer.to(self._device, copy=True)
            self._free.put((buffer, None))
            return sent
        with torch.cuda.stream(self._stream):
            sent = buffer.to(self._device, non_blocking=True)
            # Whoever waits for it sleeps, and leaves its core to others.
            fetched = torch.cuda.Event(blocking=True)
            fetched.record(self._stream)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(fetched)
        # Its memory must not be given away while the other stream still reads it.
        sent.record_stream(computing)
        self._free.put((buffer, fetched))
        return sent


class Download:
    """Rows that are computed on a device, in page-locked memory of the host.

    Args:
        shape: of all of them.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._rows = torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")
        self._device = device
        self._there: torch.cuda.Event | None = None

    def put(self, start: int, rows: Tensor) -> None:
        """Has (n, ...) `rows` sent to the rows from `start` on, as soon as they are computed."""
        self._rows[start : start + len(rows)].copy_(rows, non_blocking=True)
        if self._device.type == "cuda":
            self._there = torch.cuda.Event(blocking=True)
            self._there.record(torch.cuda.current_stream(self._device))

    def read(self) -> Tensor:
        """All rows that were put, on the host; waits for them. For any thread."""
        if self._there is not None:
            self._there.synchronize()
        return self._rows


class Background:
    """Work done one after the other by a thread, of which the caller is `ahead` pieces ahead at most.

    As a context it waits for all of it at the end; an error in it is raised where the caller next waits.
    """

    def __init__(self, ahead: int) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[Any]] = deque()
        self._ahead = ahead

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._pool.shutdown(cancel_futures=raised[0] is not None)
        if raised[0] is None:
            for done in self._waiting:
                done.result()

    def do(self, work: Callable[..., Any], *words: Any) -> None:
        self._waiting.append(self._pool.submit(work, *words))
        while len(self._waiting) > self._ahead:
            self._waiting.popleft().result()

"""The plain sides of a comparison, each in a process of its own.

A stage keeps freed memory for the next batch (`stages.runtime.memory.keep_memory`), which holds for its
whole process: in the same one the plain loop and the bare network would be given it too.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yardstick
from bare import Inference, Training
from measure import timed
from torch import Tensor

from stages.runtime.memory import keep_memory
from stages.runtime.threads import float_modes, thread_limit

_KEPT = ExitStack()


class Apart:
    """Calls functions of this module, one after the other, in a process that lives until the end.

    Args:
        kept: that process keeps freed memory after all.
    """

    def __init__(self, kept: bool = False) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=(kept,))

    def __call__(self, function: Callable[..., float], *arguments: Any) -> float:
        return self._pool.submit(function, *arguments).result()

    def close(self) -> None:
        """Ends that process."""
        self._pool.shutdown()


def _begin(kept: bool) -> None:
    # A spawned process would spawn its loaders too, which costs the plain loop ten seconds at each start.
    set_start_method("fork", force=True)
    # torch computes convolutions in tf32 on a GPU unless it is told not to.
    float_modes("float32")
    if kept:
        _KEPT.enter_context(keep_memory())


def features(options: yardstick.Options, folder: Path, threads: int, count: int | None = None) -> float:
    """Seconds of the plain loop's features of all images; `count`: of the first ones alone."""
    return _timed(lambda: yardstick.features(_started(options)[0], folder, options, count), threads)


def train(options: yardstick.Options, folder: Path, labels: np.ndarray, out: Path, count: int, threads: int) -> float:
    """Seconds of its training on `count` images."""
    network, optimizer = _started(options)
    return _timed(lambda: yardstick.train(network, optimizer, folder, labels, options, out, count), threads)


def epoch(options: yardstick.Options, folder: Path, out: Path, threads: int) -> float:
    """Seconds of its whole epoch."""
    network, optimizer = _started(options)
    return _timed(lambda: yardstick.epoch(network, optimizer, folder, options, out), threads)


def forward(precision: str, crops: Path, batch: int, count: int, threads: int) -> float:
    """Seconds of the bare network's forward pass on `count` images, from a .npy of crops."""
    return _timed(lambda: _inference(precision)(_batches(crops, batch), count), threads)


def step(precision: str, crops: Path, batch: int, count: int, k: int, threads: int) -> float:
    """Seconds of its training steps on `count` images."""
    return _timed(lambda: _training(precision, k)(_batches(crops, batch), count), threads)


@cache
def _started(options: yardstick.Options) -> Any:
    return yardstick.start(options)


@cache
def _inference(precision: str) -> Inference:
    return Inference(precision)


@cache
def _training(precision: str, k: int) -> Training:
    return Training(precision, k, 0.01)


@cache
def _batches(crops: Path, batch: int) -> list[Tensor]:
    return list(torch.from_numpy(np.load(crops)).permute(0, 3, 1, 2).split(batch))


def _timed(function: Callable[[], object], threads: int) -> float:
    with thread_limit(threads):
        return timed(function)()

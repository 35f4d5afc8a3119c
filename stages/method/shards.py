"""Parts of a batch whose gradients are computed side by side, as data-parallel training does on several devices.

A small network leaves several threads of arithmetic waiting for each other, layer by layer: two threads that have half
of the batch each wait once a step. Batch normalisation sees its own part of the batch alone, and the statistics that
the finished network uses are those of the first part, as in torch's DistributedDataParallel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from stages.method.networks import Backbone, Dropout

T = TypeVar("T")


class Shards:
    """Copies of a network and its top layer that share their weights, and a thread for each.

    Args:
        network, top: whose weights are trained; the first copy is they themselves.
        count: how many there are.

    Attributes:
        parts: network and top layer of each copy.
    """

    def __init__(self, network: Backbone, top: nn.Module, count: int) -> None:
        self.parts = [(network, top)]
        for _ in range(count - 1):
            pair = copy.deepcopy(network), copy.deepcopy(top)
            for theirs, ours in zip(_parameters(*pair), _parameters(network, top), strict=True):
                theirs.data = ours.data
            self.parts.append(pair)
        self._pool: ThreadPoolExecutor | None = None
        if count > 1:
            threads = max(1, torch.get_num_threads() // count)
            self._pool = ThreadPoolExecutor(count, "shard", initializer=torch.set_num_threads, initargs=(threads,))
            for pair in self.parts:
                for dropout in _dropouts(*pair):
                    dropout.generator = torch.Generator(next(_parameters(*pair)).device)

    def map(self, work: Callable[[Backbone, nn.Module, Tensor, Tensor], T], batch: Tensor, target: Tensor) -> list[T]:
        """`work` of each copy on its part of the batch, in order; afterwards each weight has the sum of the gradients.

        Args:
            batch, target: (B, ...), parted along the first dimension.
        """
        # Batch normalisation cannot train on one value per channel, so a small batch has fewer parts.
        parts = self.parts[: max(1, len(batch) // 2)]
        if self._pool is None:
            return [work(*parts[0], batch, target)]
        # Threads would take turns at torch's one random state in no fixed order.
        for pair, seed in zip(parts, torch.randint(2**62, (len(parts),)).tolist(), strict=True):
            for dropout in _dropouts(*pair):
                assert dropout.generator is not None
                dropout.generator.manual_seed(seed)
        networks, tops = zip(*parts, strict=True)
        split = batch.tensor_split(len(parts)), target.tensor_split(len(parts))
        found = list(self._pool.map(work, networks, tops, *split))
        for ours, *others in zip(*(_parameters(*pair) for pair in parts), strict=True):
            for other in others:
                if ours.grad is not None and other.grad is not None:
                    ours.grad += other.grad
                other.grad = None
        return found

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _parameters(*modules: nn.Module) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from module.parameters()


def _dropouts(*modules: nn.Module) -> Iterator[Dropout]:
    for module in modules:
        yield from (part for part in module.modules() if isinstance(part, Dropout))

"""Where a stage that trains goes on after a kill: its state, and torch's random state, which dropout draws from."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from stages.artifacts.arrays import write_torch
from stages.runtime.job import Job

SAVE_SECONDS = 300.0
"""Seconds between two save points, which a kill loses at most; they do not change what is computed."""

NAME = "savepoint.pt"


class SavePoints:
    """The save point of a job, in its partial folder: it is there again only if nothing that the job reads changed."""

    def __init__(self, job: Job[Any]) -> None:
        self.path = job.partial.path / NAME
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that an earlier attempt saved, tensors on the CPU; torch's random state becomes what it was."""
        if not self.path.exists():
            return None
        found: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        torch.set_rng_state(found["random"])
        # This machine may have fewer devices than the one before.
        for number, random in enumerate(found["random_cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(random, number)
        return found["state"]

    def offer(self, state: Callable[[], dict[str, Any]]) -> None:
        """Saves a state where the last save is `SAVE_SECONDS` ago.

        Args:
            state: gives tensors in plain containers.
        """
        if time.monotonic() - self._saved <= SAVE_SECONDS:
            return
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        write_torch(self.path, {"state": state(), "random": torch.get_rng_state(), "random_cuda": cuda})
        self._saved = time.monotonic()

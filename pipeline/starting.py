"""`--weights`: what a new run begins with, a file or what torchvision publishes, read before a run is made."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.drift import adopted_path
from stages.dag.folders import FETCHED
from stages.errors import Refusal
from stages.parameters.init import InitParams
from stages.parameters.model import ModelParams
from stages.parameters.run import RunParams

if TYPE_CHECKING:
    from pipeline.recording.inspector import NodeStatus

PREFIX = "torchvision:"

_PATIENCE = 20.0
"""Seconds to wait for an answer of the network."""


@dataclass(frozen=True)
class Start:
    """The weights that a new run begins with, as params.yaml has them, and the network that they are of."""

    init: InitParams
    model: ModelParams

    @property
    def values(self) -> dict[str, Any]:
        """The section `init` of the run, as its entry in params.yaml has it."""
        return {"init": self.init.model_dump(exclude_none=True)}

    def told(self, run: str) -> str:
        """A line for the user."""
        from stages.artifacts.weights import facts_of
        from stages.method.foreign import describe

        source = f" ({self.init.source})" if self.init.source else ""
        return f"run {run}: begins with {self.init.weights}{source}: {describe(facts_of(self.model))}"


def start(root: Path, weights: str, command: str) -> Start:
    """Reads the weights, which are fetched where `weights` is torchvision:NAME and they are not there yet.

    Args:
        weights: a file, or torchvision:NAME.
        command: that is to be given again, without its weights, where they cannot be fetched.

    Raises:
        Refusal: there are no such weights, they cannot be fetched, or they are of a network that is not known here.
    """
    from stages.artifacts.weights import read_weights

    source = None
    if weights.startswith(PREFIX):
        published = _published(weights)
        path, source = _place(root, published), _source(weights, published)
        if not path.exists():
            _fetch(published.url, path, f"{command} --weights {weights}")
    else:
        path = Path(weights)
    found = read_weights(path)
    if source is not None and not found.sha256.startswith(_digest_in(path.name)):
        raise Refusal(f"{path} is not what its name says, by its sha256: delete it, then give the same command again")
    return Start(InitParams(weights=adopted_path(root, path), sha256=found.sha256, source=source), found.model)


def _place(root: Path, published: Any) -> Path:
    """Where the file of published weights is kept."""
    return root / FETCHED / str(published.url).rpartition("/")[2]


def refuse_other_start(root: Path, params: RunParams, weights: str) -> str | None:
    """Refuses other weights than a run that is there began with; the path to write down where theirs have moved.

    Raises:
        Refusal: they are others, or the run began with random weights.
    """
    init = params.init
    if init.weights is None:
        raise Refusal(
            f"run {params.run} exists already, and begins with random weights; choose another --run, or drop --weights "
            "to go on with it"
        )
    if weights.startswith(PREFIX):
        given = _source(weights, _published(weights))
        if given == init.source:
            return None
    else:
        given = weights
        if adopted_path(root, Path(weights)) == init.weights:
            return None
        from stages.artifacts.weights import read_weights

        if read_weights(Path(weights)).sha256 == init.sha256:
            return adopted_path(root, Path(weights))
    raise Refusal(
        f"run {params.run} exists already, and begins with other weights than {given}: {init.weights}"
        f"{f' ({init.source})' if init.source else ''}; choose another --run, or drop --weights to go on with it"
    )


def refuse_weights(root: Path, params: RunParams, states: list[NodeStatus], given: str | None, command: str) -> None:
    """Refuses, before any work, weights that `init` is going to refuse.

    Those of torchvision are fetched where they are not there, as in a clone: params.yaml travels by git, they do not.

    Args:
        given: what `--weights` names.
        command: as of `start`.
    """
    if params.init.weights is None or not any(s.node.stage == "init" and s.state != "done" for s in states):
        return
    from stages.artifacts.weights import read_weights, refuse_other_model

    path = root / params.init.weights
    if given is not None and given.startswith(PREFIX) and not path.exists():
        published = _published(given)
        if path == _place(root, published):
            _fetch(published.url, path, f"{command} --weights {given}")
    refuse_other_model(path, read_weights(path, params.init.sha256).model, params.model)


def _published(weights: str) -> Any:
    """torchvision's default weights of a network: an entry with `name`, `url` and `meta`."""
    import torchvision

    from stages.method.foreign import TORCHVISION

    name = weights.removeprefix(PREFIX)
    if name not in TORCHVISION.values():
        known = ", ".join(f"{PREFIX}{other}" for other in TORCHVISION.values())
        raise Refusal(f"--weights {weights}: one of {known}, or a file")
    return torchvision.models.get_model_weights(name).DEFAULT


def _source(weights: str, published: Any) -> str:
    """Such as torchvision resnet50 IMAGENET1K_V2."""
    return f"{weights.replace(':', ' ')} {published.name}"


def _digest_in(name: str) -> str:
    """The first digits of its sha256, which the name of a published file ends in."""
    found = re.search(r"-([0-9a-f]{8,})\.", name)
    return found[1] if found else ""


def _fetch(url: str, path: Path, command: str) -> None:
    """Downloads a file to `path`, whole or not at all, or says how to do without a network here."""
    from http.client import HTTPException
    from urllib.error import URLError

    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _patience():
            torch.hub.download_url_to_file(url, str(path), _digest_in(path.name), progress=sys.stderr.isatty())
    except (URLError, HTTPException, TimeoutError, ConnectionError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise Refusal(
            f"{url} cannot be fetched ({reason}): download it where there is a network, put it there as {path}, then "
            f"`{command}`"
        ) from None


@contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

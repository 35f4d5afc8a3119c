"""Files of weights: model.safetensors, which a run gives away, and those of others, which a run may begin with.

model.safetensors has one key of metadata, "deepcluster", a JSON object: architecture, sobel, input and width as in the
section `model`; mean and std, by which the colours of pixels from 0 to 1 are normalised; what its features are; and how
it was trained: data (a data set, or null), epochs, method, and what it was started from.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from stages.artifacts.checkpoints import build
from stages.artifacts.remedies import maker
from stages.artifacts.writing import write_bytes
from stages.errors import Refusal
from stages.method.architectures import ARCHITECTURES, PooledNetwork
from stages.method.foreign import Facts, State, describe, from_foreign, from_ours
from stages.method.networks import Backbone
from stages.method.sobel import IMAGENET_MEAN, IMAGENET_STD
from stages.parameters.model import ModelParams

KEY = "deepcluster"
"""All metadata stand under one key: safetensors writes several in random order."""


@dataclass(frozen=True)
class Weights:
    """A file of weights, read whole.

    Attributes:
        model: the backbone that they are of; the input of a network that ends in an average may be another.
        state: state dict of that backbone, float32.
        sha256: of the file.
    """

    model: ModelParams
    state: State
    sha256: str


def read_weights(path: Path, sha256: str | None = None) -> Weights:
    """Reads a state dict of others (a .pth, .pth.tar or .safetensors), or a model.safetensors of ours.

    Only tensors and plain containers are read from the file, so reading it runs no code.

    Args:
        sha256: that the file must have.

    Raises:
        Refusal: it is missing, not that file, damaged, or of a network that is not known here.
    """
    content = _bytes(path, "name the file, or where it is now, by --weights FILE")
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise Refusal(
            f"{path} is not the file of init.sha256 any more (it has {found[:12]}…): restore it, or begin another run "
            "with --weights"
        )
    try:
        if _is_safetensors(content):
            about, state = _safetensors(content)
            if about is not None:
                model = _model(about)
                return Weights(model, from_ours(facts_of(model), state), found)
        else:
            state = _pickled(content)
        facts, converted = from_foreign(state)
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal}") from None
    return Weights(ModelParams.model_validate(asdict(facts)), converted, found)


def refuse_other_model(path: Path, found: ModelParams, model: ModelParams) -> None:
    """Refuses weights of another backbone than the run's.

    Args:
        found: the backbone of the weights at `path`.
        model: that of the run.
    """
    facts = facts_of(found)
    free = ("input",) if facts.any_input else ()
    wrong = [key for key, value in asdict(facts).items() if key not in free and value != getattr(model, key)]
    if wrong:
        fitting = " ".join(f"--set model.{key}={json.dumps(getattr(found, key)).strip(chr(34))}" for key in wrong)
        raise Refusal(f"{path} holds {describe(facts)}, and the run has {describe(facts_of(model))}: {fitting}")


def facts_of(model: ModelParams) -> Facts:
    """The section `model` as the room of the method knows it."""
    return Facts(model.architecture, model.sobel, model.input, model.width)


PERMUTED = "permuted"
"""The method of a control, whose labels were shuffled over the pictures."""


@dataclass(frozen=True)
class Training:
    """How a network came about.

    Attributes:
        data: name of the data set that it was trained on; None for none.
        epochs: how many; 0 for one that is as it was initialised or given.
        method: of `cluster`, where its labels came from; or "deepcluster-v2", or `PERMUTED`.
        start: what it started from, as published or the sha256 of the file; None: random weights.
    """

    data: str | None
    epochs: int
    method: str
    start: str | None


def write_backbone(path: Path, model: ModelParams, state: Mapping[str, Tensor], training: Training) -> None:
    """Writes model.safetensors; equal weights give equal bytes.

    Args:
        state: state dict of the backbone.
    """
    plan, features = ARCHITECTURES[model.architecture], "output of the second hidden layer, before its ReLU"
    if isinstance(plan, PooledNetwork):
        features = f"output of the last {'residual block' if plan.counts else 'convolution'}, averaged over its pixels"
    about = model.model_dump(exclude={"projection"}) | {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    about |= {"features": features, "training": asdict(training)}
    tensors = {name: value.contiguous() for name, value in state.items()}
    write_bytes(path, save_tensors(tensors, metadata={KEY: json.dumps(about, sort_keys=True)}))


@dataclass(frozen=True)
class Trained:
    """A network that is to be evaluated.

    Attributes:
        model: what it is.
        network: in evaluation mode, on the CPU.
        training: how it came about.
        sha256: of its file.
    """

    model: ModelParams
    network: Backbone
    training: Training
    sha256: str


def load_backbone(path: Path) -> Trained:
    """The network of a model.safetensors of ours.

    Raises:
        Refusal: it is missing, damaged, or not ours.
    """
    content = _bytes(path, maker(path))
    try:
        about, state = _safetensors(content)
        if about is None:
            raise Refusal("its metadata do not say what network it is of")
        model = _model(about)
        state = from_ours(facts_of(model), state)
        training = Training(**about["training"])
    except (KeyError, TypeError):
        raise Refusal(f"{path} does not say how its network was trained; {maker(path)}") from None
    except Refusal as refusal:
        raise Refusal(f"{path}: {refusal}; {maker(path)}") from None
    network = build(model)
    network.load_state_dict(state)
    return Trained(model, network.eval(), training, hashlib.sha256(content).hexdigest())


def _bytes(path: Path, remedy: str) -> bytes:
    # Read once, so that what is hashed is what is used.
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Refusal(f"{path} is missing: {remedy}") from None
    except IsADirectoryError:
        raise Refusal(f"{path} is a folder: {remedy}") from None


def _is_safetensors(content: bytes) -> bool:
    """Whether a file begins as safetensors do: the length of a header, then that header, a JSON object."""
    return content[8:9] == b"{"


def _safetensors(content: bytes) -> tuple[dict[str, Any] | None, State]:
    """What a file says of itself under our key, None where it has none; and its tensors."""
    try:
        tensors: State = load_tensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text = header.get("__metadata__", {}).get(KEY)
        about = None if text is None else json.loads(text)
    except Exception as error:
        raise Refusal(f"it cannot be read as safetensors ({_short(error)})") from None
    return about, tensors


def _model(about: dict[str, Any]) -> ModelParams:
    try:
        return ModelParams.model_validate({key: about[key] for key in ModelParams.model_fields if key in about})
    except (ValidationError, TypeError):
        raise Refusal(f"its metadata name no network that is known here: {json.dumps(about)[:200]}") from None


def _pickled(content: bytes) -> State:
    """The state dict in a file of `torch.save`, alone or under "state_dict" as in the authors' checkpoints."""
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise Refusal(
            f"it cannot be read as weights ({_short(error)}); of a file that holds more than tensors, save the "
            "state_dict alone"
        ) from None
    if isinstance(found, Mapping) and {"network", "optimizer"} <= set(found):
        raise Refusal("it is the checkpoint of an epoch: give the model.safetensors of its run")
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()) or not found:
        raise Refusal("it holds no state_dict")
    return {str(name): value for name, value in found.items()}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__

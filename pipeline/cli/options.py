"""The options that several commands share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.terminal import reporter
from stages.errors import Refusal
from stages.parameters.named import refuse_name

if TYPE_CHECKING:
    from pipeline.preparing import Request
    from stages.runtime.report import Reporter


def _named(name: str) -> str:
    refuse_name(name)
    return name


RunName = Annotated[str, typer.Option("--run", help="Name of the run, under data/runs.", callback=_named)]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="A parameter as key=value, such as train.lr=0.1; repeatable."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=0, help="Epochs in all; kept in params.yaml.")]
Images = Annotated[
    list[Path] | None,
    typer.Option("--images", help="Pictures of a new run: a folder, or a text file with a path a line."),
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="Of a new run: a data set that is packed, such as another run's.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="What a new run begins with: a file of the authors, of torchvision or of a run; or torchvision:resnet50, "
        "resnet18 or vgg16_bn, which is fetched.",
    ),
]
Preset = Annotated[str, typer.Option("--preset", help="Values of a new run: fit (to its pictures) or paper.")]
WholeEpoch = Annotated[
    str | None,
    typer.Option("--epoch", help="Number of a whole epoch, or final; by default the last there is."),
]
Save = Annotated[Path | None, typer.Option("--save", help="Draw them too: a .png, .jpg or .webp.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Recompute recorded epochs, replace their pictures, or delete, without asking.")
]


def requested(command: Callable[[Request, Reporter], None]) -> Callable[..., None]:
    """Gives a command the options that make a `Request`, under its own name and docstring."""

    def with_options(
        run: RunName = "demo",
        epochs: Epochs = None,
        images: Images = None,
        set: Sets = None,
        preset: Preset = "fit",
        yes: Yes = False,
        dataset: Dataset = None,
        weights: Weights = None,
    ) -> None:
        with reporter(run) as report:
            command(_request(run, epochs, images, set, preset, yes, dataset, weights), report)

    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    return with_options


def _request(
    run: str,
    epochs: int | None,
    images: list[Path] | None,
    sets: list[str] | None,
    preset: str,
    yes: bool,
    dataset: str | None,
    weights: str | None,
) -> Request:
    from pipeline.preparing import Request
    from pipeline.presets import PRESETS

    if preset not in PRESETS:
        raise Refusal(f"--preset {preset}: one of {', '.join(PRESETS)}")
    if images and len(images) > 1:
        raise Refusal(
            f"--images is given {len(images)} times, and a run has one source: give a folder that holds them all "
            "(links are followed), or a text file with a path a line"
        )
    if images and run == "demo":
        raise Refusal(
            "--images: the run demo draws its own pictures; yours need a run of another name: "
            f"`python -m pipeline run --run NAME --images {shlex.quote(str(images[0]))}`"
        )
    if images and dataset is not None:
        raise Refusal("--images and --dataset: give new pictures, or the name of a data set that is packed")
    return Request(run, epochs, images[0] if images else None, preset, sets or [], yes, dataset, weights)

"""The entries of `evaluation_sets`: pictures with boxes, masks or queries, as they lie, for section 4 of the paper."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.errors import Refusal
from stages.parameters.types import Float, Int, Section, Seed, Text

Layout = Literal["voc", "sbd", "landmarks"]


class DrawParams(Section):
    """`evaluation_sets.NAME.draw`: a set that is drawn into its layout, as the demo's are; sbd is not drawn."""

    seed: Seed = 0
    """What it is drawn from; another seed gives another set of the same classes."""
    difficulty: Annotated[Float, Field(ge=0, le=1)] = 0.3
    """From clean pictures (0) to noisy, cluttered ones of small or much changed objects (1)."""
    train: Annotated[Int, Field(ge=10)] = 160
    """Scenes in the split train (voc alone)."""
    val: Annotated[Int, Field(ge=10)] = 80
    """Scenes in the split val (voc alone)."""
    test: Annotated[Int, Field(ge=10)] = 160
    """Scenes in the split test (voc alone)."""
    landmarks: Annotated[Int, Field(ge=2, le=12)] = 8
    """Buildings, each with queries of its own (landmarks alone)."""
    views: Annotated[Int, Field(ge=6)] = 12
    """Pictures of each building (landmarks alone)."""
    distractors: Annotated[Int, Field(ge=0)] = 64
    """Pictures of other buildings, one each (landmarks alone)."""
    naming: Literal["oxford", "paris"] = "oxford"
    """Whether query files name pictures with oxc1_ before them, and pictures begin with paris_ (landmarks alone)."""


class EvaluationSet(Section):
    """One entry of `evaluation_sets`; its index depends on nothing else."""

    name: Text
    """Its key below `evaluation_sets`, and the folder below data/evaluation."""
    layout: Layout
    """voc: the folder VOC2007 or VOC2012 of a VOCdevkit; sbd: SBD's img and cls; landmarks: Oxford5k's or Paris6k's jpg
    and lab."""
    path: Text
    """The set's folder; relative to the project's root."""
    lists: dict[str, Text] = Field(default_factory=dict)
    """Further splits, such as seg11valid: a text file with a picture's name a line; relative to the project's root."""
    proposals: dict[str, Text] = Field(default_factory=dict)
    """Selective search's boxes of each split (voc alone): a .mat file, or a folder with one a picture; relative to the
    project's root."""
    search: Literal["fast", "quality"] | None = None
    """How OpenCV searches the splits without proposals (voc alone): 3 to 5 s a picture of VOC 2007, or 14 s; null: it
    does not."""
    draw: DrawParams | None = None
    """Draw the set; None: it is at `path`."""

    @property
    def proposed(self) -> bool:
        """Whether it has proposals, for detection."""
        return bool(self.proposals) or self.search is not None


class SetKeys(Section):
    """What `draw` and `index` depend on."""

    set: EvaluationSet


def check_set(of: EvaluationSet) -> None:
    """Refuses an entry whose keys do not go together."""
    where = f"params.yaml: evaluation_sets.{of.name}"
    if of.layout == "sbd" and of.draw is not None:
        raise Refusal(f"{where}.draw: layouts voc and landmarks alone are drawn")
    if of.layout != "voc" and of.proposed:
        raise Refusal(f"{where}: proposals and search are for layout voc alone")

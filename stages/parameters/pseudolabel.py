"""The section `pseudolabel`: clusters as labels (section 3.3)."""

from __future__ import annotations

from stages.parameters.types import Bool, Section, Seed


class PseudolabelParams(Section):
    """How clusters become labels."""

    permuted: Bool
    """Shuffle the labels over the images: the control in which nothing can be learned from them."""


class PseudolabelKeys(Section):
    """What `pseudolabel` depends on."""

    pseudolabel: PseudolabelParams
    seed: Seed

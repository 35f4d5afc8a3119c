"""The section `pseudolabel`."""

from __future__ import annotations

from stages.parameters.types import Bool, Section


class PseudolabelParams(Section):
    permuted: Bool
    """Shuffle the labels over the images: the control in which nothing can be learned from them."""

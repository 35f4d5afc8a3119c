"""What the stage `export` depends on."""

from __future__ import annotations

from stages.parameters.types import Int, Section


class ExportKeys(Section):
    """The number of epochs, which numbers the row of the finished network."""

    epochs: Int

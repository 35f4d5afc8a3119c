"""What the stage `resolve` depends on: everything."""

from __future__ import annotations

from stages.parameters.run import RunParams
from stages.parameters.types import Section


class ResolveKeys(Section):
    """The run as the root's params.yaml has it."""

    run: RunParams

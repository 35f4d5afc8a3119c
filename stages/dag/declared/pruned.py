"""The stage `pruned`."""

from stages.dag.stage import Stage

# Its inputs and outputs are those of the epoch's stages; `stages.dag.graph.pruned_node` collects them.
STAGE = Stage(
    "pruned",
    "an epoch whose large artifacts were dropped; it cannot be computed again",
    place="guard",
    revised=False,
)

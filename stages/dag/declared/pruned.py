"""The stage `pruned`."""

from stages.dag.stage import Stage

# What it reads and keeps is that of the epoch's stages: `stages.dag.graph.pruned_node`.
STAGE = Stage(
    "pruned",
    "an epoch whose large artifacts were dropped; it cannot be computed again",
    place="guard",
    revised=False,
)

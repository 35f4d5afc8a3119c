"""Which epochs stay whole on disk (`retain`): the policy, the disk that a run will take, and pruning.

All three use one simulation, `policy.Simulation`. The guard of a pruned epoch is the stage `stages.pruned`.
"""

"""Writer and reader of each kind of file under data/, side by side, and how files are published whole or not at all.

`stages.dag.names` draws the tree on disk and holds every name in it. What a stage computes is not here.
"""

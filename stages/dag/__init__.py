"""Which stages there are, which files each reads and writes, and which parameters it depends on.

`declared` holds one declaration per stage. `graph` makes from them the stages of a data set and of a run, folder by
folder. `names` draws the tree on disk. Nothing here runs a stage or opens an artifact.
"""

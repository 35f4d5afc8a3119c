"""Section 3 of the paper as functions of arrays and tensors: networks, features, whitening, clustering, SGD.

Nothing here knows a file of the pipeline, DVC or the command line. Reading, writing and the order of steps are the
stages' (stages/*.py).
"""

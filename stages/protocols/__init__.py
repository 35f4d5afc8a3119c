"""Section 4 of the paper as functions of arrays and tensors: what each evaluation trains and measures, and its metrics.

Nothing here knows a file of the pipeline, DVC or the command line. Reading pictures, saving and the order of steps are
the stages' (stages/*.py).
"""

"""A run's results in pandas: `pipeline.open_run` gives `run.Run`, whose methods read the files of its epochs.

Nothing here computes a stage or changes a file.
"""

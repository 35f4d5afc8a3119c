"""What a run is computed from, typed and checked before any work begins.

The root's params.yaml holds the defaults of every run, `datasets`, and the overrides of each run (`runs`).
`resolution` merges them into the `RunParams` of one run. A module named after a section of params.yaml holds the
class of that section, such as `TrainParams` in train.py, and the class of the keys that the stage of the same name
depends on, such as `TrainKeys`.
"""

"""The stages: each module on this floor is one DVC stage, a function of its own name that reads and writes artifacts.

What they are built from is in the packages below: the paper's arithmetic in `method`, their declarations in `dag`,
their parameters in `parameters`, files in `artifacts`, random state and threads in `runtime`, pictures in `sources`.
Deciding which stages to run, recording them and reading their results is done by `pipeline`.
"""

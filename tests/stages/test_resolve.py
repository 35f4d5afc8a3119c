"""stages/resolve.py run alone on a finished run: what the pictures or the plan do not allow."""

import pytest
from stage_helpers import RUN, refused, run_one


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cluster": {"k": 171}}, ["cluster.k", "171", "170"]),
        ({"whiten": {"dim": 171}}, ["whiten.dim", "171", "170"]),
        ({"epochs": 3}, ["3 epochs and 2 are planned", "pipeline plan --run demo"]),
        ({"cluster": {"every": 2}}, ["cluster.every", "pipeline plan"]),
        ({"train": {"lr": True}}, ["train.lr"]),
    ],
)
def test_resolve_refuses_what_the_pictures_or_the_plan_do_not_allow(finished_copy, values, words):
    before = (finished_copy.root / RUN / "params.yaml").read_bytes()
    finished_copy.edit(values)
    line = refused(lambda: run_one(finished_copy, "resolve", ""))
    assert all(word in line for word in words), line
    assert (finished_copy.root / RUN / "params.yaml").read_bytes() == before

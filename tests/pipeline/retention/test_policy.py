"""pipeline/retention/policy.py: which epochs `retain` keeps whole."""

from __future__ import annotations

import pytest
import yaml
from pipeline_helpers import changed, content_of

from pipeline.retention.policy import stays_whole
from stages.errors import Refusal
from stages.parameters.resolution import resolve_run
from stages.parameters.retain import RetainParams


@pytest.mark.parametrize(
    ("last", "every", "newest", "expected"),
    [
        (None, 0, 9, range(1, 10)),
        (None, 3, 9, range(1, 10)),
        (1, 0, 9, [9]),
        (2, 0, 9, [8, 9]),
        (2, 4, 9, [4, 8, 9]),
        (3, 5, 9, [5, 7, 8, 9]),
        (20, 0, 9, range(1, 10)),
        (1, 1, 4, [1, 2, 3, 4]),
    ],
)
def test_the_newest_and_each_multiple_stay_whole(last, every, newest, expected):
    retain = RetainParams(last=last, every=every)
    assert [epoch for epoch in range(1, newest + 1) if stays_whole(retain, epoch, newest)] == list(expected)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"last": 0}, "retain.last: "),
        ({"last": "some"}, "retain.last: "),
        ({"every": -1}, "retain.every: "),
        ({"lats": 2}, "retain.lats: no such key; did you mean retain.last?"),
    ],
)
def test_a_wrong_policy_is_one_line(six, value, told):
    with pytest.raises(Refusal) as refused:
        resolve_run(changed(content_of(six.root), "runs.demo", {"retain": value}), "demo")
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_a_params_yaml_of_before_keeps_every_epoch(six):
    content = content_of(six.root)
    del content["retain"]
    assert resolve_run(content, "demo").retain.last is None


def test_the_runs_own_params_yaml_knows_no_retain(shortened):
    assert "retain" not in yaml.safe_load(shortened.run_path("params.yaml").read_text())

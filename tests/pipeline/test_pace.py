"""pipeline/pace.py: how long a run takes and how it would go on."""

import pytest
from pipeline_helpers import params_of

from pipeline import pace
from pipeline.pace import further, with_forecast
from pipeline.preparing import Request, prepare
from pipeline.recording.inspector import NodeStatus, nodes_on_disk


def passed(project, monkeypatch, seconds, epochs=4, done=lambda node: False):
    """What is said while the stages of a run pass, of which each takes so many seconds by a clock of its own.

    Those that are `done` take no time.
    """
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    params = params_of(project.root).model_copy(update={"epochs": epochs})
    nodes = [node for node in nodes_on_disk(project.root, params) if node.run]
    states = [NodeStatus(node, "done" if done(node) else "missing") for node in nodes]
    lines = []
    seen = []
    for node in with_forecast(nodes, states, lines.append):
        seen.append(node)
        now[0] += 0 if done(node) else seconds(node)
    assert seen == nodes
    return lines


def test_after_the_first_epoch_that_is_computed_the_time_of_the_others_is_told_once(finished, monkeypatch):
    lines = passed(finished, monkeypatch, lambda node: 10.0 if node.in_epoch else 100.0)
    # Six stages of ten seconds.
    assert lines == ["run demo: epoch 1 took 60 s, the other 3 take about 3 min"]


def test_epochs_that_are_found_there_tell_nothing(finished, monkeypatch):
    lines = passed(finished, monkeypatch, lambda node: 10.0, epochs=3, done=lambda node: node.epoch == 1)
    assert lines == ["run demo: epoch 2 took 60 s, the other takes about 60 s"]
    assert passed(finished, monkeypatch, lambda node: 0.001) == []
    assert passed(finished, monkeypatch, lambda node: 10.0, epochs=1) == []


def test_the_rest_of_an_epoch_that_was_begun_tells_nothing(finished, monkeypatch):
    # Stopped while it trained; an epoch that must be made again is left too, and the third is there.
    made = [(1, "extract"), (1, "whiten"), (1, "cluster"), (1, "pseudolabel")]

    def done(node):
        return (node.epoch, node.stage) in made or node.epoch == 3

    lines = passed(finished, monkeypatch, lambda node: 10.0, epochs=5, done=done)
    assert lines == ["run demo: epoch 2 took 60 s, the other 2 take about 2 min"]


def timings(project, rows):
    lines = ["epoch,stage,seconds", *(",".join(map(str, row)) for row in rows)]
    project.run_path("timings.csv").write_text("\n".join(lines) + "\n")


def test_as_many_epochs_more_take_as_long_as_those_that_are_there(finished_copy):
    timings(
        finished_copy,
        [(1, "train", 100), (1, "extract", 500), (1, "extract", 20), (2, "train", 120), ("final", "extract", 99)],
    )
    params = params_of(finished_copy.root)
    assert further(finished_copy.root, params) == (
        "2 epochs more, about 4 min: `python -m pipeline run --run demo --epochs 4`"
    )


def test_a_line_of_the_times_that_was_cut_is_passed_over(finished_copy):
    timings(finished_copy, [(1, "train", 100), (2, "train", 120), (2,)])
    assert "about 4 min" in further(finished_copy.root, params_of(finished_copy.root))


def test_a_cosine_schedule_goes_on_in_a_branch(finished_copy, cli):
    finished_copy.edit({"train": {"schedule": "cosine", "horizon": 2}})
    finished_copy.run(yes=True)
    line = further(finished_copy.root, params_of(finished_copy.root))
    command = line.partition("`python -m pipeline ")[2].rstrip("`")
    assert command == "branch --from demo@2 --run NAME --epochs 4 --set train.horizon=4"
    # `run`, asked for more epochs, leads there with all else that was asked for.
    longer = ["run", "--epochs", "4"]
    assert f"`python -m pipeline {command}`" in cli.refused(finished_copy.root, *longer)
    assert f"`python -m pipeline {command} --set train.lr=0.3`" in cli.refused(
        finished_copy.root, *longer, "--set", "train.lr=0.3"
    )
    # With another schedule from the first epoch on, a run of its own goes on from there.
    anew = cli.refused(finished_copy.root, *longer, "--set", "train.horizon=4")
    assert "`python -m pipeline branch --from demo@0 --run NAME --epochs 4 --set train.horizon=4`" in anew
    assert prepare(finished_copy.root, Request("demo", epochs=4, sets=["train.horizon=4"], yes=True))
    # A schedule that no epoch followed yet is another matter.
    assert "ends before epoch 2" in cli.refused(finished_copy.root, "run", "--set", "train.horizon=1")
    assert cli(finished_copy.root, *command.replace("NAME", "longer").split()).status == 0
    assert params_of(finished_copy.root, "longer").train.horizon == 4


@pytest.mark.parametrize("epochs", [0, 2])
def test_nothing_is_told_of_an_untrained_network_or_one_from_elsewhere(finished_copy, epochs):
    params = params_of(finished_copy.root).model_copy(update={"epochs": epochs})
    if epochs:
        finished_copy.run_path("timings.csv").unlink()
    assert further(finished_copy.root, params) is None


def test_a_schedule_that_no_recorded_epoch_followed_leads_to_no_branch(finished_copy, cli):
    line = cli.refused(finished_copy.root, "run", "--epochs", "9", "--set", "train.schedule=cosine")
    assert "train.horizon: a cosine schedule over 8 epochs ends before epoch 9" in line and "branch" not in line

"""pipeline/branch.py with `cluster.every`: a branch that changes nothing equals its parent."""

from __future__ import annotations

import pytest
from pipeline_helpers import params_of
from projects import tree

from pipeline.branch import branch
from pipeline.recording.planning import write_run


@pytest.fixture
def parent(make_project):
    project = make_project(change={"epochs": 5, "cluster": {"every": 2}}, plan=False)
    project.run()
    return project


def test_a_branch_that_changes_nothing_clusters_where_its_parent_does(parent):
    theirs = tree(parent.run_path(""))
    for source, name in (("demo@1", "odd"), ("demo@2", "even"), ("odd@4", "again")):
        branch(parent.root, source, name, [], None)
        parent.run(name)
        mine = tree(parent.run_path("", name))
        start = params_of(parent.root, name).start
        later = [f"epochs/{epoch:04d}/" for epoch in range(start + 1, 6)]
        for folder in (*later, "final/"):
            expected = {path: content for path, content in theirs.items() if path.startswith(folder)}
            assert {path: content for path, content in mine.items() if path.startswith(folder)} == expected, (
                name,
                folder,
            )
            assert expected
    # Another rhythm begins with the branch.
    branch(parent.root, "demo@2", "rarer", ["cluster.every=3"], 5)
    assert params_of(parent.root, "rarer").cluster.counted_from is None
    write_run(parent.root, params_of(parent.root, "rarer"))
    assert parent.run_path("epochs/0003/dvc.yaml", "rarer").read_text().count("stages.cluster") == 1

"""stages/dag/folders.py: the root of a project."""

from stage_helpers import refused

from stages.dag.folders import find_root


def test_a_folder_outside_any_project_is_refused(tmp_path):
    assert str(tmp_path) in refused(lambda: find_root(tmp_path))
